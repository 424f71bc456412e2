"""What a running sandbox uses, counted from outside: its processes by its own /proc, its folders by walking them."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
_INODE = 1024
"""Bytes of the kernel's memory that an empty file in memory costs, about."""
_SMALLEST = 4096
"""Bytes that a file counts for at least, so that many empty ones come to an end, too."""
_SLICE = 2000
"""Files that are looked at in one go."""
_FIRST_WALK, _EVERY = 5.0, 30.0
"""Seconds until the first walk, and between those that nothing calls for."""
_RESERVE = 1024**3
_NOTABLE = 64 * 1024**2


@dataclass(frozen=True)
class Process:
    """One process as /proc/PID/stat has it: threads, seconds of processor time with its ended children's, and bytes
    of memory of which it may share some with others."""

    threads: int
    seconds: float
    resident: int


class Inside:
    """A sandbox's inside, seen through its first process. Raises `OSError` while or where it cannot be seen.

    Its own /proc lists its processes and no others, however many this machine has.
    """

    def __init__(self, first: int) -> None:
        self._root = Path(f"/proc/{first}/root")
        self._descriptor = os.open(self._root / "proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # Until its mounts are made, the first process still has this machine's.
            if os.fstat(self._descriptor).st_dev == Path("/proc").stat().st_dev:
                raise FileNotFoundError("the sandbox is not ready yet")
            os.stat("1", dir_fd=self._descriptor)
            self._folders = self._in_memory(first)
        except OSError:
            os.close(self._descriptor)
            raise

    def _in_memory(self, first: int) -> list[int]:
        """What stands for each file system in memory that is the sandbox's own and can be written."""
        found: dict[int, int] = {}
        for line in Path(f"/proc/{first}/mountinfo").read_text().splitlines():
            before, _, after = line.partition(" - ")
            top, place, options = before.split(" ")[3:6]
            # A part of one is bound from this machine, and its size is not the sandbox's doing.
            if after.split(" ")[0] != "tmpfs" or top != "/" or "rw" not in options.split(","):
                continue
            with suppress(OSError):
                descriptor = os.open(self._root / place[1:], os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                if found.setdefault(os.fstat(descriptor).st_dev, descriptor) != descriptor:
                    os.close(descriptor)
        return list(found.values())

    def close(self) -> None:
        """Let go of the sandbox's mounts."""
        for descriptor in (self._descriptor, *self._folders):
            os.close(descriptor)

    def numbers(self) -> list[str]:
        """The ids of all processes, as the sandbox knows them."""
        names = os.listdir(self._descriptor)  # noqa: PTH208  pathlib knows no descriptors
        return [name for name in names if name.isdigit()]

    def processes(self, numbers: Sequence[str]) -> list[Process]:
        """Those of the processes that still live."""
        found = []
        for number in numbers:
            # The name comes second and may hold anything, so what counts is behind its last bracket.
            values = self._text(f"{number}/stat").rpartition(b")")[2].split()
            if len(values) > 21:
                seconds = sum(map(int, values[11:15])) / _TICKS
                found.append(Process(int(values[17]), seconds, int(values[21]) * _PAGE))
        return found

    def files_in_memory(self) -> int:
        """Bytes in /tmp, /dev/shm and the like, with what their inodes cost."""
        total = 0
        for descriptor in self._folders:
            facts = os.statvfs(descriptor)
            total += (facts.f_blocks - facts.f_bfree) * facts.f_frsize
            total += (facts.f_files - facts.f_ffree) * _INODE
        return total

    def own_memory(self, numbers: Sequence[str]) -> tuple[int, int]:
        """Bytes that the processes hold together, what they share counted once: anonymous, and shared as files in
        memory are. It walks their page tables, which takes about a millisecond for each 100 MB."""
        anonymous = shared = 0
        for number in numbers:
            for line in self._text(f"{number}/smaps_rollup").splitlines():
                if line.startswith(b"Pss_Anon:"):
                    anonymous += int(line.split()[1]) * 1024
                elif line.startswith(b"Pss_Shmem:"):
                    shared += int(line.split()[1]) * 1024
        return anonymous, shared

    def nameless_files(self, numbers: Sequence[str]) -> tuple[int, int]:
        """Bytes in open files without a name, which no walk finds: in memory (memfd), and on disk (deleted ones)."""
        memory = disk = 0
        seen = set()
        shared = {os.fstat(descriptor).st_dev for descriptor in self._folders}
        for number in numbers:
            try:
                folder = os.open(f"{number}/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._descriptor)
            except OSError:
                continue
            try:
                for name in os.listdir(folder):  # noqa: PTH208
                    facts = _stat(name, folder)
                    if facts is None or facts.st_nlink or not stat.S_ISREG(facts.st_mode):
                        continue
                    place = (facts.st_dev, facts.st_ino)
                    if place in seen or facts.st_dev in shared:
                        continue
                    seen.add(place)
                    if os.readlink(name, dir_fd=folder).startswith("/memfd:"):
                        memory += facts.st_blocks * 512
                    else:
                        disk += facts.st_blocks * 512
            except OSError:
                continue
            finally:
                os.close(folder)
        return memory, disk

    def _text(self, path: str) -> bytes:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._descriptor)
        except OSError:
            return b""
        try:
            return os.read(descriptor, 1 << 16)
        except OSError:
            return b""
        finally:
            os.close(descriptor)


def _stat(name: str, folder: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder)
    except OSError:
        return None


class Folders:
    """How much some folders on disk hold, by blocks, so that holes in files are free.

    Walking is slow and the disk is quick to ask. So they are walked, a slice at a time, when the disk has become fuller
    by a good part of what the limit leaves, and now and then besides.
    """

    def __init__(self, folders: Sequence[Path], limit: int) -> None:
        self._folders = [folder for folder in folders if folder.is_dir()]
        self._limit = limit
        self._disks = [next(found) for _, found in groupby(sorted(self._folders, key=_device), _device)]
        self._at_first = self._before = self._used()
        self._left = limit
        self._walk: Iterator[int | None] | None = None
        self._due = time.monotonic() + _FIRST_WALK
        self._cost = 0.0

    def count(self) -> int | None:
        """Go on counting for a slice of time. The bytes, once a count is complete or is over the limit."""
        if self._walk is None:
            if self._grown_since(self._before) < self._left // 4 and time.monotonic() < self._due:
                return None
            self._before, self._cost = self._used(), 0.0
            self._walk = _walk(self._folders, self._limit)
        began = time.monotonic()
        counted = next(self._walk)
        self._cost += time.monotonic() - began
        if counted is not None:
            self._walk = None
            self._left = max(self._limit - counted, 0)
            self._due = time.monotonic() + max(_EVERY, 50 * self._cost)
        return counted

    def room(self) -> int | None:
        """The bytes left on the disk if that is hardly anything, and it was more when this began."""
        for folder in self._disks:
            facts = os.statvfs(folder)
            left = facts.f_bavail * facts.f_frsize
            if left < min(_RESERVE, facts.f_blocks * facts.f_frsize // 50):
                return left if self._grown_since(self._at_first) > _NOTABLE else None
        return None

    def _used(self) -> list[tuple[int, int]]:
        facts = [os.statvfs(folder) for folder in self._disks]
        return [((one.f_blocks - one.f_bfree) * one.f_frsize, one.f_files - one.f_ffree) for one in facts]

    def _grown_since(self, before: list[tuple[int, int]]) -> int:
        pairs = zip(self._used(), before, strict=True)
        return max((max(now[0] - then[0], (now[1] - then[1]) * _SMALLEST) for now, then in pairs), default=0)


def _device(folder: Path) -> int:
    return folder.stat().st_dev


def _walk(folders: Sequence[Path], limit: int) -> Iterator[int | None]:
    """None after each slice, the bytes at the end. Links are not followed; what is hard to read counts for nothing."""
    total = seen = 0
    linked = set()
    waiting = list(map(str, folders))
    while waiting:
        try:
            entries = os.scandir(waiting.pop())
        except OSError:
            continue
        with entries:
            for entry in entries:
                seen += 1
                if seen % _SLICE == 0:
                    if total > limit:
                        yield total
                    yield None
                try:
                    facts = entry.stat(follow_symlinks=False)
                except OSError:
                    continue
                if stat.S_ISDIR(facts.st_mode):
                    waiting.append(entry.path)
                elif facts.st_nlink > 1:
                    if (facts.st_dev, facts.st_ino) in linked:
                        continue
                    linked.add((facts.st_dev, facts.st_ino))
                total += max(facts.st_blocks * 512, _SMALLEST)
    yield total
