"""Files that come back out of a container as an archive: written by whoever was inside, laid out without trusting it.

Every folder on the way is opened without following links, so nothing lands outside of the tree, whatever is in it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import IO, Any

from honk.model import HonkError

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def remove(root: int, paths: Sequence[str]) -> None:
    """Remove what has these paths below the folder that the descriptor `root` stands for."""
    for path in paths:
        with suppress(OSError, ValueError), _parent(root, path, make=False) as (folder, name):
            _clear(folder, name)


def lay_out(root: int, archive: IO[bytes], most: int) -> None:
    """Write what the archive has below the folder that the descriptor `root` stands for.

    Regular files, folders and symbolic links only. Raises `HonkError` for over `most` bytes, and if it is no archive.
    """
    folders: list[tuple[str, int]] = []
    written = 0
    try:
        with tarfile.open(fileobj=archive, mode="r|", errorlevel=2) as members:
            for member in members:
                written += member.size
                if written > most:
                    raise HonkError("The container gave more files back than its disk limit allows.")
                with _parent(root, member.name, make=True) as (folder, name):
                    if member.isdir():
                        _make_folder(folder, name)
                        folders.append((member.name, member.mode))
                    elif member.issym():
                        _replace(folder, name, partial(_link, member.linkname))
                    elif member.isreg() and (content := members.extractfile(member)) is not None:
                        _replace(folder, name, _writer(content, member))
    except (tarfile.TarError, ValueError) as error:
        raise HonkError(f"The container gave its files back in a form that cannot be read: {error}.") from error
    # Last, because a folder that cannot be written takes no files; the innermost first.
    for path, mode in sorted(folders, reverse=True):
        with suppress(OSError), _parent(root, path, make=False) as (folder, name):
            descriptor = os.open(name, _FOLDER, dir_fd=folder)
            try:
                os.fchmod(descriptor, mode & 0o777)
            finally:
                os.close(descriptor)


@contextmanager
def _parent(root: int, path: str, *, make: bool) -> Iterator[tuple[int, str]]:
    """The folder that holds `path`, as a descriptor, and the name in it; `make` makes what is not there."""
    *folders, name = path.split("/")
    if any(part in ("", ".", "..") or "\0" in part for part in (*folders, name)):
        raise ValueError(f"{path[:200]!r} is no path below the tree")
    at = os.dup(root)
    try:
        for part in folders:
            if make:
                _make_folder(at, part)
            below = os.open(part, _FOLDER, dir_fd=at)
            os.close(at)
            at = below
        yield at, name
    finally:
        os.close(at)


def _make_folder(at: int, name: str) -> None:
    try:
        os.mkdir(name, 0o755, dir_fd=at)
    except FileExistsError:
        if not _is_folder(os.stat(name, dir_fd=at, follow_symlinks=False)):
            os.unlink(name, dir_fd=at)
            os.mkdir(name, 0o755, dir_fd=at)


def _is_folder(facts: os.stat_result) -> bool:
    return (facts.st_mode & 0o170000) == 0o040000


def _clear(at: int, name: str) -> None:
    """Remove whatever has this name."""
    with suppress(FileNotFoundError):
        if _is_folder(os.stat(name, dir_fd=at, follow_symlinks=False)):
            shutil.rmtree(name, dir_fd=at)
        else:
            os.unlink(name, dir_fd=at)


def _replace(at: int, name: str, make: Callable[[str, int], object]) -> None:
    draft = f".honk-{secrets.token_hex(6)}"
    make(draft, at)
    try:
        os.rename(draft, name, src_dir_fd=at, dst_dir_fd=at)
    except OSError:
        _clear(at, name)
        os.rename(draft, name, src_dir_fd=at, dst_dir_fd=at)


def _link(target: str, draft: str, at: int) -> None:
    os.symlink(target, draft, dir_fd=at)


def _writer(content: IO[bytes], member: tarfile.TarInfo) -> Callable[[str, int], object]:
    def write(draft: str, at: int) -> Any:
        descriptor = os.open(draft, _NEW, 0o600, dir_fd=at)
        with os.fdopen(descriptor, "wb") as file:
            shutil.copyfileobj(content, file, 1 << 20)
            file.flush()
            os.fchmod(descriptor, member.mode & 0o777)
            os.utime(descriptor, (member.mtime, member.mtime))

    return write
