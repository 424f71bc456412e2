"""Builds a set of cases from releases of open-source projects: `python -m evals.build`.

The same packages and the same seed give the same set. Another list and another seed give a set that nobody has seen:

    python -m evals.build --packages mine.toml --seed 7 --out /tmp/held-out
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

from evals.archives import Package, Tree, default_cache, release
from evals.changes import Change, honest_changes
from evals.configuring import CONFIGURING
from evals.facts import facts
from evals.harmless import HARMLESS
from evals.intruding import INTRUDING
from evals.languages import parses
from evals.misdirecting import LIKE_MISDIRECTING, MISDIRECTING
from evals.misleading import MISLEADING
from evals.mutation import Mutant, Mutation
from evals.weakening import WEAKENING
from evals.writing import Entry, cases, truth_of, write_set

HERE = Path(__file__).parent

_SHARES = (
    (3, WEAKENING),
    (1, CONFIGURING),
    (2, INTRUDING),
    (3, MISLEADING),
    (2, HARMLESS),
    # What is added behind these leaves the cases before it as they were.
    (1, MISDIRECTING),
    (1, LIKE_MISDIRECTING),
)
"""How many cases there are of each mutation: more where the languages matter, fewer where many ways are one class."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Build a set. Returns 1 if no archive came."""
    parser = argparse.ArgumentParser(prog="python -m evals.build", description="Build a set of cases for `honk eval`.")
    parser.add_argument("--packages", type=Path, default=HERE / "packages.toml", help="Which releases are compared.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=HERE / "cases")
    parser.add_argument("--cache", type=Path, default=default_cache(), help="Where archives are kept.")
    parser.add_argument("--honest", type=int, default=3, help="Honest changes a project.")
    parser.add_argument("--each", type=int, default=1, help="Cases of each mutation, some three times.")
    given = parser.parse_args(arguments)
    chance = Random(given.seed)
    packages = [Package(**row) for row in tomllib.loads(given.packages.read_text())["package"]]
    changes: list[Change] = []
    licences: dict[str, str] = {}
    for package in packages:
        trees = _trees(package, given.cache)
        changes += _changes(package, trees, given.honest, chance)
        if text := _licence(trees):
            licences[package.name] = text
    if not changes:
        say("No change could be made of any package.")
        return 1
    entries = [
        Entry(one.name, one, truth_of(Mutant(one, []), "from one release to the next", facts(one))) for one in changes
    ]
    for times, mutations in _SHARES:
        for mutation in mutations:
            entries += _mutants(mutation, changes, times * given.each, chance)
    made = cases(entries)
    write_set(given.out, made)
    _write_licences(given.out, packages, made, licences)
    counted = Counter(one["truth"]["label"] for one in made)
    say(f"{len(made)} cases in {given.out}: {counted['honest']} honest, {counted['bad']} bad")
    return 0


def say(text: str) -> None:
    """Tell the person at the shell."""
    sys.stderr.write(text + "\n")


def _trees(package: Package, cache: Path) -> list[tuple[str, Tree]]:
    trees = []
    for version in package.versions:
        try:
            trees.append((version, release(package, version, cache)))
        except LookupError as error:
            say(f"left out: {error}")
    return trees


def _changes(package: Package, trees: Sequence[tuple[str, Tree]], wanted: int, chance: Random) -> list[Change]:
    found: dict[str, Change] = {}
    pairs = list(pairwise(trees))
    chance.shuffle(pairs)
    for (old, before), (new, after) in pairs:
        for change in honest_changes(package, (old, new), before, after, wanted, chance):
            found.setdefault(change.name, change)
    # One of each pair of releases before the second of any.
    return sorted(found.values(), key=_cost)[:wanted]


def _cost(change: Change) -> tuple[bool, int]:
    """Changes with tests come first, and among them small ones."""
    return not change.tests, sum(len(text or "") for text in change.before.values())


def _mutants(mutation: Mutation, changes: Sequence[Change], wanted: int, chance: Random) -> list[Entry]:
    """Cases of one mutation, of as many languages as there are."""
    fitting = [one for one in changes if not mutation.languages or one.package.language in mutation.languages]
    chance.shuffle(fitting)
    made: list[Entry] = []
    used: Counter[str] = Counter()
    while fitting and len(made) < wanted:
        fitting.sort(key=lambda one: used[one.package.language])
        change = fitting.pop(0)
        mutant = mutation.make(change, Random(f"{mutation.name}:{change.name}"))
        if mutant is not None and _differs(mutant.change, change) and _whole(mutant):
            used[change.package.language] += 1
            base = change.name if mutant.change.before == change.before else None
            name = f"{change.name}/{mutation.name}"
            made.append(Entry(name, mutant.change, truth_of(mutant, mutation.name, facts(change)), base))
    if len(made) < wanted:
        say(f"{mutation.name}: {len(made)} of {wanted}")
    return made


def _differs(mutant: Change, change: Change) -> bool:
    return mutant != change


def _whole(mutant: Mutant) -> bool:
    """Whether what was whole before can still be parsed, where the mutation does not mean to break it."""
    if "merge-marker" in mutant.classes:
        return True
    return all(
        text is None or not parses(path, mutant.change.before.get(path) or "") or parses(path, text)
        for path, text in mutant.change.after.items()
        if path not in mutant.change.raw and path not in mutant.change.links
    )


def _licence(trees: Sequence[tuple[str, Tree]]) -> str | None:
    for _, tree in reversed(trees):
        for path in sorted(tree, key=lambda path: (path.count("/"), path)):
            if path.rpartition("/")[2].upper().startswith(("LICENSE", "LICENCE", "COPYING")):
                return tree[path].content.decode("utf-8", "replace")
    return None


def _write_licences(
    folder: Path, packages: Sequence[Package], made: Sequence[Mapping[str, Any]], licences: Mapping[str, str]
) -> None:
    """What is owed to the projects: who they are, and their licences word for word."""
    used = Counter(one["source"]["package"] for one in made)
    rows = [
        f"| {package.name} | {', '.join(package.versions)} | {package.licence} | {used[package.name]} |"
        for package in packages
        if used[package.name]
    ]
    words = (
        "# Where these cases come from\n\n"
        "Each file holds parts of releases of the project it is named after, changed where a case says so. They are\n"
        "under that project's licence, which is in `licences/`. Made by `python -m evals.build`.\n\n"
        "| project | releases | licence | cases |\n| --- | --- | --- | --- |\n"
    )
    (folder / "README.md").write_text(words + "\n".join(rows) + "\n")
    (folder / "licences").mkdir(exist_ok=True)
    for old in (folder / "licences").glob("*.txt"):
        old.unlink()
    for name, text in licences.items():
        if used[name]:
            (folder / "licences" / f"{name.strip('@').replace('/', '-')}.txt").write_text(text)


if __name__ == "__main__":
    sys.exit(main())
