"""Read-only trees of commits, of which every workspace and checkout is a thin layer.

A base is either a whole tree, or a layer over one with only what differs. Both are made by git inside a sandbox, at the
path they will have in every other, so that what git remembers of the files stays true there.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from honk.git import git, succeeds
from honk.model import Command, HonkError, Limits, Repository
from honk.settings import Settings
from honk.workspace.layers import COARSE_MONITOR, MONITOR_COMMAND, MONITORED, Layers, entries, lay, monitor_alone
from honk.workspace.overlays import overlays_work, sharing_works
from honk.workspace.sandbox import Sandbox
from honk.workspace.set_ups import KeptSetUp
from honk.workspace.shared import Facts, SharedFolders
from honk.workspace.submodules import populate
from honk.workspace.trees import (
    TREE_CONFIGURATION,
    empty_file,
    object_binds,
    object_folders,
    remove_tree,
    share_copy,
    write_files,
)

_WHOLE_AGAIN = 0.25
"""A share of changed files beyond which a tree is made anew instead of as a layer."""
_SECONDS = 900.0

_CHECK_OUT = f"""set -e
git -c core.fsmonitor=false -c checkout.workers=0 -c submodule.recurse=false reset --quiet --hard
git config core.fsmonitorHookVersion 2
if [ "$(git ls-files | wc -l)" -ge {MONITORED} ]; then
  git config core.fsmonitor "$1"
  git config core.untrackedCache true
else
  # What is as young as the index, git reads again to be sure, in every tree that is laid over this (racy-git(7)).
  git ls-files -z | xargs -0 -r touch --no-dereference --no-create --date="@$(($(date +%s) - 10))"
  git update-index -q --refresh
  git config core.fsmonitor "$2"
fi
git status --porcelain >/dev/null
git status --porcelain >/dev/null
"""
_SWITCH = 'git -c submodule.recurse=false read-tree -m -u "$1" "$2"'


@dataclass(frozen=True)
class Base:
    """A commit's tree: the folders that make it up, lowest first."""

    sha: str
    lowers: Sequence[Path]


def git_files(sha: str, folders: int, branch: str | None = None) -> dict[str, str]:
    """The files that make a tree's git directory stand at `sha`, with objects in so many folders
    (gitrepository-layout(5))."""
    files = {
        ".git/HEAD": f"{sha}\n",
        ".git/objects/info/alternates": "".join(f"/honk/objects/{number}\n" for number in range(folders)),
    }
    if branch:
        files |= {".git/HEAD": f"ref: refs/heads/{branch}\n", f".git/refs/heads/{branch}": f"{sha}\n"}
    return files


