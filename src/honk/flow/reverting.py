"""After a rollback: the change that takes the ill version out of the default branch again.

Production runs the version before by then. The default branch still has the ill one, and the next deploy would bring it
back; so a task of its own undoes it, and goes through the same checks, the same card and the same gate as any other.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime

from honk.flow.approvals import takes_back
from honk.flow.engine import TASKS, follow, step
from honk.flow.ports import known_repository, rooms
from honk.flow.verification import base_file
from honk.model import Event, State, Task


def revert(task_id: str, sha: str, carried: Sequence[str], reason: str) -> None:
    """Have the landed commits of a deploy that was rolled back undone by a task of its own."""
    if revert_id := prepare_revert(task_id, sha, list(carried), reason):
        turn_id = f"turn:{revert_id}:{sha[:16]}"
        follow("turn", turn_id, TASKS, revert_id, revert_id, turn_id)


@step
def prepare_revert(task_id: str, sha: str, carried: list[str], reason: str) -> str | None:
    """Write down the task that undoes what was rolled back, where the repository wants that."""
    room = rooms()
    task, repository = known_repository(task_id)
    deploy = base_file(repository, sha).deploy
    landed = [event for each in carried for event in room.store.events_of(each, "merge.landed")]
    landed = [event for event in landed if event.data.get("base")]
    if deploy is None or not deploy.revert or not landed or takes_back(room.store, task):
        return None
    revert_id = hashlib.sha256(f"revert\0{repository.name}\0{sha}".encode()).hexdigest()[:10]
    now = datetime.now(UTC)
    undone = Task(
        id=revert_id,
        repository=repository.name,
        text=_words(landed, repository.default_branch, reason),
        agent=f"script:{_undoing(landed)}",
        state=State.QUEUED,
        person=task.person,
        created_at=now,
        updated_at=now,
        branch=f"honk/{revert_id}",
        max_cost_usd=task.max_cost_usd,
        max_turns=task.max_turns,
        unsafe=task.unsafe,
        origin=task.origin,
    )
    account = room.store.account(task.person.id)
    room.store.create_task(undone, f"revert:{sha}", login=account.login if account else None)
    room.store.record(revert_id, "reverts", {"sha": sha, "task": task_id}, key=f"reverts:{sha}")
    for each in carried:
        room.store.record(
            each,
            "revert.prepared",
            {"task": revert_id, "sha": sha},
            key=f"revert:{sha}",
            changes={"next_action": f"Merge the revert (task {revert_id}), or ask for a fix"},
        )
    return revert_id


def _words(landed: Sequence[Event], branch: str, reason: str) -> str:
    titles = ", ".join(f"“{event.data['title']}” ({event.data['sha'][:8]})" for event in landed)
    return f"Revert {titles}\n\nIts deployment was rolled back, but {branch} still has it.\n\n{reason}"


def _undoing(landed: Sequence[Event]) -> str:
    """A shell line that takes each landed commit back, the last first, on whatever has come since. What git says is
    told if it fails."""
    undone = [
        f"git diff --binary --full-index {shlex.quote(event.data['sha'])} {shlex.quote(event.data['base'])}"
        ' | { told=$(git apply --3way --whitespace=nowarn 2>&1) || { echo "$told"; false; }; }'
        for event in sorted(landed, key=lambda event: event.id, reverse=True)
    ]
    named = " and ".join(event.data["sha"][:8] for event in landed)
    return " && ".join([*undone, f"echo 'Summary: {named} is taken back; what came since stays.'"])
