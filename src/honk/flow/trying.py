"""The receipt: on what a version was tried before it was merged. It belongs to the commit: a newer one has none."""

from __future__ import annotations

from honk.flow.building import describe_built
from honk.flow.engine import step, workflow
from honk.flow.ports import rooms
from honk.model import State


@workflow
def tell_tried(task_id: str, commit: str) -> None:
    """Somebody tried the version: the pull request says so."""
    describe_tried(task_id, commit)


@step
def describe_tried(task_id: str, commit: str) -> None:
    """Bring the pull request's text up to date, while this commit is what it offers."""
    task = rooms().store.task(task_id)
    if task.state is State.READY and task.head_sha == commit and task.pull_request and not task.merged_sha:
        describe_built(task_id)
