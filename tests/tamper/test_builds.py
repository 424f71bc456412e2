"""Builds that test less than they did: .NET, Bazel, cargo-nextest."""

from __future__ import annotations

import pytest

from honk.verify.tamper import guard_each
from tests.tamper.table import changed, held_up

PROPS = """\
<Project>
  <PropertyGroup>
    <TreatWarningsAsErrors>true</TreatWarningsAsErrors>
    <Nullable>enable</Nullable>
    <NoWarn>$(NoWarn);CS1591</NoWarn>
    <LangVersion>13</LangVersion>
  </PropertyGroup>
</Project>
"""
NEXTEST = """\
[profile.default]
fail-fast = false
retries = 0
[profile.ci]
slow-timeout = "60s"
"""
BUILD = """\
load("@rules_python//python:defs.bzl", "py_test")

py_test(
    name = "prices_test",
    srcs = ["prices_test.py"],
    tags = ["small"],
)
test_suite(
    name = "all_tests",
    tests = [":prices_test", ":taxes_test"],
)
py_binary(name = "tool", srcs = ["tool.py"])
"""
BAZELRC = "build --jobs=4\ntest --test_output=errors\n"
FILES = {
    "Directory.Build.props": PROPS,
    "src/Prices/Prices.csproj": PROPS,
    ".config/nextest.toml": NEXTEST,
    "prices/BUILD.bazel": BUILD,
    "MODULE.bazel": 'bazel_dep(name = "rules_python", version = "1.0")\n',
    ".bazelrc": BAZELRC,
}
END = "  </PropertyGroup>"
HELD = {
    "no project of tests": ("src/Prices/Prices.csproj", END, f"<IsTestProject>false</IsTestProject>\n{END}"),
    "a filter": ("Directory.Build.props", END, f"<VSTestTestCaseFilter>Name!=Slow</VSTestTestCaseFilter>\n{END}"),
    "other settings of a run": ("Directory.Build.props", END, f"<RunSettingsFilePath>q</RunSettingsFilePath>\n{END}"),
    "another step": ("Directory.Build.props", "</Project>", '<Target Name="VSTest" />\n</Project>'),
    "tests left out": ("src/Prices/Prices.csproj", "</Project>", '<Compile Remove="SlowTests.cs" />\n</Project>'),
    "a filter for nextest": (".config/nextest.toml", "retries = 0", "default-filter = 'not test(slow)'"),
    "another program for nextest": (
        ".config/nextest.toml",
        "[profile.ci]",
        "[scripts.wrapper.quiet]\ncommand = './quiet'\n[profile.ci]",
    ),
    "a test by name only": ("prices/BUILD.bazel", '["small"]', '["small", "manual"]'),
    "a test for no platform": (
        "prices/BUILD.bazel",
        'tags = ["small"]',
        'target_compatible_with = ["@platforms//:incompatible"]',
    ),
    "a test with a filter": ("prices/BUILD.bazel", 'tags = ["small"]', 'args = ["-k", "price"]'),
    "a suite with fewer": ("prices/BUILD.bazel", ', ":taxes_test"', ""),
    "a test that is gone": (
        "prices/BUILD.bazel",
        'py_test(\n    name = "prices_test",\n    srcs = ["prices_test.py"],\n    tags = ["small"],\n)\n',
        "",
    ),
    "tags that are left out": (".bazelrc", "errors\n", "errors\ntest --test_tag_filters=-slow\n"),
    "tests that are left out": (".bazelrc", "errors\n", "errors\ntest --test_filter=-SlowTest\n"),
    "another runner": (".bazelrc", "errors\n", "errors\ntest:ci --run_under=//tools:quiet\n"),
}
FREE = {
    "another version of C#": ("Directory.Build.props", ">13<", ">14<"),
    "more rules": ("Directory.Build.props", END, f"<EnableNETAnalyzers>true</EnableNETAnalyzers>\n{END}"),
    "a warning that is let pass": ("Directory.Build.props", ";CS1591", ";CS1591;CS8618"),
    "what a comment says": ("Directory.Build.props", END, f"<!-- <IsTestProject>false</IsTestProject> -->\n{END}"),
    "more time for nextest": (".config/nextest.toml", "60s", "120s"),
    "a try more": (".config/nextest.toml", "retries = 0", "retries = 2"),
    "a new test": ("prices/BUILD.bazel", "py_binary", 'py_test(name = "a_test", srcs = ["a_test.py"])\npy_binary'),
    "a tool by name only": ("prices/BUILD.bazel", '["tool.py"]', '["tool.py"], tags = ["manual"]'),
    "a tag that says something": ("prices/BUILD.bazel", '["small"]', '["small", "requires-network"]'),
    "more at once": (".bazelrc", "jobs=4", "jobs=8"),
    "a configuration of another name": (".bazelrc", "errors\n", "errors\ntest:quick --test_size_filters=small\n"),
    "another module": ("MODULE.bazel", "\n", '\nbazel_dep(name = "rules_go", version = "0.5")\n'),
}
RULES = [
    ("<TreatWarningsAsErrors>true", "<TreatWarningsAsErrors>false"),
    ("<Nullable>enable", "<Nullable>disable"),
]


@pytest.fixture(scope="module")
def found():
    edits = HELD | FREE
    changes = []
    for path, old, new in edits.values():
        assert old in FILES[path], old
        changes.append([changed(path, FILES[path], FILES[path].replace(old, new, 1))])
    return dict(zip(edits, guard_each(changes), strict=True))


@pytest.mark.parametrize("name", HELD)
def test_a_build_that_tests_less_waits_for_a_person(name, found):
    assert held_up(found[name]), found[name]


@pytest.mark.parametrize("name", FREE)
def test_a_build_that_tests_as_much_is_free(name, found):
    assert not any(one.severity == "serious" for one in found[name]), found[name]


def test_a_build_that_complains_less_is_a_rule_switched_off():
    looked = guard_each([[changed("Directory.Build.props", PROPS, PROPS.replace(old, new, 1))] for old, new in RULES])

    assert [held_up(findings, "rule-switched-off") for findings in looked] == [True, True]


def test_a_test_target_that_goes_with_its_test_is_the_test_s_matter():
    without = BUILD.replace(BUILD[BUILD.index("py_test(") : BUILD.index("test_suite")], "")
    change = [
        changed("prices/BUILD.bazel", BUILD, without),
        changed("prices/prices_test.py", "def test_price():\n    assert price(1) == 1\n", None),
    ]
    (findings,) = guard_each([change])

    assert not held_up(findings)
    assert held_up(findings, "test-deleted")


def test_a_file_of_bazel_s_that_cannot_be_read_is_said_not_to_be():
    broken = BUILD.replace('["small"]', '["small", "manual"]') + "py_test(\n"
    (findings,) = guard_each([[changed("prices/BUILD.bazel", BUILD, broken)]])

    assert held_up(findings)
    assert "not-read" in {one.kind for one in findings}
