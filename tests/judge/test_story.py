"""Judge and tamper guard in the story: what they say is kept, shown, held against agent and merge, and overridden."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from honk.app import assemble
from honk.flow.taps import Action
from honk.model import Refused
from honk.rehearsal import Rehearsal, Scene, say, use, verdict
from honk.settings import read_settings
from tests.conftest import Honk, git
from tests.flow.stories import ADA, Server, Thread, until_nothing_runs

pytestmark = pytest.mark.usefixtures("sandbox")

KEY = "sk-ant-canary-7f3a9c51"
DOUBT = {"kind": "scope", "message": "Nobody asked for this.", "path": "app.txt", "line": 2}
SCRIPT = "script:echo two >> app.txt"
Make = Callable[..., Path]


@pytest.fixture
def project(make_repository: Make) -> Callable[[str], Path]:
    def make(judging: str, **files: str) -> Path:
        return make_repository({"app.txt": "one\n", "honk.yaml": f"verify: {{test: 'true'}}\n{judging}\n"} | files)

    return make


def at(model: Rehearsal) -> dict[str, str]:
    return {"ANTHROPIC_BASE_URL": model.base_url, "ANTHROPIC_API_KEY": KEY}


def run(honk: Honk, repo: Path, *more: str, agent: str = SCRIPT, check: int = 0, **environment: str) -> dict[str, Any]:
    arguments = ("run", "Add a line", "--repo", str(repo), "--agent", agent, "--json", *more)
    return told(honk(*arguments, check=check, **environment).stdout)


def told(output: str) -> dict[str, Any]:
    task: dict[str, Any] = json.loads(output)
    return task


def kinds(home: Path) -> list[str]:
    return [event.kind for event in assemble(read_settings(home=home)).store.events(limit=10_000)]


def tap(home: Path, action: Action, task: dict[str, Any], head: str | None = None) -> None:
    """A tap, as the pages have it."""
    assemble(read_settings(home=home)).inbox.act(task["id"], action, head or task["head_sha"], "tap", ADA)


def test_a_veto_stands_until_somebody_overrides_it_on_that_very_commit(
    honk: Honk, home: Path, project: Callable[[str], Path]
) -> None:
    repo = project("judge: veto")
    with Rehearsal([verdict(0.1, "Nobody asked for this.", DOUBT)]) as model:
        task = run(honk, repo, **at(model))
        assert task["state"] == "ready"
        assert task["verdict"]["decision"] == "veto"
        assert task["verdict"]["doubts"] == [DOUBT]
        assert task["cost_usd"] == task["verdict"]["cost_usd"] > 0
        assert "override" in task["next_action"]
        assert task["actions"] == ["override", "cancel"]
        with pytest.raises(Refused, match="The judge vetoes it: Nobody asked for this"):
            tap(home, "merge", task)
        with pytest.raises(Refused, match="moved on"):
            tap(home, "override", task, head="0" * 40)
        overridden = told(honk("task", "override", task["id"], "--json", check=0).stdout)
        assert overridden["override"]["name"] == "Ada"
        assert overridden["actions"] == ["merge", "cancel"]
        merged = told(honk("task", "merge", task["id"], "--json", check=0, **at(model)).stdout)
    assert merged["state"] == "merged"
    assert git(repo, "show", "main:app.txt") == "one\ntwo"
    # Asked before it was offered, and neither by the tap nor by the merge.
    assert len(model.requests) == 1
    assert model.requests[0].headers["x-api-key"] == KEY
    shown = honk("provenance", "verify", merged["merged_sha"], check=0).stdout
    assert "veto (0.10)" in shown
    assert "overridden" in shown


def test_advice_is_shown_and_holds_nobody_up(honk: Honk, project: Callable[[str], Path]) -> None:
    with Rehearsal([verdict(0.1, "Nobody asked for this.", DOUBT)]) as model:
        done = honk("run", "Add a line", "--repo", str(project("")), "--agent", SCRIPT, "--merge", check=0,
                    HONK_JUDGE="advise", **at(model))  # fmt: skip
    assert "The judge advises against it (0.10): Nobody asked for this." in done.stderr
    assert "app.txt:2: Nobody asked for this." in done.stderr


def test_without_a_model_the_judge_abstains_once_and_holds_nobody_up(
    honk: Honk, home: Path, project: Callable[[str], Path]
) -> None:
    task = run(honk, project("judge: veto"), "--merge")
    assert task["state"] == "merged"
    assert task["verdict"]["decision"] == "abstain"
    assert "set ANTHROPIC_API_KEY" in task["verdict"]["summary"]
    assert task["cost_usd"] == 0
    assert kinds(home).count("judge.finished") == 1


def test_rules_that_have_become_stricter_count_at_the_tap_without_another_answer(
    honk: Honk, project: Callable[[str], Path]
) -> None:
    repo = project("judge: advise")
    with Rehearsal([verdict(0.4, "It may do more than asked.")]) as model:
        task = run(honk, repo, **at(model))
        assert (task["verdict"]["decision"], task["actions"]) == ("veto", ["merge", "cancel"])
        (repo / "honk.yaml").write_text("verify: {test: 'true'}\njudge: veto\n")
        git(repo, "commit", "-qam", "Let the judge veto")
        refused = told(honk("task", "merge", task["id"], "--json", check=1, **at(model)).stdout)
    assert "The judge vetoes it: It may do more than asked." in refused["error"]
    assert refused["actions"] == ["override", "cancel"]
    assert refused["cost_usd"] == task["cost_usd"]
    assert len(model.requests) == 1


def test_a_judge_that_did_not_answer_is_asked_again_at_the_tap_where_its_veto_counts(
    honk: Honk, home: Path, project: Callable[[str], Path]
) -> None:
    task = run(honk, project("judge: veto"))
    assert task["actions"] == ["merge", "cancel"]
    with Rehearsal([verdict(0.1, "Nobody asked for this.")]) as model:
        done = honk("task", "merge", task["id"], "--json", check=1, **at(model))
    refused = told(done.stdout)
    assert "The judge vetoes it: Nobody asked for this." in refused["error"]
    assert refused["actions"] == ["override", "cancel"]
    assert refused["cost_usd"] == refused["verdict"]["cost_usd"] > 0
    assert len(model.requests) == 1


def test_a_judge_that_cannot_be_understood_abstains_in_plain_sight_and_costs_what_it_cost(
    honk: Honk, project: Callable[[str], Path]
) -> None:
    babbling = Scene("", [use("verdict", score="high")], answers="verdict")
    with Rehearsal([babbling]) as model:
        task = run(honk, project("judge: veto"), **at(model))
    assert len(model.requests) == 2
    assert task["verdict"]["decision"] == "abstain"
    assert "no answer that can be read, twice: `doubts` is no list" in task["verdict"]["summary"]
    assert task["cost_usd"] == task["verdict"]["cost_usd"] > 0
    assert task["actions"] == ["merge", "cancel"]


def test_what_the_task_may_cost_holds_for_the_judge(honk: Honk, project: Callable[[str], Path]) -> None:
    with Rehearsal([verdict(0.9, "Fine.")]) as model:
        task = run(honk, project("judge: veto\nmax_cost_usd: 0.000001"), **at(model))
        assert task["verdict"]["decision"] == "approve"
        again = told(honk("task", "say", task["id"], "And again", "--json", check=0, **at(model)).stdout)
    assert again["head_sha"] != task["head_sha"]
    assert again["verdict"]["summary"] == "The judge was not asked: the task's budget is spent."
    assert again["cost_usd"] == task["cost_usd"]
    assert len(model.requests) == 1


def test_a_finding_wants_a_tap_for_each_commit_whatever_the_request_says_and_without_any_judge(
    honk: Honk, home: Path, project: Callable[[str], Path]
) -> None:
    repo = project("judge: off\ntamper: {merge-marker: protect}")
    task = run(honk, repo, agent="script:echo '<<<<<<< mine' >> app.txt")
    assert task["verdict"] is None
    assert [(one["kind"], one["path"], one["line"], one["wants_tap"]) for one in task["findings"]] == [
        ("merge-marker", "app.txt", 2, True)
    ]
    assert task["actions"] == ["override", "cancel"]
    tap(home, "override", task)
    # Another commit is another matter.
    again = told(honk("task", "say", task["id"], "Leave the marker, I want it", "--json", check=0).stdout)
    assert again["override"] is None
    with pytest.raises(Refused, match=r"app\.txt:2: "):
        tap(home, "merge", again)


@pytest.mark.parametrize(("treatment", "findings"), [("show", 1), ("allow", 0)])
def test_the_repository_says_what_a_finding_leads_to(
    honk: Honk, project: Callable[[str], Path], treatment: str, findings: int
) -> None:
    repo = project(f"judge: off\ntamper: {{merge-marker: {treatment}}}")
    task = run(honk, repo, "--merge", agent="script:echo '<<<<<<< mine' >> app.txt")
    assert task["state"] == "merged"
    assert len(task["findings"]) == findings


def test_a_change_cannot_alter_the_rules_it_is_judged_by(honk: Honk, project: Callable[[str], Path]) -> None:
    away = (
        "script:printf 'verify: {}\\njudge: off\\ntamper: {merge-marker: allow}\\n' > honk.yaml; echo '<<<<<<< x' > b"
    )
    repo = project("judge: veto\ntamper: {merge-marker: protect}")
    with Rehearsal([verdict(0.1, "It switches its judge off.")]) as model:
        task = run(honk, repo, agent=away, **at(model))
    assert task["verdict"]["decision"] == "veto"
    assert [one["kind"] for one in task["findings"] if one["wants_tap"]].count("merge-marker") == 1


def test_the_agent_is_sent_back_by_a_veto_and_mends_it(honk: Honk, home: Path, project: Callable[[str], Path]) -> None:
    def edit(old: str, new: str) -> Any:
        return use("Edit", file_path="/workspace/app.txt", old_string=old, new_string=new)

    steps = [use("Read", file_path="/workspace/app.txt"), edit("one", "one\nextra"), say("Done!")]
    steps += [edit("extra", "two"), say("Really done.")]
    judges = [verdict(0.1, "Nobody asked for extra.", DOUBT, when=r"\+extra"), verdict(0.9, "It adds the line.")]
    with Rehearsal([Scene("Add a line", steps), *judges]) as model:
        task = run(honk, project("judge: veto"), agent="claude", **at(model))
        asked = [json.dumps(request.body["messages"]) for request in model.requests]
    assert task["state"] == "ready"
    assert task["summary"] == "Really done."
    assert task["verdict"]["decision"] == "approve"
    assert task["actions"] == ["merge", "cancel"]
    assert any("Nobody asked for extra." in words and "app.txt:2" in words for words in asked)
    events = assemble(read_settings(home=home)).store.events(limit=10_000)
    assert [event.kind for event in events].count("gate.sent_back") == 1
    judged = [event.data["cost_usd"] for event in events if event.kind == "judge.finished"]
    usage = max(event.data["cost_usd"] for event in events if event.kind == "agent.usage")
    assert len(judged) == 2
    # Both verdicts are in the task's cost, and once each: the model's last answer before the end is not much.
    assert task["cost_usd"] > sum(judged)
    assert usage <= task["cost_usd"] <= usage + sum(judged)


STUBBORN = """\
import json, sys

