"""Folders that many trees stand on: made once, never changed, removed by least use and never while somebody needs them.

`<folder>/<repository>/<name>/` holds one with its `facts.json`. Whoever stands on one for as long as a process lives
holds a lock on its file `used`, which ends with the process however it ends. Whoever stands on one for longer refers to
it in a file of their own.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import subprocess
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from honk.model import HonkError
from honk.workspace.mirror import locked
from honk.workspace.trees import remove_tree

Facts = dict[str, Any]
"""What is known of a folder: `bytes` it takes, `over` which other it lies (a name) or None, and its maker's own."""


class SharedFolders:
    """The shared folders below `folder` in Honk's `home`. Safe to use from many threads and processes."""

    def __init__(self, folder: Path, home: Path) -> None:
        self._folder = folder
        self._home = home

    def facts(self, repository: str, name: str) -> Facts | None:
        """What is known of one, or None if it is not there."""
        try:
            facts: Facts = json.loads((self._folder / repository / name / "facts.json").read_text())
        except (FileNotFoundError, NotADirectoryError):
            return None
        return facts

    def path(self, repository: str, name: str) -> Path:
        """Where one is, or would be."""
        return self._folder / repository / name

    def newest_first(self, repository: str) -> Iterator[str]:
        """The names there are."""
        found = (self._folder / repository).glob("*/facts.json")
        yield from (path.parent.name for path in sorted(found, key=lambda path: -path.stat().st_mtime))

    def make(self, repository: str, name: str, fill: Callable[[Path], Facts]) -> Facts:
        """One as `fill` makes it in an empty folder, unless it is there by then; what `fill` returns is added to its
        facts. Others who want one for the repository wait meanwhile. Raises what `fill` raises."""
        folder = self._folder / repository
        with locked(folder / ".lock"):
            if known := self.facts(repository, name):
                return known
            for left in folder.glob(".new-*"):
                remove_tree(left)
            draft = folder / f".new-{secrets.token_hex(4)}"
            draft.mkdir()
            facts = {"over": None, **fill(draft)}
            facts["bytes"] = _size(draft)
            (draft / "facts.json").write_text(json.dumps(facts))
            (draft / "used").touch()
            draft.rename(folder / name)
        return facts

    @contextmanager
    def held(self, repository: str, find: Callable[[], str]) -> Iterator[str]:
        """The name that `find` finds, kept from being collected for as long as this lasts, or the process lives."""
        while True:
            name = find()
            used = self.path(repository, name) / "used"
            with contextlib.suppress(FileNotFoundError), used.open("r+") as file:
                fcntl.flock(file, fcntl.LOCK_SH)
                used.touch()
                if os.path.samestat(os.fstat(file.fileno()), used.stat()):
                    yield name
                    return

    def collect(self, referred: Callable[[], Collection[str]], limit: int) -> int:
        """Remove what is least used until all take no more than `limit` bytes; the bytes that were freed.

        `referred` tells the folders that are stood on, relative to the home, or folders in these; they stay, and so
        does what is held and what another one lies over.
        """
        found = [path.parent for path in self._folder.glob("*/*/facts.json")]
        found.sort(key=lambda folder: (folder / "used").stat().st_mtime)
        facts = {folder: known for folder in found if (known := self.facts(folder.parent.name, folder.name))}
        excess, freed = sum(int(known["bytes"]) for known in facts.values()) - limit, 0
        # What lies over others goes before them, so that both can go in one pass.
        for folder in sorted(facts, key=lambda folder: facts[folder]["over"] is None):
            if freed < excess and self._remove(folder, referred):
                freed += int(facts[folder]["bytes"])
        return freed

    def _remove(self, folder: Path, referred: Callable[[], Collection[str]]) -> bool:
        repository = folder.parent
        with locked(repository / ".lock"):
            others = [self.facts(repository.name, name) for name in self.newest_first(repository.name)]
            if any(other and other["over"] == folder.name for other in others):
                return False
            with (folder / "used").open("r+") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return False
                # Asked while nobody can begin to stand on it.
                place = str(folder.relative_to(self._home))
                if any(path == place or path.startswith(f"{place}/") for path in referred()):
                    return False
                gone = repository / f".new-{secrets.token_hex(4)}"
                folder.rename(gone)
        remove_tree(gone)
        return True


def _size(folder: Path) -> int:
    done = subprocess.run(["du", "-sk", "--", str(folder)], capture_output=True, text=True, check=False)
    if not done.stdout:
        raise HonkError(f"The folder {folder} cannot be measured: {done.stderr.strip()}.")
    return int(done.stdout.split()[0]) * 1024
