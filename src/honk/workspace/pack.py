"""Runs inside a sandbox: `pack.py PLAN ARCHIVE` writes what differs from a commit's files, and a home, to one archive.

The archive is a gzip'd tar (pax) that is read from the front: each member says what to do with a path. A member's own
headers are `HONK.op` (`remove` what is there, `add` it, or `replace` what is there by it), `HONK.mtime` (nanoseconds)
and, for files with holes, `HONK.size` and `HONK.extents` (`offset:length,…` of the data that follows). What was done to
a tree in layers, layer by layer, and what was done to a plain one are told in the same words, so either can be made of
it. Prints a JSON object with the `bytes` taken in and the paths `left_out`. Uses the standard library only.
"""

import errno
import gzip
import hashlib
import io
import json
import os
import stat
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

NEVER = frozenset({"tree/.git/objects/info/alternates", "change/objects/info/alternates"})
"""Where else a git directory looks for objects: every machine has its own places."""
KEPT_IN_HOME = frozenset({".claude", ".claude.json"})
CHUNK = 1 << 20
TOLD = 1_000
"""So many of the paths that are left out are named, the biggest."""

Node = Any
"""What a commit has at a path: a dictionary of these by name for a folder, else `[mode, object id, converted]`."""


@dataclass(frozen=True)
class Found:
    """Something to do with a path: `name` as it is archived, `place` where it is read; None to remove only."""

    name: str
    place: str | None
    removes: bool = False
    size: int = 0


@dataclass
class Permissions:
    """What an owner may not do with a file of theirs, lifted until all is read."""

    _modes: dict[str, int] = field(default_factory=dict)

    def lifted(self, place: str, use: Callable[[], Any]) -> Any:
        """What `use` returns, once `place` may be read."""
        try:
            return use()
        except PermissionError:
            status = os.lstat(place)
            self._modes[place] = stat.S_IMODE(status.st_mode)
            os.chmod(place, self._modes[place] | (0o700 if stat.S_ISDIR(status.st_mode) else 0o600))
            return use()

    def mode(self, place: str, status: os.stat_result) -> int:
        """The permissions that `place` really has."""
        return self._modes.get(place, stat.S_IMODE(status.st_mode))

    def restore(self) -> None:
        """Put all back, the innermost first."""
        for place in sorted(self._modes, key=len, reverse=True):
            os.chmod(place, self._modes[place])


permissions = Permissions()


def entries(folder: str) -> list[tuple[str, str, os.stat_result]]:
    """Name, place and status of what is in a folder, sorted by name."""

    def read() -> list[tuple[str, str, os.stat_result]]:
        return [(entry.name, entry.path, os.lstat(entry.path)) for entry in os.scandir(folder)]

    return sorted(permissions.lifted(folder, read), key=lambda found: found[0])


def opaque(folder: str) -> bool:
    try:
        return os.getxattr(folder, "user.overlay.opaque", follow_symlinks=False) == b"y"
    except OSError:
        return False


def bytes_of(status: os.stat_result) -> int:
    return min(status.st_size, status.st_blocks * 512) if stat.S_ISREG(status.st_mode) else 0


def keepable(mode: int) -> bool:
    return stat.S_ISREG(mode) or stat.S_ISLNK(mode) or stat.S_ISDIR(mode) or stat.S_ISFIFO(mode)


def walk_layer(folder: str, name: str, whiteouts: bool) -> Iterator[Found]:
    """What a layer says; without `whiteouts`, all there is in a folder that is none."""
    for entry, place, status in entries(folder):
        path = f"{name}/{entry}"
        if path in NEVER:
            continue
        if stat.S_ISCHR(status.st_mode) and whiteouts and status.st_rdev == 0:
            yield Found(path, None, removes=True)
        elif stat.S_ISDIR(status.st_mode):
            yield Found(path, place, removes=whiteouts and opaque(place))
            yield from walk_layer(place, path, whiteouts)
        elif keepable(status.st_mode):
            yield Found(path, place, removes=whiteouts, size=bytes_of(status))


