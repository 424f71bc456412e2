"""From the tap to the default branch: exactly the commit that was tried, on the newest base, verified as it will land.

compose → recheck → land → announce        (again from compose, a few times, when the branch moves meanwhile)
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from honk.flow.brief import change_title, commit_message
from honk.flow.engine import LANDINGS, Engine, step, workflow
from honk.flow.ports import rooms
from honk.flow.verification import base_file, verify_commit
from honk.gate import approvals_missing, check_tap, permit_merge, protected_paths, red
from honk.model import HonkError, Landing, Refused, Repository, State, Task
from honk.verify import explain

_TRIES = 3

_engine: Engine | None = None


def follow_with(engine: Engine) -> None:
    """Tell merges where to start the deploy that follows them."""
    global _engine  # noqa: PLW0603  the process has one engine
    _engine = engine


@workflow
def merge(task_id: str, head_sha: str, attempt: int, person: str) -> None:
    """A tap on Merge."""
    try:
        accept_tap(task_id, head_sha, attempt, person)
        for number in range(1, _TRIES + 1):
            landing = compose(task_id, head_sha, number)
            recheck(task_id, landing, head_sha)
            if land(task_id, landing, head_sha):
                break
        else:
            raise Refused("The default branch kept moving while this was being merged: tap Merge again.")
        deploys = announce(task_id, landing, person)
    except HonkError as error:
        refuse(task_id, head_sha, attempt, str(error))
        return
    if deploys and _engine:
        name = landing["repository"]
        _engine.start("deploy", f"deploy:{name}:{landing['sha']}", LANDINGS, name, task_id, landing["sha"])


@step
def accept_tap(task_id: str, head_sha: str, attempt: int, person: str) -> None:
    """Accept the tap if the commit it names is still the one that is offered."""
    store = rooms().store
    task = store.task(task_id)
    if task.state is not State.MERGING:
        check_tap(task, head_sha)
    store.record(
        task_id,
        "merge.requested",
        {"head_sha": head_sha},
        key=f"merge:{head_sha}:{attempt}",
        person=person,
        changes={"state": State.MERGING.value, "error": None, "next_action": None},
    )


@step
def compose(task_id: str, head_sha: str, number: int) -> dict[str, Any]:
    """Put the change on the newest base."""
    room = rooms()
    task, repository = _known(task_id)
    file = base_file(repository, room.workspaces.fetch(repository))
    landing = room.forge.compose(
        repository,
        head_sha=head_sha,
        method=file.merge.method,
        message=commit_message(task),
        person=task.person,
        at=task.created_at.isoformat(),
    )
    return asdict(landing) | {"repository": repository.name}


@step
def recheck(task_id: str, landing: dict[str, Any], head_sha: str) -> None:
    """Verify the commit as it will land, unless its tree is the tried one on the tried base."""
    room = rooms()
    task, repository = _known(task_id)
    composed = _landing(landing)
    if composed.unchanged and composed.base == task.base_sha:
        return
    checks = verify_commit(
        task, composed.sha, stop=lambda: False, source=room.forge.git_dir(repository), base=composed.base
    )
    if failed := red(checks):
        raise Refused(f"Not merged: on the newest {repository.default_branch} the checks fail.\n{explain(failed)}")


@step
def land(task_id: str, landing: dict[str, Any], head_sha: str) -> bool:
    """Advance the default branch, if nobody else has meanwhile."""
    room = rooms()
    task, repository = _known(task_id)
    composed = _landing(landing)
    checked = head_sha if composed.unchanged and composed.base == task.base_sha else composed.sha
    permit = permit_merge(
        task,
        room.forge.pull_request(repository, task.branch or ""),
        room.store.checks(repository.name, checked),
        composed.sha,
        head_sha,
        _missing_approvals(task, repository, head_sha),
    )
    return room.forge.land(repository, permit, composed)


@step
def announce(task_id: str, landing: dict[str, Any], person: str) -> bool:
    """Put down that it landed; true if the repository deploys."""
    room = rooms()
    task, repository = _known(task_id)
    deploys = base_file(repository, room.workspaces.fetch(repository)).deploy is not None
    room.store.close_pull_request(repository.name, task.branch or "", "merged")
    room.store.record(
        task_id,
        "merge.landed",
        {
            "sha": landing["sha"],
            "branch": repository.default_branch,
            "title": change_title(task),
            "deploys": deploys,
        },
        key=f"landed:{landing['sha']}",
        person=person,
        changes={"state": State.MERGED.value, "merged_sha": landing["sha"], "next_action": None},
    )
    return deploys


@step
def refuse(task_id: str, head_sha: str, attempt: int, reason: str) -> None:
    """Say why it was not merged, and offer it again as it was."""
    store = rooms().store
    task = store.task(task_id)
    changes = {"error": reason}
    if task.state is State.MERGING:
        changes |= {"state": State.READY.value, "next_action": "Reply or merge again"}
    store.record(task_id, "merge.refused", {"reason": reason}, key=f"refused:{head_sha}:{attempt}", changes=changes)


def _missing_approvals(task: Task, repository: Repository, head_sha: str) -> str | None:
    room = rooms()
    file = base_file(repository, room.workspaces.fetch(repository))
    approved_by = {
        event.person
        for event in room.store.events(task_id=task.id, limit=1_000_000)
        if event.kind == "approved" and event.data["head_sha"] == head_sha and event.person != task.person.id
    }
    changed = room.forge.changed_paths(repository, task.base_sha or "", head_sha)
    return approvals_missing(file.merge.approvals, protected_paths(changed, file.protect), approved_by)


def _landing(kept: dict[str, Any]) -> Landing:
    return Landing(kept["base"], kept["sha"], kept["unchanged"])


def _known(task_id: str) -> tuple[Task, Repository]:
    task = rooms().store.task(task_id)
    repository = rooms().store.repository(task.repository)
    if repository is None:
        raise HonkError(f"The repository {task.repository!r} is not known here any more.")
    return task, repository
