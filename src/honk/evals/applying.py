"""Diffs applied and made by git, in repositories without a tree that are gone afterwards."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from honk.evals.case import Case, File
from honk.git import GitError, git
from honk.model import ChangedFile, Changes, UsageError
from honk.workspace.changes import read_changes


class CaseFiles:
    """The files of a case after its change, as far as they are in its base or its diff."""

    def __init__(self, base: Mapping[str, File], changed: Sequence[ChangedFile]) -> None:
        gone = {one.old_path or one.path for one in changed}
        new = {one.path: one.after for one in changed if one.after is not None}
        self._contents = {path: file.content() for path, file in base.items() if path not in gone} | new

    def files(self) -> Sequence[str]:
        """Every path."""
        return sorted(self._contents)

    def texts(self, paths: Collection[str], longest: int) -> Mapping[str, str]:
        """The texts of those that are there and have at most `longest` bytes."""
        found = {path: self._contents[path] for path in paths if path in self._contents}
        return {path: data.decode("utf-8", "replace") for path, data in found.items() if len(data) <= longest}


def changed_files(cases: Sequence[Case]) -> list[Changes]:
    """What each case's diff makes of its base, read as a task's change is.

    Raises `UsageError` with git's words for the first that does not apply.
    """
    sides = [(f"case-{number}", case.files()) for number, case in enumerate(cases)]
    with _repository(sides) as (folder, base):
        # Each case has a folder of its own in one index: so git starts once to apply a diff.
        index = {"GIT_INDEX_FILE": str(folder / "eval-index")}
        git("read-tree", base, directory=folder, environment=index)
        for (name, _), case in zip(sides, cases, strict=True):
            try:
                git(
                    "apply", "--cached", "--whitespace=nowarn", f"--directory={name}", "-",
                    directory=folder, environment=index, given=case.diff.encode(),
                )  # fmt: skip
            except GitError as error:
                told = str(error).replace(f"{name}/", "")
                raise UsageError(f"The diff of the case {case.id!r} does not apply to its base: {told}.") from error
        before = _folders(folder, base)
        after = _folders(folder, git("write-tree", directory=folder, environment=index))
        read = [read_changes(folder, before[name], after[name]) for name, _ in sides]
        # The repository is gone when somebody asks.
        return [
            replace(one, standing=CaseFiles(files, one.files), stood=None)
            for one, (_, files) in zip(read, sides, strict=True)
        ]


def diff_between(before: Mapping[str, File], after: Mapping[str, File]) -> str:
    """Git's unified diff, binary files and modes included."""
    with _repository([("before", before), ("after", after)]) as (folder, tree):
        sides = _folders(folder, tree)
        options = ("--binary", "-M", "--no-color", "--no-ext-diff", "--no-textconv")
        return git("diff", *options, sides["before"], sides["after"], directory=folder) + "\n"


@contextmanager
def _repository(sides: Sequence[tuple[str, Mapping[str, File]]]) -> Iterator[tuple[Path, str]]:
    """A bare repository with these files in these folders, and the tree that has them."""
    with tempfile.TemporaryDirectory(prefix="honk-eval-", ignore_cleanup_errors=True) as place:
        folder = Path(place)
        git("init", "-q", "--bare", folder)
        git("fast-import", "--quiet", directory=folder, given=b"".join(_imported(sides)))
        yield folder, git("rev-parse", "refs/base^{tree}", directory=folder)


def _imported(sides: Sequence[tuple[str, Mapping[str, File]]]) -> Iterator[bytes]:
    """All of it as one commit, as git's `fast-import` reads it."""
    yield b"commit refs/base\ncommitter Honk <honk@localhost> 0 +0000\ndata 0\n"
    for name, files in sides:
        # So that the folder is there where nothing is in it, too.
        for path, file in {".case": File(text=""), **files}.items():
            content = file.content()
            quoted = f"{name}/{path}".replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
            yield f'M {file.mode} inline "{quoted}"\ndata {len(content)}\n'.encode()
            yield content
            yield b"\n"


def _folders(folder: Path, tree: str) -> dict[str, str]:
    lines = git("ls-tree", "-d", tree, directory=folder).splitlines()
    return {line.partition("\t")[2]: line.split()[2] for line in lines}
