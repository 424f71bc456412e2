"""A clean checkout of one commit, in a sandbox of its own, removed afterwards."""

from __future__ import annotations

import fcntl
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from honk.model import Command, Completed
from honk.settings import Settings
from honk.workspace.mirror import locked
from honk.workspace.sandbox import Sandbox
from honk.workspace.submodules import populate
from honk.workspace.trees import (
    committed_text,
    empty_file,
    export,
    make_tree,
    object_binds,
    remove_tree,
    tracked,
)


@dataclass(frozen=True)
class CleanCheckout:
    """Implements `model.Checkout`. Its commit is read from the git directory `source`, which no sandbox can write."""

    commit: str
    source: Path
    sandbox: Sandbox

    def files(self) -> Sequence[str]:
        """Every tracked path, sorted."""
        return tracked(self.source, self.commit)

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

    def export(self, pattern: str, destination: Path) -> Sequence[Path]:
        """Copy regular files and folders out of the tree as it is now."""
        return export(self.sandbox.tree, pattern, destination)


@contextmanager
def clean_checkout(
    settings: Settings, source: Path, sha: str, trusted: tuple[Path, str], git_url: str, *, unsafe: bool
) -> Iterator[CleanCheckout]:
    """Check `sha` of the git directory `source` out into a temporary folder for as long as the context lasts.

    Submodules are filled in from the addresses that `trusted`, a git directory and a commit in it, has for them.
    """
    folder = settings.home / "checkouts"
    with locked(folder / ".lock"):
        place = folder / secrets.token_hex(8)
        place.mkdir()
        owner = (place / "lock").open("a")
        fcntl.flock(owner, fcntl.LOCK_EX)
    try:
        tree, home = place / "tree", place / "home"
        home.mkdir()
        make_tree(source, sha, tree, inside=not unsafe)
        populate(trusted, (source, sha), tree, git_url, settings, unsafe=unsafe)
        binds = object_binds(source, empty_file(settings.home))
        yield CleanCheckout(sha, source, Sandbox(settings, tree, home, binds, unsafe))
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
