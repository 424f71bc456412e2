"""Patterns for paths as test runners write them, as regular expressions."""

from __future__ import annotations

import re
from functools import cache

_LONGEST = 300
_DEEPEST = 20


@cache
def glob(pattern: str) -> re.Pattern[str] | None:
    """What minimatch and its like take for `pattern`, for the whole of a path without a leading slash: `**`, `*`, `?`,
    `[ab]`, `{a,b}`, `?(a|b)`, `+(a)`, `*(a)`, `@(a)`. None where it cannot be told."""
    if len(pattern) > _LONGEST or "!(" in pattern or "$" in pattern:
        return None
    text, end = _part(pattern.removeprefix("./").lstrip("/"), 0, "", 0)
    if text is None or end < 0:
        return None
    return regular(rf"\A{text}\Z")


@cache
def regular(pattern: str) -> re.Pattern[str] | None:
    """A regular expression as JavaScript or Python has it; None where Python does not take it."""
    try:
        return re.compile(pattern) if len(pattern) <= 10 * _LONGEST else None
    except (re.error, RecursionError, OverflowError):
        return None


def _part(pattern: str, at: int, closing: str, depth: int) -> tuple[str | None, int]:
    """The expression for the pattern from `at` to the bracket that closes it, and where that is."""
    made: list[str] = []
    if depth > _DEEPEST:
        return None, -1
    while at < len(pattern):
        sign = pattern[at]
        if sign == closing:
            return "".join(made), at
        if closing and sign == {"}": ",", ")": "|"}[closing]:
            made.append("|")
            at += 1
        elif sign in "?+*@" and pattern[at + 1 : at + 2] == "(":
            inner, end = _part(pattern, at + 2, ")", depth + 1)
            if inner is None or end >= len(pattern):
                return None, -1
            made.append(f"(?:{inner})" + {"@": ""}.get(sign, sign))
            at = end + 1
        elif sign == "{" and "}" in pattern[at:]:
            inner, end = _part(pattern, at + 1, "}", depth + 1)
            if inner is None or end >= len(pattern):
                return None, -1
            made.append(f"(?:{inner})")
            at = end + 1
        elif found := re.compile(r"\*\*/|\*\*|\*|\?|\[[^\]/]+\]|\\?.", re.DOTALL).match(pattern, at):
            made.append(_sign(found.group()))
            at = found.end()
    return ("".join(made), at) if not closing else (None, -1)


def _sign(text: str) -> str:
    plain = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    if text in plain:
        return plain[text]
    if text[0] == "[" and len(text) > 2:
        return f"[{text[1:-1].replace('!', '^', 1) if text[1] == '!' else text[1:-1]}]"
    return re.escape(text.removeprefix("\\") or "\\")
