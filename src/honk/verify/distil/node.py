"""JavaScript and TypeScript: test runners, eslint and prettier, tsc's code frames, npm."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from honk.verify.distil.difference import difference
from honk.verify.distil.fault import Distilled, Fault, Printed, Report

_AT = re.compile(r"^\s*(?:at\s|❯\s|›\s)(?:.*?\()?(?:file://)?(?P<place>[^\s()]+:\d+(?::\d+)?)\)?$")
_FOREIGN = ("node_modules/", "node:", "internal/", "<anonymous>")
_POINTED = re.compile(r"^\s*[>❯]\s*\d+\s*[|│┃]")
_FRAME = re.compile(r"^\s*(?:\d+\s*)?[|│┃]")
_JEST = re.compile(r"^\s{2}● (?!Console\b)(?P<title>\S.*)$")
_JEST_ENDS = re.compile(
    r"^\s*(?:Test Suites:|Tests:|(?:PASS|FAIL|RUNS)\s|Summary of all failing tests|Snapshot Summary|-{10,}[|]|"
    r"› \d+ snapshot|console\.\w+$|● Console$)"
)
_JEST_FILE = re.compile(r"^\s*FAIL\s+(?P<path>\S+)")
_NOT_RUN = "Test suite failed to run"
_VITEST = re.compile(r"^\s*FAIL\s{1,4}(?P<title>\S.*)$|^(?P<unhandled>⎯+ (?:Unhandled|Uncaught) .*) ⎯+$")
_RULE = re.compile(r"^⎯{3,}")
_COUNTS = re.compile(
    r"^\s*(?:Tests:?\s+\d.*|\d+ failing|# fail [1-9]\d*|ℹ fail [1-9]\d*|✖ \d+ problems?.*|\d+ tests? failed"
    r"|\d+ specs?, \d+ failures?)$"
)


def jest(printed: Printed, _: Sequence[Report]) -> Distilled | None:
    """Each failing test or suite once, although jest tells long runs' failures twice."""
    lines = printed.lines
    starts = [(at, found["title"]) for at, line in enumerate(lines) if (found := _JEST.match(line))]
    faults: dict[str, Fault] = {}
    for number, (at, named) in enumerate(starts):
        limit = starts[number + 1][0] if number + 1 < len(starts) else len(lines)
        until = next((index for index in range(at + 1, limit) if _JEST_ENDS.match(lines[index])), limit)
        title, begun = named, at
        if title == _NOT_RUN:
            files = (
                found["path"] for index in range(at, max(-1, at - 200), -1) if (found := _JEST_FILE.match(lines[index]))
            )
            title = next(files, title)
            # Above what was thrown there is advice.
            begun = next((n for n in range(at + 1, until) if re.match(r"^\s+\w*Error: ", lines[n])), at + 1) - 1
        faults.setdefault(title, _told(lines, at, until, title, head_until=begun))
    return Distilled(list(faults.values()), _closing(lines)) if faults else None


def vitest(printed: Printed, _: Sequence[Report]) -> Distilled | None:
    """Each failing test; several that fail alike stand above one error."""
    lines = printed.lines
    faults = []
    heads: list[tuple[int, str]] = []
    for at, line in enumerate(lines):
        if found := _VITEST.match(line):
            heads.append((at, found["title"] or found["unhandled"].strip("⎯ ")))
        elif heads and (_RULE.match(line) or at == len(lines) - 1) and at > heads[-1][0] + 1:
            faults.append(
                _told(lines, heads[0][0], at, heads[0][1], [f"also {title}" for _, title in heads[1:4]], heads[-1][0])
            )
            heads = []
    return Distilled(faults, _closing(lines)) if faults else None


_LIST = re.compile(r"^\s*\d+ failing$|^Failures:$|^There (?:was|were) \d+ (?:failure|error)s?:$")
_NUMBERED = re.compile(r"^\s{0,2}\d+\) (?P<title>\S.*)$")
_LABELS = ("Message:", "Stack:")


def numbered(printed: Printed, _: Sequence[Report]) -> Distilled | None:
    """mocha, jasmine, RSpec and PHPUnit: the failures that are listed with a number at the end."""
    lines = printed.lines
    begun = next((at for at, line in enumerate(lines) if _LIST.match(line)), None)
    if begun is None:
        return None
    starts = [at for at in range(begun, len(lines)) if _NUMBERED.match(lines[at])]
    faults = []
    for number, at in enumerate(starts):
        limit = starts[number + 1] if number + 1 < len(starts) else len(lines)
        title, body = [_NUMBERED.sub(r"\g<title>", lines[at])], at + 1
        # mocha puts each suite on a line of its own, and a colon after the test.
        while lines[at].startswith("  ") and body < limit and lines[body] and not title[-1].endswith(":"):
            title.append(lines[body].strip())
            body += 1
        faults.append(_told(lines, at, limit, " ".join(title).rstrip(":"), head_until=body - 1))
    closing = lines[begun].strip() if "failing" in lines[begun] else _closing(lines)
    return Distilled(faults, closing) if faults else None


