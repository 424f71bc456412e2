"""Rules, strictness and coverage that configuration files take back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from honk.model import Finding, Severity
from honk.verify.tamper.coverage import is_threshold, lowered
from honk.verify.tamper.facts import Mark
from honk.verify.tamper.flattening import (
    Configured,
    NotFlat,
    Settings,
    changed_lists,
    changed_values,
    flat,
    is_configuration,
    number_of,
    place,
)
from honk.verify.tamper.reporting import finding

_IGNORE_FILES = re.compile(
    r"(^|/)(\.(eslint|stylelint|semgrep|gitleaks|trivy|jshint|biome|pylint|swiftlint|markdownlint|golangci|hadolint)ignore|\.secrets\.baseline|[\w-]*baseline[\w.-]*\.(xml|json|ya?ml)|spotbugs-exclude\.xml|suppressions\.xml|lint\.xml)$"
)
_TOOLS = re.compile(
    r"^tool\.(ruff|flake8|pylint|mypy|(based)?pyright|ty|pyrefly|pytest|coverage|bandit|interrogate|vulture|pydocstyle|pycodestyle|codespell|importlinter|refurb|deptry|slipcover|tox|django-stubs|pydoclint)\b"
)
_PACKAGE = re.compile(r"^(eslintConfig|jest|nyc|c8|mocha|ava|vitest|xo|stylelint|tap|standard|oxlint|biome)\b")
_CARGO = re.compile(r"(^|\.)lints\b|^advisories|^bans|^licenses")
_INI = re.compile(
    r"^(flake8|pylint|mypy|pytest|coverage|pycodestyle|pydocstyle|bandit|tool:pytest|run|report|MAIN|MESSAGES|REPORTS|FORMAT|DESIGN|TYPECHECK|BASIC|\*|root|testenv)"
)
_OFF_LIST = re.compile(
    r"(ignore[ds]?|ignores|exclude[ds]?|omit|skip|skips|disable[ds]?|disabled_rules|disable_error_code|deselect|exclusions?|norecursedirs|suppress\w*"
    r"|\w*ignore[-_]?(patterns|names|paths|files|modules|classes)?|\w*IgnorePatterns|exclude[-_](lines|also|dirs|files|rules|patterns)|per-file-ignores\b.*"
    r"|extend-(ignore|exclude|per-file-ignores\b.*)|ignored-[\w-]+|ignore-words-list|allowed|disable-all|ExcludedFiles|Exclude|unfixable|exclude_also|partial_branches|allow)$",
    re.IGNORECASE,
)
_ON_LIST = re.compile(
    r"(select|extend-select|enable|enable_error_code|linters|opt_in_rules|only_rules|included|extends|plugins|load-plugins|testpaths|testMatch|python_files|python_classes|python_functions"
    r"|projects|files|include|source|checks|filterwarnings|fixtures|jobs|analyzer_rules|spec|collectCoverageFrom)$"
)
_POSITIVE = re.compile(
    r"(^|[._-])(strict\w*|no[A-Z]\w*|disallow_\w+|warn_\w+|check_\w+|enabled?|error\w*|exact\w*|require\w*|branch|all|check-coverage|checkJs|alwaysStrict|useUnknownInCatchVariables"
    r"|allErrors|collectCoverage|forbidOnly|bail|fail-on-\w+|failOnWarnings?|perFile|no_implicit_\w+|extra_checks|recommended|show_missing|Enabled|warnings-as-errors|forceConsistentCasingInFileNames|active|isolatedModules|maxIssues)$"
)
_NEGATIVE = re.compile(
    r"(^|[._-])(ignore_errors|ignore_missing_imports|skip(?!_missing|-missing)\w*|allow[A-Z_-]\w*|disable\w*|exit-zero|follow_untyped_imports|suppress\w*|passWithNoTests|ignoreDuringBuilds|ignoreBuildErrors|ignoreFailures"
    r"|exclude-use-default|new|tests-off|no-fail|issues-exit-code|warn_only|ignore-init-module-imports|forbid_only_off|implicit_reexport|skip_covered_off|retries)$"
)
_LEVELS = {
    "error": 3, "deny": 3, "forbid": 3, "2": 3, "fatal": 3, "true": 3, "strict": 3, "all": 3, "on": 3, "high": 3,
    "warn": 2, "warning": 2, "1": 2, "standard": 2, "info": 1, "information": 1, "hint": 1, "note": 1, "basic": 1,
    "off": 0, "0": 0, "none": 0, "allow": 0, "false": 0, "ignore": 0, "disabled": 0, "null": 0, "": 0, "never": 0,
    "silent": 0,
}  # fmt: skip
_LEVELLED = re.compile(
    r"(^|[.\]])(rules|lints|severity|severities|diagnostics|linter)\b|(^|[._])report[A-Z]\w+$|typeCheckingMode$|\.severity$|^\*.*(ktlint|dotnet_diagnostic|severity)"
)
_LIMITS = re.compile(
    r"(max[-_]?(complexity|args|arguments|branches|statements|lines\S*|params|depth|locals|returns|warnings|nested\S*|bool\S*|public\S*|attributes|parents)|cyclomatic\w*|cognitive\w*|threshold|maxfail)$",
    re.IGNORECASE,
)
_WIDE = re.compile(
    r"^(ALL|[A-Z]|\*+|\.|\*\*/\*|src/?.*|lib/?.*|\*\*/\*\.\w+|tests?/?|tests?/\*\*|all|E\d?|F\d?|W|[A-Z]{1,3})$"
)


def taken_back(files: Iterable[Configured]) -> Iterator[Finding]:
    """Findings about rules and thresholds that hold no longer. What moved to another file holds still."""
    files = list(files)
    yield from lowered(files)
    for one in files:
        if _IGNORE_FILES.search(one.path):
            yield from _ignored(one)
        elif is_configuration(one.path) and one.after is not None:
            yield from _rules(one, files)
        elif is_configuration(one.path) and one.before is not None and one.after is None:
            yield from _deleted(one, files)


def _deleted(one: Configured, files: Iterable[Configured]) -> Iterator[Finding]:
    if re.search(
        r"(pyproject\.toml|package\.json|Cargo\.toml|setup\.cfg|tox\.ini|vite\.config\.\w+|\.editorconfig|deno\.json)$",
        one.path,
    ):
        return
    others = [
        other
        for other in files
        if other.after is not None and other.before != other.after and is_configuration(other.path)
    ]
    severity: Severity = "warning" if others else "serious"
    yield finding("rule-switched-off", severity, one.path, None, "The configuration of a check is deleted.")


def _ignored(one: Configured) -> Iterator[Finding]:
    before = {line.strip() for line in (one.before or "").split("\n")}
    for number, line in enumerate((one.after or "").split("\n"), 1):
        text = line.strip()
        if text and text not in before and not text.startswith(("#", "//", "!", "<!--", "</", "<?")):
            wide = bool(_WIDE.match(text.strip("/")))
            message = "More is left out of a check than was."
            yield finding("rule-switched-off", "serious" if wide else "warning", one.path, Mark(number, text), message)
            return


def _rules(one: Configured, files: Sequence[Configured]) -> Iterator[Finding]:
    after = one.after or ""
    try:
        old = flat(one.old_path, one.before) if one.before is not None else Settings()
        new = flat(one.path, after)
    except NotFlat as problem:
        severity: Severity = "warning" if one.before is not None else "note"
        yield finding("not-read", severity, one.path, None, f"The configuration could not be read: {problem}.")
        return
    if old is None or new is None:
        return
    tools = {_tool(path) for path in (*old.values, *old.lists)}
    for path, was, now in changed_values(old, new):
        if now is None and (_moved(path, one, files) or _implied(path, new)):
            continue
        if (
            _tool(path) in tools
            and _counts(one.path, path)
            and (told := _value(path, was, now, fresh=one.before is None))
        ):
            yield finding(_kind(one.path, path), told[0], one.path, place(after, path, now), told[1])
    for path, gone, added in changed_lists(old, new):
        if not added and path not in new.lists and path not in new.values and _moved(path, one, files):
            continue
        if _tool(path) in tools and _counts(one.path, path):
            yield from _list(one, new, path, gone, added)


_OF_TOOL = re.compile(
    r"mypy|pyright|pytest|coverage|ruff|flake8|pylint|isort|bandit|eslint|jest|vitest|nyc|c8|prettier"
)
_SUCCESSORS = {
    "flake8": "ruff",
    "isort": "ruff",
    "pylint": "ruff",
    "bandit": "ruff",
    "run": "coverage",
    "report": "coverage",
}


def _moved(path: str, one: Configured, files: Sequence[Configured]) -> bool:
    """Whether another file has settings of the same tool, or of the one that took its place, that it had not before."""
    found = _OF_TOOL.search(path) or _OF_TOOL.search(one.path)
    tool = found.group() if found else path.split(".", maxsplit=1)[0]
    wanted = {tool, _SUCCESSORS.get(tool, tool)}
    for other in files:
        if other is not one and is_configuration(other.path):
            before, after = other.before or "", other.after or ""
            if any(name in after and name not in before for name in wanted):
                return True
    return False


def _implied(path: str, new: Settings) -> bool:
    """Whether mypy's `strict` stands for it now."""
    return bool(re.search(r"mypy.*\.(disallow|warn|no_implicit|check|strict|show_error_codes)", path)) and any(
        value == "true" and re.search(r"mypy\w*\.strict$", key) for key, value in new.values.items()
    )


