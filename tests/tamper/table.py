"""Changes as small tables: what a file said, what it says, and what the guard has to say about that."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from textwrap import dedent

from honk.model import ChangedFile, Finding
from honk.verify.tamper import guard_each


@dataclass(frozen=True)
class Row:
    """A change of one file. `kinds` are those of all findings that are no notes."""

    path: str
    before: str | None
    after: str | None
    kinds: frozenset[str]

    @property
    def change(self) -> list[ChangedFile]:
        return [changed(self.path, self.before, self.after)]


def row(path: str, before: str | None, after: str | None, *kinds: str) -> Row:
    return Row(path, before, after, frozenset(kinds))


def changed(
    path: str, before: str | bytes | None, after: str | bytes | None, old_path: str | None = None
) -> ChangedFile:
    return ChangedFile(path, _data(before), _data(after), _mode(before), _mode(after), old_path)


def _data(text: str | bytes | None) -> bytes | None:
    return dedent(text).lstrip("\n").encode() if isinstance(text, str) else text


def _mode(text: str | bytes | None) -> str | None:
    return None if text is None else "100644"


@dataclass(frozen=True)
class Files:
    """A repository as it stands after a change, by path; what is only named has no text that matters."""

    contents: Mapping[str, str]

    def files(self) -> Sequence[str]:
        return sorted(self.contents)

    def texts(self, paths: Collection[str], longest: int) -> Mapping[str, str]:
        return {path: self.contents[path] for path in paths if path in self.contents}


def held_up(findings: Sequence[Finding], kind: str = "checks-changed") -> bool:
    """Whether a person has to confirm it."""
    return any(one.severity == "serious" and one.kind == kind for one in findings)


def kinds(findings: Sequence[Finding]) -> set[str]:
    """What is said aloud: a note counts against nobody."""
    return {one.kind for one in findings if one.severity != "note"}


def looked_at(rows: Mapping[str, Row]) -> dict[str, list[Finding]]:
    """Every row before the guard, in one start of its reader."""
    return dict(zip(rows, guard_each([one.change for one in rows.values()]), strict=True))
