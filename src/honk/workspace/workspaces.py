"""Where trees come from: clean checkouts for checks and builds, lasting workspaces for agents."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from honk.git import git, succeeds
from honk.model import Checkout, HonkError, Repository, Task, UsageError, Workspace
from honk.settings import Settings
from honk.workspace.agent_tree import AgentWorkspace, branch_of
from honk.workspace.bring_in import change_head, plan_bring_in, read_merging, settle_bring_in
from honk.workspace.checkout import clean_checkout, remove_leftovers
from honk.workspace.mirror import Mirrors, locked
from honk.workspace.sandbox import Sandbox
from honk.workspace.submodules import populate
from honk.workspace.trees import (
    borrow,
    committed_text,
    empty_file,
    make_tree,
    object_binds,
    object_folders,
    remove_tree,
)

_OLD = ".replaced"
"""What a workspace's tree is called while another takes its place."""


class Workspaces:
    """The trees in Honk's home. Made once per process; safe to use from many threads and processes."""

    def __init__(
        self, settings: Settings, credentials: Callable[[Repository, bool], Mapping[str, str]] = lambda _, __: {}
    ) -> None:
        self.mirrors = Mirrors(settings.home, credentials)
        self._settings = settings
        self._folder = settings.home / "workspaces"
        self._folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(settings.home)

    def fetch(self, repository: Repository) -> str:
        """Bring the mirror up to date and return the newest commit of the default branch. Raises as `Mirrors.fetch`."""
        return self.mirrors.fetch(repository)

    def read(self, repository: Repository, commit: str, path: str) -> str | None:
        """The text of a file at a base commit, or None. Raises `UsageError` for an unknown commit."""
        mirror = self.mirrors.path(repository)
        if not self._has(mirror, commit):
            self.mirrors.fetch(repository)
        self._need(mirror, commit, repository)
        return committed_text(mirror, commit, path)

    def checkout(
        self, repository: Repository, sha: str, *, source: Path | None = None, unsafe: bool = False
    ) -> AbstractContextManager[Checkout]:
        """A clean checkout of `sha`, from the git directory `source` if given, else from the mirror.

        Raises `UsageError` if the commit is not there.
        """
        git_dir = source or self.mirrors.path(repository)
        self._need(git_dir, sha, repository)
        trusted = (self.mirrors.path(repository), f"refs/heads/{repository.default_branch}")
        return clean_checkout(self._settings, git_dir, sha, trusted, repository.git_url, unsafe=unsafe)

    @contextmanager
    def open(self, task: Task, repository: Repository, files: Path | None = None) -> Iterator[Workspace]:
        """Enter the task's workspace, which is made on first use from `task.base_sha` and then kept.

        The folder `files` is readable in it as `/honk/attachments`. Raises `UsageError` if the task has no base yet or
        the base is nowhere to be found.
        """
        folder = self._made(task, repository)
        home, tree = folder / "home", folder / "tree"
        home.mkdir(exist_ok=True)
        if not tree.is_dir():
            raise HonkError(f"The files of task {task.id} are gone from {folder}: start the task anew.")
        binds = object_binds(self.change_git_dir(task), empty_file(self._settings.home))
        if files:
            binds["/honk/attachments"] = files
        sandbox = Sandbox(self._settings, tree, home, binds, task.unsafe)
        with ExitStack() as stack:
            yield AgentWorkspace(self._settings, task, task.base_sha or "", folder, sandbox, stack)

    def bring_in(
        self, task: Task, repository: Repository, commit: str, message: str, *, source: Path | None = None
    ) -> tuple[str, Sequence[str]]:
        """Merge `commit` (from `source`, else from the mirror) into the task's change and lay its tree out anew.

        Returns the change's newest commit and the paths with conflicts, whose markers the tree then shows. What was
        not committed in the tree is lost. Raises as `open`, and `HonkError` if git cannot do it.
        """
        folder = self._made(task, repository)
        base = task.base_sha or ""
        with locked(self._folder / f".{task.id}.lock"):
            for left in folder.glob(".tree-*"):
                remove_tree(left)
            mirror = self.mirrors.path(repository)
            done = plan_bring_in(
                folder, branch_of(task.id), base, commit, source or mirror, message, self._settings.signing_key
            )
            if done is None:
                merging = read_merging(folder)
                return change_head(folder, branch_of(task.id)) or base, merging.paths if merging else ()
            tree = folder / f".tree-{secrets.token_hex(4)}"
            make_tree(folder / "change.git", done.shown, tree, branch=branch_of(task.id), inside=not task.unsafe)
            shown = folder / "change.git", done.shown
            populate((mirror, base), shown, tree, repository.git_url, self._settings, unsafe=task.unsafe)
            # In two renames, so that a crash leaves one whole tree or the other.
            (folder / "tree").rename(folder / _OLD)
            tree.rename(folder / "tree")
            remove_tree(folder / _OLD)
            settle_bring_in(folder, branch_of(task.id), done)
        return done.head, done.conflicts

    def _made(self, task: Task, repository: Repository) -> Path:
        if task.base_sha is None:
            raise UsageError(f"Task {task.id} has no base commit yet: fetch its repository first.")
        folder = self._folder / task.id
        with locked(self._folder / f".{task.id}.lock"):
            if not folder.is_dir():
                self._make(task, task.base_sha, repository, folder)
            if (folder / _OLD).is_dir():
                if (folder / "tree").is_dir():
                    remove_tree(folder / _OLD)
                else:
                    (folder / _OLD).rename(folder / "tree")
        return folder

    def exists(self, task: Task) -> bool:
        """True if the task has a workspace on this machine."""
        return (self._folder / task.id).is_dir()

    def remove(self, task: Task) -> None:
        """Delete the task's workspace and the commits that were not pushed from it."""
        with locked(self._folder / f".{task.id}.lock"):
            remove_tree(self._folder / task.id)

    def change_git_dir(self, task: Task) -> Path:
        """The bare repository with the task's commits on `honk/<task id>`; what it lacks it borrows from the mirror."""
        return self._folder / task.id / "change.git"

    def _has(self, git_dir: Path, sha: str) -> bool:
        return git_dir.is_dir() and succeeds("cat-file", "-e", f"{sha}^{{commit}}", directory=git_dir)

    def _need(self, git_dir: Path, sha: str, repository: Repository) -> None:
        if not self._has(git_dir, sha):
            raise UsageError(f"The commit {sha[:12]} of {repository.name} is not here: fetch the repository first.")

    def _make(self, task: Task, base: str, repository: Repository, folder: Path) -> None:
        for left in self._folder.glob(f".new-{task.id}-*"):
            remove_tree(left)
        mirror = self.mirrors.path(repository)
        if not self._has(mirror, base):
            self.mirrors.fetch(repository)
        self._need(mirror, base, repository)
        draft = self._folder / f".new-{task.id}-{secrets.token_hex(4)}"
        (draft / "home").mkdir(parents=True)
        git("init", "--quiet", "--bare", draft / "change.git")
        borrow(draft / "change.git", object_folders(mirror))
        make_tree(draft / "change.git", base, draft / "tree", branch=branch_of(task.id), inside=not task.unsafe)
        populate(
            *((mirror, base), (mirror, base), draft / "tree", repository.git_url, self._settings), unsafe=task.unsafe
        )
        if task.unsafe:
            borrow(draft / "tree" / ".git", object_folders(mirror))
        draft.rename(folder)
