"""A team in Slack: a played Slack, the real surface, store and inbox; the flow's part is played by rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from honk.app import assemble
from honk.flow.inbox import Inbox
from honk.forges import NoAccounts
from honk.model import Check, Repository, State, Task
from honk.settings import Settings, read_settings
from honk.store import Store
from honk.surfaces.slack import SlackSurface
from tests.slack.played import APP_TOKEN, BOT, BOT_TOKEN, SIGNING_SECRET, Message, PlayedSlack, texts

HEAD = "a1b2c3d4e5f60718293a4b5c6d7e8f9001122334"
NEXT_HEAD = "b1b2c3d4e5f60718293a4b5c6d7e8f9001122334"
MENTION = f"<@{BOT}>"


@pytest.fixture
def slack() -> Iterator[PlayedSlack]:
    played = PlayedSlack()
    yield played
    played.close()


class StillEngine:
    """Takes work and does none of it, so that a test decides what happens next."""

    def __init__(self) -> None:
        self.started: list[tuple[str, str]] = []

    def start(self, function: str, key: str, queue: str, partition: str, *arguments: Any) -> None:
        if (function, key) not in self.started:
            self.started.append((function, key))

    def close(self) -> None:
        pass


@dataclass
class Team:
    """What the people of a test see and do."""

    slack: PlayedSlack
    store: Store
    inbox: Inbox
    settings: Settings
    engine: StillEngine
    expected: list[Repository]
    """The repositories for which an agent was to be made ready."""
    images: dict[str, bytes] = field(default_factory=dict)
    surface: SlackSurface = field(init=False)

    def up(self, *, wait: bool = True, **settings: Any) -> Team:
        """Start the surface, as a life of the server does."""
        given = self.settings.model_copy(update=settings)
        self.surface = SlackSurface(
            self.store, self.inbox, given, image=lambda kind, task: self.images.get(kind), timeout=2, ping=0.3
        )
        self.surface.start()
        if given.slack_app_token is None:
            self.slack.http = self.surface.http
        if wait:
            hears = given.slack_app_token is None
            self.until(lambda: self.surface.status() == "connected" and (hears or self.slack.connected))
        return self

    def down(self) -> None:
        self.surface.close()
        self.slack.cut()

    def until(self, what: Callable[[], Any], seconds: float = 10) -> Any:
        """Poll until something holds, and give it."""
        deadline = time.monotonic() + seconds
        while not (found := what()):
            assert time.monotonic() < deadline, self._told()
            time.sleep(0.03)
        return found

    def _told(self) -> str:
        return f"it did not come to be; refused: {self.slack.refusals}, said: {self.slack.said()}, whispered: " + str(
            [whisper["text"] for whisper in self.slack.whispers]
        )

    # -- tasks -------------------------------------------------------------------------------------------------------

    def tasks(self) -> list[Task]:
        return self.store.tasks()

    def task(self) -> Task:
        """The one task, as soon as there is one."""
        (task,) = self.until(self.tasks)
        return task

    def asked(self, text: str = "fix the crash when the queue is empty", **more: Any) -> tuple[Task, str]:
        """A task that somebody asked for, with its card on display; and the thread's `ts`."""
        ts = self.slack.say(f"{MENTION} {text}", **more)
        task = self.task()
        self.card()
        return task, ts

    def card(self, *words: str, channel: str = "CDEV") -> Message:
        """The one card, as soon as it says all of this."""

        def shown() -> Message | None:
            cards = self.slack.cards(channel)
            assert len(cards) <= 1, cards
            return cards[0] if cards and all(word in texts(cards[0]) for word in words) else None

        found: Message = self.until(shown)
        return found

    def whisper(self, *words: str) -> dict[str, Any]:
        """What only one person sees, as soon as it says all of this."""
        return dict(
            self.until(
                lambda: next(
                    (each for each in self.slack.whispers if all(word in each["text"] for word in words)), None
                )
            )
        )

    def said(self, *words: str, channel: str = "CDEV") -> str:
        """A message of Honk's besides the card, as soon as there is one that says all of this."""
        return str(
            self.until(
                lambda: next((each for each in self.slack.said(channel) if all(word in each for word in words)), None)
            )
        )

    def messages(self, task: Task) -> list[tuple[str, str]]:
        """Who said what in a task's thread, as the agent is told."""
        return [(message.person.name, message.text) for message in self.store.messages(task.id)]

    # -- the flow's part ---------------------------------------------------------------------------------------------

    def happens(self, task: Task, kind: str, data: dict[str, Any] | None = None, **changes: Any) -> None:
        """A row of the log, with what it changes in the task's row."""
        self.store.record(task.id, kind, data or {}, key=f"{kind}:{time.monotonic_ns()}", changes=changes)

    def becomes_ready(
        self,
        task: Task,
        head: str = HEAD,
        summary: str = "The queue may be *empty* now.",
        *,
        approval_wanted: bool = False,
        trial_wanted: bool = False,
    ) -> None:
        self.store.take_messages(task.id, "turn")
        self.store.save_checks(task.repository, head, "", [Check("test", "passed", 1.25, "12 passed")])
        self.happens(task, "commit", {"sha": head, "stat": "2 files changed, 8 insertions(+)"}, head_sha=head)
        self.happens(
            task,
            "ready",
            {
                "head_sha": head,
                "summary": summary,
                "approval_wanted": approval_wanted,
                "trial_wanted": trial_wanted,
            },
            state=State.READY.value,
            summary=summary,
            pull_request=7,
            pushed_sha=head,
            cost_usd=0.42,
            next_action="Try it, then merge",
        )


@pytest.fixture
def team(slack: PlayedSlack, home: Path, make_repository: Callable[..., Path]) -> Iterator[Team]:
    """Everything but the flow is real: store, inbox, local forge, Slack surface."""
    settings = read_settings(
        slack_bot_token=BOT_TOKEN,
        slack_app_token=APP_TOKEN,
        slack_signing_secret=SIGNING_SECRET,
        slack_api_url=slack.api_url,
        public_url="https://honk.example.com",
        agent="script:true",
    )
    installation = assemble(settings)
    engine = StillEngine()
    expected: list[Repository] = []
    inbox = Inbox(
        settings,
        installation.store,
        installation.forges,
        NoAccounts(),
        engine,
        lambda agent: None,
        expected.append,  # type: ignore[arg-type]
    )
    honk_yaml = "deploy: {run: ./deploy.sh}\n"
    folder = make_repository({"app.txt": "one\n", "honk.yaml": honk_yaml}, name="encore")
    installation.forges.resolve(str(folder))
    team = Team(slack, installation.store, inbox, settings, engine, expected)
    yield team
    if hasattr(team, "surface"):
        team.surface.close()


@pytest.fixture
def second_repository(team: Team, make_repository: Callable[..., Path]) -> str:
    """Another repository, so that one has to be chosen."""
    folder = make_repository({"app.txt": "two\n"}, name="ballad")
    from honk.forges import LocalForge

    return LocalForge(team.settings.home, team.store).resolve(str(folder)).name
