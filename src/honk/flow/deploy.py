"""From landed to healthy, or back again by itself.

superseded → begin_deploy → rebuild → run_deploy → watch → settle      ill: run_rollback → settle_rolled_back → revert

A deploy carries whoever landed together with it, or waited for a deploy when it came: they share what becomes of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from honk.flow.attesting import attest_deployment
from honk.flow.building import build_commit, wanted_builds
from honk.flow.engine import step, workflow
from honk.flow.ports import known_repository, rooms
from honk.flow.progress import newest_line
from honk.flow.reverting import revert
from honk.flow.verification import base_file
from honk.git import git
from honk.model import Artifact, HonkError, Repository, State, Task, UsageError
from honk.repository_file import SERVICE, Deploy
from honk.ship.versions import Prepared


@workflow
def deploy(task_id: str, sha: str) -> None:
    """A landed commit's way into production."""
    if superseded(task_id, sha):
        return
    try:
        begin_deploy(task_id, sha)
        rebuild(task_id, sha)
        run_deploy(task_id, sha)
        watch(task_id, sha)
        settle(task_id, sha)
    except HonkError as error:
        declare_ill(task_id, sha, str(error))
        _go_back(task_id, sha, str(error))


@workflow
def roll_back(task_id: str, sha: str, person: str) -> None:
    """A tap on Roll back."""
    if ask_rollback(task_id, sha, person):
        _go_back(task_id, sha, "asked for by a person")


def _go_back(task_id: str, sha: str, reason: str) -> None:
    try:
        run_rollback(task_id, sha)
    except HonkError as error:
        stop_ill(task_id, sha, reason, str(error))
        return
    carried = settle_rolled_back(task_id, sha, reason)
    revert(task_id, sha, carried, reason)


@step
def superseded(task_id: str, sha: str) -> bool:
    """Whether something newer has landed since and waits for its own deploy, which carries this one then."""
    room = rooms()
    task = room.store.task(task_id)
    (landed,) = [event for event in room.store.events_of(task_id, "merge.landed") if event.data["sha"] == sha]
    newer = [
        event
        for event in room.store.landings(task.repository, after=landed.id)
        if event.data.get("leads", True) and event.data["deploys"]
    ]
    if not newer or room.store.deployment(task.repository, sha):
        return False
    told = {"task": newer[0].task_id, "sha": newer[0].data["sha"]}
    for each in _carried(task_id, sha):
        room.store.record(each, "deploy.joined", told, key=f"joined:{told['sha']}")
    return True


@step
def begin_deploy(task_id: str, sha: str) -> None:
    """Note the deployment and the healthy one before it."""
    room = rooms()
    task, repository, wanted = _known(task_id, sha)
    room.store.save_deployment(repository.name, sha, task.id, "running")
    before = dict(room.deployer.measure(wanted))
    for each in _carried(task_id, sha):
        room.store.record(
            each,
            "deploy.started",
            {"command": wanted.named.strip("`"), "sha": sha, "before": before},
            key=f"deploy:{sha}",
            changes={
                "state": State.DEPLOYING.value,
                "deploy_status": "running",
                "deploy_url": wanted.url or _served_at(wanted) or (wanted.health.url if wanted.health else None),
            },
        )


@step
def rebuild(task_id: str, sha: str) -> None:
    """Build what is deployed from the landed commit, unless what was tried has the very same tree."""
    task, repository, _ = _known(task_id, sha)
    if _same_tree(repository, sha, task.head_sha or ""):
        return
    for kind in wanted_builds(task, repository, sha):
        if kind != SERVICE:
            build_commit(task_id, sha, kind)


@step
def run_deploy(task_id: str, sha: str) -> None:
    """Run the deploy command on the landed commit."""
    room = rooms()
    task, repository, wanted = _known(task_id, sha)
    row = room.store.deployment(repository.name, sha)
    tell = newest_line(_carried(task_id, sha), "deploy.progress", {}, f"deploy:{sha}")
    if wanted.environment:
        room.forges.of(repository).deploy(
            repository, sha, environment=wanted.environment, key=f"deploy:{sha}", seconds=wanted.timeout, tell=tell
        )
        return
    artifacts = {built.kind: room.builder.path(built) for built in _built(task, repository, sha)}
    with room.workspaces.checkout(repository, sha, source=room.forges.of(repository).git_dir(repository)) as checkout:
        room.deployer.deploy(
            checkout,
            wanted,
            repository,
            previous=row["previous"] if row else None,
            artifacts=artifacts,
            on_output=tell,
        )


