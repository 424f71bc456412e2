"""Where trees come from: clean checkouts for checks and builds, lasting workspaces for agents."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import asdict, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from honk.git import changed_paths, git, plain_text, succeeds
from honk.model import (
    Budget,
    Changes,
    Checkout,
    HonkError,
    ModelSession,
    Reach,
    Repository,
    Task,
    UsageError,
    Workspace,
)
from honk.settings import Settings
from honk.store import Kept, KeptWorkspaces
from honk.workspace.agent_tree import IN_TREE, AgentWorkspace, branch_of
from honk.workspace.asking import model_session
from honk.workspace.bases import Bases
from honk.workspace.bring_in import change_head, plan_bring_in, read_merging, settle_bring_in
from honk.workspace.changes import read_changes, read_diff
from honk.workspace.checkout import CleanCheckout, remove_leftovers, temporary_place
from honk.workspace.keeping import Keeping
from honk.workspace.layers import Layers, kept_layers, kept_lowers
from honk.workspace.mirror import Mirrors, locked
from honk.workspace.overlays import overlays_work
from honk.workspace.sandbox import Sandbox, backend
from honk.workspace.set_ups import KeptSetUp, Readied, SetUps, SetUpStand
from honk.workspace.submodules import populate
from honk.workspace.trees import (
    borrow,
    empty_file,
    make_bare,
    make_tree,
    object_binds,
    object_folders,
    remove_tree,
)

if TYPE_CHECKING:
    from honk.workspace.containers.images import Recipe

_TREE, _LAYERS, _HOME_WORK, _SET_UP = "tree", "layers", "home-work", "set-up.json"
_LACKING = "lacking.json"
_TEXTS = 256
_OLD = ".replaced"
"""What the name of a workspace's tree ends with while another takes its place."""


