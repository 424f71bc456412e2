"""Everything that is looked for in one change, in the order of the change's files. Runs in the guard's own process."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from honk.model import ChangedFile, Finding, Severity
from honk.verify.tamper import content, paths
from honk.verify.tamper.facts import Source
from honk.verify.tamper.languages import read
from honk.verify.tamper.matching import Sides
from honk.verify.tamper.reporting import finding
from honk.verify.tamper.weakening import Surroundings, weakened

LARGEST = 1_500_000
"""Bytes of the largest file whose content is read; of what is larger, only what it is is told."""


def inspect(changed: Sequence[ChangedFile], reading: Callable[[int], None] = lambda _: None) -> list[Finding]:
    """The findings about a change, by path and line. `reading` is told the number of each file before it is read."""
    found: list[Finding] = []
    sides: list[Sides] = []
    for number, file in enumerate(changed):
        reading(number)
        found += content.looked_at(file)
        one, problems = _sides(file)
        found += problems
        if one:
            sides.append(one)
    reading(len(changed))
    found += weakened(sides, _surroundings(sides))
    return in_order(found)


def in_order(found: Sequence[Finding]) -> list[Finding]:
    """Each finding once, by path, line and kind."""

    def place(one: Finding) -> tuple[str, int, str, str]:
        return (one.path, one.line or 0, one.kind, one.message)

    return sorted(dict.fromkeys(found), key=place)


def _sides(file: ChangedFile) -> tuple[Sides | None, list[Finding]]:
    old_path = file.old_path or file.path
    before, problem_before = _read(old_path, file.before, file.mode_before)
    after, problem = _read(file.path, file.after, file.mode_after)
    if before is None and after is None and not problem:
        return None, []
    problems = []
    if problem:
        message = f"The file could not be read as a whole: {problem}."
        severity: Severity = "note" if problem_before or not paths.is_test(file.path) else "warning"
        problems.append(finding("not-read", severity, file.path, None, message))
    return Sides(file.path, old_path, before, after), problems


def _read(path: str, data: bytes | None, mode: str | None) -> tuple[Source | None, str]:
    language = paths.language(path)
    if data is None or language is None or mode in {"120000", "160000"} or content.is_binary(data):
        return None, ""
    if len(data) > LARGEST:
        return None, f"it has more than {LARGEST:,} bytes" if paths.is_test(path) else ""
    source = read(language, path, text_of(data))
    return source, source.problem or ""


def text_of(data: bytes) -> str:
    """A file's text with lines as `\\n` ends them; what is no UTF-8 is shown as such."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = data.decode("utf-16", "replace")
    else:
        text = data.decode("utf-8-sig", "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _surroundings(sides: Sequence[Sides]) -> Surroundings:
    before: set[str] = set()
    after: set[str] = set()
    for one in sides:
        if one.before and not paths.is_test(one.old_path):
            before |= one.before.definitions
        if one.after:
            after |= one.after.definitions
    return Surroundings(frozenset(before - after))