def walk_plain(folder: str, name: str, node: Mapping[str, Node], umask: int) -> Iterator[Found]:
    """How a folder differs from what the commit has there."""
    there = entries(folder)
    for gone in sorted(node.keys() - {entry for entry, _, _ in there}):
        yield Found(f"{name}/{gone}", None, removes=True)
    for entry, place, status in there:
        path, known = f"{name}/{entry}", node.get(entry)
        if path in NEVER or not keepable(status.st_mode):
            continue
        if stat.S_ISDIR(status.st_mode):
            same = isinstance(known, dict)
            if not same or stat.S_IMODE(status.st_mode) != 0o777 & ~umask:
                yield Found(path, place, removes=known is not None and not same)
            yield from walk_plain(place, path, known if isinstance(known, dict) else {}, umask)
        elif not unchanged(place, status, known, umask):
            yield Found(path, place, removes=True, size=bytes_of(status))


def unchanged(place: str, status: os.stat_result, known: Node, umask: int) -> bool:
    """Whether a file or link is as git would lay it out."""
    if not isinstance(known, list) or known[2] or status.st_nlink > 1:
        return False
    mode, wanted = str(known[0]), str(known[1])
    if stat.S_ISLNK(status.st_mode):
        return mode == "120000" and object_id(os.fsencode(os.readlink(place)), wanted) == wanted
    usual = {"100644": 0o666, "100755": 0o777}.get(mode)
    if usual is None or not stat.S_ISREG(status.st_mode) or stat.S_IMODE(status.st_mode) != usual & ~umask:
        return False

    def read() -> bool:
        with open_regular(place) as file:
            return object_id(file, wanted, status.st_size) == wanted

    return bool(permissions.lifted(place, read))


def object_id(content: BinaryIO | bytes, like: str, size: int = 0) -> str:
    """The id git gives a blob (gitformat-loose(5)), by the same function as the id `like`."""
    digest = hashlib.new("sha256" if len(like) == 64 else "sha1", usedforsecurity=False)
    if isinstance(content, bytes):
        digest.update(b"blob %d\0%s" % (len(content), content))
        return digest.hexdigest()
    digest.update(b"blob %d\0" % size)
    while data := content.read(CHUNK):
        digest.update(data)
    return digest.hexdigest()


def open_regular(place: str) -> BinaryIO:
    descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it changed while it was read", place)
    return os.fdopen(descriptor, "rb", buffering=0)


# -- what is left out ------------------------------------------------------------------------------------------------


def ignored_paths(git_dir: str, tree: str) -> list[str]:
    """What git is told to ignore in the tree, whole folders as one, below the archive's name for the tree."""
    environment = {**os.environ, "GIT_DIR": git_dir, "GIT_WORK_TREE": tree}
    listed = subprocess.run(
        ["git", "ls-files", "--others", "--ignored", "--exclude-standard", "--directory", "-z"],
        env=environment,
        cwd=tree,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )
    paths = sorted(os.fsdecode(name).rstrip("/") for name in listed.stdout.split(b"\0") if name)
    top: list[str] = []
    for path in paths:
        if not (top and path.startswith(f"{top[-1]}/")):
            top.append(path)
    return [f"tree/{path}" for path in top]


def leave_out(found: list[Found], ignored: list[str], limit: int) -> dict[str, int]:
    """The paths to leave out, and their bytes: the biggest of what is ignored or in the home, until the rest fits."""
    droppable = set(ignored)
    sizes: dict[str, int] = {}
    total = 0
    for one in found:
        total += one.size
        parts = one.name.split("/")
        if parts[0] == "home":
            owner = "/".join(parts[:2]) if parts[1:] and parts[1] not in KEPT_IN_HOME else None
        else:
            heads = ("/".join(parts[:end]) for end in range(2, len(parts) + 1))
            owner = next((head for head in heads if head in droppable), None)
        if owner is not None:
            sizes[owner] = sizes.get(owner, 0) + one.size
    left: dict[str, int] = {}
    for path in sorted(sizes, key=lambda path: -sizes[path]):
        if total <= limit or not sizes[path]:
            break
        left[path] = sizes[path]
        total -= sizes[path]
    return left


def within(name: str, folders: Mapping[str, int]) -> bool:
    parts = name.split("/")
    return any("/".join(parts[:end]) in folders for end in range(2, len(parts) + 1))


# -- the archive -----------------------------------------------------------------------------------------------------


