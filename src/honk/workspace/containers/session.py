"""One command in a container, spoken to through the container's first process (`init`), whatever runs the container.

What comes back was written by whoever is inside and is taken as that: streams may only be opened to the ways out that
the command has, and no more of them, and no more at a time, than is sensible.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import posixpath
import queue
import select
import socket
import tarfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import IO, Any, Literal, Protocol, cast

from honk.model import Completed, Excess, HonkError, Limits
from honk.workspace import seccomp
from honk.workspace.allowance import Allowance
from honk.workspace.containers.give_back import lay_out, remove
from honk.workspace.containers.streams import LONGEST_WORDS, Broken, Reader, Stream, Streams, Writer, join
from honk.workspace.processes import Output, Watching

_STARTING_SECONDS = 600.0
"""For a container to begin, its image being there."""
_ENDING_SECONDS = 30.0
_MOST_CONNECTIONS = 1000
_TICK = 0.1


class Link(Protocol):
    """A container that runs, by the standard streams of its first process."""

    def read(self, size: int) -> bytes:
        """Exactly so many bytes, fewer at the end."""
        ...

    def write(self, data: bytes) -> object: ...

    def end(self) -> None:
        """The container and all in it is gone when this returns. May be called again."""
        ...

    def words(self) -> str:
        """Why there is no container, in the words of what should run it."""
        ...


@dataclass(frozen=True)
class Folder:
    """A folder, or a file, of this machine by its path inside; what is writable comes back."""

    outside: Path
    inside: str
    writable: bool


@dataclass(frozen=True)
class Start:
    """What the first process is told to run. Paths are those inside."""

    argv: Sequence[str]
    environment: Mapping[str, str]
    directory: str
    allowed: Allowance
    path: str = ""
    """What goes in front of the image's own PATH."""
    sockets: Mapping[int, Path] = field(default_factory=dict)
    """Ports of the loopback inside, and where they lead outside."""
    serves: Mapping[int, int] = field(default_factory=dict)
    """As `model.Command.serves`."""
    interactive: bool = False
    folders: Sequence[Folder] = ()
    """What a container that does not have this machine's disk is given a copy of."""

    def words(self) -> bytes:
        return json.dumps(
            {
                "argv": list(self.argv),
                "environment": dict(self.environment),
                "directory": self.directory,
                "path": self.path,
                "reaches": list(self.sockets),
                "serves": list(self.serves),
                "interactive": self.interactive,
                "filters": _filters(),
                "limits": {
                    "cpu_seconds": self.allowed.cpu_seconds,
                    "processes": self.allowed.processes,
                    "disk": self.allowed.disk,
                },
                "written": [folder.inside for folder in self.folders if folder.writable],
            }
        ).encode()


@cache
def _filters() -> dict[str, str]:
    """By the kind of machine that the container turns out to be on."""
    programs = {machine: seccomp.program(nested=False, machine=machine) for machine in ("x86_64", "aarch64")}
    return {machine: base64.b64encode(program).decode() for machine, program in programs.items()}


@cache
def program() -> Sequence[str]:
    """The arguments for Python, inside, that make it `init`: an image needs nothing of Honk's in it."""
    here = Path(__file__).parent
    name = "honk.workspace.containers.streams"
    lines = (
        "import sys, types",
        f"m = types.ModuleType({name!r})",
        f"sys.modules[{name!r}] = m",
        f"exec({(here / 'streams.py').read_text()!r}, m.__dict__)",
        f"exec(compile({(here / 'init.py').read_text()!r}, 'init', 'exec'))",
    )
    return ("-I", "-S", "-c", "\n".join(lines))


