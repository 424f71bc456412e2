"""From pages of a tool's output to the few lines that let a person or an agent act."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice

BUDGET = 2_000
"""Characters of a failure."""

_LINE = 300
"""Characters of one line that are told."""
_LOOKED_AT = 500
"""Characters of one line that are looked at: minified files have lines of megabytes."""
_RAW = 4_000
"""The same before colours and what was painted over are gone."""
_ERRORS = 200
"""More than the budget can ever hold, so there is no need to look further."""

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])")
_TIME = re.compile(
    r"^\s{0,4}[\[(]?(?:\d{4}-\d\d-\d\d[T ])?\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|\s?[+-]\d\d:?\d\d)?[\])]?(?:\s+|$)"
)
_SECRET = re.compile(
    r"""
      \b(?:sk-[A-Za-z0-9_-]{16,} | gh[pousr]_[A-Za-z0-9]{20,} | github_pat_\w{20,} | glpat-[\w-]{20,}
        | xox[abeprs]-[A-Za-z0-9-]{10,} | A[KS]IA[0-9A-Z]{16} | AIza[\w-]{35} | npm_[A-Za-z0-9]{30,}
        | pypi-[\w-]{40,} | eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]*)
    | (?<=://)[^\s/:@'"]+:[^\s/@'"]+(?=@)
    | (?<=[Bb]earer\ )[A-Za-z0-9._~+/=-]{16,}
    | -----BEGIN\ [A-Z ]*PRIVATE\ KEY-----.*
    """,
    re.VERBOSE,
)
_ASSIGNED = re.compile(
    r"((?:secret|password|passwd|api[_-]?key|access[_-]?token|auth[_-]?token)[\w-]{0,20}[\"']?\s{0,9}[=:]\s{0,9}[\"']?)"
    r"(?=[^\s\"',;]{0,200}\d)[^\s\"',;(){}\[\]]{12,}",
    re.IGNORECASE,
)
_KEY_BODY = re.compile(r"^[A-Za-z0-9+/=]{60,80}$")

_ERROR = re.compile(
    r"""
      ^E\s{2,}\S | ^(?:FAILED|ERROR)\s+\S | ^(?:FAIL|ERROR):\s                 # pytest, unittest
    | ^(?:\w+\.)*\w*(?:Error|Exception|Failure)(?::\s|$)                       # a traceback's last line
    | ^\S[^:]*:\d+(?::\d+)?:\s(?:fatal\s)?error\b                              # mypy, gcc, javac
    | ^\S[^:]*:\d+:\d+:\s[A-Z]+\d+\s | ^[A-Z]{1,4}\d{3,4}\s(?:\[\*\]\s)?\S     # ruff, flake8
    | ^\S+\(\d+,\d+\):\serror | \berror\sTS\d+:                                # tsc
    | ^\s+\d+:\d+\s+error\s                                                    # eslint
    | ^\s*●\s | ^\s*[✕✗×✖❌]\s | ^\s*FAIL\s+\S | ^\s*not\ ok\b                 # jest, vitest, node, TAP
    | ^error(?:\[E\d+\])?:\s | ^thread\ '.*panicked | ^test\ .*FAILED$         # cargo
    | ^\s*---\sFAIL: | ^\S+\.go:\d+:(?:\d+:)?\s | ^panic:\s | ^FAIL\t          # go
    | ^\[ERROR\]\s+\S | ^FAILURE:\s | ^>\sTask\s.*FAILED | ^\*\ What\ went\ wrong | ^e:\s\S   # maven, gradle, kotlin
    | ^g?make(?:\[\d+\])?:\s\*\*\* | ^npm\ (?:ERR!|error)\s | ^fatal:\s | ^[Ee]rror:\s
    | ^would\ reformat:?\s | ^Would\ reformat:?\s | ^Diff\ in\s | ^not\ formatted:
    """,
    re.VERBOSE,
)
_HINT = re.compile(
    r"(?:error|exception|failure)\b|\bfail(?:ed|s|ure)?\b|\b(?:fatal|panic|cannot|could not|not found|no such file|"
    r"undefined|unresolved|denied|refused|warning|warn)\b|^\S+:\d+(?::\d+)?:?\s",
    re.IGNORECASE,
)
_HARMLESS = re.compile(
    r"\b0 (?:errors?|failures?|failed)\b|\bno (?:errors?|failures?|issues)\b|\berrors?: 0\b", re.IGNORECASE
)
_DOTS = re.compile(r"^\s*[.sxXFE]{2,}\s*(?:\[\s*\d+%\])?\s*$")
_NOISE = re.compile(
    r"^\s*(?:npm (?:warn|notice|info)\b|\[INFO\]|\[DEBUG\]|Download(?:ing|ed)\b|Collecting\b|Compiling\b|Checking\b|"
    r"Progress\b|> \S+@\S+ )|^[\s=.\-_*~^|#]*$|^\s*\d{1,3}%|\b\d{1,3}%\s*$|"
    r"^\[ERROR\]\s*(?:->|Re-run|To see|For more|\[Help)",
    re.IGNORECASE,
)


def clean(output: str) -> list[str]:
    """The output's lines that are not blank, without colours, progress bars, times and sandbox paths."""
    lines = []
    for raw in output.replace("\r\n", "\n").split("\n"):
        if raw and not raw.isspace():
            line = _TIME.sub("", _painted(raw)).replace("/workspace/", "").rstrip()
            if line:
                lines.append(line)
    return lines


def mask(lines: Sequence[str]) -> list[str]:
    """The lines with what looks like a secret replaced."""
    masked = []
    key = False
    for line in lines:
        if key and _KEY_BODY.match(line.strip()):
            masked.append("•••")
            continue
        key = "PRIVATE KEY-----" in line
        masked.append(_ASSIGNED.sub(r"\1•••", _SECRET.sub("•••", line)))
    return masked


def _painted(raw: str) -> str:
    """What a person would see of a line: a carriage return paints over what was there."""
    raw = raw[-_RAW:] if "\r" in raw else raw[:_RAW]
    parts = [part for part in _ANSI.sub("", raw).split("\r") if part.strip()]
    return parts[-1][:_LOOKED_AT].replace("\b", "").replace("\0", "") if parts else ""


def distil(output: str, budget: int = BUDGET) -> str:
    """The lines that matter of a failed tool's output, at most `budget` characters, the first error among them."""
    lines = [line for line in clean(output) if not _DOTS.match(line)]
    if sum(map(len, lines)) + len(lines) <= budget:
        return cut("\n".join(mask(lines)), budget)
    told = _matching(lines, _ERROR) or _matching(lines, _HINT)
    if not told:
        tail = lines[-budget:]
        quiet = [line for line in tail if not _noisy(line)] or tail
        return cut_front("\n".join(cut(line, _LINE) for line in mask(quiet)), budget)
    kept: set[int] = set()
    left = budget
    for index in _by_importance(lines, told):
        cost = min(len(lines[index]), _LINE) + 3
        if index not in kept and (cost <= left or not kept):
            kept.add(index)
            left -= cost
        if left < 20:
            break
    return cut(_joined(lines, sorted(kept)), budget)


def _matching(lines: Sequence[str], pattern: re.Pattern[str]) -> list[int]:
    found = (index for index, line in enumerate(lines) if pattern.search(line) and not _noisy(line))
    return list(islice(found, _ERRORS))


def _noisy(line: str) -> bool:
    return bool(_NOISE.search(line) or _HARMLESS.search(line))


def _by_importance(lines: Sequence[str], told: Sequence[int]) -> Iterator[int]:
    """The first error and what is around it, the tool's last words, then the other errors from the top."""
    first = told[0]
    yield first
    yield from (index for index in range(first + 1, min(len(lines), first + 9)) if not _noisy(lines[index]))
    yield from (index for index in range(max(0, first - 4), first) if not _noisy(lines[index]))
    yield len(lines) - 1
    for index in told[1:]:
        yield index
        yield from (near for near in range(index + 1, min(len(lines), index + 3)) if not _noisy(lines[near]))


def _joined(lines: Sequence[str], kept: Sequence[int]) -> str:
    parts: list[str] = []
    last = None
    for index, line in zip(kept, mask([lines[index] for index in kept]), strict=True):
        if last is not None and index > last + 1:
            parts.append("…")
        parts.append(cut(line, _LINE))
        last = index
    return "\n".join(parts)


def cut(text: str, budget: int) -> str:
    """The text's beginning, at most `budget` characters, with a mark where something is missing."""
    return text if len(text) <= budget else text[: budget - 1].rstrip() + "…"


def cut_front(text: str, budget: int) -> str:
    """The text's end, at most `budget` characters, with a mark where something is missing."""
    return text if len(text) <= budget else "…" + text[-(budget - 1) :].lstrip()


# Numbers that are added up when a tool reports several times.
_COUNTED = (
    (re.compile(r"^Ran (\d+) tests?\b"), "Ran {} test{s}"),
    (re.compile(r"^test result: ok\. (\d+) passed"), "{} passed"),
)
_GREEN = (
    re.compile(r"^=*[ ]?(\d+ passed[^=]*?)(?: in [\d.]+\s?m?s.*)?=*$"),
    re.compile(r"^\s*Tests:?\s+(\d+ .*?)$"),
    re.compile(r"^[#ℹ] (pass \d+)$"),
    re.compile(r"(Tests run: \d+)"),
    re.compile(r"^(Success: no issues found in \d+ source files?)$"),
    re.compile(r"^(\d+ files? already formatted)$"),
)
_TELLING = ("Ran ", "pass", "Tests", "Success", "formatted")


def green_line(output: str) -> str:
    """One short line for a check that passed."""
    telling = (line for line in output.split("\n") if any(word in line for word in _TELLING))
    lines = mask(clean("\n".join(telling)))
    for pattern, words in _COUNTED:
        if counts := [int(found[1]) for line in lines if (found := pattern.match(line))]:
            return words.format(sum(counts), s="" if sum(counts) == 1 else "s")
    for pattern in _GREEN:
        if said := next((found[1].strip() for line in reversed(lines) if (found := pattern.search(line))), None):
            return f"{said.removeprefix('pass ')} passed" if said.startswith("pass ") else cut(said, 100)
    return "passed"
