"""Run a program to its end, its time limit or a cancel, with bounded output, and leave nothing of it behind."""

from __future__ import annotations

import codecs
import contextlib
import os
import re
import select
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, Literal, Protocol

from honk.model import Completed, Excess, HonkError, Limits

NICE = 10
"""How far commands stand back for others."""


# The kernel ends a `--die-with-parent` child when the *thread* that started it ends, so all of them are
# started from one thread that lives as long as the process.
@cache
def _starter() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "honk-starter", initializer=_step_back)


def _step_back() -> None:
    """What this thread starts lets Honk and the person's own programs go first. Linux's priorities are threads' own."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)


os.register_at_fork(after_in_child=_starter.cache_clear)


def start(argv: Sequence[str], **given: Any) -> subprocess.Popen[bytes]:
    """As `subprocess.Popen`, from a thread that does not end before the process does.

    Raises `HonkError` if the program cannot be started.
    """

    def begin() -> subprocess.Popen[bytes]:
        return subprocess.Popen(argv, **given)

    try:
        return _starter().submit(begin).result()
    except OSError as error:
        raise HonkError(f"{argv[0]} cannot be started here: {error.strerror}.") from error


_SIGNS = (b"rror", b"FAIL", b"fatal", b"panic", b"Traceback", b"xception")
_NOTED = 1 << 16
_AROUND = 500


class Output:
    """Bytes as they come, decoded, of which the first and the last half of `limit` bytes are kept, and of what lies
    between them the first lines that say error, 64 KiB at most."""

    def __init__(self, limit: int, on_output: Callable[[str], None] | None) -> None:
        self._half = max(limit // 2, 1)
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = 0
        self._noted = bytearray()
        self._told = 0
        self._limit = limit
        self._on_output = on_output
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def add(self, data: bytes) -> None:
        space = self._half - len(self._head)
        self._head += data[:space]
        self._tail += data[max(space, 0) :]
        if len(self._tail) > 2 * self._half:
            self._trim()
        if self._on_output and self._told < self._limit and (text := self._decoder.decode(data)):
            self._told += len(data)
            self._on_output(text)

    def _trim(self) -> None:
        excess = len(self._tail) - self._half
        if excess > 0:
            self._dropped += excess
            self._note(bytes(self._tail[:excess]))
            del self._tail[:excess]

    def _note(self, dropped: bytes) -> None:
        room = min(_NOTED, self._half // 8)
        at = 0
        # Where each sign is next: looked for again only when it has been passed, so that all is read once.
        places = dict.fromkeys(_SIGNS, -1)
        while len(self._noted) < room and places:
            for sign, place in list(places.items()):
                if place < at:
                    places[sign] = dropped.find(sign, at)
                    if places[sign] < 0:
                        del places[sign]
            if places:
                found = min(places.values())
                begins = max(dropped.rfind(b"\n", 0, found) + 1, found - _AROUND, at)
                ends = dropped.find(b"\n", found, found + _AROUND)
                at = ends + 1 if ends >= 0 else min(found + _AROUND, len(dropped))
                self._noted += dropped[begins:at].rstrip(b"\n") + b"\n"

    def text(self) -> str:
        self._trim()
        if not self._dropped:
            return (self._head + self._tail).decode("utf-8", "replace")
        gap = f"\n… {self._dropped} bytes left out …\n"
        if self._noted:
            gap += f"{self._noted.decode('utf-8', 'replace')}…\n"
        return self._head.decode("utf-8", "replace") + gap + self._tail.decode("utf-8", "replace")


class Watching(Protocol):
    """Whoever knows when a process has used more than it may; asked often while it runs, and once when it is over."""

    def look(self) -> Excess | None: ...
    def last(self) -> Excess | None: ...


def follow(
    process: subprocess.Popen[bytes],
    limits: Limits,
    *,
    end: Callable[[], None],
    on_output: Callable[[str], None] | None = None,
    stop: Callable[[], bool] | None = None,
    watcher: Watching | None = None,
) -> Completed:
    """Follow a started process whose output is a pipe. `end` must end it and all it has started; it is always called.

    Exit code 124 stands for the time limit, 130 for a cancel, 137 for another limit, 128 + n for signal n.
    """
    if process.stdout is None:
        raise ValueError("the process must have been started with stdout=PIPE")
    output = Output(limits.output, on_output)
    began = time.monotonic()
    try:
        ended_by = _watch(process, process.stdout.fileno(), output, began + limits.seconds, stop, watcher)
    finally:
        end()
        process.wait()
    os.set_blocking(process.stdout.fileno(), False)
    # Everything that could write is gone, so what is left in the pipe is all there will be.
    while _read(process.stdout.fileno(), output):
        pass
    process.stdout.close()
    seconds = time.monotonic() - began
    code = process.returncode
    if ended_by == "itself" and code and watcher is not None:
        ended_by = watcher.last() or ended_by
    if isinstance(ended_by, Excess):
        return Completed(137, output.text(), seconds, ended_by.limit, excess=ended_by)
    exit_code = {"time limit": 124, "cancel": 130, "itself": code if code >= 0 else 128 - code}[ended_by]
    return Completed(exit_code, output.text(), seconds, ended_by)


def _watch(
    process: subprocess.Popen[bytes],
    pipe: int,
    output: Output,
    deadline: float,
    stop: Callable[[], bool] | None,
    watcher: Watching | None,
) -> Literal["itself", "time limit", "cancel"] | Excess:
    with selectors.DefaultSelector() as selector, contextlib.ExitStack() as stack:
        selector.register(pipe, selectors.EVENT_READ)
        if (handle := handle_of(process.pid)) is not None:
            stack.callback(os.close, handle)
            selector.register(handle, selectors.EVENT_READ)
        while process.poll() is None:
            left = deadline - time.monotonic()
            if left <= 0:
                return "time limit"
            if stop is not None and stop():
                return "cancel"
            if watcher is not None and (excess := watcher.look()) is not None:
                return excess
            for key, _ in selector.select(min(left, 0.1)):
                if key.fd == pipe and not _read(pipe, output):
                    selector.unregister(pipe)
    return "itself"


def _read(pipe: int, output: Output) -> bool:
    try:
        data = os.read(pipe, 1 << 16)
    except BlockingIOError:
        return False
    output.add(data)
    return bool(data)


def handle_of(pid: int) -> int | None:
    """A descriptor that stands for exactly this process and turns readable when it has ended; None if it is gone
    or the system has no such thing."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


