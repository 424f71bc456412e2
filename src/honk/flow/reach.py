"""What commands may reach besides what they name themselves, and the events of what they were refused."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from honk.flow.ports import rooms
from honk.model import Reach, Refusal, Task
from honk.repository_file import RepositoryFile
from honk.store import Store
from honk.verify import registry_environment, registry_hosts
from honk.workspace import warm_gateway

AGENT = "agent"
_MOST = 100
"""Refusals that are told of one turn, or of the checks of one commit. A program can ask for any number of names."""
_SAFE = re.compile(r"[^a-z0-9.:_ -]")


def reach_of(task: Task, by: str, place: str) -> Reach:
    """For commands of a task: what people have allowed, asked when it is needed, so that a tap counts at once.

    `by` is who tries, `place` the key below which what is refused is told once.
    """
    return Reach(_Allowed(rooms().store, task.repository), _Teller(rooms().store, task.id, by, place))


def agents_reach(task: Task, turn_id: str, file: RepositoryFile) -> Reach:
    """For the agent: besides, what `egress` of honk.yaml and of the settings name, and the package registries, to
    which package managers are pointed. A script is not: it has settings of its own, and no time to wait for ours."""
    room = rooms()
    named = room.settings.registries
    return Reach(
        _Allowed(room.store, task.repository),
        _Teller(room.store, task.id, AGENT, turn_id),
        egress=(*file.egress, *room.settings.egress),
        late=lambda: registry_hosts(named),
        environment=registry_environment(named) if thinks(task) else {},
    )


def thinks(task: Task) -> bool:
    """Whether the task's agent is more than a script."""
    return not task.agent.startswith("script:")


def make_ready(registries: Sequence[str] | None) -> None:
    """Begin to find out and load what an agent that thinks would wait for. `registries` are those that the settings
    name; None: package managers are to be asked."""

    def find_out() -> None:
        warm_gateway()
        registry_environment(registries)

    threading.Thread(target=find_out, name="honk-make-ready", daemon=True).start()


@dataclass(frozen=True)
class _Allowed:
    store: Store
    repository: str

    def __call__(self, host: str, port: int) -> bool:
        return self.store.allowed(self.repository, host, port)


@dataclass(frozen=True)
class _Teller:
    store: Store
    task_id: str
    by: str
    place: str
    one_by_one: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, host: str, port: int, why: Refusal) -> None:
        prefix = f"{self.place}:egress:"
        told = {"host": _SAFE.sub("?", host)[:253], "port": port, "by": self.by, "why": why}
        with self.one_by_one:
            if self.store.count_events(self.task_id, "egress.refused", prefix) < _MOST:
                self.store.record(self.task_id, "egress.refused", told, key=f"{prefix}{told['host']}:{port}")
