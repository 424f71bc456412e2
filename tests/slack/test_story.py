"""From a mention to production and back, with the real `honk up`; only Slack is played."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.processes import start_up
from tests.slack.conftest import MENTION
from tests.slack.played import APP_TOKEN, BOT_TOKEN, Message, PlayedSlack, buttons, texts

HONK_YAML = """\
verify: {test: "! grep -n broken app.txt"}
builds: {web: {run: mkdir dist; cp app.txt dist/index.html, output: dist}}
deploy:
  run: "cp app.txt $HONK_DEPLOY_DIR/$HONK_SHA; cp app.txt $HONK_DEPLOY_DIR/live"
  rollback: "cp $HONK_DEPLOY_DIR/$HONK_PREVIOUS_SHA $HONK_DEPLOY_DIR/live"
"""


@pytest.fixture
def encore(slack: PlayedSlack, home: Path, make_repository: Callable[..., Path], sandbox: None) -> Iterator[Path]:
    """`honk up` in a process of its own, in the played Slack, and the repository it is asked about."""
    folder = make_repository({"app.txt": "one\n", "honk.yaml": HONK_YAML}, name="encore")
    environment = {
        "HONK_SLACK_BOT_TOKEN": BOT_TOKEN,
        "HONK_SLACK_APP_TOKEN": APP_TOKEN,
        "HONK_SLACK_API_URL": slack.api_url,
        "HONK_AGENT": "script:echo hello >> app.txt",
        "HONK_LISTEN": "127.0.0.1:0",
    }
    register = [sys.executable, "-c", (
        "from honk.app import assemble; from honk.settings import read_settings; import sys; "
        "assemble(read_settings()).forges.resolve(sys.argv[1])"
    ), str(folder)]  # fmt: skip
    subprocess.run(register, env=os.environ | environment, check=True, timeout=60)
    process, _, _ = start_up("127.0.0.1:0", home.with_suffix(".log"), **environment)
    yield folder
    process.kill()
    process.wait()
    assert "Traceback" not in home.with_suffix(".log").read_text()


def until(what: Callable[[], Any], seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


@pytest.mark.slow
def test_a_mention_becomes_a_version_in_production_and_can_be_rolled_back(
    slack: PlayedSlack, encore: Path, home: Path
) -> None:
    until(lambda: slack.connected)

    def card(ts: str, *words: str) -> Message:
        def shown() -> Message | None:
            cards = [each for each in slack.cards() if each.get("thread_ts") == ts]
            return cards[0] if cards and all(word in texts(cards[0]) for word in words) else None

        found: Message = until(shown)
        return found

    def live() -> str:
        return next((path.read_text() for path in home.glob("production/*/live")), "")

    for expected in ("one\nhello\n", "one\nhello\nhello\n"):
        ts = slack.say(f"{MENTION} say hello, in encore")
        ready = card(ts, "Ready to try", "✓ test", "Try web")
        assert "of 1 checks" in texts(buttons(ready)["Merge"]["confirm"])
        slack.tap(ready, "honk:merge", user="UBOB")
        deployed = card(ts, "In production")
        assert live() == expected
    assert "Roll back" in buttons(deployed)
    slack.tap(deployed, "honk:rollback")
    card(ts, "Rolled back")
    assert live() == "one\nhello\n"
    until(lambda: any("Rolled back to" in text for text in slack.said()))
    # The revert, in the thread of what it takes back.
    assert "Revert" in texts(until(lambda: next((c for c in slack.cards() if "Revert" in texts(c)), None)))
    assert [each.get("thread_ts") == ts for each in slack.cards()] == [False, True, True]
    refused = [refusal for refusal in slack.refusals if refusal[0] != "assistant.threads.setStatus"]
    assert refused == []
