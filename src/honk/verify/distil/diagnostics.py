"""Compilers, type checkers and linters that tell one thing a line: where, how bad, what."""

from __future__ import annotations

import re
from collections.abc import Sequence

from honk.verify.distil.fault import Distilled, Fault, Printed, Report

_PATH = r"(?P<path>(?:[A-Za-z]:)?[^\s:()\[\]|<>\"'=,]{1,300}(?: [^\s:()\[\]|<>\"'=,]{1,60}){0,2})"
_LINE = re.compile(
    rf"""
    ^(?:\[ERROR\]\s+|e:\s+|w:\s+|ERROR:\s+|vet:\s+)?\s{{0,4}}{_PATH}
    (?: :(?P<line>\d+)(?P<column>[:.]\d+)?(?:-\d+(?::\d+)?)?:?
      | \((?P<line2>\d+)(?:,\d+){{0,3}}\):?
      | :\[(?P<line3>\d+),\d+\] )
    (?:\s-)?\s
    (?P<message>\S.*)$
    """,
    re.VERBOSE,
)
_QUICK = re.compile(r":\d|\(\d|:\[\d")
_ERROR = re.compile(r"^(?:(?:fatal |internal compiler |syntax |type )?error\b|\[error\]|panic:)", re.IGNORECASE)
_MILD = re.compile(
    r"^(?:\[?warning\]?|note|info|remark|help|hint|style|refactor|convention)\b|^[CRW]\d{4}:", re.IGNORECASE
)
_CODED = re.compile(r"^(?:[A-Z]{1,5}\d{2,5}\b|\[[\w/-]+\])|\[[\w/.-]+\]$|\([\w-]+\)$")
_UNDEFINED = re.compile(r"undefined (?:reference|symbol)|multiple definition|duplicate symbol|cannot find -l")
_CONTEXT = re.compile(r"^\s+(?:\d+\s)?[|│]|^\s*[\^~]+|^\s+\S")
_TOOL = re.compile(
    r"^(?P<tool>(?:\S*/)?(?:ld|collect2|clang|clang\+\+|gcc|cc1|g\+\+|javac|as|link|MSBUILD|CSC|swiftc"
    r"|error)\b(?:\.\w+)?)\s?: (?P<message>(?:fatal |linker )?(?:error\b|cannot find|undefined)\S*.*)$"
)
_LINKER = re.compile(
    r"^\S.*\(\.[\w.$]+\+0x[0-9a-f]+\): \S|^\S*ld(?:\.\w+)?: .*(?:undefined reference|cannot find"
    r"|multiple definition|undefined symbol)"
    r"|^Undefined symbols for architecture"
)
_INSTANTIATED = re.compile(r"^(?!/)\S+:\d+:\d+: +(?:required from here|note: .*requested here)")
_CLOSING = re.compile(
    r"^\s*(?:Found \d+ errors?\b.*|\d+ errors?(?:,? (?:and )?\d+ warnings?.*| generated\.?)?|✖ \d+ problems?.*|"
    r"\d+ Error\(s\)|Found \d+ diagnostics?.*|collect2: .*)$"
)
_SOURCE = re.compile(r"\.\w{1,10}$|^(?:Makefile|Dockerfile|BUILD|WORKSPACE|Jenkinsfile|GNUmakefile|CMakeLists\.txt)$")

_MANY = 5_000
"""Errors that are looked at; after so many no other kind is to be expected."""


def diagnostics(printed: Printed, _: Sequence[Report]) -> Distilled | None:
    """Errors; where there is none, what a linter tells without saying how bad it is; else warnings."""
    lines = printed.lines
    errors: list[Fault] = []
    coded: list[Fault] = []
    mild: list[Fault] = []
    for at, line in enumerate(lines):
        if len(errors) + len(coded) == _MANY:
            break
        if len(line) > 6 and _QUICK.search(line) and (found := _LINE.match(line)) and _SOURCE.search(found["path"]):
            message = found["message"]
            told = Fault(at, *_with_context(lines, at))
            if _ERROR.match(message) or line.startswith(("e: ", "[ERROR] ", "ERROR: ", "vet: ")):
                errors.append(told)
            elif _MILD.match(message) or line.startswith("w: "):
                mild.append(told)
            elif _UNDEFINED.search(message) or (found["path"].endswith(".go") and found["column"]):
                errors.append(told)
            elif _CODED.search(message):
                coded.append(told)
        elif _LINKER.match(line) or (_TOOL.match(line) and not re.search("ld returned|linker command failed", line)):
            errors.append(Fault(at, at + 1, line))
    closing = next((line.strip() for line in reversed(lines[-40:]) if _CLOSING.match(line)), "")
    if errors or coded:
        return Distilled([*errors, *coded], closing)
    return Distilled([Fault(f.at, f.until, f.headline, f.details, sure=False) for f in mild], closing) if mild else None


