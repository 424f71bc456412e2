"""pytest, unittest and Django, and tracebacks wherever they are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from honk.verify.distil.fault import Distilled, Fault, Printed, Report

_SECTION = re.compile(r"^={3,} (.+?) ={3,}$")
_BLOCK = re.compile(r"^_{3,} (.+?) _{3,}$")
_CAPTURED = re.compile(r"^-{3,} Captured .* -{3,}$")
_LOCATION = re.compile(r"^(\S[^:]*\.\w+:\d+): ?(.*)$")
_SAID = re.compile(r"^E(?: {3}|$)")
_SUMMARY = re.compile(r"^(?:FAILED|ERROR) (\S.*)$")
_COUNTS = re.compile(
    r"^=*\s?((?:\d+ (?:failed|passed|errors?|skipped|warnings?|deselected|xfailed|xpassed|rerun)(?:, )?)+.*?)=*$"
)
_TALK = re.compile(r"^E\s+(?:Use -v to get|Full diff|\.\.\.Full output|$)")
_MARKED = re.compile(r"\s+[-+?] ")
_GENERAL = re.compile(
    r"^(?:ERROR: (?!Coverage)|FAIL Required test coverage|ERROR: Coverage failure|Coverage failure"
    r"|INTERNALERROR> \w*Error|"
    r"ImportError while loading conftest)"
)
_ELSEWHERE = ("site-packages/", "dist-packages/", "/usr/lib/", "/usr/local/lib/", "lib/python", "<frozen ", "/.pyenv/")

_FRAME = re.compile(r'^\s*File "([^"]+)", line (\d+)(?:,? in (.+))?$')
_TRACEBACK = re.compile(r"^(\s*(?:[|+]\s*)*(?:E\s+)?)(?:Exception Group )?Traceback \(most recent call last\):")
_RAISED = re.compile(r"^(?:[A-Za-z_][\w.]*)(?::\s|$)")
_UNIT = re.compile(r"^(FAIL|ERROR): (\S.*)$")
_UNIT_NAME = re.compile(r"^(\w+) \((\w[\w.]*\.\1)\)")


def pytest(printed: Printed, _: Sequence[Report]) -> Distilled | None:
    """Each test that failed: where, what was asserted and what was found, without source, captured output and log."""
    lines = printed.lines
    faults = [*_pytest_blocks(lines)]
    if not faults:
        faults = [*_loose_groups(lines)]
    if not faults:
        faults = [
            Fault(at, at + 1, line)
            for at, line in enumerate(lines)
            if (found := _SUMMARY.match(line)) and ("::" in found[1] or ".py" in found[1])
        ]
    faults += [Fault(at, at + 1, line) for at, line in enumerate(lines) if _GENERAL.match(line)]
    closing = next((found[1].strip() for line in reversed(lines[-60:]) if (found := _COUNTS.match(line))), "")
    return Distilled(faults, closing) if faults else None


def _pytest_blocks(lines: Sequence[str]) -> Iterator[Fault]:
    """The blocks under FAILURES and ERRORS."""
    within = False
    begun: int | None = None
    title = ""
    for at, line in enumerate(lines):
        section = _SECTION.match(line) if line[:3] == "===" else None
        block = _BLOCK.match(line) if within and line[:3] == "___" else None
        if section or block:
            if begun is not None:
                yield _pytest_block(lines, begun, at, title)
            begun = None
        if section:
            within = section[1] in ("FAILURES", "ERRORS")
        elif block:
            begun, title = at, block[1]
        elif within and begun is None and _LOCATION.match(line):
            # --tb=line
            yield Fault(at, at + 1, line)
    if begun is not None:
        yield _pytest_block(lines, begun, len(lines), title)


def _pytest_block(lines: Sequence[str], at: int, until: int, title: str) -> Fault:
    end = next((index for index in range(at + 1, until) if _CAPTURED.match(lines[index])), until)
    title = title.removeprefix("ERROR collecting ").strip()
    said = [index for index in range(at, end) if _SAID.match(lines[index])]
    if not said:
        return _without_marks(lines, at, end, title)
    frames = [found for line in lines[at + 1 : end] if (found := _LOCATION.match(line))]
    own = [found for found in frames if not any(place in found[1] for place in _ELSEWHERE)] or frames
    place = own[-1][1] if own else ""
    first = lines[said[0]][1:].strip()
    details = []
    before = next((index for index in range(said[0] - 1, at, -1) if lines[index].strip(" ^~")), at)
    if before > at and lines[before].startswith((">", "    ")) and not _LOCATION.match(lines[before]):
        details.append(lines[before].rstrip())
    details += _difference([lines[index][1:].rstrip() for index in said[1:] if not _TALK.match(lines[index])])
    details += [f"{found[1]}: {found[2]}".removesuffix(": ") for found in reversed(own[:-1])]
    if place.partition(":")[0] == title:
        title = ""
    headline = ": ".join(part for part in (place, title, first) if part)
    return Fault(at, until, headline, details, like=f"{place}: {first}")


def _without_marks(lines: Sequence[str], at: int, end: int, title: str) -> Fault:
    """A block without pytest's own marks: --tb=native, a doctest, a file that is no Python."""
    if raised := _raised(lines, at, end):
        place, said, details = raised
        return Fault(at, end, f"{place}: {title}: {said}", details, like=f"{place}: {said}")
    told = [line for line in lines[at + 1 : end] if line.strip()]
    return Fault(at, end, f"{title}: {told[-1].strip()}" if told else title, told[-8:-1])


