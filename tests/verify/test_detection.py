"""Checks are found by what a repository contains, run in the real sandbox, and told in few lines."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from honk.model import Cancelled, Check, Repository
from honk.repository_file import parse_repository_file
from honk.settings import read_settings
from honk.verify import Conditions, distil, explain, verify
from honk.workspace import Workspaces
from tests.conftest import Honk, git

pytestmark = pytest.mark.usefixtures("sandbox")

Verify = Callable[..., dict[str, Check]]


@pytest.fixture
def check(home: Path, make_repository: Callable[..., Path]) -> Verify:
    """Verifies a repository with these files and gives the results by name."""

    def run(files: dict[str, str]) -> dict[str, Check]:
        repo = make_repository(files)
        repository = Repository("project", str(repo), str(repo), "main")
        workspaces = Workspaces(read_settings(home=home))
        with workspaces.checkout(repository, workspaces.fetch(repository)) as checkout:
            results = verify(checkout, parse_repository_file(files.get("honk.yaml", "")))
        return {result.name: result for result in results}

    return run


def _needs(*programs: str) -> pytest.MarkDecorator:
    missing = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not on this machine: {', '.join(missing)}")


def test_unittest_without_any_configuration(check: Verify) -> None:
    test = (
        "import unittest\n\nclass T(unittest.TestCase):\n    def test_sum(self):\n        self.assertEqual(1 + 1, {})\n"
    )
    green = check({"tests/__init__.py": "", "tests/test_sum.py": test.format(2)})
    assert green["unittest"].status == "passed"
    assert green["unittest"].summary == "Ran 1 test"
    assert green["unittest"].why == "tests/test_sum.py holds unittest tests"


def test_a_failing_unittest_is_red_with_its_reason(check: Verify) -> None:
    test = (
        "import unittest\n\nclass T(unittest.TestCase):\n    def test_sum(self):\n        self.assertEqual(1 + 1, 3)\n"
    )
    red = check({"test_sum.py": test})["unittest"]
    assert red.status == "failed"
    assert "AssertionError: 2 != 3" in red.summary
    assert "/workspace/" not in red.summary


def test_pytest_and_ruff_by_pyproject(check: Verify) -> None:
    results = check(
        {
            "pyproject.toml": "[tool.pytest.ini_options]\n[tool.ruff]\n",
            "test_sum.py": "import os\n\n\ndef test_sum():\n    assert 1 + 1 == 3\n",
        }
    )
    if results["pytest"].status == "skipped":
        pytest.skip(f"pytest can neither be found nor set up here: {results['set-up'].summary}")
    assert results["pytest"].status == "failed"
    assert "assert (1 + 1) == 3" in results["pytest"].summary
    assert results["pytest"].why == "pyproject.toml configures pytest"
    if results["ruff"].status != "skipped":
        assert "F401" in results["ruff"].summary


@_needs("node", "npm")
def test_the_scripts_of_package_json(check: Verify) -> None:
    scripts = {"test": "node --test", "lint": "node -e 0", "start": "node server.js"}
    results = check(
        {
            "package.json": json.dumps({"scripts": scripts}),
            "sum.test.js": "require('node:test')('sums', () => require('assert').equal(2, 3));\n",
        }
    )
    assert list(results) == ["npm lint", "npm test"]
    assert results["npm lint"].status == "passed"
    assert results["npm test"].status == "failed"
    assert "2 == 3" in results["npm test"].summary


@_needs("npm")
def test_npms_own_placeholder_is_no_test(check: Verify) -> None:
    scripts = {"test": 'echo "Error: no test specified" && exit 1'}
    assert check({"package.json": json.dumps({"scripts": scripts})}) == {}


@_needs("make")
def test_make_only_where_nothing_better_is_found(check: Verify) -> None:
    makefile = "check:\n\t@true\ntest:\n\t@echo it broke; false\n"
    results = check({"Makefile": makefile})
    assert results["make check"].status == "passed"
    assert "it broke" in results["make test"].summary


@_needs("cargo", "cc")
def test_cargo(check: Verify) -> None:
    results = check(
        {
            "Cargo.toml": '[package]\nname = "sum"\nversion = "0.1.0"\nedition = "2021"\n',
            "src/lib.rs": "#[test]\nfn sums() {\n    assert_eq!(1 + 1, 3);\n}\n",
        }
    )
    assert results["cargo test"].status == "failed"
    assert "left: 2" in results["cargo test"].summary


@_needs("mvn")
def test_maven_says_what_it_could_not_reach(check: Verify) -> None:
    named = "<groupId>a</groupId><artifactId>b</artifactId><version>1</version>"
    pom = f"<project><modelVersion>4.0.0</modelVersion>{named}</project>"
    result = check({"pom.xml": pom})["maven test"]
    assert result.status == "failed"
    assert "could not be resolved" in result.summary


def test_honk_yaml_overrides_what_is_found(check: Verify) -> None:
    results = check({"honk.yaml": "verify: {mine: 'echo yes'}\n", "Makefile": "test:\n\tfalse\n"})
    assert {name: result.status for name, result in results.items()} == {"mine": "passed"}


def test_a_configured_check_whose_program_is_missing_is_red(check: Verify) -> None:
    result = check({"honk.yaml": "verify: {mine: no-such-program}\n"})["mine"]
    assert result.status == "failed"
    assert "A program is missing on this machine" in result.summary


def test_a_check_that_hangs_is_ended_and_said(check: Verify) -> None:
    result = check({"honk.yaml": "verify: {mine: {run: 'sleep 600 & sleep 600', timeout: 300ms}}\n"})["mine"]
    assert result.status == "error"
    assert "was ended" in result.summary


def test_set_up_runs_before_the_checks_and_a_failing_one_is_red(check: Verify) -> None:
    good = check({"honk.yaml": "setup: echo ready > ready\nverify: {mine: test -e ready}\n"})
    assert good["mine"].status == "passed"


def test_a_failing_set_up_is_red(check: Verify) -> None:
    bad = check({"honk.yaml": "setup: 'echo no such package; exit 3'\nverify: {mine: 'true'}\n"})
    assert bad["set-up"].status == "failed"
    assert "no such package" in bad["set-up"].summary


def test_a_host_that_is_not_allowed_is_named(check: Verify) -> None:
    text = "verify: {mine: 'curl -sS --max-time 5 https://elsewhere.example/'}\negress: ['other.example']\n"
    result = check({"honk.yaml": text})["mine"]
    if "A program is missing" in result.summary:
        pytest.skip("no curl on this machine")
    assert "It tried to reach elsewhere.example:443, which is not in `egress`" in result.summary


def test_an_empty_repository_of_checks_is_no_check(check: Verify) -> None:
    assert check({"README.md": "hello"}) == {}


def test_a_honk_yaml_that_is_a_link_is_not_taken_for_none(honk: Honk, make_repository: Callable[..., Path]) -> None:
    repo = make_repository({"conf/honk.yaml": "verify: {mine: 'false'}\n"})
    (repo / "honk.yaml").symlink_to("conf/honk.yaml")
    git(repo, "add", "honk.yaml")
    git(repo, "commit", "-qm", "Link it")
    done = honk("verify", "--repo", str(repo), check=2)
    assert "honk.yaml is a link or a folder in" in done.stderr
    asked = honk("run", "Go on", "--repo", str(repo), "--agent", "script:true", check=2)
    assert "honk.yaml is a link or a folder in project: make it a file." in asked.stderr


def test_a_host_that_a_check_keeps_to_itself_is_named_all_the_same(
    honk: Honk, make_repository: Callable[..., Path]
) -> None:
    script = (
        "import os, urllib.request\n"
        "try:\n    urllib.request.urlopen('http://elsewhere.example/', timeout=5)\n"
        "except OSError:\n    os._exit(1)\n"
    )
    repo = make_repository({"honk.yaml": "verify: {mine: python3 ask.py}\n", "ask.py": script})
    told = honk("verify", "--repo", str(repo), check=1).stdout
    assert "It tried to reach elsewhere.example:80, which is not in `egress` of honk.yaml." in told


def test_long_output_is_distilled_to_the_first_error_within_the_budget() -> None:
    noise = "\n".join(f"\x1b[32m2026-11-23T10:00:00Z Downloading package {n} 17%\x1b[0m" for n in range(3000))
    culprit = "src/app.py:12: error: Name 'queue' is not defined  [name-defined]"
    log = f"{noise}\n/workspace/{culprit}\n{noise}\nFound 1 error in 1 file"
    told = distil(log)
    assert culprit in told
    assert "/workspace/" not in told
    assert "\x1b" not in told
    assert len(told) <= 2000 < len(log) / 20


def test_secrets_are_masked_in_what_is_told() -> None:
    assert "ghp_0123" not in distil("error: bad token ghp_0123456789abcdefghijABCDEFGHIJ012345")


def test_the_agent_gets_one_line_for_green_and_only_the_reasons_for_red() -> None:
    green = Check("test", "passed", 1.0, "12 passed", "make test")
    red = Check("lint", "failed", 1.0, "a.py:1: unused import", "make lint")
    assert explain([green]) == "All checks are green: test (12 passed)."
    assert explain([green, red]) == "lint is red (`make lint`):\na.py:1: unused import"


def test_a_repository_is_verified_from_the_shell_without_any_agent(
    honk: Honk, make_repository: Callable[..., Path]
) -> None:
    text = "verify: {good: echo fine, bad: 'echo first line; echo AssertionError: no; exit 1'}\n"
    repo = make_repository({"honk.yaml": text})
    (repo / "honk.yaml").write_text("verify: {}\n")
    done = honk("verify", "--repo", str(repo), check=1)
    assert "✓ good" in done.stdout
    assert "because honk.yaml names `verify.bad`: `echo first line" in done.stdout
    assert "AssertionError: no" in done.stdout
    told = json.loads(honk("verify", "--repo", str(repo), "--json", check=1).stdout)
    assert [(check["name"], check["status"]) for check in told["checks"]] == [("good", "passed"), ("bad", "failed")]
    assert told["commit"] == git(repo, "rev-parse", "HEAD")
    # What was green is not run again, unless that is asked for; what was red is.
    assert [check["unchanged_since"] for check in told["checks"]] == [told["commit"], None]
    told = json.loads(honk("verify", "--repo", str(repo), "--json", "--no-cache", check=1).stdout)
    assert [check["unchanged_since"] for check in told["checks"]] == [None, None]


UNITTEST = (
    "import unittest\n\nclass T(unittest.TestCase):\n    def test_sum(self):\n        self.assertEqual(1 + 1, {})\n"
)


def test_unittest_in_folders_that_are_no_packages(check: Verify) -> None:
    files = {"tests/unit/test_a.py": UNITTEST.format(2), "tests/slow/test_b.py": UNITTEST.format(2)}
    assert check(files)["unittest"].summary == "Ran 2 tests"


def test_one_red_folder_of_unittests_among_green_ones_is_red(check: Verify) -> None:
    files = {"tests/a/test_a.py": UNITTEST.format(3), "tests/b/test_b.py": UNITTEST.format(2)}
    result = check(files)["unittest"]
    assert result.status == "failed"
    assert "2 != 3" in result.summary


def test_unittests_of_which_none_run_are_not_green(check: Verify) -> None:
    result = check({"test_none.py": "import unittest\n\nclass Helper:\n    pass\n"})["unittest"]
    assert result.status == "failed"


ENDS_IT = "import os\n\nprint('1 passed')\nos._exit(0)\n"


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"pytest.py": "print('1 passed')\n"}, "without pytest's report"),
        ({"argparse.py": ENDS_IT}, "without pytest's report"),
        ({"calc.py": "import os, atexit\n\natexit.register(os._exit, 0)\n"}, "its report tells of 1 failed"),
        ({"pytest.ini": "[pytest]\naddopts = --co\n"}, "no test ran"),
        ({".honk/pytest.xml": '<testsuite tests="1"/>', "pytest.py": "print('1 passed')\n"}, "without pytest's report"),
    ],
    ids=["stand-in", "ended", "other end", "only collected", "committed report"],
)
def test_pytest_that_ends_well_is_green_only_if_its_report_says_so(
    check: Verify, files: dict[str, str], reason: str
) -> None:
    test = "import pytest\nimport calc\n\n\ndef test_sum():\n    assert calc.__name__ == 'sum'\n"
    result = check({"calc.py": "", "test_calc.py": test} | files)["pytest"]
    assert result.status == "failed"
    assert reason in result.summary


def test_a_unittest_that_does_not_say_how_many_ran_is_not_green(check: Verify) -> None:
    test = "import unittest\n\nclass T(unittest.TestCase):\n    def test_sum(self):\n        self.fail()\n"
    assert check({"test_sum.py": test, "argparse.py": ENDS_IT})["unittest"].status == "failed"


def test_a_script_that_only_looks_like_a_test_is_no_check(check: Verify) -> None:
    assert check({"test_connection.py": "print('hello')\n"}) == {}


def test_checks_are_not_run_after_a_configured_set_up_failed(check: Verify) -> None:
    results = check({"honk.yaml": "setup: exit 3\nverify: {mine: 'true'}\n"})
    assert results["set-up"].status == "failed"
    assert results["mine"].summary == "Not run, because the set-up failed."


def test_a_check_without_network_is_told_where_to_ask_for_it(check: Verify) -> None:
    line = "python3 -c 'import socket; socket.getaddrinfo(\"elsewhere.example\", 443)'"
    result = check({"honk.yaml": f"verify:\n  mine: |\n    {line}\n"})["mine"]
    assert "It has no network: name the hosts it needs under `egress`" in result.summary


@_needs("make")
def test_a_make_target_that_another_one_runs_is_not_run_twice(check: Verify) -> None:
    results = check({"Makefile": ".PHONY: check test\ncheck: all\nall: test\ntest:\n\t@true\n"})
    assert list(results) == ["make check"]


def test_the_whole_output_of_a_check_can_be_followed_and_a_stop_ends_it(
    home: Path, make_repository: Callable[..., Path]
) -> None:
    repo = make_repository({"a": "b"})
    repository = Repository("project", str(repo), str(repo), "main")
    workspaces = Workspaces(read_settings(home=home))
    file = parse_repository_file("verify: {first: echo one, second: 'echo two; sleep 600', third: echo three}")
    heard: list[tuple[str, str]] = []
    conditions = Conditions(
        log=lambda name, chunk: heard.append((name, chunk)), stop=lambda: any("two" in chunk for _, chunk in heard)
    )
    one_by_one = threading.Semaphore(1)
    with workspaces.checkout(repository, workspaces.fetch(repository)) as checkout, pytest.raises(Cancelled):
        verify(checkout, file, conditions, turns=one_by_one)
    assert ("second", "two\n") in heard


def test_user_namespaces_are_for_repositories_that_ask_for_them(check: Verify) -> None:
    asking = "sandbox: {nested: true}\nverify: {nested: unshare --user true}\n"
    assert check({"honk.yaml": asking})["nested"].status == "passed"


def test_user_namespaces_are_not_for_others(check: Verify) -> None:
    assert check({"honk.yaml": "verify: {nested: unshare --user true}\n"})["nested"].status == "failed"
