"""How it was before, made after the card is there, so that nobody waits for it: the page, and the app people have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from honk.flow.building import Order, built_before, made_here, order
from honk.flow.engine import step, workflow
from honk.flow.installing import packages_of
from honk.flow.ports import known_repository, rooms
from honk.model import Artifact, HonkError, Repository, Task


@workflow
def compare(task_id: str, commit: str) -> None:
    """The pages and packages of a commit beside those of its base."""
    compare_pages(task_id, commit)
    compare_packages(task_id, commit)


@step
def compare_pages(task_id: str, commit: str) -> None:
    """Picture the base's page where there is no picture of it yet, and show what looks otherwise."""
    room = rooms()
    task, repository = known_repository(task_id)
    if room.screenshots is None or task.head_sha != commit or not task.base_sha:
        return
    for event in room.store.events_of(task_id, "build.finished"):
        kind = str(event.data["kind"])
        if event.data["commit"] != commit or not event.data.get("pictured"):
            continue
        try:
            before = _before(task, repository, kind)
        except HonkError:
            continue
        if before is None:
            continue
        after = str(event.data["sha256"])
        found = room.screenshots.compare(before["sha256"], after)
        if found is None:
            continue
        told = {
            "kind": kind,
            "commit": commit,
            "before": before["sha256"],
            "after": after,
            "size_before": before.get("size"),
            "changed": round(found.changed, 5),
            "places": found.places,
        }
        room.store.record(task_id, "build.compared", told, key=f"compared:{commit}:{kind}")


@step
def compare_packages(task_id: str, commit: str) -> None:
    """Build the base's app where nothing that people have is known, so that what is different can be told."""
    room = rooms()
    task, repository = known_repository(task_id)
    for row in room.store.artifact_rows(task_id):
        if row["commit"] != commit or task.head_sha != commit or row["compared_with"] or row["void"]:
            continue
        if not any(one.facts for one in room.store.packages([row["sha256"]]).get(row["sha256"], ())):
            continue
        kind = str(row["kind"])
        try:
            before = _package_before(task, repository, kind)
        except HonkError:
            continue
        if before:
            room.store.compare_with(task_id, commit, kind, before["sha256"])
            told = {"kind": kind, "commit": commit, "before": before["sha256"], "size_before": before.get("size")}
            room.store.record(task_id, "package.compared", told, key=f"package:{commit}:{kind}")


def _package_before(task: Task, repository: Repository, kind: str) -> Mapping[str, Any] | None:
    """The SHA-256 and the size of what the base's build makes; None if that holds no package."""
    room = rooms()
    wanted = order(task, repository, task.base_sha or "", kind)
    if wanted is None:
        return None
    place = f"{repository.name}:{kind}:{wanted.fingerprint}"
    if known := room.store.recall("ship", "package", place):
        return known if known["sha256"] else None
    made = built_before(wanted) or _build(wanted)
    found = {"sha256": made.sha256 if packages_of(made) else None, "size": made.size}
    room.store.remember("ship", "package", place, found)
    return found if found["sha256"] else None


def _before(task: Task, repository: Repository, kind: str) -> Mapping[str, Any] | None:
    """The SHA-256 and the size of what the base's build makes, with a picture of it; None if the base has no such
    page."""
    room = rooms()
    wanted = order(task, repository, task.base_sha or "", kind)
    if wanted is None or room.screenshots is None:
        return None
    place = f"{repository.name}:{kind}:{wanted.fingerprint}"
    known = room.store.recall("ship", "page", place)
    if known and room.screenshots.path(str(known["sha256"])):
        return known
    found = built_before(wanted)
    if found is None or room.screenshots.path(found.sha256) is None:
        found = _build(wanted)
    if room.screenshots.path(found.sha256) is None:
        return None
    told = {"sha256": found.sha256, "size": found.size}
    room.store.remember("ship", "page", place, told)
    return told


def _build(wanted: Order) -> Artifact:
    """The base's page, for its picture only: it is offered to nobody and swept away like what a dead process left."""

    def outdated() -> bool:
        return rooms().store.task(wanted.task.id).head_sha != wanted.task.head_sha

    return made_here(wanted, outdated, lambda _: None)