def _difference(details: Sequence[str]) -> list[str]:
    """Of a long comparison the lines that differ, and the line that each is in."""
    marked = [number for number, line in enumerate(details) if _MARKED.match(line)]
    if len(details) <= 12 or not marked:
        return list(details)
    kept = [number for number, line in enumerate(details[: marked[0]]) if not line.startswith("      ")]
    last = -2
    for number in marked:
        if number > last + 1:
            kept += _around(details, number)
        kept.append(number)
        last = number
    return [details[number] for number in kept if not re.match(r"\s+\? ", details[number])]


def _around(details: Sequence[str], at: int) -> list[int]:
    """The nearest line above that is indented less: the key of what differs, mostly."""
    depth = _depth(details[at])
    return next(([n] for n in range(at - 1, max(-1, at - 40), -1) if 0 < _depth(details[n]) < depth), [])


def _depth(line: str) -> int:
    text = re.sub(r"^(\s+)[-+?]", r"\1 ", line)
    return len(text) - len(text.lstrip())


def _loose_groups(lines: Sequence[str]) -> Iterator[Fault]:
    """What pytest says of a conftest that cannot be imported, or with --tb=native and without blocks."""
    at = 0
    while at < len(lines):
        if not (_SAID.match(lines[at]) and lines[at].strip() != "E"):
            at += 1
            continue
        until = at
        while until < len(lines) and lines[until].startswith("E  "):
            until += 1
        before = [line for line in lines[max(0, at - 6) : at] if _LOCATION.match(line)]
        place = before[-1].rpartition(":")[0] + ": " if before else ""
        yield Fault(at, until, place + lines[at][1:].strip(), [line[1:].rstrip() for line in lines[at + 1 : until]])
        at = until


def unittest(printed: Printed, _: Sequence[Report]) -> Distilled | None:
    """Each test that failed, with the line of the test and what was raised."""
    lines = printed.lines
    bars = [at for at, line in enumerate(lines) if line[:20] == "=" * 20 and not line.strip("=")]
    faults = []
    for number, bar in enumerate(bars):
        if bar + 2 >= len(lines) or not (found := _UNIT.match(lines[bar + 1])):
            continue
        limit = bars[number + 1] if number + 1 < len(bars) else len(lines)
        starts = (index for index in range(bar + 3, limit) if lines[index][:20] == "-" * 20)
        until = next(starts, limit)
        raised = _raised(lines, bar + 2, until)
        place, said, details = raised or ("", "", [line for line in lines[bar + 3 : until] if line])
        title = _UNIT_NAME.sub(r"\2", found[2])
        headline = ": ".join(part for part in (place, title, said) if part)
        faults.append(Fault(bar, until, headline, details, like=f"{place}: {said}"))
    closing = next(
        (line for line in reversed(lines[-60:]) if line.startswith("FAILED (") or line.startswith("NO TESTS RAN")), ""
    )
    return Distilled(faults, closing) if faults else None


