"""The judge in the story: what it says is kept, shown, held against the agent and the merge, and can be overridden."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from honk.rehearsal import Rehearsal, verdict
from tests.conftest import Honk, git

pytestmark = pytest.mark.usefixtures("sandbox")

KEY = "sk-ant-canary-7f3a9c51"
DOUBT = {"kind": "scope", "message": "Nobody asked for this.", "path": "app.txt", "line": 2}


@pytest.fixture
def make_project(make_repository: Callable[..., Path]) -> Callable[..., Path]:
    def make(judging: str, **files: str) -> Path:
        return make_repository({"app.txt": "one\n", "honk.yaml": f"verify: {{test: 'true'}}\n{judging}\n"} | files)

    return make


def run(honk: Honk, model: Rehearsal | None, repo: Path, *more: str, check: int = 0, **env: str) -> dict[str, Any]:
    if model:
        env |= {"ANTHROPIC_BASE_URL": model.base_url, "ANTHROPIC_API_KEY": KEY}
    done = honk("run", "Add a line", "--repo", str(repo), "--json", *more, check=check, **env)
    task: dict[str, Any] = json.loads(done.stdout)
    return task


SCRIPT = ("--agent", "script:echo two >> app.txt")


def test_a_verdict_is_kept_and_shown_and_its_cost_is_the_tasks(honk: Honk, make_project: Callable[..., Path]) -> None:
    with Rehearsal([verdict(0.9, "It adds the line.", DOUBT)]) as model:
        task = run(honk, model, make_project("judge: veto"), *SCRIPT)
    assert task["verdict"]["decision"] == "approve"
    assert task["verdict"]["score"] == 0.9
    assert task["verdict"]["doubts"] == [DOUBT]
    assert task["cost_usd"] == task["verdict"]["cost_usd"] > 0
    assert task["actions"] == ["merge", "cancel"]
    assert len(model.requests) == 1


def test_a_veto_is_overridden_on_that_very_commit_and_then_it_is_merged(
    honk: Honk, make_project: Callable[..., Path]
) -> None:
    repo = make_project("judge: veto")
    with Rehearsal([verdict(0.1, "Nobody asked for this.", DOUBT)]) as model:
        address = {"ANTHROPIC_BASE_URL": model.base_url, "ANTHROPIC_API_KEY": KEY}
        task = run(honk, model, repo, *SCRIPT)
        assert task["state"] == "ready"
        assert task["verdict"]["decision"] == "veto"
        assert "override" in task["next_action"]
        assert task["actions"] == ["override", "cancel"]
        refused = honk("task", "merge", task["id"], check=1, **address)
        assert "The judge vetoes it: Nobody asked for this." in refused.stderr.replace("\n", " ")
        stale = honk("task", "override", task["id"], "--head", "0" * 40, check=1, **address)
        assert "moved on" in stale.stderr
        overridden = json.loads(honk("task", "override", task["id"], "--json", check=0, **address).stdout)
        assert overridden["override"]["name"] == "Ada"
        assert overridden["actions"] == ["merge", "cancel"]
        merged = json.loads(honk("task", "merge", task["id"], "--json", check=0, **address).stdout)
    assert merged["state"] == "merged"
    assert git(repo, "show", "main:app.txt") == "one\ntwo"
    assert len(model.requests) == 1
