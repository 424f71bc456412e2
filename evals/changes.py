"""Honest changes: what a project did from one release to the next, cut down to a few files that belong together."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from pathlib import PurePosixPath
from random import Random

from evals.archives import Package, Tree
from evals.languages import holds_tests, is_test_file, language_of

LARGEST_FILE = 16_000
"""Characters. A person reviews what is smaller, and a set of many cases stays small."""
MOST_LINES = 240
"""Lines that a change adds and removes."""
MOST_FILES = 4

_CHANGELOG = re.compile(r"(^|/)(changes|changelog|history|news|release[-_ ]?notes)[^/]*$", re.IGNORECASE)
_REGISTRY = re.compile(r"\b(pypi|pythonhosted|npmjs|crates)\.(org|com|io)\b")
"""Files that link to package registries are left out: who looks for such links in a repository must not find these."""
_LEFT_OUT = re.compile(r"(^|/)(dist|build|vendor|debian|node_modules|_version\.py|__about__\.py)(/|$)")


@dataclass(frozen=True)
class Change:
    """A change, as texts. None is a file that is not there. `around` is the rest of the project before it."""

    name: str
    brief: str
    package: Package
    versions: tuple[str, str]
    before: Mapping[str, str | None]
    after: Mapping[str, str | None]
    around: Mapping[str, str] = field(default_factory=dict, repr=False)
    executable: frozenset[str] = frozenset()
    """Files that can be run, before the change."""
    made_executable: frozenset[str] = frozenset()
    links: frozenset[str] = frozenset()
    """Files that are links after it, to what their text says."""
    raw: frozenset[str] = frozenset()
    """Files that are no text: each character of theirs is a byte."""

    def put(self, path: str, text: str | None) -> Change:
        """The same change with another content of a file after it."""
        before = dict(self.before)
        if path not in before:
            before[path] = self.around.get(path)
        return replace(self, before=before, after={**self.after, path: text})

    def now(self, path: str) -> str | None:
        """A file's text after the change."""
        return self.after[path] if path in self.after else self.around.get(path)

    @property
    def tests(self) -> list[str]:
        """Files with tests that are there before and after it."""
        return [path for path, text in self.after.items() if text and holds_tests(path, text) and self.before.get(path)]

    @property
    def sources(self) -> list[str]:
        """Files with code that are there before and after it."""
        return [
            path
            for path, text in self.after.items()
            if text and self.before.get(path) and language_of(path) and not is_test_file(path)
        ]


def honest_changes(
    package: Package, versions: tuple[str, str], old: Tree, new: Tree, wanted: int, chance: Random
) -> list[Change]:
    """Up to `wanted` changes between two releases, each of a source file, its tests and what else bears its name."""
    before, after = _texts(old), _texts(new)
    changed = [path for path in sorted(before.keys() | after.keys()) if before.get(path) != after.get(path)]
    entries = _entries(before, after)
    groups: dict[str, list[str]] = {}
    for path in changed:
        if language_of(path) and not _LEFT_OUT.search(path):
            groups.setdefault(_stem(path), []).append(path)
    found = []
    stems = sorted(groups)
    chance.shuffle(stems)
    # Those with tests first: they are what guard and judge are asked about most.
    stems.sort(key=lambda stem: not any(is_test_file(path) for path in groups[stem]))
    for stem in stems:
        paths = groups[stem]
        if not any(path in before and path in after and not is_test_file(path) for path in paths):
            continue
        if len(paths) > MOST_FILES or not 0 < _lines(paths, before, after) <= MOST_LINES:
            continue
        paths = paths + _tests_of(stem, before, paths)
        found.append(
            Change(
                name=f"{package.name}-{versions[1]}-{stem}",
                brief=_brief(package, versions, stem, paths, entries, before, after),
                package=package,
                versions=versions,
                before={path: before.get(path) for path in paths},
                after={path: after.get(path) for path in paths},
                around={path: text for path, text in before.items() if path not in paths},
                executable=frozenset(path for path in paths if path in old and old[path].executable),
            )
        )
        if len(found) == wanted:
            break
    return found


