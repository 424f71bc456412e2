"""What a change consists of, read from git's own data: nothing of it is laid out, run or followed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from honk.git import git_beginning, git_bytes, readable
from honk.model import ChangedFile, Changes
from honk.workspace.trees import texts

_FILES = 10_000
"""How many files are read."""
_FILE_BYTES = 8 * 1024**2
_ALL_BYTES = 128 * 1024**2
"""Of all files together, on both sides."""
_DIFF_BYTES = 16 * 1024**2
_ABSENT, _SUBMODULE = "000000", "160000"
_LARGE = ("-c", "core.bigFileThreshold=2m")
"""What is larger is told in a diff as a binary file is, by one line."""


@dataclass(frozen=True)
class _Entry:
    """One line of `git diff --raw`."""

    path: str
    old_path: str | None
    modes: tuple[str, str]
    ids: tuple[str, str]


class CommitFiles:
    """The files of a commit or tree, read when they are asked for."""

    def __init__(self, git_dir: Path, commit: str) -> None:
        self._git_dir = git_dir
        self._commit = commit
        self._ids: dict[str, str] | None = None

    def files(self) -> Sequence[str]:
        """Every tracked path, `/`-separated, sorted. Links and submodules are among them."""
        return sorted(self._listed())

    def texts(self, paths: Collection[str], longest: int) -> Mapping[str, str]:
        """The texts of those that are there and have at most `longest` bytes, decoded with replacement."""
        listed = self._listed()
        return texts(self._git_dir, {path: listed[path] for path in paths if listed.get(path)}, longest)

    def _listed(self) -> dict[str, str]:
        """Each path with git's name for its content; with none where that is no regular file."""
        if self._ids is None:
            told = git_bytes("ls-tree", "-r", "-z", self._commit, directory=self._git_dir)
            rows = (row.partition("\t") for row in told.decode("utf-8", "surrogateescape").split("\0") if row)
            self._ids = {readable(path): about.split()[2] if about.startswith("100") else "" for about, _, path in rows}
        return self._ids


def read_changes(git_dir: Path, base: str, head: str) -> Changes:
    """The files that differ between two commits, and those of `head` around them. What does not fit is named."""
    entries = _entries(git_dir, base, head)
    blobs = [
        identifier
        for entry in entries
        for mode, identifier in zip(entry.modes, entry.ids, strict=True)
        if mode not in (_ABSENT, _SUBMODULE)
    ]
    sizes = _sizes(git_dir, blobs)
    files: list[ChangedFile] = []
    left_out: list[str] = []
    fitting: list[_Entry] = []
    total = 0
    for entry in entries:
        wanted = [sizes.get(identifier, 0) for identifier in entry.ids]
        if len(fitting) >= _FILES or max(wanted) > _FILE_BYTES or total + sum(wanted) > _ALL_BYTES:
            left_out.append(entry.path)
            continue
        total += sum(wanted)
        fitting.append(entry)
    contents = _contents(git_dir, [one for entry in fitting for one in entry.ids if one in sizes])
    for entry in fitting:
        before, after = (
            _content(mode, identifier, contents) for mode, identifier in zip(entry.modes, entry.ids, strict=True)
        )
        modes = [None if mode == _ABSENT else mode for mode in entry.modes]
        files.append(ChangedFile(entry.path, before, after, modes[0], modes[1], entry.old_path))
    return Changes(files, left_out, CommitFiles(git_dir, head), CommitFiles(git_dir, base))


def read_diff(git_dir: Path, base: str, head: str) -> str:
    """The difference as a unified diff, its beginning where it is very long (decoded with replacement)."""
    options = ("-M", "-U6", "--no-color", "--no-ext-diff", "--no-textconv")
    told, whole = git_beginning(*_LARGE, "diff", *options, base, head, directory=git_dir, limit=_DIFF_BYTES)
    text = told.decode("utf-8", "replace")
    return text if whole else text + "\n[the rest is left out]\n"


def _entries(git_dir: Path, base: str, head: str) -> list[_Entry]:
    told = git_bytes("diff", "--raw", "-z", "-M", "--no-abbrev", "--no-ext-diff", base, head, directory=git_dir)
    fields = told.decode("utf-8", "surrogateescape").split("\0")
    found: list[_Entry] = []
    place = 0
    while place < len(fields) - 1:
        mode_before, mode_after, id_before, id_after, status = fields[place][1:].split(" ")
        renamed = status[0] in "RC"
        names = [readable(name) for name in fields[place + 1 : place + (3 if renamed else 2)]]
        old = names[0] if status[0] == "R" else None
        found.append(_Entry(names[-1], old, (mode_before, mode_after), (id_before, id_after)))
        place += 3 if renamed else 2
    return found


def _sizes(git_dir: Path, blobs: Sequence[str]) -> dict[str, int]:
    if not blobs:
        return {}
    given = "".join(f"{identifier}\n" for identifier in dict.fromkeys(blobs)).encode()
    told = git_bytes("cat-file", "--batch-check=%(objectname) %(objectsize)", directory=git_dir, given=given)
    rows = (line.split() for line in told.decode().splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}


def _contents(git_dir: Path, blobs: Sequence[str]) -> dict[str, bytes]:
    if not blobs:
        return {}
    wanted = list(dict.fromkeys(blobs))
    told = git_bytes(
        "cat-file", "--batch=%(objectsize)", directory=git_dir, given="".join(f"{one}\n" for one in wanted).encode()
    )
    found: dict[str, bytes] = {}
    place = 0
    for identifier in wanted:
        end = told.index(b"\n", place)
        size = int(told[place:end])
        found[identifier] = told[end + 1 : end + 1 + size]
        place = end + 1 + size + 1
    return found


def _content(mode: str, identifier: str, contents: dict[str, bytes]) -> bytes | None:
    if mode == _ABSENT:
        return None
    if mode == _SUBMODULE:
        # As git's own diffs tell it.
        return f"Subproject commit {identifier}\n".encode()
    return contents.get(identifier, b"")