def tracebacks(printed: Printed, _: Sequence[Report]) -> Distilled | None:
    """Tracebacks, by what was raised and where; and where Python itself was ended."""
    lines = printed.lines
    faults = list(_fatal(lines))
    at = 0
    while at < len(lines):
        if not (begun := _TRACEBACK.match(lines[at])):
            at += 1
            continue
        indent = len(begun[1])
        until = at + 1
        while until < len(lines) and (not lines[until][indent:].strip() or lines[until][indent:][:1].isspace()):
            until += 1
        while until < len(lines) and until < at + 400 and _more_of_it(lines, until, indent):
            until += 1
        raised = _raised(lines, at, until, indent)
        if raised:
            place, said, details = raised
            faults.append(Fault(at, until, ": ".join(part for part in (place, said) if part), details, sure=False))
        at = max(until, at + 1)
    return Distilled(faults) if faults else None


def _fatal(lines: Sequence[str]) -> Iterator[Fault]:
    for at, line in enumerate(lines):
        if "Fatal Python error: " not in line:
            continue
        frames = [found for text in lines[at + 1 : at + 60] if (found := _FRAME.match(text))]
        own = [found for found in frames if not any(place in found[1] for place in _ELSEWHERE)]
        place = f"{own[0][1]}:{own[0][2]}: " if own else ""
        said = "Fatal Python error: " + line.partition("Fatal Python error: ")[2]
        yield Fault(at, at + 1, place + said, [f"{found[1]}:{found[2]} in {found[3]}" for found in own[1:4]])


def _more_of_it(lines: Sequence[str], at: int, indent: int) -> bool:
    """Whether a line goes on with a traceback: what was raised, or that it was raised during another's handling."""
    if at + 1 >= len(lines):
        return bool(_RAISED.match(lines[at][indent:]))
    text = lines[at][indent:]
    if not text.strip():
        return lines[at + 1][indent:].startswith(("During handling", "The above exception", "Traceback"))
    before = lines[at - 1][indent:]
    return (
        text.startswith(("During handling", "The above exception", "Traceback"))
        or (before.startswith((" ", "Traceback")) and bool(_RAISED.match(text)))
        or text.startswith("  ")
    )


def _raised(lines: Sequence[str], at: int, until: int, indent: int = 0) -> tuple[str, str, list[str]] | None:
    """Of the last traceback in these lines: the repository's own last place, what was raised, and what else helps."""
    frames = [(index, found) for index in range(at, until) if (found := _FRAME.match(lines[index].lstrip(" |E")))]
    if not frames:
        return None
    said = next(
        (
            index
            for index in range(frames[-1][0] + 1, until)
            if (text := lines[index][indent:]) and not text[:1].isspace() and text.strip(" ^~")
        ),
        None,
    )
    if said is None:
        return None
    own = [frame for frame in frames if not any(place in frame[1][1] for place in _ELSEWHERE)] or frames
    index, frame = own[-1]
    source = lines[index + 1].strip() if index + 1 < until else ""
    details = [f"    {source}"] if source and not _FRAME.match(source) else []
    after = [line[indent:] for line in lines[said + 1 : min(until, said + 30)] if line.strip()]
    chained = next((n for n, line in enumerate(after) if line.startswith(("During handling", "Traceback"))), len(after))
    details += after[:chained]
    details += [f"{other[1]}:{other[2]} in {other[3]}" for _, other in reversed(own[:-1])][:4]
    return f"{frame[1]}:{frame[2]}", lines[said][indent:].strip(), details


_ISSUE = re.compile(r"^>> Issue: (?P<said>.*)$")


def bandit(printed: Printed, _: Sequence[Report]) -> Distilled | None:
    """The issues, each with its place."""
    lines = printed.lines
    faults = []
    for at, line in enumerate(lines):
        if found := _ISSUE.match(line):
            near = lines[at + 1 : at + 12]
            place = next((text.partition(": ")[2] for text in near if text.startswith("   Location: ")), "")
            source = [text for text in near if place and text.startswith(place.split(":")[1] + "\t")]
            faults.append(Fault(at, at + 8, f"{place}: {found['said']}", source))
    return Distilled(faults) if faults else None
