"""Zip files that another machine made: what they hold is put into a folder, and nothing outside it."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from honk.model import HonkError

_MOST_FILES = 100_000
_MOST_BYTES = 8 << 30


def unpack(archives: Sequence[Path], folder: Path) -> None:
    """Put the archives' files into the folder. Links are left out.

    Raises `HonkError` for what is no archive, reaches out of the folder, is too much, or is there twice.
    """
    left, count = _MOST_BYTES, 0
    for archive in archives:
        try:
            with zipfile.ZipFile(archive) as opened:
                for entry in opened.infolist():
                    count += 1
                    if count > _MOST_FILES:
                        raise HonkError(f"What was built holds more than {_MOST_FILES} files.")
                    if not entry.is_dir() and not stat.S_ISLNK(entry.external_attr >> 16):
                        left -= _unpack(opened, entry, folder / _name(entry.filename), left)
        except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError) as error:
            raise HonkError(f"What was built came back damaged: {error}.") from error


def _name(given: str) -> PurePosixPath:
    path = PurePosixPath(given.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in given:
        raise HonkError(f"What was built holds a file that reaches out of its folder: {given[:80]!r}.")
    return path


def _unpack(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, left: int) -> int:
    """Write one file; its bytes. What an entry says of its size is not believed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    try:
        with opened.open(entry) as source, target.open("xb") as file:
            while chunk := source.read(1 << 20):
                written += len(chunk)
                if written > left:
                    raise HonkError(f"What was built is larger than {_MOST_BYTES >> 30} GB.")
                file.write(chunk)
    except FileExistsError as error:
        raise HonkError(
            f"What was built holds {entry.filename[:80]} twice: name the artifact's files apart."
        ) from error
    return written
