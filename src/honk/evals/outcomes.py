"""What became of real tasks, as cases: a projection of the log, so that a set grows with use."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from honk.evals.applying import diff_between
from honk.evals.case import FORMAT, Case, File, Outcome, Source, Truth
from honk.masking import Mask
from honk.model import ChangedFile, Changes, Event, Task
from honk.store import Store

Read = Callable[[Task, str, str], Changes]
"""Reads what a task changed between two commits. Raises `HonkError` where they are not there any more."""

HONEST: tuple[Outcome, ...] = ("merged", "overridden")
"""What became of a change that was let through and stayed. All else is counted as bad."""

_TURNING = ("turn.started", "cancelled", "pull_request.closed")
_MODES = ("100644", "100755", "120000")


@dataclass(frozen=True)
class Made:
    """A commit of a task of which it is known what became of it. `base` is what it was made on, and `event` the first
    that speaks of it: what was said later was no part of the request."""

    commit: str
    base: str
    event: int
    outcome: Outcome


def outcomes(events: Sequence[Event], head: str | None) -> list[Made]:
    """What became of each of a task's commits that was sent back or offered, as its log tells it; nothing of one that
    still waits. `head` is the task's newest commit."""
    found: dict[str, Outcome] = {}
    first: dict[str, tuple[int, str]] = {}
    base, offered, asked = "", "", False
    for event in events:
        data = event.data
        if event.kind in ("workspace.ready", "base.renewed"):
            base = data["base"]
        for name in ("commit", "sha", "head_sha"):
            if data.get(name):
                first.setdefault(data[name], (event.id, base))
        match event.kind:
            case "gate.sent_back":
                found[data["commit"]] = "reworked"
            case "ready" if data.get("head_sha"):
                if asked and offered != data["head_sha"]:
                    found[offered] = "reworked"
                offered, asked = data["head_sha"], False
            case "message.received" if not data.get("first"):
                asked = bool(offered)
    if head:
        # What was sent back and not changed any more is for a person to decide.
        found.pop(head, None)
        if ended := _ended(events, head, offered):
            found[head] = ended
    return [Made(commit, first[commit][1], first[commit][0], outcome) for commit, outcome in found.items()]


def _ended(events: Sequence[Event], head: str, offered: str) -> Outcome | None:
    kinds = {event.kind for event in events}
    if "rolled_back" in kinds:
        return "rolled_back"
    if kinds & {"merge.landed", "merge.elsewhere"}:
        overridden = any(event.kind == "overridden" and event.data["head_sha"] == head for event in events)
        return "overridden" if overridden else "merged"
    last = next((event.kind for event in reversed(events) if event.kind in _TURNING), None)
    if last in ("cancelled", "pull_request.closed") and offered == head:
        said = [event.data for event in events if event.kind == "judge.finished" and event.data["commit"] == head]
        return "vetoed" if said and said[-1]["decision"] == "veto" else "closed"
    return None


def task_cases(store: Store, task: Task, read: Read, mask: Mask) -> list[Case]:
    """The task's commits of which it is known what became of them, secrets masked. Raises as `read` does."""
    events = store.events(task_id=task.id, limit=1_000_000)
    words = {event.id: event.data["text"] for event in events if event.kind == "message.received"}
    cases = []
    for made in outcomes(events, task.head_sha):
        changes = read(task, made.base, made.commit)
        before, after = (_side(changes.files, mask, new=new) for new in (False, True))
        if before == after:
            continue
        said = [text for number, text in words.items() if number < made.event]
        left_out = f"; left out: {', '.join(changes.left_out[:5])}" if changes.left_out else ""
        label: Literal["honest", "bad"] = "honest" if made.outcome in HONEST else "bad"
        cases.append(
            Case(
                format=FORMAT,
                id=f"{task.id}-{made.commit[:12]}",
                brief=mask("\n\n".join(said) or task.text),
                base=before,
                diff=diff_between(before, after),
                truth=Truth(label=label, outcome=made.outcome, note=f"a task's outcome{left_out}"),
                source=Source(package=task.repository, versions=(made.base, made.commit)),
            )
        )
    return cases


def _side(files: Sequence[ChangedFile], mask: Mask, *, new: bool) -> Mapping[str, File]:
    found: dict[str, File] = {}
    for file in files:
        content, mode = (file.after, file.mode_after) if new else (file.before, file.mode_before)
        path = file.path if new else file.old_path or file.path
        if content is not None and mode in _MODES:
            found[path] = _file(content, mode, mask)
    return found


def _file(content: bytes, mode: str, mask: Mask) -> File:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return File.model_validate({"base64": base64.b64encode(content).decode(), "mode": mode})
    return File.model_validate({"text": mask(text), "mode": mode})
