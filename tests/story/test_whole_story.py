"""The whole story in the team's own places: a mention in Slack, a pull request, a review, a button, production."""

from __future__ import annotations

import http.server
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from honk.certificates import trusted
from honk.rehearsal import Rehearsal, Scene, say, use
from tests.conftest import git
from tests.github.played import APP_ID, PlayedGitHub
from tests.slack.played import APP_TOKEN, BOT, BOT_TOKEN, Message, PlayedSlack, buttons, texts

pytestmark = [pytest.mark.usefixtures("sandbox"), pytest.mark.slow]

PLACE = "acme/encore"
KEY = "sk-ant-canary-51c07be2"
READ = use("Read", file_path="/workspace/app.txt")
VERIFY = use("mcp__honk__verify")


def _edit(old: str, new: str) -> Any:
    return use("Edit", file_path="/workspace/app.txt", old_string=old, new_string=new)


SCENES = [
    Scene("louder", [READ, _edit("hello", "HELLO"), VERIFY, say("It greets loudly now.")], name="the review"),
    Scene("greet", [READ, _edit("one", "hello"), VERIFY, say("It greets now.")], name="the request"),
]


@pytest.fixture
def production(home: Path) -> Iterator[str]:
    """What the deploys of the story serve."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"".join(path.read_bytes() for path in home.glob("production/*/app.txt")))

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=lambda: server.serve_forever(poll_interval=0.05), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()


@pytest.fixture
def github(tmp_path: Path, make_repository: Callable[..., Path], production: str) -> Iterator[PlayedGitHub]:
    file = f"""\
