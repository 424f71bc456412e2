"""What a distiller gets and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Report:
    """A file that a tool wrote for machines, such as JUnit XML."""

    path: str
    text: str


@dataclass(frozen=True)
class Printed:
    """A tool's output: as it came, and its lines as a person would have seen them, blank ones included."""

    raw: str
    lines: Sequence[str]
    text: str
    """The lines, joined: to look for something in all of them at once."""


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong, as it stands in the output's lines `at` to `until` (exclusive)."""

    at: int
    until: int
    headline: str
    """Says by itself where and what."""
    details: Sequence[str] = ()
    """What helps besides, the most useful first."""
    sure: bool = True
    """False for what may be the matter or may be mere noise: a traceback that was logged, a warning."""
    like: str = ""
    """Equal in faults of which one stands for all, as of tests that fail in the same place for the same reason; the
    headline if nothing else is given."""


@dataclass(frozen=True)
class Distilled:
    """What is wrong, in the order of the output, and the tool's own last words."""

    faults: Sequence[Fault] = ()
    closing: str = ""


Distil = Callable[[Printed, Sequence[Report]], Distilled | None]
"""None where the output is not of the tool that this is for."""


@dataclass(frozen=True)
class Distiller:
    """A family of tools. `signs` are texts of which one is in every failure of theirs; `names` are the tools'."""

    distil: Distil
    signs: Sequence[str] = ()
    names: Sequence[str] = field(default=())
