"""What DBOS asks an SQLite file many times a second, asked only when something was written to it.

DBOS finds new work by looking for it, and each look costs milliseconds of a processor, most of them in Python. SQLite
tells in microseconds whether anybody else has written (`PRAGMA data_version`, https://sqlite.org/pragma.html). So a
server with nothing to do costs next to nothing, and one may look often enough that nobody waits for it.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dbos import DBOS


def look_only_at_what_is_new(worker: DBOS, file: Path) -> None:
    """Have a worker's queues look into `file`, its database, when it has changed since they last found nothing there.

    The names below are DBOS's own: they hold for the version that pyproject.toml pins. Nothing in a queue of ours comes
    due by the clock alone: what waits is let in by somebody's write, of more work or of the end of what went before it.
    """
    system = worker._sys_db
    looks = _Looks(file)
    # mypy: a method is not to be assigned to, and there is no other way in.
    system.start_queued_partitioned_workflows = looks.until_found(system.start_queued_partitioned_workflows)  # type: ignore[method-assign]
    system.get_queue = looks.kept(system.get_queue)  # type: ignore[method-assign]


class _Looks:
    def __init__(self, file: Path) -> None:
        self._file = file
        self._own = threading.local()

    def until_found(self, look: Callable[..., list[str]]) -> Callable[..., list[str]]:
        """`look(queue, …)`, but nothing at once where nothing was found since the last write."""

        def found(queue: Any, *arguments: Any, **options: Any) -> list[str]:
            nothing_at: dict[str, int] = self._memory("nothing at")
            now = self._writes()
            if nothing_at.get(queue.name) == now:
                return []
            work = look(queue, *arguments, **options)
            if not work:
                nothing_at[queue.name] = now
            return work

        return found

    def kept(self, read: Callable[..., Any]) -> Callable[..., Any]:
        """`read(name, …)`, but what it gave before where nothing was written since."""

        def value(name: str, **options: Any) -> Any:
            known: dict[str, tuple[int, Any]] = self._memory("known")
            now = self._writes()
            if options or known.get(name, (None,))[0] != now:
                fresh = read(name, **options)
                known[name] = (now, fresh)
            return known[name][1]

        return value

    def _memory(self, name: str) -> Any:
        """Of this thread alone, as the count of writes is: each connection counts for itself."""
        return self._own.__dict__.setdefault(name, {})

    def _writes(self) -> int:
        if "connection" not in self._own.__dict__:
            self._own.connection = sqlite3.connect(f"file:{self._file}?mode=ro", uri=True, timeout=30)
        return int(self._own.connection.execute("PRAGMA data_version").fetchone()[0])
