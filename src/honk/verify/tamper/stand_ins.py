"""Files that would run in place of the tools that check: they lie where a tool is looked for first."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from honk.model import ChangedFile, Finding, Severity
from honk.verify.tamper import paths
from honk.verify.tamper.around import Sides
from honk.verify.tamper.import_path import ImportPath, import_path
from honk.verify.tamper.modules import AT_START, PYTHONS_OWN, TOOLS, known_module
from honk.verify.tamper.reporting import finding

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
        if appeared and known_module(file.path, file.mode_after):
            looked_in = looked_in or import_path(sides.paths, _texts(sides), known=sides.known)
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


def _module(file: ChangedFile, looked_in: ImportPath) -> Iterator[Finding]:
    found = known_module(file.path, file.mode_after)
    if not found:
        return
    name, folder = found["name"], found["folders"].rstrip("/")
    why = taken(name, folder, looked_in, data=paths.is_data(file.path))
    if why:
        message = f"Where `{name}` is imported or run, this runs in its place: {why}."
        yield finding("checks-changed", "serious", file.path, None, message)
    elif (name in TOOLS | AT_START and not found["inner"] and not paths.is_data(file.path)) or (
        not folder and name in PYTHONS_OWN and name not in TOOLS
    ):
        severity: Severity = "warning"
        message = f"Where `{name}` is imported or run, this may run in its place: by what runs the checks, too."
        yield finding("checks-changed", severity, file.path, None, message)


def taken(name: str, folder: str, looked_in: ImportPath, *, data: bool = False) -> str | None:
    """Why Python takes a module of this name from this folder before its own or the installed one; None if it does
    not. `data`: the folder holds what tests read, and counts only where a setting names it."""
    why = None
    if name in AT_START:
        why = looked_in.at_start.get(folder)
    elif name == "site":
        why = looked_in.told.get(folder)
    elif name in TOOLS or name in PYTHONS_OWN:
        why = looked_in.first.get(folder) or looked_in.told.get(folder)
        if why is None and name not in looked_in.loaded:
            why = looked_in.configured.get(folder) or (None if data else looked_in.collected.get(folder))
        if why is None and name in TOOLS:
            why = looked_in.at_start.get(folder)
    return why


def _uncovered(changed: Sequence[ChangedFile], sides: Sides) -> Iterator[Finding]:
    """What stood where nobody looked for it, and is looked for there now."""
    moved = [one for one in changed if one.after != one.before and _sets_a_path(one)]
    if not moved:
        return
    before = import_path(sides.stood, sides.before, known=sides.known)
    after = import_path(sides.paths, sides.after, known=sides.known)
    for path in sorted(sides.stood):
        found = known_module(path)
        if not found:
            continue
        name, folder, data = found["name"], found["folders"].rstrip("/"), paths.is_data(path)
        why = taken(name, folder, after, data=data)
        if why and not taken(name, folder, before, data=data):
            at = next((one.path for one in moved if one.path in why), moved[0].path)
            message = f"`{path}` runs in place of `{name}` from now on: {why}."
            yield finding("checks-changed", "serious", at, None, message)
            return


def _sets_a_path(one: ChangedFile) -> bool:
    settings = re.search(r"\.(toml|ini|cfg|ya?ml)$|akefile|ustfile", one.path)
    return bool(settings) and bool(re.search(rb"python_?path", one.after or b"", re.IGNORECASE))


def _texts(sides: Sides) -> dict[str, str]:
    """The settings after the change, but honk.yaml: the base's says how the change is checked."""
    texts = {path: text for path, text in sides.after.items() if path != "honk.yaml"}
    return texts | {path: text for path, text in sides.before.items() if path == "honk.yaml"}