class Workspaces:
    """The trees in Honk's home. Made once per process; safe to use from many threads and processes."""

    def __init__(
        self,
        settings: Settings,
        credentials: Callable[[Repository, bool], Mapping[str, str]] = lambda _, __: {},
        kept: KeptWorkspaces | None = None,
        size: Callable[[Repository], int | None] = lambda _: None,
    ) -> None:
        self.mirrors = Mirrors(settings.home, credentials, size)
        self._settings = settings
        self._folder = settings.home / "workspaces"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._texts: dict[tuple[str, str, str], str | None] = {}
        """Files of commits that were asked for; what a commit has never changes."""
        self._bases = Bases(settings)
        self._set_ups = SetUps(settings)
        self._keeping = Keeping(settings, self._folder, kept)
        backend(settings).remove_leftovers(settings)
        remove_leftovers(settings.home)

    def fetch(self, repository: Repository) -> str:
        """Bring the mirror up to date and return the newest commit of the default branch. Raises as `Mirrors.fetch`."""
        return self.mirrors.fetch(repository)

    def refresh(self, repository: Repository) -> str | None:
        """As `fetch`, but None for a repository that nobody has worked on here."""
        return self.mirrors.fetch(repository) if self.mirrors.path(repository).is_dir() else None

    def has_history(self, repository: Repository) -> bool:
        """See `Mirrors.is_whole`."""
        return self.mirrors.is_whole(repository)

    def need_history(self, repository: Repository) -> None:
        """Wait until all of the repository's history is here. Raises as `Mirrors.fetch`."""
        self.mirrors.whole(repository)

    def maintain(self) -> None:
        """Keep the mirrors whole and quick; objects stay."""
        self.mirrors.maintain()

    def read(self, repository: Repository, commit: str, path: str) -> str | None:
        """The text of a file at a base commit, or None. Raises `UsageError` for an unknown commit, and for a link or a
        folder of that name: nobody means it to say nothing."""
        asked = (repository.name, commit, path)
        if asked not in self._texts:
            mirror = self.mirrors.path(repository)
            self._need_base(repository, commit)
            if len(self._texts) >= _TEXTS:
                self._texts.clear()
            self._texts[asked] = plain_text(mirror, commit, path, repository.name)
        return self._texts[asked]

    def changed(self, repository: Repository, since: str, commit: str) -> Sequence[str]:
        """The paths that `commit` of the mirror has changed since it parted from `since`: a commit, a tag, a branch, or
        as git writes it from `HEAD`, which is `commit`. Raises `UsageError` if there is no such."""
        mirror = self.mirrors.path(repository)
        named = self.mirrors.commit(repository, since, commit)
        parted = git("merge-base", named, commit, directory=mirror, failing=[1])
        return changed_paths(mirror, parted or named, commit)

    @contextmanager
    def checkout(
        self,
        repository: Repository,
        sha: str,
        *,
        source: Path | None = None,
        unsafe: bool = False,
        reach: Reach | None = None,
    ) -> Iterator[Checkout]:
        """A clean checkout of `sha`, from the git directory `source` if given, else from the mirror.

        Raises `UsageError` if the commit is not there.
        """
        mirror = self.mirrors.path(repository)
        git_dir = source or mirror
        if source is None:
            self.mirrors.has(repository, sha)
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
                self._plain(repository, sha, git_dir, trusted, tree, None, unsafe=unsafe)
            binds = object_binds(git_dir, empty_file(home))
            image = self._image(repository, *trusted)
            sandbox = Sandbox(self._settings, tree, place / "home", binds, unsafe, image=image, reach=reach)
            stand = None
            if isinstance(tree, Layers):
                own = cache(partial(self._own, git_dir, sha, trusted))
                stand = SetUpStand(self._set_ups, repository.name, own, place, stack)
            yield CleanCheckout(sha, git_dir, sandbox, stand)

    def _own(self, git_dir: Path, sha: str, trusted: tuple[Path, str]) -> str | None:
        """The name of a change's own tree; None for a commit of the default branch."""
        mirror, branch = trusted
        if self._has(mirror, sha) and succeeds("merge-base", "--is-ancestor", sha, branch, directory=mirror):
            return None
        return git("rev-parse", f"{sha}^{{tree}}", directory=git_dir)

    def _plain(
        self,
        repository: Repository,
        sha: str,
        source: Path,
        trusted: tuple[Path, str],
        tree: Path,
        branch: str | None,
        *,
        unsafe: bool,
    ) -> Mapping[str, str]:
        """A tree without layers: sharing its blocks with a base where that can be, otherwise checked out anew. Its
        submodules that stay empty, and why."""
        apart = unsafe or not backend(self._settings).layered
        if not apart and self._bases.copy_out(repository, sha, source, trusted, tree, branch):
            return self._bases.lacking(repository, sha)
        make_tree(source, sha, tree, branch=branch, inside=not unsafe)
        return populate(trusted, (source, sha), tree, repository.git_url, self._settings, unsafe=unsafe)

    def _layered(self, unsafe: bool) -> bool:
        return not unsafe and backend(self._settings).layered and overlays_work(self._settings.home)

    def _image(self, repository: Repository, mirror: Path, base: str) -> str | Recipe | None:
        """What containers for this repository are made of, as its base says; None where that says nothing."""
        if backend(self._settings).layered:
            return None
        from honk.workspace.containers.images import image_of

        return image_of(mirror, base)

    def ready(
        self, repository: Repository, base: str, set_up: Callable[[Checkout], str | None], reach: Reach | None = None
    ) -> None:
        """Have workspaces that are made on this base commit stand on what `set_up` leaves, unless it is known by now.

        `set_up` returns what goes in front of PATH then, or None if it failed. Does nothing where trees have no layers.
        Raises what `set_up` raises.
        """
        if not self._layered(unsafe=False) or self._set_ups.noted(repository.name, base):
            return
        with self.checkout(repository, base, reach=reach) as checkout:
            path = set_up(checkout)
            stand = checkout.stands if isinstance(checkout, CleanCheckout) else None
            name = stand.name if stand and path is not None else None
        self._set_ups.note(repository.name, base, Readied(name, path or "", failed=path is None))

    @contextmanager
    def _readied(self, repository: Repository, readied: Readied | None) -> Iterator[KeptSetUp | None]:
        """The kept set-up, held; None if there is none (any more)."""
        with ExitStack() as stack:
            kept = None
            if readied and readied.name:
                with suppress(HonkError):
                    kept = stack.enter_context(self._set_ups.held(repository.name, readied.name))
            yield kept

    @contextmanager
    def open(
        self,
        task: Task,
        repository: Repository,
        files: Path | None = None,
        *,
        reach: Reach | None = None,
        budget: Budget | None = None,
    ) -> Iterator[Workspace]:
        """Enter the task's workspace, which is made on first use from `task.base_sha` and then kept.

        The folder `files` is readable in it as `/honk/attachments`. What it may reach and spend besides is said by
        `reach` and `budget`. Raises `UsageError` if the task has no base yet or
        the base is nowhere to be found.
        """
        with self._keeping.in_use(task.id), ExitStack() as stack:
            folder = self._made(task, repository)
            yield self._entered(task, repository, folder, files, reach, budget, stack)

    @contextmanager
    def spare(
        self, task: Task, repository: Repository, files: Path, *, reach: Reach, budget: Budget
    ) -> Iterator[Workspace | None]:
        """A workspace on `task.base_sha` for a task that is still to come, which `adopt` then gives its own name.

        `task` stands for it until then. None where trees have no layers. Gone with the process if nobody adopts it.
        """
        if not self._layered(task.unsafe):
            yield None
            return
        with temporary_place(self._settings.home) as place, ExitStack() as stack:
            folder = place / "spare"
            stack.enter_context(self._laid(folder, task.base_sha or "", repository, unsafe=False))
            yield self._entered(task, repository, folder, files, reach, budget, stack)

    @contextmanager
    def adopted(
        self, workspace: Workspace, task: Task, repository: Repository, files: Path
    ) -> Iterator[Workspace | None]:
        """A spare workspace as the task's own, with all that runs in it, which can read `files`; None if the task has
        one by now. Raises as `open`."""
        if not isinstance(workspace, AgentWorkspace):
            raise TypeError("only what `spare` gave can be adopted")
        with self._keeping.in_use(task.id):
            self._keeping.claim(task.id)
            folder = self._folder / task.id
            with locked(self._folder / f".{task.id}.lock"):
                self._keeping.bring_back(task.id, self._lay_out_kept)
                free = not folder.exists()
                if free:
                    workspace.folder.rename(folder)
            if not free:
                yield None
                return
            sandbox = replace(self._sandbox(task, repository, folder, files), reach=workspace.sandbox.reach)
            yield replace(workspace, task=task, folder=folder, sandbox=sandbox)

    def _entered(
        self,
        task: Task,
        repository: Repository,
        folder: Path,
        files: Path | None,
        reach: Reach | None,
        budget: Budget | None,
        stack: ExitStack,
    ) -> AgentWorkspace:
        sandbox = replace(self._sandbox(task, repository, folder, files), reach=reach)
        return AgentWorkspace(self._settings, task, task.base_sha or "", folder, sandbox, stack, budget)

    def _sandbox(self, task: Task, repository: Repository, folder: Path, files: Path | None) -> Sandbox:
        home = folder / "home"
        home.mkdir(exist_ok=True)
        tree = self._tree(folder)
        if isinstance(tree, Path) and not tree.is_dir():
            raise HonkError(f"The files of task {task.id} are gone from {folder}: start the task anew.")
        binds = object_binds(folder / "change.git", empty_file(self._settings.home))
        if files:
            binds["/honk/attachments"] = files
        readied = _kept_readied(folder)
        image = self._image(repository, self.mirrors.path(repository), task.base_sha or "")
        return Sandbox(self._settings, tree, self._home(repository, folder), binds, task.unsafe, readied.path, image)

    def _home(self, repository: Repository, folder: Path) -> Path | Layers:
        """The agent's home in a workspace: over what a set-up left there, if it stands on one."""
        home, name = folder / "home", _kept_readied(folder).name
        if name is None:
            return home
        return Layers(home, folder / _HOME_WORK, [self._set_ups.path(repository.name, name) / "home"])

    def bring_in(
        self, task: Task, repository: Repository, commit: str, message: str, *, source: Path | None = None
    ) -> tuple[str, Sequence[str]]:
        """Merge `commit` (from `source`, else from the mirror) into the task's change and lay its tree out anew.

        Returns the change's newest commit and the paths with conflicts, whose markers the tree then shows. What was
        not committed in the tree is lost. Raises as `open`, and `HonkError` if git cannot do it.
        """
        self.mirrors.whole(repository)
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
                kept = stack.enter_context(self._readied(repository, _kept_readied(folder)))
                self._bases.lay_out(found, repository, shown, change, trusted, tree, IN_TREE, kept)
            else:
                self._plain(repository, shown, change, trusted, tree, IN_TREE, unsafe=task.unsafe)
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

    def lacking(self, task: Task) -> Mapping[str, str]:
        """The submodules that stayed empty in the task's workspace: why, and what to do, by path."""
        try:
            lacking: dict[str, str] = json.loads((self._folder / task.id / _LACKING).read_text())
        except FileNotFoundError:
            return {}
        return lacking

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

    def changes(self, task: Task, base: str, head: str) -> Changes:
        """The files that the task's commit `head` changes. Raises `HonkError` if they cannot be read."""
        return read_changes(self.change_git_dir(task), base, head)

    def diff(self, task: Task, base: str, head: str) -> str:
        """The same as a unified diff, its beginning where it is very long."""
        return read_diff(self.change_git_dir(task), base, head)

    def model(self, name: str, budget: Budget) -> AbstractContextManager[ModelSession]:
        """A session of Honk's own with a model. Raises `UsageError` if no model is set up."""
        return model_session(self._settings, name, budget)

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

    def _need_base(self, repository: Repository, sha: str) -> None:
        if not self.mirrors.has(repository, sha):
            self.mirrors.fetch(repository)
            self.mirrors.has(repository, sha)
            self._need(self.mirrors.path(repository), sha, repository)

    def _make(self, task: Task, base: str, repository: Repository, folder: Path) -> None:
        for left in self._folder.glob(f".new-{task.id}-*"):
            remove_tree(left)
        if not self._bases.has(repository, base):
            self._need_base(repository, base)
        draft = self._folder / f".new-{task.id}-{secrets.token_hex(4)}"
        with self._laid(draft, base, repository, unsafe=task.unsafe):
            draft.rename(folder)

    @contextmanager
    def _laid(self, draft: Path, base: str, repository: Repository, *, unsafe: bool) -> Iterator[None]:
        """A new workspace in `draft`; what it stands on is held until the context ends."""
        mirror = self.mirrors.path(repository)
        (draft / "home").mkdir(parents=True)
        change, trusted = draft / "change.git", (mirror, base)
        make_bare(change)
        borrow(change, object_folders(mirror))
        if self._layered(unsafe):
            readied = self._set_ups.noted(repository.name, base)
            with (
                self._bases.ensured(repository, base, mirror, trusted) as found,
                self._readied(repository, readied) as kept,
            ):
                self._bases.lay_out(found, repository, base, change, trusted, draft / _LAYERS, IN_TREE, kept)
                _keep_readied(draft, readied, kept)
                _keep_lacking(draft, self._bases.lacking(repository, base))
                yield
            return
        _keep_lacking(draft, self._plain(repository, base, change, trusted, draft / _TREE, IN_TREE, unsafe=unsafe))
        if unsafe:
            borrow(draft / _TREE / ".git", object_folders(mirror))
        yield

    def _lay_out_kept(self, task_id: str, kept: Kept, draft: Path) -> tuple[Path | Layers, Path | Layers]:
        """See `keeping.LayOut`."""
        repository = Repository(**kept.facts["repository"])
        base, commit, unsafe = kept.facts["base"], kept.facts["commit"], kept.facts["unsafe"]
        mirror, change = self.mirrors.path(repository), draft / "change.git"
        trusted = (mirror, base)
        # What was merged into the change may be any commit's.
        self.mirrors.whole(repository)
        if not self._has(mirror, base):
            self.mirrors.fetch(repository)
        borrow(change, object_folders(mirror))
        if not self._has(change, commit):
            self.mirrors.fetch(repository)
            self._need(change, commit, repository)
        if self._layered(unsafe):
            readied = self._set_ups.noted(repository.name, base)
            with (
                self._bases.ensured(repository, commit, change, trusted) as found,
                self._readied(repository, readied) as set_up,
            ):
                _keep_readied(draft, readied, set_up)
                tree = self._bases.lay_out(found, repository, commit, change, trusted, draft / _LAYERS, IN_TREE, set_up)
                return tree, self._home(repository, draft)
        self._plain(repository, commit, change, trusted, draft / _TREE, IN_TREE, unsafe=unsafe)
        if unsafe:
            borrow(draft / _TREE / ".git", [draft.parent / task_id / "change.git" / "objects", *object_folders(mirror)])
        return draft / _TREE, draft / "home"


def _keep_lacking(folder: Path, lacking: Mapping[str, str]) -> None:
    """Put down which submodules stayed empty in the workspace in `folder`."""
    if lacking:
        (folder / _LACKING).write_text(json.dumps(dict(lacking)))


def _keep_readied(folder: Path, readied: Readied | None, kept: KeptSetUp | None) -> None:
    """Put down that the workspace in `folder` stands on a set-up."""
    if readied and kept:
        (folder / _HOME_WORK).mkdir()
        (folder / _SET_UP).write_text(json.dumps(asdict(readied)))
        (folder / "exclude").write_text("".join(f"{pattern}\n" for pattern in kept.made))


def _kept_readied(folder: Path) -> Readied:
    """How the workspace in `folder` was set up."""
    try:
        return Readied(**json.loads((folder / _SET_UP).read_text()))
    except FileNotFoundError:
        return Readied(None, "")
