"""Runs inside a container as its first process: takes one command over its standard input and carries everything of it.

It speaks as `streams` says: F puts files there or fetches what changed, S starts the command, K ends it, O opens a
connection (out of the container by the stream's words, a port), R says that a port is listened on, Q how the command
ended, W why something cannot be done. The end of its input is the end of it, and with the first process of a PID
namespace goes everything else in it: so nothing outlives whoever started this, not even when that is killed. Standard
library only.
"""

from __future__ import annotations

import base64
import ctypes
import json
import os
import re
import signal
import socket
import struct
import subprocess
import tarfile
import threading
import time
from typing import Any

from honk.workspace.containers.streams import Broken, Reader, Stream, Streams, Writer, join

_PROXIES = re.compile(r"(https?|ftp|all|no)_proxy", re.IGNORECASE)
_MOST_CONNECTIONS = 1000
_TICK = 0.1
_CLOCK = 0.02
"""Seconds in which the clock that files are stamped by moves on, so that whatever comes later shows."""

# prctl(2)
_SET_DUMPABLE, _SET_SECCOMP, _SET_NO_NEW_PRIVILEGES, _FILTER = 4, 22, 38, 2


def _harden(filtering: bytes) -> None:
    """Nobody of the same user can look into or trace this process, and it and all it starts are filtered."""
    library = ctypes.CDLL(None, use_errno=True)

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]

    calls: list[tuple[Any, ...]] = [(_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0), (_SET_DUMPABLE, 0, 0, 0, 0)]
    program = Program(len(filtering) // 8, filtering)
    if filtering:
        calls.append((_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0))
    for call in calls:
        if library.prctl(*call):
            raise OSError(ctypes.get_errno(), "the system-call filter was refused")


def _number(path: str, name: str = "") -> int:
    """What a file of the control group says, behind the name if one is given; 0 where it says nothing."""
    try:
        with open(path) as file:
            text = file.read()
    except OSError:
        return 0
    found = re.search(rf"^{name}\s*(\d+)", text, re.MULTILINE)
    return int(found[1]) if found else 0


class _Counts:
    """What the container's control group, of either version, has counted: only what is new since this was made."""

    def __init__(self) -> None:
        self._before = (0, 0, 0.0)
        self._before = self.now()

    def now(self) -> tuple[int, int, float]:
        """Processes ended for want of memory, processes refused, and seconds of processor time."""
        root = "/sys/fs/cgroup"
        killed = _number(f"{root}/memory.events", "oom_kill") + _number(f"{root}/memory/memory.oom_control", "oom_kill")
        refused = _number(f"{root}/pids.events", "max") + _number(f"{root}/pids/pids.events", "max")
        seconds = _number(f"{root}/cpu.stat", "usage_usec") / 1e6 + _number(f"{root}/cpuacct/cpuacct.usage") / 1e9
        before = self._before
        return killed - before[0], refused - before[1], seconds - before[2]


def _processes() -> int:
    """How many processes there are besides this one."""
    return sum(name.isdigit() for name in os.listdir("/proc")) - 1


class _Disk:
    """How much some folders hold. A walk that took a while is not made again for twenty times as long."""

    def __init__(self, folders: list[str]) -> None:
        self._folders = folders
        self._due = 0.0

    def used(self) -> int:
        """Bytes; 0 while nobody has counted anew."""
        began = time.monotonic()
        if began < self._due:
            return 0
        total, waiting = 0, list(self._folders)
        while waiting:
            try:
                with os.scandir(waiting.pop()) as entries:
                    for entry in entries:
                        total += max(entry.stat(follow_symlinks=False).st_blocks * 512, 4096)
                        if entry.is_dir(follow_symlinks=False):
                            waiting.append(entry.path)
            except OSError:
                continue
        self._due = time.monotonic() + 20 * (time.monotonic() - began)
        return total


class _Init:
    def __init__(self) -> None:
        source, sink = os.fdopen(os.dup(0), "rb"), os.dup(1)
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        os.dup2(nothing, 1)

        def write(data: bytes) -> None:
            left = memoryview(data)
            while left:
                left = left[os.write(sink, left) :]

        self._streams = Streams(source.read, write, 4)
        self._first = os.getpid() == 1
        self._known: dict[str, dict[str, tuple[int, int]]] = {}
        self._excess: tuple[str, float] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def serve(self) -> None:
        try:
            self._streams.serve(self._heard)
        except Broken:
            pass
        self._end_all()
        os._exit(0)

    def _heard(self, kind: bytes, number: int, payload: bytes) -> None:
        if kind == b"K":
            threading.Thread(target=self._end_all, daemon=True).start()
        work = {b"F": self._files, b"S": self._start, b"O": self._come_in}.get(kind)
        if kind == b"S":
            for standard in (1, 2, 3):
                self._streams.stream(standard)  # before anything of theirs comes
        if work:
            stream = self._streams.stream(number) if number else None
            threading.Thread(target=self._try, args=(work, json.loads(payload), stream), daemon=True).start()

    def _try(self, work: Any, words: Any, stream: Stream | None) -> None:
        try:
            work(words, stream)
        except (OSError, ValueError, tarfile.TarError, KeyError) as error:
            self._streams.say(b"W", 0, f"{type(error).__name__}: {error}".encode())

    # -- the command -------------------------------------------------------------------------------------------------

    def _start(self, words: dict[str, Any], _: Stream | None) -> None:
        _harden(base64.b64decode(words["filters"].get(os.uname().machine, "")))
        own = {name: value for name, value in os.environ.items() if not _PROXIES.fullmatch(name)}
        environment = own | words["environment"]
        if words["path"]:
            environment["PATH"] = f"{words['path']}:{environment.get('PATH', os.defpath)}"
        for port in words["reaches"]:
            listener = socket.create_server(("127.0.0.1", port), backlog=128)
            threading.Thread(target=self._let_out, args=(listener, port), daemon=True).start()
        for port in words["serves"]:
            threading.Thread(target=self._wait_for, args=(port,), daemon=True).start()
        counts = _Counts()
        try:
            self._process = subprocess.Popen(
                words["argv"],
                env=environment,
                cwd=words["directory"],
                stdin=subprocess.PIPE if words["interactive"] else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE if words["interactive"] else subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            self._streams.stream(1).send(f"{words['argv'][0]}: {error.strerror}\n".encode())
            self._streams.stream(1).end()
            self._streams.stream(2).end()
            self._streams.say(b"Q", 0, json.dumps({"code": 127, "excess": None}).encode())
            return
        self._streams.say(b"B")
        pipes = [(self._process.stdout, 1), (self._process.stderr, 2)]
        carriers = [
            threading.Thread(target=self._carry, args=(pipe, number), daemon=True) for pipe, number in pipes if pipe
        ]
        for carrier in carriers:
            carrier.start()
        if self._process.stdin:
            threading.Thread(target=self._feed, args=(self._process.stdin,), daemon=True).start()
        disk = _Disk(words["written"])
        threading.Thread(target=self._watch, args=(counts, disk, words["limits"]), daemon=True).start()
        code = self._wait(self._process.pid)
        self._note(counts.now(), words["limits"])
        self._end_all()
        while self._first and self._reaped():
            self._end_all()
        for carrier in carriers:
            carrier.join()
        self._streams.say(b"Q", 0, json.dumps({"code": code, "excess": self._excess}).encode())

    def _wait(self, wanted: int) -> int:
        """The exit code of the command; children of others that end meanwhile are let go of."""
        while True:
            pid, status = os.wait() if self._first else os.waitpid(wanted, 0)
            if pid == wanted:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code

    def _end_all(self) -> None:
        """Kill everything but this. Of a PID namespace's first process, `-1` means all the others in it."""
        try:
            if self._first:
                os.kill(-1, signal.SIGKILL)
            elif self._process:
                os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def _reaped(self) -> bool:
        """Wait for one process to be gone; False if there is none."""
        try:
            os.wait()
        except ChildProcessError:
            return False
        return True

    def _watch(self, counts: _Counts, disk: _Disk, limits: dict[str, Any]) -> None:
        while self._excess is None:
            time.sleep(_TICK)
            self._note(counts.now(), limits)
            if (processes := _processes()) > limits["processes"]:
                self._excess = self._excess or ("process limit", processes)
            if (used := disk.used()) > limits["disk"]:
                self._excess = self._excess or ("disk limit", used)
        self._end_all()

    def _note(self, now: tuple[int, int, float], limits: dict[str, Any]) -> None:
        killed, refused, seconds = now
        if self._excess is None and killed > 0:
            self._excess = ("memory limit", 0.0)
        elif self._excess is None and refused > 0:
            self._excess = ("process limit", 0.0)
        elif self._excess is None and limits["cpu_seconds"] and seconds > limits["cpu_seconds"]:
            self._excess = ("cpu limit", seconds)

    def _carry(self, pipe: Any, number: int) -> None:
        stream = self._streams.stream(number)
        try:
            while data := os.read(pipe.fileno(), 1 << 16):
                stream.send(data)
        except (OSError, Broken):
            pass
        stream.end()

    def _feed(self, pipe: Any) -> None:
        stream = self._streams.stream(3)
        try:
            while data := stream.receive():
                pipe.write(data)
                pipe.flush()
            pipe.close()
        except OSError:
            stream.give_up()

    # -- connections -------------------------------------------------------------------------------------------------

    def _let_out(self, listener: socket.socket, port: int) -> None:
        while True:
            connection, _ = listener.accept()
            if self._streams.count() > _MOST_CONNECTIONS:
                connection.close()
                continue
            stream = self._streams.open(json.dumps(port).encode())
            threading.Thread(target=join, args=(stream, connection), kwargs={"asks": True}, daemon=True).start()

    def _wait_for(self, port: int) -> None:
        while True:
            with socket.socket() as tried:
                if tried.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        self._streams.say(b"R", port)

    def _come_in(self, port: int, stream: Stream | None) -> None:
        if stream is None:
            return
        try:
            connection = socket.create_connection(("127.0.0.1", port))
        except OSError:
            stream.give_up()
            return
        join(stream, connection, asks=False)

    # -- files -------------------------------------------------------------------------------------------------------

    def _files(self, words: dict[str, Any], stream: Stream | None) -> None:
        if stream is None:
            return
        try:
            if words["put"]:
                self._put(words["folder"], stream, keep=words["writable"])
            else:
                self._get(words["folder"], stream)
        except (OSError, tarfile.TarError, Broken):
            stream.give_up()
            raise

    def _put(self, folder: str, stream: Stream, *, keep: bool) -> None:
        os.makedirs(folder, exist_ok=True)
        with tarfile.open(fileobj=Reader(stream), mode="r|") as archive:  # type: ignore[call-overload]
            # Honk says what is in it; Python 3.14 refuses much by default.
            trust = {"filter": "fully_trusted"} if hasattr(tarfile, "data_filter") else {}
            archive.extractall(folder, **trust)  # noqa: S202
        while stream.receive():
            pass
        if keep:
            time.sleep(_CLOCK)
            self._known[folder] = _state(folder)
        stream.end()

    def _get(self, folder: str, stream: Stream) -> None:
        """Send what is not as it was put there: first the paths that are gone, then the rest as an archive."""
        before, now = self._known.get(folder, {}), _state(folder)
        gone = json.dumps([path for path in before if path not in now]).encode("ascii")
        stream.send(struct.pack("!I", len(gone)) + gone)
        changed = sorted(path for path, facts in now.items() if before.get(path) != facts)
        with tarfile.open(fileobj=Writer(stream), mode="w|", format=tarfile.PAX_FORMAT) as archive:  # type: ignore[call-overload]
            for path in changed:
                archive.inodes.clear()  # each file by itself, no links among them
                try:
                    archive.add(os.path.join(folder, path), path, recursive=False)
                except OSError:
                    continue
        self._known[folder] = now
        stream.end()


def _state(folder: str) -> dict[str, tuple[int, int]]:
    """What tells a file that was touched: its number, and the time of its last change, which nobody can set."""
    found: dict[str, tuple[int, int]] = {}
    waiting = [""]
    while waiting:
        place = waiting.pop()
        try:
            entries = list(os.scandir(os.path.join(folder, place)))
        except OSError:
            continue
        for entry in entries:
            path = os.path.join(place, entry.name)
            try:
                facts = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            folder_too = entry.is_dir(follow_symlinks=False)
            found[path] = (facts.st_ino, facts.st_mode if folder_too else facts.st_ctime_ns)
            if folder_too:
                waiting.append(path)
    return found


if __name__ == "__main__":
    _Init().serve()