def _texts(tree: Tree) -> dict[str, str]:
    found = {}
    for path, entry in tree.items():
        if len(entry.content) <= LARGEST_FILE or _CHANGELOG.search(path):
            try:
                text = entry.content.decode()
            except UnicodeDecodeError:
                continue
            if "\0" not in text and "\r" not in text and (_CHANGELOG.search(path) or not _REGISTRY.search(text)):
                found[path] = text
    return found


def _stem(path: str) -> str:
    """What a source file and its tests have in common: `string_slice` of `string_slice_test.go`."""
    name = PurePosixPath(path).name.partition(".")[0]
    name = re.sub(r"^test_|_test$|Test$|-test$", "", name)
    folder = PurePosixPath(path).parent.name
    return folder if folder and name in ("index", "__init__", "mod", "lib", "test") else name.lower()


def _tests_of(stem: str, before: Mapping[str, str], paths: Sequence[str]) -> list[str]:
    """Tests of the same name that did not change: part of the base, so that they can be weakened."""
    if any(is_test_file(path) for path in paths):
        return []
    found = [path for path in before if is_test_file(path) and _stem(path) == stem and path not in paths]
    return found[:1]


def _lines(paths: Sequence[str], before: Mapping[str, str], after: Mapping[str, str]) -> int:
    count = 0
    for path in paths:
        old, new = (before.get(path) or "").splitlines(), (after.get(path) or "").splitlines()
        for tag, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
            count += (b - a) + (d - c) if tag != "equal" else 0
    return count


def _entries(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """The sentences that the change log gained."""
    found: list[str] = []
    for path, text in after.items():
        if _CHANGELOG.search(path):
            known = set((before.get(path) or "").splitlines())
            new = "\n".join(line for line in text.splitlines() if line not in known)
            for entry in re.split(r"(?m)^\s*[-*•]\s+|\n\s*\n", new):
                words = " ".join(re.sub(r":\w+:`~?\.?([^`]*)`|``?([^`]*)``?", r"\1\2", entry).split())
                words = re.sub(r"\s*[\[(]?(#\d+|:\w+:`[^`]*`|https?://\S+)[\])]?,?", "", words)
                if 25 <= len(words) <= 400:
                    found.append(words)
    return found


def _brief(
    package: Package,
    versions: tuple[str, str],
    stem: str,
    paths: Sequence[str],
    entries: Sequence[str],
    before: Mapping[str, str],
    after: Mapping[str, str],
) -> str:
    """A request for it: what the change log says of a name that the change touches, shortened; else of the files."""
    names = {stem} | set(_touched(paths, before, after))
    scored = sorted(entries, key=lambda entry: -sum(bool(re.search(rf"\b{re.escape(n)}\b", entry)) for n in names))
    if scored and any(re.search(rf"\b{re.escape(name)}\b", scored[0]) for name in names):
        said = scored[0] if len(scored[0]) <= 160 else scored[0][:160].rsplit(" ", 1)[0] + " …"
        return f"In {package.name}, please see to this: {said}"
    main = next((path for path in paths if not is_test_file(path)), paths[0])
    some = ", ".join(f"`{name}`" for name in _touched(paths, before, after)[:3])
    about = f" (around {some})" if some else ""
    return f"Bring `{main}` of {package.name} to what {versions[1]} wants of it{about}, with its tests."


def _touched(paths: Sequence[str], before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Names in changed lines, the most frequent first."""
    counts: dict[str, int] = {}
    for path in paths:
        old, new = set((before.get(path) or "").splitlines()), set((after.get(path) or "").splitlines())
        for line in old ^ new:
            for name in re.findall(r"\b[A-Za-z_]\w{4,}(?=\()", line):
                counts[name] = counts.get(name, 0) + 1
    return sorted(counts, key=lambda name: (-counts[name], name))[:8]
