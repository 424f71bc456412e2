"""What is done each day without anybody asking."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from honk.flow.engine import step, workflow
from honk.flow.ports import rooms
from honk.flow.resting import tidy_workspaces


@workflow
def housekeeping(at: datetime, context: Any) -> None:
    """Started by the schedule: what it passes is of no interest here."""
    remove_artifacts()
    put_workspaces_down()
    remove_trees()
    maintain_mirrors()
    remove_logs()


@step
def remove_artifacts() -> None:
    """Remove what was built and is not needed any longer, with its pictures."""
    room = rooms()
    for task_id in room.builder.collect():
        if room.previews:
            room.previews.withdraw(task_id)
    if room.screenshots:
        room.screenshots.collect({str(row["sha256"]) for row in room.store.artifact_rows() if not row["removed"]})


@step
def remove_logs() -> None:
    """Forget what checks printed and found a while ago."""
    rooms().store.remove_old_logs(rooms().settings.check_logs_days)


@step
def put_workspaces_down() -> None:
    """Put down the workspaces that have rested for a while, and forget those that are over."""
    tidy_workspaces()


@step
def remove_trees() -> None:
    """Remove the shared trees that were not used for longest, as far as they take more than they may."""
    rooms().workspaces.collect()


@step
def maintain_mirrors() -> None:
    """Keep git's work on the mirrors quick."""
    rooms().workspaces.maintain()