def end_and_wait(handle: int, seconds: float = 10.0) -> None:
    """Kill the process behind `handle` and wait until the kernel has taken down all of its PID namespace."""
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    select.select([handle], [], [], seconds)


def end_family(process: subprocess.Popen[bytes], mark: str, seconds: float = 10.0) -> None:
    """Without a sandbox: end the process's group and, where /proc tells, whoever carries `mark` in the environment.

    Returns when they are gone, not when they have been told to go; after `seconds` in any case.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + seconds
    while (found := list(_marked(mark.encode()))) and time.monotonic() < deadline:
        for pid in found:
            if (handle := handle_of(pid)) is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
                continue
            try:
                # The number may have been given to another process since it was read.
                if _has_mark(pid, mark.encode()):
                    end_and_wait(handle, max(deadline - time.monotonic(), 0))
            finally:
                os.close(handle)


def end_orphans(program: Path) -> None:
    """End the first processes of sandboxes, started by a program below the folder `program`, that nobody set up.

    A sandbox ends with its starter; only a first process that still waits to be set up, by a starter that is killed at
    that very moment, waits for ever.
    """
    for folder in Path("/proc").glob("[0-9]*"):
        # Of hundreds of processes hardly any is one: only what is called like one is looked at closely.
        if not _is_called(folder, program) or (handle := handle_of(int(folder.name))) is None:
            continue
        try:
            status = (folder / "status").read_text()
            # First in a namespace of its own, and its starter is gone: system's first process is its parent now.
            orphan = re.search(r"^PPid:\t1$", status, re.MULTILINE) and re.search(
                r"^NSpid:.*\t1$", status, re.MULTILINE
            )
            # The number may have been given to another process since it was read.
            if orphan and _is_called(folder, program):
                end_and_wait(handle)
        except OSError:
            continue
        finally:
            os.close(handle)


def _is_called(process: Path, program: Path) -> bool:
    try:
        return (process / "cmdline").read_bytes().startswith(os.fsencode(program))
    except OSError:
        return False


def _marked(mark: bytes) -> Iterator[int]:
    for folder in Path("/proc").glob("[0-9]*"):
        if int(folder.name) != os.getpid() and _has_mark(int(folder.name), mark):
            yield int(folder.name)


def _has_mark(pid: int, mark: bytes) -> bool:
    """Whether the process carries `mark`; one that has ended carries nothing."""
    try:
        return mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
