"""A team on GitHub: a played GitHub with real git behind it, a real `honk up` beside it."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from honk.app import Installation, assemble
from honk.certificates import trusted
from honk.model import Event, Person, State, Task
from honk.settings import read_settings
from tests.github.played import APP_ID, PlayedGitHub
from tests.processes import Process, start_up

PLACE = "acme/encore"
CHECKS = """\
verify: {test: "! grep -n broken app.txt"}
builds: {web: {run: mkdir dist; cp app.txt dist/index.html, output: dist}}
"""


@pytest.fixture
def github(tmp_path: Path, make_repository: Callable[..., Path]) -> Iterator[PlayedGitHub]:
    """GitHub with one repository, which ada and bob may write, carol may read, and mallory may only look at."""
    with PlayedGitHub(tmp_path / "github") as played:
        played.add_repository(PLACE, make_repository({"app.txt": "one\n", "honk.yaml": CHECKS}, name="source"))
        for login, right in (("ada", "write"), ("bob", "write"), ("carol", "read"), ("mallory", "none")):
            played.add_user(login, **{PLACE.replace("/", "__"): right})
        yield played


@pytest.fixture
def environment(
    home: Path, github: PlayedGitHub, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> dict[str, str]:
    """The settings of an installation that works with the played GitHub."""
    given = {
        "HONK_GITHUB_APP_ID": str(APP_ID),
        "HONK_GITHUB_PRIVATE_KEY": github.private_key,
        "HONK_GITHUB_WEBHOOK_SECRET": github.secret,
        "HONK_GITHUB_API_URL": github.api_url,
        "HONK_GITHUB_GIT_URL": github.git_url,
        "HONK_GITHUB_POLL_SECONDS": "0",
        "HONK_AGENT": "script:echo hello >> app.txt",
    } | getattr(request, "param", {})
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return given


@dataclass
class Team:
    """What the people of a test see and do."""

    github: PlayedGitHub
    honk: Installation
    url: str
    process: Process
    seen: int = 0

    def ask(self, text: str = "Please greet", *, agent: str | None = None, person: str = "ada", key: str = "k") -> Task:
        """Somebody asks for a change."""
        who = Person(f"github:{person}", person, f"{person}@example.com")
        return self.honk.inbox.submit(repo=PLACE, text=text, agent=agent, key=key, person=who)

    def task(self, task_id: str) -> Task:
        return self.honk.store.task(task_id)

    def tap(self, task: Task, action: Any, *, person: str = "ada", key: str = "tap") -> Task:
        now = self.task(task.id)
        return self.honk.inbox.act(now.id, action, now.head_sha, key, Person(f"github:{person}", person))

    def until(self, *kinds: str, seconds: float = 60) -> Event:
        """The next event of one of these kinds, of any task."""
        deadline = time.monotonic() + seconds
        while True:
            for event in self.honk.store.events(after=self.seen):
                self.seen = event.id
                if event.kind in kinds:
                    return event
            assert time.monotonic() < deadline, f"no {kinds} came: {self._told()}"
            assert self.process.poll() is None, "the server is gone"
            time.sleep(0.1)

    def until_true(self, what: Callable[[], Any], seconds: float = 30) -> Any:
        """Poll until something holds."""
        deadline = time.monotonic() + seconds
        while not (found := what()):
            assert time.monotonic() < deadline, f"it did not come to be: {what}"
            time.sleep(0.1)
        return found

    def _told(self) -> list[tuple[str, dict[str, Any]]]:
        return [(event.kind, dict(event.data)) for event in self.honk.store.events(limit=100_000)[-8:]]

    def until_state(self, task: Task, state: State) -> Task:
        self.until_true(lambda: self.task(task.id).state is state)
        return self.task(task.id)

    @property
    def pull(self) -> dict[str, Any]:
        """The one pull request."""
        (pull,) = self.github.repositories[PLACE].pulls.values()
        return pull


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def team(github: PlayedGitHub, environment: dict[str, str], sandbox: None, tmp_path: Path) -> Iterator[Team]:
    """`honk up` in a process of its own, told of by webhooks."""
    port = _free_port()
    process, _, _ = start_up(f"127.0.0.1:{port}", tmp_path / "up.log", **environment)
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 30
    while True:
        try:
            if httpx.get(f"{url}/healthz", verify=trusted(), trust_env=False).status_code == 200:
                break
        except httpx.TransportError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    github.webhook_url = f"{url}/github/webhook"
    yield Team(github, assemble(read_settings()), url, process)
    process.kill()
    process.wait()
    # Whatever Honk asked of GitHub, GitHub's own description has it.
    assert github.violations == []
