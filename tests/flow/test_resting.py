"""Workspaces of tasks that rest: out of the way, brought back when they go on, and forgotten when all is over."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from honk.app import Installation, assemble
from honk.model import Person, State
from honk.settings import read_settings
from tests.conftest import git
from tests.processes import start_up

pytestmark = pytest.mark.usefixtures("sandbox")

ADA = Person("local:ada", "Ada", "ada@example.com")
AGENT = (
    "script:test -e out/small && echo seen >> app.txt; echo hello >> app.txt; mkdir -p out big;"
    "echo small > out/small; head -c 300000 /dev/urandom > big/cache"
)


def until(what: Callable[[], Any], honk: Installation) -> Any:
    deadline = time.monotonic() + 60
    while not (found := what()):
        told = [(event.kind, dict(event.data)) for event in honk.store.events(limit=1000)][-6:]
        assert time.monotonic() < deadline, told
        time.sleep(0.02)
    return found


def test_a_workspace_goes_when_its_task_rests_comes_back_with_it_and_is_forgotten_in_the_end(
    home: Path, tmp_path: Path, make_repository: Callable[..., Path]
) -> None:
    repo = make_repository({"app.txt": "one\n", ".gitignore": "out/\nbig/\n", "honk.yaml": "verify: {}\nbuilds: {}\n"})
    settings = {
        "HONK_WORKSPACE_IDLE_HOURS": "0",
        "HONK_DELTA_BYTES": "100000",
        # Less than a tenth of a second.
        "HONK_WORKSPACE_DAYS": "0.000001",
    }
    process, _, _ = start_up("127.0.0.1:0", tmp_path / "up.log", **settings)
    try:
        honk = assemble(read_settings())
        task = honk.inbox.submit(repo=str(repo), text="Please greet", agent=AGENT, key="k", person=ADA)
        folder = home / "workspaces" / task.id

        def ready(times: int) -> bool:
            return honk.store.count_events(task.id, "ready") == times

        until(lambda: ready(1), honk)
        until(lambda: not folder.exists(), honk)
        (told,) = until(lambda: honk.store.events_of(task.id, "workspace.left_out"), honk)
        assert told.data == {"paths": ["big"], "count": 1, "bytes": 300_000}

        honk.inbox.say(task.id, "And again", "again", ADA)
        until(lambda: ready(2), honk)
        second = honk.store.task(task.id)
        forge = honk.forges.local.git_dir(honk.forges.resolve(str(repo)))
        assert git(forge, "show", f"{second.head_sha}:app.txt") == "one\nhello\nseen\nhello"

        honk.inbox.act(task.id, "cancel", second.head_sha, "cancel", ADA)
        until(lambda: honk.store.task(task.id).state is State.CANCELLED, honk)
        until(lambda: task.id not in honk.workspaces.known() and not folder.exists(), honk)

        honk.inbox.act(task.id, "retry", second.head_sha, "retry", ADA)
        until(lambda: ready(3), honk)
        third = honk.store.task(task.id)
        assert git(forge, "show", f"{third.head_sha}:app.txt") == "one\nhello\nseen\nhello\nhello"
        assert git(forge, "rev-parse", f"{third.head_sha}^") == second.head_sha
    finally:
        process.kill()
        process.wait()