def _with_context(lines: Sequence[str], at: int) -> tuple[int, str, list[str]]:
    """What a compiler shows below: the source line, a mark under it, symbol and location, notes."""
    details = []
    until = at + 1
    while until < min(len(lines), at + 9) and lines[until]:
        line = lines[until]
        noted = _LINE.match(line) if _QUICK.search(line) else None
        if noted and not noted["message"].startswith("note:"):
            break
        if not noted and not _CONTEXT.match(line):
            break
        if line.strip(" ^~|│"):
            details.append(line.rstrip())
        until += 1
    if lines[at].startswith("/"):
        # In a library's template: what matters is where the repository uses it.
        near = [*reversed(lines[max(0, at - 8) : at]), *lines[at + 1 : at + 20]]
        details = [*[line.strip() for line in near if _INSTANTIATED.match(line)][:1], *details]
    return until, lines[at].strip(), details


_ARROW = re.compile(r"^\s*(?:-->|╭─\[|┌─|╭▸)\s*(?P<place>[^\s\]]+:\d+(?::\d+)?)")


def arrows(printed: Printed, _: Sequence[Report]) -> Distilled | None:
    """rustc, clippy, ruff, ty and others that draw an arrow to the place below what they say."""
    lines = printed.lines
    found = [(at, arrow["place"]) for at, line in enumerate(lines) if (arrow := _ARROW.match(line))]
    faults, mild = [], []
    for at, place in found:
        head = next((index for index in range(at - 1, max(-1, at - 5), -1) if _heads(lines[index])), None)
        if head is None:
            continue
        until = at + 1
        while until < min(len(lines), at + 40) and lines[until] and not _ARROW.match(lines[until]):
            until += 1
        text = " ".join(line.strip() for line in lines[head:at] if line.strip())
        details = _marked(lines[at + 1 : until])
        fault = Fault(head, until, f"{place}: {text}", details)
        if text.startswith(("warning", "note", "⚠", "info")):
            mild.append(Fault(head, until, f"{place}: {text}", details, sure=False))
        else:
            faults.append(fault)
    closing = next(
        (
            line.strip()
            for line in reversed(lines[-40:])
            if re.match(r"^error: could not compile|^Found \d+|^\d+ files? would be", line)
        ),
        "",
    )
    return Distilled(faults or mild, closing) if found else None


def _heads(line: str) -> bool:
    return bool(
        re.match(r"^\s*(?:error|warning|info|note|[×✖⚠✘]|[A-Z]{1,6}\d{2,5}\b|[\w()-]+(?:\[[\w-]+\])?:? )", line)
    )


def _marked(lines: Sequence[str]) -> list[str]:
    """The lines with a mark below them, those marks that say something, and the advice."""
    kept = []
    for number, line in enumerate(lines):
        after = lines[number + 1] if number + 1 < len(lines) else ""
        if (
            re.match(r"^\s*[|│·]\s*[\^~─]*\^", after)
            or re.match(r"^\s*(?:=|help:|note:|╰)", line)
            or (re.match(r"^\s*[|│·].*[\^-]\s*\S", line) and re.search(r"[A-Za-z]", line))
        ):
            kept.append(line.rstrip())
    return kept


_SHELL_LINE = re.compile(r"^In (?P<path>\S.*) line (?P<line>\d+):$")
_SHELL_SAYS = re.compile(r"^\s*\^-*\^?-* (?P<said>SC\d+ \((?P<grave>\w+)\): .*)$")


def shellcheck(printed: Printed, _: Sequence[Report]) -> Distilled | None:
    """shellcheck's own form: a line of a script, below it marks with what is wrong there."""
    faults: list[Fault] = []
    mild: list[Fault] = []
    place = source = ""
    for at, line in enumerate(printed.lines):
        if found := _SHELL_LINE.match(line):
            place, source = f"{found['path']}:{found['line']}", printed.lines[min(at + 1, len(printed.lines) - 1)]
        elif place and (found := _SHELL_SAYS.match(line)):
            into = faults if found["grave"] in ("error", "warning") else mild
            into.append(Fault(at, at + 1, f"{place}: {found['said']}", [source]))
    return Distilled(faults or mild) if faults or mild else None
