"""What a person would have seen of an output, without what is a secret."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain, islice

from honk.masking import HIDDEN, masker

_LINES = 100_000
"""Lines that are looked at from the beginning, and as many from the end."""
_SIGNS = ("rror", "FAIL", "fatal", "panic", "Traceback", "xception")
_LOOKED_AT = 2_000
"""Characters of one line that are looked at: minified files have lines of megabytes."""
_RAW = 8_000
"""The same before colours and what was painted over are gone."""

_ANSI = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])|[\x00-\x07\x0b-\x0c\x0e-\x1a]"
)
_TIME = re.compile(
    r"^\s{0,4}[\[(]?(?:\d{4}-\d\d-\d\d[T ])?\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|\s?[+-]\d\d:?\d\d)?[\])]?(?:\s+|$)"
)
_BACKSPACES = re.compile(r"[^\x08]\x08")
# Where the sandbox has the tree and what is installed; the latter is told by its package.
_PLACES = re.compile(
    r"(?:file://)?(?<![\w.-])(?:/workspace/(?!/)|(?:/[\w.+-]+){1,8}/(?=(?:site-packages|dist-packages)/)|/home/honk/\.cargo/registry/src/[\w.-]+/"
    r"|/home/honk/\.cache/bazel/_bazel_\w+/[0-9a-f]{32}/(?:sandbox/[\w-]+/\d+/)?(?:execroot/[\w.~+-]+/)?)"
)
_PLACE_HINTS = ("/workspace/", "-packages/", "/.cargo/", "/.cache/bazel/")

_KEY_BEGINS = "PRIVATE KEY-----"
_KEY_BODY = re.compile(r"[A-Za-z0-9+/=]{20,80}")
# Looser than what is masked everywhere: a word too few in a failure does no harm.
_SECRET = re.compile(
    r"""
      \b(?:sk-|gh[pousr]_|github_pat_|glpat-|xox[abeprs]-|A[KS]IA(?=[0-9A-Z]{16}\b)|AIza|npm_|pypi-)[\w-]{16,}
    | \beyJ[\w-]{10,}\.eyJ[\w-]{10,}(?:\.[\w-]*)?
    | (?<=://)[^\s/:@'"]{1,200}:[^\s/@'"]{1,200}(?=@)
    | (?<=[Bb]earer\ )[A-Za-z0-9._~+/=-]{16,}
    """,
    re.VERBOSE,
)
_ASSIGNED = re.compile(
    r"((?:secret|password|passwd|api[_-]?key|access[_-]?token|auth[_-]?token)[\w-]{0,20}[\"']?\s{0,9}[=:]\s{0,9}[\"']?)"
    r"(?=[^\s\"',;]{0,200}\d)[^\s\"',;(){}\[\]]{12,}",
    re.IGNORECASE,
)
_mask_shapes = masker()


def clean(output: str) -> list[str]:
    """The output's lines without colours, progress bars, times and sandbox paths; blank ones stay."""
    lines = [_cleaned(raw) for raw in _looked_at(output)]
    return _without_keys(lines) if _KEY_BEGINS in output else lines


def mask(line: str) -> str:
    """The line with what looks like a secret replaced."""
    return _ASSIGNED.sub(rf"\1{HIDDEN}", _SECRET.sub(HIDDEN, _mask_shapes(line)))


def _looked_at(output: str) -> Iterator[str]:
    """The first and the last lines, and of very many those between them that say error."""
    lines = output.replace("\r\n", "\n").split("\n")
    if len(lines) <= 2 * _LINES:
        return iter(lines)
    between = (
        line for line in islice(lines, _LINES, len(lines) - _LINES) if line and any(sign in line for sign in _SIGNS)
    )
    return chain(lines[:_LINES], islice(between, _LINES // 10), lines[-_LINES:])


def _cleaned(raw: str) -> str:
    if not raw or raw.isspace():
        return ""
    line = _painted(raw)
    if line.lstrip(" [(")[:1].isdigit():
        line = _TIME.sub("", line)
    if any(hint in line for hint in _PLACE_HINTS):
        line = _PLACES.sub("", line)
    return line.rstrip()


def _painted(raw: str) -> str:
    """What a person would see of a line: a carriage return paints over what was there."""
    raw = raw[-_RAW:] if "\r" in raw else raw[:_RAW]
    if raw.isprintable():
        return raw[:_LOOKED_AT]
    parts = [part for part in _ANSI.sub("", raw).split("\r") if part.strip()]
    line = parts[-1][:_LOOKED_AT] if parts else ""
    return _BACKSPACES.sub("", line).replace("\b", "") if "\b" in line else line


def _without_keys(lines: Sequence[str]) -> list[str]:
    """A private key's lines may be told apart from the one that says what they are, so they are hidden here."""
    kept = []
    within = False
    for line in lines:
        if _KEY_BEGINS in line:
            within = "BEGIN" in line
            kept.append(line.partition("-----")[0] + HIDDEN)
        elif within and (not line or _KEY_BODY.search(line)):
            kept.append(HIDDEN if line else "")
        else:
            within = False
            kept.append(line)
    return kept


def cut(text: str, budget: int) -> str:
    """The text's beginning, at most `budget` characters, with a mark where something is missing."""
    return text if len(text) <= budget else text[: budget - 1].rstrip() + "…"
