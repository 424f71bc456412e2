"""Programs outside that stand for one in a container, for harnesses that start a program and speak to it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Self

from honk.model import Excess, HonkError
from honk.scratch import scratch
from honk.workspace.containers.session import Session
from honk.workspace.containers.streams import Broken, Stream
from honk.workspace.processes import Watching

_ENDING_SECONDS = 30.0
_TICK = 0.1

Begin = Callable[[Sequence[str]], AbstractContextManager[tuple[Session, Watching | None]]]


class Door:
    """Lets programs outside stand for one in a container: whoever starts `argv` has its standard streams there.

    `begin(arguments)` makes a session whose command has not begun, for as long as its context lasts. Everything is gone
    when this one ends.
    """

    def __init__(self, begin: Begin) -> None:
        self._begin = begin
        self._excess: Excess | None = None
        self._stack = contextlib.ExitStack()
        self._attending: list[threading.Thread] = []

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(scratch())
            self._place = folder / "door"
            self._listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            self._listener.bind(str(self._place))
            self._listener.listen(8)
            self._over = threading.Event()
            thread = threading.Thread(target=self._open, name="honk-door", daemon=True)
            thread.start()
            stack.callback(self._close, thread)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def argv(self) -> list[str]:
        return [sys.executable, "-I", "-S", str(Path(__file__).with_name("relay.py")), str(self._place)]

    def excess(self) -> Excess | None:
        """Why what was started has been ended here, if it was."""
        return self._excess

    def _close(self, thread: threading.Thread) -> None:
        self._over.set()
        thread.join()
        for attending in self._attending:
            attending.join()

    def _open(self) -> None:
        while not self._over.is_set():
            if select.select([self._listener], [], [], _TICK)[0]:
                connection, _ = self._listener.accept()
                attending = threading.Thread(target=self._attend, args=(connection,), daemon=True)
                self._attending.append(attending)
                attending.start()

    def _attend(self, connection: socket.socket) -> None:
        given: list[int] = []
        code = 1
        try:
            words = b""
            while not words.endswith(b"\n"):
                piece, descriptors, _, _ = socket.recv_fds(connection, 1 << 16, 3)
                given += descriptors
                if not piece:
                    return
                words += piece
            with self._begin(json.loads(words)) as (session, watcher):
                code = self._carry(connection, session, watcher, given)
        except (HonkError, OSError, Broken) as error:
            with contextlib.suppress(OSError, IndexError):
                os.write(given[2], f"{error}\n".encode())
        finally:
            with contextlib.suppress(OSError):
                connection.sendall(str(code).encode())
            connection.close()
            for descriptor in given:
                os.close(descriptor)

    def _carry(
        self, connection: socket.socket, session: Session, watcher: Watching | None, given: Sequence[int]
    ) -> int:
        ended = threading.Event()
        carriers = [
            threading.Thread(target=_out, args=(session.streams.stream(number), given[number]), daemon=True)
            for number in (1, 2)
        ]
        outcome = None
        feeder = threading.Thread(target=_in, args=(given[0], session.streams.stream(3), ended), daemon=True)
        try:
            session.begin()
            for thread in (*carriers, feeder):
                thread.start()
            while (outcome := session.outcome(_TICK)) is None:
                if watcher is not None and (excess := watcher.look()) is not None:
                    self._excess = self._excess or excess
                    return 137
                # Whoever started it says nothing more, so this can be read only once it is gone.
                if self._over.is_set() or select.select([connection], [], [], 0)[0]:
                    return 130
            for thread in carriers:
                thread.join(_ENDING_SECONDS)
            self._excess = self._excess or outcome[1]
            return 137 if outcome[1] else outcome[0]
        finally:
            ended.set()
            with contextlib.suppress(HonkError):
                if outcome is None:
                    session.stop()
                session.fetch()
            session.close()
            for thread in (*carriers, feeder):
                if thread.is_alive():
                    thread.join(_ENDING_SECONDS)


def _out(stream: Stream, descriptor: int) -> None:
    try:
        while data := stream.receive():
            left = memoryview(data)
            while left:
                left = left[os.write(descriptor, left) :]
    except OSError:
        stream.give_up()


def _in(descriptor: int, stream: Stream, ended: threading.Event) -> None:
    with contextlib.suppress(OSError, Broken):
        while not ended.is_set():
            if select.select([descriptor], [], [], _TICK)[0]:
                if not (data := os.read(descriptor, 1 << 16)):
                    break
                stream.send(data)
    stream.end()
