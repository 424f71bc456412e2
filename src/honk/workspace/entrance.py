"""Ways into a sandbox that its limits and its system-call filter go along with."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import select
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from honk.model import Excess
from honk.scratch import scratch
from honk.workspace import seccomp
from honk.workspace.allowance import Allowance
from honk.workspace.cgroups import Group, group
from honk.workspace.processes import NICE, handle_of
from honk.workspace.watcher import Watcher

CONFINED = ("--cap-drop", "ALL")
"""Bubblewrap leaves no capability in any case; so not even a program with some of its own could get one."""

_TICK = 0.1
_JOIN = 'while [ "$1" != -- ]; do echo 0 >"$1" || exit 125; shift; done; shift; '
_ENTER = _JOIN + 'exec "$@"'
# A shell can name descriptors up to 9 only.
_ENTER_WATCHED = _JOIN + 'status=$1; filter=$2; shift 2; exec "$@" 8>"$status" 9<"$filter"'


def filter_file(home: Path, *, nested: bool) -> Path | None:
    """The filter as a file below Honk's home; None where there is none for this kind of machine."""
    program = seccomp.program(nested=nested)
    if not program:
        return None
    path = home / "sandbox" / f"filter-{hashlib.sha256(program).hexdigest()[:16]}"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        draft.write_bytes(program)
        draft.replace(path)
    return path


@contextmanager
def grouped(allowed: Allowance) -> Iterator[Group | None]:
    """A control group for as long as the context lasts, where there can be one."""
    made = group(allowed)
    try:
        yield made
    finally:
        if made:
            made.remove()


def joining(made: Group | None, argv: Sequence[str]) -> list[str]:
    """The argv that enters the group and becomes `argv`."""
    return ["/bin/sh", "-c", _ENTER, "sh", *made.entrances, "--", *argv] if made else [*argv]


class Guard:
    """Watches whatever is started by its argv, for as long as the context lasts."""

    def __init__(self, home: Path, allowed: Allowance, folders: Sequence[Path], *, nested: bool) -> None:
        self._allowed = allowed
        self._folders = folders
        self._filter = filter_file(home, nested=nested)
        self._stack = ExitStack()
        self._excess: Excess | None = None

    def __enter__(self) -> Guard:
        with ExitStack() as stack:
            self._group = stack.enter_context(grouped(self._allowed))
            folder = stack.enter_context(scratch())
            self._told = folder / "told"
            os.mkfifo(self._told, 0o600)
            # Open for both, so that neither side waits for the other.
            self._pipe = os.open(self._told, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            stack.callback(os.close, self._pipe)
            self._over = threading.Event()
            thread = threading.Thread(target=self._follow, name="honk-guard", daemon=True)
            thread.start()
            stack.callback(thread.join)
            stack.callback(self._wake)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def argv(self, program: Path, arguments: Sequence[str]) -> list[str]:
        """Bubblewrap with its arguments, under the limits and the filter."""
        options = ["--json-status-fd", "8", *(("--seccomp", "9") if self._filter else ())]
        entrances = self._group.entrances if self._group else []
        outer = [
            "/bin/sh",
            "-c",
            _ENTER_WATCHED,
            "sh",
            *entrances,
            "--",
            str(self._told),
            str(self._filter or os.devnull),
        ]
        # The caller may add to the environment; bubblewrap's own would be readable inside as that of process 1.
        return [*outer, "/usr/bin/env", "-i", "nice", "-n", str(NICE), str(program), *options, *arguments]

    def excess(self) -> Excess | None:
        """Why what was started has been ended here, if it was."""
        # The kernel may have ended it before this was noticed.
        return self._excess or (self._group.look() if self._group else None)

    def _wake(self) -> None:
        self._over.set()
        with contextlib.suppress(OSError):
            os.write(self._pipe, b"\n")

    def _follow(self) -> None:
        watched: dict[int, Watcher] = {}
        words = b""
        try:
            while not self._over.is_set():
                if select.select([self._pipe], [], [], _TICK if watched else None)[0]:
                    *lines, words = (words + os.read(self._pipe, 1 << 16)).split(b"\n")
                    watched |= self._started(lines)
                for handle, watcher in list(watched.items()):
                    if (found := watcher.look()) is not None:
                        self._excess = self._excess or found
                        with contextlib.suppress(ProcessLookupError):
                            signal.pidfd_send_signal(handle, signal.SIGKILL)
                    if select.select([handle], [], [], 0)[0]:
                        self._excess = self._excess or watcher.last()
                        self._let_go(handle, watched.pop(handle))
        finally:
            for handle, watcher in watched.items():
                self._let_go(handle, watcher)

    def _started(self, lines: Sequence[bytes]) -> dict[int, Watcher]:
        """Watchers by what stands for each sandbox's first process."""
        found = {}
        for line in lines:
            with contextlib.suppress(ValueError, TypeError, KeyError):
                first = int(json.loads(line)["child-pid"])
                if (handle := handle_of(first)) is not None:
                    found[handle] = Watcher(first, self._allowed, self._folders, self._group)
        return found

    @staticmethod
    def _let_go(handle: int, watcher: Watcher) -> None:
        watcher.close()
        os.close(handle)
