"""What a set-up left in a tree and a home (dependencies, mostly), kept to be stood on instead of made again.

What was made of a commit of the default branch is shared by all whose set-up reads the same; what was made of a change,
whose author may have had it do anything, serves that very tree alone.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from honk.model import HonkError
from honk.settings import Settings
from honk.workspace.fsmonitor import written
from honk.workspace.layers import Layers, lay
from honk.workspace.sandbox import Sandbox
from honk.workspace.shared import Facts, SharedFolders
from honk.workspace.trees import remove_tree


@dataclass(frozen=True)
class KeptSetUp:
    """What to stand on: one layer for the tree, one for the home."""

    tree: Path
    home: Path


class SetUps:
    """The set-ups in Honk's home."""

    def __init__(self, settings: Settings) -> None:
        self.home = settings.home
        self._shared = SharedFolders(settings.home / "setups", settings.home)
        self.collect = self._shared.collect

    def find(self, repository: str, names: Collection[str]) -> str | None:
        """The first of these that is there."""
        return next((name for name in names if self._shared.facts(repository, name) is not None), None)

    @contextmanager
    def held(self, repository: str, name: str) -> Iterator[KeptSetUp]:
        """The one of that name, kept from being collected. Raises `HonkError` if it is not there any more."""

        def find() -> str:
            if self._shared.facts(repository, name) is None:
                raise HonkError("What the set-up left was removed meanwhile: try again.")
            return name

        with self._shared.held(repository, find):
            folder = self._shared.path(repository, name)
            yield KeptSetUp(folder / "tree", folder / "home")

    def keep(self, repository: str, name: str, tree: Path, home: Path) -> None:
        """Keep these two upper layers, which are not written again."""

        def fill(draft: Path) -> Facts:
            tree.rename(draft / "tree")
            home.rename(draft / "home")
            # What git noted meanwhile belongs to the tree that it was noted in.
            remove_tree(draft / "tree" / ".git")
            return {}

        self._shared.make(repository, name, fill)


@dataclass
class SetUpStand:
    """A checkout's dealings with set-ups: `own` names the checkout's tree, and is None for a commit of the default
    branch."""

    set_ups: SetUps
    repository: str
    own: str | None
    place: Path
    stack: ExitStack
    """Lets go of what is stood on when the checkout ends."""

    def find(self, key: str) -> KeptSetUp | None:
        """What is kept under the key and may be stood on here."""
        names = [f"base-{key}", *([f"{self.own}-{key}"] if self.own else [])]
        name = self.set_ups.find(self.repository, names)
        return self.stack.enter_context(self.set_ups.held(self.repository, name)) if name else None

    def keep(self, key: str, sandbox: Sandbox, tracked: Sequence[str]) -> KeptSetUp | None:
        """Keep what was written since the sandbox's upper layers were laid; None if tracked files are among it, which
        another commit may have otherwise."""
        tree, home = sandbox.tree, sandbox.home
        if isinstance(tree, Path) or isinstance(home, Path) or _touches(tree.upper, tracked):
            return None
        self.set_ups.keep(self.repository, f"{self.own or 'base'}-{key}", tree.upper, home.upper)
        return self.find(key)

    def over(self, sandbox: Sandbox, below: tuple[Layers, Path | Layers], kept: KeptSetUp | None) -> Sandbox:
        """The sandbox with new upper layers over those in `below` and over what is kept."""
        tree, home = below
        number = len([*self.place.glob("over-*")])
        homes = [home] if isinstance(home, Path) else [*home.lowers, home.upper]
        lowers = ([*tree.lowers, tree.upper], homes)
        given = ([kept.tree], [kept.home]) if kept else ([], [])
        return replace(
            sandbox,
            tree=lay(self.place / f"over-{number}-tree", [*lowers[0], *given[0]], self.set_ups.home, {}),
            home=lay(self.place / f"over-{number}-home", [*lowers[1], *given[1]], self.set_ups.home, {}),
        )


def _touches(upper: Path, tracked: Sequence[str]) -> bool:
    """Whether anything tracked was written, deleted or hidden."""
    paths = {os.fsencode(path) for path in tracked}
    folders = {path[:end] for path in paths for end in range(len(path)) if path[end : end + 1] == b"/"}
    return any(path.rstrip(b"/") in (folders if path.endswith(b"/") else paths) for path in written(os.fsencode(upper)))
