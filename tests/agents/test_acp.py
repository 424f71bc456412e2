"""An agent that speaks the Agent Client Protocol, in the sandbox, held by the same gate."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from honk.rehearsal import Rehearsal, Scene, say
from tests.conftest import Honk

pytestmark = pytest.mark.usefixtures("sandbox")

AGENT = """\
import json, sys

def send(**message):
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)

def update(**what):
    send(method="session/update", params={"sessionId": "s1", "update": what})

prompts = 0
for line in sys.stdin:
    message = json.loads(line)
    method = message.get("method")
    if method == "initialize":
        send(id=message["id"], result={"protocolVersion": 1, "agentCapabilities": {}})
    elif method == "session/new":
        assert message["params"]["cwd"] == "/workspace"
        send(id=message["id"], result={"sessionId": "s1"})
    elif method == "session/prompt":
        prompts += 1
        text = message["params"]["prompt"][0]["text"]
        update(sessionUpdate="agent_message_chunk", content={"type": "text", "text": f"Prompt {prompts}. "})
        send(id=900 + prompts, method="session/request_permission", params={"sessionId": "s1", "toolCall": {},
             "options": [{"optionId": "no", "kind": "reject_once"}, {"optionId": "yes", "kind": "allow_once"}]})
        answer = json.loads(sys.stdin.readline())
        assert answer["result"]["outcome"] == {"outcome": "selected", "optionId": "yes"}, answer
        update(sessionUpdate="tool_call", toolCallId=f"t{prompts}", title="Write app.txt", rawInput={"path": "app.txt"})
        word = "hello" if "test is red" in text else "broken"
        with open("app.txt", "w") as file:
            file.write(word + chr(10))
        update(sessionUpdate="tool_call_update", toolCallId=f"t{prompts}", status="completed",
               content=[{"type": "content", "content": {"type": "text", "text": "written"}}])
        update(sessionUpdate="agent_message_chunk", content={"type": "text", "text": "It says " + word + "."})
        send(id=message["id"], result={"stopReason": "end_turn"})
"""
FILES = {"app.txt": "one\n", "agent.py": AGENT, "honk.yaml": "verify: {test: '! grep -n broken app.txt'}\n"}


def test_red_checks_prompt_the_agent_again_until_they_are_green(
    honk: Honk, make_repository: Callable[..., Path]
) -> None:
    repo = make_repository(FILES)
    done = honk("run", "Greet", "--repo", str(repo), "--agent", "acp:python3 agent.py", "--json", check=0)
    task = json.loads(done.stdout)
    assert task["state"] == "ready"
    assert task["summary"] == "Prompt 2. It says hello."
    assert "Write app.txt" in done.stderr
    kinds = [event["kind"] for event in json.loads(honk("audit", "--json", check=0).stdout)["events"]]
    assert kinds.count("gate.blocked") == 1
    assert kinds.count("agent.tool") == kinds.count("agent.tool_result") == 2


def test_an_agent_is_not_held_for_what_was_red_before_it_came(honk: Honk, make_repository: Callable[..., Path]) -> None:
    text = "verify: {test: '! grep -n broken app.txt', lint: 'echo app.txt:1:1: error: odd; false'}\n"
    repo = make_repository(FILES | {"honk.yaml": text})
    done = honk("run", "Greet", "--repo", str(repo), "--agent", "acp:python3 agent.py", "--json", check=1)
    task = json.loads(done.stdout)
    assert {check["name"]: check["status"] for check in task["checks"]} == {"test": "passed", "lint": "already_red"}
    assert task["error"].startswith(f"No pull request: lint is red already on {task['base_sha'][:8]}, which the change")
    assert task["summary"] == "Prompt 2. It says hello."
    kinds = [event["kind"] for event in json.loads(honk("audit", "--json", check=0).stdout)["events"]]
    assert kinds.count("gate.blocked") == 1


def test_a_program_that_does_not_speak_the_protocol_is_said(honk: Honk, make_repository: Callable[..., Path]) -> None:
    repo = make_repository(FILES)
    done = honk("run", "Greet", "--repo", str(repo), "--agent", "acp:sh -c 'echo no such thing >&2; exit 3'", check=1)
    assert "The agent's program ended unexpectedly: no such thing" in done.stderr


def test_an_agent_that_takes_too_much_memory_is_stopped_with_the_reason(
    honk: Honk, make_repository: Callable[..., Path]
) -> None:
    hog = "held = []\nwhile True: held.append(bytearray(1 << 20))\n"
    repo = make_repository({"hog.py": hog, "honk.yaml": "verify: {}\n"})
    done = honk(
        *("run", "Greet", "--repo", str(repo), "--agent", "acp:python3 hog.py", "--json"),
        check=1,
        HONK_SANDBOX_MEMORY=str(100 << 20),
    )
    task = json.loads(done.stdout)
    assert "The agent was stopped. It used more than 100 MiB of memory" in task["error"]
    assert task["next_action"] == "Continue"


SPENDER = AGENT.replace(
    "        prompts += 1\n",
    """        prompts += 1
        import os, urllib.request, urllib.error
        body = {"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": "x" * 400_000}]}
        while True:
            try:
                urllib.request.urlopen(urllib.request.Request(
                    os.environ["ANTHROPIC_BASE_URL"] + "/v1/messages", json.dumps(body).encode(),
                    {"x-api-key": os.environ["ANTHROPIC_API_KEY"]})).read()
            except urllib.error.HTTPError as error:
                assert error.code == 403, error.read()
                break
""",
)


def test_the_gateway_holds_an_agent_without_limits_of_its_own_to_the_budget(
    honk: Honk, make_repository: Callable[..., Path]
) -> None:
    repo = make_repository(FILES | {"agent.py": SPENDER})
    with Rehearsal([Scene("x", [say("Yes.")])]) as model:
        environment = {"ANTHROPIC_BASE_URL": model.base_url, "HONK_MAX_COST_USD": "1"}
        told = ("run", "Greet", "--repo", str(repo), "--agent", "acp:python3 agent.py", "--json")
        done = honk(*told, check=1, **environment)
        asked = len(model.requests)
    task = json.loads(done.stdout)
    assert task["next_action"] == "Continue"
    assert task["error"].startswith("The budget is spent: requests to the model cost $1.20 of $1.00")
    # Each has 100,000 tokens at $3 a million.
    assert asked == 4
    assert task["turns"] == 4
    assert task["cost_usd"] == pytest.approx(1.2, abs=0.01)