def ava(printed: Printed, _: Sequence[Report]) -> Distilled | None:
    """What AVA tells of each failing test at the end, between rules."""
    lines = printed.lines
    rules = [at for at, line in enumerate(lines) if line == "  ─"]
    faults = []
    for at, until in pairwise(rules):
        title = next((n for n in range(at + 1, until) if lines[n]), at)
        faults.append(_told(lines, at, until, lines[title].strip(), head_until=title))
    return Distilled(faults, _closing(lines)) if faults else None


_SPEC = re.compile(r"^\s*✖ (?P<title>.+?)(?: \([\d.]+ms\))?$")


def node_test(printed: Printed, _: Sequence[Report]) -> Distilled | None:
    """What node's own runner lists as failing tests at the end."""
    lines = printed.lines
    begun = next((at for at, line in enumerate(lines) if line.strip() == "✖ failing tests:"), None)
    if begun is None:
        return None
    starts = [at for at in range(begun + 1, len(lines)) if _SPEC.match(lines[at])]
    faults = []
    for number, at in enumerate(starts):
        limit = starts[number + 1] - 1 if number + 1 < len(starts) else len(lines)
        declared = re.match(r"^test at (\S+)$", lines[at - 1])
        title = _SPEC.sub(r"\g<title>", lines[at]).strip()
        faults.append(_told(lines, at - 1, limit, title, head_until=at, declared=declared[1] if declared else ""))
    return Distilled(faults, _closing(lines)) if faults else None


def _told(
    lines: Sequence[str],
    at: int,
    until: int,
    title: str,
    more: Sequence[str] = (),
    head_until: int | None = None,
    declared: str = "",
) -> Fault:
    """A failure as all these runners tell it: what was said, a difference, a frame of code, a stack."""
    body = lines[(at if head_until is None else head_until) + 1 : until]
    place = next(
        (
            found["place"]
            for line in body
            if (found := _AT.match(line)) and not any(f in found["place"] for f in _FOREIGN)
        ),
        "",
    )
    said = [line.strip() for line in body if line.strip() and not _AT.match(line) and not _FRAME.match(line)]
    place = place or declared
    said = [
        line
        for line in said
        if not re.match(r"^(?:generatedMessage|code|operator|diff): |^[{}]$|^\d+: |^\S+\.\w+:\d+$|^Difference \(", line)
    ]
    said = [line for line in said if not _POINTED.match(line) and not line.startswith(("⎯", "at ")) | (line in _LABELS)]
    pointed = [line.strip() for line in body if _POINTED.match(line)][:2]
    first, rest = (said[0], difference(said[1:])) if said else ("", [])
    if rest and first.endswith(":"):
        first = f"{first} {rest.pop(0)}"
    if place and place in title:
        place = ""
    if place and place.partition(":")[0] == title.partition(" > ")[0].strip():
        title = title.partition(" > ")[2] or title
    headline = ": ".join(part for part in (place, title, first) if part)
    return Fault(at, until, headline, [*rest[:8], *pointed, *more, *rest[8:30]])


def _closing(lines: Sequence[str]) -> str:
    return next((line.strip() for line in reversed(lines[-80:]) if _COUNTS.match(line)), "")


_STYLISH = re.compile(r"^\s+(?P<place>\d+:\d+)\s+(?P<grave>error|warning|✖|⚠|×)\s+(?P<message>\S.*)$")
_FILE = re.compile(r"^(?P<path>\S[^:]*\.\w{1,10})$")


def stylish(printed: Printed, _: Sequence[Report]) -> Distilled | None:
    """eslint, stylelint and others that list what they found below each file's name."""
    faults, mild = [], []
    path = ""
    for at, line in enumerate(printed.lines):
        if found := _FILE.match(line):
            path = found["path"]
        elif path and (found := _STYLISH.match(line)):
            message = re.sub(r"\s{2,}", "  ", found["message"])
            if found["grave"] in ("warning", "⚠"):
                mild.append(Fault(at, at + 1, f"{path}:{found['place']} {message}", sure=False))
            else:
                faults.append(Fault(at, at + 1, f"{path}:{found['place']} {message}"))
    return Distilled(faults or mild, _closing(printed.lines)) if faults or mild else None


