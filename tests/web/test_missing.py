"""What a task's tree does not have is said on its page, to programs and in the shell."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from honk.app import Installation, assemble
from honk.model import Person, State, Task
from honk.settings import read_settings
from honk.surfaces.terminal import line
from honk.surfaces.web import create_app

REASON = "The submodule <b>lib</b> is at another host: name it in `egress`, and use its https address."


@pytest.fixture
def honk(home: Path) -> Installation:
    return assemble(read_settings())


def test_what_a_tree_does_not_have_is_said_everywhere(honk: Installation) -> None:
    now = datetime.now(UTC)
    task = Task("t1", "project", "Do it", "script:true", State.WORKING, Person("local:ada", "Ada"), now, now)
    honk.store.create_task(task, "k")
    honk.store.record("t1", "history.late", {}, key="late")
    honk.store.record("t1", "submodule.missing", {"path": "<b>lib</b>", "reason": REASON}, key="submodule:lib")
    left = {"paths": ["a", "b", "c", "d"], "count": 7, "bytes": 300_000_000}
    honk.store.record("t1", "workspace.left_out", left, key="left-out")
    app = create_app(honk.store, honk.inbox, honk.settings, "token")
    client = TestClient(app, headers={"authorization": "Bearer token"}, base_url="http://127.0.0.1:4665")
    kept = "Too large to be kept while the task rested (300.0 MB): a, b, c and 4 more."
    kept += " HONK_DELTA_BYTES says how much is kept."
    assert client.get("/api/v1/tasks/t1").json()["lacking"] == [REASON, kept]
    page = client.get("/tasks/t1").text
    for words in (
        'aria-label="Missing"',
        "name it in `egress`",
        kept,
        "<code>git blame</code> work when they are here",
    ):
        assert words in page
    assert "<b>lib" not in page
    told = [text for event in honk.store.events(task_id="t1") if (text := line(event))]
    assert "older files are still being fetched" in "\n".join(told)
    assert REASON in "\n".join(told).replace("\\[", "[")
