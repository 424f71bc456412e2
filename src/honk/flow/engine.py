"""DBOS behind a thin interface: what a workflow and a step are, the queues, and how work is started.

Nothing waits inside a workflow. A workflow's id is the key of the event that started it, so starting it again does
nothing. A step has one outside effect, made so that repeating it is harmless; a step that ran but whose checkpoint was
lost with the process runs again.
"""

from __future__ import annotations

import fcntl
import functools
import logging
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

from dbos import DBOS, DBOSClient, DBOSConfig
from sqlalchemy import Engine as Database
from sqlalchemy import create_engine, event

from honk.flow.ports import rooms
from honk.flow.quiet import look_only_at_what_is_new
from honk.model import Cancelled, Conflict, HonkError, LimitReached, NotFound, Refused, UsageError
from honk.store import write_ahead

P = ParamSpec("P")
R = TypeVar("R")

VERSION = "2"
"""Changes when a workflow's sequence of steps does; old work then finishes under a process of the old version."""

TASKS = "tasks"
"""Turns and cancels: one at a time for a task."""
LANDINGS = "landings"
"""Merges and deploys: one at a time for a repository."""


def builds_on(label: str) -> str:
    """The queue of builds that want a worker with the label."""
    return f"builds:{label}"


log = logging.getLogger("honk.flow")

Observer = Callable[[str, str], None]
observers: list[Observer] = []
"""Told `(step, "begins")` before a step acts and `(step, "acted")` after it acted, before that is on record."""

STEPS: dict[str, str] = {}
"""Every step there is: its name and the first line of what it does."""

_ROOM_TO_WORK = 20_000_000
"""Bytes. Whatever fails with less than this left on the disk failed because of that."""

_closing = threading.Event()
_changed = threading.Condition()
_under_way: set[int] = set()
"""The threads that are inside a step."""
_worker: Engine | None = None


def workflow(function: Callable[P, R]) -> Callable[P, R]:
    """Register a workflow under the function's own name."""
    return cast(Callable[P, R], DBOS.workflow(name=function.__name__, max_recovery_attempts=100)(function))


def step(function: Callable[P, R]) -> Callable[P, R]:
    """Register a step. Whatever it raises reaches the workflow as a `HonkError` with a sentence."""
    name = function.__name__
    STEPS[name] = (function.__doc__ or "").strip().partition("\n")[0]

    @functools.wraps(function)
    def observed(*args: P.args, **kwargs: P.kwargs) -> R:
        for observer in observers:
            observer(name, "begins")
        try:
            with _inside():
                result = function(*args, **kwargs)
        except Exception as error:
            if _closing.is_set():
                threading.Event().wait()
            raise _plain(name, error) from error
        if _closing.is_set():
            threading.Event().wait()
        for observer in observers:
            observer(name, "acted")
        return result

    return cast(Callable[P, R], DBOS.step(name=name)(observed))


@contextmanager
def _inside() -> Iterator[None]:
    own = threading.get_ident()
    with _changed:
        _under_way.add(own)
    try:
        yield
    finally:
        with _changed:
            _under_way.discard(own)
            _changed.notify_all()


def _plain(name: str, error: Exception) -> HonkError:
    """The error as it can be kept: one of a few classes with nothing but its sentence, and no secret in that."""
    told = rooms().store.mask(str(error))
    for kind in (Cancelled, LimitReached, Conflict, Refused, NotFound, UsageError):
        if isinstance(error, kind):
            return kind(told)
    if "disk is full" in str(error) or shutil.disk_usage(rooms().settings.home).free < _ROOM_TO_WORK:
        return HonkError("The disk that holds Honk's home is full: free some space there, then tap Retry.")
    if isinstance(error, HonkError):
        return HonkError(told)
    log.error("step %s failed", name, exc_info=error)
    return HonkError(
        f"Something went wrong inside Honk while it did {name!r} ({type(error).__name__}: {told}). "
        "The server's log has the details; Retry tries again."
    )


