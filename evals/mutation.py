"""What every mutation is made of: a change goes in, a change of which something more is known comes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from evals.changes import Change
from evals.languages import Span, Test, parses, read_tests


@dataclass(frozen=True)
class Mutant:
    """A change and the truth about it. `places` are where a finding of the first class may point: one is enough."""

    change: Change
    classes: Sequence[str]
    places: Sequence[tuple[str, int | None]] = ()
    also: Sequence[str] = ()


Make = Callable[[Change, Random], Mutant | None]
"""Makes a mutant, or None where the change has nothing that this could be done to."""


@dataclass(frozen=True)
class Mutation:
    """One way to spoil a change, or to leave it honest. `name` is unique; `languages` empty: every one."""

    name: str
    make: Make
    languages: Sequence[str] = ()


def edited(text: str, *edits: tuple[Span, str]) -> str:
    """The text with spans replaced, none of which overlap."""
    for span, new in sorted(edits, key=lambda edit: -edit[0].start):
        text = text[: span.start] + new + text[span.end :]
    return text


def line_at(text: str, position: int) -> int:
    """The number of the line a character is on, from 1."""
    return text.count("\n", 0, position) + 1


def whole_lines(text: str, span: Span) -> Span:
    """The span from the start of its first line to behind the end of its last."""
    end = text.find("\n", span.end)
    return Span(text.rfind("\n", 0, span.start) + 1, len(text) if end < 0 else end + 1)


def indent_at(text: str, position: int) -> str:
    """The white space before the first word of a line."""
    start = text.rfind("\n", 0, position) + 1
    line = text[start:].split("\n", 1)[0]
    return line[: len(line) - len(line.lstrip())]


@dataclass(frozen=True)
class Target:
    """A test that is there before and after the change."""

    path: str
    before: str
    """The file's text."""
    after: str
    was: Test
    now: Test


def targets(change: Change, chance: Random) -> list[Target]:
    """Such tests in an order by chance, those with most assertions not preferred."""
    found = []
    for path in change.tests:
        before, after = change.before[path] or "", change.after[path] or ""
        known = {test.name: test for test in read_tests(path, before)}
        tests = read_tests(path, after)
        names = [test.name for test in tests]
        found += [
            Target(path, before, after, known[test.name], test)
            for test in tests
            if test.name in known and names.count(test.name) == 1
        ]
    chance.shuffle(found)
    return found


def kept(target: Target) -> list[tuple[int, int]]:
    """Pairs of assertions, by their numbers before and after, that the change leaves as they are."""
    was = [one.span.of(target.before) for one in target.was.assertions]
    now = [one.span.of(target.after) for one in target.now.assertions]
    return [(was.index(text), number) for number, text in enumerate(now) if was.count(text) == now.count(text) == 1]


def sound(change: Change) -> bool:
    """Whether every file is whole after the change."""
    return all(text is None or parses(path, text) for path, text in change.after.items())