def send(**message):
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)

prompts = 0
for line in sys.stdin:
    message = json.loads(line)
    method = message.get("method")
    if method == "initialize":
        send(id=message["id"], result={"protocolVersion": 1, "agentCapabilities": {}})
    elif method == "session/new":
        send(id=message["id"], result={"sessionId": "s1"})
    elif method == "session/prompt":
        prompts += 1
        with open("app.txt", "a") as file:
            file.write("" if prompts > int(sys.argv[1]) else f"line {prompts}\\n")
        send(id=message["id"], result={"stopReason": "end_turn"})
"""


@pytest.mark.parametrize(("changes", "sent_back"), [(9, 2), (1, 1)], ids=["that changes on", "that insists"])
def test_an_agent_that_does_not_convince_the_judge_is_let_go_for_a_person_to_decide(
    honk: Honk, home: Path, project: Callable[..., Path], changes: int, sent_back: int
) -> None:
    repo = project("judge: {mode: veto, rounds: 2}", **{"agent.py": STUBBORN})
    with Rehearsal([verdict(0.1, "Nobody asked for this.")]) as model:
        task = run(honk, repo, agent=f"acp:python3 agent.py {changes}", **at(model))
    assert task["state"] == "ready"
    assert task["verdict"]["decision"] == "veto"
    assert task["actions"] == ["override", "cancel"]
    assert kinds(home).count("gate.sent_back") == sent_back
    # The last commit's verdict is not asked for again when the turn goes on.
    assert len(model.requests) == (3 if changes > 2 else 1)
    assert task["cost_usd"] == pytest.approx(
        sum(event.data["cost_usd"] for event in assemble(read_settings(home=home)).store.events(limit=10_000)
            if event.kind == "judge.finished"), rel=1e-6,
    )  # fmt: skip


def test_a_server_that_dies_right_after_it_was_answered_does_not_pay_again(
    tmp_path: Path, home: Path, project: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = project("judge: veto")
    with Rehearsal([verdict(0.9, "Fine.")]) as model:
        for name, value in at(model).items():
            monkeypatch.setenv(name, value)
        with Server(tmp_path / "server", ("judge:acted",)) as server:
            thread = Thread(assemble(read_settings(home=home)), server)
            thread.ask(repo, "echo two >> app.txt")
            thread.until("ready")
            until_nothing_runs(home)
            assert server.deaths == 1
        assert len(model.requests) == 1
    said = thread.honk.store.events_of(thread.id, "judge.finished")
    assert len(said) == 1
    assert thread.task.cost_usd == said[0].data["cost_usd"] > 0
    with pytest.raises(Refused, match="nothing to override"):
        thread.honk.inbox.act(thread.id, "override", thread.task.head_sha, "tap", ADA)
