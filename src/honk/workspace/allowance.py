"""What one sandbox may use, and the sentences for when it used more."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from honk.model import Excess, Limits, ResourceLimit
from honk.settings import Settings

_UNLIMITED = 1 << 60
"""What version 1 of the control groups says where there is no limit is above this."""


@dataclass(frozen=True)
class Allowance:
    """A command's limits with the installation's in their places. Bytes and seconds."""

    memory: int
    processes: int
    disk: int
    cpu_seconds: float | None
    open_files: int
    file_size: int

    def exceeded(self, limit: ResourceLimit, used: float = 0.0) -> Excess:
        """That `used` is more than the limit; 0 where nobody has counted."""
        match limit:
            case "memory limit":
                told, remedy = f"used more than {_size(self.memory)} of memory", "use less memory"
                setting, amount = "MEMORY", _size(used)
            case "process limit":
                told, remedy = f"had more than {self.processes} processes and threads", "start fewer at a time"
                setting, amount = "PROCESSES", f"{used:.0f}"
            case "disk limit":
                told, remedy = f"filled its folders with more than {_size(self.disk)}", "write less"
                setting, amount = "DISK", _size(used)
            case "cpu limit":
                told, remedy = f"used more than {self.cpu_seconds:g} s of processor time", "do less"
                setting, amount = "CPU_SECONDS", f"{used:.0f} s"
        counted = f" ({amount})" if used else ""
        return Excess(limit, f"It {told}{counted} and was ended: let it {remedy}, or raise HONK_SANDBOX_{setting}.")


def allowance(settings: Settings, limits: Limits) -> Allowance:
    """What a command with these limits may use."""
    return Allowance(
        memory=limits.memory or settings.sandbox_memory or machine_memory() * 3 // 4,
        processes=limits.processes or settings.sandbox_processes,
        disk=limits.disk or settings.sandbox_disk,
        cpu_seconds=limits.cpu_seconds or settings.sandbox_cpu_seconds,
        open_files=settings.sandbox_open_files,
        file_size=settings.sandbox_file_size,
    )


def disk_full(left: int) -> Excess:
    """That a sandbox has written until hardly anything was left on the machine's disk. `left` in bytes."""
    return Excess(
        "disk limit",
        f"It wrote until only {_size(left)} were left on this machine's disk and was ended: let it write less, or make "
        "room on the disk.",
    )


@cache
def machine_memory() -> int:
    """Bytes of memory that this process and its children can have at most."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(path).read_text().strip()
        except OSError:
            continue
        if text.isdigit() and int(text) < _UNLIMITED:
            found.append(int(text))
    return min(found)


def ulimits(allowed: Allowance, *, counting: bool = True) -> str:
    """The shell's words that limit each process by itself. Blocks of `ulimit -f` are 512 bytes (POSIX).

    Ordinary users' processes are counted for each user namespace since Linux 5.14, so this stops a fork bomb and
    nothing else; root's are never counted, and are left to the control group or the watcher. There is room above the
    limit, because these make programs fail in odd ways where the others say what happened. Without `counting` the
    number of processes is left to others: one user's are counted together over all containers.
    """
    processes = 2 * allowed.processes
    cpu = f"ulimit -t {int(allowed.cpu_seconds) + 1}; " if allowed.cpu_seconds else ""
    # Where memory runs out on the whole machine, the kernel is to end sandboxes and not Honk.
    return (
        f"echo 500 2>/dev/null >/proc/self/oom_score_adj; ulimit -c 0; {cpu}"
        f"ulimit -n {allowed.open_files} 2>/dev/null; ulimit -f {allowed.file_size // 512} 2>/dev/null; "
        # Shells disagree on the letter for the number of processes.
        + (f"ulimit -p {processes} 2>/dev/null || ulimit -u {processes} 2>/dev/null; " if counting else "")
    )


def _size(amount: float) -> str:
    for unit, size in (("GiB", 1024**3), ("MiB", 1024**2)):
        if amount >= size:
            return f"{amount / size:.4g} {unit}"
    return f"{amount / 1024:.4g} KiB"
