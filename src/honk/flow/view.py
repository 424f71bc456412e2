"""What people see of a task: projections of its row, its log and its results. Nothing here changes anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from sqlalchemy import RowMapping

from honk.flow.installing import found_packages
from honk.gate import to_confirm
from honk.model import Artifact, Check, Event, Making, State, Task
from honk.ship.installs import InstallLinks
from honk.store import Store
from honk.store.rows import read_making
from honk.workspace import may_be_public

NO_LINKS = InstallLinks("", timedelta(), None)
"""Where nobody can install anything."""
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
        "rollback.refused",
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
        return [*_towards_a_merge(store, task), "cancel"]
    if task.state is State.FAILED and task.merged_sha:
        return []
    if task.state in (State.FAILED, State.CANCELLED):
        return ["retry"] if task.state is State.CANCELLED else ["retry", "cancel"]
    if task.state is State.DEPLOYED and task.merged_sha:
        newest = store.deployment(task.repository)
        return ["rollback"] if newest and newest["commit"] == task.merged_sha and newest["previous"] else []
    return []


def _towards_a_merge(store: Store, task: Task) -> list[str]:
    if not task.pull_request or task.head_sha != task.pushed_sha:
        return []
    if unconfirmed(store, task):
        return ["override"]
    return [] if trial_missing(store, task) else ["merge"]


def allowable(refused: Mapping[str, Any]) -> bool:
    """Whether somebody may allow what was refused so: what is on no list and may be public."""
    return refused["why"] == "not on the list" and may_be_public(str(refused["host"]))


def blocked(store: Store, task: Task) -> list[dict[str, Any]]:
    """The hosts that were refused since the newest turn began and are still, the first first, each once; `allow` says
    whether somebody may allow it by a tap, and what for."""
    begun = [event.id for event in store.events_of(task.id, "turn.started")]
    allowed = {(one.host, one.port) for one in store.allowances(task.repository)}
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for event in store.events_of(task.id, "egress.refused"):
        data = event.data
        place = (str(data["host"]), int(data["port"]))
        if event.id > max(begun, default=0) and place not in allowed:
            told = {"host": place[0], "port": place[1], "by": data["by"], "why": data["why"]}
            found.setdefault(place, told | {"allow": allowance_entry(*place) if allowable(data) else None})
    return list(found.values())


def lacking(store: Store, task: Task) -> list[str]:
    """What the task's tree does not have though the repository or the agent meant it to, in sentences with the
    reason."""
    empty = [str(event.data["reason"]) for event in store.events_of(task.id, "submodule.missing")]
    return empty + [left_out(event.data) for event in store.events_of(task.id, "workspace.left_out")[-1:]]


def left_out(data: Mapping[str, Any]) -> str:
    """In a sentence, what was too large to be kept while a task rested."""
    more = f" and {data['count'] - 3} more" if data["count"] > 3 else ""
    names = ", ".join(map(str, data["paths"][:3])) + more
    return (
        f"Too large to be kept while the task rested ({data['bytes'] / 1e6:.1f} MB): {names}. "
        "HONK_DELTA_BYTES says how much is kept."
    )


def allowance_entry(host: str, port: int) -> str:
    """A host and a port as people allow it and take it back."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def offered_event(store: Store, task: Task) -> Event | None:
    """What was said when the task's commit was offered, the last time."""
    said = [event for event in store.events_of(task.id, "ready") if event.data["head_sha"] == task.head_sha]
    return said[-1] if said else None


def trials(store: Store, task: Task) -> list[Event]:
    """Who tried the task's commit on what, the first first. Somebody whose browser said only half of that the first
    time and all of it the next is there once."""
    tried = [event for event in store.events_of(task.id, "tried") if event.data["commit"] == task.head_sha]
    known = {(event.data["kind"], event.data["platform"]) for event in tried if event.data["exact"]}
    return [
        event for event in tried if event.data["exact"] or (event.data["kind"], event.data["platform"]) not in known
    ]


def devices(tried: Sequence[Event]) -> list[str]:
    """The devices of trials, each once."""
    return list(dict.fromkeys(str(event.data["device"]) for event in tried))


def verdict_of(store: Store, task: Task) -> dict[str, Any] | None:
    """What the judge said of the task's commit, the last time, and what that counts for."""
    said = [event for event in store.events_of(task.id, "judge.finished") if event.data["commit"] == task.head_sha]
    if not said:
        return None
    cost = sum(float(event.data["cost_usd"]) for event in said)
    parts = ("decision", "score", "summary", "doubts", "model", "mode", "threshold", "commit")
    return {name: said[-1].data[name] for name in parts} | {"cost_usd": round(cost, 6)}


def findings_of(store: Store, task: Task) -> list[dict[str, Any]]:
    """What the tamper guard found in the task's commit, as far as it is shown; first what wants a person's tap."""
    told = [event for event in store.events_of(task.id, "tamper.found") if event.data["commit"] == task.head_sha]
    return list(told[-1].data["findings"]) if told else []


def override_of(store: Store, task_id: str, commit: str | None) -> Event | None:
    """Who said that this very commit may land all the same."""
    said = [event for event in store.events_of(task_id, "overridden") if event.data["head_sha"] == commit]
    return said[-1] if said else None


def unconfirmed(store: Store, task: Task) -> list[str]:
    """What somebody has to confirm before the task's commit is merged, a sentence each, as far as is known now."""
    if task.head_sha is None or override_of(store, task.id, task.head_sha):
        return []
    return _to_confirm(verdict_of(store, task), findings_of(store, task))


