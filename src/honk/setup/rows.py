"""What is found when a connection is looked at."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Row(NamedTuple):
    """One promise: its name, whether it holds, and what to do if not."""

    name: str
    holds: bool
    remedy: str = ""


def missing(granted: Iterable[str], wanted: Iterable[str]) -> list[str]:
    """What is wanted and not granted, in the order it is wanted."""
    have = set(granted)
    return [each for each in wanted if each not in have]


def listed(names: Iterable[str]) -> str:
    """Names in a sentence: `a`, `a and b`, `a, b and c`."""
    *most, last = list(names) or [""]
    return f"{', '.join(most)} and {last}" if most else last
