"""What a repository declares is installed before an agent begins, so that it can build and test as it works."""

from __future__ import annotations

from collections.abc import Callable

from honk.flow.engine import step
from honk.flow.ports import known_repository, rooms
from honk.flow.reach import reach_of
from honk.flow.verification import base_file
from honk.model import Check, Checkout, Reach, Repository
from honk.verify import Conditions, Verifier
from honk.verify import equip as set_up_checkout


@step
def equip(task_id: str, turn_id: str) -> None:
    """Install what the repository declares where the agent will find it, once for the same declarations."""
    room = rooms()
    task, repository = known_repository(task_id)
    base = task.base_sha or ""
    if task.unsafe or room.workspaces.exists(task):
        return

    def on_start(verifier: Verifier) -> None:
        told = {"command": verifier.command, "why": verifier.why}
        room.store.record(task_id, "set_up.started", told, key=f"{turn_id}:{verifier.name}:started")

    def on_trouble(check: Check) -> None:
        told = {"command": check.command, "summary": check.summary}
        room.store.record(task_id, "set_up.failed", told, key=f"{turn_id}:{check.name}:failed")

    set_up_base(
        repository,
        base,
        on_start=on_start,
        on_trouble=on_trouble,
        stop=lambda: room.store.task(task_id).cancel_requested,
        reach=reach_of(task, "set-up", turn_id),
    )


def set_up_base(
    repository: Repository,
    base: str,
    *,
    on_start: Callable[[Verifier], None] = lambda _: None,
    on_trouble: Callable[[Check], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
    reach: Reach | None = None,
) -> None:
    """Set the tree of a base up, unless it is known how. Raises `Cancelled` when `stop()` turns true."""
    room = rooms()

    def set_up(checkout: Checkout) -> str | None:
        return set_up_checkout(
            checkout,
            base_file(repository, base),
            Conditions.of(room.settings, stop),
            on_start=on_start,
            on_trouble=on_trouble,
        )

    room.workspaces.ready(repository, base, set_up, reach)
