"""What happened, put into signed statements: of each artifact, each merge and each deployment.

Called at the end of the steps in which that happened. A statement is made once for a key, from the log alone, so a step
that is repeated changes nothing. One that cannot be made is told in the log and never stands in the way of what it is
about: a key that cannot be read must not roll a healthy deployment back.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import wraps
from typing import Any, ParamSpec
from urllib.parse import urlsplit

from honk import __version__
from honk.flow.ports import known_repository, rooms
from honk.flow.view import findings_of, override_of, trials, verdict_of
from honk.model import Artifact, Event, HonkError, Making, Task
from honk.provenance import (
    ARTIFACT,
    CHANGE,
    DEPLOYMENT,
    TREE,
    artifact_statement,
    change_statement,
    deployment_statement,
    subjects_of,
)

log = logging.getLogger("honk.flow")

Given = ParamSpec("Given")

_STATUS = {"deploy.healthy": "healthy", "rolled_back": "rolled back", "failed": "ill, and not rolled back"}


def _beside(attest: Callable[Given, None]) -> Callable[Given, None]:
    """A failure of this is told and goes no further."""

    @wraps(attest)
    def attempt(*arguments: Given.args, **named: Given.kwargs) -> None:
        try:
            attest(*arguments, **named)
        except Exception as error:
            log.exception("no statement could be signed (%s)", attest.__name__)
            told = {"about": attest.__name__.removeprefix("attest_"), "error": str(error)[:500]}
            key = f"unattested:{':'.join(str(one) for one in arguments if isinstance(one, str))}"
            rooms().store.record(str(arguments[0]), "attest.failed", told, key=key)

    return attempt


@_beside
def attest_artifact(task_id: str, artifact: Artifact) -> None:
    """State what was built, from what, by what and on whose word."""
    room = rooms()
    task, repository = known_repository(task_id)
    key = f"artifact:{task_id}:{artifact.commit}:{artifact.kind}"
    if room.store.has_statement(key):
        return
    made = artifact.making
    finished = made.at.isoformat() if made else None
    try:
        files = room.builder.files(artifact)
    except HonkError:
        # It was removed meanwhile: its digest still says what it was.
        files = {}
    _keep(
        key,
        task_id,
        ARTIFACT,
        artifact_statement(
            repository=_address(repository.git_url),
            commit=artifact.commit,
            base=task.base_sha,
            kind=artifact.kind,
            tree=artifact.sha256,
            files=files,
            making={"command": made.command if made else None, "finished": finished},
            change=_change(task, artifact.commit),
            builder={"id": _builder(task, made), "version": {"honk": __version__}},
        ),
    )


@_beside
def attest_merge(task_id: str, sha: str) -> None:
    """State what landed, and all that spoke for it."""
    room = rooms()
    task, repository = known_repository(task_id)
    key = f"change:{task_id}:{sha}"
    landed = next((event for event in room.store.events_of(task_id, "merge.landed") if event.data["sha"] == sha), None)
    if landed is None or room.store.has_statement(key):
        return
    change = _change(task, task.head_sha or "") | {
        "artifacts": [
            {"kind": row["kind"], "commit": row["commit"], "digest": {TREE: row["sha256"]}}
            for row in room.store.artifact_rows(task_id)
            if row["commit"] == task.head_sha
        ],
        "trials": [
            {"kind": event.data["kind"], "device": event.data["device"], "at": event.at.isoformat()}
            for event in trials(room.store, task)
        ],
        "approvals": [
            {"person": event.person, "at": event.at.isoformat()}
            for event in room.store.events_of(task_id, "approved")
            if event.data["head_sha"] == task.head_sha
        ],
        "override": {"person": override.person, "at": override.at.isoformat(), "reasons": override.data["reasons"]}
        if (override := override_of(room.store, task_id, task.head_sha))
        else None,
        "merge": {
            "person": landed.person,
            "at": landed.at.isoformat(),
            "sha": sha,
            "onto": landed.data["base"],
            "branch": landed.data["branch"],
            "checks": _checks(task, sha),
        },
    }
    statement = change_statement(
        repository=_address(repository.git_url), branch=landed.data["branch"], sha=sha, change=change
    )
    _keep(key, task_id, CHANGE, statement)


@_beside
def attest_deployment(task_id: str, sha: str, kind: str) -> None:
    """State what became of a commit in production. `kind` is the event that says so."""
    room = rooms()
    _, repository = known_repository(task_id)
    key = f"deployment:{task_id}:{sha}:{kind}"
    told = next((event for event in room.store.events_of(task_id, kind) if event.data.get("sha") == sha), None)
    if told is None or room.store.has_statement(key):
        return
    # A task that went into production with a newer one landed as another commit.
    change = next((row for row in reversed(room.store.statements(task_id)) if row.kind == CHANGE), None)
    deployment = {
        "status": _STATUS[kind],
        "at": told.at.isoformat(),
        "change": {"sha256": _digest(change.envelope["payload"])} if change else None,
        **{
            name: told.data.get(name)
            for name in ("url", "watched_seconds", "reason", "to", "error")
            if told.data.get(name)
        },
    }
    _keep(
        key,
        task_id,
        DEPLOYMENT,
        deployment_statement(repository=_address(repository.git_url), sha=sha, deployment=deployment),
    )


def _builder(task: Task, made: Making | None) -> str:
    """Who built it. What is trusted otherwise is called otherwise: a machine without a sandbox, GitHub's machines."""
    machine = made.machine if made else ""
    if machine == "github-actions":
        return "urn:honk:builder:github-actions"
    return f"urn:honk:builder:{'unsandboxed' if task.unsafe or rooms().unsafe else 'sandbox'}:{machine}"


