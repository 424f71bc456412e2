"""Reading what the judge answered: strictly, because whoever wrote the change may have had a hand in it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from honk.model import Doubt, Verdict
from honk.untrusted import clean
from honk.verify.judge.excerpt import Excerpt
from honk.verify.judge.request import TOOL

_SUMMARY, _MESSAGE = 1_000, 600
"""Characters."""
_DOUBTS = 20


class Malformed(Exception):
    """An answer that cannot be read; the text says why, for a sentence that begins elsewhere."""


def read_answer(answer: Mapping[str, Any], shown: Excerpt) -> Verdict:
    """The verdict, its decision still to be reckoned. Raises `Malformed`.

    Only the tool's input counts, nothing that is said beside it. A doubt about a file that is not in the diff is about
    the change as a whole, and a line that is not shown there is dropped.
    """
    content = answer.get("content")
    used = [
        block.get("input")
        for block in (content if isinstance(content, list) else ())
        if isinstance(block, dict) and block.get("type") == "tool_use" and block.get("name") == TOOL
    ]
    if len(used) != 1:
        cut = ", and ended at the limit of its length" if answer.get("stop_reason") == "max_tokens" else ""
        raise Malformed(f"it called `{TOOL}` {len(used)} times instead of once{cut}")
    given = used[0]
    if not isinstance(given, dict):
        raise Malformed(f"what it gave to `{TOOL}` is no object")
    doubts = given.get("doubts")
    if not isinstance(doubts, list):
        raise Malformed("`doubts` is no list")
    return Verdict(
        "approve",
        _score(given.get("score")),
        _sentence(given.get("summary"), "`summary`", _SUMMARY),
        tuple(_doubt(one, number, shown) for number, one in enumerate(doubts[:_DOUBTS])),
    )


def _score(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise Malformed("`score` is no number")
    if not 0 <= value <= 1:
        raise Malformed("`score` is not between 0 and 1")
    return float(value)


def _sentence(value: object, name: str, limit: int) -> str:
    text = clean(value).strip() if isinstance(value, str) else ""
    if not text:
        raise Malformed(f"{name} is no text")
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _doubt(value: object, number: int, shown: Excerpt) -> Doubt:
    name = f"`doubts[{number}]`"
    if not isinstance(value, dict):
        raise Malformed(f"{name} is no object")
    kind = value.get("kind")
    if kind not in ("scope", "correctness"):
        raise Malformed(f"{name} is neither about the scope nor about the correctness")
    message = _sentence(value.get("message"), f"the message of {name}", _MESSAGE)
    path, line = value.get("path"), value.get("line")
    lines = shown.lines.get(path) if isinstance(path, str) else None
    if lines is None:
        return Doubt(kind, message)
    known = isinstance(line, int) and not isinstance(line, bool) and line in lines
    return Doubt(kind, message, path, line if known else None)