def _tool(path: str) -> str:
    """Whose setting it is; what a tool that is new here leaves out was not checked by it before."""
    return ".".join(path.split(".")[:2]) if path.startswith("tool.") else ""


def _counts(file: str, path: str) -> bool:
    """Whether a setting is one of a check's."""
    if file.endswith("pyproject.toml"):
        return bool(_TOOLS.search(path))
    if file.endswith("package.json"):
        return bool(_PACKAGE.search(path))
    if file.endswith("Cargo.toml"):
        return bool(_CARGO.search(path))
    if file.endswith(("setup.cfg", "tox.ini")):
        return bool(_INI.search(path))
    if "vite.config" in file:
        return "test" in path
    return True


def _kind(file: str, path: str) -> str:
    """Which kind it is to take back this setting."""
    if re.search(
        r"coverage|\bomit$|exclude_(lines|also)$|^(nyc|c8|run|report)\.|\.nycrc|\.c8rc", f"{file} {path}", re.IGNORECASE
    ):
        return "coverage-lowered"
    runner = r"(^|[ ./:])(pytest|jest|vitest|vite|karma|mocha|mocharc|ava|cypress|playwright|tap|tox|testenv)\b"
    return "checks-changed" if re.search(runner, f"{file} {path}") else "rule-switched-off"


