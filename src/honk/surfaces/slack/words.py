"""What people write in Slack, as plain text."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html import unescape
from typing import Any

_REFERENCE = re.compile(r"<([^<>]*)>")
_SPOKEN = frozenset({None, "file_share", "thread_broadcast", "me_message"})
_STOP = re.compile(r"(?:please\s+)?(?:stop|cancel|abort|halt)(?:\s+(?:it|this|that|please|now))*", re.IGNORECASE)


@dataclass(frozen=True)
class Said:
    """A message of a person, as an event, a look at the thread or a shortcut gives it. `text` is Slack's own."""

    team: str
    channel: str
    ts: str
    thread: str
    """The `ts` of the thread's first message: its own if it is that."""
    user: str
    text: str
    files: tuple[Mapping[str, Any], ...] = ()
    mention: bool = False
    """True where Slack says that Honk was mentioned; the text may say so too."""
    direct: bool = False
    """True in a conversation of one person with Honk."""

    @property
    def key(self) -> str:
        """The same, whichever way the message came."""
        return f"slack:{self.channel}:{self.ts}"

    @property
    def reply(self) -> bool:
        return self.thread != self.ts


def said(event: Mapping[str, Any], team: str, *, mention: bool = False, channel: str | None = None) -> Said | None:
    """The message, or None if it is a bot's, Slack's own, or has no author."""
    if event.get("bot_id") or event.get("bot_profile") or event.get("subtype") not in _SPOKEN:
        return None
    place, ts = str(channel or event.get("channel") or ""), str(event.get("ts") or "")
    if not (event.get("user") and place and ts):
        return None
    return Said(
        team=str(event.get("user_team") or event.get("team") or team),
        channel=place,
        ts=ts,
        thread=str(event.get("thread_ts") or ts),
        user=str(event["user"]),
        text=str(event.get("text") or ""),
        files=tuple(event.get("files") or ()),
        mention=mention,
        direct=event.get("channel_type") == "im" or place.startswith("D"),
    )


def plain(text: str, name_of: Callable[[str], str] = lambda user: user) -> str:
    """Slack's text as people see it: references by their names, links by their addresses, entities resolved."""

    def shown(found: re.Match[str]) -> str:
        target, _, label = found[1].partition("|")
        if target.startswith("@"):
            return f"@{label or name_of(target[1:])}"
        if target.startswith("#"):
            return f"#{label or target[1:]}"
        if target.startswith("!"):
            return label or f"@{target[1:].partition('^')[0]}"
        target = target.removeprefix("mailto:")
        if not label or label == target or target.partition("://")[2].rstrip("/") == label.rstrip("/"):
            return target
        return f"{label} ({target})"

    return unescape(_REFERENCE.sub(shown, text)).strip()


def without_mention(text: str, bot: str | None) -> str:
    """Slack's text without Honk's name in it."""
    if not bot:
        # Who Honk is here is not known yet; then whoever is named first is Honk.
        return re.sub(r"^\s*<@\w+(?:\|[^>]*)?>[\s,:]*", "", text).strip()
    return re.sub(rf"<@{re.escape(bot)}(?:\|[^>]*)?>[,:]?\s*", "", text).strip()


def mentions(text: str, user: str | None) -> bool:
    """Whether Slack's text names the user."""
    return bool(user) and re.search(rf"<@{re.escape(user or '')}[|>]", text) is not None


def to_somebody_else(text: str, bot: str | None) -> bool:
    """Whether the text begins with somebody's name, and not with Honk's."""
    first = re.match(r"\s*<@(\w+)", text)
    return first is not None and first[1] != bot


def stops(words: str) -> bool:
    """Whether the words say nothing but to stop."""
    return _STOP.fullmatch(words.strip().rstrip(".!")) is not None


@dataclass(frozen=True)
class Asked:
    """Words that wait for the choice of a repository, or are on their way to becoming a task."""

    key: str
    words: str
    channel: str
    thread: str | None
    """None: the card itself begins the thread."""
    user: str
    team: str
    earlier: str = ""
    origin: str | None = None
    attachments: list[dict[str, Any]] = field(default_factory=list)
