"""From the tap to the default branch: exactly the commit that was tried, on the newest base, verified as it will land.

compose → recheck → land → announce        (again from compose, a few times, when the branch moves meanwhile)
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from honk.flow.brief import change_title, commit_message
from honk.flow.engine import LANDINGS, TASKS, Engine, step, workflow
from honk.flow.ports import known_repository, rooms
from honk.flow.verification import base_file, verify_commit
from honk.gate import approvals_missing, check_tap, permit_merge, protected_paths, red
from honk.git import git
from honk.model import Conflict, HonkError, Landing, Person, Refused, State, Task
from honk.repository_file import RepositoryFile
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
            if sha := land(task_id, landing, head_sha, person):
                break
        else:
            raise Refused("The default branch kept moving while this was being merged: tap Merge again.")
        sound = confirm(task_id, landing, sha)
        deploys = announce(task_id, sha, person, sound)
    except Conflict as conflict:
        if refuse(task_id, head_sha, attempt, str(conflict), mend=True) and _engine:
            key = f"{head_sha}:{attempt}"
            _engine.start("update", f"update:{task_id}:{key}", TASKS, task_id, task_id, key)
        return
    except HonkError as error:
        refuse(task_id, head_sha, attempt, str(error), mend=False)
        return
    if deploys and _engine:
        name = landing["repository"]
        _engine.start("deploy", f"deploy:{name}:{sha}", LANDINGS, name, task_id, sha)


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
        {"head_sha": head_sha, "base_sha": task.base_sha},
        key=f"merge:{head_sha}:{attempt}",
        person=person,
        changes={"state": State.MERGING.value, "error": None, "next_action": None},
    )


@step
def compose(task_id: str, head_sha: str, number: int) -> dict[str, Any]:
    """Put the change on the newest base."""
    room = rooms()
    task, repository = known_repository(task_id)
    file = base_file(repository, room.workspaces.fetch(repository))
    landing = room.forges.of(repository).compose(
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
    task, repository = known_repository(task_id)
    composed = _landing(landing)
    if composed.unchanged and composed.base == task.base_sha:
        return
    checks = verify_commit(
        task,
        composed.sha,
        stop=lambda: False,
        source=room.forges.of(repository).git_dir(repository),
        base=composed.base,
    )
    if failed := red(checks):
        raise Refused(f"Not merged: on the newest {repository.default_branch} the checks fail.\n{explain(failed)}")


@step
def land(task_id: str, landing: dict[str, Any], head_sha: str, person: str) -> str | None:
    """Advance the default branch, if nobody else has meanwhile; the commit that landed."""
    room = rooms()
    task, repository = known_repository(task_id)
    composed = _landing(landing)
    branch = task.branch or ""
    file = base_file(repository, composed.base)
    checked = head_sha if composed.unchanged and composed.base == task.base_sha else composed.sha
    pull_request = room.forges.of(repository).pull_request(repository, branch)
    if pull_request is None or pull_request.state != "merged":
        access, missing = (
            room.forges.of(repository).access(repository, Person(person, person)),
            _missing_approvals(task, head_sha, file),
        )
        obstacle = room.forges.of(repository).obstacle(repository, branch, head_sha)
    else:
        # It landed before and this step's own note of it was lost: what let it through then was asked then.
        access, missing, obstacle = "write", None, None
    permit = permit_merge(
        task,
        pull_request,
        room.store.checks(repository.name, checked),
        composed.sha,
        head_sha,
        access=access,
        missing=missing,
        obstacle=obstacle,
    )
    return room.forges.of(repository).land(
        repository, permit, composed, branch=branch, method=file.merge.method, message=commit_message(task)
    )


@step
def confirm(task_id: str, landing: dict[str, Any], sha: str) -> bool:
    """Whether what landed is what was verified: a forge that makes the commit itself may have put more under it."""
    room = rooms()
    task, repository = known_repository(task_id)
    directory = room.forges.of(repository).git_dir(repository)
    trees = [git("rev-parse", f"{commit}^{{tree}}", directory=directory) for commit in (landing["sha"], sha)]
    if trees[0] == trees[1]:
        return True
    room.workspaces.fetch(repository)
    checks = verify_commit(task, sha, stop=lambda: False, source=directory, base=landing["base"])
    return not red(checks)


@step
def announce(task_id: str, sha: str, person: str, sound: bool) -> bool:
    """Put down that it landed; true if it is deployed now."""
    room = rooms()
    task, repository = known_repository(task_id)
    room.workspaces.fetch(repository)
    deploys = sound and base_file(repository, sha).deploy is not None
    trouble = None
    if not sound:
        trouble = (
            f"Something else landed on {repository.default_branch} in the same moment and the checks fail on the two "
            "together: nothing was deployed. Ask for a fix."
        )
    room.store.close_pull_request(repository.name, task.branch or "", "merged")
    room.store.record(
        task_id,
        "merge.landed",
        {
            "sha": sha,
            "branch": repository.default_branch,
            "title": change_title(task),
            "deploys": deploys,
            "trouble": trouble,
        },
        key=f"landed:{sha}",
        person=person,
        changes={"state": State.MERGED.value, "merged_sha": sha, "next_action": None, "error": trouble},
    )
    return deploys


@step
def refuse(task_id: str, head_sha: str, attempt: int, reason: str, mend: bool) -> bool:
    """Say why it was not merged, and offer it again as it was; true if an agent is to mend it first."""
    store = rooms().store
    task = store.task(task_id)
    if mend:
        reason += " The two are being put together now: a new version to try comes here."
    changes = {"error": reason}
    if task.state is State.MERGING:
        changes |= {"state": State.READY.value, "next_action": "Wait" if mend else "Reply or merge again"}
    store.record(task_id, "merge.refused", {"reason": reason}, key=f"refused:{head_sha}:{attempt}", changes=changes)
    return mend


def _missing_approvals(task: Task, head_sha: str, file: RepositoryFile) -> str | None:
    room = rooms()
    _, repository = known_repository(task.id)
    approved = [
        event.person for event in room.store.events_of(task.id, "approved") if event.data["head_sha"] == head_sha
    ]
    approved += room.forges.of(repository).approvals(repository, task.branch or "", head_sha)
    others: list[str] = []
    for person in approved:
        if not any(room.store.same_person(person, known) for known in [task.person.id, *others]):
            others.append(person)
    changed = room.forges.of(repository).changed_paths(repository, task.base_sha or "", head_sha)
    return approvals_missing(file.merge.approvals, protected_paths(changed, file.protect), others)


def _landing(kept: dict[str, Any]) -> Landing:
    return Landing(kept["base"], kept["sha"], kept["unchanged"])
