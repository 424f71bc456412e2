"""What was said before in a thread, and the files that came along: the context of a request."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from honk.certificates import trusted
from honk.flow.inbox import Inbox
from honk.model import Attachment, HonkError
from honk.settings import Settings
from honk.surfaces.slack.calls import Calls, SlackError, Unavailable
from honk.surfaces.slack.people import People
from honk.surfaces.slack.words import Said, plain
from honk.untrusted import clean

log = logging.getLogger("honk.slack")

_MESSAGES = 100
"""Of a long thread: the first, and the last ones before the request."""
_TEXT = 30_000
"""Characters of all that was said before."""
_FILES = 10
_FILE_BYTES = 10_000_000
_ALL_BYTES = 40_000_000
_INLINE = 4_000
"""Characters. A text file up to this length is also given in the words themselves."""
_TEXTUAL = ("text/", "application/json", "application/xml", "application/x-yaml", "application/javascript")

HEADING = "## What was said in this thread before (context, by those who are named)"


@dataclass(frozen=True)
class Context:
    """`text` goes below the request's own words; `first` is what the thread began with, in plain words."""

    text: str = ""
    first: str = ""
    attachments: Sequence[Attachment] = ()


class Earlier:
    """Reads threads and fetches files."""

    def __init__(self, inbox: Inbox, settings: Settings, calls: Calls, people: People) -> None:
        self._inbox = inbox
        self._settings = settings
        self._calls = calls
        self._people = people

    def of(self, message: Said) -> Context:
        """What was said before the message, and its files and theirs. Raises `Unavailable` if Slack does not answer."""
        before: list[Mapping[str, Any]] = []
        if message.reply:
            try:
                replies = self._calls.pages(
                    "conversations.replies",
                    "messages",
                    channel=message.channel,
                    ts=message.thread,
                    latest=message.ts,
                    limit=200,
                    include_all_metadata=True,
                )
                before = [each for each in replies if str(each.get("ts")) < message.ts and not self._ours(each)]
            except Unavailable:
                raise
            except SlackError as error:
                log.info("the thread cannot be read: %s", error)
        if len(before) > _MESSAGES:
            before = [before[0], *before[-_MESSAGES + 1 :]]
        files = [*message.files, *(file for each in before for file in each.get("files") or ())]
        attachments, notes = self._fetch(files)
        return Context(self._told(before, notes), self._words(before[0]) if before else "", attachments)

    def message(self, channel: str, thread: str, ts: str) -> Mapping[str, Any]:
        """The message itself, as Slack has it now. Raises `SlackError`; empty if it is gone."""
        replies = self._calls.pages(
            "conversations.replies",
            "messages",
            channel=channel,
            ts=thread,
            oldest=ts,
            latest=ts,
            inclusive=True,
            limit=5,
        )
        return next((each for each in replies if str(each.get("ts")) == ts), {})

    def files(self, message: Said) -> tuple[Sequence[Attachment], str]:
        """The message's own files, and what has to be said about them."""
        attachments, notes = self._fetch(message.files)
        return attachments, "\n\n".join(notes)

    def _ours(self, message: Mapping[str, Any]) -> bool:
        """Whether Honk wrote it. What other apps wrote (an alert, a crash report) is context like any other."""
        mine = {self._people.bot, self._people.bot_id} - {None}
        told_kind = str((message.get("metadata") or {}).get("event_type") or "")
        return bool(mine & {message.get("user"), message.get("bot_id")}) or told_kind.startswith("honk_")

    def _words(self, message: Mapping[str, Any]) -> str:
        texts = [str(message.get("text") or "")]
        for quoted in message.get("attachments") or ():
            texts.append(str(quoted.get("text") or quoted.get("fallback") or ""))
        return clean(plain("\n".join(text for text in texts if text), self._people.name)).strip()

    def _author(self, message: Mapping[str, Any]) -> str:
        if message.get("user") and not message.get("bot_id"):
            return self._people.name(str(message["user"]))
        name = (message.get("bot_profile") or {}).get("name") or message.get("username") or "an app"
        return f"{' '.join(clean(str(name)).split())[:80]} (an app)"

    def _told(self, before: Sequence[Mapping[str, Any]], notes: Sequence[str]) -> str:
        lines = []
        for message in before:
            words = self._words(message)
            named = ", ".join(str(file.get("name") or "a file") for file in message.get("files") or ())
            whole = words + (f" [{clean(named)}]" if named else "")
            if whole:
                quoted = "\n".join(f"> {line}" for line in whole[:4000].splitlines())
                lines.append(f"**{self._author(message)}**:\n{quoted}")
        while len(lines) > 1 and sum(map(len, lines)) > _TEXT:
            lines.pop(1)
        parts = [f"{HEADING}\n\n" + "\n\n".join(lines)] if lines else []
        return "\n\n".join([*parts, *notes])

    # -- files -------------------------------------------------------------------------------------------------------

    def _fetch(self, files: Sequence[Mapping[str, Any]]) -> tuple[list[Attachment], list[str]]:
        kept: list[Attachment] = []
        notes: list[str] = []
        left = _ALL_BYTES
        for place, file in enumerate(files):
            name = " ".join(clean(str(file.get("name") or file.get("title") or "file")).split())[:80]
            if place >= _FILES:
                notes.append(f"({len(files) - _FILES} more files were left out.)")
                break
            try:
                data, media_type = self._content(file, min(left, _FILE_BYTES))
                kept.append(self._inbox.attach(name, media_type, data))
            except (SlackError, HonkError, _Unreadable) as error:
                log.info("the file %s was not taken: %s", file.get("id"), error)
                notes.append(f"(The file {name} could not be read: {error}.)")
                continue
            left -= len(data)
            if media_type.startswith(_TEXTUAL) and len(data) <= _INLINE:
                body = clean(data.decode(errors="replace")).replace("```", "'''")
                notes.append(f"The file {name}:\n```\n{body}\n```")
        return kept, notes

    def _content(self, file: Mapping[str, Any], most: int) -> tuple[bytes, str]:
        import httpx

        if file.get("file_access") == "check_file_info" or not file.get("mimetype"):
            file = self._calls("files.info", file=str(file.get("id"))).get("file") or file
        url = str(file.get("url_private_download") or file.get("url_private") or "")
        media_type = str(file.get("mimetype") or "application/octet-stream")
        if not url or file.get("mode") in ("tombstone", "hidden_by_limit"):
            raise _Unreadable("Slack no longer has it")
        if not self._is_slack(url):
            raise _Unreadable("it is not kept by Slack")
        if int(file.get("size") or 0) > most:
            raise _Unreadable(f"it is larger than {most // 1_000_000} MB")
        token = self._calls.client.token or ""
        data = bytearray()
        try:
            with httpx.stream(
                "GET", url, headers={"authorization": f"Bearer {token}"}, verify=trusted(), timeout=30
            ) as answer:
                if answer.status_code != 200:
                    raise _Unreadable(f"Slack answered {answer.status_code}")
                if answer.headers.get("content-type", "").startswith("text/html") and media_type != "text/html":
                    raise _Unreadable("the app lacks the scope files:read")
                for chunk in answer.iter_bytes():
                    data += chunk
                    if len(data) > most:
                        raise _Unreadable(f"it is larger than {most // 1_000_000} MB")
        except httpx.HTTPError as error:
            raise _Unreadable(f"it could not be fetched ({type(error).__name__})") from None
        return bytes(data), media_type

    def _is_slack(self, url: str) -> bool:
        """Whether the app's token may be shown to that address."""
        place, api = urlsplit(url), urlsplit(self._settings.slack_api_url)
        if (place.scheme, place.netloc) == (api.scheme, api.netloc):
            return True
        host = (place.hostname or "").lower()
        return place.scheme == "https" and (host == "slack.com" or host.endswith(".slack.com"))


class _Unreadable(Exception):
    """Why a file was left out, in a few words."""
