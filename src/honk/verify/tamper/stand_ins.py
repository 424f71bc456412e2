"""Files that would run in place of the tools that check: they lie where a tool is looked for first."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence

from honk.model import ChangedFile, Finding, Severity
from honk.verify.tamper import paths
from honk.verify.tamper.around import Sides
from honk.verify.tamper.import_path import ImportPath, import_path
from honk.verify.tamper.reporting import finding

_RUNNERS = {"_pytest", "pluggy", "pytest", "unittest"}
_TOOLS = _RUNNERS | {
    *("anyio", "black", "coverage", "django", "flake8", "hypothesis", "iniconfig", "mypy", "nox", "pylint", "pyright"),
    *("pytest_asyncio", "pytest_cov", "pytest_django", "pytest_mock", "pytest_randomly", "pytest_timeout", "ruff"),
    *("tox", "xdist"),
}
_AT_START = {"sitecustomize", "usercustomize"}
_FROZEN = {"abc", "codecs", "genericpath", "io", "ntpath", "os", "posixpath", "runpy", "stat", "zipimport"}
"""Of these Python has a copy within itself, which it prefers."""
# A folder of that name holds a project's own tests more often than it hides Python's.
_PYTHONS_OWN = sys.stdlib_module_names - set(sys.builtin_module_names) - _FROZEN - {"test", "site"}
_LOADED = {
    *("argparse", "ast", "bz2", "collections", "contextlib", "copy", "copyreg", "dataclasses", "difflib", "dis"),
    *("encodings", "enum", "fnmatch", "functools", "gettext", "heapq", "importlib", "inspect", "keyword", "linecache"),
    *("locale", "lzma", "opcode", "operator", "pprint", "re", "reprlib", "shutil", "signal", "textwrap", "token"),
    *("tokenize", "traceback", "types", "warnings", "weakref", "zlib"),
} | _RUNNERS
"""What unittest and pytest have imported, and so is not looked for again, before they look for tests."""
_MODULE = re.compile(
    r"^(?P<folders>(?:[^/]+/)*?)(?P<name>\w+)(?:\.pyc?|(?:\.[\w-]+)?\.(?:so|pyd)|/__(?P<inner>init|main)__\.pyc?)$"
)
_LINKS = {"120000", "160000"}
_INSTALLED = re.compile(r"(^|/)(node_modules|\.?venv|site-packages)/")
_TEST_MAIN = re.compile(rb"^func TestMain\([^)]*\) *\{((?:[^\n]*(?=\}$))|\n.*?(?=^\}))", re.MULTILINE | re.DOTALL)
_EXITS = re.compile(rb"\bos\.Exit\(\s*([^\n]*)")


def standing_in(changed: Sequence[ChangedFile], sides: Sides) -> Iterator[Finding]:
    """Findings about files that are new, or new in this, and would run when a check starts its tool."""
    looked_in: ImportPath | None = None
    for file in changed:
        if file.after is None:
            continue
        appeared = file.before is None or file.old_path not in {None, file.path}
        if appeared and _names_a_tool(file):
            looked_in = looked_in or import_path(sides.paths, sides.after, known=sides.known)
            yield from _module(file, looked_in)
        if _INSTALLED.search(file.path) and not paths.is_data(file.path) and file.before != file.after:
            message = "What lies here runs as if it had been installed, in place of what the checks are meant to run."
            yield finding("checks-changed", "serious" if appeared else "warning", file.path, None, message)
        if _leaves_all_out(file.path, file.before or b"", file.after):
            message = "`TestMain` runs no tests, or ends with 0 whatever they say."
            yield finding("checks-changed", "serious", file.path, None, message)
    yield from _uncovered(changed, sides)


def _leaves_all_out(path: str, before: bytes, after: bytes) -> bool:
    return path.endswith("_test.go") and not paths.is_data(path) and _runs_none(after) and not _runs_none(before)


def _runs_none(text: bytes) -> bool:
    found = _TEST_MAIN.search(text)
    if not found:
        return False
    exits = _EXITS.findall(found[1])
    return b".Run(" not in found[1] or (bool(exits) and all(one.startswith(b"0") for one in exits))


def _as_module(path: str, mode: str | None) -> re.Match[str] | None:
    # What a link leads to may be a package.
    package = mode in _LINKS and "." not in path.rpartition("/")[2]
    return _MODULE.match(f"{path}/__init__.py" if package else path)


def _names_a_tool(file: ChangedFile) -> bool:
    found = _as_module(file.path, file.mode_after)
    return found is not None and found["name"] in _TOOLS | _AT_START | _PYTHONS_OWN | {"site"}


def _module(file: ChangedFile, looked_in: ImportPath) -> Iterator[Finding]:
    found = _as_module(file.path, file.mode_after)
    if not found:
        return
    name, folder = found["name"], found["folders"].rstrip("/")
    why = taken(name, folder, looked_in, data=paths.is_data(file.path))
    if why:
        message = f"Where `{name}` is imported or run, this runs in its place: {why}."
        yield finding("checks-changed", "serious", file.path, None, message)
    elif (name in _TOOLS | _AT_START and not found["inner"] and not paths.is_data(file.path)) or (
        not folder and name in _PYTHONS_OWN and name not in _TOOLS
    ):
        severity: Severity = "warning"
        message = f"Where `{name}` is imported or run, this may run in its place: by what runs the checks, too."
        yield finding("checks-changed", severity, file.path, None, message)


def taken(name: str, folder: str, looked_in: ImportPath, *, data: bool = False) -> str | None:
    """Why Python takes a module of this name from this folder before its own or the installed one; None if it does
    not. `data`: the folder holds what tests read, and counts only where a setting names it."""
    why = None
    if name in _AT_START:
        why = looked_in.at_start.get(folder)
    elif name == "site":
        why = looked_in.told.get(folder)
    elif name in _TOOLS or name in _PYTHONS_OWN:
        why = looked_in.first.get(folder) or looked_in.told.get(folder)
        if why is None and name not in _LOADED:
            why = looked_in.configured.get(folder) or (None if data else looked_in.collected.get(folder))
        if why is None and name in _TOOLS:
            why = looked_in.at_start.get(folder)
    return why


def _uncovered(changed: Sequence[ChangedFile], sides: Sides) -> Iterator[Finding]:
    """What stood where nobody looked for it, and is looked for there now."""
    moved = [one for one in changed if one.after != one.before]
    candidates = [
        found
        for path in sides.stood
        if (found := _MODULE.match(path)) and found["name"] in _TOOLS | _AT_START | _PYTHONS_OWN and path.count("/") < 8
    ]
    if not moved or not candidates or not any(re.search(r"python_?path", text, re.I) for text in _texts(moved)):
        return
    before = import_path(sides.stood, sides.before, known=sides.known)
    after = import_path(sides.paths, sides.after, known=sides.known)
    for found in sorted(candidates, key=lambda one: one.string):
        name, folder, data = found["name"], found["folders"].rstrip("/"), paths.is_data(found.string)
        why = taken(name, folder, after, data=data)
        if why and not taken(name, folder, before, data=data):
            at = next((one.path for one in moved if one.path in why), moved[0].path)
            message = f"`{found.string}` runs in place of `{name}` from now on: {why}."
            yield finding("checks-changed", "serious", at, None, message)
            return


def _texts(changed: Sequence[ChangedFile]) -> Iterator[str]:
    for one in changed:
        if re.search(r"\.(toml|ini|cfg|ya?ml)$|akefile|ustfile", one.path):
            yield (one.after or b"")[:100_000].decode("utf-8", "replace")