def _address(url: str) -> str:
    """Where a repository is, without whatever opens it."""
    parts = urlsplit(url)
    if not parts.hostname:
        return url
    port = f":{parts.port}" if parts.port else ""
    return parts._replace(netloc=f"{parts.hostname}{port}", query="", fragment="").geturl()


def _keep(key: str, task_id: str, kind: str, statement: Mapping[str, Any]) -> None:
    room = rooms()
    masked = json.loads(room.store.masked(json.dumps(statement)))
    room.store.save_statement(key, task_id, kind, subjects_of(masked), room.sign(masked))


def _change(task: Task, commit: str) -> dict[str, Any]:
    """What is known of a change at a commit of it."""
    store = rooms().store
    words = store.messages(task.id)
    worked = store.events_of(task.id, "agent.finished")
    return {
        "request": {
            "task": task.id,
            "person": {"id": task.person.id, "name": task.person.name},
            "at": task.created_at.isoformat(),
            "origin": task.origin,
            "sha256": _digest(task.text),
        },
        # The first is the request itself.
        "follow_ups": [
            {"person": one.person.id, "at": one.at.isoformat(), "sha256": _digest(one.text)} for one in words[1:]
        ],
        "agent": _agent(task, worked),
        "base": task.base_sha,
        "head": commit,
        "checks": _checks(task, commit),
        "verdict": verdict_of(store, replace(task, head_sha=commit)),
        "findings": findings_of(store, replace(task, head_sha=commit)),
        "unsafe": task.unsafe,
    }


def _agent(task: Task, worked: list[Event]) -> dict[str, Any]:
    models = sorted({str(model) for event in worked for model in event.data.get("models") or ()})
    harness = next((str(event.data["harness"]) for event in reversed(worked) if event.data.get("harness")), None)
    return {
        "name": task.agent.partition(":")[0],
        "harness": harness or task.agent.partition(":")[0],
        "models": models,
        "turns": task.turns,
        "cost_usd": round(task.cost_usd, 6),
    }


def _checks(task: Task, commit: str) -> list[dict[str, Any]]:
    configuration = rooms().store.configuration_of(task.repository, commit)
    return [
        {
            "name": check.name,
            "status": check.status,
            "command": check.command,
            "seconds": round(check.seconds, 2),
            "configuration": {"sha256": configuration},
        }
        for check in rooms().store.checks(task.repository, commit)
    ]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
