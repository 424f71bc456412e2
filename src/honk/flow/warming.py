"""Agents that are ready before anybody asks: started ahead, in a workspace on the newest commit of a repository in use.

To start an agent takes longer than all else between a message and the model's first request. One that was started ahead
waits in its sandbox without having been told anything; the first task on its repository takes it as its own.
"""

from __future__ import annotations

import logging
import re
import secrets
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from honk.flow.equipping import set_up_base
from honk.flow.ports import rooms
from honk.flow.reach import agents_reach
from honk.flow.verification import base_file
from honk.model import (
    AgentResult,
    Budget,
    GateAnswer,
    HonkError,
    Person,
    Prepared,
    Reach,
    Refusal,
    Repository,
    State,
    Task,
    Turn,
    Workspace,
)
from honk.repository_file import RepositoryFile

log = logging.getLogger("honk.flow")

_IDLE_SECONDS = 900.0
"""After so long without a task it is ended."""
_MEMORY = 1_500_000_000
"""Bytes that must be available for another one; it takes about 250 MB itself, and what it will start takes more."""
_NOBODY = Person("honk", "Honk")


@dataclass
class _Late:
    """Tells what was refused once it is known in whose name."""

    tell: Callable[[str, int, Refusal], None] | None = None

    def __call__(self, host: str, port: int, why: Refusal) -> None:
        if self.tell:
            self.tell(host, port, why)


@dataclass(frozen=True)
class Spare:
    """An agent that waits. `stack` ends it, with its workspace unless a task has adopted that."""

    repository: str
    base: str
    budget: Budget
    nested: bool
    name: str
    """What its folders are called until a task has them."""
    session: str
    workspace: Workspace
    prepared: Prepared
    refused: _Late
    stack: ExitStack


class Spares:
    """The agents that wait in this process: one for a repository, `most` in all."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._spares: dict[str, Spare] = {}
        self._wanted: set[str] = set()
        self._making: set[str] = set()
        self._workers = ThreadPoolExecutor(1, "honk-warm")

    def waiting(self) -> int:
        """How many wait."""
        with self._lock:
            return len(self._spares)

    def want(self, repository: Repository) -> None:
        """Have an agent ready for the repository soon, if there is memory for one. Returns at once."""
        with self._lock:
            if not self._most or repository.name in self._wanted:
                return
            self._wanted.add(repository.name)
        self._workers.submit(self._make, repository)

    def renew(self, repository: Repository, newest: str | None = None) -> None:
        """The repository has a newer commit: if an agent waits there, have it wait on that."""
        with self._lock:
            spare = self._spares.get(repository.name)
            stale = (spare and spare.base != newest) or repository.name in self._making
        if stale:
            self.want(repository)

    def take(self, task: Task, budget: Budget, *, nested: bool) -> Spare | None:
        """The one that fits the task, which is the caller's now."""
        with self._lock:
            spare = self._spares.get(task.repository)
            wanted = (task.base_sha, budget, nested)
            if spare is None or task.agent != "claude" or (spare.base, spare.budget, spare.nested) != wanted:
                return None
            return self._spares.pop(task.repository)

    def close(self) -> None:
        """End all of them."""
        self._workers.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            spares, self._spares = list(self._spares.values()), {}
        for spare in spares:
            spare.stack.close()

    def _make(self, repository: Repository) -> None:
        # What is pushed from here on may come too late for this one, so it asks for another.
        with self._lock:
            self._wanted.discard(repository.name)
            self._making.add(repository.name)
        try:
            room = rooms()
            base = room.workspaces.fetch(repository)
            set_up_base(repository, base)
            with self._lock:
                known = self._spares.get(repository.name)
            if known and known.base == base:
                return
            self._make_room(repository.name)
            if _available() < _MEMORY:
                return
            spare = _started(repository, base)
            if spare is None:
                return
            with self._lock:
                self._spares[repository.name] = spare
            timer = threading.Timer(_IDLE_SECONDS, self._end, [spare])
            timer.daemon = True
            timer.start()
        except HonkError as error:
            log.info("no agent was started ahead for %s: %s", repository.name, error)
        except Exception:
            log.exception("an agent could not be started ahead")
        finally:
            with self._lock:
                self._making.discard(repository.name)

    def _make_room(self, repository: str) -> None:
        """End an older one of the repository, and the oldest of all where there are as many as there may be."""
        with self._lock:
            gone = [self._spares.pop(repository)] if repository in self._spares else []
            while len(self._spares) >= self._most:
                gone.append(self._spares.pop(next(iter(self._spares))))
        for spare in gone:
            spare.stack.close()

    def _end(self, spare: Spare) -> None:
        with self._lock:
            if self._spares.get(spare.repository) is not spare:
                return
            del self._spares[spare.repository]
        spare.stack.close()


