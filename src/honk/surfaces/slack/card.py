"""A task's card: what its row, checks and newest events say, as blocks."""

from __future__ import annotations

import hashlib
import ipaddress
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from honk.model import WHY, Event, State, Task
from honk.repository_file import SERVICE
from honk.surfaces.slack.blocks import (
    FALLBACK,
    Block,
    actions,
    button,
    confirm,
    context,
    cut,
    linkable,
    message,
    section,
)
from honk.surfaces.slack.verdict import judged
from honk.untrusted import clean, markdown_to_mrkdwn, mrkdwn, plain_line

STAGES = {
    State.QUEUED: ("⏳", "Queued"),
    State.PREPARING: ("⏳", "Preparing"),
    State.WORKING: ("🛠️", "Working"),
    State.VERIFYING: ("🔎", "Verifying"),
    State.BUILDING: ("📦", "Building"),
    State.READY: ("✅", "Ready to try"),
    State.MERGING: ("⏳", "Merging"),
    State.MERGED: ("✅", "Merged"),
    State.DEPLOYING: ("🚀", "Deploying"),
    State.DEPLOYED: ("🚀", "In production"),
    State.ROLLED_BACK: ("↩️", "Rolled back"),
    State.FAILED: ("❌", "Stopped"),
    State.CANCELLED: ("⏹️", "Cancelled"),
}
_MARKS = {"passed": "✓", "flaky": "✓", "skipped": "–"}
_TELLING = ("description", "command", "file_path", "path", "pattern", "query")
_BLOCKED = 5
"""Blocked hosts that a card shows."""
_NOW = frozenset(
    {
        "set_up.started",
        "check.started",
        "check.on_base",
        "judge.started",
        "build.started",
        "build.progress",
        "agent.tool",
        "agent.text",
        "gate.blocked",
        "gate.sent_back",
        "merge.progress",
        "deploy.started",
        "deploy.progress",
    }
)


@dataclass(frozen=True)
class Facts:
    """All that a card is made of."""

    task: Task
    view: Mapping[str, Any]
    """As `task_view` gives it."""
    events: Sequence[Event]
    """The newest first."""
    url: str
    """Honk's own address."""
    branch: str = "the default branch"
    will_deploy: str | None = None
    approval_wanted: bool = False
    approved_by: Sequence[str] = ()


@dataclass(frozen=True)
class Shown:
    """A message as Slack is given it. `plainer` are the blocks for when Slack does not take these."""

    text: str
    blocks: list[Block]
    plainer: list[Block] = field(default_factory=list)

    @property
    def digest(self) -> str:
        """What it shows, for telling whether something else is to be seen now."""
        return hashlib.sha256(json.dumps([self.text, self.blocks], sort_keys=True).encode()).hexdigest()[:32]


def title(task: Task, limit: int = 150) -> str:
    """The request's first line, escaped."""
    line = next((line for line in clean(task.text[:4000]).splitlines() if line.strip()), "A change")
    return plain_line(line, limit)


def card(facts: Facts) -> Shown:
    """The card as it stands now."""
    task = facts.task
    mark, stage = STAGES[task.state]
    if task.state is State.READY and task.head_sha is None:
        mark, stage = "💬", "Answered"
    head = section(f"{mark} *{stage}* · {title(task)}")
    where = context(
        f"{plain_line(task.repository, 80)} · asked by {plain_line(task.person.name, 80)}"
        + (f" · now: {now}" if (now := doing_now(facts)) else "")
    )
    body = _body(facts)
    foot = context(_small_print(facts))
    buttons = actions(_buttons(facts), f"honk:task:{task.id}")
    text = cut(f"{stage}: {title(task)} ({plain_line(task.repository, 80)})", FALLBACK)
    plainer = [head, foot, buttons]
    return Shown(text, message([head, where, *body, foot, buttons]), message(plainer))


def _body(facts: Facts) -> list[Block]:
    task, made = facts.task, []
    if task.summary and task.state not in (State.QUEUED, State.PREPARING):
        made.append(section(markdown_to_mrkdwn(task.summary, 2500)))
    if task.error and task.state in (State.FAILED, State.ROLLED_BACK, State.READY, State.MERGED):
        made.append(section(f"{mrkdwn(task.error, 1500)}"))
    if facts.approved_by:
        made.append(context(f"Approved by {', '.join(plain_line(name, 80) for name in facts.approved_by[:10])}"))
    elif facts.approval_wanted:
        asked = plain_line(task.person.name, 80)
        made.append(section(f"Somebody other than {asked} has to approve this before it can be merged."))
    if facts.view["trial_missing"] and task.state is State.READY:
        made.append(section("*Try it first*: honk.yaml asks that a version is tried before it is merged."))
    made += judged(facts.view) if task.state.resting else []
    made += _blocked(facts)
    if missing := facts.view["lacking"]:
        made.append(context(*(plain_line(sentence, 400) for sentence in missing[:5])))
    lines = [line for line in (_stat(facts), _checks(facts), _tried(facts)) if line]
    lines += _builds(facts) + _packages(facts)
    lines += [f"{plain_line(one['kind'], 40)}: {plain_line(one['reason'], 300)}" for one in facts.view["not_built"][:3]]
    if lines:
        made.append(context(*lines))
    red = [check for check in facts.view["checks"] if check["status"] in ("failed", "error", "already_red")]
    if red and task.state is State.FAILED:
        told = mrkdwn(str(red[0]["summary"]).replace("```", "'''"), 1200)
        made.append(section(f"*{plain_line(red[0]['name'], 60)}*\n```\n{told}\n```"))
    return made


