"""Read-only trees of commits, of which every workspace and checkout is a thin layer.

A base is either a whole tree, or a layer over one with only what differs. Both are made by git inside a sandbox, at the
path they will have in every other, so that what git remembers of the files stays true there.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import subprocess
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from honk.git import git, succeeds
from honk.model import Command, HonkError, Limits, Repository
from honk.settings import Settings
from honk.workspace.layers import MONITOR_COMMAND, MONITORED, Layers, entries, lay, monitor_alone
from honk.workspace.mirror import locked
from honk.workspace.sandbox import Sandbox
from honk.workspace.submodules import populate
from honk.workspace.trees import TREE_CONFIGURATION, empty_file, object_binds, object_folders, remove_tree

_WHOLE_AGAIN = 0.25
"""A share of changed files beyond which a tree is made anew instead of as a layer."""
_SECONDS = 900.0

_CHECK_OUT = f"""set -e
git -c core.fsmonitor=false -c checkout.workers=0 -c submodule.recurse=false reset --quiet --hard
if [ "$(git ls-files | wc -l)" -ge {MONITORED} ]; then
  git config core.fsmonitor '{MONITOR_COMMAND}'
  git config core.fsmonitorHookVersion 2
  git config core.untrackedCache true
  git status --porcelain >/dev/null
  git status --porcelain >/dev/null
