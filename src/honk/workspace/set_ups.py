"""What a set-up left in a tree and a home (dependencies, mostly), kept to be stood on instead of made again.

What was made of a commit of the default branch is shared by all whose set-up reads the same; what was made of a change,
whose author may have had it do anything, serves that very tree alone.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from honk.model import HonkError
from honk.settings import Settings
from honk.workspace.fsmonitor import written
from honk.workspace.layers import Layers, lay
from honk.workspace.sandbox import Sandbox
from honk.workspace.shared import Facts, SharedFolders
from honk.workspace.trees import TREE_CONFIGURATION, remove_tree

_TRY_AGAIN = 600.0
"""Seconds."""
_SPECIAL = re.compile(r"[\\*?\[\]!# ]")


@dataclass(frozen=True)
class KeptSetUp:
    """What to stand on: one layer for the tree, one for the home."""

    name: str
    tree: Path
    home: Path
    made: Sequence[str]
    """What is new in the tree, as patterns for git to overlook: it is no part of a change."""


@dataclass(frozen=True)
class Readied:
    """How a tree is set up for an agent: by which kept set-up, if by any, and what goes in front of PATH."""

    name: str | None
    path: str
    failed: bool = False


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
            made = (self._shared.facts(repository, name) or {})["made"]
            yield KeptSetUp(name, folder / "tree", folder / "home", made)

    def path(self, repository: str, name: str) -> Path:
        """Where the one of that name is."""
        return self._shared.path(repository, name)

    def note(self, repository: str, base: str, readied: Readied) -> None:
        """Put down how the tree of this base is set up."""
        place = self._note(repository, base)
        place.parent.mkdir(parents=True, exist_ok=True)
        draft = place.with_name(f"{place.name}.{secrets.token_hex(4)}")
        draft.write_text(json.dumps(asdict(readied)))
        draft.rename(place)

    def noted(self, repository: str, base: str) -> Readied | None:
        """What was put down, while it can be relied on: one that failed is worth another try after a while."""
        place = self._note(repository, base)
        try:
            readied = Readied(**json.loads(place.read_text()))
        except FileNotFoundError:
            return None
        if readied.failed and time.time() - place.stat().st_mtime > _TRY_AGAIN:
            return None
        return readied if not readied.name or self._shared.facts(repository, readied.name) is not None else None

    def _note(self, repository: str, base: str) -> Path:
        return self.home / "setups" / repository / f".of-{base}.json"

    def keep(self, repository: str, name: str, tree: Path, home: Path, made: Sequence[str]) -> None:
        """Keep these two upper layers, which are not written again, and what is new in the tree."""

        def fill(draft: Path) -> Facts:
            tree.rename(draft / "tree")
            home.rename(draft / "home")
            # What git noted meanwhile belongs to the tree that it was noted in.
            remove_tree(draft / "tree" / ".git")
            return {"made": list(made)}

        self._shared.make(repository, name, fill)


@dataclass
class SetUpStand:
    """A checkout's dealings with set-ups: `own()` names the checkout's tree, and is None for a commit of the default
    branch. It asks git, so only where there is a set-up."""

    set_ups: SetUps
    repository: str
    own: Callable[[], str | None]
    place: Path
    stack: ExitStack
    """Lets go of what is stood on when the checkout ends."""
    name: str | None = None
    """What is stood on."""

    def find(self, key: str) -> KeptSetUp | None:
        """What is kept under the key and may be stood on here."""
        own = self.own()
        name = self.set_ups.find(self.repository, [f"base-{key}", *([f"{own}-{key}"] if own else [])])
        return self.stack.enter_context(self.set_ups.held(self.repository, name)) if name else None

    def keep(self, key: str, sandbox: Sandbox, tracked: Sequence[str]) -> KeptSetUp | None:
        """Keep what was written since the sandbox's upper layers were laid; None if tracked files are among it, which
        another commit may have otherwise."""
        tree, home = sandbox.tree, sandbox.home
        if isinstance(tree, Path) or isinstance(home, Path):
            return None
        paths = {os.fsencode(path) for path in tracked}
        folders = {path[:end] for path in paths for end in range(len(path)) if path[end : end + 1] == b"/"}
        if any(path.rstrip(b"/") in (folders if path.endswith(b"/") else paths) for path in written(_upper(tree))):
            return None
        self.set_ups.keep(
            self.repository, f"{self.own() or 'base'}-{key}", tree.upper, home.upper, _new(_upper(tree), folders)
        )
        return self.find(key)

    def over(self, sandbox: Sandbox, below: tuple[Layers, Path | Layers], kept: KeptSetUp | None) -> Sandbox:
        """The sandbox with new upper layers over those in `below` and over what is kept."""
        tree, home = below
        number = len([*self.place.glob("over-*")])
        homes = [home] if isinstance(home, Path) else [*home.lowers, home.upper]
        lowers = ([*tree.lowers, tree.upper], homes)
        self.name = kept.name if kept else None
        given = ([kept.tree], [kept.home]) if kept else ([], [])
        return replace(
            sandbox,
            tree=lay(self.place / f"over-{number}-tree", [*lowers[0], *given[0]], self.set_ups.home, {}),
            home=lay(self.place / f"over-{number}-home", [*lowers[1], *given[1]], self.set_ups.home, {}),
        )

    def apart(self, sandbox: Sandbox, before: Sequence[Sandbox]) -> tuple[Path, Sandbox]:
        """The sandbox with upper layers of its own, in a new folder, over all that it and those `before` have."""
        place = self.place / f"apart-{secrets.token_hex(4)}"
        trees = [layers for layers in (sandbox.tree, *(one.tree for one in before)) if isinstance(layers, Layers)]
        # Git is told what was written by the upper layer alone, and not all of that lies there now.
        files = {".git/config": TREE_CONFIGURATION}
        homes = (sandbox.home, *(one.home for one in before))
        return place, replace(
            sandbox,
            tree=lay(place / "tree", _stacked(trees), self.set_ups.home, files),
            home=lay(place / "home", _stacked(homes), self.set_ups.home, {}),
        )


def _stacked(places: Sequence[Path | Layers]) -> list[Path]:
    """The folders that make these up, one over the other, the lowest first and each once."""
    folders = [
        folder for place in places for folder in ([place] if isinstance(place, Path) else [*place.lowers, place.upper])
    ]
    return list(dict.fromkeys(folders))


def _upper(layers: Layers) -> bytes:
    return os.fsencode(layers.upper)


def _new(upper: bytes, folders: Collection[bytes]) -> list[str]:
    """What lies in `upper` and in no tracked folder, by its topmost paths, as patterns of gitignore(5)."""
    found, waiting = [], [b""]
    while waiting:
        place = waiting.pop()
        for entry in os.scandir(os.path.join(upper, place)):  # noqa: PTH118  a name may be any bytes
            path = (place + b"/" + entry.name).lstrip(b"/")
            if path in folders:
                waiting.append(path)
            elif path != b".git":
                found.append("/" + _SPECIAL.sub(r"\\\g<0>", os.fsdecode(path)))
    return sorted(found)
