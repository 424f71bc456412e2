"""A locked file for each container, for as long as its process of Honk lives: what is not locked was left behind."""

from __future__ import annotations

import fcntl
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from honk.settings import Settings


def _folder(settings: Settings) -> Path:
    folder = settings.home / "sandbox" / "containers"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def locked_name(settings: Settings, backend: str) -> Iterator[tuple[str, Path]]:
    """A new container's name, and the file that is locked with it; whoever has removed the container removes that."""
    name = f"honk-{secrets.token_hex(8)}"
    lock = _folder(settings) / f"{backend}-{name}"
    with lock.open("a") as owner:
        fcntl.flock(owner, fcntl.LOCK_EX)
        yield name, lock


def left_behind(settings: Settings, backend: str) -> Iterator[tuple[str, Path]]:
    """The containers whose process no longer lives, each with its file, which is locked meanwhile."""
    for lock in _folder(settings).glob(f"{backend}-*"):
        with lock.open("a") as owner:
            try:
                fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield lock.name.removeprefix(f"{backend}-"), lock