fi
"""
_SWITCH = 'git -c submodule.recurse=false read-tree -m -u "$1" "$2"'


@dataclass(frozen=True)
class Base:
    """A commit's tree: the folders that make it up, lowest first, and the file that says that it is in use."""

    sha: str
    lowers: Sequence[Path]
    used: Path


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
        self._folder = settings.home / "bases"

    def has(self, repository: Repository, sha: str) -> bool:
        """Whether the tree of this commit is there."""
        return self._read(repository, sha) is not None

    def ensure(self, repository: Repository, sha: str, source: Path, trusted: tuple[Path, str]) -> Base:
        """The base of `sha`, made from the git directory `source` if it is not there yet; submodules come from where
        `trusted` says, a commit that no agent wrote with its git directory. Raises `HonkError`."""
        if base := self._read(repository, sha):
            return base
        folder = self._folder / repository.name
        with locked(folder / ".lock"):
            if base := self._read(repository, sha):
                return base
            for left in folder.glob(".new-*"):
                remove_tree(left)
            draft = folder / f".new-{secrets.token_hex(4)}"
            draft.mkdir()
            whole = self._whole_near(repository, sha, source)
            tree = self._grow(whole, sha, source, draft) if whole else self._check_out(sha, source, draft)
            populate(trusted, (source, sha), tree, repository.git_url, whole.sha if whole else None)
            facts = {"whole": whole.sha if whole else None, "bytes": _size(tree)}
            (draft / "facts.json").write_text(json.dumps(facts))
            (draft / "used").touch()
            remove_tree(draft / "home")
            remove_tree(draft / "work")
            draft.rename(folder / sha)
        found = self._read(repository, sha)
        if found is None:
            raise HonkError(f"The tree of {sha[:12]} was removed while it was made: try again.")
        return found

    def near(self, repository: Repository, sha: str, source: Path, trusted: tuple[Path, str]) -> Base:
        """A base from which a tree of `sha` is quickly made: its own, else the newest whose commit `source` has, else
        its own, made now. Raises `HonkError`."""
        if base := self._read(repository, sha):
            return base
        for base in self._newest_first(repository):
            if succeeds("cat-file", "-e", f"{base.sha}^{{commit}}", directory=source):
                return base
        return self.ensure(repository, sha, source, trusted)

    def lay_out(
        self,
        base: Base,
        repository: Repository,
        sha: str,
        source: Path,
        trusted: tuple[Path, str],
        folder: Path,
        branch: str | None = None,
    ) -> Layers:
        """A tree of `sha` (from `source`, as in `ensure`) over `base` with an upper layer of its own, in the new
        `folder`. Raises `HonkError`."""
        layers = lay(folder, base.lowers, self._settings.home, git_files(sha, len(object_folders(source)), branch))
        if base.sha != sha:
            self._run(layers, source, folder, (_SWITCH, base.sha, sha))
            populate(trusted, (source, sha), layers.upper, repository.git_url, base.sha)
        return layers

    @contextmanager
    def held(self, find: Callable[[], Base]) -> Iterator[Base]:
        """The base that `find` finds, kept from being collected for as long as this lasts, or the process lives."""
        while True:
            base = find()
            with contextlib.suppress(FileNotFoundError), base.used.open("r+") as file:
                fcntl.flock(file, fcntl.LOCK_SH)
                base.used.touch()
                if os.path.samestat(os.fstat(file.fileno()), base.used.stat()):
                    yield base
                    return

    def collect(self, referred: Callable[[], Collection[str]], limit: int) -> int:
        """Remove what is least used until all bases take no more than `limit` bytes; the bytes that were freed.

        `referred` tells the folders that workspaces stand on, relative to the home; those stay, and so does what is
        held and what another base is a layer over.
        """
        found = [path.parent for path in self._folder.glob("*/*/facts.json")]
        found.sort(key=lambda folder: (folder / "used").stat().st_mtime)
        sizes = {folder: int(json.loads((folder / "facts.json").read_text())["bytes"]) for folder in found}
        excess, freed = sum(sizes.values()) - limit, 0
        # Layers go before what they lie on, so that both can go in one pass.
        for folder in sorted(found, key=lambda folder: _whole(folder) is None):
            if freed < excess and self._remove(folder, referred):
                freed += sizes[folder]
        return freed

    # -- how they are made -------------------------------------------------------------------------------------------

    def _read(self, repository: Repository, sha: str) -> Base | None:
        folder = self._folder / repository.name / sha
        try:
            whole = _whole(folder)
        except FileNotFoundError:
            return None
        lowers = [folder.parent / whole / "tree"] if whole else []
        return Base(sha, [*lowers, folder / "tree"], folder / "used")

    def _newest_first(self, repository: Repository) -> Iterator[Base]:
        folder = self._folder / repository.name
        for facts in sorted(folder.glob("*/facts.json"), key=lambda path: -path.stat().st_mtime):
            if base := self._read(repository, facts.parent.name):
                yield base

    def _whole_near(self, repository: Repository, sha: str, source: Path) -> Base | None:
        """The newest whole tree of which the wanted one is not too different."""
        for base in self._newest_first(repository):
            if len(base.lowers) > 1 or not succeeds("cat-file", "-e", f"{base.sha}^{{commit}}", directory=source):
                continue
            changed = git("diff-tree", "-r", "--no-renames", "--name-only", base.sha, sha, directory=source).count("\n")
            return base if changed <= _WHOLE_AGAIN * entries(base.lowers[-1] / ".git" / "index") else None
        return None

    def _check_out(self, sha: str, source: Path, draft: Path) -> Path:
        tree = draft / "tree"
        files = git_files(sha, len(object_folders(source))) | {".git/config": TREE_CONFIGURATION}
        for path, text in files.items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_text(text)
        (tree / ".git" / "refs").mkdir()
        self._run(tree, source, draft, (_CHECK_OUT,))
        return tree

    def _grow(self, whole: Base, sha: str, source: Path, draft: Path) -> Path:
        layers = lay(draft, whole.lowers, self._settings.home, git_files(sha, len(object_folders(source))))
        self._run(layers, source, draft, (f"{_SWITCH} && git status --porcelain >/dev/null", whole.sha, sha))
        layers.upper.rename(draft / "tree")
        return draft / "tree"

    def _run(self, tree: Path | Layers, source: Path, folder: Path, line: Sequence[str]) -> None:
        binds = object_binds(source, empty_file(self._settings.home))
        with tempfile.TemporaryDirectory(dir=folder, prefix=".home-") as home:
            done = Sandbox(self._settings, tree, Path(home), binds).run(
                Command(
                    ("sh", "-c", line[0], "sh", *line[1:]),
                    readable=monitor_alone() if isinstance(tree, Path) else {},
                    limits=Limits(seconds=_SECONDS, output=1 << 20),
                )
            )
        if done.exit_code:
            raise HonkError(
                f"The files of the commit cannot be laid out: {done.output.strip()[-600:] or done.ended_by}."
            )

    def _remove(self, folder: Path, referred: Callable[[], Collection[str]]) -> bool:
        with locked(folder.parent / ".lock"):
            if any(_whole(other.parent) == folder.name for other in folder.parent.glob("*/facts.json")):
                return False
            with (folder / "used").open("r+") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return False
                # Asked while nobody can begin to stand on it.
                if str((folder / "tree").relative_to(self._settings.home)) in referred():
                    return False
                gone = folder.parent / f".new-{secrets.token_hex(4)}"
                folder.rename(gone)
        remove_tree(gone)
        return True


def _whole(folder: Path) -> str | None:
    """The commit of the whole tree that the base in `folder` is a layer over."""
    whole: str | None = json.loads((folder / "facts.json").read_text())["whole"]
    return whole


def _size(folder: Path) -> int:
    done = subprocess.run(["du", "-sk", "--", str(folder)], capture_output=True, text=True, check=False)
    return int(done.stdout.split()[0]) * 1024 if done.stdout else 0