def _blocked(facts: Facts) -> list[Block]:
    """The hosts that were refused, each with a button for who may allow it."""
    made = []
    for place, one in enumerate(facts.view["blocked"][:_BLOCKED]):
        host = plain_line(f"{one['host']}:{one['port']}", 120)
        why = f"; {WHY[one['why']]}" if WHY[one["why"]] else ""
        told = f"Blocked: `{host}`, asked for by the {plain_line(one['by'], 40)}{why}."
        allow = None
        if one["allow"]:
            what = f"Agents, checks and builds of {plain_line(facts.task.repository, 60)} reach `{host}` from now on."
            value = json.dumps({"task": facts.task.id, "host": one["allow"]})
            question = confirm("Allow this host?", what, "Allow")
            allow = button("Allow", f"honk:allow:{place}", value, confirm=question)
        made.append(section(told, allow))
    if (more := len(facts.view["blocked"]) - _BLOCKED) > 0:
        made.append(context(f"{more} more hosts were blocked."))
    return made


def _tried(facts: Facts) -> str:
    on = dict.fromkeys(plain_line(str(one["device"]), 80) for one in facts.view["tried"][:20])
    return f"Tried on {', '.join(on)}" if on else ""


def _builds(facts: Facts) -> list[str]:
    """What was built: how large it is, how much that changed, and how long it took."""
    return [
        f"service started in {duration(one['built']['seconds'])}"
        if one["kind"] == SERVICE
        else f"{plain_line(one['kind'], 40)} {size_told(one['size'], one['size_before'])}"
        f", built in {duration(one['built']['seconds'])}"
        for one in facts.view["artifacts"][:3]
        if one["commit"] == facts.task.head_sha and one["built"]
    ]


def size_told(size: int, before: int | None) -> str:
    """Bytes as people read them, and how many more or fewer that are."""
    unit, name = (1e6, "MB") if size >= 1e6 else (1e3, "kB")
    changed = f" ({(size - before) / unit:+.1f} {name})" if before and before != size else ""
    return f"{size / unit:.1f} {name}{changed}"


def _packages(facts: Facts) -> list[str]:
    """The apps that can be installed, each with what is in the way of that."""
    told = []
    for artifact in facts.view["artifacts"]:
        for one in artifact["packages"][:5] if artifact["commit"] == facts.task.head_sha else ():
            if error := one.get("error"):
                told.append(f"✗ {plain_line(one['file'], 80)}: {plain_line(error, 300)}")
                continue
            told.append(plain_line(f"{one['name']} {one['version']} ({one['build']})", 120))
            told += [("✗ " if found["blocks"] else "") + plain_line(found["text"], 300) for found in one["warnings"]]
    return told[:6]


def doing_now(facts: Facts) -> str:
    """What the task does at this moment, in a few escaped words."""
    if facts.task.state.resting or facts.task.state in (State.QUEUED, State.PREPARING):
        return ""
    event = next((event for event in facts.events if event.kind in _NOW), None)
    if event is None or (facts.task.state is State.MERGING and event.kind != "merge.progress"):
        return ""
    data = event.data
    if event.kind == "agent.tool":
        given = data.get("input") or {}
        line = next((str(given[key]) for key in _TELLING if given.get(key)), "")
        told = f"{data.get('name', '')} {line.removeprefix('/workspace/')}".strip()
    else:
        told = {
            "agent.text": str(data.get("text", "")),
            "set_up.started": f"setting up: {data.get('command', '')}",
            "check.started": f"checking {data.get('name', '')}",
            "check.on_base": f"trying {', '.join(data.get('names', ()))} on {data.get('branch', '')}",
            "judge.started": "the judge looks at it",
            "gate.sent_back": f"sent back by guard and judge, round {data.get('round')} of {data.get('rounds')}",
            "build.started": f"building {data.get('kind', '')}",
            "build.progress": f"building {data.get('kind', '')}: {data.get('line', '')}",
            "merge.progress": str(data.get("line", "")),
            "deploy.progress": f"deploying: {data.get('line', '')}",
            "deploy.started": "deploying, then watching its health",
            "gate.blocked": f"the checks are red, round {data.get('round')} of {data.get('rounds')}",
        }[event.kind]
    return plain_line(told, 120)


def _stat(facts: Facts) -> str:
    event = next((event for event in facts.events if event.kind == "commit" and event.data.get("stat")), None)
    return plain_line(str(event.data["stat"]), 200) if event and facts.task.head_sha else ""