def left_to(task: Task, file: RepositoryFile) -> float:
    """How many US dollars a task may still cost, by honk.yaml of its base; below 0 where it was overstepped."""
    return (file.max_cost_usd or task.max_cost_usd) - task.cost_usd


def budget_of(task: Task, file: RepositoryFile) -> Budget:
    """What a turn of the task may spend."""
    return Budget(
        cost_usd=max(0.01, left_to(task, file)),
        requests=max(1, (file.max_turns or task.max_turns) - task.turns),
    )


def _started(repository: Repository, base: str) -> Spare | None:
    room = rooms()
    file = base_file(repository, base)
    now, name = datetime.now(UTC), f"spare-{secrets.token_hex(4)}"
    task = Task(
        name, repository.name, "", "claude", State.WORKING, _NOBODY, now, now, base_sha=base,
        max_cost_usd=room.settings.max_cost_usd, max_turns=room.settings.max_turns,
    )  # fmt: skip
    budget = budget_of(task, file)
    refused, session = _Late(), str(uuid.uuid4())
    with ExitStack() as stack:
        reach: Reach = replace(agents_reach(task, name, file), refused=refused)
        files = room.attachments.folder(name)
        stack.callback(room.attachments.drop, name)
        workspace = stack.enter_context(room.workspaces.spare(task, repository, files, reach=reach, budget=budget))
        if workspace is None:
            return None
        turn = Turn(
            task=task,
            prompt="",
            workspace=workspace,
            session=session,
            resume=False,
            max_cost_usd=budget.cost_usd,
            max_turns=budget.requests,
            emit=lambda kind, data, key: None,
            gate=lambda asked_by: GateAnswer(True, ""),
            ask=lambda question: None,
            inbox=tuple,
            stop=lambda: False,
            nested=file.sandbox.nested,
            transcript=room.store.transcript(name),
        )
        prepared = room.harness("claude").prepare(turn)
        if prepared is None:
            return None
        stack.callback(prepared.close)
        return Spare(
            repository.name,
            base,
            budget,
            file.sandbox.nested,
            name,
            session,
            workspace,
            prepared,
            refused,
            stack.pop_all(),
        )


@dataclass(frozen=True)
class Entered:
    """Where a task's agent works, under which session, and what runs it."""

    workspace: Workspace
    session: str
    run: Callable[[Turn], AgentResult]


@contextmanager
def entered(
    task: Task,
    repository: Repository,
    files: Path,
    reach: Reach,
    budget: Budget,
    session: str,
    *,
    first: bool,
    nested: bool,
) -> Iterator[Entered]:
    """The task's workspace and an agent to run in it: in a `first` turn one that waits, if it fits, else a new one."""
    room = rooms()
    with ExitStack() as stack:
        spare = None
        if room.spares and first and not task.unsafe and not any(files.iterdir()):
            spare = room.spares.take(task, budget, nested=nested)
        if spare:
            stack.enter_context(spare.stack)
            # Files that come while it works appear in the folder that it has open.
            free = room.attachments.hand_over(spare.name, task.id)
            if free and (
                adopted := stack.enter_context(room.workspaces.adopted(spare.workspace, task, repository, files))
            ):
                # Put down first of all: whatever ends this life, the next one finds the agent's memory by it.
                room.store.update_task(task.id, session=spare.session)
                spare.refused.tell = reach.refused
                yield Entered(adopted, spare.session, spare.prepared.run)
                return
        workspace = stack.enter_context(room.workspaces.open(task, repository, files, reach=reach, budget=budget))
        yield Entered(workspace, session, room.harness(task.agent).run)


def _available() -> int:
    """Bytes of memory that programs could still take, where the system tells (proc(5), meminfo)."""
    try:
        found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    except OSError:
        found = None
    return int(found[1]) * 1024 if found else 1 << 62
