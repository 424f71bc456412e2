"""Everything that comes in: a request, a message, a tap. Each is written down under its key, then work is started."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Literal, get_args

from honk.flow.engine import LANDINGS, TASKS, Engine
from honk.flow.ports import Forge
from honk.flow.view import actions
from honk.gate import check_tap
from honk.model import Person, Refused, Repository, State, Task, UsageError
from honk.repository_file import parse_repository_file
from honk.settings import Settings
from honk.store import Store

Action = Literal["merge", "cancel", "retry", "rollback", "approve"]

MAX_TEXT = 200_000
"""Characters of a message. Longer texts belong into the repository."""


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _checked(text: str) -> str:
    cleaned = text.replace("\0", "").strip()
    if not cleaned:
        raise UsageError("Say what should change: the text is empty.")
    if len(cleaned) > MAX_TEXT:
        raise UsageError(
            f"The text has {len(cleaned):,} characters; {MAX_TEXT:,} is the most. Put the long part into a file of the "
            "repository and name that file."
        )
    return cleaned


class Inbox:
    """The door every surface uses. All calls block for a few milliseconds and never for the work itself."""

    def __init__(
        self, settings: Settings, store: Store, forge: Forge, engine: Engine, agent_ready: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._store = store
        self._forge = forge
        self._engine = engine
        self._agent_ready = agent_ready

    def submit(
        self, *, repo: str, text: str, agent: str | None = None, key: str, person: Person, unsafe: bool = False
    ) -> Task:
        """Start a task; the same key again gives the same task.

        Raises `UsageError` or `NotFound` with a sentence, before anything is created.
        """
        text = _checked(text)
        task_id = _digest("task", person.id, key)[:10]
        if known := self._store.find_task(task_id):
            self._start_turn(task_id, key)
            return known
        agent = agent or "claude"
        self._agent_ready(agent)
        repository = self._forge.resolve(repo)
        parse_repository_file(self._forge.base_text(repository, "honk.yaml") or "")
        now = datetime.now(UTC)
        task = Task(
            id=task_id,
            repository=repository.name,
            text=text,
            agent=agent,
            state=State.QUEUED,
            person=person,
            created_at=now,
            updated_at=now,
            branch=f"honk/{task_id}",
            max_cost_usd=self._settings.max_cost_usd,
            max_turns=self._settings.max_turns,
            unsafe=unsafe,
        )
        self._store.create_task(task, key)
        self._start_turn(task_id, key)
        return self._store.task(task_id)

    def say(self, task_id: str, text: str, key: str, person: Person) -> Task:
        """Put a message into the thread: it enters the turn that runs, or starts the next one."""
        text = _checked(text)
        task = self._store.task(task_id)
        if task.merged_sha or task.state is State.MERGING:
            raise Refused("This change has been merged: start a new task for what comes next.")
        self._agent_ready(task.agent)
        if task.state.resting:
            self._store.update_task(task.id, cancel_requested=False)
        if self._store.add_message(task.id, key, text, person):
            self._start_turn(task.id, key)
        return self._store.task(task.id)

    def act(self, task_id: str, action: Action, head_sha: str | None, key: str, person: Person) -> Task:
        """Carry out a tap. Raises `Refused` when it no longer fits what stands now, `UsageError` for no such action."""
        task = self._store.task(task_id)
        if action not in get_args(Action):
            raise UsageError(f"There is no action {action!r}: {', '.join(get_args(Action))} are.")
        {
            "merge": self._merge,
            "cancel": self._cancel,
            "retry": self._retry,
            "rollback": self._rollback,
            "approve": self._approve,
        }[action](task, head_sha, key, person)
        return self._store.task(task.id)

    def diff(self, task_id: str) -> str:
        """The change as a unified diff; empty while there is none."""
        task = self._store.task(task_id)
        repository = self._store.repository(task.repository)
        if not (repository and task.base_sha and task.head_sha):
            return ""
        return self._forge.diff(repository, task.base_sha, task.head_sha)

    def will_deploy(self, task: Task) -> str | None:
        """What a merge of this task will deploy, in a line; None if nothing, or if that is known only later."""
        repository = self._store.repository(task.repository)
        if repository is None:
            return None
        deploy = parse_repository_file(self._forge.base_text(repository, "honk.yaml") or "").deploy
        if deploy is None:
            return None
        health = f", then {deploy.health.url} is watched for {deploy.health.seconds:g} s" if deploy.health else ""
        return f"`{deploy.run}` runs on the merged commit{health}."

    def repositories(self) -> Sequence[Repository]:
        """Those this installation knows, the newest first."""
        return self._store.repositories()

    def resume(self) -> None:
        """Start what was written down but not started when an earlier life ended."""
        for task_id, key in self._store.untaken():
            self._start_turn(task_id, key)

    def _start_turn(self, task_id: str, key: str) -> None:
        turn = f"turn:{task_id}:{_digest(key)[:16]}"
        self._engine.start("turn", turn, TASKS, task_id, task_id, turn)

    def _merge(self, task: Task, head_sha: str | None, key: str, person: Person) -> None:
        if task.state is State.MERGING and head_sha in (None, task.head_sha):
            return
        check_tap(task, head_sha)
        head = task.head_sha or ""
        attempt = sum(event.kind == "merge.refused" for event in self._store.events(task_id=task.id, limit=100_000))
        self._engine.start(
            "merge", f"merge:{task.id}:{head}:{attempt}", LANDINGS, task.repository, task.id, head, attempt, person.id
        )

    def _cancel(self, task: Task, _: str | None, key: str, person: Person) -> None:
        if task.merged_sha or task.state is State.MERGING:
            raise Refused(f"The task is {task.state.value}: it cannot be cancelled any more, only rolled back.")
        if task.state is State.CANCELLED:
            return
        self._store.update_task(task.id, cancel_requested=True)
        self._engine.start(
            "cancel", f"cancel:{task.id}:{_digest(key)[:16]}", TASKS, task.id, task.id, _digest(key)[:16], person.id
        )

    def _retry(self, task: Task, _: str | None, key: str, person: Person) -> None:
        if task.state not in (State.FAILED, State.CANCELLED) or task.merged_sha:
            raise Refused(f"The task is {task.state.value}: only one that stopped before its merge can be tried again.")
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
        self._engine.start("retry", f"retry:{task.id}:{_digest(key)[:16]}", TASKS, task.id, task.id, _digest(key)[:16])

    def _rollback(self, task: Task, _: str | None, key: str, person: Person) -> None:
        if task.state is State.ROLLED_BACK:
            return
        if "rollback" not in actions(self._store, task):
            raise Refused(
                "Only the newest healthy deployment with another one before it can be rolled back; "
                f"this task is {task.state.value}."
            )
        sha = task.merged_sha or ""
        self._engine.start(
            "roll_back", f"rollback:{task.repository}:{sha}", LANDINGS, task.repository, task.id, sha, person.id
        )

    def _approve(self, task: Task, head_sha: str | None, key: str, person: Person) -> None:
        check_tap(task, head_sha)
        if person.id == task.person.id:
            raise Refused("The person who asked for a change cannot approve it: ask somebody else to tap Approve.")
        self._store.record(
            task.id,
            "approved",
            {"head_sha": task.head_sha, "name": person.name},
            key=f"approved:{task.head_sha}:{person.id}",
            person=person.id,
        )
