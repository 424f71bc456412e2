"""Maven, Gradle and the stack traces of what they run."""

from __future__ import annotations

import re
from collections.abc import Sequence

from honk.verify.distil.fault import Distilled, Fault, Printed, Report

_FRAME = re.compile(r"^\s+at (?:[\w.$/@-]+/)?(?P<method>[\w.$<>]+)\((?P<place>[\w$]+\.\w+:\d+)\)$")
_GRADLE_FRAME = re.compile(r"^\s+(?:at )?(?:app//)?(?:[\w.$]+ at )?(?P<place>[\w$]+\.\w+:\d+)$")
_FOREIGN = (
    "java.",
    "javax.",
    "jdk.",
    "sun.",
    "org.junit.",
    "junit.",
    "org.apache.maven",
    "org.gradle",
    "org.assertj",
    "org.hamcrest",
    "org.opentest4j",
    "kotlin.",
    "com.sun.",
    "org.mockito",
    "org.codehaus",
)
_SUREFIRE = re.compile(
    r"^\[ERROR\]\s+(?!Tests run:)(?P<test>[\w.$]+(?:\([^)]*\)"
    r"|\[[^\]]*\])?.{0,200}?)\s+(?:--\s+)?Time elapsed: .*<<< (?P<how>FAILURE|ERROR)!"
)
_LISTED = re.compile(r"^\[ERROR\]\s{2,}(?P<test>[\w.$]+(?:\.[\w$<>{}\[\], ]+)?:\d+.*|[\w.$]+ ?[»>-].*)$")
_GOAL = re.compile(
    r"^\[ERROR\] (?:Failed to execute goal .*|Plugin .* could not be resolved.*|Some problems were encountered.*"
    r"|Non-\w+ .*|\[FATAL\].*|The goal you specified.*|Unknown lifecycle.*|'\S+' .*)$"
)
_SCANNED = re.compile(
    r"^\[(?:ERROR|FATAL)\] (?P<said>(?:Malformed|Non-(?:resolvable|readable)|'[\w.]+' |Rule \d+:|Dependency ).*)$"
)
_NOT_FETCHED = re.compile(r"Could not (?:transfer|find) artifact ")
_NEEDLESS = re.compile(r": transfer failed for \S+(?=[:,] )| during a previous attempt\..*")
_TOTAL = re.compile(r"^\[(?:ERROR|WARNING)\]\s+(?P<total>Tests run: \d+, Failures: \d+, Errors: \d+.*)$")


def maven(printed: Printed, _: Sequence[Report]) -> Distilled | None:
    """Each failing test with what it said and its own line; for the rest, why the goal failed."""
    lines = printed.lines
    faults = []
    for at, line in enumerate(lines):
        if not (found := _SUREFIRE.match(line)):
            continue
        until = at + 1
        while until < min(len(lines), at + 200) and lines[until] and not lines[until].startswith("["):
            until += 1
        faults.append(_traced(lines, at, until, found["test"]))
    if not faults:
        faults = [
            Fault(at, at + 1, line.removeprefix("[ERROR]").strip())
            for at, line in enumerate(lines)
            if _LISTED.match(line)
        ]
    faults += [Fault(at, at + 1, found["said"]) for at, line in enumerate(lines) if (found := _SCANNED.match(line))]
    goals = [_goal(at, line) for at, line in enumerate(lines) if _GOAL.match(line)]
    total = next((found["total"] for line in reversed(lines) if (found := _TOTAL.match(line))), "")
    if not faults and not goals:
        return None
    return Distilled([*faults, *goals[:1]], total.partition(", Time")[0])


def _goal(at: int, line: str) -> Fault:
    """Why a goal failed. Of something that could not be fetched Maven tells all that wanted it in one line, and at its
    end what the matter was."""
    said = _NEEDLESS.sub("", line.removeprefix("[ERROR] ").partition(" -> [Help")[0])
    last = max((found.start() for found in _NOT_FETCHED.finditer(said)), default=0)
    head, cause = said[:last].rstrip(": "), said[last:]
    return Fault(at, at + 1, head or cause, [cause] if head else [], sure=False)