def _database(address: str) -> Database:
    if not address.startswith("sqlite"):
        return create_engine(address, pool_size=20, pool_pre_ping=True)
    engine = create_engine(address, connect_args={"timeout": 30, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _: Any) -> None:
        for pragma in ("synchronous=NORMAL", "busy_timeout=30000"):
            connection.execute(f"PRAGMA {pragma}")

    return engine


def _migrate(address: str) -> None:
    """Bring DBOS's tables up to date. On SQLite, which has no lock for it, two processes take turns."""
    if not address.startswith("sqlite"):
        DBOS.migrate(address)
        return
    path = Path(address.removeprefix("sqlite:///"))
    write_ahead(path)
    with path.with_name(f"{path.name}.lock").open("a") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        DBOS.migrate(address)


def follow(function: str, key: str, queue: str, partition: str, *arguments: Any) -> None:
    """Start what comes next, from inside a workflow of this process's worker."""
    if _worker is not None:
        _worker.start(function, key, queue, partition, *arguments)


class Engine:
    """The durable side of this process: a worker once launched, otherwise only a way to start work elsewhere."""

    def __init__(self, address: str, executor: str, agents: int = 4, every: float | None = None) -> None:
        self._address = address
        self._executor = executor
        self._agents = agents
        self._embedded = address.startswith("sqlite")
        self._every = every or (0.05 if self._embedded else 0.1)
        self._client: DBOSClient | None = None
        self._launched = False

    def launch(self, labels: Sequence[str] = (), *, only_labels: bool = False) -> None:
        """Become a worker: take up what an earlier life of this executor left, then take new work.

        Builds that want one of `labels` are taken too; with `only_labels`, nothing else is.
        """
        global _worker  # noqa: PLW0603  a process is one worker
        _migrate(self._address)
        config = DBOSConfig(
            name="honk",
            system_database_engine=_database(self._address),
            system_database_url=self._address,
            application_version=VERSION,
            executor_id=self._executor,
            max_executor_threads=32,
            enable_otlp=False,
            log_level="ERROR",
            console_log_level="ERROR",
            use_listen_notify=not self._embedded,
        )
        builds = [builds_on(label) for label in labels]
        worker = DBOS(config=config)
        DBOS.listen_queues([*([] if only_labels else [TASKS, LANDINGS]), *builds])
        DBOS.launch()
        if self._embedded:
            look_only_at_what_is_new(worker, Path(self._address.removeprefix("sqlite:///")))
        DBOS.register_queue(
            TASKS, partition_concurrency=1, worker_concurrency=self._agents, polling_interval_sec=self._every
        )
        DBOS.register_queue(LANDINGS, partition_concurrency=1, polling_interval_sec=self._every)
        for queue in builds:
            DBOS.register_queue(queue, partition_concurrency=1, worker_concurrency=1, polling_interval_sec=0.5)
        self._launched = True
        _worker = self

    def daily(self, function: Callable[[datetime, Any], None], hour: int) -> None:
        """Have a workflow run now, and each day at that hour (UTC). Only for a worker that is launched."""
        name = function.__name__
        DBOS.apply_schedules([{"schedule_name": name, "workflow_fn": function, "schedule": f"0 {hour} * * *"}])
        DBOS.trigger_schedule(name)

    def start(self, function: str, key: str, queue: str, partition: str, *arguments: Any) -> None:
        """Have a workflow run, once per `key`, after those before it in the same partition."""
        options: Any = {
            "workflow_name": function,
            "queue_name": queue,
            "workflow_id": key,
            "queue_partition_key": partition,
        }
        if self._launched:
            DBOS.enqueue_workflow_with_options(options, *arguments)
            return
        if self._client is None:
            _migrate(self._address)
            self._client = DBOSClient(system_database_engine=_database(self._address), application_name="honk")
        self._client.enqueue(options, *arguments)

    def close(self, patience: float = 0.0) -> None:
        """Stop taking work. Steps that are under way have so many seconds; then they are left unrecorded, and the next
        life takes them up."""
        with _changed:
            _changed.wait_for(lambda: not _under_way, patience)
        _closing.set()
        if self._client is not None:
            self._client.destroy()
