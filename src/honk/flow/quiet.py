"""What DBOS asks an SQLite file many times a second, asked only when the answer may be another.

DBOS finds new work by looking for it, and each look costs milliseconds of a processor, most of them in Python. SQLite
tells in microseconds whether anybody else has written (`PRAGMA data_version`, https://sqlite.org/pragma.html), and
whether a row is there at all. So a server with nothing to start costs next to nothing, and one may look often enough
that nobody waits for it.
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


_WAITS = """\
SELECT 1 FROM workflow_status WHERE queue_name = ? AND status = 'ENQUEUED' AND status IN ('ENQUEUED', 'PENDING') LIMIT 1
"""
"""Says it twice so that SQLite sees that the index of what is not yet done has all of it."""
_QUEUE = "SELECT * FROM queues WHERE name = ?"


class _Looks:
    def __init__(self, file: Path) -> None:
        self._file = file
        self._own = threading.local()

    def until_found(self, look: Callable[..., list[str]]) -> Callable[..., list[str]]:
        """`look(queue, …)`, but nothing at once where nothing waits, or nothing was found since the last write."""

        def found(queue: Any, *arguments: Any, **options: Any) -> list[str]:
            nothing_at: dict[str, Any] = self._memory("nothing at")
            now = self._asked("PRAGMA data_version")
            if nothing_at.get(queue.name) == now:
                return []
            work = look(queue, *arguments, **options) if self._asked(_WAITS, queue.name) else []
            if not work:
                nothing_at[queue.name] = now
            return work

        return found

    def kept(self, read: Callable[..., Any]) -> Callable[..., Any]:
        """`read(name, …)`, but what it gave before where the queue's row is the same."""

        def value(name: str, **options: Any) -> Any:
            known: dict[str, tuple[Any, Any]] = self._memory("known")
            row = self._asked(_QUEUE, name)
            if options or name not in known or known[name][0] != row:
                known[name] = (row, read(name, **options))
            return known[name][1]

        return value

    def _memory(self, name: str) -> Any:
        """Of this thread alone, as the count of writes is: each connection counts for itself."""
        return self._own.__dict__.setdefault(name, {})

    def _asked(self, question: str, *about: str) -> Any:
        if "connection" not in self._own.__dict__:
            self._own.connection = sqlite3.connect(f"file:{self._file}?mode=ro", uri=True, timeout=30)
        return self._own.connection.execute(question, about).fetchone()
