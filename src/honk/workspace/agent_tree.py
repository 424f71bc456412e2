"""An agent's workspace: a writable tree whose state Honk commits without ever trusting what is in it."""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from honk.git import git, signed, succeeds
from honk.model import Budget, Command, Completed, HonkError, Interactive, Limits, ModelAccess, Person, Spent, Task
from honk.settings import Settings
from honk.workspace.bring_in import end_merging, read_merging
from honk.workspace.layers import MONITOR_COMMAND, MONITORED, Layers, entries
from honk.workspace.mirror import locked
from honk.workspace.sandbox import EGRESS_PORT, MODEL_PORT, Sandbox
from honk.workspace.system import interpreter
from honk.workspace.trees import borrow, empty_file, object_binds, object_folders, remove_tree

if TYPE_CHECKING:
    from honk.workspace.gateway import ModelGateway

_COLLECT = Path(__file__).with_name("collect.py")
_BUNDLE_BYTES = 2 * 1024**3
_SNAPSHOT_CONFIGURATION = """\
[core]
\trepositoryFormatVersion = 0
\tfileMode = true
\tbare = false
\thooksPath = /dev/null
\tfsmonitor = false
\tlooseCompression = 1
[pack]
\tcompression = 1
[diff]
\tignoreSubmodules = dirty
[gc]
\tauto = 0
"""


_MONITORED = f"""\
[core]
\tfsmonitor = {MONITOR_COMMAND}
\tfsmonitorHookVersion = 2
\tuntrackedCache = true
"""


IN_TREE = "honk/change"
"""The branch that the tree itself stands on, whatever the task."""


def branch_of(task_id: str) -> str:
    """The branch a task's commits are kept on."""
    return f"honk/{task_id}"


