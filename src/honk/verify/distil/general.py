"""What is told of a tool that nobody here knows: the lines with the shape of an error, and what is around them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice

from honk.verify.distil.fault import Distilled, Fault, Printed, Report

_MANY = 60
"""More than the budget can ever hold, so there is no need to look further."""

_ERROR = re.compile(
    r"""
      ^\s{0,4}(?:fatal|panic|error|Error|ERROR|FATAL|Fatal|CRITICAL|FAILED|FAIL|Failure|FAILURE)\b(?:\[[\w-]+\]|\s\w{1,20})?\s?[:!]
    | ^(?:\w+\.)*\w*(?:Error|Exception|Failure)(?::\s|$)
    | ^\s*[✕✗✘×✖❌]\s | ^\s*not\ ok\b | ^\S{1,200}:\s(?:fatal\s)?error:?\s | ^\S+:\sline\s\d+:\s
    | ^\[(?:ERROR|FATAL|error|fatal|err)\]\s | ^(?:ERROR|FATAL|FAILED|FAIL)\s+\S | ^\*\*\*\s.*(?:rror|ail)
    | ^\S{1,200}:\s.{0,200}(?:No\ such\ file\ or\ directory|Permission\ denied|not\ found|cannot\ execute.*)$
    | \bCommand\ failed\b
    """,
    re.VERBOSE,
)
_PLAIN = re.compile(r"^(?:[\w./-]+: )?(?:fatal|error|Error|FATAL|panic)(?:\[[\w-]+\])?: \S")
_HINT = re.compile(
    r"(?:error|exception|failure)\b|\bfail(?:ed|s|ure)?\b|\b(?:fatal|panic|cannot|could not|can't|unable to"
    r"|not found|no such|"
    r"undefined|unresolved|unrecogni[sz]ed|denied|refused|invalid|missing|expected|abort(?:ed)?|timed out|killed)\b"
    r"|^\S{1,200}:\d+(?::\d+)?:?\s",
    re.IGNORECASE,
)
_HARMLESS = re.compile(
    r"\b(?:0|no|zero) (?:errors?|failures?|failed|issues|problems)\b|\b(?:errors?|failures?|failed|fail)[:=]? ?0\b|"
    r"\b(?:retry|retrying|ignored|ignoring|skipping|expected to fail)\b",
    re.IGNORECASE,
)
_CONSEQUENCE = re.compile(
    r"^(?:g?make(?:\[\d+\])?: \*\*\* |npm (?:ERR!|error)|error Command failed|ELIFECYCLE|\s*ELIFECYCLE"
    r"|ninja: build stopped|"
    r"error: Recipe |error: could not compile|\S+: (?:exit|FAIL) (?:code )?\d|  \S+: FAIL code|error: test failed"
    r"|error: \d+ targets? failed|"
    r"FAILED: |Error: Process completed|subcommand failed|ERROR: InvocationError|\[ERROR\] (?:->|Re-run|To see"
    r"|For more|\[Help|Failed to execute)|"
    r"collect2: error|clang: error: linker|error: aborting due|FAILURE: Build failed|BUILD FAILED|Error: \d+ error)"
)
_NOISE = re.compile(
    r"^\s*(?:npm (?:warn|notice|info)\b|\[INFO\]|\[DEBUG\]|DEBUG\b|INFO\b|Download(?:ing|ed)\b|Collecting\b"
    r"|Compiling\b|Checking\b|(?:Loading|Analyzing): |\[[\d,]+ / [\d,]+\] |"
    r"Progress\b|> \S+@\S+ |PASS(?:ED)?\b|ok\b|✓|✔|√)|^[\s=.\-_*~^|#]*$|^\s*\d{1,3}%|\b\d{1,3}%\s*$|\bPASSED\b"
    r"|\.\.\. ok$|"
    r"^\[ERROR\]\s*(?:->|Re-run|To see|For more|\[Help)",
    re.IGNORECASE,
)
_DOTS = re.compile(r"^\s*[.sxXFE]{2,}\s*(?:\[\s*\d+%\])?\s*$")


def general(printed: Printed, _: Sequence[Report]) -> Distilled | None:
    """The lines that say error, or else those that hint at one, or else the last ones."""
    lines = printed.lines
    strong = _matching(lines, _ERROR)
    causes = [at for at in strong if not _CONSEQUENCE.match(lines[at])]
    told = causes or _matching(lines, _HINT) or strong
    last = next((line.strip() for line in reversed(lines) if line and not noisy(line)), "")
    if not told:
        return None
    faults: list[Fault] = []
    until = 0
    for at in told:
        if at < until:
            continue
        until = at + 1
        while until < min(len(lines), at + 9) and lines[until] and not noisy(lines[until]) and until not in told:
            until += 1
        before = [line for line in lines[max(0, at - 4) : at] if line and not noisy(line)] if not faults else []
        faults.append(Fault(at, until, lines[at].strip(), [*lines[at + 1 : until], *before], sure=not faults))
    return Distilled(faults, last)


def errors_before(printed: Printed, at: int, limit: int) -> list[Fault]:
    """Lines above line `at` that say error in so many words, for what no distiller knew."""
    found = _matching(printed.lines[:at], _PLAIN)
    causes = [index for index in found if not _CONSEQUENCE.match(printed.lines[index])]
    return [Fault(index, index + 1, printed.lines[index].strip(), sure=False) for index in causes[:limit]]


def last_words(printed: Printed, characters: int) -> list[str]:
    """The end of an output without progress and rules, if anything else is there."""
    lines = [line for line in printed.lines if line]
    quiet = [line for line in lines[-characters:] if not noisy(line)] or lines[-characters:]
    kept: list[str] = []
    left = characters
    for line in reversed(quiet):
        left -= min(len(line), 300) + 1
        if left < 0 and kept:
            break
        kept.append(line)
    return kept[::-1]


def noisy(line: str) -> bool:
    """Whether a line is progress, good news or decoration."""
    return bool(_NOISE.search(line) or _HARMLESS.search(line) or _DOTS.match(line))


def _matching(lines: Sequence[str], pattern: re.Pattern[str]) -> list[int]:
    found = (index for index, line in enumerate(lines) if line and pattern.search(line[:500]) and not noisy(line[:500]))
    return list(islice(found, _MANY))
