"""Files that would run in place of the tools that check: they lie where a tool is looked for first."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

from honk.model.changes import ChangedFile, Finding, Severity
from honk.verify.tamper import paths
from honk.verify.tamper.reporting import finding

_PYTHON_TOOLS = {
    "_pytest",
    "coverage",
    "django",
    "mypy",
    "pluggy",
    "pytest",
    "sitecustomize",
    "unittest",
    "usercustomize",
}
# A folder of that name holds a project's own tests more often than it hides Python's.
_PYTHONS_OWN = sys.stdlib_module_names - {"test"}
_MODULE = re.compile(r"^(?P<folders>(?:[^/]+/)*?)(?P<name>\w+)(?:\.py|/__(?:init|main)__\.py)$")
_LINKS = {"120000", "160000"}
_INSTALLED = re.compile(r"(^|/)(node_modules|\.?venv|site-packages)/")
_WRAPPERS = {"gradlew": re.compile(r"gradle-wrapper\.jar|GradleWrapperMain"), "mvnw": re.compile(r"maven", re.I)}
_SHELL = re.compile(rb"^\s*(script-shell|node-options|shell)\s*=", re.MULTILINE)
_RUNNER = re.compile(rb"^\s*[\"']?(runner|rustc|rustc-wrapper|rustc-workspace-wrapper)[\"']?\s*=", re.MULTILINE)
_TEST_MAIN = re.compile(rb"^func TestMain\([^)]*\) *\{((?:[^\n]*(?=\}$))|\n.*?(?=^\}))", re.MULTILINE | re.DOTALL)
_EXITS = re.compile(rb"\bos\.Exit\(\s*([^\n]*)")


def standing_in(file: ChangedFile) -> Iterator[Finding]:
    """Findings about a file that is new, or new in this, and would run when a check starts its tool."""
    if file.after is None or paths.is_data(file.path):
        return
    if file.before is None or file.old_path not in {None, file.path}:
        yield from _module(file)
        if _INSTALLED.search(file.path):
            message = "What lies here runs as if it had been installed, in place of what the checks are meant to run."
            yield finding("checks-changed", "serious", file.path, None, message)
    name = file.path.rpartition("/")[2]
    if name in _WRAPPERS and file.before is not None:
        starts = _WRAPPERS[name].search
        if starts(file.before.decode("utf-8", "replace")) and not starts(file.after.decode("utf-8", "replace")):
            message = f"`{name}` no longer starts the build tool that the checks run."
            yield finding("checks-changed", "serious", file.path, None, message)
    for places, what, message in _SETTINGS:
        if places.search(file.path) and what.search(file.after) and not what.search(file.before or b""):
            yield finding("checks-changed", "serious", file.path, None, message)
    if name.endswith("_test.go") and _runs_none(file.after) and not _runs_none(file.before or b""):
        message = "`TestMain` runs no tests, or ends with 0 whatever they say."
        yield finding("checks-changed", "serious", file.path, None, message)


_SETTINGS = (
    (re.compile(r"(^|/)\.npmrc$"), _SHELL, "Another program runs the scripts of package.json, or runs before them."),
    (re.compile(r"(^|/)\.cargo/config(\.toml)?$"), _RUNNER, "Another program runs the tests, or compiles them."),
)


def _runs_none(text: bytes) -> bool:
    found = _TEST_MAIN.search(text)
    if not found:
        return False
    exits = _EXITS.findall(found[1])
    return b".Run(" not in found[1] or (bool(exits) and all(one.startswith(b"0") for one in exits))


def _module(file: ChangedFile) -> Iterator[Finding]:
    """`python3 -m TOOL` takes what lies in the folder that it is started in first. Which folders those are is not seen
    here: the repository's root always is one."""
    # What a link leads to may be a package.
    path = f"{file.path}/__main__.py" if file.mode_after in _LINKS else file.path
    found = _MODULE.match(path)
    if not found:
        return
    name, root = found["name"], not found["folders"]
    if name in _PYTHON_TOOLS and (root or not path.endswith("__init__.py")):
        severity: Severity = "serious" if root else "warning"
    elif root and name in _PYTHONS_OWN:
        severity = "warning"
    else:
        return
    message = f"Where `{name}` is imported or run, this may run in its place: by what runs the checks, too."
    yield finding("checks-changed", severity, file.path, None, message)
