"""Zip archives from strangers: only what is asked for is unpacked, into memory, up to a limit.

The rules on names, duplicates and overlaps are stricter than the zip format's, because the phone's own reader may see
another file than Python's where they are broken. Android's reader refuses them too (libziparchive's `zip_archive.cc`).
"""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from honk.ship.packages.facts import Limits, PackageError

_ENTRY = b"PK\x01\x02"
_END = b"PK\x05\x06"
_END_SIZE = 22
_LOCAL_HEADER = 30
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_LINK_LIMIT = 1024

UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    NotImplementedError,
    RuntimeError,
    EOFError,
    LookupError,
    ValueError,
    OverflowError,
)
"""What `zipfile` raises over broken archives."""


class _Measured:
    """The file as `zipfile` may read it. What it would take at once, whatever its size, is the list of contents."""

    def __init__(self, file: BinaryIO, limits: Limits) -> None:
        self._file = file
        self._limits = limits
        self.opening = True
        self.seek = file.seek
        self.tell = file.tell
        self.seekable = file.seekable

    def read(self, count: int = -1, /) -> bytes:
        if not self.opening:
            return self._file.read(count)
        if count > self._limits.directory:
            raise PackageError("The package's list of contents is too long for an app: build the package again.")
        data = self._file.read(count if count >= 0 else self._limits.directory)
        if data.count(_ENTRY) > self._limits.entries:
            raise PackageError(f"The package lists more than {self._limits.entries} files: that is no app.")
        return data


class Archive:
    """An open archive whose list of contents has been found sound."""

    def __init__(self, file: BinaryIO, size: int, limits: Limits) -> None:
        self.file = file
        self.size = size
        self.limits = limits
        self._budget = limits.total
        try:
            measured = _Measured(file, limits)
            self._zip = zipfile.ZipFile(measured)
            measured.opening = False
        except UNREADABLE as error:
            raise PackageError(
                "This is no readable app package (its list of contents is missing or broken): build or upload it again."
            ) from error
        self._entries = {entry.filename: entry for entry in self._zip.infolist()}
        self._check()

    @property
    def directory_at(self) -> int:
        """Where the list of contents begins."""
        return self._zip.start_dir

    @property
    def names(self) -> list[str]:
        return list(self._entries)

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def declared_size(self, name: str) -> int:
        return self._entries[name].file_size

    def _check(self) -> None:
        entries = self._zip.infolist()
        if len(self._entries) != len(entries):
            raise PackageError("The package holds two files of the same name, so phones may see different ones.")
        if sum(entry.file_size for entry in entries) > self.limits.unpacked:
            raise PackageError("The package claims to hold more than a phone can: it looks like a zip bomb.")
        for entry in entries:
            _check_entry(entry)
        at = 0
        for entry in sorted(entries, key=lambda entry: entry.header_offset):
            if entry.header_offset < at:
                raise PackageError("Files in the package overlap each other: it looks like a zip bomb.")
            at = entry.header_offset + _LOCAL_HEADER + entry.compress_size
        if at > self.directory_at:
            raise PackageError("The package's list of contents points outside it: it is cut off or broken.")

    def modes(self) -> Iterator[int]:
        """The Unix modes that the entries claim."""
        return (entry.external_attr >> 16 for entry in self._entries.values())

    def links(self) -> Iterator[tuple[str, str]]:
        """The symbolic links in the archive, and where each claims to lead."""
        for name, entry in self._entries.items():
            if stat.S_ISLNK(entry.external_attr >> 16):
                yield name, self._unpack(entry, _LINK_LIMIT).decode("utf-8", "replace")

    def read(self, name: str, limit: int) -> bytes:
        """An entry's content. Raises `PackageError` if it is no regular file, does not fit its checksum, or is longer
        than `limit` bytes or than what is left of the total."""
        entry = self._entries.get(name)
        if entry is None:
            raise PackageError(f"The package has no {name}: build it again.")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise PackageError(f"{_shown(name)} in the package is a link, where a file has to be.")
        return self._unpack(entry, limit)

    def head(self, name: str, count: int) -> bytes:
        """The first `count` bytes of an entry, or fewer."""
        try:
            with self._zip.open(self._entries[name]) as file:
                return file.read(count)
        except UNREADABLE as error:
            raise PackageError(f"{_shown(name)} in the package cannot be unpacked: build it again.") from error

    def stored_at(self, name: str) -> int | None:
        """Where the content of an uncompressed entry begins in the file; None if it is compressed."""
        entry = self._entries[name]
        if entry.compress_type != zipfile.ZIP_STORED:
            return None
        self.file.seek(entry.header_offset)
        header = self.file.read(_LOCAL_HEADER)
        if len(header) < _LOCAL_HEADER:
            raise PackageError("The package is cut off: build or upload it again.")
        name_length, extra_length = struct.unpack_from("<HH", header, 26)
        return int(entry.header_offset + _LOCAL_HEADER + name_length + extra_length)

    def _unpack(self, entry: zipfile.ZipInfo, limit: int) -> bytes:
        allowed = min(limit, self._budget)
        if entry.file_size > allowed:
            raise PackageError(f"{_shown(entry.filename)} in the package is larger than {allowed} bytes: too large.")
        try:
            with self._zip.open(entry) as file:
                content = file.read(allowed + 1)
        except UNREADABLE as error:
            raise PackageError(
                f"{_shown(entry.filename)} in the package cannot be unpacked: build or upload it again."
            ) from error
        if len(content) != entry.file_size:
            raise PackageError(f"{_shown(entry.filename)} in the package has not the size it claims: build it again.")
        self._budget -= len(content)
        return content

    def end_at(self) -> int:
        """Where the end record begins. Raises `PackageError` if something follows it that is not its comment, or if it
        tells of another list of contents than the one that was read."""
        tail_at = max(0, self.size - _END_SIZE - 0xFFFF)
        self.file.seek(tail_at)
        tail = self.file.read(_END_SIZE + 0xFFFF)
        at = tail.rfind(_END)
        while at >= 0:
            if at + _END_SIZE <= len(tail):
                size, offset, comment = struct.unpack_from("<IIH", tail, at + 12)
                if at + _END_SIZE + comment == len(tail) and offset == self.directory_at:
                    if offset + size != tail_at + at:
                        break
                    return tail_at + at
            at = tail.rfind(_END, 0, at)
        raise PackageError("The package's list of contents is not where Android looks for it: build it again.")


