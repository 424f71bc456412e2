"""A version that runs: the repository's own service in a sandbox, reached through a Unix socket."""

from __future__ import annotations

import math
import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from honk.model import Cancelled, Checkout, Command, Completed, HonkError, Limits
from honk.repository_file import Service

_LONGEST = 24 * 3600.0
"""Seconds after which a service is ended in any case; the next visit starts it again."""
_MOST_OUTPUT = 1 << 18

_ASKED = "/honk/asked-to-end"
# All in the sandbox hears the signal. The outer shell, which began the service before, ignores it; the inner one ends
# after the program that it runs, because nothing outlives it.
_UNTIL_ASKED = f"""\
sh -c "trap 'exit 143' TERM; $0" & service=$!
trap '' TERM
{{ read -r _ < {_ASKED} && kill -TERM 0; }} 2>/dev/null &
wait $service
"""


class Readiness(Protocol):
    """What a shell line needs after the set-up: what goes in front of it, hosts it may reach, its environment, and
    whether it may make user namespaces."""

    @property
    def prefix(self) -> str: ...
    @property
    def egress(self) -> Sequence[str]: ...
    @property
    def environment(self) -> Mapping[str, str]: ...
    @property
    def nested(self) -> bool: ...


@dataclass(frozen=True)
class ForGood:
    """How a service runs in production: no time limit, asked to end before it is made to."""

    environment: Mapping[str, str] = field(default_factory=dict)
    """What it gets besides the set-up's."""
    writable: Mapping[str, Path] = field(default_factory=dict)
    """Folders that stay, by the absolute path they have inside."""
    patience: float = 10.0
    """Seconds that it has to end after SIGTERM."""


class Running:
    """A service that was started: the command, in a thread of its own. `address` is its Unix socket."""

    def __init__(
        self,
        checkout: Checkout,
        command: Command,
        address: Path,
        distil: Callable[[str], str],
        on_output: Callable[[str], None],
        patience: float,
    ) -> None:
        self.address = address
        self.completed: Completed | None = None
        self.error: Exception | None = None
        self._checkout, self._command, self._on_output = checkout, command, on_output
        self._distil = distil
        self._patience = patience
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="service", daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        try:
            self.completed = self._checkout.run(self._command, on_output=self._on_output, stop=self._end.is_set)
        except Exception as error:
            self.error = error

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._thread.is_alive()

    @property
    def said(self) -> str:
        """What matters of the output of one that has ended."""
        return self._distil(self.completed.output) if self.completed else ""

    def end(self) -> None:
        """End it and wait until it is gone."""
        if self._patience and self.alive:
            with suppress(OSError):
                asked = os.open(self.address.with_name("end"), os.O_WRONLY | os.O_NONBLOCK)
                os.write(asked, b"end\n")
                os.close(asked)
                self._thread.join(self._patience)
        self._end.set()
        self._thread.join()


@contextmanager
def running(
    checkout: Checkout,
    service: Service,
    ready: Readiness,
    *,
    distil: Callable[[str], str],
    on_output: Callable[[str], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
    for_good: ForGood | None = None,
) -> Iterator[Running]:
    """The service for as long as the context lasts.

    Raises `HonkError` with its last words if it ends or does not listen in time, `Cancelled` when `stop()` turns true
    before it listens.
    """
    folder = Path(tempfile.mkdtemp(prefix="honk-"))
    address = folder / "service"
    try:
        os.mkfifo(folder / "end")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(address))
            listener.listen(128)
            command = _command(checkout, service, ready, listener.fileno(), for_good, folder / "end")
            patience = for_good.patience if for_good else 0.0
            run = Running(checkout, command, address, distil, on_output, patience)
            try:
                _await(run, service, stop)
            except BaseException:
                run.end()
                raise
        try:
            yield run
        finally:
            run.end()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _command(
    checkout: Checkout, service: Service, ready: Readiness, listener: int, for_good: ForGood | None, end: Path
) -> Command:
    told = {"PORT": str(service.port), "HOST": "127.0.0.1", "HONK_SHA": checkout.commit}
    line = ready.prefix + service.run
    return Command(
        ("sh", "-c", _UNTIL_ASKED, line) if for_good else ("sh", "-c", line),
        environment={**ready.environment, **(for_good.environment if for_good else {}), **told},
        directory=service.directory,
        egress=ready.egress,
        serves={service.port: listener},
        writable=for_good.writable if for_good else {},
        readable={_ASKED: end} if for_good else {},
        limits=Limits(seconds=math.inf if for_good else _LONGEST, output=_MOST_OUTPUT),
        nested=ready.nested,
    )


def _await(run: Running, service: Service, stop: Callable[[], bool]) -> None:
    deadline = time.monotonic() + service.ready
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(str(run.address))
        asking.settimeout(0.1)
        while True:
            try:
                if asking.recv(16):
                    return
                why = "ended before it listened"
                run.end()
            except TimeoutError:
                why = f"did not listen within {service.ready:.0f} s"
            if run.error:
                raise HonkError(f"The service could not be started: {run.error}") from run.error
            if run.completed:
                why = f"ended with exit code {run.completed.exit_code} before it listened"
                if run.completed.excess:
                    raise HonkError(
                        f"The service (`{service.run}`) did not come to listen. {run.completed.excess.sentence}"
                    )
            if stop():
                raise Cancelled("Cancelled.")
            if not run.alive or time.monotonic() > deadline:
                run.end()
                raise HonkError(
                    f"The service (`{service.run}`) {why} on port {service.port} of 127.0.0.1; the port it should use "
                    f"is in $PORT.\n{run.said}".rstrip()
                )
