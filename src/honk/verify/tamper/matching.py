"""Which test after a change is which test before it: by name, by body, or by what they assert and call."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from honk.verify.tamper.facts import Source, Test

_ALIKE = 0.5
_SAME_WORDS = 0.7
_WORDS = re.compile(r"\w+|[^\w\s]")
GENERAL = frozenset(
    {
        "raises", "warns", "match", "len", "str", "int", "list", "dict", "set", "tuple", "repr", "isinstance",
        "range", "sorted", "print", "format", "expect", "toBe", "toEqual", "assertEqual", "assertEquals",
        "assertTrue", "assertFalse", "assertRaises", "assertThat", "isEqualTo", "assertThrows", "equal", "ok",
        "Equal", "NoError", "Errorf", "Fatalf", "Fatal", "Error", "Run", "assert_eq!", "assert!", "unwrap",
        "new", "to_string", "XCTAssertEqual", "close", "append", "join", "encode", "decode",
    }
)  # fmt: skip
"""Names of calls that say nothing about what is tested."""
_CANDIDATES = 50
"""Tests with something in common that are looked at for one that is missing; more are no help to tell which it is."""


@dataclass
class Sides:
    """A source file on both sides of the change."""

    path: str
    old_path: str
    before: Source | None
    after: Source | None
    text_before: str = ""
    text_after: str = ""


@dataclass(frozen=True)
class Placed:
    """A test and the file it is in."""

    test: Test
    sides: Sides


@dataclass
class Matched:
    """The tests of a change: those on both sides, and those on one."""

    pairs: list[tuple[Placed, Placed]] = field(default_factory=list)
    gone: list[Placed] = field(default_factory=list)
    commented: list[Placed] = field(default_factory=list)
    """Those that are gone for certain: they stand behind comments."""
    new: list[Placed] = field(default_factory=list)


def match(files: Iterable[Sides]) -> Matched:
    """Pair the tests of all changed files. Whatever stays alone was deleted or is new."""
    before: list[Placed] = []
    after: list[Placed] = []
    for one in files:
        before += [Placed(test, one) for test in (one.before.tests if one.before else ())]
        after += [Placed(test, one) for test in (one.after.tests if one.after else ())]
    matched = Matched()
    # The same test in its own file; then unchanged ones that moved; then those that moved and changed.
    rounds: tuple[Callable[[Placed], Hashable], ...] = (
        lambda one: (one.sides.path, one.test.helper, one.test.name, one.test.body),
        lambda one: (one.sides.path, one.test.helper, one.test.name),
        lambda one: (one.test.helper, one.test.body) if len(one.test.body) > 1 else (id(one), one.test.body),
        lambda one: (one.sides.path, one.test.helper, _last(one)),
        lambda one: (one.test.helper, one.test.name),
    )
    for key in rounds:
        before, after = _pair(before, after, key, matched)
    hidden = [_is_commented_out(one) for one in before]
    matched.commented = [one for one, gone in zip(before, hidden, strict=True) if gone]
    before = [one for one, gone in zip(before, hidden, strict=True) if not gone]
    before, after = _pair_moved(before, after, matched)
    before, after = _pair_alike(before, after, matched)
    matched.gone, matched.new = _pair_by_words(before, after, matched)
    return matched


def _is_commented_out(one: Placed) -> bool:
    name = _last(one)
    if name not in one.sides.text_after:
        return False
    said = rf"(?:\b(?:def|func|fun|fn|void)\s+`?{re.escape(name)}\b|\b(?:it|test)\s*\(\s*[\"'`]{re.escape(name)}[\"'`])"
    return bool(re.search(rf"^\s*(?:#|//|\*|/\*)[^\n]*{said}", one.sides.text_after, re.MULTILINE))


def _last(one: Placed) -> str:
    return one.test.name.rsplit(" > ", 1)[-1].rsplit(".", 1)[-1]


def _pair(
    before: list[Placed], after: list[Placed], key: Callable[[Placed], Hashable], matched: Matched
) -> tuple[list[Placed], list[Placed]]:
    waiting: dict[Hashable, list[Placed]] = defaultdict(list)
    for one in after:
        waiting[key(one)].append(one)
    left = []
    taken: set[int] = set()
    for one in before:
        fitting = waiting.get(key(one))
        if fitting:
            other = fitting.pop(0)
            taken.add(id(other))
            matched.pairs.append((one, other))
        else:
            left.append(one)
    return left, [one for one in after if id(one) not in taken]


def _pair_moved(before: list[Placed], after: list[Placed], matched: Matched) -> tuple[list[Placed], list[Placed]]:
    """Tests of one name that came into another file or class and do something alike."""
    named: dict[tuple[bool, str], list[Placed]] = defaultdict(list)
    for one in after:
        named[one.test.helper, _last(one)].append(one)
    return _pair_best(before, after, lambda one, _: named.get((one.test.helper, _last(one)), ()), _akin, 0.25, matched)


def _pair_alike(before: list[Placed], after: list[Placed], matched: Matched) -> tuple[list[Placed], list[Placed]]:
    """Tests that were renamed: those that share most of what they assert and call."""
    by_part: dict[str, list[Placed]] = defaultdict(list)
    for one in after:
        for part in _parts(one.test):
            by_part[part].append(one)

    def candidates(one: Placed, _: Container[int]) -> Sequence[Placed]:
        found: Counter[int] = Counter()
        known: dict[int, Placed] = {}
        for part in sorted(_parts(one.test)):
            for other in by_part.get(part, ())[:_CANDIDATES]:
                if other.test.helper == one.test.helper:
                    found[id(other)] += 1
                    known[id(other)] = other
        return [known[at] for at, _ in found.most_common(_CANDIDATES)]

    return _pair_best(before, after, candidates, _akin, _ALIKE, matched)


def _pair_best(
    before: list[Placed],
    after: list[Placed],
    candidates: Callable[[Placed, Container[int]], Sequence[Placed]],
    score: Callable[[Placed, Placed], float],
    least: float,
    matched: Matched,
) -> tuple[list[Placed], list[Placed]]:
    """Each with the best of its candidates that nobody has taken yet, the earlier of two that are as good."""
    taken: set[int] = set()
    left = []
    for one in before:
        scored = [
            (score(one, other), -number, other)
            for number, other in enumerate(candidates(one, taken))
            if id(other) not in taken
        ]
        highest, _, best = max(scored, key=lambda found: found[:2], default=(0.0, 0, None))
        if best is not None and highest >= least:
            taken.add(id(best))
            matched.pairs.append((one, best))
        else:
            left.append(one)
    return left, [one for one in after if id(one) not in taken]


def _pair_by_words(before: list[Placed], after: list[Placed], matched: Matched) -> tuple[list[Placed], list[Placed]]:
    """Tests in which names were exchanged throughout: those with the same words in the same order otherwise."""
    in_file: dict[tuple[str, bool], list[Placed]] = defaultdict(list)
    for one in after:
        in_file[one.sides.path, one.test.helper].append(one)

    def candidates(one: Placed, taken: Container[int]) -> Sequence[Placed]:
        return [other for other in in_file[one.sides.path, one.test.helper] if id(other) not in taken][:_CANDIDATES]

    return _pair_best(before, after, candidates, _in_words, _SAME_WORDS, matched)


def _akin(one: Placed, other: Placed) -> float:
    return alike(one.test, other.test) + 0.1 * (one.sides is other.sides)


def _in_words(one: Placed, other: Placed) -> float:
    mine, theirs = _WORDS.findall(one.test.body)[:400], _WORDS.findall(other.test.body)[:400]
    return SequenceMatcher(None, mine, theirs, autojunk=False).ratio()


def alike(one: Test, other: Test) -> float:
    """How much two tests have in common, from 0 to 1."""
    mine, theirs = _parts(one), _parts(other)
    if not mine or not theirs:
        return 0.0
    return len(mine & theirs) / len(mine | theirs)


def _parts(test: Test) -> set[str]:
    telling = {one.text for one in test.assertions if re.search(r"[\"'(\d]", one.subject + one.expected)}
    return telling | {f"{name}()" for name in test.calls - GENERAL}