_PRETTY = re.compile(r"^(?P<place>\S+\.\w+:\d+:\d+) - (?P<message>(?:error|warning).*)$")
_BIOME = re.compile(r"^(?P<place>\S+\.\w+(?::\d+:\d+)?) (?P<rule>[\w/-]+)(?:\s+FIXABLE)?\s+━{3,}")


def frames(printed: Printed, _: Sequence[Report]) -> Distilled | None:
    """tsc --pretty and biome: a headline with the place, below it a frame of code."""
    lines = printed.lines
    faults = []
    for at, line in enumerate(lines):
        if found := _PRETTY.match(line):
            source = [text for text in lines[at + 1 : at + 6] if re.match(r"^\d+\s+\S", text)]
            more = [text for text in lines[at + 1 : at + 6] if text.startswith("  ") and text.strip(" ~^")]
            faults.append(Fault(at, at + 1, f"{found['place']}: {found['message']}", [*more, *source[:1]]))
        elif found := _BIOME.match(line):
            until = next((index for index in range(at + 1, len(lines)) if _BIOME.match(lines[index])), len(lines))
            said = [text.strip() for text in lines[at + 1 : min(until, at + 40)] if re.match(r"^\s+[×✖!ℹ] ", text)]
            pointed = [text.strip() for text in lines[at + 1 : min(until, at + 40)] if _POINTED.match(text)]
            faults.append(
                Fault(at, until, f"{found['place']} {found['rule']}: {' '.join(said[:1])}", [*pointed[:2], *said[1:]])
            )
    closing = next((line for line in reversed(lines) if re.match(r"^Found \d+ errors?", line)), "")
    return Distilled(faults, closing) if faults else None


_UNFORMATTED = re.compile(
    r"^\[warn\] (?P<prettier>\S.*\.\w+)$|^\[error\] (?P<broken>\S+: .*)$|^[Ww]ould reformat:? (?P<black>\S.*)$"
    r"|^error: cannot format (?P<unread>.*)$|^error: Failed to parse (?P<parse>.*)$"
    r"|^Diff in (?P<rust>\S+?)(?: at line (?P<line>\d+))?:?(?:\d+:)?$"
    r"|^ERROR: (?P<isort>\S+ Imports are incorrectly .*)$"
    r"|^not formatted: (?P<go>\S.*)$|^diff (?:-u )?\S+\.orig (?P<gofmt>\S+)$"
)


def unformatted(printed: Printed, _: Sequence[Report]) -> Distilled | None:
    """Formatters: the files that are not as they would have them, and those that they cannot read."""
    faults: dict[str, Fault] = {}
    for at, line in enumerate(printed.lines):
        if not (found := _UNFORMATTED.match(line)):
            continue
        name = next(value for value in found.groups() if value)
        broken = found["broken"] or found["unread"] or found["parse"]
        faults.setdefault(
            name, Fault(at, at + 1, line.removeprefix("[error] ") if broken else f"not formatted: {name}")
        )
    last = [line for line in printed.lines[-6:] if re.search(r"\d+ files? would be|Code style issues", line)]
    return Distilled(list(faults.values()), last[0] if last else "") if faults else None


_NPM = re.compile(r"^npm (?:ERR!|error) ?(?P<said>.*)$")
_NPM_TALK = re.compile(
    r"^(?:$|A complete log|Lifecycle script|command (?:failed|sh)|path |location |workspace |code (?:ELIFECYCLE|1"
    r"|2)\b|errno|\s+/|Exit status|Run \"npm help|"
    r"Clean install a project|Usage:|npm ci|Options:|\[|aliases:|This is probably not a problem)|--"
)


def npm(printed: Printed, _: Sequence[Report]) -> Distilled | None:
    """What npm itself says, unless it is only that a script failed."""
    said = [(at, found["said"]) for at, line in enumerate(printed.lines) if (found := _NPM.match(line))]
    told = list(_npm_told(said))
    if not told:
        return None
    code = next((text for text in told if text.startswith("code ")), "")
    rest = [text for text in told if text != code]
    sure = bool(code or any("Missing script" in text for text in rest))
    if not rest:
        return None
    headline = f"npm {code.removeprefix('code ')}: {rest[0]}" if code else f"npm: {rest[0]}"
    return Distilled([Fault(said[0][0], said[-1][0] + 1, headline, rest[1:8], sure=sure)])


def _npm_told(said: Sequence[tuple[int, str]]) -> Iterator[str]:
    for _, text in said:
        if text.startswith("Clean install a project"):
            # The manual.
            return
        if not _NPM_TALK.search(text):
            yield text.strip()
