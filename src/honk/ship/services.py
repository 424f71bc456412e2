"""A version that runs: the repository's own service in a sandbox, reached through a Unix socket."""

from __future__ import annotations

import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from honk.model import Cancelled, Checkout, Command, Completed, HonkError, Limits
from honk.repository_file import Preview

_LONGEST = 24 * 3600.0
"""Seconds after which a service is ended in any case; the next visit starts it again."""
_MOST_OUTPUT = 1 << 18


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


class _Run:
    """The command, in a thread of its own."""

    def __init__(self, checkout: Checkout, command: Command, on_output: Callable[[str], None]) -> None:
        self.completed: Completed | None = None
        self.error: Exception | None = None
        self._checkout, self._command, self._on_output = checkout, command, on_output
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
        return self._thread.is_alive()

    def end(self) -> None:
        self._end.set()
        self._thread.join()


@contextmanager
def running(
    checkout: Checkout,
    preview: Preview,
    ready: Readiness,
    *,
    distil: Callable[[str], str],
    on_output: Callable[[str], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[Path, Callable[[], bool]]]:
    """The service for as long as the context lasts: its socket, and whether it still runs.

    Raises `HonkError` with its last words if it ends or does not listen in time, `Cancelled` when `stop()` turns true
    before it listens.
    """
    folder = Path(tempfile.mkdtemp(prefix="honk-"))
    address = folder / "service"
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(address))
            listener.listen(128)
            run = _Run(checkout, _command(checkout, preview, ready, listener.fileno()), on_output)
            try:
                _await(run, address, preview, distil, stop)
            except BaseException:
                run.end()
                raise
        try:
            yield address, lambda: run.alive
        finally:
            run.end()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _command(checkout: Checkout, preview: Preview, ready: Readiness, listener: int) -> Command:
    told = {"PORT": str(preview.port), "HOST": "127.0.0.1", "HONK_SHA": checkout.commit}
    return Command(
        ("sh", "-c", ready.prefix + preview.run),
        environment=dict(ready.environment) | told,
        directory=preview.directory,
        egress=ready.egress,
        serves={preview.port: listener},
        limits=Limits(seconds=_LONGEST, output=_MOST_OUTPUT),
        nested=ready.nested,
    )


def _await(run: _Run, address: Path, preview: Preview, distil: Callable[[str], str], stop: Callable[[], bool]) -> None:
    deadline = time.monotonic() + preview.ready
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(str(address))
        asking.settimeout(0.1)
        while True:
            try:
                if asking.recv(16):
                    return
                why = "ended before it listened"
                run.end()
            except TimeoutError:
                why = f"did not listen within {preview.ready:.0f} s"
            if run.error:
                raise HonkError(f"The service could not be started: {run.error}") from run.error
            if run.completed:
                why = f"ended with exit code {run.completed.exit_code} before it listened"
                if run.completed.excess:
                    raise HonkError(
                        f"The service (`{preview.run}`) did not come to listen. {run.completed.excess.sentence}"
                    )
            if stop():
                raise Cancelled("Cancelled.")
            if not run.alive or time.monotonic() > deadline:
                run.end()
                said = distil(run.completed.output) if run.completed else ""
                raise HonkError(
                    f"The service (`{preview.run}`) {why} on port {preview.port} of 127.0.0.1; the port it should use "
                    f"is in $PORT.\n{said}".rstrip()
                )
