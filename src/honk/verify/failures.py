"""What failed in a run, in a form that two runs can be compared by: on a change and on what it is made from."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from honk.model import Completed
from honk.verify.distil import Report, clean
from honk.verify.distil.reports import broken_parts, case_name, elements, local_name

_MOST = 200
"""Failures that are kept by name."""
_LONGEST = 300
_COULD_NOT_RUN = 126
"""The shell's code for a file that may not be executed; above it are a program that is missing, and signals."""
_PATTERNS = (
    # Names of tests, as their runners tell them in the end.
    re.compile(r"^(?P<name>(?:FAILED|ERROR) \S+?\.py(?:::.+?)?)(?: - .*)?$"),  # pytest
    re.compile(r"^(?P<name>(?:FAIL|ERROR): \w+ \(.+\))"),  # unittest
    re.compile(r"^\s*--- FAIL: (?P<name>\S+)"),  # go test
    re.compile(r"^FAIL\t(?P<name>\S+ \[.*)"),  # go test, of a package that cannot be built
    re.compile(r"^test (?P<name>.+) \.\.\. FAILED$"),  # cargo test
    re.compile(r"^\s*● (?P<name>\S.* › .+)$"),  # jest
    re.compile(r"^\s*[✕✗×✖] (?P<name>\S.*?)(?: \(?[\d.]+ ?m?s\)?)?$"),  # vitest, mocha, node
    re.compile(r"^\s*not ok \d+ (?:- )?(?P<name>.+?)(?: # .*)?$"),  # TAP
    re.compile(r"^\[ERROR\] +(?P<name>[\w.$]+[.#]\w+)\b.*(?:<<<|:\d+)"),  # surefire
    re.compile(r"^(?P<name>\S+ > .+) FAILED$"),  # gradle
    re.compile(r"^(?P<name>(?:@|//)\S+) +(?:FAILED|TIMEOUT|NO STATUS|REMOTE FAILURE)\b"),  # bazel
    # What compilers and linters say of a place, without its line, which moves with what is above it.
    re.compile(r"^(?P<name>\S+?)[:(]\d+(?:[:,]\d+)?\)?: (?P<what>(?:fatal )?error\b.*|[A-Z]{1,4}\d+ .*)$"),
    re.compile(r"^ERROR: (?P<name>\S+?):\d+:\d+: (?P<what>.+?)(?: to \S+/temp\d+/.*)?$"),  # bazel
    re.compile(r"^\s+\d+:\d+\s+error\s+(?P<name>.+)$"),  # eslint
    re.compile(r"^(?P<name>error(?:\[E\d+\])?: .+)$"),  # rustc
    re.compile(r"^(?P<name>[Ww]ould reformat:? .+)$"),  # black, ruff
)
# What differs between two runs of the same: how long it took, when it was, and where things lay in memory.
_PASSING = re.compile(
    r"\b\d+(?:\.\d+)?\s?(?:m|µ|n)?s(?:ec(?:onds?)?)?\b|\b0x[0-9a-f]{6,}\b|\b\d\d:\d\d:\d\d(?:[.,]\d+)?\b|/tmp/\S+",
    re.IGNORECASE,
)


def failures(done: Completed, reports: Sequence[Report] = ()) -> list[str]:
    """How the command ended, and each test or place that it or its reports name as failed, as often as they do.

    Where it names none, all that it printed stands for what failed, so that only the same counts as the same. Empty
    for what could not run or was killed: that says nothing of what would have failed.
    """
    if done.exit_code >= _COULD_NOT_RUN:
        return []
    lines = clean(done.output)
    found = Counter(name for line in lines if (name := _named(line)))
    found.update(name[:_LONGEST] for report in reports for name in _failed_tests(report))
    if not found:
        found = Counter([_digest("output", (_PASSING.sub("", line) for line in lines))])
    told = sorted(found.elements())
    if len(told) > _MOST:
        told = [*told[: _MOST - 1], _digest(f"{len(told) - _MOST + 1} more", told[_MOST - 1 :])]
    return [f"exit {done.exit_code}", *told]


def _named(line: str) -> str | None:
    for pattern in _PATTERNS:
        if match := pattern.search(line):
            told = f"{match['name']}: {what}" if (what := match.groupdict().get("what")) else match["name"]
            return told.strip()[:_LONGEST]
    return None


def _failed_tests(report: Report) -> Iterator[str]:
    """The names of the tests that a report tells as failed: JUnit's XML, or TRX."""
    for element in elements(report):
        kind = local_name(element)
        if kind == "testcase" and broken_parts(element):
            yield case_name(element)
        elif kind == "UnitTestResult" and element.get("outcome") not in ("Passed", "NotExecuted", None):
            yield element.get("testName") or ""


def _digest(name: str, lines: Iterator[str] | Sequence[str]) -> str:
    return f"{name} {hashlib.sha256(chr(10).join(lines).encode('utf-8', 'replace')).hexdigest()[:16]}"


def new_failures(now: Sequence[str], before: Sequence[str]) -> list[str]:
    """What failed now and did not before, each as often as it was added."""
    return sorted((Counter(now) - Counter(before)).elements())


def names(told: Sequence[str], most: int = 5) -> str:
    """Failures as people read them; nothing where none has a name."""
    shown = list(dict.fromkeys(one for one in told if not re.match(r"(exit|output) \w+$", one)))
    more = f" and {len(shown) - most} more" if len(shown) > most else ""
    return ", ".join(shown[:most]) + more
