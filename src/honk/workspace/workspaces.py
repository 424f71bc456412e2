"""Where trees come from: clean checkouts for checks and builds, lasting workspaces for agents."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from honk.git import git, succeeds
from honk.model import Checkout, HonkError, Repository, Task, UsageError, Workspace
from honk.settings import Settings
from honk.store import Kept, KeptWorkspaces
from honk.workspace.agent_tree import AgentWorkspace, branch_of
from honk.workspace.bases import Bases
from honk.workspace.bring_in import change_head, plan_bring_in, read_merging, settle_bring_in
from honk.workspace.checkout import CleanCheckout, remove_leftovers, temporary_place
from honk.workspace.keeping import Keeping
from honk.workspace.layers import Layers, kept_layers, kept_lowers
from honk.workspace.mirror import Mirrors, locked
from honk.workspace.overlays import overlays_work
from honk.workspace.sandbox import Sandbox
from honk.workspace.set_ups import SetUps, SetUpStand
from honk.workspace.submodules import populate
from honk.workspace.trees import (
    borrow,
    committed_text,
    empty_file,
    make_bare,
    make_tree,
    object_binds,
    object_folders,
    remove_tree,
)

_TREE, _LAYERS = "tree", "layers"
_OLD = ".replaced"
"""What the name of a workspace's tree ends with while another takes its place."""


