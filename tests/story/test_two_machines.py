"""Two machines on one PostgreSQL database: a follow-up goes on where another machine left off."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from honk.app import Installation, assemble
from honk.model import Person, Task
from honk.rehearsal import Rehearsal, Scene, say, use
from honk.settings import read_settings
from honk.store import KeptWorkspaces
from tests.github.played import APP_ID, PlayedGitHub
from tests.postgres import postgres
from tests.processes import Process

pytestmark = pytest.mark.usefixtures("sandbox")

PLACE = "acme/encore"
ADA = Person("github:ada", "ada", "ada@example.com")


def bash(line: str) -> Any:
    return use("Bash", command=line, description="x")


@pytest.fixture
def github(tmp_path: Path, make_repository: Callable[..., Path]) -> Iterator[PlayedGitHub]:
    files = {"app.txt": "one\n", ".gitignore": "out/\n", "honk.yaml": "verify: {test: '! grep broken app.txt'}\n"}
    with PlayedGitHub(tmp_path / "github") as played:
        played.add_repository(PLACE, make_repository(files, name="source"))
        played.add_user("ada", **{PLACE.replace("/", "__"): "write"})
        yield played


@pytest.fixture
def model() -> Iterator[Rehearsal]:
    first = [
        bash("mkdir -p out; echo built > out/app; ln -s app out/link; echo hello > app.txt"),
        say("It greets now."),
    ]
    second = [bash("cat out/link; echo louder > app.txt"), say("Louder.")]
    with Rehearsal([Scene("louder", second), Scene("greet", first)]) as played:
        yield played


@pytest.fixture
def honk(home: Path, github: PlayedGitHub, model: Rehearsal, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installation]:
    """Honk's door, on a machine that does no work itself."""
    with postgres() as database:
        given = {
            "HONK_DATABASE_URL": database,
            "HONK_GITHUB_APP_ID": str(APP_ID),
            "HONK_GITHUB_PRIVATE_KEY": github.private_key,
            "HONK_GITHUB_WEBHOOK_SECRET": github.secret,
            "HONK_GITHUB_API_URL": github.api_url,
            "HONK_GITHUB_GIT_URL": github.git_url,
            "ANTHROPIC_BASE_URL": model.base_url,
            "ANTHROPIC_API_KEY": "sk-ant-canary-7f3a9c51",
        }
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        yield assemble(read_settings())


@pytest.fixture
def machine(tmp_path: Path, honk: Installation) -> Iterator[Callable[..., Process]]:
    """Starts a worker with a home of its own."""
    started = []

    def start(name: str, **environment: str) -> Process:
        log = tmp_path / f"{name}.log"
        there = os.environ | {"HONK_HOME": str(tmp_path / name)} | environment
        started.append(Process(["-m", "honk", "worker"], environment=there, stdout=log, stderr=log))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def until(what: Callable[[], Any], honk: Installation, seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := what()):
        told = [(event.kind, dict(event.data)) for event in honk.store.events(limit=1000)][-6:]
        assert time.monotonic() < deadline, told
        time.sleep(0.05)
    return found


def rested(honk: Installation, task: Task, times: int) -> Task:
    def look() -> bool:
        state = honk.store.task(task.id)
        return state.error is not None or honk.store.count_events(task.id, "ready") == times

    until(look, honk)
    found = honk.store.task(task.id)
    assert found.error is None, found.error
    return found


def test_a_follow_up_on_another_machine_has_the_same_tree_and_the_agents_memory(
    honk: Installation, machine: Callable[..., Process], model: Rehearsal, tmp_path: Path
) -> None:
    kept = KeptWorkspaces(honk.store.engine)
    one = machine("one")
    task = honk.inbox.submit(repo=PLACE, text="Please greet", agent="claude", key="k", person=ADA)
    first = rested(honk, task, 1)
    until(lambda: (known := kept.find(task.id)) and known.version and known.holder is None, honk)
    one.kill()
    one.wait()
    (tmp_path / "one").rename(tmp_path / "gone")

    machine("two", HONK_WORKSPACE_IDLE_HOURS="0")
    honk.inbox.say(task.id, "And louder", "again", ADA)
    second = rested(honk, task, 2)
    told = json.dumps(model.requests[-1].body["messages"])
    assert "Please greet" in told
    assert "It greets now." in told
    assert '"content": "built"' in told, "the ignored file is not there any more"
    assert second.head_sha != first.head_sha
    assert second.pull_request == first.pull_request
    until(lambda: not [path for path in (tmp_path / "two" / "workspaces").iterdir() if path.is_dir()], honk)
    change = honk.workspaces.change_git_dir(second)
    assert (change / "objects").is_dir(), "its commits are to be had on every machine"
