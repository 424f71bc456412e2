"""Put other people's commits into a task's change: what somebody pushed to its branch, or the newest base."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from honk.git import GitError, git, signed, succeeds
from honk.model import HonkError

_KEPT = "merging.json"


@dataclass(frozen=True)
class Merging:
    """A merge whose conflicts are still in the tree: the commit that came in, and the paths to mend."""

    other: str
    paths: Sequence[str]


def read_merging(folder: Path) -> Merging | None:
    """The merge that waits to be mended in the workspace at `folder`, if one does."""
    text = merging_text(folder)
    if text is None:
        return None
    kept = json.loads(text)
    return Merging(kept["other"], kept["paths"])


def merging_text(folder: Path) -> str | None:
    """What `write_merging` wrote, if a merge waits to be mended."""
    path = folder / _KEPT
    return path.read_text() if path.is_file() else None


def write_merging(folder: Path, text: str | None) -> None:
    """Put down that a merge waits to be mended, if one does."""
    if text is not None:
        draft = folder / f".{_KEPT}"
        draft.write_text(text)
        draft.rename(folder / _KEPT)


def end_merging(folder: Path) -> None:
    """The merge has been committed."""
    (folder / _KEPT).unlink(missing_ok=True)


@dataclass(frozen=True)
class BroughtIn:
    """What comes of it: the change's newest commit, the commit whose files the tree must show, and what is to mend."""

    other: str
    head: str
    shown: str
    conflicts: Sequence[str]


def change_head(folder: Path, branch: str) -> str | None:
    """The newest commit of the change kept in `folder`/change.git on `branch`, if it has one."""
    ref, change = f"refs/heads/{branch}^{{commit}}", folder / "change.git"
    if not succeeds("rev-parse", "--verify", "-q", ref, directory=change):
        return None
    return git("rev-parse", ref, directory=change)


def plan_bring_in(
    folder: Path, branch: str, base: str, other: str, source: Path, message: str, key: Path | None = None
) -> BroughtIn | None:
    """Merge `other` (from the git directory `source`) with the change kept in `folder`/change.git on `branch`, without
    moving the branch yet.

    The merge is signed with `key`. None if the change has it already. With conflicts nothing is committed: the tree is
    to show the markers, and the commit that mends them becomes the merge. Raises `HonkError` if git cannot do it.
    """
    change = folder / "change.git"
    git("fetch", "-q", "--no-tags", "--no-write-fetch-head", source, f"+{other}:refs/honk/other", directory=change)
    here = change_head(folder, branch) or base
    if succeeds("merge-base", "--is-ancestor", other, here, directory=change):
        return None
    if succeeds("merge-base", "--is-ancestor", here, other, directory=change):
        return BroughtIn(other, other, other, ())
    tree, conflicts = _merged(change, here, other)
    commit = signed(change, _commit(change, tree, (here, other), message), key)
    return BroughtIn(other, here if conflicts else commit, commit, conflicts)


def settle_bring_in(folder: Path, branch: str, done: BroughtIn) -> None:
    """Make it so; last of all, once the tree shows it: doing it all again after a crash then begins at the start."""
    change = folder / "change.git"
    if done.conflicts:
        # Kept by a reference of its own, because the tree stands on it; it never becomes part of the change.
        git("update-ref", "refs/honk/markers", done.shown, directory=change)
        write_merging(folder, json.dumps({"other": done.other, "paths": list(done.conflicts)}))
    else:
        git("update-ref", f"refs/heads/{branch}", done.head, directory=change)


def _merged(change: Path, here: str, other: str) -> tuple[str, list[str]]:
    try:
        return git("merge-tree", "--write-tree", "--no-messages", here, other, directory=change), []
    except GitError as error:
        if error.git_exit_code != 1:
            raise HonkError(f"The commit {other[:8]} cannot be merged into the change: {error}.") from error
        told = git(
            "merge-tree", "--write-tree", "--no-messages", "--name-only", "-z", here, other,
            directory=change, failing=(1,),
        )  # fmt: skip
        tree, *paths = [part for part in told.split("\0") if part]
        return tree, sorted(set(paths))


def _commit(change: Path, tree: str, parents: tuple[str, str], message: str) -> str:
    # The later of the parents' times, so that merging again gives the same commit.
    date = max(int(git("log", "-1", "--format=%ct", parent, directory=change)) for parent in parents)
    who = {
        f"GIT_{role}_{what}": value
        for role in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "Honk"), ("EMAIL", "honk@localhost"), ("DATE", f"@{date} +0000"))
    }
    return git(
        "commit-tree", tree, "-p", parents[0], "-p", parents[1], "-F", "-",
        directory=change, environment=who, given=message.encode(),
    )  # fmt: skip