class Bases:
    """The bases in Honk's home. Safe to use from many threads and processes."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._shared = SharedFolders(settings.home / "bases", settings.home)
        self.collect = self._shared.collect

    def has(self, repository: Repository, sha: str) -> bool:
        """Whether the tree of this commit is there."""
        return self._shared.facts(repository.name, sha) is not None

    def lacking(self, repository: Repository, sha: str) -> Mapping[str, str]:
        """The submodules that stayed empty in the base of `sha`: why, and what to do, by path."""
        lacking: dict[str, str] = (self._shared.facts(repository.name, sha) or {}).get("lacking", {})
        return lacking

    @contextmanager
    def ensured(self, repository: Repository, sha: str, source: Path, trusted: tuple[Path, str]) -> Iterator[Base]:
        """The base of `sha`, held; made from the git directory `source` if it is not there yet. Submodules come from
        where `trusted` says, a commit that no agent wrote with its git directory. Raises `HonkError`."""
        with self._shared.held(repository.name, lambda: self._ensure(repository, sha, source, trusted)) as name:
            yield self._read(repository, name)

    @contextmanager
    def near(self, repository: Repository, sha: str, source: Path, trusted: tuple[Path, str]) -> Iterator[Base]:
        """A base from which a tree of `sha` is quickly made, held: its own, else the newest whose commit `source` has,
        else its own, made now. Raises `HonkError`."""

        def find() -> str:
            if self.has(repository, sha):
                return sha
            for name in self._shared.newest_first(repository.name):
                if succeeds("cat-file", "-e", f"{name}^{{commit}}", directory=source):
                    return name
            return self._ensure(repository, sha, source, trusted)

        with self._shared.held(repository.name, find) as name:
            yield self._read(repository, name)

    def lay_out(
        self,
        base: Base,
        repository: Repository,
        sha: str,
        source: Path,
        trusted: tuple[Path, str],
        folder: Path,
        branch: str | None = None,
        set_up: KeptSetUp | None = None,
    ) -> Layers:
        """A tree of `sha` (from `source`, as in `ensured`) over `base` and what a set-up left, with an upper layer of
        its own in the new `folder`. Raises `HonkError`."""
        files = git_files(sha, len(object_folders(source)), branch)
        if set_up:
            files[".git/info/exclude"] = "".join(f"{pattern}\n" for pattern in set_up.made)
        lowers = [*base.lowers, *([set_up.tree] if set_up else [])]
        layers = lay(folder, lowers, self._settings.home, files)
        self._switch(layers, base, repository, sha, source, trusted)
        return layers

    def copy_out(
        self,
        repository: Repository,
        sha: str,
        source: Path,
        trusted: tuple[Path, str],
        tree: Path,
        branch: str | None = None,
    ) -> bool:
        """A tree of `sha` in the new folder `tree` that shares its blocks with a base, where trees have no layers;
        False, and no `tree`, where the file system cannot share either. Raises `HonkError`."""
        if not sharing_works(self._settings.home):
            return False
        with self.near(repository, sha, source, trusted) as base:
            if len(base.lowers) > 1 or not share_copy(base.lowers[0], tree):
                return False
            # Whoever works there can write what lies below, of which no monitor would know.
            files = git_files(sha, len(object_folders(source)), branch) | {".git/config": TREE_CONFIGURATION}
            write_files(tree, files)
            self._switch(tree, base, repository, sha, source, trusted)
        return True

    def _switch(
        self,
        tree: Path | Layers,
        base: Base,
        repository: Repository,
        sha: str,
        source: Path,
        trusted: tuple[Path, str],
    ) -> None:
        """Make a tree that shows the base's commit show `sha`, by what differs."""
        if base.sha == sha:
            return
        written = tree if isinstance(tree, Path) else tree.upper
        self._run(tree, source, written.parent, (_SWITCH, base.sha, sha))
        lacking = self.lacking(repository, base.sha)
        populate(
            trusted, (source, sha), written, repository.git_url, self._settings, below=base.sha, lacking_below=lacking
        )

    # -- how they are made -------------------------------------------------------------------------------------------

    def _ensure(self, repository: Repository, sha: str, source: Path, trusted: tuple[Path, str]) -> str:
        def fill(draft: Path) -> Facts:
            layered = overlays_work(self._settings.home)
            whole = self._whole_near(repository, sha, source) if layered else None
            tree = self._grow(whole, sha, source, draft) if whole else self._check_out(sha, source, draft)
            below = whole.sha if whole else None
            before = self.lacking(repository, below) if below else {}
            lacking = populate(
                trusted, (source, sha), tree, repository.git_url, self._settings, below=below, lacking_below=before
            )
            return {"over": below, "lacking": lacking}

        if not self.has(repository, sha):
            self._shared.make(repository.name, sha, fill)
        return sha

    def _read(self, repository: Repository, sha: str) -> Base:
        over = (self._shared.facts(repository.name, sha) or {})["over"]
        return Base(sha, [self._shared.path(repository.name, name) / "tree" for name in (over, sha) if name])

    def _whole_near(self, repository: Repository, sha: str, source: Path) -> Base | None:
        """The newest whole tree, if the wanted one is not too different from it."""
        for name in self._shared.newest_first(repository.name):
            base = self._read(repository, name)
            if len(base.lowers) > 1 or not succeeds("cat-file", "-e", f"{name}^{{commit}}", directory=source):
                continue
            changed = git("diff-tree", "-r", "--no-renames", "--name-only", name, sha, directory=source).count("\n")
            return base if changed <= _WHOLE_AGAIN * entries(base.lowers[-1] / ".git" / "index") else None
        return None

    def _check_out(self, sha: str, source: Path, draft: Path) -> Path:
        tree = draft / "tree"
        write_files(tree, git_files(sha, len(object_folders(source))) | {".git/config": TREE_CONFIGURATION})
        (tree / ".git" / "refs").mkdir()
        self._run(tree, source, draft, (_CHECK_OUT, MONITOR_COMMAND, COARSE_MONITOR))
        return tree

    def _grow(self, whole: Base, sha: str, source: Path, draft: Path) -> Path:
        over = draft / "over"
        layers = lay(over, whole.lowers, self._settings.home, git_files(sha, len(object_folders(source))))
        self._run(layers, source, draft, (f"{_SWITCH} && git status --porcelain >/dev/null", whole.sha, sha))
        layers.upper.rename(draft / "tree")
        remove_tree(over)
        return draft / "tree"

    def _run(self, tree: Path | Layers, source: Path, folder: Path, line: Sequence[str]) -> None:
        binds = object_binds(source, empty_file(self._settings.home))
        with tempfile.TemporaryDirectory(dir=folder, prefix=".home-") as name:
            home, empty = Path(name, "home"), Path(name, "empty")
            home.mkdir()
            empty.mkdir()
            done = Sandbox(self._settings, tree, home, binds).run(
                Command(
                    ("sh", "-c", line[0], "sh", *line[1:]),
                    readable=monitor_alone(empty) if isinstance(tree, Path) else {},
                    limits=Limits(seconds=_SECONDS, output=1 << 20),
                )
            )
        if done.exit_code:
            told = done.output.strip()[-600:] or done.ended_by
            raise HonkError(f"The files of the commit cannot be laid out: {told}.")