def _checks(facts: Facts) -> str:
    told = [
        f"{_MARKS.get(check['status'], '✗')} {plain_line(check['name'], 40)} {duration(check['seconds'])}"
        + _remark(check)
        for check in facts.view["checks"]
    ]
    return " · ".join(told[:30])


def _remark(check: Mapping[str, Any]) -> str:
    if not check.get("remark"):
        return ""
    often = f", {check['flaky_times']} times so far" if check["remark"] == "flaky" and check["flaky_times"] > 1 else ""
    return f" ({plain_line(check['remark'], 60)}{often})"


def duration(seconds: float) -> str:
    """Seconds as people read them."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"


def _small_print(facts: Facts) -> str:
    task = facts.task
    parts = []
    if task.head_sha:
        parts.append(f"`{task.head_sha[:8]}`")
    pull_request = facts.view["pull_request"]
    if pull_request:
        link = str(pull_request["url"])
        number = f"#{pull_request['number']}"
        parts.append(f"<{link}|{number}>" if linkable(link) and not set(link) & set("<>|") else number)
    if task.cost_usd:
        parts.append(f"${task.cost_usd:.2f}")
    if took := _took(facts):
        parts.append(took)
    if task.unsafe:
        parts.append("without a sandbox")
    if (following := facts.view["next_action"]) and task.state.resting:
        parts.append(f"next: {plain_line(following, 150)}")
    return " · ".join(parts) or f"task {task.id}"


def _took(facts: Facts) -> str:
    """How long the newest turn took; while it runs, since when it does."""
    begun = next((event for event in facts.events if event.kind == "turn.started"), None)
    if begun is None:
        return ""
    if facts.task.state in (State.PREPARING, State.WORKING, State.VERIFYING, State.BUILDING):
        at = begun.at
        return f"since <!date^{int(at.timestamp())}^{{time}}|{at:%H:%M} UTC>"
    ended = next((event for event in facts.events if event.kind in ("ready", "answered", "failed", "limit")), None)
    return f"took {duration(_between(begun.at, ended.at))}" if ended and ended.id > begun.id else ""


def _between(start: datetime, end: datetime) -> float:
    return max((end - start).total_seconds(), 0.0)


def _buttons(facts: Facts) -> list[Block]:
    task, may = facts.task, facts.view["actions"]
    value = json.dumps({"task": task.id, "head": task.head_sha})
    made = [] if task.state in (State.CANCELLED, State.ROLLED_BACK) else _previews(facts)
    if "merge" in may:
        made.append(button("Merge", "honk:merge", value, style="primary", confirm=_merge_question(facts)))
    if "override" in may:
        what = "This very version may then be merged, whatever judge and tamper guard hold against it."
        question = confirm("Override?", what, "Override", danger=True)
        made.append(button("Override", "honk:override", value, style="danger", confirm=question))
    if "approve" in may or facts.approval_wanted:
        made.append(button("Approve", "honk:approve", value))
    if "retry" in may:
        label = "Continue" if task.next_action == "Continue" else "Retry"
        made.append(button(label, "honk:retry", value, style="primary"))
    if "rollback" in may:
        what = f"The version before comes back into production; {facts.branch} keeps the change."
        question = confirm("Roll back?", what, "Roll back", danger=True)
        made.append(button("Roll back", "honk:rollback", value, style="danger", confirm=question))
    made.append(button("Details", "honk:details", url=f"{facts.url}/tasks/{task.id}"))
    if "cancel" in may:
        question = confirm("Cancel this task?", "The work so far is kept.", "Cancel the task", "Go on", danger=True)
        made.append(button("Cancel", "honk:cancel", value, confirm=question))
    return made


def _merge_question(facts: Facts) -> Block:
    task = facts.task
    green = sum(check["status"] in ("passed", "flaky", "skipped") for check in facts.view["checks"])
    deploys = mrkdwn(facts.will_deploy, 120) if facts.will_deploy else "Nothing is deployed."
    told = (
        f"*{plain_line(task.repository, 60)}* at `{(task.head_sha or '')[:8]}` into {plain_line(facts.branch, 40)}; "
        f"{green} of {len(facts.view['checks'])} checks are green. {deploys}"
    )
    return confirm("Merge this version?", told, "Merge")


def _previews(facts: Facts) -> list[Block]:
    """A button for each thing that was built: the thing itself where a phone can reach it, else the task's page."""
    page, made = f"{facts.url}/tasks/{facts.task.id}", []
    for place, artifact in enumerate(facts.view["artifacts"][:5]):
        if artifact["commit"] not in (facts.task.head_sha, facts.task.merged_sha):
            continue
        install = artifact.get("install_url")
        url = str(install or artifact.get("url") or page)
        if not linkable(url) or (_local(url) and not _local(facts.url)):
            url = page
        label = f"Install {artifact['kind']}" if install else f"Try {artifact['kind']}"
        first = facts.view["trial_missing"] and facts.task.state is State.READY
        made.append(button(label, f"honk:open:{place}", url=url, style="primary" if first else None))
    return made


def _local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