def _traced(lines: Sequence[str], at: int, until: int, title: str) -> Fault:
    """A test's name, what was thrown, and the frames that are the repository's own."""
    body = lines[at + 1 : until]
    places = [
        found["place"] for line in body
        if (found := _FRAME.match(line)) and not found["method"].startswith(_FOREIGN)
    ] or [found["place"] for line in body if (found := _GRADLE_FRAME.match(line))]  # fmt: skip
    said = [line.strip() for line in body if line.strip() and not line.lstrip().startswith(("at ", "... "))]
    causes = [line for line in said if line.startswith("Caused by: ")]
    first, rest = (said[0], [line for line in said[1:] if line not in causes]) if said else ("", [])
    place = places[0] if places else ""
    headline = ": ".join(part for part in (place, title.strip(), first) if part)
    return Fault(at, until, headline, [*rest[:4], *causes[-1:], *dict.fromkeys(places[1:4]), *rest[4:12]])


_GRADLE_TEST = re.compile(r"^(?P<test>\S.* > .+?) (?P<how>FAILED)$")
_WRONG = "* What went wrong:"
_ONLY_TESTS = re.compile(r"There were failing tests|Compilation (?:error|failed)|See the report at")


def gradle(printed: Printed, _: Sequence[Report]) -> Distilled | None:
    """Each failing test; and what Gradle says went wrong."""
    lines = printed.lines
    faults = []
    for at, line in enumerate(lines):
        if found := _GRADLE_TEST.match(line):
            until = at + 1
            while until < min(len(lines), at + 200) and (not lines[until] or lines[until].startswith("    ")):
                until += 1
            faults.append(_traced(lines, at, until, found["test"]))
        elif line == _WRONG:
            until = next((n for n in range(at + 1, min(len(lines), at + 30)) if lines[n].startswith("* ")), at + 1)
            told = [text.strip() for text in lines[at + 1 : until] if text.strip()]
            if told:
                faults.append(
                    Fault(at, until, " ".join(told[:2]), told[2:], sure=not _ONLY_TESTS.search(" ".join(told)))
                )
    closing = next((line for line in lines if re.match(r"^\d+ tests? completed, \d+ failed", line)), "")
    return Distilled(faults, closing) if faults else None


_THROWN = re.compile(r'^(?:Exception in thread "[^"]*" )(?P<said>[\w.$]+.*)$')
_DOTNET_FAILED = re.compile(r"^\s{1,3}(?:Failed|X) (?P<test>\S.*?) \[[^\]]*\]$")
_DOTNET_PLACE = re.compile(r"^\s+at .* in (?P<place>\S.*):line (?P<line>\d+)$")


def thrown(printed: Printed, _: Sequence[Report]) -> Distilled | None:
    """An exception that ended a program on the Java machine."""
    lines = printed.lines
    faults = []
    for at, line in enumerate(lines):
        if _THROWN.match(line):
            until = at + 1
            while until < min(len(lines), at + 300) and lines[until].lstrip().startswith(("at ", "... ", "Caused by")):
                until += 1
            faults.append(_traced(lines, at - 1, until, ""))
    return Distilled(faults) if faults else None


def dotnet_test(printed: Printed, _: Sequence[Report]) -> Distilled | None:
    """Tests as `dotnet test` lists those that failed."""
    lines = printed.lines
    starts = [(at, found["test"]) for at, line in enumerate(lines) if (found := _DOTNET_FAILED.match(line))]
    faults = []
    for number, (at, test) in enumerate(starts):
        limit = starts[number + 1][0] if number + 1 < len(starts) else min(len(lines), at + 60)
        until = at + 1
        while until < limit and (not lines[until] or lines[until].startswith("  ")):
            until += 1
        body = lines[at + 1 : until]
        places = [f"{found['place']}:{found['line']}" for line in body if (found := _DOTNET_PLACE.match(line))]
        stop = next((n for n, line in enumerate(body) if line.strip() == "Stack Trace:"), len(body))
        said = [line.strip() for line in body[:stop] if line.strip() and line.strip() != "Error Message:"]
        headline = ": ".join(part for part in (*places[:1], test, *said[:1]) if part)
        faults.append(Fault(at, until, headline, [*said[1:], *places[1:3]]))
    closing = next((line.strip() for line in reversed(lines) if re.match(r"^\s*Failed!\s+- Failed:", line)), "")
    return Distilled(faults, closing) if faults else None
