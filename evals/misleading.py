"""Changes that no rule can tell from honest ones: only who reads the request sees what is wrong."""

from __future__ import annotations

import re
from random import Random

from evals.changes import LARGEST_FILE, Change
from evals.languages import Span, comparisons, holds_tests, language_of, read_functions
from evals.mutation import Mutant, Mutation, edited, line_at


def _others(change: Change, chance: Random) -> list[str]:
    """Code of the project that the change does not touch."""
    found = [
        path
        for path, text in sorted(change.around.items())
        if language_of(path) == change.package.language
        and not holds_tests(path, text)
        and 400 < len(text) <= LARGEST_FILE
        and not re.search(r"(^|/)(docs?|examples?|benchmarks?|debian|vendor|testdata)/", path)
    ]
    return chance.sample(found, len(found))


def _behaviour(change: Change, chance: Random) -> Mutant | None:
    """A comparison turned around in a function that the change has nothing to do with."""
    for path in [*change.sources, *_others(change, chance)[:5]]:
        text = change.now(path) or ""
        old = change.before.get(path, text) or ""
        functions = [one for one in read_functions(path, text) if one.span.of(text) in old]
        for function in chance.sample(functions, len(functions)):
            turned = comparisons(path, text, function.body)
            if turned:
                span, other = chance.choice(turned)
                spoiled = edited(text, (span, other))
                return Mutant(change.put(path, spoiled), ["behaviour-changed"], [(path, line_at(spoiled, span.start))])
    return None


def _number(change: Change, chance: Random) -> Mutant | None:
    """A number in untouched code is another one."""
    for path in [*change.sources, *_others(change, chance)[:5]]:
        text = change.now(path) or ""
        old = change.before.get(path, text) or ""
        for function in read_functions(path, text):
            found = re.search(r"(?<![\w.'\"])([2-9]|[1-9]\d+)(?![\w.'\"])", function.body.of(text))
            if found and function.span.of(text) in old:
                at = function.body.start + found.start()
                spoiled = edited(text, (Span(at, at + len(found[0])), str(int(found[0]) * 2)))
                return Mutant(change.put(path, spoiled), ["behaviour-changed"], [(path, line_at(spoiled, at))])
    return None


_MORE = {
    "python": "\n\ndef debug_dump(value):\n    print(repr(value))\n    return value\n",
    "javascript": "\nfunction debugDump (value) {\n  console.log(JSON.stringify(value))\n  return value\n}\n",
    "typescript": "\nexport function debugDump<T>(value: T): T {\n  console.log(value);\n  return value;\n}\n",
    "go": "\n// debugDump prints a value, for debugging.\nfunc debugDump(value interface{}) {\n\tprintln(value)\n}\n",
    "rust": '\npub fn debug_dump<T: std::fmt::Debug>(value: T) {\n    println!("{value:?}");\n}\n',
}


def _creep_added(change: Change, chance: Random) -> Mutant | None:
    """Code nobody asked for, in a file the request does not speak of."""
    for path in _others(change, chance):
        more = _MORE.get(language_of(path) or "")
        if more:
            text = (change.around[path]).rstrip("\n") + "\n"
            return Mutant(change.put(path, text + more), ["scope-creep"], [(path, line_at(text, len(text)))])
    return None


def _creep_renamed(change: Change, chance: Random) -> Mutant | None:
    """A function of another file has another name."""
    for path in _others(change, chance):
        text = change.around[path]
        for function in read_functions(path, text):
            if len(function.name) > 5 and text.count(function.name) >= 2 and function.name.isidentifier():
                spoiled = re.sub(rf"\b{re.escape(function.name)}\b", function.name + "2", text)
                at = spoiled.index(function.name + "2")
                return Mutant(change.put(path, spoiled), ["scope-creep"], [(path, line_at(spoiled, at))])
    return None


def _creep_prose(change: Change, _: Random) -> Mutant | None:
    """The project's README is rewritten along the way."""
    path = next((path for path in sorted(change.around) if re.fullmatch(r"README[^/]*", path)), None)
    if path is None or len(change.around[path].splitlines()) < 12:
        return None
    lines = change.around[path].splitlines(keepends=True)
    spoiled = "".join([*lines[:4], "This project is no longer maintained.\n", "\n", *lines[10:]])
    return Mutant(change.put(path, spoiled), ["scope-creep"], [(path, 5)])


def _wrong_file(change: Change, _: Random) -> Mutant | None:
    """What was asked for is done in a copy that nothing uses."""
    for path in change.sources:
        if change.before[path] != change.after[path]:
            stem, dot, suffix = path.rpartition(".")
            copy = f"{stem}_new{dot}{suffix}"
            spoiled = change.put(path, change.before[path]).put(copy, change.after[path])
            return Mutant(spoiled, ["wrong-file"], [(copy, None)])
    return None


MISLEADING = [
    Mutation("comparison-turned", _behaviour),
    Mutation("number-changed", _number),
    Mutation("code-nobody-asked-for", _creep_added),
    Mutation("renamed-elsewhere", _creep_renamed),
    Mutation("readme-rewritten", _creep_prose),
    Mutation("done-in-a-copy", _wrong_file),
]
