"""Messages that appear once: each carries a sign in its metadata by which Honk finds it again."""

from __future__ import annotations

from typing import Any

from honk.surfaces.slack.blocks import FALLBACK, Block, cut, section
from honk.surfaces.slack.calls import Calls, Gone, SlackError, Unavailable, Unfit
from honk.surfaces.slack.card import Shown


def post(calls: Calls, channel: str, thread: str | None, shown: Shown, sign: tuple[str, dict[str, str]]) -> str:
    """Post a message and return its `ts`; plainer, where Slack does not take it as it is. Raises `SlackError`."""
    kind, payload = sign
    arguments: dict[str, Any] = {
        "channel": channel,
        "metadata": {"event_type": kind, "event_payload": payload},
        "unfurl_links": False,
        "unfurl_media": False,
    }
    if thread:
        arguments["thread_ts"] = thread
    return str(_sent(calls, "chat.postMessage", shown, arguments)["ts"])


def change(calls: Calls, channel: str, ts: str, shown: Shown, sign: tuple[str, dict[str, str]] | None = None) -> None:
    """Put something else in a message's place. Raises `SlackError`."""
    arguments: dict[str, Any] = {"channel": channel, "ts": ts}
    if sign:
        arguments["metadata"] = {"event_type": sign[0], "event_payload": sign[1]}
    _sent(calls, "chat.update", shown, arguments)


def _sent(calls: Calls, method: str, shown: Shown, arguments: dict[str, Any]) -> dict[str, Any]:
    try:
        return calls(method, text=shown.text, blocks=shown.blocks, **arguments)
    except Unfit:
        pass
    try:
        if shown.plainer:
            return calls(method, text=cut(shown.text, 1000), blocks=shown.plainer, **arguments)
    except Unfit:
        pass
    short = cut(shown.text, 200)
    return calls(method, text=short, blocks=[], **arguments)


def find(calls: Calls, channel: str, thread: str | None, sign: tuple[str, dict[str, str]]) -> str | None:
    """The `ts` of the message with that sign, if it is there. Raises `Unavailable` if Slack does not answer."""
    kind, payload = sign
    method, where = ("conversations.replies", {"ts": thread}) if thread else ("conversations.history", {})
    try:
        for message in calls.pages(method, "messages", channel=channel, limit=200, include_all_metadata=True, **where):
            metadata = message.get("metadata") or {}
            if metadata.get("event_type") == kind and metadata.get("event_payload") == payload:
                return str(message["ts"])
    except Gone:
        return None
    return None


def whisper(
    calls: Calls, channel: str, user: str, text: str, thread: str | None = None, blocks: list[Block] | None = None
) -> None:
    """Say something that only one person sees; in the thread for all where Slack does not do that."""
    blocks = blocks or [section(text)]
    arguments: dict[str, Any] = {"channel": channel, "text": cut(text, FALLBACK), "blocks": blocks}
    if thread:
        arguments["thread_ts"] = thread
    try:
        calls("chat.postEphemeral", user=user, **arguments)
    except Gone:
        opened = calls("conversations.open", users=user)
        arguments = {"channel": opened["channel"]["id"], "text": arguments["text"], "blocks": blocks}
        calls("chat.postMessage", **arguments)
    except Unfit:
        calls("chat.postEphemeral", user=user, channel=channel, text=cut(text, 500))
    except Unavailable:
        raise
    except SlackError:
        calls("chat.postMessage", **arguments)
