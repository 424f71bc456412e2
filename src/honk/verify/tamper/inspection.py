"""Everything that is looked for in one change, in the order of the change's files. Runs in the guard's own process."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from honk.model import ChangedFile, Finding, Severity
from honk.verify.tamper import content, paths
from honk.verify.tamper.around import Around, both_sides
from honk.verify.tamper.builds import built_otherwise
from honk.verify.tamper.facts import Source, Test
from honk.verify.tamper.failing import ignoring
from honk.verify.tamper.flattening import Configured
from honk.verify.tamper.languages import read, read_by_patterns
from honk.verify.tamper.matching import Sides
from honk.verify.tamper.pipelines import reconfigured
from honk.verify.tamper.plugins import plugged_in
from honk.verify.tamper.programs import replaced
from honk.verify.tamper.reporting import evidence, finding
from honk.verify.tamper.rules import taken_back
from honk.verify.tamper.secrets import committed
from honk.verify.tamper.selection import left_out
from honk.verify.tamper.silencing import silenced
from honk.verify.tamper.sources import fetched_otherwise, hidden
from honk.verify.tamper.stand_ins import standing_in
from honk.verify.tamper.targets import emptied
from honk.verify.tamper.versions import downgraded
from honk.verify.tamper.weakening import Surroundings, weakened
from honk.verify.tamper.wrappers import wrapped

LARGEST = 1_500_000
"""Bytes of the largest file whose content is read; of what is larger, only what it is is told."""
MOST = 2_000
"""Findings of one change; behind that, more say nothing that a person has not understood."""
_BEFORE = {"test-deleted", "assertion-removed", "test-cases-removed"}
_AS_READ = {
    "test-skipped",
    "test-emptied",
    "assertion-loosened",
    "expected-value-changed",
    "sleep-in-test",
    "linter-silenced",
} | _BEFORE
"""Kinds whose evidence was taken from code as a parser tells it."""
_LINKS = {"120000", "160000"}
_RANK = {"serious": 0, "warning": 1, "note": 2}


def inspect(changed: Sequence[ChangedFile], beside: Around, reading: Callable[[int], None]) -> list[Finding]:
    """The findings about a change, by path and line. `beside` is what stands around it; `reading` is told the number
    of each file before it is read."""
    found: list[Finding] = []
    sides: list[Sides] = []
    configured: list[Configured] = []
    repository = both_sides(changed, beside)
    for number, file in enumerate(changed):
        reading(number)
        found += content.looked_at(file)
        if file.before == file.after and file.old_path in {None, file.path}:
            continue
        before, after = _text(file.before, file.mode_before), _text(file.after, file.mode_after)
        one, problems = _sides(file, before, after)
        found += problems
        if one:
            sides.append(one)
        if before is not None or after is not None:
            found += _in_text(file, before, after)
            configured.append(Configured(file.path, before, after, file.old_path or file.path))
    reading(len(changed))
    found += standing_in(changed, repository)
    found += wrapped(changed, repository)
    found += left_out(changed, repository)
    found += hidden(changed, repository)
    by_path = {one.path: one for one in changed}
    for told in configured:
        found += [*replaced(told), *plugged_in(told), *fetched_otherwise(told)]
        found += [*emptied(told, repository), *built_otherwise(told, by_path)]
    found += weakened(sides, _surroundings(sides, configured))
    found += silenced(sides)
    found += taken_back(configured)
    found += reconfigured(configured)
    found += _recorded(changed)
    return _bounded(_with_lines(found, changed))


def _in_text(file: ChangedFile, before: str | None, after: str | None) -> Iterator[Finding]:
    if after is not None:
        yield from committed(file.path, before, after)
        yield from ignoring(file.path, before, after)
    yield from downgraded(file.path, before, after)


def _text(data: bytes | None, mode: str | None) -> str | None:
    """A file's text with lines as `\\n` ends them; what is no UTF-8 is shown as such."""
    if data is None or mode in _LINKS or len(data) > LARGEST or content.is_binary(data):
        return None
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = data.decode("utf-16", "replace")
    else:
        text = data.decode("utf-8-sig", "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _sides(file: ChangedFile, before: str | None, after: str | None) -> tuple[Sides | None, list[Finding]]:
    old_path = file.old_path or file.path
    old, new = _source(old_path, before), _source(file.path, after)
    if old and new and before and after and bool(old.problem) != bool(new.problem):
        # Only what was read in one way can be compared.
        old = old if old.problem else read_by_patterns(old_path, before)
        new = new if new.problem else replace(read_by_patterns(file.path, after), problem=old.problem)
    problems = []
    for side, problem in ((new, new.problem if new else None), (None, _too_large(file))):
        if problem:
            known = bool(side and old and old.problem)
            severity: Severity = "note" if known or not paths.is_test(file.path) else "warning"
            message = f"The file could not be read as a whole: {problem}."
            problems.append(finding("not-read", severity, file.path, None, message))
    if old is None and new is None:
        return None, problems
    if new and paths.is_collected(old_path) and not paths.is_collected(file.path):
        new.tests = [_uncollected(test) for test in new.tests]
    return Sides(file.path, old_path, old, new, before or "", after or ""), problems


def _uncollected(test: Test) -> Test:
    return replace(test, helper=True)


def _source(path: str, text: str | None) -> Source | None:
    language = paths.language(path)
    return read(language, path, text) if language is not None and text is not None else None


def _too_large(file: ChangedFile) -> str | None:
    too_large = file.after is not None and len(file.after) > LARGEST and paths.language(file.path)
    return f"it has more than {LARGEST:,} bytes" if too_large and file.before != file.after else None


def _surroundings(sides: Sequence[Sides], configured: Sequence[Configured]) -> Surroundings:
    before: set[str] = set()
    after: set[str] = set()
    for one in sides:
        if one.before and not paths.is_test(one.old_path):
            before |= one.before.definitions
        if one.after:
            after |= one.after.definitions
    return Surroundings(frozenset(before - after), frozenset(_replaced(configured)))


_VALUE = re.compile(r"\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|(?<![\w.])\d[\w.]*")


def _replaced(configured: Sequence[Configured]) -> Iterator[str]:
    """Values that production code has now and had not before, quoted as in double quotes."""
    for one in configured:
        source = paths.language(one.path) or one.path.endswith((".json", ".toml", ".yaml", ".yml", ".html"))
        if source and one.before is not None and one.after is not None and not paths.is_test(one.path):
            old, new = Counter(_VALUE.findall(one.before)), Counter(_VALUE.findall(one.after))
            yield from (value[1:-1] if value[:1] in "\"'" else value for value in new - old)


def _recorded(changed: Sequence[ChangedFile]) -> Iterator[Finding]:
    """Recorded expectations that are others now, and tests in files that no parser reads."""
    new = {one.after for one in changed if one.before is None}
    for one in changed:
        path = one.old_path or one.path
        if one.before is None or one.before == one.after:
            continue
        if paths.is_snapshot(path):
            if one.after is None:
                if one.before not in new:
                    yield finding("expected-value-changed", "warning", path, None, "What a test recorded is deleted.")
            elif not one.after.startswith(one.before):
                yield finding("expected-value-changed", "warning", one.path, None, "What a test recorded is another.")
        elif paths.language(path) is None and paths.is_test_text(path) and one.after is None and one.before not in new:
            yield finding("test-deleted", "serious", path, None, "A file of tests is gone.")


def _with_lines(found: Sequence[Finding], changed: Sequence[ChangedFile]) -> Iterator[Finding]:
    """With the line as it stands for evidence, or as it stood."""
    texts: dict[str, tuple[list[str], list[str]]] = {}
    by_path = {one.path: one for one in changed}
    for one in found:
        file = by_path.get(one.path)
        if one.line is None or file is None or one.kind not in _AS_READ:
            yield one
            continue
        if one.path not in texts:
            sides = (_text(file.before, file.mode_before), _text(file.after, file.mode_after))
            texts[one.path] = ((sides[0] or "").split("\n"), (sides[1] or "").split("\n"))
        lines = texts[one.path][0 if one.kind in _BEFORE or file.after is None else 1]
        line = lines[one.line - 1].strip() if one.line <= len(lines) else ""
        yield replace(one, evidence=evidence(line)) if line else one


def _bounded(found: Iterator[Finding]) -> list[Finding]:
    """Each finding once, by path, line and kind; of too many, the most serious."""
    listed = sorted(dict.fromkeys(found), key=lambda one: (one.path, one.line or 0, one.kind, one.message))
    if len(listed) <= MOST:
        return listed
    worst = sorted(range(len(listed)), key=lambda at: (_RANK[listed[at].severity], at))[: MOST - 1]
    message = f"There are {len(listed) - MOST + 1:,} more findings, none of them more serious than these."
    return [*(listed[at] for at in sorted(worst)), finding("not-read", "warning", "", None, message)]
