"""Go, Rust, C and C++: what their test runners say; their compilers are in `diagnostics`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from honk.verify.distil.fault import Distilled, Fault, Printed, Report

_GO_FAIL = re.compile(r"^(?P<indent>\s*)--- FAIL: (?P<name>\S+)(?: \([\d.]+s\))?$")
_GO_STEP = re.compile(r"^\s*(?:=== (?:RUN|PAUSE|CONT|NAME)|--- (?:PASS|FAIL|SKIP):)")
_GO_SAID = re.compile(r"^\s+(?P<place>[\w./-]+\.go:\d+): ?(?P<said>.*)$")
_GO_ENDS = re.compile(r"^(?:FAIL|ok|PASS|\?)(?:\s|$)")
_GO_PANIC = re.compile(r"^(?:panic: |fatal error: |WARNING: DATA RACE)(?!.*\[recovered\]$)")
_GO_FRAME = re.compile(r"^\s+(?P<place>[^\s:]+\.go:\d+)")
_GO_CLOSING = re.compile(r"^FAIL\s+\S+\s+(?:\[.*\]|[\d.]+s)$")
_ELSEWHERE = ("/go/src/", "/usr/lib/", "/usr/local/", "testing/", "runtime/", "/pkg/mod/")


_GO_TELLS = re.compile(
    r"\b(?:want|wanted|got|expected|actual|mismatch|unexpected|not equal|diff(?:ers)?|should|must|timed out)\b|!="
    r"|Error:",
    re.IGNORECASE,
)


def go_test(printed: Printed, _: Sequence[Report]) -> Distilled | None:
    """Each failing test with what it said, also where -v prints that before the verdict; panics."""
    lines = printed.lines
    faults = []
    told = 0
    for at, line in enumerate(lines):
        if at < told:
            continue
        if (found := _GO_FAIL.match(line)) and not _has_failing_child(lines, at, found["name"]):
            said, until = _go_said(lines, at, len(found["indent"]))
            if said:
                faults.append(Fault(at, until, f"{found['name']}: {said[0]}", said[1:]))
            elif not any(_GO_PANIC.match(text) for text in lines[at + 1 : at + 3]):
                faults.append(Fault(at, until, line.strip()))
        elif _GO_PANIC.match(line):
            until = at + 1
            while until < min(len(lines), at + 200) and not (
                _GO_ENDS.match(lines[until]) or _GO_PANIC.match(lines[until])
            ):
                until += 1
            frames = [found["place"] for text in lines[at:until] if (found := _GO_FRAME.match(text))]
            own = [place for place in frames if not any(word in place for word in _ELSEWHERE)]
            said = [text for text in lines[at + 1 : min(until, at + 4)] if text.startswith(("\t", "[signal"))]
            faults.append(Fault(at, until, f"{own[0]}: {line}" if own else line, [*said[:1], *own[1:4]]))
            told = until
    closing = next((line for line in reversed(lines[-200:]) if _GO_CLOSING.match(line)), "")
    return Distilled(faults, closing) if faults or closing else None


def _has_failing_child(lines: Sequence[str], at: int, name: str) -> bool:
    """Whether the next lines tell of a part of this test that failed, which says more."""
    near = lines[at + 1 : at + 3]
    return any(re.match(rf"^\s+--- FAIL: {re.escape(name)}/", line) for line in near)


def _go_said(lines: Sequence[str], at: int, indent: int) -> tuple[list[str], int]:
    """What a test said, and where that ends. What is said once comes before what a loop says again and again, and what
    compares before the rest: go does not tell a log from an error."""
    until = at + 1
    while until < len(lines) and (lines[until].startswith(" " * (indent + 4)) or not lines[until]):
        if _GO_STEP.match(lines[until]):
            break
        until += 1
    said = _go_remarks(lines[at + 1 : until])
    if not said:
        end = at
        while end > max(0, at - 20) and _GO_FAIL.match(lines[end - 1]):
            end -= 1
        begun = end
        while (
            begun > max(0, end - 400) and not _GO_STEP.match(lines[begun - 1]) and not _GO_ENDS.match(lines[begun - 1])
        ):
            begun -= 1
        said = _go_remarks(lines[begun:end])
    places = [remark.partition(": ")[0] for remark in said]
    order = sorted(range(len(said)), key=lambda n: (not _GO_TELLS.search(said[n]), min(places.count(places[n]), 2), n))
    return [said[n] for n in order], until


def _go_remarks(lines: Sequence[str]) -> list[str]:
    """What was said with a place, each with the lines that belong to it."""
    said: list[str] = []
    for line in lines:
        if _GO_SAID.match(line):
            said.append(line.strip())
        elif said and line.startswith("      ") and line.strip():
            said[-1] = f"{said[-1]} {line.strip()}"
    return said


_RUST_BLOCK = re.compile(
    r"^---- (?P<name>.+?) stdout ----$|^\s*(?:-{3,}|─{3,}) (?:STDERR|TRY \d+ STDERR):\s+(?P<next>.+?)\s+(?:-{3,}"
    r"|─{3,})?$"
)
_PANICKED = re.compile(r"^\s*thread '(?P<thread>[^']*)'(?: \(\d+\))? panicked at (?P<place>\S+:\d+:\d+):$")
_PANICKED_BEFORE = re.compile(r"^\s*thread '(?P<thread>[^']*)' panicked at '?(?P<said>.*?)'?, (?P<place>\S+:\d+:\d+)$")


def cargo_test(printed: Printed, _: Sequence[Report]) -> Distilled | None:
    """Each panic, with the test it ended."""
    lines = printed.lines
    faults: dict[str, Fault] = {}
    title = ""
    for at, line in enumerate(lines):
        if found := _RUST_BLOCK.match(line):
            title = (found["name"] or found["next"]).strip()
            continue
        if found := _PANICKED_BEFORE.match(line):
            until, said = at + 1, [found["said"]]
        elif found := _PANICKED.match(line):
            until = at + 1
            while (
                until < min(len(lines), at + 40)
                and lines[until]
                and not lines[until].startswith(("note: run with", "stack backtrace"))
            ):
                until += 1
            said = list(lines[at + 1 : until])
        else:
            continue
        name = title or found["thread"]
        key = f"{found['place']} {name}"
        faults.setdefault(
            key, Fault(at, until, f"{found['place']}: {name}: {said[0] if said else 'panicked'}", said[1:])
        )
        title = ""
    if not faults:
        for at, line in enumerate(lines):
            if found := re.match(r"^test (.+) \.\.\. FAILED$", line):
                faults.setdefault(found[1], Fault(at, at + 1, line))
    results = [line for line in lines if line.startswith("test result: FAILED")]
    return Distilled(list(faults.values()), results[-1].partition(";  ")[0] if results else "") if faults else None


_UNITY = re.compile(r"^(?P<place>\S+:\d+):(?P<name>\w+):FAIL(?:: ?(?P<said>.*))?$")
_CATCH = re.compile(r"^(?P<place>\S+:\d+): FAILED:")
_CTEST_BLOCK = re.compile(r"^\s*\d+/\d+ Test +#\d+: (?P<name>\S+) \.*\*\*\*")
_CTEST_NEXT = re.compile(r"^\s*(?:Start +\d+: |\d+/\d+ Test +#|\d+% tests passed)")
_LAST_WORDS = 6
"""Lines of a test that failed in a way that nothing here knows."""
_LONGEST_BLOCK = 5_000
"""Lines."""
_MOST_TOLD = 100
"""Faults, before which what a test said is looked for."""
_GTEST = re.compile(r"^(?P<place>\S+:\d+): Failure$")
_CTEST = re.compile(
    r"^\s*\d+ - (?P<name>\S.*) \((?P<how>Failed|Timeout|SEGFAULT|Not Run|.*Exception.*|Child aborted|.*Abort.*)\)"
)
_NATIVE = re.compile(
    r"^(?P<assert>\S+: \S+:\d+: .*Assertion .* failed\.)|^(?P<sanitizer>==\d+==\s?ERROR: .*"
    r"|SUMMARY: \w+Sanitizer: .*|\S+:\d+:\d+: runtime error: .*)"
    r"|^(?P<fault>.*(?:Segmentation fault|Aborted|Bus error|Illegal instruction)(?: \(core dumped\))?.*)$"
)
_ENDED = re.compile(r"^(?:Aborted|Segmentation fault|Bus error|Illegal instruction)(?: \(core dumped\))?$")


def native_tests(printed: Printed, _: Sequence[Report]) -> Distilled | None:
    """GoogleTest, Catch2, Unity, CTest, assertions and sanitizers."""
    lines = printed.lines
    faults: list[Fault] = []
    blocks = {found["name"]: at for at, line in enumerate(lines) if (found := _CTEST_BLOCK.match(line))}
    for at, line in enumerate(lines):
        if found := _GTEST.match(line):
            until = at + 1
            while until < min(len(lines), at + 12) and lines[until] and not lines[until].startswith("["):
                until += 1
            name = next(
                (
                    text.partition("]")[2].strip()
                    for text in reversed(lines[max(0, at - 50) : at])
                    if text.startswith("[ RUN")
                ),
                "",
            )
            body = [text.strip() for text in lines[at + 1 : until]]
            faults.append(Fault(at, until, f"{found['place']}: {name}: {' '.join(body[:3])}", body[3:]))
        elif found := _UNITY.match(line):
            faults.append(Fault(at, at + 1, f"{found['place']}: {found['name']}: {found['said'] or 'FAIL'}"))
        elif found := _CATCH.match(line):
            until = next((one for one in range(at + 1, min(len(lines), at + 12)) if not lines[one]), at + 1)
            faults.append(Fault(at, until, f"{found['place']}: {' '.join(map(str.strip, lines[at + 1 : until]))}"))
        elif (found := _NATIVE.match(line)) and len(line) < 400:
            # The shell only says how it ended; what it said last tells why.
            before = [text for text in lines[max(0, at - 3) : at] if text] if _ENDED.match(line) else []
            faults.append(Fault(at, at + 1, line.strip(), before[-2:], sure=not found["fault"]))
        elif found := _CTEST.match(line):
            said = _ctest_said(lines, blocks.pop(found["name"], None), faults) if len(faults) < _MOST_TOLD else []
            faults.append(Fault(at, at + 1, f"{found['name']} ({found['how']})", said, sure=False))
    closing = next((line for line in lines if re.match(r"^\d+% tests passed, \d+ tests? failed", line)), "")
    return Distilled(faults, closing) if faults else None


def _ctest_said(lines: Sequence[str], start: int | None, faults: Sequence[Fault]) -> list[str]:
    """The last words of a test that failed, from the line that says so, where none of the faults is told of it."""
    if start is None:
        return []
    ends = range(start + 1, min(len(lines), start + _LONGEST_BLOCK))
    until = next((at for at in ends if _CTEST_NEXT.match(lines[at])), ends.stop)
    if any(start < fault.at < until for fault in faults):
        return []
    return [line for line in lines[start + 1 : until] if line.strip()][-_LAST_WORDS:]
