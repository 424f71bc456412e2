"""From the tap to the default branch: exactly the commit that was tried, on the newest base, verified as it will land.

compose → recheck → land → announce        (again from compose, a few times, when the branch moves meanwhile)
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from honk.flow.approvals import independent, permitted_by
from honk.flow.brief import change_title, commit_message
from honk.flow.engine import LANDINGS, TASKS, Engine, step, workflow
from honk.flow.ports import known_repository, rooms
from honk.flow.verification import base_file, verify_commit
from honk.gate import approvals_missing, check_tap, permit_merge, protected_paths, red
from honk.git import git
from honk.model import Access, Conflict, HonkError, Landing, Person, Refused, Repository, State, Task
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
        if refuse(task_id, head_sha, attempt, str(conflict), mend=True, unknown=False) and _engine:
            key = f"{head_sha}:{attempt}"
            _engine.start("update", f"update:{task_id}:{key}", TASKS, task_id, task_id, key)
        _go_on(task_id, head_sha, attempt)
        return
    except HonkError as error:
        refuse(task_id, head_sha, attempt, str(error), mend=False, unknown=not isinstance(error, Refused))
        _go_on(task_id, head_sha, attempt)
        return
    if deploys and _engine:
        name = landing["repository"]
        _engine.start("deploy", f"deploy:{name}:{sha}", LANDINGS, name, task_id, sha)


def _go_on(task_id: str, head_sha: str, attempt: int) -> None:
    """Take the words that came while the merge was tried."""
    if _engine:
        turn_id = f"turn:{task_id}:after:{head_sha}:{attempt}"
        _engine.start("turn", turn_id, TASKS, task_id, task_id, turn_id)


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
        method=_method(task, repository, file),
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
    forge = room.forges.of(repository)
    pull_request = forge.pull_request(repository, branch)
    access: Access = "write"
    missing, obstacle = None, None
    # Once it has landed, what let it through was asked before; somebody else's merge was never let through by Honk.
    if not (pull_request and pull_request.state == "merged" and permitted_by(room.store, task_id, head_sha)):
        if pull_request and pull_request.state == "merged":
            raise Refused("Somebody merged it on the forge meanwhile: Honk did not, and deploys nothing of it.")
        access = forge.access(repository, Person(person, person))
        missing = _missing_approvals(task, head_sha, file, composed)
        obstacle = forge.obstacle(repository, branch, head_sha)
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
    attempt = room.store.count_events(task_id, "merge.refused")
    told = {"head_sha": head_sha, "sha": composed.sha}
    room.store.record(task_id, "merge.permitted", told, key=f"permitted:{composed.sha}:{attempt}", person=person)
    return forge.land(
        repository,
        permit,
        composed,
        branch=branch,
        method=_method(task, repository, file),
        message=commit_message(task),
    )


def _method(task: Task, repository: Repository, file: RepositoryFile) -> str:
    """How it lands. What was merged into the change cannot be rebased, so that is squashed."""
    change = rooms().forges.of(repository).git_dir(repository)
    between = f"{task.base_sha}..{task.head_sha}"
    if file.merge.method == "rebase" and git("rev-list", "--merges", "-n", "1", between, directory=change):
        return "squash"
    return file.merge.method


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
def refuse(task_id: str, head_sha: str, attempt: int, reason: str, mend: bool, unknown: bool) -> bool:
    """Say why it was not merged, and offer it again as it was; true if an agent is to mend it first."""
    store = rooms().store
    task = store.task(task_id)
    if mend:
        reason += " The two are being put together now: a new version to try comes here."
    changes = {"error": reason}
    if task.state is State.MERGING:
        changes |= {"state": State.READY.value, "next_action": "Wait" if mend else "Reply or merge again"}
    told = {"reason": reason, "unknown": unknown}
    store.record(task_id, "merge.refused", told, key=f"refused:{head_sha}:{attempt}", changes=changes)
    return mend


def _missing_approvals(task: Task, head_sha: str, file: RepositoryFile, landing: Landing) -> str | None:
    room = rooms()
    _, repository = known_repository(task.id)
    forge = room.forges.of(repository)
    approved = [
        event.person for event in room.store.events_of(task.id, "approved") if event.data["head_sha"] == head_sha
    ]
    approved += forge.approvals(repository, task.branch or "", head_sha)
    wanted = max(file.merge.approvals, forge.wanted_approvals(repository))
    changed = forge.changed_paths(repository, landing.base, landing.sha)
    others = independent(room.store, task, approved)
    return approvals_missing(wanted, protected_paths(changed, file.protect), others)


def _landing(kept: dict[str, Any]) -> Landing:
    return Landing(kept["base"], kept["sha"], kept["unchanged"])
