"""What becomes of workspaces while their tasks rest: put down in the store, and in the end forgotten."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime, timedelta

from honk.flow.ports import rooms
from honk.model import HonkError, State, Task

log = logging.getLogger("honk.flow")

_OVER = frozenset({State.MERGED, State.DEPLOYED, State.ROLLED_BACK, State.CANCELLED})
"""Where a task's work is in the forge, or was given up."""


def tidy_workspaces() -> None:
    """Put down what has rested on this machine for a while, and forget what is over for long."""
    room = rooms()
    here = set(room.workspaces.here())
    for task_id in {*here, *room.workspaces.known()}:
        task = room.store.find_task(task_id)
        if task is None or not task.state.resting or room.store.waiting_messages(task_id):
            continue
        rested = datetime.now(UTC) - task.updated_at
        if task.state in _OVER and rested > timedelta(days=room.settings.workspace_days):
            room.workspaces.remove(task)
            room.store.remove_transcript(task_id)
        elif task_id in here:
            idle = rested >= timedelta(hours=room.settings.workspace_idle_hours)
            # Where another machine may take the next turn, it must find what there is.
            if idle or room.settings.database_url:
                put_down(task, remove=idle)


def put_down(task: Task, *, remove: bool) -> None:
    """Put a resting task's workspace down; the person is told what was left out."""
    room = rooms()
    repository = room.store.repository(task.repository)
    if repository is None:
        return
    try:
        left = room.workspaces.put_down(task, repository, remove=remove)
    except HonkError as error:
        log.warning("the workspace of task %s stays as it is: %s", task.id, error)
        return
    if left:
        told = {"paths": list(left)[:20], "count": len(left), "bytes": sum(left.values())}
        room.store.record(task.id, "workspace.left_out", told, key=f"left-out:{task.updated_at.isoformat()}")


class Resting:
    """A thread of a worker that looks after its workspaces every so often."""

    def __init__(self) -> None:
        self._end = threading.Event()

    def start(self) -> None:
        """Begin, a first interval from now."""
        threading.Thread(target=self._run, name="resting", daemon=True).start()

    def _run(self) -> None:
        settings = rooms().settings
        seconds = 2.0 if settings.database_url else min(60.0, max(0.2, settings.workspace_idle_hours * 900))
        while not self._end.wait(seconds):
            try:
                tidy_workspaces()
            except Exception:
                log.exception("workspaces could not be looked after")

    def close(self) -> None:
        """Do not begin again."""
        self._end.set()
