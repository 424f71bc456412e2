"""Runs inside a sandbox: `unpack.py ARCHIVE ROOT=FOLDER…` does to the folders what an archive of `pack.py` says.

A folder may be a tree in layers or a plain one: the same is done to it. Roots of the archive that are not named are
passed over. Whatever the archive says, nothing is written through a link. Uses the standard library only.
"""

import gzip
import os
import shutil
import stat
import sys
import tarfile
from pathlib import PurePosixPath
from typing import IO

CHUNK = 1 << 20


class Unpacking:
    """What is being made below the `roots`."""

    def __init__(self, roots: dict[str, str]) -> None:
        self._roots = {name: os.path.realpath(folder) for name, folder in roots.items()}
        self._modes: dict[str, int] = {}
        self._safe: set[str] = set()

    def place(self, name: str) -> str | None:
        """Where a member goes; None if its root is not wanted. Exits for a name that leads elsewhere."""
        parts = PurePosixPath(name).parts
        if not parts or ".." in parts or name.startswith("/"):
            sys.exit(f"the archive names {name!r}")
        root = self._roots.get(parts[0])
        if root is None:
            return None
        place = root
        for part in parts[1:-1]:
            place = f"{place}/{part}"
            if place not in self._safe:
                if not stat.S_ISDIR(os.lstat(place).st_mode):
                    sys.exit(f"the archive leads through {name!r}")
                self._safe.add(place)
        return f"{place}/{parts[-1]}" if parts[1:] else root

    def apply(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        """Do what one member says."""
        place = self.place(member.name)
        if place is None:
            return
        told = member.pax_headers.get("HONK.op")
        if told != "add":
            self._remove(place)
        if told == "remove":
            return
        if member.isdir():
            self._make_folder(place, member.mode)
        elif member.issym():
            os.symlink(member.linkname, place)
            self._set_time(member, place)
        elif member.islnk():
            first = self.place(member.linkname)
            if first is None:
                sys.exit(f"the archive links {member.name!r} to what is not there")
            os.link(first, place, follow_symlinks=False)
        elif member.type == tarfile.FIFOTYPE:
            os.mkfifo(place)
            os.chmod(place, member.mode)
        elif member.isreg() and (data := tar.extractfile(member)) is not None:
            self._write(place, member, data)

    def finish(self) -> None:
        """Give folders the permissions they had, the innermost first."""
        for place in sorted(self._modes, key=len, reverse=True):
            os.chmod(place, self._modes[place])

    def _remove(self, place: str) -> None:
        try:
            folder = stat.S_ISDIR(os.lstat(place).st_mode)
        except FileNotFoundError:
            return
        if not folder:
            os.unlink(place)
            return
        shutil.rmtree(place)
        gone = f"{place}/"
        self._modes = {known: mode for known, mode in self._modes.items() if not f"{known}/".startswith(gone)}
        self._safe = {known for known in self._safe if not f"{known}/".startswith(gone)}

    def _make_folder(self, place: str, mode: int) -> None:
        try:
            if not stat.S_ISDIR(os.lstat(place).st_mode):
                os.unlink(place)
                os.mkdir(place)
        except FileNotFoundError:
            os.mkdir(place)
        if stat.S_IMODE(os.lstat(place).st_mode) & 0o700 != 0o700:
            os.chmod(place, 0o700)
        self._modes[place] = mode

    def _write(self, place: str, member: tarfile.TarInfo, data: IO[bytes]) -> None:
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            if "HONK.size" not in member.pax_headers:
                shutil.copyfileobj(data, file, CHUNK)
            else:
                for extent in filter(None, member.pax_headers["HONK.extents"].split(",")):
                    offset, length = map(int, extent.split(":"))
                    file.seek(offset)
                    while length and (part := data.read(min(length, CHUNK))):
                        file.write(part)
                        length -= len(part)
                file.flush()
                os.ftruncate(file.fileno(), int(member.pax_headers["HONK.size"]))
            file.flush()
            os.fchmod(file.fileno(), member.mode)
        self._set_time(member, place)

    @staticmethod
    def _set_time(member: tarfile.TarInfo, place: str) -> None:
        at = int(member.pax_headers["HONK.mtime"])
        os.utime(place, ns=(at, at), follow_symlinks=False)


def main(archive: str, *roots: str) -> None:
    unpacking = Unpacking(dict(root.split("=", 1) for root in roots))
    with gzip.open(archive, "rb") as packed, tarfile.open(fileobj=packed, mode="r|", bufsize=CHUNK) as tar:
        while (member := tar.next()) is not None:
            unpacking.apply(tar, member)
            # Otherwise the tar remembers every member.
            tar.members = []  # type: ignore[attr-defined]
    unpacking.finish()


if __name__ == "__main__":
    main(*sys.argv[1:])
