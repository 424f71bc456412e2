"""Bazel: what is wrong in its own files, in the commands that it runs, and in what its tests printed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from honk.verify.distil.fault import Distil, Distilled, Fault, Printed, Report

_TEST = re.compile(r"^=+ Test output for (?P<label>(?:@|//)\S*?)(?: \(.*\))?:$")
_TEST_ENDS = re.compile(r"^={60,}$")
_RESULT = re.compile(
    r"^(?P<label>(?:@|//)\S+) +(?:\(cached\) )?"
    r"(?P<how>FAILED(?! TO BUILD)\b.*|TIMEOUT\b.*|NO STATUS.*|REMOTE FAILURE.*)$"
)
_TOLD = re.compile(r"^(?:INFO|ERROR|WARNING|DEBUG|FAIL|TIMEOUT|FLAKY): |^(?:@|//)\S+ {3,}\S|^Executed \d+ out of ")
_ERROR = re.compile(r"^ERROR: (?P<said>\S.*)$")
_COMMAND = re.compile(r"^(?P<said>\S+:\d+:\d+: .* failed: \(.*?\)): .*?failed: error executing .*$")
_ABOUT_IT = re.compile(r"^  \S|^    +[A-Z_]+=|^# |^Use --\w+|^Execution platform: ")
_TRACE = re.compile(r"^Traceback \(most recent call last\):$|: Traceback \(most recent call last\):$")
_FRAME = re.compile(r'^\s+File "(?P<path>[^"]+)", line (?P<line>\d+)(?:, column (?P<column>\d+))?')
_RAISED = re.compile(r"^\s*(?:Error(?: in \w+)?|\w+Error): ?(?P<said>.*)$")
_INTO = re.compile(r" to \S*/temp\d+/\S+?(?=: |$)")
_USE = re.compile(r"^\S+:\d+:\d+: | and referenced by .*$")
"""Who needs what is not there, which may be many."""
_CONSEQUENCE = re.compile(
    r"^(?:package contains errors|command succeeded, but|Analysis of target .* failed; build aborted|Couldn't start"
    r"|Build did NOT|Build failed|No test targets were found|Skipping |Evaluation of query|Error computing"
    r"|Error fetching repository|Target pattern parsing)"
)
_CLOSING = re.compile(r"^Executed \d+ out of \d+ tests?: .*\bfails?\b.*$")
_ANNOUNCED = ("FAIL: ", "TIMEOUT: ", "FLAKY: ", "INFO: From Testing ")


def bazel(inner: Distil) -> Distil:
    """A distiller of what Bazel prints. `inner` reads what a test or a command printed, which may be of any tool."""

    def distil(printed: Printed, reports: Sequence[Report]) -> Distilled | None:
        tests = list(_tests(printed.lines, inner))
        told = {at for fault in tests for at in range(fault.at, fault.until)}
        errors = [fault for fault in _errors(printed.lines, inner) if fault.at not in told]
        named = {fault.like for fault in tests}
        results = [
            Fault(at, at + 1, f"{found['label']}: {found['how']}")
            for at, line in enumerate(printed.lines)
            if (found := _RESULT.match(line)) and found["label"] not in named
        ]
        plain = [Fault(one.at, one.until, one.headline, one.details, one.sure) for one in tests]
        faults = sorted([*errors, *plain, *results], key=lambda fault: fault.at)
        closing = next((line for line in reversed(printed.lines[-20:]) if _CLOSING.match(line)), "")
        return Distilled(faults, closing) if faults else None

    return distil


def _tests(lines: Sequence[str], inner: Distil) -> Iterator[Fault]:
    """The failures in the printed logs of tests; `like` is the test's label."""
    hows = {found["label"]: found["how"] for line in lines if (found := _RESULT.match(line))}
    at = 0
    while at < len(lines):
        found = _TEST.match(lines[at])
        at += 1
        if not found:
            continue
        ends = (n for n in range(at, len(lines)) if _TEST_ENDS.match(lines[n]) or _TEST.match(lines[n]))
        until = next(ends, len(lines))
        start = at - 1
        while start and lines[start - 1].startswith(_ANNOUNCED):
            start -= 1
        body, label = lines[at:until], found["label"]
        # One that is not among the results passed when it was run again, unless Bazel was ended before it told any.
        if label in hows or not hows:
            inside = _inside(body, inner)
            if inside:
                first, *others = inside
                yield Fault(start, until + 1, f"{label}: {first.headline}", first.details, like=label)
                yield from (
                    Fault(at + one.at, at + one.until, one.headline, one.details, one.sure, label) for one in others
                )
            else:
                last, how = [line for line in body if line][-6:], hows.get(label, "FAILED")
                yield Fault(start, until + 1, f"{label}: {how}", last or ["It printed nothing."], like=label)
        at = until


def _errors(lines: Sequence[str], inner: Distil) -> Iterator[Fault]:
    """What Bazel itself calls an error, with what belongs to it."""
    for at, line in enumerate(lines):
        found = _ERROR.match(line)
        if not found:
            continue
        if _CONSEQUENCE.match(found["said"]):
            yield Fault(at, at + 1, found["said"], sure=False)
            continue
        until = next((n for n in range(at + 1, len(lines)) if _TOLD.match(lines[n])), len(lines))
        if command := _COMMAND.match(found["said"]):
            yield from _command(command["said"], lines, at, until, inner)
        elif frames := [place for text in lines[at + 1 : until] if (place := _FRAME.match(text))]:
            yield _raised(found["said"], lines[at + 1 : until], frames[-1], (at, until))
        else:
            said = _INTO.sub("", found["said"])
            below = [text for text in lines[at + 1 : until] if text][:4]
            yield Fault(at, at + 1, said, below, like=_USE.sub("", said))


def _command(said: str, lines: Sequence[str], at: int, until: int, inner: Distil) -> Iterator[Fault]:
    """A command that failed: what it printed says more than the command, which is pages long."""
    begin = at + 1
    while begin < until and (not lines[begin] or _ABOUT_IT.match(lines[begin])):
        begin += 1
    body = lines[begin:until]
    inside = _inside(body, inner)
    sure = any(fault.sure for fault in inside)
    plain = [text for text in body if text]
    # Bazel puts what went to the error output first, whenever that was.
    ends = plain if len(plain) <= 6 else [*plain[:2], *plain[-4:]]
    yield Fault(at, begin, said, [] if inside else ends, sure=not sure)
    for one in inside:
        yield Fault(begin + one.at, begin + one.until, one.headline, one.details, one.sure)


def _raised(said: str, lines: Sequence[str], frame: re.Match[str], where: tuple[int, int]) -> Fault:
    """What Starlark raised, at its innermost place."""
    raised = next((found["said"] for line in lines if (found := _RAISED.match(line))), "")
    place = f"{frame['path']}:{frame['line']}" + (f":{frame['column']}" if frame["column"] else "")
    if "fetch of repository" in said:
        # The place is in Bazel's own rules; what it could not fetch is in the words.
        return Fault(*where, f"{said.rstrip(':')}: {_INTO.sub('', raised)}")
    about = "" if _TRACE.search(said) else f"{said.rstrip(':')}: "
    return Fault(*where, f"{place}: {about}{raised}")


def _inside(body: Sequence[str], inner: Distil) -> list[Fault]:
    text = "\n".join(body)
    told = inner(Printed(text, body, text), ())
    return list(told.faults) if told else []
