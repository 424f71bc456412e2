"""From rows and events to HTML. Everything that people or agents wrote is escaped here or by the templates."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from honk.flow.view import judge_says
from honk.model import WHY, Event, State

_BUSY = {
    State.QUEUED: "Queued",
    State.PREPARING: "Preparing",
    State.WORKING: "Working",
    State.VERIFYING: "Verifying",
    State.BUILDING: "Building",
    State.MERGING: "Merging",
    State.DEPLOYING: "Deploying",
}
_RESTING = {
    State.READY: "Ready",
    State.MERGED: "Merged",
    State.DEPLOYED: "In production",
    State.ROLLED_BACK: "Rolled back",
    State.FAILED: "Stopped",
    State.CANCELLED: "Cancelled",
}
STAGES = ("preparing", "working", "verifying", "building", "ready", "merging", "deploying", "deployed")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "words": words,
        "clock": clock,
        "size": size,
        "growth": growth,
        "short": short,
        "day": day,
        "codes": codes,
        "seconds": seconds,
        "judge_says": judge_says,
    }
    environment.globals |= {"stages": STAGES, "why": WHY}
    return environment


def fragment(template: str, **values: Any) -> str:
    """A template's HTML."""
    return _environment().get_template(template).render(**values)


def page(template: str, status: int = 200, headers: Mapping[str, str] | None = None, **values: Any) -> HTMLResponse:
    """A whole page."""
    return HTMLResponse(fragment(template, status=status, **values), status_code=status, headers=headers)


@cache
def _markdown() -> Any:
    from markdown_it import MarkdownIt

    reader = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable("table").disable("image")
    return reader


def words(text: object) -> Markup:
    """An agent's or a person's text as simple Markdown; HTML in it is shown as text, pictures are not loaded."""
    return Markup(_markdown().render(str(text or "")[:20_000]))  # noqa: S704  the reader escapes all HTML


def clock(at: datetime | str) -> str:
    """Hours and minutes."""
    return (datetime.fromisoformat(at) if isinstance(at, str) else at).astimezone().strftime("%H:%M")


def day(at: datetime | str) -> str:
    """The day and time of it, as the server's clock has them."""
    moment = (datetime.fromisoformat(at) if isinstance(at, str) else at).astimezone()
    return f"{moment.day} {moment:%B %Y, %H:%M}"


def codes(sentence: str) -> Markup:
    """A sentence of Honk's own, in which what is between backquotes is to be typed."""
    pieces = sentence.split("`")
    return Markup("").join(  # escapes each piece
        Markup("<code>{}</code>").format(piece) if number % 2 else Markup("{}").format(piece)
        for number, piece in enumerate(pieces)
    )


def short(sha: str | None) -> str:
    return (sha or "")[:8]


def size(count: int) -> str:
    """Bytes as people read them."""
    value = float(count)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def growth(count: int, before: int) -> str:
    """How much more, or less, that is."""
    return f"{'+' if count > before else '−'}{size(abs(count - before))}"


def seconds(value: float) -> str:
    return f"{value:.1f} s" if value < 60 else f"{int(value // 60)} min {int(value % 60)} s"


def stage_word(state: str) -> str:
    """A state as the page names it."""
    known = State(state)
    return _BUSY.get(known) or _RESTING[known]


def busy(state: str) -> bool:
    return State(state) in _BUSY


def told_input(name: str, given: Mapping[str, Any]) -> tuple[str, str]:
    """A tool call in a line, and whole."""
    keys = ("description", "command", "file_path", "path", "pattern", "query")
    line = next((str(given[key]) for key in keys if given.get(key)), "")
    if name == "Bash" and given.get("command"):
        return line, str(given["command"])
    return line.removeprefix("/workspace/"), json.dumps(given, indent=2, ensure_ascii=False) if given else ""


def row(event: Event, void: frozenset[str] = frozenset(), *, live: bool = False) -> str:
    """The event's row in the conversation, or nothing for what the card alone tells. A `live` row also changes those
    that stand above it; in a whole page they are right from the start, because `void` names the versions that are."""
    template = _ROWS.get(event.kind)
    if template is None:
        return ""
    values: dict[str, Any] = {"event": event, "data": event.data, "void": void, "live": live}
    if event.kind == "agent.tool":
        name = str(event.data.get("name", ""))
        line, whole = told_input(name, event.data.get("input") or {})
        values |= {"name": name, "line": line, "whole": whole}
    return fragment("row.html", kind=template, **values).strip()


_ROWS = {
    "message.received": "message",
    "agent.text": "text",
    "agent.tool": "tool",
    "agent.tool_result": "result",
    "check.finished": "check",
    "check.already_red": "check",
    "ready": "ready",
    "judge.finished": "verdict",
    "tamper.found": "findings",
    "gate.sent_back": "sent_back",
    "card.void": "void",
    **dict.fromkeys(
        (
            "unsafe", "turn.started", "gate.blocked", "commit", "change.opened", "change.updated", "build.finished",
            "build.skipped", "build.waiting", "build.failed", "tried", "check.on_base",
            "answered", "merge.requested", "merge.verifying", "merge.refused", "merge.landed",
            "deploy.joined", "deploy.started", "attest.failed",
            "deploy.healthy", "deploy.ill", "service.ended", "service.restarted", "rolled_back",
            "revert.prepared", "reverts", "rollback.requested", "rollback.refused", "retry.requested",
            "limit", "failed", "cancelled", "approved", "overridden",
            "egress.refused", "egress.allowed", "set_up.failed",
            "branch.pushed", "branch.taken_in", "base.renewed", "ci.failed",
            "workspace.left_out", "submodule.missing", "history.late",
            "merge.elsewhere", "message.edited", "message.withdrawn",
        ),
        "note",
    ),
}  # fmt: skip
