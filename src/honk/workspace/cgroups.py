"""Control groups, where this process may make some below its own: limits of a sandbox that the kernel itself keeps.

Both versions are read as `cgroups(7)` describes them: a controller is either in the one hierarchy of version 2, where
it has to be handed down to us, or has a hierarchy of its own in version 1.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from honk.model import Excess
from honk.workspace.allowance import Allowance

CONTROLLERS = ("memory", "pids")
_NAME = re.compile(r"honk-(\d+)-[0-9a-f]+")
_FILES = {
    ("memory", 1): "memory.limit_in_bytes",
    ("memory", 2): "memory.max",
    ("pids", 1): "pids.max",
    ("pids", 2): "pids.max",
}
"""What a controller's limit is written into, by version."""
_OWN = "honk"
"""The group that Honk itself moves into, where it has to make room for others beside it."""


@dataclass(frozen=True)
class Place:
    """A folder in which groups with this controller can be made."""

    folder: Path
    version: int


@dataclass(frozen=True)
class Group:
    """A group for one sandbox, by the controllers that were to be had."""

    folders: Mapping[str, Path]
    versions: Mapping[str, int]
    allowed: Allowance

    @property
    def entrances(self) -> list[str]:
        """The files into which a process that enters the group writes 0."""
        return [str(folder / "cgroup.procs") for folder in dict.fromkeys(self.folders.values())]

    def look(self) -> Excess | None:
        """What the kernel has refused to the group or ended in it since it was made."""
        if "memory" in self.folders:
            name = "memory.events" if self.versions["memory"] == 2 else "memory.oom_control"
            if _count(self.folders["memory"] / name, "oom_kill"):
                return self.allowed.exceeded("memory limit")
        if "pids" in self.folders and _count(self.folders["pids"] / "pids.events", "max"):
            return self.allowed.exceeded("process limit")
        return None

    def remove(self) -> None:
        """Remove the group, once everything in it has ended."""
        for folder in dict.fromkeys(self.folders.values()):
            deadline = time.monotonic() + 2
            while not _removed(folder) and time.monotonic() < deadline:
                time.sleep(0.01)


def group(allowed: Allowance) -> Group | None:
    """A new group with the limits of memory and processes; None where none can be made."""
    folders: dict[str, Path] = {}
    versions: dict[str, int] = {}
    name = f"honk-{os.getpid()}-{secrets.token_hex(6)}"
    for controller, place in places().items():
        folder = place.folder / name
        with contextlib.suppress(OSError):
            folder.mkdir(exist_ok=True)
            _limit(folder, controller, place.version, allowed)
            folders[controller], versions[controller] = folder, place.version
    return Group(folders, versions, allowed) if folders else None


@cache
def places() -> Mapping[str, Place]:
    """Where groups can be made, by controller. Tried for real, once a process."""
    found = {}
    for controller in CONTROLLERS:
        for place in _candidates(controller):
            if _usable(place, controller):
                _sweep(place.folder)
                found[controller] = place
                break
    return found


def _candidates(controller: str) -> Iterator[Place]:
    mounts = _mounts()
    for line in _lines(Path("/proc/self/cgroup")):
        _, names, path = line.split(":", 2)
        if controller in names.split(","):
            yield from (Place(mount / path[1:], 1) for mount in mounts.get(controller, ()))
        elif names == "":
            for mount in mounts.get("", ()):
                folder = mount / path[1:]
                yield Place(folder.parent if folder.name == _OWN else folder, 2)


def _mounts() -> dict[str, list[Path]]:
    """Mounted hierarchies by controller, those of version 2 under the empty name."""
    found: dict[str, list[Path]] = {}
    for line in _lines(Path("/proc/self/mountinfo")):
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        where = Path(before.split(" ")[4])
        if kind == "cgroup2":
            found.setdefault("", []).append(where)
        elif kind == "cgroup":
            for name in options.split(","):
                found.setdefault(name, []).append(where)
    return found


def _usable(place: Place, controller: str) -> bool:
    try:
        if place.version == 2 and controller not in _words(place.folder / "cgroup.subtree_control"):
            if controller not in _words(place.folder / "cgroup.controllers"):
                return False
            _hand_down(place.folder, controller)
        tried = place.folder / f"honk-{os.getpid()}-{secrets.token_hex(6)}"
        tried.mkdir()
    except OSError:
        return False
    try:
        wanted = _FILES[controller, place.version]
        enter = ["/bin/sh", "-c", 'echo 0 >"$1"', "sh", str(tried / "cgroup.procs")]
        # To be allowed to write the file is not yet to be allowed to move into the group.
        entered = subprocess.run(enter, capture_output=True, check=False).returncode == 0
        return entered and os.access(tried / wanted, os.W_OK)
    finally:
        _removed(tried)


def _hand_down(folder: Path, controller: str) -> None:
    """Let groups below `folder` have the controller. Raises `OSError` where that cannot be.

    In version 2 a group with processes hands nothing down, so this process moves into one of its own, if it is alone
    as it is in a service with `Delegate=yes`.
    """
    control = folder / "cgroup.subtree_control"
    try:
        control.write_text(f"+{controller}")
    except OSError:
        if _words(folder / "cgroup.procs") != [str(os.getpid())]:
            raise
        own = folder / _OWN
        own.mkdir(exist_ok=True)
        (own / "cgroup.procs").write_text("0")
        control.write_text(f"+{controller}")


def _limit(folder: Path, controller: str, version: int, allowed: Allowance) -> None:
    if controller == "pids":
        (folder / "pids.max").write_text(str(allowed.processes))
    elif version == 2:
        (folder / "memory.max").write_text(str(allowed.memory))
        with contextlib.suppress(OSError):
            (folder / "memory.oom.group").write_text("1")
            (folder / "memory.swap.max").write_text("0")
    else:
        (folder / "memory.limit_in_bytes").write_text(str(allowed.memory))
        with contextlib.suppress(OSError):
            (folder / "memory.memsw.limit_in_bytes").write_text(str(allowed.memory))


def _sweep(folder: Path) -> None:
    """Remove the groups of processes that no longer live."""
    for left in folder.glob("honk-*"):
        owner = _NAME.fullmatch(left.name)
        if owner and not Path("/proc", owner[1]).exists():
            _removed(left)


def _removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _count(path: Path, name: str) -> int:
    for line in _lines(path):
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return 0


def _words(path: Path) -> list[str]:
    return path.read_text().split()


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