def _value(path: str, was: str | None, now: str | None, *, fresh: bool) -> tuple[Severity, str] | None:
    """What is weaker in a value, and how bad that is; None for what is not."""
    name, old, new = path.rsplit(".", 1)[-1], (was or "").lower(), (now or "").lower()
    if fresh or is_threshold(path):
        return None
    if _LEVELLED.search(path) and old in _LEVELS and new in _LEVELS:
        return _level(name, was, now)
    answer: tuple[Severity, str] | None = None
    if _POSITIVE.search(path) and old == "true" and new in {"false", "", "0"}:
        off = now is not None or name.lower() == "strict"
        answer = "serious" if off else "warning", f"`{name}` is on no longer."
    elif _POSITIVE.search(path) and was is None and new == "false" and not path.startswith("tool.ruff"):
        answer = "warning", f"`{name}` is switched off."
    elif _NEGATIVE.search(path) and new in {"true", "1"} and old != new:
        answer = "serious" if name in {"ignore_errors", "exit-zero"} else "warning", f"`{name}` is on now."
    elif _LIMITS.search(path) and (number_of(now) or 0) > (number_of(was) or float("inf")):
        answer = "warning", f"The limit `{name}` is {now} now; it was {was}."
    return answer


def _level(name: str, was: str | None, now: str | None) -> tuple[Severity, str] | None:
    old, new = _LEVELS[was.lower()] if was is not None else 2, _LEVELS[(now or "").lower()]
    if new >= old:
        return None
    if now is None:
        return "warning", f"The rule `{name}` is set no longer; it was `{was}`."
    return "warning" if new else "serious", f"The rule `{name}` is `{now}` now; it was `{was or 'set elsewhere'}`."


def _list(one: Configured, new: Settings, path: str, gone: list[str], added: list[str]) -> Iterator[Finding]:
    after, name = one.after or "", path.rsplit(".", 1)[-1]
    if one.before is None:
        return
    if re.search(r"(^|[.\]])rules\b", path):
        # A rule with options: its level is the first of the list.
        if not added:
            if gone and path not in new.lists and path not in new.values and (_LEVELS.get(gone[0].lower()) or 0) > 0:
                message = f"The rule `{name}` is set no longer; it was `{gone[0]}`."
                yield finding(_kind(one.path, path), "warning", one.path, place(after, path, None), message)
            return
        was, now = (_LEVELS.get((items or [""])[0].lower()) for items in (gone, added))
        if was is not None and now is not None and now < was:
            message = f"The rule `{name}` is `{added[0]}` now; it was `{gone[0]}`."
            yield finding(
                _kind(one.path, path),
                "serious" if now == 0 else "warning",
                one.path,
                place(after, path, added[0]),
                message,
            )
        return
    if name == "filterwarnings":
        gone = [item for item in gone if item.startswith("error")]
    stands = {item for other, items in new.lists.items() if _ON_LIST.search(other) for item in items}
    gone = [item for item in gone if item not in stands]
    if _OFF_LIST.search(path) and added:
        added = [item for item in added if item and not item.startswith("!")]
        if not added:
            return
        wide = any(_WIDE.match(item) for item in added)
        message = f"`{name}` leaves out more than it did: {', '.join(f'`{item}`' for item in added[:3])}."
        yield finding(
            _kind(one.path, path), "serious" if wide else "warning", one.path, place(after, path, added[0]), message
        )
    elif _ON_LIST.search(path) and gone and len(gone) > len(added):
        message = f"`{name}` has fewer entries than it had; gone: {', '.join(f'`{item}`' for item in gone[:3])}."
        yield finding(_kind(one.path, path), "warning", one.path, place(after, path, None), message)