def _check_entry(entry: zipfile.ZipInfo) -> None:
    name = entry.filename
    if entry.flag_bits & _ENCRYPTED:
        raise PackageError(f"{_shown(name)} in the package is encrypted; phones cannot install such a package.")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise PackageError(f"{_shown(name)} in the package is packed in a way that phones do not know.")
    # Python drops what follows a NUL in a name.
    if entry.orig_filename != name or not _inside(name):
        raise PackageError(
            f"The package holds a file with a name that leads outside it ({_shown(entry.orig_filename)})."
        )


def _inside(path: str) -> bool:
    plain = path.replace("\\", "/")
    return bool(plain) and not plain.startswith("/") and plain[1:2] != ":" and ".." not in plain.split("/")


def leads_outside(link: str, target: str, root: str) -> bool:
    """Whether the link at the path `link`, followed once, leads out of the folder `root`."""
    if target.startswith("/") or "\0" in target:
        return True
    place: list[str] = []
    for step in (*PurePosixPath(link).parent.parts, *target.split("/")):
        if step == "..":
            if not place:
                return True
            place.pop()
        elif step not in ("", "."):
            place.append(step)
    return not "/".join(place).startswith(root)


def _shown(name: str) -> str:
    from honk.ship.packages.facts import one_line

    return one_line(name, 80) or "A file"


@contextmanager
def open_archive(path: Path, limits: Limits) -> Iterator[Archive]:
    """The archive at a path. Raises `PackageError` if it is none, or one that cannot be trusted to mean one thing."""
    if path.is_symlink() or not path.is_file():
        raise PackageError(f"{path.name} is no file: name the package itself.")
    with path.open("rb") as file:
        size = path.stat().st_size
        if size > limits.file:
            raise PackageError(f"{path.name} is larger than {limits.file >> 20} MiB: too large to offer.")
        yield Archive(file, size, limits)
