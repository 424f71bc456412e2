"""Named commands that checks run: targets of Makefiles and justfiles, sessions of nox, environments of tox."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from honk.model import Finding, Severity
from honk.verify.tamper.around import Sides
from honk.verify.tamper.commands import NARROW, NOTHING, RUNS, code, unversioned
from honk.verify.tamper.facts import Mark
from honk.verify.tamper.flattening import Configured, NotFlat, Settings, flat, place
from honk.verify.tamper.reporting import finding

_CHECKING = re.compile(
    r"^[\w./-]*(test|unit|spec|e2e|lint|check|verify|ci|cover|format|typecheck|mypy|validate|build)[\w./-]*$",
    re.IGNORECASE,
)
_MAKE = re.compile(r"^(?P<names>[\w./-][\w./ -]*?)\s*::?(?![=:])(?P<needs>[^\n]*)$")
_JUST = re.compile(r"^@?(?P<names>[A-Za-z_][\w-]*)(\s+[^:\n]*?)?\s*:(?!=)(?P<needs>[^\n]*)$")
_SHELL = r"(?!(\S*env (-S )?)?(\S*/)?(ba|z|da|k|fi|nu)?sh\b|pwsh|powershell|cmd)"
_SETS = r"^\s*(override\s+|export\s+)*"
_WHOLE = (
    (re.compile(rf"{_SETS}SHELL\s*[:?]?=\s*{_SHELL}\S"), "Another program runs"),
    (re.compile(rf"^set\s+(windows-)?shell\s*:=\s*\[\s*[\"']{_SHELL}"), "Another program runs"),
    (re.compile(rf"{_SETS}MAKEFLAGS\s*[:+?]?=.*(?<!\w)(-\w*[int]|--(ignore-errors|dry-run|just-print|touch))\b"),
     "Failures are ignored, or nothing is run, in"),
    (re.compile(r"^\.IGNORE\s*:"), "Failures are ignored in"),
)  # fmt: skip
_ORDER = (("GNUmakefile", "makefile", "Makefile"), ("justfile", "Justfile", ".justfile"))
"""Names of files of the same kind, those that are preferred first."""
_TOX = re.compile(r"^testenv[^.]*\.commands$")
_TOX_TOML = re.compile(r"^(?P<name>(tool\.tox\.)?(env_run_base|env\.[^.]+)\.commands)\[")


_LONGEST = 2_000
"""Characters of a line in which a target is looked for."""


@dataclass
class _Target:
    line: int
    needs: str
    commands: list[str] = field(default_factory=list)


def emptied(one: Configured, sides: Sides) -> Iterator[Finding]:
    """Findings about named commands that run less than they did."""
    name = one.path.rpartition("/")[2]
    if one.after is not None and name == "noxfile.py":
        yield from _sessions(one)
    elif one.after is not None and re.fullmatch(r"tox\.(ini|toml)|setup\.cfg|pyproject\.toml", name):
        yield from _environments(one)
    elif re.search(r"akefile[^/]*$|\.mk$|ustfile$", one.path):
        yield from _targets(_preferred(one, sides))
        yield from _as_a_whole(one)


def _preferred(one: Configured, sides: Sides) -> Configured:
    """A new file that is read in place of another says what that one said before."""
    folder, _, name = one.path.rpartition("/")
    for order in _ORDER:
        if one.before is None and name in order:
            for other in order[order.index(name) + 1 :]:
                path = f"{folder}/{other}".lstrip("/")
                if path in sides.before and not re.search(rf"^-?s?(include|import)\b.*{other}", one.after or "", re.M):
                    return replace(one, before=sides.before[path])
    return one


def _targets(one: Configured) -> Iterator[Finding]:
    form = _JUST if "ustfile" in one.path else _MAKE
    before, after = _recipes(one.before or "", form), _recipes(one.after or "", form)
    for name, old in before.items():
        new = after.get(name)
        if new is None:
            where = Mark(old.line, f"{name}:")
            yield finding("checks-changed", "serious", one.path, where, f"The target `{name}` is gone.")
        elif (new.needs, new.commands) != (old.needs, old.commands):
            severity = _less(old, new)
            less = "runs less than it did" if severity == "serious" else "is changed"
            yield finding(
                "checks-changed", severity, one.path, Mark(new.line, f"{name}:"), f"The target `{name}` {less}."
            )


def _less(old: _Target, new: _Target) -> Severity:
    recipe, now = [old.needs, *old.commands], [new.needs, *new.commands]
    lost = _run_in(recipe) - _run_in(now)
    narrowed = any(NARROW.search(text) for text in now if text not in recipe)
    needed = {word for word in set(old.needs.split()) - set(new.needs.split()) if _CHECKING.match(word)}
    moved = set(new.needs.split()) - set(old.needs.split())
    # A target that another one does the work of still needs that one.
    dropped = needed and not (moved or len(new.commands) > len(old.commands))
    hollow = _works(old.commands) and not _works(new.commands) and not moved
    if lost or narrowed or dropped or hollow:
        return "serious"
    plain, plain_now = [unversioned(text) for text in recipe], [unversioned(text) for text in now]
    fresh = [text for text in new.commands if text not in old.commands]
    more = set(plain[1:]) <= set(plain_now[1:]) and set(old.needs.split()) <= set(new.needs.split())
    ends = any(NOTHING.match(text.lstrip("@+-")) or "exit" in text for text in fresh)
    return "note" if plain == plain_now or (more and not ends) else "warning"


def _works(commands: Sequence[str]) -> bool:
    return any(not NOTHING.match(text.lstrip("@+-")) for text in commands)


def _run_in(texts: Iterable[str]) -> set[str]:
    return {found.group() for text in texts for found in RUNS.finditer(text)}


def _recipes(text: str, form: re.Pattern[str]) -> dict[str, _Target]:
    """Targets that check. Of several with commands for the same target the last counts; what they need adds up."""
    found: dict[str, _Target] = {}
    current: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith(("\t", "  ")):
            for name in current:
                found[name].commands.append(code(line))
        elif len(line) <= _LONGEST and (target := form.match(line)):
            current = [name for name in target["names"].split() if _CHECKING.match(name)]
            needs, _, command = code(target["needs"]).partition(";")
            for name in current:
                known = found.get(name)
                found[name] = _Target(number, " ".join([*(known.needs if known else "").split(), *needs.split()]))
                if command:
                    found[name].commands.append(command.strip())
                elif known and not _has_commands(text, number):
                    found[name] = replace(known, needs=found[name].needs)
        elif line.strip() and not line.startswith("#"):
            current = []
    return found


def _has_commands(text: str, number: int) -> bool:
    """Whether commands stand below a line of a Makefile or justfile, by its number."""
    below = text.split("\n")[number : number + 1]
    return bool(below) and below[0].startswith(("\t", "  "))


def _as_a_whole(one: Configured) -> Iterator[Finding]:
    """Settings of a Makefile or justfile by which no command counts any more."""
    known = set((one.before or "").split("\n"))
    for number, line in enumerate((one.after or "").split("\n"), 1):
        for shape, message in _WHOLE:
            if line not in known and shape.search(line):
                yield finding(
                    "checks-changed", "serious", one.path, Mark(number, line.strip()), f"{message} all of its commands."
                )


def _sessions(one: Configured) -> Iterator[Finding]:
    before, after = _parsed(one.before or ""), _parsed(one.after or "")
    if before is None or after is None:
        return
    for name, old in before.items():
        new = after.get(name)
        if new is not None and _calls(old) and not _calls(new):
            where = Mark(new.lineno, f"def {new.name}")
            yield finding("checks-changed", "serious", one.path, where, f"The session `{name}` runs nothing any more.")
    known = {ast.dump(node) for session in before.values() for node in ast.walk(session)}
    for session in after.values():
        for node in ast.walk(session):
            if isinstance(node, ast.keyword) and node.arg == "success_codes" and ast.dump(node) not in known:
                where = Mark(node.value.lineno, f"success_codes={ast.unparse(node.value)}")
                yield finding("failure-ignored", "serious", one.path, where, "A failure of this no longer counts.")


def _parsed(text: str) -> dict[str, ast.FunctionDef] | None:
    """The functions of a noxfile that are sessions, by name; None for what is no Python."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return {
        node.name: node
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and any("session" in ast.unparse(mark) for mark in node.decorator_list)
    }


