"""The HTTP interface keeps its contract."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx

from honk.model import Event
from honk.surfaces.web.rendering import row
from tests.conftest import visit
from tests.web.conftest import SCRIPT, Up


def _new(up: Up, agent: str = SCRIPT, text: str = "Greet", repo: str | None = None) -> httpx.Response:
    body = {"repo": repo or str(up.repo), "text": text, "agent": agent, "key": "k1"}
    return up.client.post("/api/v1/tasks", json=body)


def _events(up: Up, task: str, until: str, **headers: str) -> list[dict[str, Any]]:
    """The task's stream up to an event of that kind."""
    found: list[dict[str, Any]] = []
    with up.client.stream("GET", f"/api/v1/tasks/{task}/events", headers=headers, timeout=60) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        for line in stream.iter_lines():
            if line.startswith("data: "):
                found.append(json.loads(line[6:]))
                if found[-1]["kind"] == until:
                    return found
    raise AssertionError(f"the stream ended without {until}")


def test_a_task_from_request_to_merge(up: Up) -> None:
    created = _new(up)
    assert created.status_code == 201
    task = created.json()["id"]
    assert _new(up).status_code == 200
    assert _new(up).json()["id"] == task

    events = _events(up, task, "ready")
    assert [event["id"] for event in events] == sorted({event["id"] for event in events})
    middle = events[len(events) // 2]
    rest = _events(up, task, "ready", **{"last-event-id": str(middle["id"])})
    assert rest == events[len(events) // 2 + 1 :]

    shown = up.client.get(f"/api/v1/tasks/{task}").json()
    assert shown["state"] == "ready"
    assert {"name", "status", "seconds", "summary"} <= shown["checks"][0].keys()
    check_log = shown["checks"][0]["log_url"].removeprefix(up.url)
    assert up.client.get(check_log).status_code == 200
    assert f'href="{check_log}"' in up.client.get(f"/tasks/{task}").text
    assert up.client.get(f"/api/v1/tasks/{task}/logs/{'0' * 64}").json() == {
        "error": "That log is not kept here (any more)."
    }
    assert {"kind", "url", "install_url", "sha256"} <= shown["artifacts"][0].keys()
    assert shown["artifacts"][0]["built"]["command"].startswith("mkdir dist")
    artifact = shown["artifacts"][0]
    log = up.client.get(f"/api/v1/tasks/{task}/artifacts/{artifact['commit']}/{artifact['kind']}/log")
    assert log.status_code == 200
    missing = up.client.get(f"/api/v1/tasks/{task}/artifacts/{artifact['commit']}/ios/log")
    assert missing.json() == {"error": "There is no log of that build here."}
    assert "hello" in visit(shown["artifacts"][0]["url"]).text

    said = up.client.post(f"/api/v1/tasks/{task}/messages", json={"text": "again", "key": "m1"})
    assert said.status_code == 201
    newer = _events(up, task, "ready", **{"last-event-id": str(events[-1]["id"])})
    assert "card.void" in [event["kind"] for event in newer]
    void = visit(shown["artifacts"][0]["url"])
    assert void.status_code == 410
    assert f"{up.url}/tasks/{task}" in void.text

    stale = {"action": "merge", "head_sha": shown["head_sha"], "key": "a1"}
    refused = up.client.post(f"/api/v1/tasks/{task}/actions", json=stale)
    assert refused.status_code == 409
    assert "has moved on" in refused.json()["error"]

    head = up.client.get(f"/api/v1/tasks/{task}").json()["head_sha"]
    tap = {"action": "merge", "head_sha": head, "key": "a2"}
    assert up.client.post(f"/api/v1/tasks/{task}/actions", json=tap).status_code == 202
    _events(up, task, "merge.landed", **{"last-event-id": str(newer[-1]["id"])})
    again = up.client.post(f"/api/v1/tasks/{task}/actions", json=tap | {"key": "a3"})
    assert again.status_code == 409
    assert "merged already" in again.json()["error"]


def test_bad_requests_get_one_sentence(up: Up) -> None:
    client = up.client
    cases: list[tuple[httpx.Response, int, str]] = [
        (_new(up, text="  "), 422, "the text is empty"),
        (_new(up, text="x" * 1_100_000), 413, "larger than"),
        (_new(up, text="x" * 300_000), 422, "200,000 is the most"),
        (_new(up, agent="hal"), 422, "There is no agent 'hal'"),
        (_new(up, agent="claude"), 422, "ANTHROPIC_API_KEY"),
        (_new(up, repo="/nowhere"), 404, "There is no repository"),
        (client.post("/api/v1/tasks", json={"repo": "x"}), 422, "text"),
        (client.post("/api/v1/tasks", json={"repo": "x", "text": "x", "key": "k", "colour": "red"}), 422, "colour"),
        (client.post("/api/v1/tasks", content=b"{nonsense", headers={"content-type": "application/json"}), 422, "JSON"),
        (client.get("/api/v1/tasks/deadbeef00"), 404, "There is no task"),
        (client.get("/api/v1/tasks/deadbeef00/events"), 404, "There is no task"),
        (client.post("/api/v1/tasks/deadbeef00/messages", json={"text": "x", "key": "k"}), 404, "There is no task"),
        (client.get("/nowhere"), 404, "nothing at this address"),
    ]  # fmt: skip
    for answer, status, words in cases:
        assert answer.status_code == status, answer.text
        assert answer.json().keys() == {"error"}
        assert words in answer.json()["error"]
    assert client.get("/api/v1/tasks").json() == {"tasks": []}


def test_nobody_comes_in_without_the_token(up: Up) -> None:
    with httpx.Client(base_url=up.url, trust_env=False) as stranger:
        for path in ("/", "/api/v1/tasks", "/metrics", "/threads", "/api/v1/tasks/x/events"):
            answer = stranger.get(path)
            assert answer.status_code == 401 or (
                answer.status_code == 303 and "sign-in" in answer.headers["location"]
            ), path
        assert stranger.post("/api/v1/tasks", json={}).status_code == 401
        assert stranger.get("/api/v1/tasks", headers={"authorization": "Bearer wrong"}).status_code == 401
        assert stranger.get("/?token=wrong").headers["location"].startswith("/sign-in")
        assert stranger.get("/healthz").json()["status"] == "ok"


def test_another_site_can_neither_post_with_a_session_nor_rebind_its_name(up: Up) -> None:
    with httpx.Client(base_url=up.url, trust_env=False) as person:
        assert person.get(f"/?token={up.token}").status_code == 303
        assert person.get("/").status_code == 200
        forged = person.post("/tasks", data={"text": "x"}, headers={"origin": "https://elsewhere.example"})
        assert forged.status_code == 403
        assert person.get("/", headers={"host": "elsewhere.example"}).status_code == 421
    assert up.client.get("/api/v1/tasks").json() == {"tasks": []}


def test_metrics_and_description_are_there(up: Up) -> None:
    metrics = up.client.get("/metrics").text
    assert 'honk_tasks{state="ready"} 0' in metrics
    described = httpx.get(f"{up.url}/openapi.json", trust_env=False).json()
    wanted = {"", "/{task_id}/events", "/{task_id}/actions", "/{task_id}/provenance"}
    assert {f"/api/v1/tasks{path}" for path in wanted} <= set(described["paths"])


def test_a_check_of_which_more_is_to_be_said_says_so_in_its_row() -> None:
    told = {"name": "test", "status": "already_red", "seconds": 1.0, "summary": "Red.", "remark": "already red on a1b2"}
    event = Event(1, "t", "check.already_red", datetime.now(UTC), "honk", told, "k", "")
    assert "already red on a1b2" in row(event)
    tried = {"names": ["test", "lint"], "base": "a1b2c3d4e5", "branch": "main"}
    assert "Trying test, lint on main (<code>a1b2c3d4</code>)" in row(replace(event, kind="check.on_base", data=tried))