verify: {{test: "! grep -n broken app.txt"}}
builds: {{web: {{run: mkdir dist; cp app.txt dist/index.html, output: dist}}}}
deploy: {{run: cp app.txt $HONK_DEPLOY_DIR/, health: {{url: "{production}", for: 0.3s, every: 0.1s}}}}
merge: {{approvals: 1}}
"""
    with PlayedGitHub(tmp_path / "github") as played:
        played.add_repository(PLACE, make_repository({"app.txt": "one\n", "honk.yaml": file}, name="source"))
        for login in ("ada", "bob"):
            played.add_user(login, **{PLACE.replace("/", "__"): "write"})
        yield played


@pytest.fixture
def slack() -> Iterator[PlayedSlack]:
    played = PlayedSlack()
    yield played
    played.close()


class Story:
    """What Ada and Bob see and do."""

    def __init__(self, slack: PlayedSlack, github: PlayedGitHub, model: Rehearsal, log: Path) -> None:
        self.slack, self.github, self.model, self._log = slack, github, model, log

    def until(self, what: Callable[[], Any], seconds: float = 60) -> Any:
        deadline = time.monotonic() + seconds
        while not (found := what()):
            assert time.monotonic() < deadline, f"it did not come to be: {self._told()}"
            time.sleep(0.1)
        return found

    def _told(self) -> tuple[object, ...]:
        cards = [texts(card) for card in self.slack.cards()]
        return cards, self.slack.said(), self.slack.whispers, self.slack.refusals, self._log.read_text()[-2000:]

    def card(self, *words: str) -> Message:
        """The one card, as soon as it says all of this."""

        def shown() -> Message | None:
            cards = self.slack.cards()
            assert len(cards) <= 1
            return cards[0] if cards and all(word in texts(cards[0]) for word in words) else None

        found: Message = self.until(shown)
        return found

    def link(self, user: str, login: str) -> None:
        """Somebody shows who they are on GitHub."""
        before = set(self.github.devices)
        self.slack.command("link", user=user)
        (device,) = self.until(lambda: set(self.github.devices) - before)
        self.github.confirm_device(self.github.devices[device]["user_code"], login)
        offer = self.until(lambda: next((w for w in self.slack.whispers if w["user"] == user and buttons(w)), None))
        done = next(element["action_id"] for label, element in buttons(offer).items() if "done" in label)
        self.slack.tap({**offer, "ts": offer.get("ts") or "1.0"}, done, user=user)
        self.until(lambda: any(w["user"] == user and login in w["text"] for w in self.slack.whispers))


@pytest.fixture
def story(home: Path, slack: PlayedSlack, github: PlayedGitHub, tmp_path: Path) -> Iterator[Story]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path / "up.log"
    with Rehearsal(SCENES) as model:
        environment = {
            "ANTHROPIC_BASE_URL": model.base_url, "ANTHROPIC_API_KEY": KEY,
            "HONK_SLACK_BOT_TOKEN": BOT_TOKEN, "HONK_SLACK_APP_TOKEN": APP_TOKEN, "HONK_SLACK_API_URL": slack.api_url,
            "HONK_GITHUB_APP_ID": str(APP_ID), "HONK_GITHUB_PRIVATE_KEY": github.private_key,
            "HONK_GITHUB_WEBHOOK_SECRET": github.secret, "HONK_GITHUB_API_URL": github.api_url,
            "HONK_GITHUB_GIT_URL": github.git_url, "HONK_GITHUB_POLL_SECONDS": "0",
        }  # fmt: skip
        with log.open("w") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "honk", "up", "--listen", f"127.0.0.1:{port}"],
                stdout=subprocess.PIPE, stderr=errors, text=True, env=os.environ | environment,
            )  # fmt: skip
        assert process.stdout is not None
        assert "token=" in process.stdout.readline(), log.read_text()
        github.webhook_url = f"http://127.0.0.1:{port}/github/webhook"
        told = Story(slack, github, model, log)
        told.until(lambda: slack.connected)
        told.until(lambda: _answers(f"http://127.0.0.1:{port}/healthz"))
        yield told
        process.kill()
        process.wait()
    assert github.violations == []


def _answers(address: str) -> bool:
    try:
        return httpx.get(address, verify=trusted(), trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def test_from_a_mention_to_production(story: Story, production: str, home: Path) -> None:
    slack, github = story.slack, story.github
    story.link("UADA", "ada")
    story.link("UBOB", "bob")

    thread = slack.say("It does not say hello to anybody", user="UBOB")
    slack.say(f"<@{BOT}> please greet, in acme/encore", thread=thread)
    card = story.card("Ready", "It greets now.")
    assert card["thread_ts"] == thread
    (pull,) = github.repositories[PLACE].pulls.values()
    assert pull["by"] == "ada"
    assert "> please greet" in pull["body"]
    assert "It does not say hello to anybody" not in pull["body"]
    assert "It does not say hello to anybody" in str(story.model.requests[0].body)

    github.review(PLACE, 1, "CHANGES_REQUESTED", "", "bob", comments={"app.txt:1": "Say it louder, please"})
    card = story.card("Ready", "It greets loudly now.")
    assert git(github.directory(PLACE), "show", f"{pull['branch']}:app.txt") == "HELLO"

    merge = next(element["action_id"] for label, element in buttons(card).items() if label.startswith("Merge"))
    slack.tap(card, merge)
    story.until(lambda: any("needs an approval by people" in text for text in slack.said()))
    github.review(PLACE, 1, "APPROVED", "", "bob")
    card = story.card("Ready")
    slack.tap(card, merge)
    story.card("In production")
    assert git(github.directory(PLACE), "show", "main:app.txt") == "HELLO"
    assert pull["merged_at"]
    assert httpx.get(production, trust_env=False).text == "HELLO\n"
    assert len(github.repositories[PLACE].pulls) == 1

    shown = "".join(str(call) for call in slack.calls) + "".join(str(call) for call in github.calls)
    kept = b"".join(path.read_bytes() for path in home.glob("honk.db*")).decode("utf-8", "replace")
    for secret in (KEY, BOT_TOKEN, APP_TOKEN, github.secret, github.private_key):
        assert secret not in kept
        assert secret not in shown or secret in (BOT_TOKEN, APP_TOKEN)