@step
def watch(task_id: str, sha: str) -> None:
    """Watch the deployment's health for as long as the repository asks."""
    room = rooms()
    _, repository, wanted = _known(task_id, sha)
    started = [event for event in room.store.events_of(task_id, "deploy.started") if event.data["sha"] == sha]
    before = started[-1].data.get("before") or {} if started else {}
    if wanted.health is None or wanted.health.run is None:
        room.deployer.watch(None, wanted, repository, before)
        return
    with room.workspaces.checkout(repository, sha, source=room.forges.of(repository).git_dir(repository)) as checkout:
        room.deployer.watch(checkout, wanted, repository, before)


@step
def settle(task_id: str, sha: str) -> None:
    """Put down that the new version is healthy in production."""
    room = rooms()
    task, repository, wanted = _known(task_id, sha)
    room.store.save_deployment(repository.name, sha, task_id, "healthy")
    for each in _carried(task_id, sha):
        room.store.record(
            each,
            "deploy.healthy",
            {"url": task.deploy_url, "watched_seconds": wanted.health.seconds if wanted.health else 0, "sha": sha},
            key=f"healthy:{sha}",
            changes={"state": State.DEPLOYED.value, "deploy_status": "healthy", "next_action": None},
        )
        attest_deployment(each, sha, "deploy.healthy")


@step
def declare_ill(task_id: str, sha: str, reason: str) -> None:
    """Put down what is wrong with the deployment."""
    room = rooms()
    room.store.save_deployment(_known(task_id, sha)[1].name, sha, task_id, "ill")
    for each in _carried(task_id, sha):
        room.store.record(
            each,
            "deploy.ill",
            {"reason": reason, "sha": sha},
            key=f"ill:{sha}",
            changes={"deploy_status": "ill", "error": reason},
        )


@step
def ask_rollback(task_id: str, sha: str, person: str) -> bool:
    """Accept the tap on Roll back, unless a newer version came into production while it waited for its turn: what it
    would bring back is older than what was replaced then."""
    store = rooms().store
    task = store.task(task_id)
    newest = store.deployment(task.repository)
    if task.state is State.DEPLOYED and newest and newest["commit"] != sha:
        reason = f"Not rolled back: the newer {newest['commit'][:8]} is in production by now. Roll that one back first."
        key = f"rollback-refused:{sha}:{newest['commit']}"
        store.record(task_id, "rollback.refused", {"sha": sha, "reason": reason}, key=key, person=person)
        return False
    for each in _carried(task_id, sha):
        store.record(
            each,
            "rollback.requested",
            {"sha": sha},
            key=f"rollback:{sha}",
            person=person,
            changes={"state": State.DEPLOYING.value},
        )
    return True


@step
def run_rollback(task_id: str, sha: str) -> None:
    """Run the rollback command."""
    room = rooms()
    _, repository, wanted = _known(task_id, sha)
    row = room.store.deployment(repository.name, sha)
    previous = row["previous"] if row else None
    tell = newest_line(_carried(task_id, sha), "deploy.progress", {}, f"rollback:{sha}")
    if wanted.environment:
        if previous is None:
            raise HonkError("there is no healthy deployment before this one.")
        room.forges.of(repository).deploy(
            repository,
            previous,
            environment=wanted.environment,
            key=f"rollback:{sha}",
            seconds=wanted.timeout,
            tell=tell,
        )
        return
    artifacts = _kept(repository, previous) if previous and wanted.rollback else {}
    with room.workspaces.checkout(repository, sha, source=room.forges.of(repository).git_dir(repository)) as checkout:
        room.deployer.rollback(checkout, wanted, repository, previous=previous, artifacts=artifacts, on_output=tell)


