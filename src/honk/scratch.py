"""Folders for the moment. A process keeps its own in one, which the next process removes where that one was killed."""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOCK = ".lock"
_making = threading.Lock()
_own: dict[int, Path] = {}
"""This process's folder, by its number: one that was forked makes another."""


@contextmanager
def scratch() -> Iterator[Path]:
    """A new folder that only this user can enter. It goes with the context, and with the process."""
    folder = scratch_folder()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def scratch_folder() -> Path:
    """The same for whoever removes it without a context."""
    return Path(tempfile.mkdtemp(dir=_process_folder(), prefix=""))


def _process_folder() -> Path:
    with _making:
        known = _own.get(os.getpid())
        if known is None or not known.is_dir():
            _remove_left()
            known = _own[os.getpid()] = _make()
        return known


def _make() -> Path:
    # Under another name until it is locked, so that nobody takes it for one that was left.
    made = Path(tempfile.mkdtemp(prefix=".honk-"))
    held = os.open(made / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    fcntl.flock(held, fcntl.LOCK_EX)
    folder = made.with_name(made.name.removeprefix("."))
    made.rename(folder)
    owner = os.getpid()
    atexit.register(lambda: shutil.rmtree(folder, ignore_errors=True) if os.getpid() == owner else None)
    return folder


def _remove_left() -> None:
    """The lock ends with its process, however that ends."""
    for lock in Path(tempfile.gettempdir()).glob(f"honk-*/{_LOCK}"):
        try:
            if lock.parent.lstat().st_uid != os.geteuid():
                continue
            held = os.open(lock, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.parent, ignore_errors=True)
        except OSError:
            continue
        finally:
            os.close(held)
