"""What people see of a task: projections of its row, its log and its results. Nothing here changes anything."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sqlalchemy import RowMapping

from honk.model import Artifact, Check, Event, Making, State, Task
from honk.store import Store
from honk.store.rows import read_making

_RUNNING = frozenset({State.QUEUED, State.PREPARING, State.WORKING, State.VERIFYING, State.BUILDING})


_SETTLING = frozenset(
    {
        "ready",
        "answered",
        "failed",
        "limit",
        "cancelled",
        "merge.refused",
        "merge.elsewhere",
        "deploy.healthy",
        "rolled_back",
    }
)


def settles(event: Event) -> bool:
    """True for an event after which nothing runs for the task until a person moves."""
    return event.kind in _SETTLING or (event.kind == "merge.landed" and not event.data.get("deploys"))


def actions(store: Store, task: Task) -> list[str]:
    """What may be tapped now, the likeliest first."""
    if task.state in _RUNNING:
        return ["cancel"]
    if task.state is State.READY:
        return ["merge", "cancel"] if task.pull_request and task.head_sha == task.pushed_sha else ["cancel"]
    if task.state is State.FAILED and task.merged_sha:
        return []
    if task.state in (State.FAILED, State.CANCELLED):
        return ["retry"] if task.state is State.CANCELLED else ["retry", "cancel"]
    if task.state is State.DEPLOYED and task.merged_sha:
        newest = store.deployment(task.repository)
        return ["rollback"] if newest and newest["commit"] == task.merged_sha and newest["previous"] else []
    return []


def artifacts(store: Store, task: Task, previews_at: str) -> list[Artifact]:
    """What was built for the task, newest commit's last; `url` is set where the running server serves it. How links
    to previews are made is said by `Settings.previews_at`."""
    return [
        Artifact(
            kind=row["kind"],
            commit=row["commit"],
            sha256=row["sha256"],
            size=row["size"],
            url=previews_at.format(token=row["token"], port=row["port"]) or None
            if _offered(row, previews_at)
            else None,
            void=row["void"],
            making=read_making(row),
        )
        for row in store.artifact_rows(task.id)
    ]


def _not_built(store: Store, task: Task) -> list[dict[str, str]]:
    """The builds of the newest commit that there are not, or not yet, and why."""
    told = {}
    for kind in ("build.waiting", "build.skipped", "build.failed"):
        for event in store.events_of(task.id, kind):
            if event.key.startswith(f"build:{task.head_sha}:"):
                data = event.data
                reason = data.get("reason") or data.get("error") or f"waits for a worker with the label {data['label']}"
                told[data["kind"]] = {"kind": data["kind"], "status": kind.removeprefix("build."), "reason": reason}
    for event in store.events_of(task.id, "build.finished"):
        if event.data["commit"] == task.head_sha:
            told.pop(event.data["kind"], None)
    return list(told.values())


def _offered(row: RowMapping, previews_at: str) -> bool:
    """Whether a preview can be opened: it has a token and, unless it goes by name, a port."""
    open_to_all = bool(row["token"]) and not row["void"] and not row["removed"]
    return open_to_all and (bool(row["port"]) or "{port}" not in previews_at)


def _built(making: Making | None) -> dict[str, Any] | None:
    if making is None:
        return None
    told = {"at": making.at.isoformat(), "machine": making.machine, "command": making.command}
    return told | {"seconds": round(making.seconds, 2)}


def check_view(check: Check) -> dict[str, Any]:
    """A check as events and the interface give it."""
    return asdict(check) | {"seconds": round(check.seconds, 2)}


def task_view(store: Store, task: Task, url: str, previews_at: str = "") -> dict[str, Any]:
    """The task as the HTTP interface and `--json` give it. `url` is Honk's own address, without a trailing slash."""
    checks = store.checks(task.repository, task.merged_sha or task.head_sha) or store.checks(
        task.repository, task.head_sha
    )
    pictured = {
        event.data["sha256"] for event in store.events_of(task.id, "build.finished") if event.data.get("pictured")
    }
    return {
        "id": task.id,
        "repo": task.repository,
        "state": task.state.value,
        "text": task.text,
        "agent": task.agent,
        "branch": task.branch,
        "base_sha": task.base_sha,
        "head_sha": task.head_sha,
        "merged_sha": task.merged_sha,
        "checks": [check_view(check) for check in checks],
        "verdict": None,
        "pull_request": (
            {"number": task.pull_request, "url": task.pull_request_url or f"{url}/tasks/{task.id}"}
            if task.pull_request
            else None
        ),
        "origin": task.origin,
        "artifacts": [
            {
                "kind": artifact.kind,
                "url": artifact.url,
                "install_url": artifact.install_url,
                "sha256": artifact.sha256,
                "size": artifact.size,
                "commit": artifact.commit,
                "built": _built(artifact.making),
                "screenshot_url": f"{url}/tasks/{task.id}/screenshots/{artifact.sha256}.png"
                if artifact.sha256 in pictured
                else None,
            }
            for artifact in artifacts(store, task, previews_at)
            if not artifact.void
        ],
        "not_built": _not_built(store, task),
        "comparisons": [
            {
                "kind": event.data["kind"],
                "changed": event.data["changed"],
                "places": event.data["places"],
                "picture_url": f"{url}/tasks/{task.id}/comparisons/{event.data['before']}-{event.data['after']}.png"
                if event.data["places"]
                else None,
            }
            for event in store.events_of(task.id, "build.compared")
            if event.data["commit"] == task.head_sha
        ],
        "deploy": {"status": task.deploy_status, "url": task.deploy_url} if task.deploy_status else None,
        "cost_usd": round(task.cost_usd, 6),
        "max_cost_usd": task.max_cost_usd,
        "turns": task.turns,
        "max_turns": task.max_turns,
        "summary": task.summary,
        "error": task.error,
        "next_action": task.next_action,
        "actions": actions(store, task),
        "person": {"id": task.person.id, "name": task.person.name},
        "unsafe": task.unsafe,
        "created_at": task.created_at.isoformat(),
        "updated_at": task.updated_at.isoformat(),
        "url": f"{url}/tasks/{task.id}",
    }
