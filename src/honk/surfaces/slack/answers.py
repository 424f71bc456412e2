"""What Honk says to one person: help, refusals, how to link an account, how things stand."""

from __future__ import annotations

from honk.flow.inbox import Inbox
from honk.model import HonkError, Person, Task
from honk.store import Store
from honk.surfaces.slack.blocks import Block, actions, button, section
from honk.surfaces.slack.calls import Calls
from honk.surfaces.slack.card import STAGES, title
from honk.surfaces.slack.people import SURFACE, People
from honk.surfaces.slack.posts import whisper
from honk.surfaces.slack.words import Said
from honk.untrusted import mrkdwn, plain_line

HELP = """\
*Say what should change*, and name the repository: “@honk fix the crash when the queue is empty, in encore”. \
What was said in the thread before, and its files, go along.
• Answer in the thread to change course; no need to mention me again. `stop` stops.
• Try what comes back, then tap *Merge*; *Roll back* undoes a deployment.
• `/honk default owner/name` sets this channel's repository, `/honk link` links your GitHub account, \
`/honk status` shows your tasks."""


class Answers:
    """Short answers, mostly for one person's eyes."""

    def __init__(self, store: Store, inbox: Inbox, calls: Calls, people: People) -> None:
        self._store = store
        self._inbox = inbox
        self._calls = calls
        self._people = people

    def small_talk(self, message: Said, words: str, task: Task | None) -> bool:
        """Answer what is no request (help, status, link); False if it is one."""
        if task is not None and not message.mention:
            return False
        word = words.strip().rstrip("?!.").lower()
        if word in ("help", "hi", "hello"):
            self.help(message.channel, message.user, message.thread)
        elif word == "status":
            person = self._people.person(message.user, message.team)
            self.privately(message.channel, message.user, self.status(person, message.channel), message.thread)
        elif word in ("link", "link github"):
            person = self._people.person(message.user, message.team)
            text, blocks = self.link(person)
            self.privately(message.channel, message.user, text, message.thread, blocks)
        else:
            return False
        return True

    def privately(
        self, channel: str, user: str, text: str, thread: str | None = None, blocks: list[Block] | None = None
    ) -> None:
        """Say it so that only this person sees it. `text` is escaped mrkdwn. Raises `SlackError`."""
        whisper(self._calls, channel, user, text, thread, blocks)

    def help(self, channel: str, user: str, thread: str | None = None) -> None:
        """What can be said."""
        self.privately(channel, user, HELP, thread)

    def refusal(self, channel: str, user: str, team: str, sentence: str, thread: str | None = None) -> None:
        """Why something was not done, with a button for linking if that is what is missing."""
        text = mrkdwn(sentence, 2500)
        blocks = [section(text)]
        if "/honk link" in sentence and self._inbox.linked(self._people.person(user, team)) is None:
            blocks.append(actions([button("Link my GitHub account", "honk:link", "link", style="primary")]))
        self.privately(channel, user, text, thread, blocks)

    def turned_away(self, message: Said, reason: str, *, aloud: bool) -> None:
        """A polite refusal; in the thread for who spoke to Honk by name."""
        text = f"<@{message.user}> Sorry: {mrkdwn(reason)}"
        if aloud:
            self._calls(
                "chat.postMessage", channel=message.channel, thread_ts=message.thread, text=text, blocks=[section(text)]
            )
        else:
            self.privately(message.channel, message.user, mrkdwn(reason), message.thread)

    # -- texts -------------------------------------------------------------------------------------------------------

    def link(self, person: Person) -> tuple[str, list[Block]]:
        """How to link the person's account, as text and as blocks."""
        try:
            if login := self._inbox.linked(person):
                text = f"You are {plain_line(login, 60)} on GitHub. `/honk unlink` forgets that."
                return text, [section(text)]
            offer = self._inbox.link_offer(person)
        except HonkError as error:
            text = mrkdwn(str(error))
            return text, [section(text)]
        minutes = f"<!date^{int(offer.expires_at.timestamp())}^until {{time}}|for a few minutes>"
        text = f"Open {mrkdwn(offer.url)} and enter the code `{plain_line(offer.code, 40)}` (it is good {minutes})."
        buttons = [
            button("Open GitHub", "honk:details", url=offer.url, style="primary"),
            button("I have done it", "honk:linked", "linked"),
        ]
        return text, [section(text), actions(buttons)]

    def status(self, person: Person, channel: str) -> str:
        """The person's newest tasks and the channel's repository, as mrkdwn."""
        mine = [task for task in self._store.tasks(limit=200) if task.person.id == person.id][:10]
        lines = [
            f"{STAGES[task.state][0]} {STAGES[task.state][1]}: {title(task, 100)} ({plain_line(task.repository, 60)})"
            for task in mine
        ]
        default = (self._store.recall(SURFACE, "default", channel) or {}).get("repository")
        place = f"This channel's repository is {plain_line(default, 80)}." if default else ""
        return "\n".join([*(lines or ["You have no tasks yet."]), *([place] if place else [])])
