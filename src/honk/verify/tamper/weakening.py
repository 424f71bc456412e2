"""What became weaker in the tests of a change."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from honk.model import Finding, Severity
from honk.verify.tamper.facts import Assertion, Mark, Test
from honk.verify.tamper.matching import GENERAL, Matched, Placed, Sides, match
from honk.verify.tamper.reporting import finding

_LOOSER = 0.4
"""Steps of the scale of `conditions` that an assertion may lose without a word: what names alone cannot tell apart."""
_NAMED = 3
_ALIKE = 0.6
_NEAR = 50


@dataclass(frozen=True)
class Surroundings:
    """What the rest of the change tells about its tests."""

    gone: frozenset[str] = frozenset()
    """Names that production code defined before and nowhere after."""
    values: frozenset[str] = frozenset()
    """Values that production code has now and had not before."""


def weakened(files: Iterable[Sides], around: Surroundings) -> Iterator[Finding]:
    """Findings about tests that are gone or check less than they did."""
    matched = match(files)
    yield from _deleted(matched, around)
    for before, after in matched.pairs:
        yield from compared(before.test, after.test, after.sides.path, around)
    for one in matched.new:
        if one.test.skip and not one.test.helper and not one.test.skip.conditional:
            message = f"The new test `{one.test.name}` does not run."
            yield finding("test-skipped", "warning", one.sides.path, one.test.skip, message)
        yield from _slept(Test("", 1), one.test, one.sides.path)
        if one.test.only:
            yield _only(one.test, one.sides.path)


def compared(before: Test, after: Test, path: str, around: Surroundings) -> Iterator[Finding]:
    """Findings about one test that is there on both sides."""
    yield from _slept(before, after, path)
    skipped = list(_skipped(before, after, path))
    yield from skipped
    if skipped and not (after.skip and after.skip.conditional):
        return
    if after.only and not before.only:
        yield _only(after, path)
    if before.body == after.body and before.assertions == after.assertions and before.cases == after.cases:
        return
    if before.helper and not before.assertions:
        return
    what = f"`{after.name}`"
    hollow = after.assertions and all(one.strength == 0 for one in after.assertions) and len(after.assertions) < 3
    held = any(one.strength > 0 for one in before.assertions)
    said = {word for one in after.assertions for word in re.findall(r"\w+", one.text)}
    if (after.empty and not before.empty) or (
        hollow and held and after.calls <= said | {one.form for one in after.assertions}
    ):
        where = Mark(after.line, before.body.split("\n", 1)[0])
        yield finding("test-emptied", "serious", path, where, f"Nothing is left in the test {what}.")
        return
    yield from _cases(before, after, path)
    yield from _assertions(before, after, path, around)


def _skipped(before: Test, after: Test, path: str) -> Iterator[Finding]:
    if after.skip is None or after.helper:
        return
    if before.skip is not None and (before.skip.conditional <= after.skip.conditional or not before.skip.conditional):
        return
    message = f"The test `{after.name}` ran and is skipped now."
    if after.skip.conditional:
        message = f"The test `{after.name}` runs only under a condition now."
    yield finding("test-skipped", "warning" if after.skip.conditional else "serious", path, after.skip, message)


def _only(test: Test, path: str) -> Finding:
    mark = test.only or Mark(test.line, "")
    return finding("test-skipped", "serious", path, mark, f"Only `{test.name}` runs now: the tests beside it do not.")


def _slept(before: Test, after: Test, path: str) -> Iterator[Finding]:
    known = Counter(one.text for one in before.sleeps)
    for one in after.sleeps:
        if known[one.text] > 0:
            known[one.text] -= 1
            continue
        yield finding("sleep-in-test", "warning", path, one, f"The test `{after.name}` waits for a fixed time.")


def _cases(before: Test, after: Test, path: str) -> Iterator[Finding]:
    removed = _without(before.cases, after.cases)
    added = _without(after.cases, before.cases)
    skips = re.compile(r"skip|xfail", re.IGNORECASE)
    had = sum(1 for one in before.cases if skips.search(one.text))
    for one in [one for one in added if skips.search(one.text)][: max(0, len(after.cases))]:
        if had == 0 and removed:
            yield finding("test-skipped", "serious", path, one, f"A case of the test `{after.name}` is skipped now.")
            return
    fewer = len(before.cases) - len(after.cases)
    if not after.cases and len(before.cases) < 2:
        # One row is no table, and often but a setting.
        return
    if fewer > 0 and removed and after.asserted <= before.asserted:
        cases = "1 case" if fewer == 1 else f"{fewer} cases"
        shown = removed[len(added)] if len(added) < len(removed) else removed[0]
        yield finding(
            "test-cases-removed", "serious" if after.cases else "warning", path, shown,
            f"The test `{after.name}` runs with {cases} fewer, of {len(before.cases)}.",
        )  # fmt: skip
        return
    for old in removed:
        new = max(added, key=lambda one: _same_values(old.text, one.text), default=None)
        if new is not None and _same_values(old.text, new.text):
            added.remove(new)
            message = f"A case of the test `{after.name}` is another than it was: {_short(old.text)}."
            yield finding("expected-value-changed", "warning", path, new, message)


def _without(these: Sequence[Mark], others: Sequence[Mark]) -> list[Mark]:
    left = Counter(one.text for one in others)
    found = []
    for one in these:
        if left[one.text] > 0:
            left[one.text] -= 1
        else:
            found.append(one)
    return found


def _assertions(before: Test, after: Test, path: str, around: Surroundings) -> Iterator[Finding]:
    kept, removed, added = _differing(before.assertions, after.assertions)
    for old, new in kept:
        yield from _guarded(old, new, after, path)
    pairs, removed, added = _pairs(removed, added)
    for old, new in pairs:
        yield from _changed(old, new, after, path, around)
    lost = sum(one.weight for one in removed) - sum(one.weight for one in added)
    missing = before.asserted - after.asserted
    if removed and lost > 0 and missing > 0 and not _in_a_table(before, after):
        yield _removed(removed, missing, before, after, path, around)
    elif (
        removed
        and added
        and not any(one.own for one in added)
        and max(one.strength for one in added) + _LOOSER < min(one.strength for one in removed)
    ):
        new = added[0]
        message = f"The test `{after.name}` asserts less than it did: {_short(removed[0].text)}."
        yield finding("assertion-loosened", "serious", path, Mark(new.line, new.text), message)


def _in_a_table(before: Test, after: Test) -> bool:
    """Whether what it asserted one by one is asserted for rows of a table now."""
    return len(after.cases) > len(before.cases) and after.asserted * max(1, len(after.cases)) >= before.asserted


def _removed(
    removed: Sequence[Assertion], missing: int, before: Test, after: Test, path: str, around: Surroundings
) -> Finding:
    words = {word for one in removed for word in re.findall(r"\w+", one.text)}
    gone = sorted(words & around.gone)
    told = all(one.form == "raises" and "Warning" in one.expected for one in removed)
    severity: Severity = "warning" if gone or before.helper or told else "serious"
    why = f", with `{gone[0]}`, which is gone" if gone else ""
    count = "An assertion" if missing == 1 else f"{missing} assertions"
    verb = "is" if missing == 1 else "are"
    none = "" if after.assertions else "; it asserts nothing any more"
    one = removed[0]
    return finding(
        "assertion-removed", severity, path, Mark(one.line, one.text),
        f"{count} of `{after.name}` {verb} gone{why}{none}.",
    )  # fmt: skip


def _differing(
    before: Sequence[Assertion], after: Sequence[Assertion]
) -> tuple[list[tuple[Assertion, Assertion]], list[Assertion], list[Assertion]]:
    waiting: dict[str, list[Assertion]] = defaultdict(list)
    for one in after:
        waiting[one.text + one.form + one.subject].append(one)
    kept, removed = [], []
    for one in before:
        same = waiting[one.text + one.form + one.subject]
        if same:
            kept.append((one, same.pop(0)))
        else:
            removed.append(one)
    left = {id(one) for group in waiting.values() for one in group}
    return kept, removed, [one for one in after if id(one) in left]


def _pairs(
    removed: list[Assertion], added: list[Assertion]
) -> tuple[list[tuple[Assertion, Assertion]], list[Assertion], list[Assertion]]:
    """Which added assertion stands for which removed one; what is left on both sides."""
    scored = []
    for at, old in enumerate(removed[:60]):
        for to, new in enumerate(added[:60]):
            score = _fit(old, new)
            if score >= _ALIKE:
                scored.append((-score, abs(at - to), at, to))
    pairs, used, taken = [], set(), set()
    for _, _, at, to in sorted(scored):
        if at not in used and to not in taken:
            used.add(at)
            taken.add(to)
            pairs.append((removed[at], added[to]))
    return (
        pairs,
        [one for at, one in enumerate(removed) if at not in used],
        [one for to, one in enumerate(added) if to not in taken],
    )


def _fit(old: Assertion, new: Assertion) -> float:
    if ("raises" in {old.form, new.form} or "throws" in {old.form, new.form}) and old.form != new.form:
        return 0.0
    if old.subject and old.subject == new.subject:
        return 1.0 + 0.5 * (old.form == new.form) + 0.25 * (old.expected == new.expected)
    if old.expected and old.expected == new.expected and old.form == new.form and len(old.expected) > 1:
        return 0.9
    if old.subject and new.subject and (old.subject in new.subject or new.subject in old.subject):
        return 0.8
    return _similar(old.text, new.text)


def _similar(one: str, other: str) -> float:
    return SequenceMatcher(None, one[:300], other[:300], autojunk=False).ratio()


def _guarded(old: Assertion, new: Assertion, test: Test, path: str) -> Iterator[Finding]:
    fresh = [guard for guard in new.guards if guard not in old.guards]
    if not fresh or len(new.guards) <= len(old.guards):
        return
    if "swallowed" in fresh:
        message = f"An assertion of `{test.name}` no longer counts: its failure is caught."
        yield finding("assertion-loosened", "serious", path, Mark(new.line, new.text), message)
    else:
        message = f"An assertion of `{test.name}` is made only under a condition now."
        yield finding("assertion-loosened", "warning", path, Mark(new.line, new.text), message)


def _changed(old: Assertion, new: Assertion, test: Test, path: str, around: Surroundings) -> Iterator[Finding]:
    where = Mark(new.line, new.text)
    lower = old.strength - new.strength
    if new.strength == 0 and old.strength > 0:
        message = f"An assertion of `{test.name}` is always true now; it was: {_short(old.text)}."
        yield finding("assertion-loosened", "serious", path, where, message)
    elif new.own and not old.own:
        pass
    elif lower > _LOOSER:
        message = f"An assertion of `{test.name}` accepts more than it did; it was: {_short(old.text)}."
        yield finding("assertion-loosened", "serious", path, where, message)
    elif _wider(old, new):
        message = f"An assertion of `{test.name}` has a wider tolerance; it was: {_short(old.text)}."
        yield finding("assertion-loosened", "serious", path, where, message)
    elif old.subject == new.subject and old.expected != new.expected and lower >= 0 and _written_out(old, new):
        known = new.expected.strip("\"'") in around.values and len(new.expected) > 2
        message = f"`{test.name}` expects another value; it was: {_short(old.text)}."
        if known:
            message = f"`{test.name}` expects another value, as the code was changed in the same place."
        yield finding("expected-value-changed", "note" if known else "warning", path, where, message)
    yield from _guarded(old, new, test, path)


def _written_out(old: Assertion, new: Assertion) -> bool:
    """Whether both expect a value that is written out, alone or as part of an expression that is otherwise the same."""
    return old.literal or new.literal or _shape(old.expected) == _shape(new.expected)


def _wider(old: Assertion, new: Assertion) -> bool:
    if new.tolerance is None or old.subject != new.subject:
        return False
    return old.tolerance is not None and new.tolerance > old.tolerance * 1.0001


_VALUES = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|(?<![\w.])-?\d[\w.]*|\b(?:true|false|True|False)\b")


def _shape(text: str) -> str:
    """An expression without its values: the same for two that differ in values only."""
    return _VALUES.sub("_", text)


def _same_values(old: str, new: str) -> int:
    """How many values two rows have in common at the same places; 0 where they are not the same row."""
    if _shape(old) != _shape(new):
        return 0
    mine, theirs = _VALUES.findall(old), _VALUES.findall(new)
    same = sum(one == other for one, other in zip(mine, theirs, strict=True))
    return same if same * 2 >= len(mine) else 0


def _short(text: str) -> str:
    one = " ".join(text.split())
    return f"`{one if len(one) <= 80 else one[:79] + '…'}`"


def _deleted(matched: Matched, around: Surroundings) -> Iterator[Finding]:
    spare = _Spare(matched)
    by_file: dict[str, list[Placed]] = defaultdict(list)
    for one in (*matched.commented, *(one for one in matched.gone if not spare.takes(one))):
        if not one.test.helper:
            by_file[one.sides.path].append(one)
    for path, lost in by_file.items():
        sides = lost[0].sides
        left = bool(sides.after and any(not test.helper for test in sides.after.tests))
        if len(lost) > _NAMED and not left:
            yield _all_deleted(path, lost, around)
            continue
        for one in lost:
            gone = sorted((one.test.names | one.test.calls) & around.gone)
            message = f"The test `{one.test.name}` is gone."
            if gone:
                message = f"The test `{one.test.name}` is gone, and so is the code it tested (`{gone[0]}`)."
            where = Mark(one.test.line, one.test.body.split("\n", 1)[0])
            yield finding("test-deleted", "warning" if gone else "serious", path, where, message)


def _all_deleted(path: str, lost: Sequence[Placed], around: Surroundings) -> Finding:
    still = [one for one in lost if not (one.test.names | one.test.calls) & around.gone]
    named = ", ".join(f"`{one.test.name}`" for one in (still or lost)[:_NAMED])
    message = f"All {len(lost)} tests of this file are gone: {named}, …"
    if not still:
        message = f"All {len(lost)} tests of this file are gone, and so is the code they tested."
    where = Mark(lost[0].test.line, lost[0].test.body.split("\n", 1)[0])
    return finding("test-deleted", "serious" if still else "warning", path, where, message)


class _Spare:
    """What other tests assert more than before: it may stand for tests that are gone."""

    def __init__(self, matched: Matched) -> None:
        self.added: list[Counter[str]] = []
        self.tests: list[Placed] = []
        self.rows: list[int] = []
        self.by_text: dict[str, list[int]] = defaultdict(list)
        self.by_file: dict[str, list[int]] = defaultdict(list)
        for before, after in matched.pairs:
            if not after.test.helper:
                _, _, added = _differing(before.test.assertions, after.test.assertions)
                self._add(after, added, len(after.test.cases) - len(before.test.cases))
        for one in matched.new:
            if not one.test.helper:
                self._add(one, one.test.assertions, len(one.test.cases))

    def _add(self, one: Placed, added: Sequence[Assertion], rows: int) -> None:
        if not added and rows <= 0:
            return
        at = len(self.tests)
        self.tests.append(one)
        self.added.append(Counter(assertion.text for assertion in added))
        self.rows.append(max(0, rows))
        for text in self.added[at]:
            self.by_text[text].append(at)
        if rows > 0:
            self.by_file[one.sides.path].append(at)

    def takes(self, gone: Placed) -> bool:
        """Whether what this test asserted of the same calls is asserted by another now."""
        wanted = Counter(one.text for one in gone.test.assertions)
        for at in self.by_text.get(next(iter(wanted), ""), ())[:_NEAR]:
            if wanted <= self.added[at] and _same_calls(gone, self.tests[at]):
                self.added[at] -= wanted
                return True
        for at in self.by_file[gone.sides.path][:_NEAR]:
            if self.rows[at] > 0 and _same_calls(gone, self.tests[at]):
                self.rows[at] -= max(1, len(gone.test.cases))
                return True
        return False


def _same_calls(gone: Placed, other: Placed) -> bool:
    mine = gone.test.calls - GENERAL
    return bool(mine) and 2 * len(mine & other.test.calls) >= len(mine)
