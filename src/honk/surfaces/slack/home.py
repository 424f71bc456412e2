"""The App Home tab, and what a link to a task looks like in a message."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from honk.flow.inbox import Inbox
from honk.model import NotFound, Person, State, Task
from honk.settings import Settings
from honk.store import Store
from honk.surfaces.slack.blocks import Block, actions, button, context, divider, header, section
from honk.surfaces.slack.calls import Calls
from honk.surfaces.slack.card import STAGES, card, title
from honk.surfaces.slack.cards import Cards
from honk.surfaces.slack.people import People
from honk.untrusted import plain_line

_WAITING = frozenset({State.READY, State.FAILED})
_SHOWN = 12


class Home:
    """My tasks, what waits for me, the repositories."""

    def __init__(
        self, store: Store, inbox: Inbox, settings: Settings, calls: Calls, people: People, cards: Cards
    ) -> None:
        self._store = store
        self._inbox = inbox
        self._settings = settings
        self._calls = calls
        self._people = people
        self._cards = cards

    def opened(self, event: Mapping[str, Any], team: str) -> None:
        """Somebody looks at the Home tab. Raises `SlackError`."""
        user = str(event.get("user") or "")
        if not user or event.get("tab", "home") != "home":
            return
        reason = self._people.admission(user, team, "", direct=True)
        blocks = [section(reason)] if reason else self._blocks(self._people.person(user, team))
        self._calls("views.publish", user_id=user, view={"type": "home", "blocks": blocks})

    def _blocks(self, person: Person) -> list[Block]:
        mine = [task for task in self._store.tasks(limit=300) if task.person.id == person.id]
        waiting = [task for task in mine if task.state in _WAITING][:_SHOWN]
        running = [task for task in mine if not task.state.resting][:_SHOWN]
        ended = [task for task in mine if task.state.resting and task.state not in _WAITING][:_SHOWN]
        blocks = [header("Waiting for you"), *(self._rows(waiting) or [section("Nothing waits for you.")])]
        if running:
            blocks += [header("At work"), *self._rows(running)]
        if ended:
            blocks += [header("Done"), *self._rows(ended)]
        names = [plain_line(repository.name, 80) for repository in self._inbox.repositories()]
        blocks += [divider(), header("Repositories"), section("\n".join(f"• {name}" for name in names[:50]) or "None.")]
        login = self._inbox.linked(person)
        told = f"You are {plain_line(login, 60)} on GitHub." if login else "Your GitHub account is not linked."
        link = [] if login else [actions([button("Link my GitHub account", "honk:link", "link")])]
        return [*blocks, context(told), *link]

    def _rows(self, tasks: list[Task]) -> list[Block]:
        return [
            section(
                f"{STAGES[task.state][0]} *{STAGES[task.state][1]}* · {title(task, 120)}\n"
                f"{plain_line(task.repository, 80)}"
                + (f" · {plain_line(task.next_action, 100)}" if task.next_action and task.state in _WAITING else ""),
                button("Open", "honk:details", url=self._address(task)),
            )
            for task in tasks
        ]

    def _address(self, task: Task) -> str:
        """The task's thread where it has one, else its page."""
        place = self._cards.place(task.id)
        link = self._people.permalink(place[0], place[1]) if place and place[1] else None
        return link or f"{self._settings.url}/tasks/{task.id}"

    # -- links -------------------------------------------------------------------------------------------------------

    def shared(self, event: Mapping[str, Any], team: str) -> None:
        """Somebody shared links: those to tasks show how the task stands. Raises `SlackError`."""
        channel, user = str(event.get("channel") or ""), str(event.get("user") or "")
        if not user or user == self._people.bot or self._people.admission(user, team, channel, direct=True):
            return
        shown = {
            str(link["url"]): {"blocks": blocks}
            for link in (event.get("links") or [])[:5]
            if (blocks := self._unfurled(str(link.get("url") or "")))
        }
        if not shown:
            return
        if event.get("unfurl_id") and event.get("source"):
            self._calls("chat.unfurl", unfurl_id=event["unfurl_id"], source=event["source"], unfurls=shown)
        else:
            self._calls("chat.unfurl", channel=channel, ts=str(event.get("message_ts")), unfurls=shown)

    def _unfurled(self, url: str) -> list[Block] | None:
        found = re.fullmatch(re.escape(f"{self._settings.url}/tasks/") + r"([0-9a-f]{4,64})/?(?:[?#].*)?", url)
        if found is None:
            return None
        try:
            task = self._store.task(found[1])
        except NotFound:
            return None
        blocks = card(self._cards.facts(task)).blocks
        # Only the card in the task's own thread can be acted on.
        details = actions([button("Details", "honk:details", url=f"{self._settings.url}/tasks/{task.id}")])
        return [*(block for block in blocks if block["type"] != "actions"), details]