def _calls(session: ast.FunctionDef) -> bool:
    """Whether anything is called before it returns or skips whatever comes."""
    for statement in session.body:
        text = ast.unparse(statement)
        if isinstance(statement, ast.Return | ast.Raise) or re.match(r"\w+\.(skip|error)\(|(sys\.)?exit\(", text):
            return isinstance(statement, ast.Return) and ".run" in text
        if not re.match(r"\w+\.(install|log|debug|warn|conda_install|chdir|cd)\(", text) and any(
            isinstance(node, ast.Call) and not re.match(r"(print|\w+\.(install|log|warn))$", ast.unparse(node.func))
            for node in ast.walk(statement)
        ):
            return True
    return False


def _environments(one: Configured) -> Iterator[Finding]:
    try:
        old = flat(one.old_path, one.before or "") or Settings()
        new = flat(one.path, one.after or "") or Settings()
    except NotFlat:
        return
    was, now = _commands(old), _commands(new)
    every = [*new.values, *new.lists]
    for path, commands in was.items():
        left = now.get(path, [])
        section = path.rpartition(".")[0]
        stands = any(one.startswith(f"{section}.") for one in every)
        if _any_works(commands) and not _any_works(left) and stands:
            message = f"The environment `{section}` runs nothing any more."
            where = place(one.after or "", path, left[0] if left else None)
            yield finding("checks-changed", "serious", one.path, where, message)
    for path, left in now.items():
        for command in left:
            plain = command.removeprefix("-").strip()
            if command.startswith("-") and (command not in was.get(path, []) and RUNS.search(plain)):
                where = place(one.after or "", path, command)
                yield finding("failure-ignored", "serious", one.path, where, "A failure of this no longer counts.")


def _commands(settings: Settings) -> dict[str, list[str]]:
    """The commands of each environment; in TOML each of them is a list of words."""
    every = {path: value.split("\n") for path, value in settings.values.items()} | settings.lists
    found: dict[str, list[str]] = {path: value for path, value in every.items() if _TOX.match(path)}
    for path, words in every.items():
        if command := _TOX_TOML.match(path):
            found.setdefault(command["name"], []).append(" ".join(words))
    return found


def _any_works(commands: Sequence[str]) -> bool:
    return any(
        not NOTHING.match(text) and not re.match(r"-?\s*python[\d.]*\s+(-V|--version|-c\s+[\"']?(pass|print)\b)", text)
        for text in commands
        if text
    )
