"""A clean checkout of one commit, in a sandbox of its own, removed afterwards."""

from __future__ import annotations

import fcntl
import json
import secrets
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from honk.git import committed_text, git
from honk.model import Checkout, Command, Completed, HonkError, Limits, UsageError
from honk.workspace.mirror import locked
from honk.workspace.sandbox import Sandbox
from honk.workspace.set_ups import SetUpStand
from honk.workspace.system import interpreter
from honk.workspace.trees import blobs, remove_tree, texts, tracked

_EXPORT = Path(__file__).with_name("export.py")
_EXPORT_BYTES = 8 * 1024**3


@dataclass
class CleanCheckout:
    """Implements `model.Checkout`. Its commit is read from the git directory `source`, which no sandbox can write."""

    commit: str
    source: Path
    sandbox: Sandbox
    stands: SetUpStand | None = None
    """Where what a set-up leaves is kept; None where trees have no layers."""

    @property
    def made_of(self) -> str:
        """See `model.Checkout`."""
        return self.sandbox.made_of

    def files(self) -> Sequence[str]:
        """Every tracked path, sorted."""
        return tracked(self.source, self.commit)

    @property
    def tree(self) -> str:
        """Git's id of the commit's tree."""
        return git("rev-parse", f"{self.commit}^{{tree}}", directory=self.source)

    def blobs(self) -> Mapping[str, str]:
        """The id of each tracked file's content, by path."""
        return self._blobs

    @cached_property
    def _blobs(self) -> Mapping[str, str]:
        return blobs(self.source, self.commit)

    def texts(self, paths: Collection[str], longest: int) -> Mapping[str, str]:
        """The texts of those of these files that have at most `longest` bytes, as committed."""
        return texts(self.source, {path: self._blobs[path] for path in paths if path in self._blobs}, longest)

    def read(self, path: str) -> str | None:
        """The file's text as committed, or None."""
        return committed_text(self.source, self.commit, path)

    def run(
        self,
        command: Command,
        *,
        on_output: Callable[[str], None] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> Completed:
        """Run a command in the tree. Raises `HonkError` if no sandbox can start."""
        return self.sandbox.run(command, on_output=on_output, stop=stop)

    def set_up(self, key: str, run: Callable[[], bool]) -> bool:
        """See `model.Checkout.set_up`."""
        tree = self.sandbox.tree
        if self.stands is None or isinstance(tree, Path):
            return run()
        below = (tree, self.sandbox.home)
        if kept := self.stands.find(key):
            self.sandbox = self.stands.over(self.sandbox, below, kept)
            return True
        self.sandbox = self.stands.over(self.sandbox, below, None)
        if not run():
            return False
        if kept := self.stands.keep(key, self.sandbox, self.files()):
            self.sandbox = self.stands.over(self.sandbox, below, kept)
        return True

    @property
    def layered(self) -> bool:
        """Whether the tree has layers."""
        return self.stands is not None and not isinstance(self.sandbox.tree, Path)

    @contextmanager
    def apart(self, before: Sequence[Checkout] = (), *, own_home: bool = True) -> Iterator[Checkout]:
        """See `model.Checkout.apart`."""
        if self.stands is None or isinstance(self.sandbox.tree, Path):
            yield self
            return
        others = [one.sandbox for one in before if isinstance(one, CleanCheckout) and one is not self]
        place, sandbox = self.stands.apart(self.sandbox, others)
        try:
            yield replace(self, sandbox=sandbox if own_home else replace(sandbox, home=self.sandbox.home))
        finally:
            remove_tree(place)

    def export(self, pattern: str, destination: Path) -> Sequence[Path]:
        """Copy regular files and folders out of the tree as it is now. Raises `UsageError` for a pattern that leads
        out of it or names two files alike, `HonkError` for over 8 GiB or what cannot be read."""
        new = not destination.exists()
        destination.mkdir(parents=True, exist_ok=True)
        unsafe = self.sandbox.unsafe
        places = (str(_EXPORT), str(destination)) if unsafe else ("/honk/export.py", "/honk/out")
        done = self.run(
            Command(
                (interpreter(), "-I", "-S", places[0], self.sandbox.inside, pattern, places[1], str(_EXPORT_BYTES)),
                writable={"/honk/out": destination},
                readable={"/honk/export.py": _EXPORT},
                reads_only=True,
                limits=Limits(seconds=900.0, output=1 << 16),
            )
        )
        written = sorted(path for path in destination.rglob("*") if path.is_file() and not path.is_symlink())
        if new and not written:
            remove_tree(destination)
        told = json.loads(done.output.splitlines()[-1]) if done.exit_code == 0 else {"error": done.output[-600:]}
        if error := told.get("error"):
            raise UsageError(error) if told.get("usage") else HonkError(error)
        return written


@contextmanager
def temporary_place(home: Path) -> Iterator[Path]:
    """A folder for one checkout, removed when the context ends, or at the next start if the process dies in it."""
    folder = home / "checkouts"
    with locked(folder / ".lock"):
        place = folder / secrets.token_hex(8)
        place.mkdir()
        owner = (place / "lock").open("a")
        fcntl.flock(owner, fcntl.LOCK_EX)
    try:
        yield place
    finally:
        remove_tree(place)
        owner.close()


def remove_leftovers(home: Path) -> None:
    """Delete the checkouts of processes that no longer live: their lock is free."""
    folder = home / "checkouts"
    with locked(folder / ".lock"):
        for place in folder.iterdir():
            if not place.is_dir():
                continue
            with (place / "lock").open("a") as owner:
                try:
                    fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                remove_tree(place)
