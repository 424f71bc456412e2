"""Diffs applied and made by git, in repositories without a tree that are gone afterwards."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from honk.evals.case import Case, File
from honk.git import GitError, git
from honk.model import ChangedFile, UsageError
from honk.workspace.changes import read_changes


def changed_files(cases: Sequence[Case]) -> list[Sequence[ChangedFile]]:
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
        return [read_changes(folder, before[name], after[name]).files for name, _ in sides]


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
