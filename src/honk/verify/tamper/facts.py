"""What the guard knows of a source file, whatever its language."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Assertion:
    """One thing a test asserts, taken apart as far as it can be."""

    line: int
    text: str
    """Without what formatting alone changes."""
    form: str
    """How it compares, such as `==` or `toContain`."""
    subject: str
    """What it is about."""
    expected: str = ""
    """What that is compared with."""
    literal: bool = False
    """Whether `expected` is written out."""
    strength: float = 2.0
    """From 0 (always true) to 4 (one value only); see `conditions`."""
    tolerance: float | None = None
    guards: tuple[str, ...] = ()
    """What may keep it from being reached or from counting."""
    own: bool = False
    """Whether it calls a function of the project's own: what that asserts is not known here."""
    weight: int = 1
    """How many assertions it stands for, where it calls a function with several."""


@dataclass(frozen=True)
class Mark:
    """A place in a file, with the text that stands there."""

    line: int
    text: str


@dataclass(frozen=True)
class Skip(Mark):
    """What keeps a test from being run or from counting."""

    conditional: bool = False


@dataclass
class Test:
    """A test, or a function beside tests that asserts (`helper`)."""

    name: str
    line: int
    assertions: list[Assertion] = field(default_factory=list)
    cases: list[Mark] = field(default_factory=list)
    skip: Skip | None = None
    only: Mark | None = None
    sleeps: list[Mark] = field(default_factory=list)
    calls: frozenset[str] = frozenset()
    """Names of what it calls."""
    names: frozenset[str] = frozenset()
    """All names in it."""
    body: str = ""
    empty: bool = False
    helper: bool = False

    @property
    def asserted(self) -> int:
        """How many assertions it makes, those of the functions it calls included."""
        return sum(one.weight for one in self.assertions)


@dataclass
class Source:
    """What a source file says, as far as the guard asks."""

    tests: list[Test] = field(default_factory=list)
    definitions: set[str] = field(default_factory=set)
    """Names of functions, classes and the like that it defines."""
    silencers: list[Mark] = field(default_factory=list)
    """Comments and attributes, to be looked through for what switches a check off."""
    problem: str | None = None
    """Why it could not be read as its language, as half a sentence."""


@dataclass(frozen=True)
class Token:
    """A piece of code that no formatter takes apart."""

    text: str
    literal: bool = False


def written(tokens: Sequence[Token]) -> str:
    """Tokens as text that does not depend on how they were laid out."""
    kept = [
        token.text
        for number, token in enumerate(tokens)
        if not (token.text in {",", ";"} and (number + 1 == len(tokens) or tokens[number + 1].text in {")", "]", "}"}))
    ]
    return " ".join(kept)