@step
def settle_rolled_back(task_id: str, sha: str, reason: str) -> list[str]:
    """Put down that the version before is back; the tasks that went with it."""
    room = rooms()
    _, repository, _ = _known(task_id, sha)
    row = room.store.deployment(repository.name, sha)
    room.store.save_deployment(repository.name, sha, task_id, "rolled back")
    carried = _carried(task_id, sha)
    for each in carried:
        room.store.record(
            each,
            "rolled_back",
            {"to": row["previous"] if row else None, "reason": reason, "sha": sha},
            key=f"rolled-back:{sha}",
            changes={
                "state": State.ROLLED_BACK.value,
                "deploy_status": "rolled_back",
                "error": f"Rolled back: {reason}",
                "next_action": f"{repository.default_branch} still contains the change: ask for a fix or a revert",
            },
        )
        attest_deployment(each, sha, "rolled_back")
    return carried


@step
def stop_ill(task_id: str, sha: str, reason: str, trouble: str) -> None:
    """Say plainly that the deployment is ill and could not be rolled back."""
    text = f"The deployment is ill ({reason}) and rolling back did not work: {trouble}"
    for each in _carried(task_id, sha):
        rooms().store.record(
            each,
            "failed",
            {"error": text, "next": "Look at production now", "sha": sha},
            key=f"stuck:{sha}",
            changes={"state": State.FAILED.value, "error": text, "next_action": "Look at production now"},
        )
        attest_deployment(each, sha, "failed")


@contextmanager
def deployed_service(
    repository: str, commit: str, stop: Callable[[], bool], on_output: Callable[[str], None]
) -> Iterator[Prepared]:
    """A landed commit's service, set up to be run as long as the context lasts. Raises `HonkError` when that cannot be,
    `Cancelled` when `stop()` turns true."""
    room = rooms()
    known = room.store.repository(repository)
    if known is None:
        raise UsageError(f"The repository {repository!r} is not known here any more.")
    file = base_file(known, commit)
    if file.deploy is None or file.deploy.service is None:
        raise HonkError(f"honk.yaml names no `deploy.service` at {commit[:8]}.")
    with room.workspaces.checkout(known, commit, source=room.forges.of(known).git_dir(known)) as checkout:
        ready = room.builder.set_up(checkout, file, stop=stop, on_output=on_output)
        within = file.deploy.health.within if file.deploy.health else 5.0
        yield Prepared(checkout, file.deploy.service, ready, file.deploy.answers, within)


def tell_of_service(repository: str, commit: str, kind: str, data: Mapping[str, Any]) -> None:
    """Put down what became of a service in production where its deploy is told."""
    store = rooms().store
    row = store.deployment(repository, commit)
    for each in _carried(row["task_id"], commit) if row else ():
        store.record(each, kind, {**data, "sha": commit}, key=f"{kind}:{commit}:{time.time_ns()}")


def _carried(task_id: str, sha: str) -> list[str]:
    """The task whose commit is deployed, and those that go with it."""
    return [task_id, *rooms().store.tasks_with(f"joined:{sha}")]


def _built(task: Task, repository: Repository, sha: str) -> list[Artifact]:
    """What was built of a landed commit: what was tried, where that has the very same tree."""
    commit = task.head_sha if _same_tree(repository, sha, task.head_sha or "") else sha
    rows = rooms().store.artifact_rows(task.id)
    return [Artifact(row["kind"], row["commit"], row["sha256"], row["size"]) for row in rows if row["commit"] == commit]


def _kept(repository: Repository, sha: str) -> dict[str, Path]:
    """What is still there of an earlier deployment's builds. A rollback that does without them is not kept from it."""
    room = rooms()
    row = room.store.deployment(repository.name, sha)
    kept: dict[str, Path] = {}
    for built in _built(room.store.task(row["task_id"]), repository, sha) if row else ():
        with suppress(HonkError):
            kept[built.kind] = room.builder.path(built)
    return kept


def _served_at(wanted: Deploy) -> str | None:
    return f"http://{wanted.listen}/" if wanted.listen else None


def _same_tree(repository: Repository, one: str, other: str) -> bool:
    directory = rooms().forges.of(repository).git_dir(repository)
    return git("rev-parse", f"{one}^{{tree}}", directory=directory) == git(
        "rev-parse", f"{other}^{{tree}}", directory=directory
    )


def _known(task_id: str, sha: str) -> tuple[Task, Repository, Deploy]:
    """The task, its repository, and how the landed commit says it is deployed."""
    task, repository = known_repository(task_id)
    wanted = base_file(repository, sha).deploy
    if wanted is None:
        raise UsageError("honk.yaml has no `deploy:` any more.")
    return task, repository, wanted
