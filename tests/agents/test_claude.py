"""The real Claude Code in the real sandbox; only the model is played."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from honk.rehearsal import Rehearsal, Scene, say, use
from honk.store import Store, open_database
from tests.conftest import Honk, git

pytestmark = pytest.mark.usefixtures("sandbox")

KEY = "sk-ant-canary-7f3a9c51"
CHECKS = "verify: {test: '! grep -n broken app.txt'}\n"
VERIFY = use("mcp__honk__verify")


def edit(old: str, new: str) -> Any:
    return use("Edit", file_path="/workspace/app.txt", old_string=old, new_string=new)


READ = use("Read", file_path="/workspace/app.txt")


@pytest.fixture
def repo(make_repository: Callable[..., Path]) -> Path:
    return make_repository({"app.txt": "one\n", "honk.yaml": CHECKS})


def _run(honk: Honk, model: Rehearsal, repo: Path, text: str, *more: str, check: int = 0, **env: str) -> dict[str, Any]:
    done = honk(
        "run", text, "--repo", str(repo), "--json", *more,
        check=check, ANTHROPIC_BASE_URL=model.base_url, ANTHROPIC_API_KEY=KEY, **env,
    )  # fmt: skip
    task: dict[str, Any] = json.loads(done.stdout)
    return task


def _events(honk: Honk) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = json.loads(honk("audit", "--json", check=0).stdout)["events"]
    return events


def test_red_checks_reach_the_agent_through_its_verify_tool_and_it_mends_them(honk: Honk, repo: Path) -> None:
    scene = Scene(
        "greet", [READ, edit("one", "broken"), VERIFY, edit("broken", "hello"), VERIFY, say("It greets now.")]
    )
    with Rehearsal([scene]) as model:
        task = _run(honk, model, repo, "Please greet")
        told = json.dumps(model.requests[3].body["messages"])
    assert task["state"] == "ready"
    assert task["summary"] == "It greets now."
    assert task["cost_usd"] > 0
    assert task["turns"] == 6
    assert "test is red" in told
    assert "1:broken" in told
    assert git(repo, "show", "main:app.txt") == "one"


def test_an_agent_that_stops_while_checks_are_red_is_sent_back_to_work(honk: Honk, repo: Path) -> None:
    scene = Scene("greet", [READ, edit("one", "broken"), say("Done!"), edit("broken", "hello"), say("Really done.")])
    with Rehearsal([scene]) as model:
        task = _run(honk, model, repo, "Please greet")
    assert task["state"] == "ready"
    assert task["summary"] == "Really done."
    assert [event["kind"] for event in _events(honk)].count("gate.blocked") == 1


def test_after_the_rounds_are_used_up_the_person_is_told_why(honk: Honk, repo: Path) -> None:
    scene = Scene("greet", [READ, edit("one", "broken"), say("Done!")])
    with Rehearsal([scene]) as model:
        task = _run(honk, model, repo, "Please greet", check=1, HONK_VERIFY_ROUNDS="2")
    assert task["state"] == "failed"
    assert task["next_action"] == "Continue"
    assert task["pull_request"] is None
    assert "test still fails after 2 rounds" in task["error"]
    assert "1:broken" in task["error"]


def test_the_key_is_added_outside_and_is_nowhere_inside(honk: Honk, repo: Path) -> None:
    look = use(
        "Bash", command="env; cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n'; ls -la ~ / /root /home", description="x"
    )
    with Rehearsal([Scene("look", [look, say("Looked.")])]) as model:
        _run(honk, model, repo, "Have a look", MY_SECRET="canary-of-the-person")
        seen = json.dumps([request.body for request in model.requests])
        assert {request.headers["x-api-key"] for request in model.requests} == {KEY}
    assert "ANTHROPIC_API_KEY=" in seen
    assert KEY not in seen
    assert "canary-of-the-person" not in seen
    assert KEY not in honk("audit").stdout


def test_limits_are_clear_states_and_continue_goes_on(honk: Honk, repo: Path) -> None:
    scene = Scene("greet", [READ, edit("one", "two"), edit("two", "hello"), say("It greets now.")])
    with Rehearsal([scene]) as model:
        task = _run(honk, model, repo, "Please greet", check=1, HONK_MAX_TURNS="2")
        assert task["state"] == "failed"
        assert "limit of 2 model turns" in task["error"]
        assert task["next_action"] == "Continue"
        assert task["actions"] == ["retry", "cancel"]
        done = honk(
            "task", "retry", str(task["id"]), "--json",
            check=0, ANTHROPIC_BASE_URL=model.base_url, ANTHROPIC_API_KEY=KEY,
        )  # fmt: skip
    assert json.loads(done.stdout)["state"] == "ready"


def test_a_spent_budget_is_said(honk: Honk, repo: Path) -> None:
    scene = Scene("greet", [READ, READ, READ, edit("one", "hello"), say("Done.")])
    with Rehearsal([scene]) as model:
        task = _run(honk, model, repo, "Please greet", check=1, HONK_MAX_COST_USD="0.0001")
    assert task["state"] == "failed"
    assert "The budget of $0.00 is spent" in task["error"] or "budget" in task["error"]


def test_money_and_turns_are_told_while_they_are_spent(honk: Honk, repo: Path) -> None:
    scene = Scene("greet", [READ, READ, READ, edit("one", "hello"), say("Done.")])
    with Rehearsal([scene]) as model:
        task = _run(honk, model, repo, "Please greet")
    store = Store(open_database(f"sqlite:///{os.environ['HONK_HOME']}/honk.db"))
    told = [event.data for event in store.events(task_id=str(task["id"])) if event.kind == "agent.usage"]
    costs = [data["cost_usd"] for data in told]
    assert costs == sorted(costs)
    assert len(set(costs)) >= 3, "the cost is told only at the end"
    assert [data["turns"] for data in told][-1] == task["turns"] == 5
    assert told[-1]["cost_usd"] == pytest.approx(task["cost_usd"], abs=1e-6)


def test_a_refused_key_is_said_at_once(honk: Honk, repo: Path) -> None:
    with Rehearsal([], refuse=401) as model:
        task = _run(honk, model, repo, "Please greet", check=1)
    assert task["state"] == "failed"
    assert "check ANTHROPIC_API_KEY" in task["error"]
    assert KEY not in task["error"]


def test_a_follow_up_keeps_the_memory_and_makes_a_new_version(honk: Honk, repo: Path) -> None:
    scenes = [
        Scene("louder", [READ, edit("hello", "HELLO"), say("Louder.")]),
        Scene("greet", [READ, edit("one", "hello"), say("It greets now.")]),
    ]
    with Rehearsal(scenes) as model:
        first = _run(honk, model, repo, "Please greet")
        done = honk(
            "task", "say", str(first["id"]), "And louder", "--json",
            check=0, ANTHROPIC_BASE_URL=model.base_url, ANTHROPIC_API_KEY=KEY,
        )  # fmt: skip
        second = json.loads(done.stdout)
        history = json.dumps(model.requests[-1].body["messages"])
    assert "Please greet" in history
    assert second["head_sha"] != first["head_sha"]
    assert second["pull_request"]["number"] == first["pull_request"]["number"] == 1


def _serve() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "honk", "up", "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip


def _wait(honk: Honk, kind: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while kind not in [event["kind"] for event in _events(honk)]:
        assert time.monotonic() < deadline, f"no {kind} came"
        time.sleep(0.1)


def _marked_processes(mark: str) -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if mark in line:
            found.append(line)
    return found


def test_cancel_ends_the_agent_and_all_its_children(
    honk: Honk, repo: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mark = f"98765.{os.getpid()}"
    stubborn = f"echo half > half.txt; trap '' TERM INT HUP; (setsid nohup sleep {mark} &) ; sleep {mark}"
    with Rehearsal([Scene("wait", [use("Bash", command=stubborn, description="x"), say("Never.")])]) as model:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", model.base_url)
        monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
        server = _serve()
        try:
            assert server.stdout is not None
            server.stdout.readline()
            client = subprocess.Popen(
                [sys.executable, "-m", "honk", "run", "Please wait", "--repo", str(repo), "--json"],
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            )  # fmt: skip
            deadline = time.monotonic() + 60
            while not _marked_processes(mark):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            task_id = json.loads(honk("task", "list", "--json").stdout)["tasks"][0]["id"]
            honk("task", "cancel", str(task_id), check=0)
            output, _ = client.communicate(timeout=30)
            deadline = time.monotonic() + 10
            while left := _marked_processes(mark):
                assert time.monotonic() < deadline, left
                time.sleep(0.05)
        finally:
            server.kill()
            server.wait()
    task = json.loads(output)
    assert task["state"] == "cancelled"
    assert task["actions"] == ["retry"]
    assert "half.txt" in honk("task", "show", str(task_id), check=0).stdout or task["head_sha"]


def test_a_server_killed_in_the_middle_of_the_agents_work_goes_on_with_its_memory(
    honk: Honk, repo: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    pause = use(
        "Bash", command="test -e tried || { touch tried; sleep 1000; }; rm -f tried; echo past", description="x"
    )
    scene = Scene("greet", [READ, edit("one", "hello"), pause, edit("hello", "hello!"), say("It greets now.")])
    assert not gate.exists()
    with Rehearsal([scene]) as model:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", model.base_url)
        monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
        first = _serve()
        assert first.stdout is not None
        first.stdout.readline()
        client = subprocess.Popen(
            [sys.executable, "-m", "honk", "run", "Please greet", "--repo", str(repo), "--json"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        tree = Path(os.environ["HONK_HOME"]) / "workspaces"
        deadline = time.monotonic() + 60
        while not list(tree.glob("*/layers/upper/tried")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        first.send_signal(signal.SIGKILL)
        first.wait()
        # Its own copy goes, too: what it remembers was kept outside as it was said.
        (transcript,) = tree.glob("*/home/.claude/projects/*/*.jsonl")
        transcript.unlink()
        second = _serve()
        try:
            output, _ = client.communicate(timeout=90)
        finally:
            second.kill()
            second.wait()
        history = json.dumps(model.requests[-1].body["messages"])
    task = json.loads(output)
    assert task["state"] == "ready", task["error"]
    assert "interrupted" in history
    assert history.count("Please greet") >= 2, "the resumed session has lost its memory"
    assert "hello!" in honk("task", "show", str(task["id"]), "--diff", check=0).stdout
    kinds = [event["kind"] for event in _events(honk)]
    assert kinds.count("turn.started") == kinds.count("ready") == kinds.count("change.opened") == 1


def test_a_question_of_the_agent_waits_for_the_answer_and_nothing_is_proposed_before(honk: Honk, repo: Path) -> None:
    asks = [READ, edit("one", "broken"), use("mcp__honk__ask", question="Loud or quiet?"), say("I wait.")]
    answered = [edit("broken", "hello, loud"), VERIFY, say("It greets loudly.")]
    with Rehearsal([Scene("loudly", answered), Scene("greet", asks)]) as model:
        task = _run(honk, model, repo, "Please greet")
        assert (task["state"], task["next_action"], task["pull_request"]) == ("ready", "Answer the question", None)
        store = Store(open_database(f"sqlite:///{os.environ['HONK_HOME']}/honk.db"))
        (question,) = store.events_of(task["id"], "answered")
        assert question.data == {"text": "Loud or quiet?", "question": True}
        refused = honk("task", "merge", task["id"], "--json", check=1)
        assert "answer in the thread first" in refused.stdout
        done = honk(
            "task", "say", task["id"], "loudly", "--json", check=0, ANTHROPIC_BASE_URL=model.base_url,
            ANTHROPIC_API_KEY=KEY,
        )  # fmt: skip
    task = json.loads(done.stdout)
    assert (task["state"], task["summary"]) == ("ready", "It greets loudly.")
    assert task["pull_request"]["number"] == 1


def test_an_agent_whose_command_takes_too_many_processes_is_stopped_with_the_reason(honk: Honk, repo: Path) -> None:
    bomb = use("Bash", command="for i in $(seq 500); do sleep 60 & done; wait")
    with Rehearsal([Scene("greet", [READ, edit("one", "two"), bomb, say("Done.")])]) as model:
        task = _run(honk, model, repo, "Please greet", check=1, HONK_SANDBOX_PROCESSES="300")
    assert "The agent was stopped. It had more than 300 processes and threads" in task["error"]
    assert task["next_action"] == "Continue"


SPEND = (
    "python3 - <<'END'\n"
    "import json, os, urllib.request\n"
    "words = [{'role': 'user', 'content': 'aside' * 80000}]\n"
    "body = {'model': 'claude-sonnet-4-5', 'max_tokens': 9, 'messages': words}\n"
    "print(urllib.request.urlopen(urllib.request.Request(os.environ['ANTHROPIC_BASE_URL'] + '/v1/messages',\n"
    "    json.dumps(body).encode(), {'x-api-key': os.environ['ANTHROPIC_API_KEY']})).read())\n"
    "END"
)


def test_what_else_in_the_sandbox_spends_on_the_model_counts_and_ends_the_turn(honk: Honk, repo: Path) -> None:
    scenes = [
        Scene("greet", [use("Bash", command=SPEND, description="Spend"), edit("one", "hello"), say("Never said.")]),
        Scene("aside", [say("Yes.")]),
    ]
    with Rehearsal(scenes) as model:
        task = _run(honk, model, repo, "Please greet", check=1, HONK_MAX_COST_USD="0.25")
    assert task["next_action"] == "Continue"
    assert task["error"].startswith("The budget is spent: requests to the model cost $0.3")
    assert task["cost_usd"] > 0.3


def test_a_model_that_is_not_allowed_is_named_in_the_error(honk: Honk, repo: Path) -> None:
    with Rehearsal([Scene("greet", [say("Never said.")])]) as model:
        environment = {"HONK_MODELS": '["claude-haiku-*"]', "HONK_MODEL": "claude-sonnet-4-5"}
        task = _run(honk, model, repo, "Please greet", check=1, **environment)
        assert model.requests == []
    assert "'claude-sonnet-4-5' is not among those that HONK_MODELS allows here: claude-haiku-*" in task["error"]
    assert task["next_action"] == "Retry"
