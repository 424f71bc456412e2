"""Looks after a running sandbox: whether all that runs in it together keeps within its limits."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path

from honk.model import Excess
from honk.workspace.allowance import Allowance, disk_full
from honk.workspace.cgroups import Group
from honk.workspace.usage import Folders, Inside

_TICK = 0.1
_SHARE = 20
"""A look that took a millisecond is taken again after so many at the earliest."""


class Watcher:
    """Of one sandbox, from its first process on. What the control group keeps is not counted here again.

    `look()` is to be called often: it is quick, and does nothing most of the time.
    """

    def __init__(self, first: int, allowed: Allowance, folders: Sequence[Path], group: Group | None) -> None:
        self._first = first
        self._allowed = allowed
        self._group = group
        self._counts_memory = group is None or "memory" not in group.folders
        self._folders = folders
        self._written: Folders | None = None
        self._inside: Inside | None = None
        self._seconds = 0.0
        self._nameless = 0
        self._next_look = self._next_details = self._next_files = self._next_memory = 0.0

    def look(self) -> Excess | None:
        """What there is too much of, if anything."""
        now = time.monotonic()
        if now < self._next_look:
            return None
        self._next_look = now + _TICK
        for question in (self.last, self._processes, self._disk):
            # Before it has quite begun, and when it is over, there is nothing to be seen.
            with contextlib.suppress(OSError):
                if (found := question()) is not None:
                    return found
        return None

    def last(self) -> Excess | None:
        """What the control group knows, also when the sandbox has ended by itself."""
        return self._group.look() if self._group else None

    def close(self) -> None:
        """Let go of the sandbox."""
        if self._inside:
            self._inside.close()

    def _processes(self) -> Excess | None:
        if self._inside is None:
            self._inside = Inside(self._first)
        began = time.monotonic()
        numbers = self._inside.numbers()
        # A fork bomb is not given the time that reading about each of its processes would take.
        if len(numbers) > self._allowed.processes:
            return self._allowed.exceeded("process limit", len(numbers))
        if began < self._next_details:
            return None
        processes = self._inside.processes(numbers)
        self._next_details = _after(began)
        threads = sum(process.threads for process in processes)
        if threads > self._allowed.processes:
            return self._allowed.exceeded("process limit", threads)
        # Ended processes count with whoever waited for them.
        self._seconds = max(self._seconds, sum(process.seconds for process in processes))
        if self._allowed.cpu_seconds and self._seconds > self._allowed.cpu_seconds:
            return self._allowed.exceeded("cpu limit", self._seconds)
        return self._memory(self._inside, numbers, sum(process.resident for process in processes))

    def _memory(self, inside: Inside, numbers: Sequence[str], resident: int) -> Excess | None:
        """The quick count takes what several processes share for as many; only if it is over, the exact one is made."""
        if not self._counts_memory:
            return None
        began = time.monotonic()
        if began >= self._next_files:
            self._nameless, _ = inside.nameless_files(numbers)
            self._next_files = _after(began)
        files = inside.files_in_memory() + self._nameless
        if resident + files <= self._allowed.memory or began < self._next_memory:
            return None
        anonymous, shared = inside.own_memory(numbers)
        self._next_memory = _after(began)
        used = anonymous + max(shared, files)
        return self._allowed.exceeded("memory limit", used) if used > self._allowed.memory else None

    def _disk(self) -> Excess | None:
        if self._written is None:
            self._written = Folders(self._folders, self._allowed.disk)
        if (left := self._written.room()) is not None:
            return disk_full(left)
        used = self._written.count()
        if used is None:
            return None
        if self._inside and used <= self._allowed.disk:
            used += self._inside.nameless_files(self._inside.numbers())[1]
        return self._allowed.exceeded("disk limit", used) if used > self._allowed.disk else None


def _after(began: float) -> float:
    return time.monotonic() + _SHARE * (time.monotonic() - began)
