"""Tools of the checks that come from elsewhere than from a registry, and settings of theirs that others hide."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from honk.model import ChangedFile, Finding, Severity
from honk.verify.tamper.around import Sides
from honk.verify.tamper.flattening import Configured, NotFlat, Settings, changed_values, flat, place
from honk.verify.tamper.reporting import finding

_NODE = re.compile(
    r"(^|\.)(dependencies|devDependencies|optionalDependencies|overrides|resolutions|patchedDependencies)\."
    r"(?P<name>(\*\*/)?(@(jest|vitest|playwright|biomejs|typescript-eslint|ava|web|wdio)/[\w-]+|jest(-[\w-]+)?|vitest"
    r"|mocha|ava|tap|tape|uvu|jasmine|karma|cypress|playwright|eslint|prettier|typescript|nyc|c8|oxlint|stylelint)"
    r"(@[^/]*)?)$"
)
_ELSEWHERE = re.compile(
    r"^((file|link|portal|exec|patch|npm|git|git\+\w+|github|gitlab|bitbucket|https?|ssh):|\.{0,2}/|[\w-]+/[\w.-]+)"
)
_PYTHON = re.compile(
    r"^tool\.(uv\.sources|poetry\.(dev-)?(dependencies|group\.[^.]+\.dependencies))\.[\"']?(?P<name>_?pytest[\w-]*"
    r"|coverage|mypy|pyright|ruff|black|flake8|pylint|tox|nox|hypothesis|pluggy|iniconfig)[\"']?\.(path|git|url)$"
)
_PREFERRED: Mapping[str, Sequence[tuple[str, str]]] = {
    "mypy": (("mypy.ini", "mypy."), (".mypy.ini", "mypy."), ("pyproject.toml", "tool.mypy."), ("setup.cfg", "mypy.")),
    "ruff": ((".ruff.toml", ""), ("ruff.toml", ""), ("pyproject.toml", "tool.ruff.")),
    "pyright": (("pyrightconfig.json", ""), ("pyproject.toml", "tool.pyright.")),
    "flake8": (("setup.cfg", "flake8."), ("tox.ini", "flake8."), (".flake8", "flake8.")),
    "coverage": (
        (".coveragerc", ""),
        ("setup.cfg", "coverage:"),
        ("tox.ini", "coverage:"),
        ("pyproject.toml", "tool.coverage."),
    ),
}
"""Where tools look for settings, by name; only the first that has any is read."""
_CHECKS_MORE = re.compile(
    r"strict|disallow|warn_|check_|no_implicit|enable|select|plugins?$|fail_under|branch$|report[A-Z]|typeCheckingMode|max-|complexity"
)


def fetched_otherwise(one: Configured) -> Iterator[Finding]:
    """Findings about tools of the checks that are taken from a folder, a repository or under another name."""
    name = one.path.rpartition("/")[2]
    if one.after is None or name not in {"package.json", "pyproject.toml"}:
        return
    try:
        old, new = (
            flat(one.path, text or ("{}" if name == "package.json" else "")) for text in (one.before, one.after)
        )
    except NotFlat:
        return
    shape = _NODE if name == "package.json" else _PYTHON
    for path, was, now in changed_values(old or Settings(), new or Settings()):
        found = shape.search(path)
        away = now and (name == "pyproject.toml" or _ELSEWHERE.match(now))
        if found and away and not (was and _ELSEWHERE.match(was)):
            message = f"`{found['name']}`, which checks are run with, comes from elsewhere: `{now}`."
            yield finding("checks-changed", "serious", one.path, place(one.after, path, now), message)


def hidden(changed: Sequence[ChangedFile], sides: Sides) -> Iterator[Finding]:
    """Findings about settings of a tool's that stand and are read no longer, for a file that is preferred is new."""
    for one in changed:
        folder, _, name = one.path.rpartition("/")
        for tool, order in _PREFERRED.items():
            if one.after is None or one.before is not None or name not in {file for file, _ in order}:
                continue
            at = next(number for number, (file, _) in enumerate(order) if file == name)
            new = _told(one.path, sides.after.get(one.path, ""), order[at][1])
            for file, prefix in order[at + 1 :]:
                path = f"{folder}/{file}".lstrip("/")
                stood = _told(path, sides.before.get(path, ""), prefix)
                still = _told(path, sides.after.get(path, ""), prefix)
                if not stood or (not new and order[at][1] not in {"", "mypy."}):
                    continue
                lost = [key for key, value in still.items() if new.get(key, "").lower() != value.lower()]
                if lost and not any(key.rpartition(".")[2] == "extend" for key in new):
                    yield _lost(tool, one.path, path, lost)
                break


def _lost(tool: str, path: str, other: str, lost: Sequence[str]) -> Finding:
    more = next((key for key in lost if _CHECKS_MORE.search(key)), None)
    severity: Severity = "serious" if more else "warning"
    kind = "coverage-lowered" if tool == "coverage" else "rule-switched-off"
    message = f"{tool} reads this in place of {other}, whose `{more or lost[0]}` counts no longer."
    return finding(kind, severity, path, None, message)


def _told(path: str, text: str, prefix: str) -> dict[str, str]:
    if not text:
        return {}
    try:
        settings = flat(path, text) or Settings()
    except NotFlat:
        return {}
    every = settings.values | {name: "\n".join(items) for name, items in settings.lists.items()}
    return {name.removeprefix(prefix): value for name, value in every.items() if name.startswith(prefix)}
