"""From pages of a tool's output to the few lines that let a person or an agent act."""

from __future__ import annotations

import re

BUDGET = 2_000
"""Characters of a failure."""

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_TIME = re.compile(r"^\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?\]?\s*")
_INSIDE = re.compile(r"/workspace/")
_SECRET = re.compile(
    r"\b(sk-[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|xox[abprs]-[A-Za-z0-9-]{10,}|AKIA[0-9A-Z]{16})"
)
_CULPRIT = re.compile(
    r"""
      ^E\s{2,}\S | ^(FAILED|ERROR)\s | ^(FAIL|ERROR):\s                       # pytest, unittest
    | \b\w*(Error|Exception|Failure)\b(:|$) | \bassert(ion)?\b.*\bfail
    | ^\S+:\d+(:\d+)?:?\s                                                   # path:line: message
    | ^\S+\(\d+,\d+\):\serror                                               # tsc
    | ^\s+\d+:\d+\s+(error|warning)\s                                       # eslint
    | ^error(\[E\d+\])?: | ^\s*-->\s | ^thread\ '.*panicked                 # cargo
    | ^---\sFAIL | ^FAIL\s | ^\s+\S+_test\.go:\d+:                          # go
    | ^\[ERROR\] | ^\s*not\ ok\b | ^\s*[✕✗×✖]\s | ^\s*●\s                   # maven, TAP, jest, vitest, node
    | ^make(\[\d+\])?:\s\*\*\* | ^FAILURE:\s | ^>\sTask\s.*FAILED | ^\*\ What\ went\ wrong   # make, gradle
    | \b(fatal|panic|cannot|could\ not|not\ found|no\ such\ file|undefined|unresolved)\b | \bwould\ reformat\b
    """,
    re.VERBOSE | re.IGNORECASE,
)
_PROGRESS = re.compile(r"^\s*[.sxXFE]{2,}\s*(\[\s*\d+%\])?\s*$")
"""Test runners' dots."""

_NOISE = re.compile(
    r"^\s*(npm (warn|notice|info)|\[INFO\]|Downloading|Downloaded|Collecting|Compiling|Checking|Progress|> \S+@\S+ )|"
    r"^[\s=.\-_*~^|#]*$|^\s*\d{1,3}%",
    re.IGNORECASE,
)


def clean(output: str) -> list[str]:
    """The output's lines without colours, progress bars, times, sandbox paths and secrets."""
    lines = []
    for raw in output.replace("\r\n", "\n").split("\n"):
        line = _ANSI.sub("", raw.rsplit("\r", 1)[-1] if not raw.endswith("\r") else raw.rstrip("\r"))
        line = _INSIDE.sub("", _TIME.sub("", line)).replace("\x00", "").rstrip()
        lines.append(_SECRET.sub("•••", line))
    return lines


def distil(output: str, budget: int = BUDGET) -> str:
    """The lines that matter of a failed tool's output, at most `budget` characters, the first error among them."""
    lines = [line for line in clean(output) if line.strip() and not _PROGRESS.match(line)]
    whole = "\n".join(lines)
    if len(whole) <= budget:
        return whole
    told = [index for index, line in enumerate(lines) if _CULPRIT.search(line) and not _NOISE.match(line)]
    if not told:
        return _cut("\n".join(line for line in lines if not _NOISE.match(line))[-budget:], budget)
    kept: set[int] = set()
    size = 0
    for index in told:
        around = [near for near in range(max(0, index - 2), min(len(lines), index + 4)) if near not in kept]
        around = [near for near in around if near == index or not _NOISE.match(lines[near])]
        cost = sum(min(len(lines[near]), 300) + 1 for near in around)
        if kept and size + cost > budget - 40:
            break
        kept.update(around)
        size += cost
    return _cut(_joined(lines, sorted(kept)), budget)


def _joined(lines: list[str], kept: list[int]) -> str:
    parts: list[str] = []
    last = None
    for index in kept:
        if last is not None and index > last + 1:
            parts.append("…")
        line = lines[index]
        parts.append(line if len(line) <= 300 else line[:299] + "…")
        last = index
    return "\n".join(parts)


def _cut(text: str, budget: int) -> str:
    return text if len(text) <= budget else text[: budget - 1].rstrip() + "…"


_GREEN = (
    re.compile(r"\b(\d+ passed[^=\n]*?)(?: in [\d.]+s.*)?=*$", re.MULTILINE),
    re.compile(r"^(Ran \d+ tests?)\b", re.MULTILINE),
    re.compile(r"^Tests:\s+(.*)$", re.MULTILINE),
    re.compile(r"^\s*Tests\s+(\d+ passed.*)$", re.MULTILINE),
    re.compile(r"^[#ℹ] pass (\d+)$", re.MULTILINE),
    re.compile(r"test result: ok\. (\d+ passed)"),
    re.compile(r"(Tests run: \d+)(?!.*Tests run: \d+)", re.DOTALL),
)


def green_line(output: str) -> str:
    """One short line for a check that passed."""
    text = "\n".join(clean(output))
    for pattern in _GREEN:
        if found := list(pattern.finditer(text)):
            words = found[-1][1].strip()
            return f"{words} passed" if words.isdigit() else words[:100]
    return "passed"
