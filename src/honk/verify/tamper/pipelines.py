"""What runs the checks: the CI's configuration, scripts, hooks and the settings of test runners."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from honk.model import Finding, Severity
from honk.verify.tamper import paths
from honk.verify.tamper.commands import (
    LEFT_OUT,
    NARROW,
    NOTHING,
    RUNS,
    lines,
    same_narrowing,
    stands,
    unversioned,
)
from honk.verify.tamper.facts import Mark
from honk.verify.tamper.flattening import Configured, NotFlat, changed_lists, changed_values, flat
from honk.verify.tamper.reporting import finding

_CHECKS = re.compile(
    r"(^|/)(honk\.ya?ml|noxfile\.py|tox\.(ini|toml)|\.pre-commit-config\.ya?ml|lefthook\.ya?ml|\.lintstagedrc[^/]*|lint-staged\.config\.\w+|pytest\.ini|\.?pytest\.toml|jest\.config\.\w+|vitest\.(config|workspace)\.\w+"
    r"|karma\.conf\.\w+|\.mocharc[^/]*|cypress\.config\.\w+|playwright\.config\.\w+|phpunit\.xml[^/]*|\.mvn/maven\.config|\.cargo/config(\.toml)?|\.bazelrc|CODEOWNERS|\.taprc)$|(^|/)\.husky/[^/]+$|(^|/)\.githooks/"
)
_SCRIPT = re.compile(
    r"^scripts\.(pre|post)?(test|lint|check|typecheck|type-check|types|build|format|fmt|coverage|verify|validate|ci|e2e|unit|integration|tsc|prettier|eslint)\b[\w:.-]*$|^(lint-staged|husky|pre-commit)\b"
)
_PYTHON = re.compile(
    r"^tool\.(pytest|tox|hatch\.envs|pdm\.scripts|poe|taskipy|poetry\.scripts\.test|nox|uv\.scripts)\b"
)
_HONK = re.compile(r"^(verify|setup)\b")
_JUDGING = re.compile(r"^(judge|tamper|protect|merge\.(approvals|already_red|require_trial))\b")
"""What honk.yaml says of how changes are judged, and by whom."""
_INI = re.compile(r"^(tox|testenv\S*|pytest|tool:pytest|flake8:local-plugins)\b")
_DECIDES = re.compile(
    r"\bcollect_ignore(_glob)?\b|pytest_ignore_collect|\.add_marker\(.*skip|items\.clear\(\)|items\[:\]\s*="
    r"|\boutcome\s*=(?!=)|exitstatus\s*=\s*0|def pytest_(pyfunc_call|runtestloop|runtest_protocol|cmdline_main)\b"
)
_MAY_DECIDE = re.compile(r"def pytest_(collection_modifyitems|runtest_call)\b")
_ASIDE = re.compile(r"\.(filterwarnings|markers|log_\w+|asyncio_\w+|minversion|xfail_strict|junit_\w+|timeout)$")
_COVERAGE = re.compile(r"coverage|threshold|\b(lines|branches|functions|statements)\b", re.IGNORECASE)


def reconfigured(files: Iterable[Configured]) -> Iterator[Finding]:
    """Findings about changes of what runs the checks."""
    files = list(files)
    others = [one for one in files if one.before is None and (_CHECKS.search(one.path) or paths.is_ci(one.path))]
    for one in files:
        if one.before == one.after:
            continue
        if paths.is_ci(one.path) or paths.is_ci(one.old_path):
            yield from _whole_file(one, "ci-changed", "The CI's configuration", bool(others))
        elif re.fullmatch(r"honk\.ya?ml", one.path) and one.before is not None and one.after is not None:
            yield from _honk_yaml(one)
        elif _CHECKS.search(one.path) or _CHECKS.search(one.old_path):
            yield from _whole_file(one, "checks-changed", "The configuration of what runs the checks", bool(others))
        elif one.path.endswith("package.json"):
            yield from _settings(one, _SCRIPT)
        elif one.path.endswith("pyproject.toml"):
            yield from _settings(one, _PYTHON)
        elif one.path.endswith("setup.cfg"):
            yield from _settings(one, _INI)
        elif re.search(r"(^|/)pom\.xml$|\.gradle(\.kts)?$|(^|/)gradle\.properties$", one.path):
            yield from _left_out(one)
        elif one.path.endswith("conftest.py"):
            yield from _collecting(one)


def _whole_file(one: Configured, kind: str, what: str, elsewhere: bool) -> Iterator[Finding]:
    if one.before is None:
        less = [
            mark for mark in lines("", one.after or "")[1] if kind == "checks-changed" and LEFT_OUT.search(mark.text)
        ]
        told = "leaves out some of what was checked" if less else "is new"
        yield finding(kind, "serious" if less else "note", one.path, less[0] if less else None, f"{what} {told}.")
        return
    if one.after is None or not (paths.is_ci(one.path) if kind == "ci-changed" else _CHECKS.search(one.path)):
        yield finding(kind, "warning" if elsewhere else "serious", one.path, None, f"{what} is deleted.")
        return
    gone, added = lines(one.before, one.after)
    if kind == "checks-changed":
        # What is asked of coverage is looked at elsewhere.
        gone, added = ([mark for mark in marks if not _COVERAGE.search(mark.text)] for marks in (gone, added))
    if not gone and not added:
        return
    first = added[0] if added else gone[0]
    lost = [mark for mark in gone if RUNS.search(mark.text) and not stands(mark.text, added)]
    narrowed = [
        mark for mark in added if NARROW.search(mark.text) and not any(same_narrowing(mark, old) for old in gone)
    ]
    off = [
        mark
        for mark in added
        if re.search(
            r"^\s*-?\s*if:\s*(\$\{\{\s*)?(false|never\(\))|when:\s*(never|manual)\b|enabled:\s*false|condition:\s*false",
            mark.text,
        )
    ]
    if off:
        yield finding(kind, "serious", one.path, off[0], f"{what} switches a part of itself off.")
    elif lost:
        replaced = elsewhere or sum(bool(RUNS.search(mark.text)) for mark in added) >= len(lost)
        severity: Severity = "warning" if replaced else "serious"
        yield finding(kind, severity, one.path, Mark(first.line, lost[0].text), f"{what} runs a check no longer.")
    elif narrowed:
        yield finding(kind, "serious", one.path, narrowed[0], f"{what} leaves out some of what was checked.")
    elif triggers := [
        mark
        for mark in gone
        if re.match(r"\s*-?\s*[\"']?(pull_request\w*|push|merge_group|schedule)[\"']?\s*:?", mark.text)
        and not stands(mark.text, added)
    ]:
        yield finding(
            kind, "serious", one.path, Mark(first.line, triggers[0].text), f"{what} is started by fewer events."
        )
    elif [unversioned(mark.text) for mark in gone] == [unversioned(mark.text) for mark in added]:
        yield finding(kind, "note", one.path, first, f"{what} names other versions.")
    elif not gone:
        yield finding(
            kind, "note" if kind == "checks-changed" else "warning", one.path, first, f"{what} has more in it."
        )
    else:
        yield finding(kind, "warning", one.path, first, f"{what} is changed.")


def _settings(one: Configured, keys: re.Pattern[str]) -> Iterator[Finding]:
    if one.before is None or one.after is None:
        return
    try:
        old, new = flat(one.old_path, one.before), flat(one.path, one.after)
    except NotFlat:
        return
    if old is None or new is None:
        return
    for path, was, now in changed_values(old, new):
        if keys.search(path) and was is not None and not _ASIDE.search(path):
            yield _setting(one, path, was, now)
        elif keys.search(path) and LEFT_OUT.search(now or ""):
            yield _less(one, path, now or "")
    for path, gone, added in changed_lists(old, new):
        less = [item for item in added if LEFT_OUT.search(item)]
        if keys.search(path) and path not in old.lists and less:
            yield _less(one, path, less[0])
        if keys.search(path) and path in old.lists and not _ASIDE.search(path):
            narrowed = [item for item in added if NARROW.search(item)]
            severity: Severity = "serious" if narrowed else "warning" if gone else "note"
            shown = (narrowed or added or gone)[0]
            message = f"`{path}` leaves out some of what was checked." if narrowed else f"`{path}` is changed."
            yield finding("checks-changed", severity, one.path, _find(one.after, shown), message)


def _honk_yaml(one: Configured) -> Iterator[Finding]:
    """What later changes will be checked and judged by. Each check is compared with what it was, so that one that does
    nothing any more is not taken for another that runs as much."""
    found = [*_settings(one, _HONK), *_judging(one)]
    yield from found or _whole_file(one, "checks-changed", "The configuration of what runs the checks", False)


def _judging(one: Configured) -> Iterator[Finding]:
    try:
        old, new = flat(one.old_path, one.before or ""), flat(one.path, one.after or "")
    except NotFlat:
        return
    if old is None or new is None:
        return
    values = [(path, now or was or "") for path, was, now in changed_values(old, new)]
    lists = [(path, gone[0]) for path, gone, _ in changed_lists(old, new) if gone]
    for path, shown in [*values, *lists]:
        if _JUDGING.search(path):
            message = f"`{path}` is changed, by which later changes are judged."
            yield finding("checks-changed", "serious", one.path, _find(one.after or "", shown), message)


def _less(one: Configured, path: str, shown: str) -> Finding:
    where = _find(one.after or "", shown)
    return finding("checks-changed", "serious", one.path, where, f"`{path}` leaves out some of what was checked.")


def _setting(one: Configured, path: str, was: str, now: str | None) -> Finding:
    name, after = path.split(".", 1)[-1], one.after or ""
    if now is None:
        return finding(
            "checks-changed",
            "serious" if RUNS.search(was) else "warning",
            one.path,
            Mark(0, was),
            f"`{name}` is gone.",
        )
    where = _find(after, now)
    if NOTHING.match(now) and not NOTHING.match(was):
        return finding("checks-changed", "serious", one.path, where, f"`{name}` does nothing any more.")
    lost = {found.group() for found in RUNS.finditer(was)} - {found.group() for found in RUNS.finditer(now)}
    if NARROW.search(now) and not same_narrowing(Mark(0, now), Mark(0, was)):
        return finding("checks-changed", "serious", one.path, where, f"`{name}` leaves out some of what was checked.")
    if lost and len(now) < len(was):
        return finding("checks-changed", "serious", one.path, where, f"`{name}` runs `{sorted(lost)[0]}` no longer.")
    same = unversioned(was) == unversioned(now)
    return finding("checks-changed", "note" if same else "warning", one.path, where, f"`{name}` is changed.")


def _find(text: str, wanted: str) -> Mark:
    first = wanted.split("\n", 1)[0].strip()
    for number, line in enumerate(text.split("\n"), 1):
        if first and (first in line or first in line.replace('\\"', '"')):
            return Mark(number, line.strip())
    return Mark(0, first)


def _left_out(one: Configured) -> Iterator[Finding]:
    """A build that leaves tests out."""
    if one.before is None or one.after is None:
        return
    gone, added = lines(one.before, one.after)
    for mark in added:
        if NARROW.search(mark.text) and not any(same_narrowing(mark, old) for old in gone):
            yield finding("checks-changed", "serious", one.path, mark, "The build leaves out some of what was checked.")


def _no_tests(text: str) -> bool:
    """Whether a line leaves out single modules that are no tests, such as setup.py."""
    found = re.fullmatch(r"collect_ignore\s*\+?=\s*\[([^\]]*)\]", text)
    items = [item.strip(" \"'") for item in found[1].split(",")] if found else []
    return bool(items) and all(item.endswith(".py") and not re.search(r"test|[*?+({]", item) for item in items)


def _collecting(one: Configured) -> Iterator[Finding]:
    """A conftest.py that leaves tests out, or says how they end."""
    if one.after is None:
        return
    _, added = lines(one.before or "", one.after)
    message = "What pytest collects, or how it ends, is changed here."
    if decides := next((mark for mark in added if _DECIDES.search(mark.text) and not _no_tests(mark.text)), None):
        yield finding("checks-changed", "serious", one.path, decides, message)
    elif may := next((mark for mark in added if _MAY_DECIDE.search(mark.text)), None):
        yield finding("checks-changed", "warning", one.path, may, message)
