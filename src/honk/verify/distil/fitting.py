"""What is told of many faults in few characters."""

from __future__ import annotations

import re
from collections.abc import Sequence

from honk.verify.distil.cleaning import cut, mask
from honk.verify.distil.fault import Distilled, Fault

LINE = 300
"""Characters of one line that are told."""
_SHORTEST = 12
"""Characters of a line that is worth telling."""
_MISSES = 50
"""Headlines that are too long for the room before it is left as it is."""
_FIRST = 0.6
"""How much of the room the first fault may take where there are others."""


def fitted(told: Distilled, room: int) -> str:
    """The first fault with what helps, the closing words, then as many others as there is room for, the sure ones and
    their headlines first; then their details. Alike ones are told once, with how many there are."""
    faults, alike = _once(told.faults)
    closing = _line(told.closing)
    left = room - (len(closing) + 1 if closing else 0)
    texts: list[list[str]] = [[] for _ in faults]
    for turn in (0, 1):
        misses = 0
        for number, fault in enumerate(faults):
            if number and (left < _SHORTEST or misses == _MISSES):
                break
            if turn == 0:
                left -= _take(texts[number], [_headline(fault, alike[number])], left, needed=number == 0)
                misses += not texts[number]
                if number == 0:
                    share = left if len(faults) == 1 else min(left, int(room * _FIRST) - len(texts[0][0]))
                    left -= _take(texts[0], fault.details, share)
            elif number and texts[number]:
                left -= _take(texts[number], fault.details, left - 10)
    shown = [text for text in texts if text]
    missing = sum(alike) - sum(count for count, text in zip(alike, texts, strict=True) if text)
    lines = [line for text in shown for line in text]
    if missing:
        note = f"… and {missing} more"
        while len(lines) > 1 and sum(map(len, lines)) + len(lines) + len(note) + len(closing) + 2 > room:
            lines.pop()
        lines.append(note)
    if closing and closing not in lines:
        lines.append(closing)
    return cut("\n".join(lines), room)


def _take(into: list[str], lines: Sequence[str], room: int, *, needed: bool = False) -> int:
    """Add the lines there is room for; what that took. Passes over what is too long, up to three times."""
    taken = passed = 0
    for whole in lines:
        line = _line(whole)
        if not line.strip(" ^~|│─━┃") or line in into:
            continue
        if taken + len(line) + 1 <= room or (needed and not into):
            into.append(line)
            taken += len(line) + 1
        elif passed == 3:
            break
        else:
            passed += 1
    return taken


def _line(line: str) -> str:
    return cut(mask(line), LINE)


def _headline(fault: Fault, alike: int) -> str:
    return f"{cut(mask(fault.headline), LINE)} (and {alike - 1} more like it)" if alike > 1 else fault.headline


def _once(faults: Sequence[Fault]) -> tuple[list[Fault], list[int]]:
    """The faults in the order of telling, each once, and how often each is there.

    The first stays the first. Of the others, the first of each kind come before more of a kind that was told: a single
    error of syntax must not drown in hundreds of spaces.
    """
    ordered = sorted(faults, key=lambda fault: not fault.sure)
    counts: dict[str, int] = {}
    first: dict[str, Fault] = {}
    for fault in ordered:
        key = fault.like or fault.headline
        # The very same text again is only told twice, as Maven does, or for two builds.
        counts[key] = counts.get(key, 0) + 1 if fault.like else 1
        first.setdefault(key, fault)
    seen: dict[str, int] = {}
    nth = {}
    for key, fault in first.items():
        kind = _kind(fault)
        nth[key] = seen[kind] = seen.get(kind, -1) + 1
    keys = sorted(first, key=lambda key: (not first[key].sure, min(nth[key], 1)))
    return [first[key] for key in keys], [counts[key] for key in keys]


_PARTICULAR = re.compile(r"[\d/\\.'\"`‘’]")
_RULE = re.compile(r"\b[A-Z]{1,6}\d{2,5}\b|[\[(]([\w-]+(?:[/.-][\w-]+)*)[\])]\s*$|\blint/\S+")


def _kind(fault: Fault) -> str:
    """The rule that was broken, or else the headline without names, numbers and places."""
    rule = _RULE.search(fault.headline)
    if rule:
        return rule[0]
    return " ".join("#" if _PARTICULAR.search(word) else word for word in fault.headline[:LINE].split())
