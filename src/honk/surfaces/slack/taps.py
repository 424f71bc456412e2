"""Buttons, menus, modals, the message shortcut and `/honk`."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from honk.flow.inbox import Inbox
from honk.flow.taps import Action
from honk.model import HonkError, Person
from honk.store import Store
from honk.surfaces.slack.answers import Answers
from honk.surfaces.slack.blocks import modal, section, select_input, text_input
from honk.surfaces.slack.calls import Calls, Gone, SlackError, Unavailable
from honk.surfaces.slack.cards import Cards
from honk.surfaces.slack.conversation import Conversation
from honk.surfaces.slack.earlier import Earlier
from honk.surfaces.slack.people import SURFACE, People
from honk.surfaces.slack.repositories import CHOOSE, Repositories
from honk.surfaces.slack.words import Asked, Said, plain, without_mention
from honk.untrusted import clean, mrkdwn, plain_line

log = logging.getLogger("honk.slack")

ACTS = frozenset({"merge", "cancel", "retry", "rollback", "approve", "override"})
FORM = "honk:form"


class Taps:
    """What people do with their fingers."""

    def __init__(
        self,
        store: Store,
        inbox: Inbox,
        calls: Calls,
        people: People,
        cards: Cards,
        earlier: Earlier,
        repositories: Repositories,
        answers: Answers,
        conversation: Conversation,
    ) -> None:
        self._store = store
        self._inbox = inbox
        self._calls = calls
        self._people = people
        self._cards = cards
        self._earlier = earlier
        self._repositories = repositories
        self._answers = answers
        self._conversation = conversation

    # -- buttons and menus -------------------------------------------------------------------------------------------

    def tapped(self, body: Mapping[str, Any]) -> None:
        """A button or a menu in a message or on the Home tab. Raises `SlackError`."""
        user, team = _who(body)
        container = body.get("container") or {}
        message = body.get("message") or {}
        channel = str((body.get("channel") or {}).get("id") or container.get("channel_id") or user)
        thread = message.get("thread_ts") or container.get("thread_ts") or message.get("ts")
        for action in body.get("actions") or ():
            name = str(action.get("action_id") or "")
            if not name.startswith("honk:") or name.startswith(("honk:open", "honk:details")):
                continue
            if not self._admitted(user, team, channel, f"tap:{action.get('action_ts')}", thread):
                return
            person = self._people.person(user, team)
            try:
                self._carry_out(name, action, person, channel, thread, user)
            except HonkError as error:
                self._answers.refusal(channel, user, team, str(error), thread)

    def _carry_out(
        self, name: str, action: Mapping[str, Any], person: Person, channel: str, thread: str | None, user: str
    ) -> None:
        what = name.removeprefix("honk:")
        allowing = what.startswith("allow:")
        if what in ACTS or allowing:
            value = _read(action.get("value"))
            task_id, head = str(value.get("task") or ""), value.get("head")
            key = f"slack:tap:{user}:{action.get('action_ts')}"
            try:
                act = cast(Action, "allow" if allowing else what)
                host = str(value.get("host") or "")
                self._inbox.act(task_id, act, str(head) if head else None, key, person, host=host)
            finally:
                self._cards.touch(task_id)
        elif name == CHOOSE:
            self._chosen(action, user, channel, thread)
        elif what == "link":
            text, blocks = self._answers.link(person)
            self._answers.privately(channel, user, text, thread, blocks)
        elif what == "linked":
            login = self._inbox.finish_link(person)
            told = f"You are {plain_line(login, 60)} on GitHub now." if login else (
                "GitHub has not confirmed it yet: enter the code there, then tap again."
            )  # fmt: skip
            self._answers.privately(channel, user, told, thread)

    def _chosen(self, action: Mapping[str, Any], user: str, channel: str, thread: str | None) -> None:
        key = str(action.get("block_id") or "").removeprefix("honk:asked:")
        repository = str((action.get("selected_option") or {}).get("value") or "")
        asked = self._repositories.waiting(key)
        if asked is None or not repository:
            self._answers.privately(channel, user, "That question has been answered already.", thread)
            return
        if asked.user != user:
            self._answers.privately(channel, user, f"This is for <@{asked.user}> to choose.", thread)
            return
        self._conversation.start(asked, self._repositories.chosen(asked, repository))
        self._repositories.settle(key, repository)

    # -- the message shortcut ----------------------------------------------------------------------------------------

    def shortcut(self, body: Mapping[str, Any], attempt: int) -> None:
        """ "Ask Honk" on a message: a form with its words; the task at once where no form can be shown."""
        user, team = _who(body)
        message = body.get("message") or {}
        channel = str((body.get("channel") or {}).get("id") or "")
        ts = str(message.get("ts") or body.get("message_ts") or "")
        thread = str(message.get("thread_ts") or ts)
        if body.get("callback_id") != "ask_honk" or not (channel and ts):
            return
        if not self._admitted(user, team, channel, f"shortcut:{body.get('trigger_id')}", thread):
            return
        words = self._words(message)
        place = json.dumps({"channel": channel, "ts": ts, "thread": thread})
        blocks = [text_input("What should change?", "text", words, "words")]
        if known := self._inbox.repositories():
            blocks.append(select_input(f"Repository ({len(known)} known)", self._repositories.menu("choice"), "where"))
        view = modal("Ask Honk", "Start", FORM, place, blocks)
        try:
            if attempt == 0:
                self._calls("views.open", trigger_id=str(body.get("trigger_id") or ""), view=view)
                return
        except Unavailable:
            log.info("the form for a request could not be opened in time")
        except SlackError as error:
            log.info("the form for a request could not be opened: %s", error)
        self._request(user, team, {"channel": channel, "ts": ts, "thread": thread}, words, None, attempt)

    def submitted(self, body: Mapping[str, Any], attempt: int) -> None:
        """The form came back."""
        view = body.get("view") or {}
        user, team = _who(body)
        place = _read(view.get("private_metadata"))
        if view.get("callback_id") != FORM or not place.get("channel"):
            return
        values = (view.get("state") or {}).get("values") or {}
        words = str(((values.get("words") or {}).get("text") or {}).get("value") or "").strip()
        chosen = ((values.get("where") or {}).get("choice") or {}).get("selected_option") or {}
        if self._admitted(user, team, str(place["channel"]), f"form:{view.get('id')}", place.get("thread")):
            self._request(user, team, place, words, chosen.get("value"), attempt)

    def _request(
        self, user: str, team: str, place: Mapping[str, Any], words: str, repository: str | None, attempt: int
    ) -> None:
        channel, ts, thread = str(place["channel"]), str(place["ts"]), str(place["thread"])
        try:
            original = self._earlier.message(channel, thread, ts)
        except Unavailable:
            if attempt < 4:
                raise
            original = {}
        except SlackError:
            original = {}
        files = tuple(original.get("files") or ())
        message = Said(team, channel, ts, thread, user, words, files)
        try:
            asked, first = self._conversation.request(message, words or self._words(original), attempt)
            self._conversation.ask(replace(asked, words=asked.words or first), repository)
            self._calls("reactions.add", channel=channel, timestamp=ts, name="eyes")
        except HonkError as error:
            self._answers.refusal(channel, user, team, str(error), thread)
        except Unavailable:
            raise
        except SlackError as error:
            log.info("no reaction was added: %s", error)

    def _words(self, message: Mapping[str, Any]) -> str:
        texts = [str(message.get("text") or "")]
        texts += [str(part.get("text") or part.get("fallback") or "") for part in message.get("attachments") or ()]
        raw = without_mention("\n".join(text for text in texts if text), self._people.bot or "-")
        return clean(plain(raw, self._people.name)).strip()

    # -- /honk -------------------------------------------------------------------------------------------------------

    def command(self, body: Mapping[str, Any], attempt: int) -> None:
        """`/honk TEXT`, `default [REPOSITORY]`, `status`, `link`, `unlink`. `help` has been answered before."""
        user, team, channel = str(body["user_id"]), str(body.get("team_id") or ""), str(body["channel_id"])
        text = plain(str(body.get("text") or ""), self._people.name)
        if not self._admitted(user, team, channel, f"command:{body.get('trigger_id')}", None):
            return
        person = self._people.person(user, team)
        word, _, rest = text.strip().partition(" ")
        try:
            if word == "default":
                self._answers.privately(channel, user, self._default(channel, rest.strip(), person))
            elif text in ("status", "list"):
                self._answers.privately(channel, user, self._answers.status(person, channel))
            elif text == "link":
                told, blocks = self._answers.link(person)
                self._answers.privately(channel, user, told, None, blocks)
            elif text == "unlink":
                self._inbox.unlink(person)
                self._answers.privately(channel, user, "Honk has forgotten who you are on GitHub.")
            else:
                self._ask_here(body, user, team, channel, clean(text))
        except HonkError as error:
            self._answers.refusal(channel, user, team, str(error))

    def _default(self, channel: str, repository: str, person: Person) -> str:
        known = (self._store.recall(SURFACE, "default", channel) or {}).get("repository")
        if not repository:
            return (
                f"This channel's repository is {plain_line(known, 80)}; `/honk default none` changes that."
                if known
                else "This channel has no repository of its own: `/honk default owner/name` sets one."
            )
        if repository.lower() in ("none", "off"):
            self._store.forget(SURFACE, "default", channel)
            return "This channel has no repository of its own now."
        named, _ = self._inbox.named(f"in {repository}")
        if named is None:
            return f"Honk knows no repository {plain_line(repository, 80)}: name it as owner/name."
        if self._inbox.access(named.name, person) == "none":
            return f"You may not read {plain_line(named.name, 80)}: ask somebody who administers it for access."
        self._store.remember(SURFACE, "default", channel, {"repository": named.name, "by": person.id})
        return f"What is asked in this channel is about {plain_line(named.name, 80)} now, unless it names another one."

    def _ask_here(self, body: Mapping[str, Any], user: str, team: str, channel: str, words: str) -> None:
        key = f"slack:command:{body.get('trigger_id')}"
        place = self._where_to_speak(channel, user)
        asked = Asked(key=key, words=words, channel=place, thread=None, user=user, team=team)
        default = (self._store.recall(SURFACE, "default", channel) or {}).get("repository")
        named = self._inbox.named(words)[0]
        self._conversation.ask(asked, default if default and named is None else None)

    def _where_to_speak(self, channel: str, user: str) -> str:
        """The channel itself; a direct message where Honk is not a member."""
        try:
            told = self._calls("conversations.info", channel=channel).get("channel") or {}
            if told.get("is_member", True) or told.get("is_im"):
                return channel
        except Gone:
            pass
        except Unavailable:
            raise
        except SlackError:
            return channel
        return str(self._calls("conversations.open", users=user)["channel"]["id"])

    # -- who ---------------------------------------------------------------------------------------------------------

    def _admitted(self, user: str, team: str, channel: str, key: str, thread: str | None) -> bool:
        direct = channel.startswith(("D", "U", "W"))
        reason = self._people.admission(user, team, channel, direct=direct)
        if reason:
            self._inbox.refuse(self._people.person(user, team), channel, reason, f"slack:{key}")
            self._answers.privately(channel, user, mrkdwn(reason), thread, [section(mrkdwn(reason))])
        return reason is None


def _who(body: Mapping[str, Any]) -> tuple[str, str]:
    user = body.get("user") or {}
    return str(user.get("id") or ""), str(user.get("team_id") or (body.get("team") or {}).get("id") or "")


def _read(text: object) -> dict[str, Any]:
    try:
        value = json.loads(str(text or "{}"))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
