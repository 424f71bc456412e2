"""`honk demo` tells the whole story, and says what is played."""

from __future__ import annotations

import json

import pytest

from honk.demo.browser import found_browser
from honk.demo.stage import missing_android_tools
from tests.conftest import Honk

pytestmark = [pytest.mark.usefixtures("sandbox"), pytest.mark.slow]


def test_the_demo_tells_the_commute_story_to_its_end(honk: Honk) -> None:
    done = honk("demo", "--fast", "--json", check=0)
    told = json.loads(done.stdout)
    first, second = told["tasks"]
    assert told["model"] == "played"
    assert "The model is played" in done.stderr
    assert first["state"] == "deployed"
    assert second["state"] == "rolled_back"
    assert (first["verdict"]["decision"], first["verdict"]["model"]) == ("approve", "played")
    assert second["verdict"]["doubts"][0]["path"] == "src/player.js"
    for words in (
        "✗ test",
        "The judge approves (0.90)",
        "Pull request #1 opened",
        "is void",
        "has moved on",
        "Healthy in production",
        "Ill:",
        "Rolled back",
    ):
        assert words in done.stderr, words
    if found_browser():
        assert done.stderr.count("She tries it in Chromium") == 2
        assert [one["device"] for one in first["tried"] if one["kind"] == "web"] == ["Chrome on Linux"]
    kinds = {one["kind"] for one in first["artifacts"]}
    assert kinds == ({"web"} if missing_android_tools() else {"web", "android"})
    assert ("installs it" in done.stderr) == ("android" in kinds)


def test_the_live_demo_wants_a_key_before_anything_is_done(honk: Honk) -> None:
    done = honk("demo", "--live", check=2)
    assert "ANTHROPIC_API_KEY" in done.stderr