def data_extents(file: BinaryIO, size: int) -> list[tuple[int, int]]:
    """Offset and length of what is not a hole (lseek(2))."""
    extents, at = [], 0
    while at < size:
        try:
            begin = os.lseek(file.fileno(), at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                break
            raise
        at = min(os.lseek(file.fileno(), begin, os.SEEK_HOLE), size)
        extents.append((begin, at - begin))
    return extents


class Extents(io.RawIOBase):
    """The data of a file without its holes."""

    def __init__(self, file: BinaryIO, extents: list[tuple[int, int]]) -> None:
        self._file = file
        self._left = extents

    def read(self, size: int = -1) -> bytes:
        """Exactly so many bytes: what the file has lost meanwhile is zero."""
        data = b""
        while self._left and len(data) < size:
            offset, length = self._left[0]
            part = os.pread(self._file.fileno(), min(length, size - len(data)), offset)
            part = part or bytes(min(length, size - len(data)))
            data += part
            self._left[0] = (offset + len(part), length - len(part))
            if length == len(part):
                self._left.pop(0)
        return data


class Archive:
    """Writes members; two names of one file are one file again afterwards."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._known: dict[tuple[int, int], str] = {}

    def add(self, one: Found) -> None:
        """Write what there is to do with a path."""
        member = tarfile.TarInfo(one.name)
        # Otherwise the tar remembers every member.
        self._tar.members = []  # type: ignore[attr-defined]
        if one.place is None:
            member.pax_headers = {"HONK.op": "remove"}
            self._tar.addfile(member)
            return
        place, status = one.place, os.lstat(one.place)
        member.mode = permissions.mode(place, status)
        member.pax_headers = {"HONK.op": "replace" if one.removes else "add", "HONK.mtime": str(status.st_mtime_ns)}
        if stat.S_ISDIR(status.st_mode):
            member.type = tarfile.DIRTYPE
        elif stat.S_ISLNK(status.st_mode):
            member.type, member.linkname = tarfile.SYMTYPE, os.readlink(place)
        elif stat.S_ISFIFO(status.st_mode):
            member.type = tarfile.FIFOTYPE
        elif (first := self._known.get((status.st_dev, status.st_ino))) is not None:
            member.type, member.linkname = tarfile.LNKTYPE, first
        else:
            if status.st_nlink > 1:
                self._known[status.st_dev, status.st_ino] = one.name
            self._add_file(member, place)
            return
        self._tar.addfile(member)

    def _add_file(self, member: tarfile.TarInfo, place: str) -> None:
        with permissions.lifted(place, lambda: open_regular(place)) as file:
            size = os.fstat(file.fileno()).st_size
            extents = data_extents(file, size)
            member.size = sum(length for _, length in extents)
            if member.size != size:
                holes = {"HONK.size": str(size), "HONK.extents": ",".join(f"{at}:{length}" for at, length in extents)}
                member.pax_headers = {**member.pax_headers, **holes}
            self._tar.addfile(member, Extents(file, extents))


def look(plan: Mapping[str, Any]) -> list[Found]:
    """All there is to do, in the order in which it is to be done."""
    found: list[Found] = []
    for name, folders in plan["layers"].items():
        for folder, whiteouts in folders:
            found.append(Found(name, folder))
            found += walk_layer(folder, name, whiteouts)
    if plan["plain"]:
        found.append(Found("tree", plan["plain"]))
        found += walk_plain(plan["plain"], "tree", plan["commit"], plan["umask"])
    return found


def pack(plan: Mapping[str, Any], target: str) -> dict[str, Any]:
    ignored = ignored_paths(plan["git_dir"], plan["tree"])
    found = look(plan)
    left = leave_out(found, ignored, plan["limit"])
    total = 0
    with (
        open(target, "wb") as out,
        gzip.GzipFile(fileobj=out, mode="wb", compresslevel=1, mtime=0, filename="") as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT, bufsize=CHUNK) as tar,
    ):
        archive = Archive(tar)
        for one in found:
            if not within(one.name, left):
                archive.add(one)
                total += one.size
    return {"bytes": total, "left_out": {readable(path): size for path, size in [*left.items()][:TOLD]}}


def readable(path: str) -> str:
    """A path below the tree or the home, as text."""
    root, _, name = path.partition("/")
    return ("~/" if root == "home" else "") + os.fsencode(name).decode("utf-8", "replace")


def main(plan: str, target: str) -> dict[str, Any]:
    sys.setrecursionlimit(20_000)
    with open(plan) as file:
        given = json.load(file)
    try:
        return pack(given, target)
    finally:
        permissions.restore()


if __name__ == "__main__":
    print("\n" + json.dumps(main(*sys.argv[1:])))