class Workspaces:
    """The trees in Honk's home. Made once per process; safe to use from many threads and processes."""

    def __init__(
        self,
        settings: Settings,
        credentials: Callable[[Repository, bool], Mapping[str, str]] = lambda _, __: {},
        kept: KeptWorkspaces | None = None,
    ) -> None:
        self.mirrors = Mirrors(settings.home, credentials)
        self._settings = settings
        self._folder = settings.home / "workspaces"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._bases = Bases(settings)
        self._set_ups = SetUps(settings)
        self._keeping = Keeping(settings, self._folder, kept)
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

    @contextmanager
    def checkout(
        self, repository: Repository, sha: str, *, source: Path | None = None, unsafe: bool = False
    ) -> Iterator[Checkout]:
        """A clean checkout of `sha`, from the git directory `source` if given, else from the mirror.

        Raises `UsageError` if the commit is not there.
        """
        mirror = self.mirrors.path(repository)
        git_dir = source or mirror
        self._need(git_dir, sha, repository)
        trusted = (mirror, f"refs/heads/{repository.default_branch}")
        home = self._settings.home
        with temporary_place(home) as place, ExitStack() as stack:
            (place / "home").mkdir()
            tree: Path | Layers
            if self._layered(unsafe):
                base = stack.enter_context(self._bases.near(repository, sha, git_dir, trusted))
                tree = self._bases.lay_out(base, repository, sha, git_dir, trusted, place / _LAYERS)
            else:
                tree = place / "tree"
                make_tree(git_dir, sha, tree, inside=not unsafe)
                populate(trusted, (git_dir, sha), tree, repository.git_url)
            sandbox = Sandbox(self._settings, tree, place / "home", object_binds(git_dir, empty_file(home)), unsafe)
            stand = None
            if isinstance(tree, Layers):
                stand = SetUpStand(self._set_ups, repository.name, self._own(git_dir, sha, trusted), place, stack)
            yield CleanCheckout(sha, git_dir, sandbox, stand)

    def _own(self, git_dir: Path, sha: str, trusted: tuple[Path, str]) -> str | None:
        """The name of a change's own tree; None for a commit of the default branch."""
        mirror, branch = trusted
        if self._has(mirror, sha) and succeeds("merge-base", "--is-ancestor", sha, branch, directory=mirror):
            return None
        return git("rev-parse", f"{sha}^{{tree}}", directory=git_dir)

    def _layered(self, unsafe: bool) -> bool:
        return not unsafe and overlays_work(self._settings.home)

    @contextmanager
    def open(self, task: Task, repository: Repository, files: Path | None = None) -> Iterator[Workspace]:
        """Enter the task's workspace, which is made on first use from `task.base_sha` and then kept.

        The folder `files` is readable in it as `/honk/attachments`. Raises `UsageError` if the task has no base yet or
        the base is nowhere to be found.
        """
        with self._keeping.in_use(task.id):
            yield from self._opened(task, repository, files)

    def _opened(self, task: Task, repository: Repository, files: Path | None) -> Iterator[Workspace]:
        folder = self._made(task, repository)
        home = folder / "home"
        home.mkdir(exist_ok=True)
        tree = self._tree(folder)
        if isinstance(tree, Path) and not tree.is_dir():
            raise HonkError(f"The files of task {task.id} are gone from {folder}: start the task anew.")
        binds = object_binds(folder / "change.git", empty_file(self._settings.home))
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
        with self._keeping.in_use(task.id), ExitStack() as stack:
            folder = self._made(task, repository)
            base = task.base_sha or ""
            stack.enter_context(locked(self._folder / f".{task.id}.lock"))
            for left in folder.glob(".tree-*"):
                remove_tree(left)
            mirror = self.mirrors.path(repository)
            change, branch = folder / "change.git", branch_of(task.id)
            done = plan_bring_in(folder, branch, base, commit, source or mirror, message, self._settings.signing_key)
            if done is None:
                merging = read_merging(folder)
                return change_head(folder, branch) or base, merging.paths if merging else ()
            tree, shown, trusted = folder / f".tree-{secrets.token_hex(4)}", done.shown, (mirror, base)
            if (folder / _LAYERS).is_dir():
                found = stack.enter_context(self._bases.near(repository, shown, change, trusted))
                self._bases.lay_out(found, repository, shown, change, trusted, tree, branch)
            else:
                make_tree(change, shown, tree, branch=branch, inside=not task.unsafe)
                populate(trusted, (change, shown), tree, repository.git_url)
            place = folder / (_LAYERS if (folder / _LAYERS).is_dir() else _TREE)
            # In two renames, so that a crash leaves one whole tree or the other.
            place.rename(place.with_name(f"{place.name}{_OLD}"))
            tree.rename(place)
            remove_tree(place.with_name(f"{place.name}{_OLD}"))
            settle_bring_in(folder, branch, done)
        return done.head, done.conflicts

    def _made(self, task: Task, repository: Repository) -> Path:
        if task.base_sha is None:
            raise UsageError(f"Task {task.id} has no base commit yet: fetch its repository first.")
        folder = self._folder / task.id
        self._keeping.claim(task.id)
        with locked(self._folder / f".{task.id}.lock"):
            self._keeping.bring_back(task.id, self._lay_out_kept)
            if not folder.is_dir():
                self._make(task, task.base_sha, repository, folder)
            for place in (folder / _TREE, folder / _LAYERS):
                replaced = place.with_name(f"{place.name}{_OLD}")
                if replaced.is_dir() and place.is_dir():
                    remove_tree(replaced)
                elif replaced.is_dir():
                    replaced.rename(place)
        return folder

    def here(self) -> Sequence[str]:
        """The ids of the tasks that have a workspace on this machine."""
        return sorted(path.name for path in self._folder.iterdir() if path.is_dir() and path.name[0] != ".")

    def known(self) -> Sequence[str]:
        """The ids of the tasks whose workspace the store knows of."""
        return self._keeping.known()

    def put_down(self, task: Task, repository: Repository, *, remove: bool) -> Mapping[str, int]:
        """Put the task's workspace down in the store if it is newer here, and `remove` its folder then. Nothing happens
        while it is in use.

        Returns the ignored files that were over the limit and so left out: bytes by path, the biggest first. Raises
        `HonkError` if it cannot be read.
        """
        if not (remove or self._keeping.held(task.id)):
            return {}
        left = self._keeping.put_down(task, repository, lambda: self._tree(self._folder / task.id), remove=remove)
        return left.paths if left else {}

    def exists(self, task: Task) -> bool:
        """True if the task has a workspace on this machine."""
        return (self._folder / task.id).is_dir()

    def remove(self, task: Task) -> None:
        """Delete the task's workspace, here and in the store, and the commits that were not pushed from it, unless it
        is in use."""
        with self._keeping.alone(task.id) as alone:
            if alone:
                remove_tree(self._folder / task.id)
                self._keeping.forget(task.id)

    def collect(self, limit: int | None = None) -> int:
        """Remove the read-only trees that are least used, until all take no more than `limit` bytes (by the settings);
        never one that a workspace stands on or that is in use. Returns the bytes that were freed."""
        limit = self._settings.bases_bytes if limit is None else limit
        return self._set_ups.collect(self._stood_on, limit // 2) + self._bases.collect(self._stood_on, limit)

    def _stood_on(self) -> set[str]:
        return {lower for folder in self._folder.glob(f"*/{_LAYERS}*") for lower in kept_lowers(folder)}

    def change_git_dir(self, task: Task) -> Path:
        """The bare repository with the task's commits on `honk/<task id>`; what it lacks it borrows from the mirror.
        Raises `HonkError` if it has to be brought back from the store and cannot be."""
        with locked(self._folder / f".{task.id}.lock"):
            self._keeping.bring_back(task.id, self._lay_out_kept)
        return self._folder / task.id / "change.git"

    def _tree(self, folder: Path) -> Path | Layers:
        return kept_layers(folder / _LAYERS, self._settings.home) or folder / _TREE

    def _has(self, git_dir: Path, sha: str) -> bool:
        return git_dir.is_dir() and succeeds("cat-file", "-e", f"{sha}^{{commit}}", directory=git_dir)

    def _need(self, git_dir: Path, sha: str, repository: Repository) -> None:
        if not self._has(git_dir, sha):
            raise UsageError(f"The commit {sha[:12]} of {repository.name} is not here: fetch the repository first.")

    def _make(self, task: Task, base: str, repository: Repository, folder: Path) -> None:
        for left in self._folder.glob(f".new-{task.id}-*"):
            remove_tree(left)
        mirror = self.mirrors.path(repository)
        if not (self._bases.has(repository, base) or self._has(mirror, base)):
            self.mirrors.fetch(repository)
            self._need(mirror, base, repository)
        draft, branch = self._folder / f".new-{task.id}-{secrets.token_hex(4)}", branch_of(task.id)
        (draft / "home").mkdir(parents=True)
        change, trusted = draft / "change.git", (mirror, base)
        make_bare(change)
        borrow(change, object_folders(mirror))
        if self._layered(task.unsafe):
            with self._bases.ensured(repository, base, mirror, trusted) as found:
                self._bases.lay_out(found, repository, base, change, trusted, draft / _LAYERS, branch)
                draft.rename(folder)
            return
        make_tree(change, base, draft / _TREE, branch=branch, inside=not task.unsafe)
        populate(trusted, (mirror, base), draft / _TREE, repository.git_url)
        if task.unsafe:
            borrow(draft / _TREE / ".git", object_folders(mirror))
        draft.rename(folder)

    def _lay_out_kept(self, task_id: str, kept: Kept, draft: Path) -> Path | Layers:
        """See `keeping.LayOut`."""
        repository = Repository(**kept.facts["repository"])
        base, commit, unsafe = kept.facts["base"], kept.facts["commit"], kept.facts["unsafe"]
        mirror, change, branch = self.mirrors.path(repository), draft / "change.git", branch_of(task_id)
        trusted = (mirror, base)
        if not self._has(mirror, base):
            self.mirrors.fetch(repository)
        borrow(change, object_folders(mirror))
        if not self._has(change, commit):
            self.mirrors.fetch(repository)
            self._need(change, commit, repository)
        if self._layered(unsafe):
            with self._bases.ensured(repository, commit, change, trusted) as found:
                return self._bases.lay_out(found, repository, commit, change, trusted, draft / _LAYERS, branch)
        make_tree(change, commit, draft / _TREE, branch=branch, inside=not unsafe)
        populate(trusted, (change, commit), draft / _TREE, repository.git_url)
        if unsafe:
            borrow(draft / _TREE / ".git", [draft.parent / task_id / "change.git" / "objects", *object_folders(mirror)])
        return draft / _TREE
