"""What is said once in a task's thread, so that a phone rings: a sentence or two for each event worth that."""

from __future__ import annotations

from honk.model import Event, Person, Task
from honk.surfaces.slack.blocks import FALLBACK, cut, section
from honk.surfaces.slack.card import Shown
from honk.untrusted import markdown_to_mrkdwn, mrkdwn, plain_line

TOLD = frozenset(
    {
        "answered", "ready", "failed", "limit", "cancelled", "merge.refused", "merge.landed", "merge.elsewhere",
        "deploy.healthy", "deploy.ill", "service.ended", "service.restarted", "rolled_back", "rollback.refused",
    }
)  # fmt: skip


def told(event: Event, task: Task) -> Shown | None:
    """The message for an event, or None if the card alone tells of it."""
    words = _words(event, task)
    if words is None:
        return None
    text = f"{called(task.person)}{words}"
    return Shown(cut(text, FALLBACK), [section(text)], [])


def called(person: Person) -> str:
    """A mention of the person, if they are Slack's; so that it is their phone that rings."""
    home, _, user = person.id.removeprefix("slack:").partition("/")
    known = person.id.startswith("slack:") and user.isalnum() and home.replace("-", "").isalnum()
    return f"<@{user}> " if known else ""


def _words(event: Event, task: Task) -> str | None:  # noqa: PLR0911  one sentence a kind of event
    data = event.data
    match event.kind:
        case "answered":
            return markdown_to_mrkdwn(str(data.get("text") or "Nothing had to be changed."), 2800)
        case "ready":
            version = f"`{str(data.get('head_sha') or '')[:8]}` is ready to try."
            summary = markdown_to_mrkdwn(str(data.get("summary") or ""), 1500)
            held = [f"• {plain_line(str(one), 300)}" for one in (data.get("unconfirmed") or ())[:3]]
            wants = ["Before it is merged, somebody has to look at this:", *held] if held else []
            return "\n".join([version, *([summary] if summary else []), *wants])
        case "failed" | "limit":
            error = mrkdwn(str(data.get("error") or data.get("text") or "It stopped."), 1500)
            return f"{error}\nNext: {plain_line(str(data.get('next') or 'Retry'), 150)}"
        case "cancelled":
            return "Stopped; the work so far is kept."
        case "merge.refused" | "rollback.refused":
            return mrkdwn(str(data.get("reason") or "That was refused."), 1500)
        case "merge.landed":
            trouble = mrkdwn(str(data.get("trouble") or ""), 1000)
            after = "; it is being deployed." if data.get("deploys") else "."
            place = f"Merged as `{str(data.get('sha') or '')[:8]}` on {plain_line(str(data.get('branch') or ''), 60)}"
            return f"{place}{after}" + (f"\n{trouble}" if trouble else "")
        case "merge.elsewhere":
            name = plain_line(str(data.get("name") or "Somebody"), 80)
            return f"{name} merged it on the forge as `{str(data.get('sha') or '')[:8]}`; Honk did not deploy it."
        case "deploy.healthy":
            url = str(data.get("url") or "")
            fine = url.startswith(("http://", "https://")) and not set(url) & set("<>|")
            return "It is in production and healthy" + (f": <{url}>" if fine else ".")
        case "deploy.ill":
            return f"Production is ill: {mrkdwn(str(data.get('reason') or 'no reason was given'), 1200)}"
        case "service.ended":
            again = f"It is started again in {data.get('again_in', 0):g} s."
            return f"In production: {mrkdwn(str(data.get('error') or 'the service ended'), 1200)}\n{again}"
        case "service.restarted":
            return "The service in production runs again."
        case "rolled_back":
            to = f" to `{str(data.get('to'))[:8]}`" if data.get("to") else ""
            return f"Rolled back{to}: {mrkdwn(str(data.get('reason') or 'as asked'), 1200)}"
    return None
