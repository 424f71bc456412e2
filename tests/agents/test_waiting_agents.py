"""An agent that was started ahead is the next task's own, and one that does not fit is in nobody's way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from honk.rehearsal import Rehearsal, Scene, say, use
from honk.store import Store, open_database
from honk.workspace.overlays import overlay_refusal
from tests.conftest import Honk, git

pytestmark = pytest.mark.usefixtures("sandbox")

KEY = "sk-ant-canary-7f3a9c51"
READ = use("Read", file_path="/workspace/app.txt")


def edit(old: str, new: str) -> Any:
    return use("Edit", file_path="/workspace/app.txt", old_string=old, new_string=new)


GREET = Scene("greet", [READ, edit("one", "hello"), say("It greets now.")])


class Server:
    """`honk up`, with an agent that waits."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "honk", "up", "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().split()[-1]

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def waiting(self, after: str = "") -> str:
        """The session of the agent that waits, once there is one other than `after`."""
        deadline = time.monotonic() + 150
        while True:
            for folder in Path("/proc").glob("[0-9]*") if self._one_waits() else ():
                words = _words(folder)
                found = next((word.partition("=")[2] for word in words if word.startswith("--session-id=")), after)
                ours = any(word.startswith(f"{os.environ['HONK_HOME']}/checkouts/") for word in words)
                if ours and found != after:
                    return found
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def _one_waits(self) -> bool:
        address, token = self.address.split("/?token=")
        asked = httpx.get(f"{address}/metrics", headers={"authorization": f"Bearer {token}"}, trust_env=False)
        return "\nhonk_waiting_agents 1\n" in asked.raise_for_status().text


def _words(folder: Path) -> list[str]:
    try:
        return (folder / "cmdline").read_text(errors="replace").split("\0")
    except OSError:
        return []


@pytest.fixture
def server(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Rehearsal], Server]]:
    if (refusal := overlay_refusal(home)) is not None:
        pytest.skip(f"The kernel refuses overlays here: {refusal}")
    started: list[Server] = []

    def begin(model: Rehearsal) -> Server:
        monkeypatch.setenv("HONK_WARM_AGENTS", "1")
        monkeypatch.setenv("ANTHROPIC_BASE_URL", model.base_url)
        monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
        started.append(Server())
        return started[0]

    yield begin
    for one in started:
        one.kill()


@pytest.fixture
def repo(make_repository: Callable[..., Path]) -> Path:
    return make_repository({"app.txt": "one\n", "honk.yaml": "verify: {test: 'grep -q hello app.txt'}\n"})


def run(honk: Honk, repo: Path, text: str) -> dict[str, Any]:
    task: dict[str, Any] = json.loads(honk("run", text, "--repo", str(repo), "--json", check=0).stdout)
    return task


def session_of(task: dict[str, Any]) -> str | None:
    store = Store(open_database(f"sqlite:///{os.environ['HONK_HOME']}/honk.db"))
    return store.task(task["id"]).session


def test_the_next_task_takes_the_agent_that_waits_and_a_follow_up_finds_its_memory(
    honk: Honk, repo: Path, server: Callable[[Rehearsal], Server]
) -> None:
    louder = Scene("louder", [edit("hello", "HELLO hello"), say("Louder now.")])
    with Rehearsal([louder, GREET]) as model:
        up = server(model)
        assert run(honk, repo, "Please greet")["state"] == "ready"
        waits = up.waiting()
        asked = len(model.requests)
        second = run(honk, repo, "Please greet, again")
        assert (second["state"], second["summary"]) == ("ready", "It greets now.")
        assert session_of(second) == waits
        assert "Please greet, again" in json.dumps(model.requests[asked].body["messages"])
        up.waiting(after=waits)
        honk("task", "say", second["id"], "louder", "--json", check=0)
        history = json.dumps(model.requests[-1].body["messages"])
    assert "Please greet, again" in history
    assert "It greets now." in history
    shown = honk("task", "show", second["id"], "--diff", check=0).stdout
    assert "HELLO hello" in shown
    assert git(repo, "branch", "--list", "honk/*") == ""


def test_an_agent_that_waits_on_an_older_commit_is_not_taken(
    honk: Honk, repo: Path, server: Callable[[Rehearsal], Server]
) -> None:
    with Rehearsal([GREET]) as model:
        up = server(model)
        run(honk, repo, "Please greet")
        waits = up.waiting()
        (repo / "more.txt").write_text("more\n")
        git(repo, "add", "-A")
        git(repo, "commit", "-qm", "More")
        second = run(honk, repo, "Please greet, again")
    assert second["state"] == "ready"
    assert second["base_sha"] == git(repo, "rev-parse", "HEAD")
    assert session_of(second) not in (None, waits)
    assert uuid.UUID(str(session_of(second))).version == 5


def test_a_server_that_is_killed_leaves_no_waiting_agent_and_the_next_one_has_its_own(
    honk: Honk, repo: Path, server: Callable[[Rehearsal], Server]
) -> None:
    with Rehearsal([GREET]) as model:
        up = server(model)
        run(honk, repo, "Please greet")
        waits = up.waiting()
        up.kill()
        deadline = time.monotonic() + 60
        while any(f"--session-id={waits}" in _words(folder) for folder in Path("/proc").glob("[0-9]*")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        up.start()
        next_one = up.waiting(after=waits)
        assert session_of(run(honk, repo, "Please greet, again")) == next_one
