"""What an agent is given while it works: the gate it has to pass, the log it is told by, and what is said meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from honk.flow.brief import commit_message
from honk.flow.judging import judged_at, judged_cost, send_back
from honk.flow.ports import rooms
from honk.flow.verification import in_the_way, verify_commit
from honk.flow.warming import left_to
from honk.model import Check, GateAnswer, LimitReached, Message, Task, Workspace
from honk.repository_file import RepositoryFile
from honk.untrusted import clean
from honk.verify import explain


class Gate:
    """What the agent's `verify` tool and its wish to stop are answered with."""

    def __init__(self, task: Task, turn_id: str, workspace: Workspace, file: RepositoryFile) -> None:
        self._task = task
        self._file = file
        self._judged_before = judged_cost(task.id)
        self._turn = turn_id
        self._workspace = workspace
        self._rounds = rooms().settings.verify_rounds
        self._one_at_a_time = threading.Lock()

    def ask(self, asked_by: str) -> GateAnswer:
        with self._one_at_a_time:
            return self._ask(asked_by)

    def _ask(self, asked_by: str) -> GateAnswer:
        room, task_id = rooms(), self._task.id
        if unmerged := self._workspace.unmerged():
            return self._block(asked_by, f"Conflict markers are left in {', '.join(unmerged)}: mend those first.")
        sha = self._workspace.snapshot(commit_message(self._task), self._task.person) or self._task.head_sha
        if sha is None:
            return GateAnswer(True, "Nothing has been changed yet, so there is nothing to verify.")
        checks = verify_commit(self._task, sha, stop=lambda: room.store.task(task_id).cancel_requested)
        text = explain(checks)
        if failed := in_the_way(self._task, checks):
            # What was red before is the person's to decide, once the agent has heard of it.
            heard = self._blocked() >= min(1, self._rounds) and all(check.status == "already_red" for check in failed)
            return GateAnswer(True, text) if heard and asked_by == "stop" else self._block(asked_by, text, failed)
        objections = self._objections(sha) if asked_by == "stop" else None
        return GateAnswer(False, objections) if objections else GateAnswer(True, text)

    def _objections(self, sha: str) -> str | None:
        """What guard and judge hold against a commit that is green, as often as the agent is to hear of it."""
        task, before = self._task, judged_cost(self._task.id)
        left = left_to(task, self._file) - self._workspace.spent.cost_usd - (before - self._judged_before)
        judged = judged_at(task, sha, self._file, left=left)
        self._workspace.charge(judged_cost(task.id) - before)
        return send_back(task.id, self._turn, judged, self._file.judging.rounds)

    def _block(self, asked_by: str, text: str, failed: Sequence[Check] = ()) -> GateAnswer:
        """A red answer; to the wish to stop only so many times."""
        if asked_by != "stop":
            return GateAnswer(False, text)
        blocked = self._blocked()
        if blocked >= self._rounds:
            names = ", ".join(check.name for check in failed) or "the merge"
            raise LimitReached(f"No pull request: {names} still fails after {blocked} rounds.\n{text}")
        told = {"round": blocked + 1, "rounds": self._rounds, "text": text}
        rooms().store.record(self._task.id, "gate.blocked", told, key=f"{self._turn}:blocked:{blocked + 1}")
        return GateAnswer(False, text)

    def _blocked(self) -> int:
        """How often the agent was sent back in this turn because checks are red."""
        return rooms().store.count_events(self._task.id, "gate.blocked", f"{self._turn}:blocked:")


def asker(task_id: str, turn_id: str) -> Callable[[str], None]:
    """What puts an agent's question into the thread, once however often it is asked in a turn."""

    def ask(question: str) -> None:
        text = clean(question).strip()[:4000] or "The agent has a question, but did not say it: what should it do?"
        rooms().store.record(task_id, "question", {"text": text}, key=f"{turn_id}:question")

    return ask


def emitter(task_id: str, turn_id: str, task: Task) -> Callable[[str, Mapping[str, Any], str], None]:
    store, judged_before = rooms().store, judged_cost(task_id)

    def emit(kind: str, data: Mapping[str, Any], key: str) -> None:
        changes: dict[str, Any] = {}
        if kind == "agent.usage":
            judged = judged_cost(task_id) - judged_before
            data = {
                "turns": task.turns + int(data.get("turns", 0)),
                "cost_usd": task.cost_usd + float(data.get("cost_usd") or 0.0) + judged,
            }
            changes = {"turns": data["turns"]} | ({"cost_usd": data["cost_usd"]} if data["cost_usd"] else {})
        store.record(task_id, kind, data, key=f"{turn_id}:{key}", changes=changes)

    return emit


def with_files(message: Message) -> Message:
    """The message with its files laid out, and where they are said in its text."""
    if not message.attachments:
        return message
    room = rooms()
    names = room.attachments.lay_out(message.task_id, message.attachments)
    unsafe = room.store.task(message.task_id).unsafe
    place = str(room.attachments.folder(message.task_id)) if unsafe else "/honk/attachments"
    told = "\n".join(f"- {place}/{name}" for name in names)
    return replace(message, text=f"{message.text}\n\nFiles that came with this:\n{told}")


def inbox(task_id: str, turn_id: str) -> Callable[[], Sequence[Message]]:
    store = rooms().store
    seen = {message.key for message in store.take_messages(task_id, turn_id)}

    def arrived() -> Sequence[Message]:
        if not store.waiting_messages(task_id):
            return ()
        new = [message for message in store.take_messages(task_id, turn_id) if message.key not in seen]
        seen.update(message.key for message in new)
        return [with_files(message) for message in new]

    return arrived
