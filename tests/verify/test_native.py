"""Programs in C: what CMake, Meson and Autotools build and test, and what is told of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from honk.model import Check, Repository
from honk.repository_file import parse_repository_file
from honk.settings import read_settings
from honk.verify import distil, verify
from honk.workspace import Workspaces
from tests.verify.checkouts import commands, left_out, plan_of

CMAKE = "cmake_minimum_required(VERSION 3.5)\nproject(sums C)\n"
TESTED = (
    "enable_testing()\nadd_executable(sums sums.c)\n"
    "add_test(NAME adds COMMAND sums)\nadd_test(NAME twice COMMAND sums)\n"
)
BUILD = (
    "cmake -S . -B .honk/cmake --log-level=NOTICE && "
    'cmake --build .honk/cmake --parallel "$(getconf _NPROCESSORS_ONLN)"'
)


def test_a_cmake_project_is_built_and_its_tests_run_where_it_has_some() -> None:
    assert commands(plan_of({"CMakeLists.txt": CMAKE, "Makefile": "test:\n\ttrue\n"})) == {
        "cmake build": BUILD,
        "make test": "make test",
    }
    plan = plan_of({"CMakeLists.txt": CMAKE + TESTED, "Makefile": "test:\n\ttrue\n"})
    assert commands(plan) == {"cmake build": BUILD, "cmake test": "cd .honk/cmake && ctest --output-on-failure"}
    assert left_out(plan) == {"make test": "cmake test does that"}


def test_of_several_systems_in_a_folder_the_first_that_knows_of_tests_builds() -> None:
    files = {"CMakeLists.txt": CMAKE, "meson.build": "project('a', 'c')\ntest('b', exe)\n"}
    plan = plan_of(files | {"configure.ac": "AC_INIT([a], [1])\n", "Makefile.am": "TESTS = a\n"})
    assert list(commands(plan)) == ["meson build", "meson test"]
    assert left_out(plan) == dict.fromkeys(("CMake", "Autotools"), "Meson builds and tests the same")


def test_meson_is_installed_where_the_machine_has_none() -> None:
    (step,) = plan_of({"meson.build": "project('a', 'c')\n"}, programs=["python3", "ninja", "cc"]).set_up
    assert (step.command.endswith(" meson"), step.brings) == (True, ["meson"])


def test_what_is_configured_is_made_first() -> None:
    files = {"configure.ac": "AC_INIT([a], [1])\n", "Makefile.am": "check-local:\n"}
    line = 'sh ./configure && make -j "$(getconf _NPROCESSORS_ONLN)"'
    made, checked = "autotools build", {"autotools test": "make check"}
    assert commands(plan_of(files)) == {made: f"autoreconf --force --install && {line}", **checked}
    assert commands(plan_of(files | {"configure": ""})) == {made: line, **checked}


@pytest.mark.parametrize(
    "files",
    [
        {"deps/lib/CMakeLists.txt": CMAKE},
        {"pyproject.toml": "[build-system]\n", "ext/CMakeLists.txt": CMAKE},
        {"package.json": "{}", "CMakeLists.txt": CMAKE},
        {"CMakeLists.txt": "add_library(part part.c)\n"},
    ],
)
def test_native_code_of_others_or_inside_another_package_is_left_to_that(files: dict[str, str]) -> None:
    assert commands(plan_of(files)) == {}


@pytest.mark.usefixtures("sandbox")
@pytest.mark.skipif(not all(map(shutil.which, ("cmake", "cc"))), reason="CMake or a C compiler is not on this machine")
def test_a_real_cmake_project_is_green_with_its_tests_counted_and_red_with_its_first_error(
    home: Path, make_repository: Callable[..., Path]
) -> None:
    def run(name: str, cmake: str, source: str) -> dict[str, Check]:
        repo = make_repository({"CMakeLists.txt": CMAKE + cmake, "sums.c": source}, name)
        repository = Repository(name, str(repo), str(repo), "main")
        workspaces = Workspaces(read_settings(home=home))
        with workspaces.checkout(repository, workspaces.fetch(repository)) as checkout:
            return {one.name: one for one in verify(checkout, parse_repository_file(""))}

    green = run("green", TESTED, "int main(void) { return 0; }\n")
    assert {name: (one.status, one.tests) for name, one in green.items()} == {
        "cmake build": ("passed", None),
        "cmake test": ("passed", 2),
    }
    broken = run("broken", TESTED, "int main(void) { return nothing; }\n")
    assert "sums.c:1:25: error: " in broken["cmake build"].summary
    assert broken["cmake test"].summary == "Not run, because cmake build is red."
    empty = run("empty", "enable_testing()\n", "")
    assert (empty["cmake test"].status, "no test ran" in empty["cmake test"].summary) == ("failed", True)


def test_an_option_that_builds_the_tests_is_switched_on() -> None:
    options = 'option(SUMS_BUILD_TESTS "Build tests" OFF)\noption(SUMS_FUZZ "Fuzz" OFF)\n'
    build = commands(plan_of({"CMakeLists.txt": CMAKE + options + TESTED}))["cmake build"]
    assert " -DSUMS_BUILD_TESTS=ON && " in build
    assert "SUMS_FUZZ" not in build


CTEST = """Test project /workspace/.honk/cmake
      Start  1: parse_examples
 1/3 Test  #1: parse_examples ...................***Failed    0.00 sec
/workspace/tests/parse_examples.c:77:file_test1_should_be_parsed:FAIL: Failed to read of parse test.
/workspace/tests/parse_examples.c:261:file_test6_should_not_be_parsed:PASS
14 Tests 1 Failures 0 Ignored
FAIL

      Start  2: own_runner
 2/3 Test  #2: own_runner .......................***Failed    0.01 sec
loading the table
row 7 does not balance
      Start  3: sums
 3/3 Test  #3: sums .............................***Failed    0.01 sec
/workspace/tests/sums.cpp:12: FAILED:
  REQUIRE( sum(1, 1) == 3 )
with expansion:
  2 == 3

0% tests passed, 3 tests failed out of 3

The following tests FAILED:
        1 - parse_examples (Failed)
        2 - own_runner (Failed)
        3 - sums (Failed)
"""


def test_of_what_ctest_runs_the_failing_line_is_told_and_else_the_last_words() -> None:
    passed = "/workspace/tests/parse_examples.c:261:file_test6_should_not_be_parsed:PASS\n"
    told = distil(CTEST.replace(passed, passed * 100), 2000, tool="cmake test ctest --output-on-failure").splitlines()
    assert told[0] == "tests/parse_examples.c:77: file_test1_should_be_parsed: Failed to read of parse test."
    assert "tests/sums.cpp:12: REQUIRE( sum(1, 1) == 3 ) with expansion: 2 == 3" in told
    assert "row 7 does not balance" in "\n".join(told)
    assert not any(line.endswith("PASS") for line in told)
    assert told[-1] == "0% tests passed, 3 tests failed out of 3"
