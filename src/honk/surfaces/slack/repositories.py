"""Which repository a request is about: named, the thread's, the channel's, the only one there is, or asked for."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from honk.flow.inbox import Inbox
from honk.model import Repository, UsageError
from honk.store import Store
from honk.surfaces.slack.blocks import Block, actions, choices, section, select
from honk.surfaces.slack.calls import Calls, SlackError
from honk.surfaces.slack.card import Shown
from honk.surfaces.slack.people import SURFACE
from honk.surfaces.slack.posts import change, find, post
from honk.surfaces.slack.words import Asked
from honk.untrusted import plain_line

log = logging.getLogger("honk.slack")

CHOOSE = "honk:choose"


@dataclass(frozen=True)
class Choice:
    """Where the work is done, as `Inbox.submit` takes it, and the request without naming it."""

    address: str
    words: str


class Repositories:
    """Chooses, asks, and keeps what waits for an answer."""

    def __init__(self, store: Store, inbox: Inbox, calls: Calls) -> None:
        self._store = store
        self._inbox = inbox
        self._calls = calls

    def choose(self, asked: Asked, repository: str | None = None) -> Choice | None:
        """The repository, or None if the person has to be asked. Raises `HonkError`."""
        if repository:
            return self.chosen(asked, repository)
        named, words = self._inbox.named(asked.words)
        if named:
            return Choice(named.address, words)
        for known in (self._of_thread(asked), self._default(asked.channel)):
            if known and self._store.repository(known):
                return self.chosen(asked, known)
        all_known = self._inbox.repositories()
        if len(all_known) == 1:
            return Choice(all_known[0].address, asked.words)
        if not all_known:
            raise UsageError("Honk knows no repository yet: name one, as in `… in owner/name`.")
        return None

    def chosen(self, asked: Asked, name: str) -> Choice:
        """The repository of that name."""
        known = self._store.repository(name)
        return Choice(known.address if known else name, asked.words)

    def _of_thread(self, asked: Asked) -> str | None:
        thread = self._store.recall(SURFACE, "thread", f"{asked.channel}:{asked.thread}") if asked.thread else None
        for task_id in (thread or {}).get("tasks", ()):
            if task := self._store.find_task(task_id):
                return task.repository
        return None

    def _default(self, channel: str) -> str | None:
        return (self._store.recall(SURFACE, "default", channel) or {}).get("repository")

    # -- asking ------------------------------------------------------------------------------------------------------

    def ask(self, asked: Asked) -> None:
        """Ask with a menu; the answer starts the task with the same words and key. Raises `SlackError`."""
        waiting = self._store.recall(SURFACE, "asked", asked.key) or {}
        if waiting.get("ts"):
            return
        if asked.thread:
            self._store.remember(SURFACE, "asking", f"{asked.channel}:{asked.thread}", {"key": asked.key})
        sign = ("honk_question", {"key": asked.key})
        thread = asked.thread
        self._store.remember(SURFACE, "asked", asked.key, {"asked": asdict(asked), "ts": None})
        ts = find(self._calls, asked.channel, thread, sign) if waiting else None
        if ts is None:
            text = f"<@{asked.user}> In which repository?"
            blocks = [section(text), actions([self.menu(CHOOSE)], f"honk:asked:{asked.key}")]
            ts = post(self._calls, asked.channel, thread, Shown(text, blocks), sign)
        self._store.remember(SURFACE, "asked", asked.key, {"asked": asdict(asked), "ts": ts})

    def menu(self, action: str) -> Block:
        """A menu of the repositories; one to type into if there are too many to list."""
        known = self._inbox.repositories()
        return select(action, "Choose a repository", choices(map(_option, known)) if len(known) <= 100 else None)

    def matching(self, typed: str) -> list[Block]:
        """What the menu offers for what was typed so far."""
        wanted = typed.strip().lower()
        known = [
            repository
            for repository in self._inbox.repositories()
            if wanted in repository.name.lower() or wanted in repository.address.lower()
        ]
        return choices(map(_option, known))

    def answered(self, asked: Asked, words: str) -> str | None:
        """The repository that words name as the answer to the question, or None if they do not."""
        plain = words.strip().strip("`.!").lower()
        named = self._inbox.named(words)[0] or self._inbox.named(f"in {plain}")[0]
        return named.name if named and len(plain.split()) <= 6 else None

    def waiting_in(self, channel: str, thread: str) -> Asked | None:
        """The request that waits in this thread."""
        kept = self._store.recall(SURFACE, "asking", f"{channel}:{thread}")
        return self.waiting(str(kept["key"])) if kept else None

    def waiting(self, key: str) -> Asked | None:
        """The request that waits under this key."""
        kept = self._store.recall(SURFACE, "asked", key)
        return _asked(kept["asked"]) if kept else None

    def settle(self, key: str, repository: str) -> None:
        """Put the answer in the question's place. What Slack says to that does not matter."""
        kept = self._store.recall(SURFACE, "asked", key)
        self._no_longer_asking(kept)
        self._close(kept, f"In {plain_line(repository, 80)}.")
        self._store.forget(SURFACE, "asked", key)

    def drop(self, key: str) -> None:
        """The request was taken back."""
        kept = self._store.recall(SURFACE, "asked", key)
        self._no_longer_asking(kept)
        self._store.forget(SURFACE, "asked", key)
        self._close(kept, "The request was taken back.")

    def reword(self, key: str, words: str) -> None:
        """The request was edited while it waited."""
        kept = self._store.recall(SURFACE, "asked", key)
        if kept and words:
            changed = replace(_asked(kept["asked"]), words=words)
            self._store.remember(SURFACE, "asked", key, kept | {"asked": asdict(changed)})

    def _no_longer_asking(self, kept: Mapping[str, Any] | None) -> None:
        if kept and kept["asked"]["thread"]:
            self._store.forget(SURFACE, "asking", f"{kept['asked']['channel']}:{kept['asked']['thread']}")

    def _close(self, kept: Mapping[str, Any] | None, text: str) -> None:
        if not kept or not kept.get("ts"):
            return
        try:
            change(self._calls, str(kept["asked"]["channel"]), str(kept["ts"]), Shown(text, [section(text)]))
        except SlackError as error:
            log.info("a question that is answered stays as it is: %s", error)


def _asked(kept: Mapping[str, Any]) -> Asked:
    return Asked(**kept)


def _option(repository: Repository) -> tuple[str, str]:
    return repository.name, repository.name