class Session:
    """Speaks to one container. Raises `HonkError` where it does not answer as it should."""

    def __init__(self, link: Link, start: Start) -> None:
        self._link = link
        self._start = start
        self.streams = Streams(link.read, link.write, 5)
        self._ended: queue.Queue[dict[str, Any]] = queue.Queue(1)
        self._trouble: list[str] = []
        self._begun = False
        self._fetching = threading.Lock()
        self.over = threading.Event()
        """Nothing more will come."""
        self._reader = threading.Thread(target=self._read, name="honk-container", daemon=True)
        self._reader.start()

    def begin(self) -> None:
        """Start the command, when its files are there."""
        # The innermost first: what lies over something else is there before that is closed.
        for folder in sorted(self._start.folders, key=lambda one: one.inside, reverse=True):
            self._give(folder)
        with contextlib.suppress(Broken):
            self.streams.say(b"S", 0, self._start.words())

    def stop(self) -> None:
        """End the command; the container stays until it is closed."""
        with contextlib.suppress(Broken, queue.Empty):
            self.streams.say(b"K")
            self._ended.put(self._ended.get(timeout=_ENDING_SECONDS))

    def fetch(self) -> None:
        """Bring what has been written since the last time back into the folders outside. May be called while the
        command runs."""
        with self._fetching:
            for folder in self._start.folders:
                if folder.writable and not self.over.is_set():
                    self._take(folder)

    def _give(self, folder: Folder) -> None:
        inside = folder.inside if folder.outside.is_dir() else posixpath.dirname(folder.inside)
        over = {one.inside for one in self._start.folders} - {folder.inside}
        fit = partial(_as_it_may_be, inside, over, folder.writable)
        words = {"put": True, "folder": inside, "writable": folder.writable}
        if not os.path.lexists(folder.outside):
            raise HonkError(f"The container could not start: {folder.outside} cannot be read.")
        try:
            stream = self.streams.open(json.dumps(words).encode(), kind=b"F")
            with tarfile.open(fileobj=cast(IO[bytes], Writer(stream)), mode="w|", format=tarfile.PAX_FORMAT) as archive:
                if folder.outside.is_dir():
                    for place in sorted(folder.outside.iterdir()):
                        archive.add(place, place.name, filter=fit)
                else:
                    archive.add(folder.outside.resolve(), posixpath.basename(folder.inside), filter=fit)
            stream.end()
            while stream.receive():
                pass
        except Broken:
            raise self.refusal() from None
        except OSError as error:
            raise HonkError(f"The files of the sandbox cannot be read: {error}.") from error

    def _take(self, folder: Folder) -> None:
        stream = self.streams.open(json.dumps({"put": False, "folder": folder.inside}).encode(), kind=b"F")
        source = Reader(stream)
        root = os.open(folder.outside, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            size = int.from_bytes(source.read(4), "big")
            if size > LONGEST_WORDS * 4:
                raise HonkError("The container gave a list back that is too long.")
            gone = json.loads(source.read(size) or b"[]")
            remove(root, [path for path in gone if isinstance(path, str)])
            lay_out(root, cast(IO[bytes], source), 2 * self._start.allowed.disk)
        except (json.JSONDecodeError, TypeError, OSError) as error:
            raise HonkError(f"The files of the sandbox could not be brought back: {error}.") from error
        finally:
            os.close(root)
            stream.give_up()

    def outcome(self, seconds: float) -> tuple[int, Excess | None] | None:
        """How the command ended: its exit code, and the limit it went over; None if it has not, after so long."""
        try:
            told = self._ended.get(timeout=seconds)
        except queue.Empty:
            if not (self.over.is_set() and self._ended.empty()):
                return None
            raise self.refusal() from None
        try:
            limit = told["excess"]
            found = self._start.allowed.exceeded(limit[0], float(limit[1])) if limit else None
            return int(told["code"]) & 0xFF, found
        except (KeyError, TypeError, ValueError, IndexError, UnboundLocalError) as error:
            raise HonkError("The container did not say how its command ended.") from error

    def refusal(self) -> HonkError:
        """Why the container does not go on."""
        told = "; ".join(self._trouble) or self._link.words() or "no reason given"
        if self._begun:
            return HonkError(f"The container was ended from outside before its command was done ({told}): try again.")
        return HonkError(f"The container could not start: {told.rstrip('.')}.")

    def close(self) -> None:
        """The container is gone afterwards."""
        self._link.end()
        self._reader.join(_ENDING_SECONDS)

    def _read(self) -> None:
        try:
            self.streams.serve(self._heard)
        except Broken:
            self._trouble.append("it said what makes no sense")
        finally:
            self.over.set()

    def _heard(self, kind: bytes, number: int, payload: bytes) -> None:
        if kind == b"B":
            self._begun = True
        elif kind == b"W":
            self._trouble.append(payload[:1000].decode("utf-8", "replace"))
            if not self._begun:
                self._link.end()
        elif kind == b"Q" and self._ended.empty():
            told = json.loads(payload)
            self._ended.put(told if isinstance(told, dict) else {})
        elif kind == b"O":
            self._let_out(number, payload)
        elif kind == b"R" and number in self._start.serves:
            threading.Thread(target=self._let_in, args=(number,), daemon=True).start()

    def _let_out(self, number: int, payload: bytes) -> None:
        stream = self.streams.stream(number)
        place = self._start.sockets.get(int(payload)) if payload.isdigit() else None
        if place is None or self.streams.count() > _MOST_CONNECTIONS:
            stream.give_up()
            return
        threading.Thread(target=_connect, args=(stream, place), daemon=True).start()

    def _let_in(self, port: int) -> None:
        """The first connection is told that the command listens; see `model.Command.serves`."""
        with socket.socket(fileno=os.dup(self._start.serves[port])) as listener:
            told = False
            while not self.over.is_set():
                if not select.select([listener], [], [], _TICK)[0]:
                    continue
                connection, _ = listener.accept()
                with contextlib.suppress(OSError, Broken):
                    if told:
                        joined = (self.streams.open(str(port).encode()), connection)
                        threading.Thread(target=join, args=joined, kwargs={"asks": True}, daemon=True).start()
                        continue
                    told = True
                    connection.sendall(b"ready")
                connection.close()


def _as_it_may_be(inside: str, over: set[str], writable: bool, member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Whose a file is here means nothing there; left out is what is no file, and what something else lies `over`."""
    if posixpath.join(inside, member.name) in over:
        return None
    member.mode &= 0o777 if writable else 0o555
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member if member.isreg() or member.isdir() or member.issym() or member.islnk() else None


def _connect(stream: Stream, place: Path) -> None:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(place))
    except OSError:
        stream.give_up()
        connection.close()
        return
    join(stream, connection, asks=False)


def follow(
    session: Session,
    limits: Limits,
    *,
    on_output: Callable[[str], None] | None,
    stop: Callable[[], bool] | None,
    watcher: Watching | None,
) -> Completed:
    """Run the session's command to its end; as `processes.follow`.

    Raises `HonkError` if the container cannot start or is ended by somebody else.
    """
    output = Output(limits.output, on_output)
    said = session.streams.stream(1)
    session.begin()
    began = time.monotonic()
    ended_by: Literal["itself", "time limit", "cancel"] = "itself"
    found: Excess | None = None
    outcome = None
    try:
        while outcome is None and ended_by == "itself" and found is None:
            if (data := said.receive(_TICK)) == b"":
                outcome = session.outcome(_TICK)
            output.add(data or b"")
            if time.monotonic() > began + limits.seconds:
                ended_by = "time limit"
            elif stop is not None and stop():
                ended_by = "cancel"
            elif watcher is not None:
                found = watcher.look()
        if outcome is None:
            session.stop()
        # Of one that wrote too much there may be too much to bring back, which is no news.
        with contextlib.suppress(*((HonkError,) if found or (outcome and outcome[1]) else ())):
            session.fetch()
    finally:
        session.close()
    seconds = time.monotonic() - began
    if (excess := found or (outcome[1] if outcome else None)) is not None:
        return Completed(137, output.text(), seconds, excess.limit, excess=excess)
    if outcome is not None:
        return Completed(outcome[0], output.text(), seconds)
    return Completed(124 if ended_by == "time limit" else 130, output.text(), seconds, ended_by)
