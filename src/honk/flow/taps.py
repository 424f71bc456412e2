"""What a tap does: each is refused where it no longer fits what stands now, else written down and acted on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Literal, get_args

from honk.flow.approvals import frozen_for, may_approve, untried
from honk.flow.engine import LANDINGS, TASKS, Engine
from honk.flow.ports import Forges
from honk.flow.view import actions, allowable, override_of, unconfirmed
from honk.gate import check_access, check_tap, confirmation_missing
from honk.model import WHY, Access, NotFound, Person, Refused, Repository, State, Task, UsageError
from honk.repository_file import parse_repository_file
from honk.settings import Settings
from honk.store import Store
from honk.workspace import parse_entry

Action = Literal["merge", "cancel", "retry", "rollback", "approve", "override", "allow"]

CI = Person("github:ci", "CI")
"""Who speaks when a check of the team's own goes red."""


def short_digest(key: str) -> str:
    """A key as a part of the name of what it starts."""
    return hashlib.sha256(key.encode()).hexdigest()[:16]


class Taps:
    """Carries out what people tap."""

    def __init__(
        self, settings: Settings, store: Store, forges: Forges, engine: Engine, agent_ready: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._store = store
        self._forges = forges
        self._engine = engine
        self._agent_ready = agent_ready

    def act(self, task: Task, action: Action, head_sha: str | None, key: str, person: Person, host: str) -> None:
        """See `Inbox.act`."""
        if action not in get_args(Action):
            raise UsageError(f"There is no action {action!r}: {', '.join(get_args(Action))} are.")
        if action == "allow":
            self._allow(task, host, key, person)
            return
        {
            "merge": self._merge,
            "cancel": self.cancel,
            "retry": self._retry,
            "rollback": self._rollback,
            "approve": self._approve,
            "override": self._override,
        }[action](task, head_sha, key, person)

    def repository(self, name: str) -> Repository:
        """The one of that name. Raises `NotFound`."""
        repository = self._store.repository(name)
        if repository is None:
            raise NotFound(f"The repository {name!r} is not known here.")
        return repository

    def check(self, task: Task, person: Person, wanted: Access) -> None:
        """Raises `Refused` where the person may not do this with the task's repository."""
        if person == CI:
            return
        repository = self.repository(task.repository)
        check_access(self._forges.of(repository).access(repository, person), wanted, repository.name)

    def _allow(self, task: Task, entry: str, key: str, person: Person) -> None:
        """What was blocked may be reached from now on, by this repository's commands."""
        host, port = parse_entry(entry.strip().lower())
        tried = [event.data for event in self._store.events_of(task.id, "egress.refused")]
        tried = [data for data in tried if (data["host"], data["port"]) == (host, port)]
        if not tried:
            raise Refused(f"{host}:{port} was not blocked in this task: only what was can be allowed here.")
        if not any(allowable(data) for data in tried):
            raise Refused(
                f"{host}:{port} cannot be allowed by a tap: {WHY[tried[-1]['why']] or 'it is no public host'}."
            )
        self.check(task, person, "write")
        self._store.allow(task.repository, host, port, person)
        told = {"host": host, "port": port, "name": person.name}
        self._store.record(task.id, "egress.allowed", told, key=f"allowed:{host}:{port}:{key}", person=person.id)

    def _merge(self, task: Task, head_sha: str | None, key: str, person: Person) -> None:
        if task.state is State.MERGING and head_sha in (None, task.head_sha):
            return
        check_tap(task, head_sha)
        self.check(task, person, "write")
        repository = self.repository(task.repository)
        file = parse_repository_file(self._forges.of(repository).base_text(repository, "honk.yaml") or "")
        if reason := frozen_for(self._store, task, file) or untried(self._store, self._settings, task, file):
            raise Refused(f"Not merged: {reason}")
        if reason := confirmation_missing(unconfirmed(self._store, task)):
            raise Refused(f"Not merged: {reason}")
        self.line_up(task, person.id)

    def line_up(self, task: Task, person: str) -> None:
        """Put the tap down, which is what waits, and see that somebody comes for it."""
        head = task.head_sha or ""
        attempt = self._store.count_events(task.id, "merge.refused")
        self._store.record(
            task.id,
            "merge.requested",
            {"head_sha": head, "base_sha": task.base_sha, "before": len(self._store.merging(task.repository))},
            key=f"merge:{head}:{attempt}",
            person=person,
            changes={"state": State.MERGING.value, "error": None, "next_action": None},
            unless=[state for state in State if state is not State.READY],
        )
        now = self._store.task(task.id)
        if now.state is not State.MERGING and not now.merged_sha:
            check_tap(now, head)
        self.start_merge(now, head, attempt)

    def start_merge(self, task: Task, head: str, attempt: int) -> None:
        """See that somebody comes for a tap that is put down."""
        self._engine.start("merge", f"merge:{task.id}:{head}:{attempt}", LANDINGS, task.repository, task.repository)

    def cancel(self, task: Task, _: str | None, key: str, person: Person) -> None:
        """End the task; whoever asked for it may, and who may write."""
        if task.merged_sha or task.state is State.MERGING:
            raise Refused(f"The task is {task.state.value}: it cannot be cancelled any more, only rolled back.")
        if task.state is State.CANCELLED:
            return
        if not self._store.same_person(task.person.id, person.id):
            self.check(task, person, "write")
        self._store.update_task(task.id, cancel_requested=True)
        self._engine.start(
            "cancel", f"cancel:{task.id}:{short_digest(key)}", TASKS, task.id, task.id, short_digest(key), person.id
        )

    def _retry(self, task: Task, _: str | None, key: str, person: Person) -> None:
        if task.state not in (State.FAILED, State.CANCELLED) or task.merged_sha:
            raise Refused(f"The task is {task.state.value}: only one that stopped before its merge can be tried again.")
        self.check(task, person, "read")
        self._agent_ready(task.agent)
        raised = {
            "max_cost_usd": max(task.max_cost_usd, task.cost_usd + self._settings.max_cost_usd),
            "max_turns": max(task.max_turns, task.turns + self._settings.max_turns),
        }
        self._store.record(
            task.id,
            "retry.requested",
            raised,
            key=f"retry:{key}",
            person=person.id,
            changes={"cancel_requested": False, "state": State.QUEUED.value, "error": None, "next_action": None}
            | raised,
        )
        self._engine.start("retry", f"retry:{task.id}:{short_digest(key)}", TASKS, task.id, task.id, short_digest(key))

    def _rollback(self, task: Task, _: str | None, key: str, person: Person) -> None:
        if task.state is State.ROLLED_BACK:
            return
        if "rollback" not in actions(self._store, task):
            raise Refused(
                "Only the newest healthy deployment with another one before it can be rolled back; "
                f"this task is {task.state.value}."
            )
        self.check(task, person, "write")
        sha = task.merged_sha or ""
        attempt = self._store.count_events(task.id, "rollback.refused")
        key = f"rollback:{task.repository}:{sha}:{attempt}"
        self._engine.start("roll_back", key, LANDINGS, task.repository, task.id, sha, person.id)

    def _override(self, task: Task, head_sha: str | None, key: str, person: Person) -> None:
        """Whatever guard and judge hold against this very commit, it may be merged."""
        check_tap(task, head_sha)
        self.check(task, person, "write")
        if override_of(self._store, task.id, task.head_sha):
            return
        reasons = unconfirmed(self._store, task)
        if not reasons:
            raise Refused("There is nothing to override: neither the judge nor the tamper guard holds this version.")
        self._store.record(
            task.id,
            "overridden",
            {"head_sha": task.head_sha, "name": person.name, "reasons": reasons[:20]},
            key=f"overridden:{task.head_sha}",
            person=person.id,
            changes={"next_action": "Try it, then merge"},
        )

    def _approve(self, task: Task, head_sha: str | None, key: str, person: Person) -> None:
        check_tap(task, head_sha)
        self.check(task, person, "write")
        if not may_approve(self._store, task, person.id):
            raise Refused("The person who asked for a change cannot approve it: ask somebody else to tap Approve.")
        self._store.record(
            task.id,
            "approved",
            {"head_sha": task.head_sha, "name": person.name},
            key=f"approved:{task.head_sha}:{person.id}",
            person=person.id,
        )
