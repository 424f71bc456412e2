"""Make and just: their usual targets, for the kinds of checks that nothing else in the repository does."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from honk.verify.plan import Kind, LeftOut, Plan, Verifier, named
from honk.verify.tree import Tree, folder, ours, within

_MAKEFILES = ("GNUmakefile", "makefile", "Makefile")
"""As make looks for them."""
_JUSTFILES = ("justfile", "Justfile", ".justfile")
MARKERS = (*_MAKEFILES, *_JUSTFILES)
_TARGETS: Mapping[str, Kind] = {
    "format-check": "format",
    "check-format": "format",
    "fmt-check": "format",
    "lint": "lint",
    "typecheck": "types",
    "type-check": "types",
    "check": "test",
    "test": "test",
}
_RULE = re.compile(r"^([A-Za-z][\w \t.-]*?)[ \t]*::?(?!=)([^\n;#]*)(?:;([^\n]*))?$")
_RECIPE = re.compile(r"^@?([A-Za-z_][\w-]*)((?:[ \t]+[^:=\s]+(?:=(?:'[^']*'|\"[^\"]*\"|\S+))?)*)[ \t]*:(?!=)([^\n#]*)$")
_WORDS = re.compile(r"&&|\|\||[;|]")
_PROGRAM = re.compile(r"[A-Za-z][\w.+-]*")
_LINE = 500
"""Characters of a line that are looked at."""
_OF_THE_SHELL = frozenset(
    {
        *(
            "cd",
            "echo",
            "test",
            "if",
            "then",
            "else",
            "elif",
            "fi",
            "for",
            "do",
            "done",
            "while",
            "until",
            "case",
            "esac",
        ),
        *("set", "export", "true", "false", "exit", "exec", "command", "source", "printf", "read", "shift", "trap"),
        *("unset", "wait", "eval", "umask", "type", "make", "just", "time", "env", "sudo"),
    }
)


@dataclass
class _Target:
    asks: set[str] = field(default_factory=set)
    lines: list[str] = field(default_factory=list)


def add_make(tree: Tree, plan: Plan, everything: Sequence[Verifier], changed: Collection[str] | None) -> Plan:
    """The plan with the targets of Makefiles and justfiles whose kind of check is not in `everything`, what the
    repository would be checked by as a whole."""
    verifiers, left_out = list(plan.verifiers), list(plan.left_out)
    for place in make_places(tree, everything):
        if changed is not None and not any(within(path, place) for path in changed):
            continue
        others = [one for one in everything if within(one.directory, place)]
        made = _make(tree, place)
        # What a Makefile does, a justfile beside it is not asked for again.
        for one, doing_it in [
            *((one, others) for one in made),
            *((one, [*others, *made]) for one in _just(tree, place)),
        ]:
            if doing := list(dict.fromkeys(other.name for other in doing_it if other.kind == one.kind)):
                told = f"{', '.join(doing[:3])}{' and others' if doing[3:] else ''} "
                left_out.append(LeftOut(one.name, told + ("does that" if len(doing) == 1 else "do that")))
            else:
                verifiers.append(one)
    return replace(plan, verifiers=verifiers, left_out=left_out)


def make_places(tree: Tree, everything: Sequence[Verifier]) -> list[str]:
    """The repository's own folder, and others that nothing above them checks."""
    found: list[str] = []
    places = {folder(path) for path in tree.named(*MARKERS) if ours(path)}
    for place in sorted(places, key=lambda one: (one != ".", one.count("/"), one)):
        above = [*found, *(one.directory for one in everything if one.directory != place)]
        if place == "." or not any(within(place, one) for one in above):
            found.append(place)
    return found


def _make(tree: Tree, place: str) -> list[Verifier]:
    path = tree.first(place, *_MAKEFILES)
    return _verifiers("make", path, place, _make_targets(tree.text(path))) if path else []


def _just(tree: Tree, place: str) -> list[Verifier]:
    path = tree.first(place, *_JUSTFILES)
    return _verifiers("just", path, place, _just_recipes(tree.text(path))) if path else []


def _verifiers(program: str, path: str, place: str, targets: Mapping[str, _Target]) -> list[Verifier]:
    wanted = [name for name in _TARGETS if name in targets]
    covered = {part for name in wanted for part in _reached(targets, name) - {name}}
    return [
        Verifier(
            named(f"{program} {name}", place),
            f"{program} {name}",
            f"{path} has the target {name}",
            place,
            needs=(program, *_programs(targets, name)),
            kind=_TARGETS[name],
        )
        for name in wanted
        if name not in covered
    ]


def _make_targets(text: str) -> dict[str, _Target]:
    """A Makefile's targets, what each asks for directly, and its recipe."""
    found: dict[str, _Target] = {}
    names: list[str] = []
    for line in (line[:_LINE] for line in text.replace("\\\n", " ").splitlines()):
        if line.startswith("\t"):
            for name in names:
                found[name].lines.append(line.strip().lstrip("@-+"))
        elif rule := _RULE.match(line):
            names = rule[1].split()
            for name in names:
                target = found.setdefault(name, _Target())
                target.asks.update(rule[2].split())
                target.lines += [rule[3].strip()] if rule[3] else []
        elif line and not line.startswith("#"):
            names = []
    return found


def _just_recipes(text: str) -> dict[str, _Target]:
    """A justfile's recipes that can be run without saying more."""
    found: dict[str, _Target] = {}
    current: _Target | None = None
    for line in (line[:_LINE] for line in text.splitlines()):
        if line[:1] in (" ", "\t"):
            if current is not None:
                current.lines.append(line.strip().lstrip("@-"))
        elif recipe := _RECIPE.match(line):
            needy = any("=" not in one and not one.startswith("*") for one in recipe[2].split())
            asks = {one.strip("()") for one in recipe[3].replace("&&", " ").split()}
            current = _Target(asks)
            if not needy:
                found[recipe[1]] = current
        elif line.strip() and not line.startswith(("#", "[")):
            current = None
    return found


def _reached(targets: Mapping[str, _Target], name: str) -> set[str]:
    """A target and those that it asks for or calls, directly or not."""
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        here = waiting.pop()
        if here not in seen and here in targets:
            seen.add(here)
            waiting += targets[here].asks
            for line in targets[here].lines:
                waiting += [
                    one
                    for call in re.findall(r"(?:\bjust|\bmake|\$[({]MAKE[)}])((?: +[\w-]+)+)", line)
                    for one in call.split()
                ]
    return seen


def _programs(targets: Mapping[str, _Target], name: str) -> Iterator[str]:
    """The programs that a target's recipes begin their lines with, unless they install something first."""
    lines = [line for one in sorted(_reached(targets, name)) for line in targets[one].lines]
    if any("install" in line for line in lines):
        return
    found: dict[str, None] = {}
    for part in (part for line in lines for part in _WORDS.split(line)):
        words = [word for word in part.split() if not re.fullmatch(r"\w+=\S*", word)]
        if words and _PROGRAM.fullmatch(words[0]) and words[0] not in _OF_THE_SHELL:
            found[words[0]] = None
    yield from found
