"""The commit that would land, made in a bare repository, and what a change changes."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from honk.git import GitError, git, readable, succeeds
from honk.git import changed_paths as differing_paths
from honk.model import Conflict, HonkError, Landing, Person


@dataclass(frozen=True)
class Composition:
    """What is to be put together: the change `head` on `base` by `method` (squash, merge or rebase)."""

    base: str
    head: str
    method: str
    message: str
    person: Person
    at: str
    """ISO 8601; the same each time, so that the commit is."""


def composed(directory: Path, wanted: Composition, branch: str) -> Landing:
    """The commit, which depends on what is wanted alone: composing again gives the same one. Raises `Conflict`."""
    base, head = wanted.base, wanted.head
    common = git("merge-base", base, head, directory=directory)
    identity = _identity(wanted.person, wanted.at)
    tried = git("rev-parse", f"{head}^{{tree}}", directory=directory)
    if wanted.method == "rebase":
        sha = head if common == base else _rebased(directory, common, base, head, branch, identity)
    else:
        tree = tried if common == base else _merged_tree(directory, base, head, branch)
        parents = ["-p", base] + (["-p", head] if wanted.method == "merge" else [])
        sha = git(
            "commit-tree", tree, *parents, "-F", "-",
            directory=directory, environment=identity, given=wanted.message.encode(),
        )  # fmt: skip
    git("update-ref", f"refs/honk/landings/{sha}", sha, directory=directory)
    return Landing(base, sha, git("rev-parse", f"{sha}^{{tree}}", directory=directory) == tried)


def changed_paths(directory: Path, base: str, head: str) -> list[str]:
    """The paths that differ, as text that can be told. A rename counts as both of its paths."""
    return [readable(path) for path in differing_paths(directory, base, head)]


def unified_diff(directories: Sequence[Path], base: str, head: str) -> str:
    """The difference, from the first bare repository that has it. Renames are found, no external program is run."""
    for directory in directories:
        if directory.exists() and succeeds("cat-file", "-e", f"{head}^{{commit}}", directory=directory):
            return git("diff", "-M", "--no-color", "--no-ext-diff", "--no-textconv", base, head, directory=directory)
    return ""


def _identity(person: Person, at: str) -> dict[str, str]:
    """Who wrote a commit and who made it, always at the same time, so that making it again gives the same one."""
    return {
        "GIT_AUTHOR_NAME": person.name or "Honk",
        "GIT_AUTHOR_EMAIL": person.email or "honk@localhost",
        "GIT_AUTHOR_DATE": at,
        "GIT_COMMITTER_NAME": "Honk",
        "GIT_COMMITTER_EMAIL": "honk@localhost",
        "GIT_COMMITTER_DATE": at,
    }


def _conflict(branch: str) -> Conflict:
    return Conflict(f"The change conflicts with what is on {branch} by now.")


def _rebased(directory: Path, common: str, base: str, head: str, branch: str, identity: dict[str, str]) -> str:
    """The change's own commits, one by one on the newest base."""
    committer = {name: value for name, value in identity.items() if name.startswith("GIT_COMMITTER")}
    with tempfile.TemporaryDirectory(prefix="honk-rebase-") as folder:
        tree = Path(folder) / "tree"
        git("worktree", "add", "-q", "--detach", tree, head, directory=directory)
        try:
            git("rebase", "-q", "--onto", base, common, directory=tree, environment=committer)
            return git("rev-parse", "HEAD", directory=tree)
        except GitError as error:
            raise _conflict(branch) from error
        finally:
            git("worktree", "remove", "--force", tree, directory=directory)


def _merged_tree(directory: Path, base: str, head: str, branch: str) -> str:
    try:
        return git(
            "merge-tree", "--write-tree", "--no-messages", "--name-only", base, head, directory=directory
        ).splitlines()[0]
    except GitError as error:
        if error.git_exit_code == 1:
            raise _conflict(branch) from error
        raise HonkError(
            "Merging onto a base that has moved needs git 2.38 or newer on this machine: upgrade git, then merge again."
        ) from error
