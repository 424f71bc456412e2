"""From the message to production as a picture: each link of the chain, when it was made, and how long it took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from markupsafe import Markup

from honk.model import Event

_ROW, _TOP, _WIDTH = 46, 16, 350
_RAIL, _DETAIL = 15, 12


@dataclass(frozen=True)
class Link:
    """One thing that happened. `detail` is a few words beside it."""

    name: str
    at: datetime
    detail: str = ""
    mood: Literal["well", "ill"] = "well"


def chain(events: Sequence[Event]) -> list[Link]:
    """What led from the request to where the task stands: of each kind the one that counts, in the order of time.

    `events` are the task's, oldest first. Of work that was done again, the last that led to what is offered counts.
    """
    links: dict[str, Link] = {}
    head = next((str(event.data["head_sha"]) for event in reversed(events) if event.kind == "ready"), "")
    for event in events:
        if link := _link(event, head):
            before = links.get(link.name)
            if before and link.name in ("Asked", "Tried"):
                continue
            if before and link.name == "Built":
                link = replace(link, detail=", ".join(dict.fromkeys([*before.detail.split(", "), link.detail])))
            links[link.name] = link
    return sorted(links.values(), key=lambda link: link.at)


def _link(event: Event, head: str) -> Link | None:  # noqa: PLR0911, PLR0912  one line a kind of event
    data, at = event.data, event.at
    match event.kind:
        case "task.created":
            return Link("Asked", at)
        case "agent.finished":
            by = data.get("harness") or ""
            return Link("Agent done", at, f"{by}, ${data.get('cost_usd', 0):.2f}".lstrip(", "))
        case "verify.finished" if data.get("commit") == head:
            return Link(
                "Checks green" if data["green"] else "Checks red", at, head[:8], "well" if data["green"] else "ill"
            )
        case "judge.finished" if data.get("commit") == head:
            said = {"approve": "Judge approves", "veto": "Judge objects"}.get(str(data["decision"]), "Judge abstains")
            score = f"{data['score']:.2f}" if data["decision"] != "abstain" else ""
            return Link(said, at, score, "ill" if data["decision"] == "veto" else "well")
        case "overridden" if data.get("head_sha") == head:
            return Link("Overridden", at, str(data.get("name") or event.person))
        case "build.finished" if data.get("commit") == head:
            return Link("Built", at, str(data["kind"]))
        case "ready":
            return Link("In the thread", at, f"${data['cost_usd']:.2f}" if data.get("cost_usd") else "")
        case "tried" if data.get("commit") == head:
            return Link("Tried", at, str(data["device"]))
        case "approved" if data.get("head_sha") == head:
            return Link("Approved", at, str(data.get("name") or event.person))
        case "merge.requested":
            return Link("Merge tapped", at, str(data["head_sha"])[:8])
        case "merge.landed":
            return Link("Merged", at, f"{data['sha'][:8]} on {data['branch']}")
        case "deploy.started":
            return Link("Deploy begun", at)
        case "deploy.healthy":
            return Link("Healthy in production", at)
        case "deploy.ill":
            return Link("Ill in production", at, mood="ill")
        case "rolled_back":
            return Link("Rolled back", at, str(data.get("to") or "")[:8])
    return None


def lasted(seconds: float) -> str:
    """A span as people say it."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    if seconds < 172_800:
        return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"
    return f"{timedelta(seconds=seconds).days} days"


def picture(links: Sequence[Link]) -> Markup:
    """The chain as SVG that takes its colours from the page."""
    height = _TOP * 2 + _ROW * (len(links) - 1) + (_DETAIL if links[-1].detail else 0)
    told = ", ".join(f"{link.name} {link.at:%H:%M:%S}" for link in links)
    parts = [
        Markup('<svg class="chain" viewBox="0 0 {} {}" role="img" aria-label="{}">').format(_WIDTH, height, told),
        Markup('<line class="rail" x1="{0}" y1="{1}" x2="{0}" y2="{2}"/>').format(
            _RAIL, _TOP, _TOP + _ROW * (len(links) - 1)
        ),
    ]
    for number, link in enumerate(links):
        y = _TOP + number * _ROW
        parts.append(Markup('<circle class="{}" cx="{}" cy="{}" r="6"/>').format(link.mood, _RAIL, y))
        parts.append(Markup('<text class="name" x="34" y="{}">{}</text>').format(y + 5, link.name))
        parts.append(Markup('<text class="at" x="{}" y="{}">{}</text>').format(_WIDTH, y + 5, f"{link.at:%H:%M:%S}"))
        if link.detail:
            parts.append(Markup('<text class="detail" x="34" y="{}">{}</text>').format(y + 21, _cut(link.detail)))
        if number:
            span = lasted((link.at - links[number - 1].at).total_seconds())
            parts.append(Markup('<text class="span" x="{}" y="{}">+ {}</text>').format(_WIDTH, y - _ROW // 2 + 4, span))
    return Markup("").join([*parts, Markup("</svg>")])


def _cut(text: str) -> str:
    return text if len(text) <= 34 else f"{text[:33]}…"
