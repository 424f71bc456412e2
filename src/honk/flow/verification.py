"""Verification as the flow asks for it: on a clean checkout, bound to the commit, run once for what has not changed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from honk.flow.ports import rooms
from honk.flow.reach import reach_of
from honk.flow.view import check_view
from honk.gate import red
from honk.model import Check, Repository, Task
from honk.repository_file import RepositoryFile, parse_repository_file

NO_CHECKS = Check(
    name="checks",
    status="skipped",
    seconds=0.0,
    summary="No checks were found in this repository: nothing but the diff speaks for this change. "
    "Name some under `verify:` in honk.yaml.",
    why="no verifier fits what the repository contains",
)


def base_file(repository: Repository, commit: str) -> RepositoryFile:
    """`honk.yaml` as it stands on the base branch, never the change's own. Raises `UsageError` naming line and key."""
    return parse_repository_file(rooms().workspaces.read(repository, commit, "honk.yaml") or "")


def configuration_digest(repository: Repository, base: str) -> str:
    """Names everything besides the commit that decides what the checks are."""
    text = rooms().workspaces.read(repository, base, "honk.yaml") or ""
    allowed = [f"{one.host}:{one.port}" for one in rooms().store.allowances(repository.name)]
    return hashlib.sha256(("1\0" + text + "\0".join([*rooms().settings.egress, *allowed])).encode()).hexdigest()


def verify_commit(
    task: Task, commit: str, *, stop: Callable[[], bool], source: Path | None = None, base: str | None = None
) -> list[Check]:
    """The checks' results on `commit`, from the store if they are there, run now if not."""
    room = rooms()
    repository = room.store.repository(task.repository)
    if repository is None:
        raise LookupError(task.repository)
    base = base or task.base_sha or ""
    configuration = configuration_digest(repository, base)
    if known := room.store.checks(repository.name, commit, configuration):
        return known
    place = f"check:{commit[:12]}:{configuration[:8]}"

    def on_start(name: str, command: str, why: str) -> None:
        data = {"name": name, "command": command, "why": why, "commit": commit}
        room.store.record(task.id, "check.started", data, key=f"{place}:{name}:started")

    def on_finish(check: Check) -> None:
        data = check_view(check) | {"commit": commit}
        room.store.record(task.id, "check.finished", data, key=f"{place}:{check.name}:finished")

    with room.workspaces.checkout(
        repository,
        commit,
        source=source or room.workspaces.change_git_dir(task),
        unsafe=task.unsafe,
        reach=reach_of(task, "checks", place),
    ) as checkout:
        checks = list(
            room.verification(checkout, base_file(repository, base), on_start=on_start, on_finish=on_finish, stop=stop)
        )
    if not checks:
        checks = [NO_CHECKS]
        on_finish(NO_CHECKS)
    room.store.save_checks(repository.name, commit, configuration, checks)
    green = not red(checks)
    room.store.record(task.id, "verify.finished", {"commit": commit, "green": green}, key=f"{place}:finished")
    return checks