@dataclass(frozen=True)
class AgentWorkspace:
    """Implements `model.Workspace` in `folder`, which holds `tree`, `home` and `change.git`."""

    settings: Settings
    task: Task
    base: str
    folder: Path
    sandbox: Sandbox
    stack: contextlib.ExitStack
    """Ends the gateways when the workspace is left."""
    budget: Budget | None = None
    _gateways: list[ModelGateway] = field(default_factory=list)
    _starting: threading.Lock = field(default_factory=threading.Lock)

    @property
    def change_git_dir(self) -> Path:
        return self.folder / "change.git"

    @property
    def inside(self) -> str:
        """The tree's path as processes in the sandbox see it."""
        return self.sandbox.inside

    def run(
        self,
        command: Command,
        *,
        on_output: Callable[[str], None] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> Completed:
        """Run a command in the agent's tree and home. Raises `HonkError` if no sandbox can start."""
        return self.sandbox.run(command, on_output=on_output, stop=stop)

    @property
    def model(self) -> ModelAccess:
        """Where the model is. Raises `UsageError` if no model is set up."""
        gateway = self._gateway()
        port = gateway.port if self.sandbox.unsafe else MODEL_PORT
        return ModelAccess(f"http://127.0.0.1:{port}", gateway.token)

    @property
    def spent(self) -> Spent:
        """See `model.Workspace`."""
        return self._gateways[0].spent if self._gateways else Spent()

    @property
    def refusal(self) -> HonkError | None:
        """See `model.Workspace`."""
        return self._gateways[0].refusal if self._gateways else None

    def charge(self, cost_usd: float) -> None:
        """See `model.Workspace`."""
        if self._gateways:
            self._gateways[0].charge(cost_usd)

    def interactive(self, command: Command, *, model: bool) -> Interactive:
        """The argv that starts `command` in this sandbox with its standard streams attached.

        Raises `UsageError` if `model` is wanted and none is set up, `HonkError` if no sandbox can start.
        """
        sockets: dict[int, Path] = {}
        if model:
            sockets[MODEL_PORT] = self._gateway().socket
        command = self.sandbox.reaching(command)
        if egress := self.sandbox.way_out(command):
            sockets[EGRESS_PORT] = self.stack.enter_context(egress).socket
        return self.sandbox.interactive(command, sockets, self.stack)

    def snapshot(self, message: str, author: Person) -> str | None:
        """Commit the tree as it is now on top of the task's last commit.

        Returns None if it equals the commit the task stood at when the workspace was opened. With nothing changed
        since the last snapshot, that one's sha. Raises `HonkError` if the tree cannot be committed.
        """
        with locked(self.folder / "snapshot.lock"):
            try:
                return self._snapshot(message, author)
            except HonkError:
                # Whatever ended the last attempt may have left a broken index; the rest is made anew from the change.
                remove_tree(self.folder / "snapshot.git")
                return self._snapshot(message, author)

    def unmerged(self) -> Sequence[str]:
        """Paths in which the markers of a merge's conflicts are still to be seen."""
        merging = read_merging(self.folder)
        if merging is None:
            return ()
        wanted = ("grep", "-lE", "^(<<<<<<<|>>>>>>>)( |$)", "--", *merging.paths)
        look = Command(wanted, reads_only=True, limits=Limits(seconds=60.0, output=1 << 20))
        found = self.run(look).output.splitlines()
        return [path for path in merging.paths if path in found]

    def diff_stat(self) -> str:
        """One line: what the last snapshot changes against the base."""
        last = self._last() or self.base
        line = git("diff", "--shortstat", "--no-ext-diff", self.base, last, directory=self.change_git_dir).strip()
        return line or "nothing changed"

    def _gateway(self) -> ModelGateway:
        from honk.workspace.gateway import ModelGateway

        with self._starting:
            if not self._gateways:
                gateway = ModelGateway(self.settings, tcp=self.sandbox.unsafe, budget=self.budget)
                self._gateways.append(self.stack.enter_context(gateway))
            return self._gateways[0]

    def _last(self) -> str | None:
        ref = f"refs/heads/{branch_of(self.task.id)}"
        if not succeeds("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}", directory=self.change_git_dir):
            return None
        return git("rev-parse", f"{ref}^{{commit}}", directory=self.change_git_dir)

    def _tree_of(self, commit: str) -> str:
        return git("rev-parse", f"{commit}^{{tree}}", directory=self.change_git_dir)

    def _snapshot(self, message: str, author: Person) -> str | None:
        last = self._last()
        parent = last or self.base
        merging = read_merging(self.folder)
        known = {} if merging else {self._tree_of(parent): last}
        # What somebody else pushed lies between: taking that back is a change.
        if not merging and (self.task.head_sha is None or last in (None, self.task.head_sha)):
            known[self._tree_of(self.task.head_sha or self.base)] = None
        out = self.folder / "out"
        remove_tree(out)
        out.mkdir()
        try:
            collected = self._collect(parent, known, message, author, out)
            if collected["tree"] in known:
                return known[collected["tree"]]
            commit = self._bring_out(out / "bundle", collected["commit"], parent)
            end_merging(self.folder)
            return commit
        finally:
            remove_tree(out)

    def _collect(
        self, parent: str, known: Mapping[str, str | None], message: str, author: Person, out: Path
    ) -> dict[str, str]:
        git_dir = self._snapshot_git_dir()
        unsafe = self.sandbox.unsafe
        binds = {} if unsafe else object_binds(self.change_git_dir, empty_file(self.settings.home))
        folders = object_folders(self.change_git_dir) if unsafe else [key for key in binds if key.count("/") == 3]
        borrow(git_dir, folders)
        inside = ("/honk/snapshot.git", "/honk/out", "/honk/collect.py")
        paths = (str(git_dir), str(out), str(_COLLECT)) if unsafe else inside
        command = Command(
            (interpreter(), "-I", "-S", paths[2], self.inside, paths[0], parent, paths[1]),
            environment=self._commit_environment(parent, known, message, author),
            writable={"/honk/snapshot.git": git_dir, "/honk/out": out},
            readable={"/honk/collect.py": _COLLECT} | self._seed(),
            reads_only=True,
            limits=Limits(seconds=900.0, output=1 << 20),
        )
        with_home = self.folder / "snapshot-home"
        with_home.mkdir(exist_ok=True)
        completed = Sandbox(self.settings, self.sandbox.tree, with_home, binds, unsafe).run(command)
        if completed.exit_code:
            told = completed.output.strip()[-600:] or completed.ended_by
            if completed.excess:
                told = completed.excess.sentence.removesuffix(".")
            raise HonkError(f"The workspace cannot be committed: {told}.")
        collected: dict[str, str] = json.loads(completed.output.strip().splitlines()[-1])
        return collected

    def _seed(self) -> dict[str, Path]:
        """What lets git take over, instead of reading every file, what it knew when the tree below was made."""
        return {} if isinstance(self.sandbox.tree, Path) else {"/honk/index": self.sandbox.tree.index}

    def _snapshot_git_dir(self) -> Path:
        git_dir = self.folder / "snapshot.git"
        if not git_dir.is_dir():
            draft = self.folder / f".snapshot-{secrets.token_hex(4)}"
            git("init", "--quiet", "--bare", draft)
            tree = self.sandbox.tree
            monitored = isinstance(tree, Layers) and entries(tree.index) >= MONITORED
            (draft / "config").write_text(_SNAPSHOT_CONFIGURATION + (_MONITORED if monitored else ""))
            if (self.folder / "exclude").is_file():
                # What a set-up made is there already and no part of the change.
                shutil.copy(self.folder / "exclude", draft / "info" / "exclude")
            draft.rename(git_dir)
        for left in git_dir.glob("*.lock"):
            left.unlink()
        return git_dir

    def _commit_environment(
        self, parent: str, known: Mapping[str, str | None], message: str, author: Person
    ) -> dict[str, str]:
        before = int(git("log", "-1", "--format=%ct", parent, directory=self.change_git_dir))
        date = f"@{max(int(time.time()), before)} +0000"
        email = author.email or f"{author.id}@users.noreply.honk"
        name = author.name.strip() or author.id
        merging = read_merging(self.folder)
        return {
            "HONK_KNOWN_TREES": " ".join(known),
            "HONK_MERGED": merging.other if merging else "",
            "HONK_MESSAGE": message.strip() or "Change",
            "GIT_AUTHOR_NAME": name,
            "GIT_AUTHOR_EMAIL": email,
            "GIT_COMMITTER_NAME": "Honk",
            "GIT_COMMITTER_EMAIL": "honk@localhost",
            "GIT_AUTHOR_DATE": date,
            "GIT_COMMITTER_DATE": date,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_ATTR_NOSYSTEM": "1",
        }

    def _bring_out(self, bundle: Path, commit: str, parent: str) -> str:
        if bundle.is_symlink() or not bundle.is_file():
            raise HonkError("The workspace cannot be committed: its bundle is missing.")
        if bundle.stat().st_size > _BUNDLE_BYTES:
            raise HonkError("The change is over 2 GiB: leave large files out of it with .gitignore.")
        target = f"refs/heads/{branch_of(self.task.id)}"
        git(
            *("-c", "transfer.fsckObjects=true", "fetch", "--quiet", "--no-tags", "--no-recurse-submodules"),
            *(bundle, "+refs/heads/snapshot:refs/honk/incoming"),
            directory=self.change_git_dir,
        )
        line = git("rev-parse", "refs/honk/incoming", "refs/honk/incoming^1", directory=self.change_git_dir)
        if line.split() != [commit, parent]:
            raise HonkError("The workspace cannot be committed: the sandbox brought out another commit than it made.")
        commit = signed(self.change_git_dir, commit, self.settings.signing_key)
        git("update-ref", target, commit, directory=self.change_git_dir)
        return commit
