"""What the page and the interface show of a verdict, and the tap that overrides it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from honk.app import Installation, assemble
from honk.model import Access, Check, Person, Repository, State, Task
from honk.settings import read_settings
from honk.surfaces.web import create_app

ADA = Person("local:ada", "Ada")
HEAD = "a1b2c3d4e5f60718293a4b5c6d7e8f9001122334"
EVIL = "<img src=x onerror=alert(1)> [x](javascript:alert(2))"
SAID: dict[str, Any] = {
    "commit": HEAD, "decision": "veto", "score": 0.2, "summary": f"More than asked {EVIL}", "model": "m",
    "doubts": [{"kind": "scope", "message": f"Why? {EVIL}", "path": "a.py", "line": 3}],
    "mode": "veto", "threshold": 0.5, "cost_usd": 0.01,
}  # fmt: skip


@pytest.fixture
def honk(home: Path, make_repository: Callable[..., Path]) -> Installation:
    """An installation with a task that is ready, and vetoed. Nothing runs in it."""
    made = assemble(read_settings())
    repository = made.forges.resolve(str(make_repository({"app.txt": "one\n"})))
    now = datetime.now(UTC)
    task = Task("t0123456789", repository.name, "Do it", "claude", State.READY, ADA, now, now, head_sha=HEAD,
                pushed_sha=HEAD, base_sha=HEAD, pull_request=1, branch="honk/t", next_action="Decide")  # fmt: skip
    made.store.create_task(task, "k")
    made.store.save_checks(repository.name, HEAD, "", [Check("test", "passed", 1.0, "ok")])
    made.store.record(task.id, "judge.finished", SAID, key="judged")
    return made


@pytest.fixture
def client(honk: Installation) -> TestClient:
    app = create_app(honk.store, honk.inbox, honk.settings, "token")
    return TestClient(app, headers={"authorization": "Bearer token"}, base_url="http://127.0.0.1:4665")


def tap(client: TestClient, action: str, head: str = HEAD) -> tuple[int, dict[str, Any]]:
    body = {"action": action, "head_sha": head, "key": f"tap:{action}"}
    answer = client.post("/api/v1/tasks/t0123456789/actions", json=body)
    return answer.status_code, answer.json()


def page(client: TestClient) -> str:
    return client.get("/tasks/t0123456789").text


def test_the_page_shows_the_verdict_as_text_and_offers_to_override_it(client: TestClient) -> None:
    shown = page(client)
    assert "The judge vetoes it (0.20)" in shown
    assert "<code>a.py:3</code>" in shown
    assert "<img src=x" not in shown
    assert 'data-opens="confirm-override"' in shown
    assert 'data-opens="confirm-merge"' not in shown
    form = {"action": "override", "head_sha": HEAD, "key": "k1"}
    assert client.post("/tasks/t0123456789/actions", data=form, follow_redirects=True).status_code == 200
    shown = page(client)
    assert "Overridden by" in shown
    assert 'data-opens="confirm-merge"' in shown
    assert 'data-opens="confirm-override"' not in shown


def test_the_interface_refuses_the_merge_until_the_override_of_that_commit(
    client: TestClient, honk: Installation
) -> None:
    assert client.get("/api/v1/tasks/t0123456789").json()["verdict"]["doubts"][0]["line"] == 3
    status, told = tap(client, "merge")
    assert status == 409
    assert "The judge vetoes it" in told["error"]
    assert tap(client, "override", "b" * 40)[0] == 409
    status, told = tap(client, "override")
    assert status == 202
    assert (told["unconfirmed"], told["actions"]) == ([], ["merge", "cancel"])
    assert tap(client, "override")[0] == 202
    assert len(honk.store.events_of("t0123456789", "overridden")) == 1


def test_who_may_only_read_cannot_override(
    client: TestClient, honk: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def access(_: Repository, person: Person) -> Access:
        return "read"

    monkeypatch.setattr(honk.forges.local, "access", access)
    status, told = tap(client, "override")
    assert status == 409
    assert "You may not write to" in told["error"]
    assert honk.store.events_of("t0123456789", "overridden") == []


def test_there_is_nothing_to_override_where_the_verdict_is_only_advice(client: TestClient, honk: Installation) -> None:
    honk.store.record("t0123456789", "judge.finished", SAID | {"mode": "advise"}, key="judged again")
    assert "The judge advises against it (0.20)" in page(client)
    status, told = tap(client, "override")
    assert status == 409
    assert "nothing to override" in told["error"]
