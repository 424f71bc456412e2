"""Settings of .NET, Bazel and cargo-nextest that leave tests out, or let them pass."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping

from honk.model import ChangedFile, Finding, Severity
from honk.verify.tamper.commands import lines
from honk.verify.tamper.facts import Mark
from honk.verify.tamper.flattening import Configured, NotFlat, Settings, changed_values, flat, number_of, place
from honk.verify.tamper.reporting import finding

_DOTNET = re.compile(
    r"(^|/)Directory\.(Build|Solution|Packages)\.(props|targets)$|\.(cs|fs|vb)proj$|\.(props|targets|runsettings)$",
    re.IGNORECASE,
)
_TAG = re.compile(r"<(?P<name>[\w.]+)(?:\s[^<>]*)?>(?P<value>[^<]*)</(?P=name)>")
_XML_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_OVERRIDDEN = re.compile(r"<Target\s[^>]*Name\s*=\s*[\"'](VSTest|Test|Build|Rebuild|Compile|CoreCompile|Restore"
                         r"|CoreBuild|_TestRunStart|RunTests|InvokeTestingPlatform)[\"']")  # fmt: skip
_REMOVED = re.compile(
    r"<(Compile|ProjectReference|None|TestProject)\s[^>]*Remove\s*=\s*[\"'][^\"']*[Tt]est[^\"']*[\"']"
)
_OFF = {"false", "none", "disable", "0", "off"}
_ON = {"true", "enable"}
_DOTNET_TESTS: Mapping[str, re.Pattern[str]] = {
    "IsTestProject": re.compile(r"false", re.IGNORECASE),
    "VSTestTestCaseFilter": re.compile(r"\S"),
    "TestCaseFilter": re.compile(r"\S"),
    "RunSettingsFilePath": re.compile(r"\S"),
    "SkipTests": re.compile(r"true", re.IGNORECASE),
    "TestingPlatformCommandLineArguments": re.compile(r"filter|--ignore-exit-code|--minimum-expected-tests 0"),
    "VSTestCLIRunSettings": re.compile(r"filter", re.IGNORECASE),
    "TreatNoTestsAsError": re.compile(r"false", re.IGNORECASE),
}
_DOTNET_RULES = re.compile(
    r"^((MSBuild|CodeAnalysis)?TreatWarningsAsErrors|RunAnalyzers\w*|EnableNETAnalyzers|EnforceCodeStyleInBuild"
    r"|AnalysisMode\w*|AnalysisLevel\w*|WarningLevel|Nullable|Features)$"
)
_DOTNET_LISTS = {"NoWarn", "WarningsNotAsErrors", "DisabledWarnings"}
_BAZEL_BUILD = re.compile(r"(^|/)(BUILD|BUILD\.bazel)$")
_BAZEL_FLAG = re.compile(
    r"^(?P<command>test|build|common|always|coverage|run)(?::(?P<config>\S+))?\s+.*?(?P<flag>--(?:(?:test_tag|build_tag"
    r"|test_lang|test_size|test_timeout)_filters|test_filter|run_under|deleted_packages|nobuild_tests\w*|notest\w*"
    r"|test_env=TESTBRIDGE_TEST_ONLY|test_arg=\S*filter|noanalyze|nobuild\b|norun_validations|runs_per_test=0"
    r"|override_module|override_repository|test_runner=\S+)\S*)"
)
_OVERRIDES = {"local_path_override", "git_override", "archive_override"}


def built_otherwise(one: Configured, changed: Mapping[str, ChangedFile]) -> Iterator[Finding]:
    """Findings about a build that tests less than it did."""
    if one.after is None or one.before == one.after:
        return
    name = one.path.rpartition("/")[2]
    if _DOTNET.search(one.path):
        yield from _dotnet(one)
    elif re.search(r"(^|/)\.config/nextest\.toml$", one.path):
        yield from _nextest(one)
    elif _BAZEL_BUILD.search(one.path) or name.endswith(".bzl"):
        yield from _bazel(one, changed)
    elif name == "MODULE.bazel":
        yield from _modules(one)
    elif name.endswith(".bazelrc"):
        yield from _bazelrc(one)
    elif name == ".bazelignore":
        for mark in lines(one.before or "", one.after)[1]:
            yield finding("rule-switched-off", "warning", one.path, mark, "Bazel sees nothing of a folder any more.")


def _dotnet(one: Configured) -> Iterator[Finding]:
    before, after = (_XML_COMMENT.sub(_blank, text or "") for text in (one.before, one.after))
    old, new = _tags(before), _tags(after)
    for name, (line, value) in new.items():
        was = old.get(name, (0, ""))[1]
        if value == was:
            continue
        where = Mark(line, f"<{name}>{value}</{name}>")
        if name in _DOTNET_TESTS and _DOTNET_TESTS[name].search(value):
            yield finding("checks-changed", "serious", one.path, where, f"`{name}` leaves out some of what was tested.")
        elif _DOTNET_RULES.match(name) and value.lower() in _OFF and (was.lower() in _ON or name not in old or was):
            severity: Severity = "serious" if was or name.endswith("AsErrors") else "warning"
            yield finding("rule-switched-off", severity, one.path, where, f"`{name}` is `{value}` now.")
        elif name in _DOTNET_LISTS and (more := set(re.split(r"[;,\s]+", value)) - set(re.split(r"[;,\s]+", was))):
            shown = ", ".join(f"`{item}`" for item in sorted(more - {"", f"$({name})"})[:3])
            if shown:
                yield finding("rule-switched-off", "warning", one.path, where, f"`{name}` has more in it: {shown}.")
    for name, (line, value) in old.items():
        if name not in new and _DOTNET_RULES.match(name) and value.lower() in _ON:
            yield finding("rule-switched-off", "warning", one.path, Mark(line, name), f"`{name}` is set no longer.")
    for shape, message in (
        (_OVERRIDDEN, "A step of the build that the checks run is replaced by another."),
        (_REMOVED, "Tests are left out of the build."),
    ):
        known = {found.group() for found in shape.finditer(before)}
        for found in shape.finditer(after):
            if found.group() not in known:
                where = Mark(after.count("\n", 0, found.start()) + 1, found.group())
                yield finding("checks-changed", "serious", one.path, where, message)


def _blank(found: re.Match[str]) -> str:
    return "\n" * found.group().count("\n")


def _tags(text: str) -> dict[str, tuple[int, str]]:
    return {
        found["name"]: (text.count("\n", 0, found.start()) + 1, found["value"].strip()) for found in _TAG.finditer(text)
    }


def _nextest(one: Configured) -> Iterator[Finding]:
    try:
        old = flat("nextest.toml", one.before or "") or Settings()
        new = flat("nextest.toml", one.after or "") or Settings()
    except NotFlat as problem:
        yield finding("not-read", "warning", one.path, None, f"The configuration could not be read: {problem}.")
        return
    for path, was, now in changed_values(old, new):
        name = path.rpartition(".")[2]
        where = place(one.after or "", path, now)
        if not now:
            continue
        if name == "default-filter" and now != "all()":
            message = "Only what fits the filter is tested, where nothing else is said."
            yield finding("checks-changed", "serious", one.path, where, message)
        elif name in {"on-timeout", "result", "flaky-result"} and now == "pass":
            yield finding("failure-ignored", "serious", one.path, where, "A failure of this no longer counts.")
        elif re.search(r"\.retries(\.count)?$", path) and (number_of(now) or 0) > (number_of(was) or 0):
            message = f"A test that fails is tried again, {now} times: what passes now and then passes."
            yield finding("checks-changed", "warning", one.path, where, message)
        elif re.search(r"(^|\.)scripts\.wrapper\.|\.run-wrapper$", path):
            yield finding("checks-changed", "serious", one.path, where, "Another program runs the tests.")


def _bazel(one: Configured, changed: Mapping[str, ChangedFile]) -> Iterator[Finding]:
    before, after = _rules(one.before or ""), _rules(one.after or "")
    if before is None or after is None:
        fewer = (one.after or "").count('"manual"') > (one.before or "").count('"manual"')
        yield finding("not-read", "warning", one.path, None, "The file could not be read as Starlark.")
        if fewer:
            yield finding("checks-changed", "serious", one.path, None, "A target is built only when it is named.")
        return
    folder = one.path.rpartition("/")[0]
    deleted = any(file.after is None and path.rpartition("/")[0].startswith(folder) for path, file in changed.items())
    fresh = after.keys() - before.keys()
    for name, old in before.items():
        new = after.get(name)
        if new is None:
            if not deleted and not fresh:
                where = Mark(old.lineno, name)
                yield finding("checks-changed", "serious", one.path, where, f"The test target `{name}` is gone.")
            continue
        yield from _less_of(one.path, name, _arguments(old), _arguments(new), new.lineno)


def _less_of(path: str, name: str, old: Mapping[str, str], new: Mapping[str, str], line: int) -> Iterator[Finding]:
    def gained(key: str, shape: str) -> bool:
        return bool(re.search(shape, new.get(key, ""))) and not re.search(shape, old.get(key, ""))

    where = Mark(line, name)
    if gained("tags", r"['\"]manual['\"]"):
        message = f"The test target `{name}` is run only when it is named: it is tagged `manual`."
        yield finding("checks-changed", "serious", path, where, message)
    if gained("target_compatible_with", r"incompatible"):
        message = f"The test target `{name}` fits no platform, and is skipped."
        yield finding("checks-changed", "serious", path, where, message)
    if gained("args", r"filter|['\"]-k\b|--deselect|--ignore") or gained("env", r"TESTBRIDGE_TEST_ONLY|PYTEST_ADDOPTS"):
        message = f"The test target `{name}` leaves out some of what was tested."
        yield finding("checks-changed", "serious", path, where, message)
    if gained("flaky", r"True"):
        message = f"The test target `{name}` is tried again when it fails: it is said to be flaky."
        yield finding("checks-changed", "warning", path, where, message)
    excluded = r"exclude\s*=\s*\[[^\]]*test"
    if gained("srcs", excluded) or (
        name and old.get("tests", "") and len(new.get("tests", "")) < len(old["tests"]) and "*" not in old["tests"]
    ):
        message = f"The test target `{name}` has fewer tests than it had."
        yield finding("checks-changed", "serious", path, where, message)


def _rules(text: str) -> dict[str, ast.Call] | None:
    """The calls that make tests, by the name of the target; None for what is no Python, which Starlark mostly is."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and re.search(r"(_tests?|^test_suite)$", ast.unparse(node.func)):
            name = _arguments(node).get("name", "").strip("\"'")
            found[name] = node
    return found


def _arguments(call: ast.Call) -> dict[str, str]:
    return {one.arg: ast.unparse(one.value) for one in call.keywords if one.arg}


def _modules(one: Configured) -> Iterator[Finding]:
    for mark in lines(one.before or "", one.after or "")[1]:
        if any(mark.text.startswith(name + "(") for name in _OVERRIDES):
            message = "A module, perhaps one by which tests are built, comes from elsewhere than from the registry."
            yield finding("checks-changed", "warning", one.path, mark, message)


def _bazelrc(one: Configured) -> Iterator[Finding]:
    gone, added = lines(one.before or "", one.after or "")
    known = {found["flag"] for mark in gone if (found := _BAZEL_FLAG.match(mark.text))}
    for mark in added:
        found = _BAZEL_FLAG.match(mark.text)
        if found and found["flag"] not in known:
            # What is only for `--config` of another name is not what the checks run.
            severity: Severity = "serious" if found["config"] in {None, "ci"} else "note"
            message = "Bazel leaves out some of what was tested, or runs it in another way."
            yield finding("checks-changed", severity, one.path, mark, message)
