"""What is said to Honk in Slack: who may speak, which task and repository it is about, and what is done with it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from honk.flow.inbox import Inbox
from honk.model import Attachment, HonkError, Person, State, Task
from honk.store import Store
from honk.surfaces.slack.answers import Answers
from honk.surfaces.slack.calls import Calls, SlackError, Unavailable
from honk.surfaces.slack.cards import Cards, remember_task
from honk.surfaces.slack.earlier import Context, Earlier
from honk.surfaces.slack.people import SURFACE, People
from honk.surfaces.slack.repositories import Choice, Repositories
from honk.surfaces.slack.words import Asked, Said, mentions, plain, said, stops, to_somebody_else, without_mention
from honk.untrusted import clean

log = logging.getLogger("honk.slack")

_PATIENCE = 4
"""How often a thread is asked for before a request goes on without what was said before."""
_ENDED = frozenset({State.MERGING, State.MERGED, State.DEPLOYING, State.DEPLOYED, State.ROLLED_BACK})


class Conversation:
    """Messages in."""

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
    ) -> None:
        self._store = store
        self._inbox = inbox
        self._calls = calls
        self._people = people
        self._cards = cards
        self._repositories = repositories
        self._answers = answers
        self._earlier = earlier

    # -- events ------------------------------------------------------------------------------------------------------

    def concerns(self, event: Mapping[str, Any]) -> bool:
        """Whether a message can be of any interest: most of a busy channel is not, and is not even written down."""
        inner = event.get("message") or event.get("previous_message") or event
        channel = str(event.get("channel") or "")
        if inner.get("user") == self._people.bot or inner.get("bot_id"):
            return False
        if event.get("channel_type") == "im" or channel.startswith("D") or self._people.bot is None:
            return True
        ts, text = str(inner.get("ts") or ""), str(inner.get("text") or "")
        if (
            mentions(text, self._people.bot)
            or self._seen(f"slack:{channel}:{ts}") is not None
            or any(
                self._store.recall(SURFACE, kind, f"{channel}:{inner.get('thread_ts') or ts}") is not None
                for kind in ("thread", "asking")
            )
        ):
            return True
        self._inbox.overhear(text)
        return False

    def heard(self, event: Mapping[str, Any], team: str, attempt: int) -> None:
        """A message or a mention, by whichever of its events it is told. Raises `Unavailable` to be asked again."""
        if event.get("subtype") == "message_changed":
            self._changed(event, team, attempt)
        elif event.get("subtype") == "message_deleted":
            self._deleted(event, team)
        elif message := said(event, team, mention=event.get("type") == "app_mention"):
            self.take(message, attempt)

    def take(self, message: Said, attempt: int = 0) -> None:
        """A message: for a task, the start of one, or none of Honk's business."""
        if message.user == self._people.bot or self._seen(message.key) is not None:
            return
        mention = message.mention or mentions(message.text, self._people.bot)
        tasks = self._tasks(message)
        if not tasks and message.reply and self._answers_question(message):
            return
        if not (mention or message.direct) and (not tasks or to_somebody_else(message.text, self._people.bot)):
            return
        if reason := self._people.admission(message.user, message.team, message.channel, direct=message.direct):
            self._turn_away(message, reason, aloud=mention or message.direct)
            return
        words = self._plain(message)
        if self._answers.small_talk(message, words, self._task(tasks)):
            self._mark(message.key, {"small": True})
            return
        self._react(message)
        try:
            self._act_on(message, words, tasks, mention=mention, attempt=attempt)
        except HonkError as error:
            self._answers.refusal(message.channel, message.user, message.team, str(error), message.thread)
            self._mark(message.key, {"refused": True})

    def _answers_question(self, message: Said) -> bool:
        """Take a message for the answer to the question in which repository, if it is that."""
        asked = self._repositories.waiting_in(message.channel, message.thread)
        if asked is None or asked.user != message.user:
            return False
        try:
            repository = self._repositories.answered(asked, self._plain(message))
            if repository is None:
                return False
            self.start(asked, self._repositories.chosen(asked, repository))
        except HonkError as error:
            self._answers.refusal(message.channel, message.user, message.team, str(error), message.thread)
            self._mark(message.key, {"refused": True})
            return True
        self._mark(message.key, {"small": True})
        self._repositories.settle(asked.key, repository)
        return True

    def _act_on(self, message: Said, words: str, tasks: list[str], *, mention: bool, attempt: int) -> None:
        task = self._task(tasks)
        person = self._people.person(message.user, message.team)
        if task and stops(words):
            if task.state is not State.CANCELLED:
                self._inbox.act(task.id, "cancel", None, message.key, person)
            self._mark(message.key, {"task": task.id})
            self._cards.touch(task.id)
            return
        if task and not mention and (task.merged_sha or task.state in _ENDED or task.state is State.CANCELLED):
            self._hint(message, task)
            return
        if task and not (task.merged_sha or task.state in _ENDED):
            named, _ = self._inbox.named(words) if mention else (None, words)
            if named is None or named.name == task.repository:
                self._follow_up(message, words, task, person)
                return
        self._begin(message, words, attempt)

    def _follow_up(self, message: Said, words: str, task: Task, person: Person) -> None:
        attachments, notes = self._earlier.files(message)
        text = "\n\n".join(part for part in (words, notes) if part)
        if not text and not attachments:
            return
        self._inbox.say(task.id, text or "See the files.", message.key, person, attachments)
        self._mark(message.key, {"task": task.id, "rest": notes})
        self._cards.touch(task.id)

    def request(self, message: Said, words: str, attempt: int) -> tuple[Asked, str]:
        """The request with its context, and what its thread began with. Raises `Unavailable`, a few times."""
        try:
            context = self._earlier.of(message)
        except Unavailable:
            if attempt < _PATIENCE:
                raise
            context = Context("(What was said in the thread before could not be read.)")
        asked = Asked(
            key=message.key,
            words=words,
            channel=message.channel,
            thread=message.thread,
            user=message.user,
            team=message.team,
            earlier=context.text,
            origin=self._people.permalink(message.channel, message.ts, message.thread),
            attachments=[asdict(attachment) for attachment in context.attachments],
        )
        return asked, context.first

    def _begin(self, message: Said, words: str, attempt: int) -> None:
        asked, first = self.request(message, words, attempt)
        words = words or first or ("See the files." if asked.attachments else "")
        if not words:
            self._answers.help(message.channel, message.user, message.thread)
            self._mark(message.key, {"small": True})
            return
        self.ask(replace(asked, words=words))

    # -- requests ----------------------------------------------------------------------------------------------------

    def ask(self, asked: Asked, repository: str | None = None) -> None:
        """Start the task, or ask in which repository. Raises `HonkError` with what to tell, and `SlackError`."""
        choice = self._repositories.choose(asked, repository)
        if choice is None:
            self._repositories.ask(asked)
            self._mark(asked.key, {"asked": True})
            return
        self.start(asked, choice)

    def start(self, asked: Asked, choice: Choice) -> Task:
        """Start the task in the repository. Raises `HonkError`."""
        person = self._people.person(asked.user, asked.team)
        task = self._inbox.submit(
            repo=choice.address,
            text=choice.words or "See what was said in the thread before.",
            context=asked.earlier,
            key=asked.key,
            person=person,
            attachments=[Attachment(**attachment) for attachment in asked.attachments],
            origin=asked.origin,
        )
        if asked.thread:
            remember_task(self._store, asked.channel, asked.thread, task.id, asked.key.rpartition(":")[2])
        self._cards.adopt(task, asked.channel, asked.thread)
        self._mark(asked.key, {"task": task.id, "rest": asked.earlier})
        return task

    # -- changed minds -----------------------------------------------------------------------------------------------

    def _changed(self, event: Mapping[str, Any], team: str, attempt: int) -> None:
        channel = str(event.get("channel") or "")
        after, before = event.get("message") or {}, event.get("previous_message") or {}
        if after.get("subtype") == "tombstone":  # a thread's first message, deleted while there are replies
            self._deleted({"channel": channel, "previous_message": before}, team)
            return
        message = said({**after, "channel_type": event.get("channel_type")}, team, channel=channel)
        if message is None or (before and before.get("text") == after.get("text")):
            return
        known = self._seen(message.key)
        if known is None:
            thread = self._store.recall(SURFACE, "thread", f"{channel}:{message.thread}")
            new = mentions(message.text, self._people.bot) or message.direct
            if new or (thread and message.ts > str(thread["since"])):
                self.take(message, attempt)  # the first this life hears of it
            return
        words = self._plain(message)
        if known.get("asked"):
            self._repositories.reword(message.key, words)
        elif known.get("task") and words:
            person = self._people.person(message.user, message.team)
            text, rest = self._without_place(words), str(known.get("rest") or "")
            if self._inbox.edit(str(known["task"]), message.key, text, person, rest):
                self._cards.touch(str(known["task"]))
            else:
                self._answers.privately(
                    message.channel, message.user,
                    "That message is being worked on already: say what should be different as a new one.",
                    message.thread,
                )  # fmt: skip

    def _without_place(self, words: str) -> str:
        try:
            return self._inbox.named(words)[1]
        except HonkError:
            return words

    def _deleted(self, event: Mapping[str, Any], team: str) -> None:
        before = event.get("previous_message") or {}
        channel, ts = str(event.get("channel") or ""), str(event.get("deleted_ts") or before.get("ts") or "")
        key = f"slack:{channel}:{ts}"
        if before.get("bot_id") or not ts:
            return
        known = self._seen(key)
        self._mark(key, (known or {}) | {"deleted": True})
        if not known:
            return
        if known.get("asked"):
            self._repositories.drop(key)
        elif known.get("task") and before.get("user"):
            user = str(before["user"])
            person = self._people.person(user, str(before.get("user_team") or before.get("team") or team))
            if self._inbox.withdraw(str(known["task"]), key, person):
                self._cards.touch(str(known["task"]))
            else:
                self._answers.privately(
                    channel, user, "That message is being worked on already: say `stop` to stop it.",
                    str(before.get("thread_ts") or ts),
                )  # fmt: skip

    # -- odds and ends -----------------------------------------------------------------------------------------------

    def _plain(self, message: Said) -> str:
        return clean(plain(without_mention(message.text, self._people.bot), self._people.name)).strip()

    def _tasks(self, message: Said) -> list[str]:
        thread = self._store.recall(SURFACE, "thread", f"{message.channel}:{message.thread}")
        return list(thread["tasks"]) if thread and message.ts >= str(thread["since"]) else []

    def _task(self, tasks: list[str]) -> Task | None:
        return next((task for task_id in tasks if (task := self._store.find_task(task_id))), None)

    def _seen(self, key: str) -> dict[str, Any] | None:
        return self._store.recall(SURFACE, "seen", key)

    def _mark(self, key: str, what: dict[str, Any]) -> None:
        self._store.remember(SURFACE, "seen", key, what)

    def _react(self, message: Said) -> None:
        try:
            self._calls("reactions.add", channel=message.channel, timestamp=message.ts, name="eyes")
        except SlackError as error:
            if error.code != "already_reacted":
                log.info("no reaction was added: %s", error)

    def _hint(self, message: Said, task: Task) -> None:
        """Say once how to go on, to whoever talks on under a task that is at its end."""
        key = f"{task.id}:{message.user}"
        if self._store.recall(SURFACE, "hint", key) is None:
            how = (
                "This task was cancelled: tap Retry, or mention me, to go on with it."
                if task.state is State.CANCELLED
                else "This change has been merged: mention me to start the next one here."
            )
            self._answers.privately(message.channel, message.user, how, message.thread)
            self._store.remember(SURFACE, "hint", key, {})
        self._mark(message.key, {"hint": True})

    def _turn_away(self, message: Said, reason: str, *, aloud: bool) -> None:
        person = self._people.person(message.user, message.team)
        self._inbox.refuse(person, message.channel, reason, message.key)
        key = f"refused:{message.channel}:{message.thread}:{message.user}"
        if self._store.recall(SURFACE, "hint", key) is None:
            self._answers.turned_away(message, reason, aloud=aloud)
            self._store.remember(SURFACE, "hint", key, {})
        self._mark(message.key, {"refused": True})
