"""Workspaces that outlive their folder: put down in the store when a task rests, and brought back when it goes on.

One machine holds a task's workspace while it works on it. Its folder remembers the version it was last put down as, or
made from, and is stale once the store has another one.
"""

from __future__ import annotations

import fcntl
import secrets
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from honk.model import HonkError, Repository, Task
from honk.settings import Settings
from honk.store import Kept, KeptWorkspaces
from honk.workspace.agent_tree import branch_of
from honk.workspace.bring_in import merging_text, write_merging
from honk.workspace.delta import LeftOut, pack, unpack_change, unpack_files
from honk.workspace.layers import Layers
from honk.workspace.mirror import locked
from honk.workspace.trees import remove_tree

_VERSION = "kept-version"
_PATIENCE = 60.0
"""Seconds for another machine to put down what it holds."""

LayOut = Callable[[str, Kept, Path], tuple[Path | Layers, Path | Layers]]
"""Makes a task's tree as the kept commit has it, and its home, in the folder of a new workspace whose own commits are
there."""


class Keeping:
    """What becomes of the workspaces in `folder` between turns. Without a store (`kept`) they only ever stay."""

    def __init__(self, settings: Settings, folder: Path, kept: KeptWorkspaces | None) -> None:
        self._settings = settings
        self._folder = folder
        self._kept = kept
        self._machine = f"{socket.gethostname()}:{settings.home}"

    @contextmanager
    def in_use(self, task_id: str) -> Iterator[None]:
        """The workspace stays for as long as this lasts, or the process lives."""
        with (self._folder / f".{task_id}.use").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            yield

    def claim(self, task_id: str) -> None:
        """Hold the task's workspace on this machine. Raises `HonkError` if another one holds it and does not put it
        down."""
        if self._kept is None:
            return
        deadline = time.monotonic() + _PATIENCE
        while (holder := self._kept.claim(task_id, self._machine)) != self._machine:
            if time.monotonic() > deadline:
                raise HonkError(
                    f"The files of this task are on another machine ({holder}), which has not handed them over: start "
                    "Honk there and tap Retry, or begin a new task."
                )
            time.sleep(0.5)

    def bring_back(self, task_id: str, lay_out: LayOut) -> None:
        """Make the workspace's folder from what is kept, if it is not here or stale; with its lock held.

        Raises `HonkError` if that is damaged or cannot be laid out.
        """
        folder = self._folder / task_id
        kept = self._kept.find(task_id) if self._kept else None
        if self._kept is None or kept is None or kept.version in (None, self._version(folder)):
            return
        for left in self._folder.glob(f".new-{task_id}-*"):
            remove_tree(left)
        draft = self._folder / f".new-{task_id}-{secrets.token_hex(4)}"
        (draft / "home").mkdir(parents=True)
        archive, unsafe = draft / "archive", bool(kept.facts["unsafe"])
        try:
            self._kept.fetch(task_id, kept, archive)
            (draft / "change.git").mkdir()
            unpack_change(self._settings, archive, draft / "change.git", unsafe=unsafe)
            tree, home = lay_out(task_id, kept, draft)
            unpack_files(self._settings, archive, tree, home, unsafe=unsafe)
            archive.unlink()
            write_merging(draft, kept.facts["merging"])
            (draft / _VERSION).write_text(kept.version or "")
            if folder.exists():
                folder.rename(self._folder / f".new-{task_id}-stale")
            draft.rename(folder)
        finally:
            for left in self._folder.glob(f".new-{task_id}-*"):
                remove_tree(left)

    def put_down(
        self, task: Task, repository: Repository, tree: Callable[[], Path | Layers], *, remove: bool
    ) -> LeftOut | None:
        """Put the workspace down in the store if it is newer here, and `remove` its folder then; what was left out, if
        it was put down. Nothing happens while it is in use. Raises `HonkError` if it cannot be read."""
        folder, left = self._folder / task.id, None
        with self.alone(task.id) as alone:
            if not alone or self._kept is None or not folder.is_dir():
                return None
            known = self._kept.find(task.id)
            if known is None:
                # Made before there was a place for it.
                known = Kept(self._kept.claim(task.id, self._machine), None, None, {})
            if known.holder == self._machine:
                left = self._put(self._kept, task, repository, tree())
            if remove:
                remove_tree(folder)
        return left

    @contextmanager
    def alone(self, task_id: str) -> Iterator[bool]:
        """Nobody else comes to the workspace for as long as this lasts; false, and no promise, if somebody is there."""
        with (self._folder / f".{task_id}.use").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            with locked(self._folder / f".{task_id}.lock"):
                yield True

    def held(self, task_id: str) -> bool:
        """Whether this machine has the workspace newer than the store."""
        known = self._kept.find(task_id) if self._kept else None
        return known is None or known.holder == self._machine

    def known(self) -> list[str]:
        """The tasks whose workspace the store knows of."""
        return self._kept.tasks() if self._kept else []

    def forget(self, task_id: str) -> None:
        """Keep nothing of the task's workspace in the store."""
        if self._kept:
            self._kept.remove(task_id)

    def _put(self, store: KeptWorkspaces, task: Task, repository: Repository, tree: Path | Layers) -> LeftOut:
        folder = self._folder / task.id
        with tempfile.TemporaryDirectory(dir=self._folder, prefix=f".put-{task.id}-") as name:
            archive = Path(name, "archive")
            branch, unsafe = branch_of(task.id), task.unsafe
            packed = pack(self._settings, folder, tree, task.base_sha or "", branch, archive, unsafe=unsafe)
            facts: dict[str, Any] = {
                "repository": asdict(repository),
                "base": task.base_sha,
                "commit": packed.commit,
                "unsafe": task.unsafe,
                "merging": merging_text(folder),
            }
            version = store.keep(task.id, self._machine, archive, facts)
        # Afterwards: a folder without it counts as stale, and is made anew from the same.
        (folder / _VERSION).write_text(version)
        return packed.left_out

    def _version(self, folder: Path) -> str | None:
        try:
            return (folder / _VERSION).read_text()
        except (FileNotFoundError, NotADirectoryError):
            return None