def _to_confirm(verdict: Mapping[str, Any] | None, findings: Sequence[Mapping[str, Any]]) -> list[str]:
    vetoed = verdict is not None and verdict["mode"] == "veto" and verdict["decision"] == "veto"
    return to_confirm(verdict["summary"] if verdict and vetoed else None, [one for one in findings if one["wants_tap"]])


def judge_says(verdict: Mapping[str, Any]) -> str:
    """What the judge's verdict comes down to."""
    if verdict["decision"] == "abstain":
        return "The judge abstains"
    against = "vetoes it" if verdict["mode"] == "veto" else "advises against it"
    return f"The judge {'approves' if verdict['decision'] == 'approve' else against} ({verdict['score']:.2f})"


def trial_missing(store: Store, task: Task) -> bool:
    """Whether the version that is offered has to be tried first, as was known when it was offered."""
    said = offered_event(store, task)
    return bool(said and said.data.get("trial_wanted")) and not trials(store, task)


def artifacts(store: Store, task: Task, previews_at: str, links: InstallLinks = NO_LINKS) -> list[Artifact]:
    """What was built for the task, newest commit's last; `url` and `install_url` are set where the server serves it.
    How links to previews are made is said by `Settings.previews_at`, those to install pages by `links`."""
    rows = store.artifact_rows(task.id)
    with_packages = store.packages({row["sha256"] for row in rows}) if links.key else {}
    return [
        Artifact(
            kind=row["kind"],
            commit=row["commit"],
            sha256=row["sha256"],
            size=row["size"],
            url=previews_at.format(token=row["token"], port=row["port"]) or None
            if _offered(row, previews_at)
            else None,
            install_url=links.of(row)
            if not (row["void"] or row["removed"]) and any(one.facts for one in with_packages.get(row["sha256"], ()))
            else None,
            void=row["void"],
            making=read_making(row),
        )
        for row in rows
    ]


def not_built(store: Store, task: Task) -> list[dict[str, str]]:
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


def _sizes_before(store: Store, task: Task) -> dict[str, int]:
    """By kind, the size of what has landed, or rather, as soon as that is known, of what the base's build makes."""
    return {
        event.data["kind"]: event.data["size_before"]
        for kind in ("build.finished", "build.compared", "package.compared")
        for event in store.events_of(task.id, kind)
        if event.data["commit"] == task.head_sha and event.data.get("size_before")
    }


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
    return asdict(check) | {"seconds": round(check.seconds, 2), "remark": check.remark}


def task_view(
    store: Store, task: Task, url: str, previews_at: str = "", links: InstallLinks = NO_LINKS
) -> dict[str, Any]:
    """The task as the HTTP interface and `--json` give it. `url` is Honk's own address, without a trailing slash;
    `previews_at` and `links` are as in `artifacts`."""
    checks = store.checks(task.repository, task.merged_sha or task.head_sha) or store.checks(
        task.repository, task.head_sha
    )
    flaky = store.flaky(task.repository) if checks else {}
    pictured = {
        event.data["sha256"] for event in store.events_of(task.id, "build.finished") if event.data.get("pictured")
    }
    sizes = _sizes_before(store, task)
    packages = found_packages(store, [row for row in store.artifact_rows(task.id) if not row["void"]], links)
    tried = trials(store, task)
    missing = trial_missing(store, task)
    verdict, findings = verdict_of(store, task), findings_of(store, task)
    overridden = override_of(store, task.id, task.head_sha)
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
        "checks": [
            check_view(check)
            | {
                "flaky_times": flaky.get(check.name, 0),
                "log_url": f"{url}/api/v1/tasks/{task.id}/logs/{check.log}" if check.log else None,
            }
            for check in checks
        ],
        "verdict": verdict,
        "findings": findings,
        "unconfirmed": [] if task.head_sha is None or overridden else _to_confirm(verdict, findings),
        "override": {"person": overridden.person, "name": overridden.data["name"], "at": overridden.at.isoformat()}
        if overridden
        else None,
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
                "size_before": sizes.get(artifact.kind) if artifact.commit == task.head_sha else None,
                "commit": artifact.commit,
                "built": _built(artifact.making),
                "log_url": f"{url}/api/v1/tasks/{task.id}/artifacts/{artifact.commit}/{artifact.kind}/log",
                "packages": packages.get((artifact.commit, artifact.kind), []),
                "screenshot_url": f"{url}/tasks/{task.id}/screenshots/{artifact.sha256}.png"
                if artifact.sha256 in pictured
                else None,
            }
            for artifact in artifacts(store, task, previews_at, links)
            if not artifact.void
        ],
        "not_built": not_built(store, task),
        "blocked": blocked(store, task),
        "lacking": lacking(store, task),
        "tried": [
            {"kind": event.data["kind"], "device": event.data["device"], "at": event.at.isoformat()} for event in tried
        ],
        "trial_missing": missing,
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
        "next_action": "Try it first, then merge" if missing and task.state is State.READY else task.next_action,
        "actions": actions(store, task),
        "person": {"id": task.person.id, "name": task.person.name},
        "unsafe": task.unsafe,
        "created_at": task.created_at.isoformat(),
        "updated_at": task.updated_at.isoformat(),
        "url": f"{url}/tasks/{task.id}",
    }
