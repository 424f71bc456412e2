"""Builds on another machine: a worker with a label, over the shared database."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from honk.app import access_token
from tests.conftest import git, visit
from tests.github.conftest import PLACE, Team
from tests.github.played import PlayedGitHub
from tests.processes import Process

pytestmark = pytest.mark.usefixtures("sandbox")

BUILDS = """\
verify: {}
builds:
  web: {run: "mkdir dist; cp app.txt dist/index.html; echo $HONK_SHA > dist/sha", output: dist, on: macos}
"""


@pytest.fixture
def github(tmp_path: Path, make_repository: Callable[..., Path]) -> Iterator[PlayedGitHub]:
    with PlayedGitHub(tmp_path / "github") as played:
        played.add_repository(PLACE, make_repository({"app.txt": "one\n", "honk.yaml": BUILDS}, name="source"))
        played.add_user("ada", **{PLACE.replace("/", "__"): "write"})
        yield played


@pytest.fixture
def environment(environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    shared = {
        "HONK_DATABASE_URL": f"sqlite:///{tmp_path / 'shared.db'}",
        "HONK_ARTIFACTS_URL": f"file://{tmp_path / 'shelf'}",
    }
    for name, value in shared.items():
        monkeypatch.setenv(name, value)
    return environment | shared


@pytest.fixture
def worker(environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[[], Process]]:
    """Starts a worker with the label `macos`, on a home of its own."""
    started = []

    def start() -> Process:
        log = tmp_path / "worker.log"
        there = os.environ | environment | {"HONK_HOME": str(tmp_path / "mac")}
        started.append(
            Process(["-m", "honk", "worker", "--labels", "macos"], environment=there, stdout=log, stderr=log)
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_a_worker_with_the_label_builds_what_waited_and_the_server_offers_it(
    team: Team, worker: Callable[[], Process], home: Path
) -> None:
    task = team.ask()
    team.until("build.waiting")
    team.until("ready")
    worker()
    built = team.until("build.finished")
    assert built.data["commit"] == team.task(task.id).head_sha

    def offered() -> str | None:
        token = {"authorization": f"Bearer {access_token(home)}"}
        found = httpx.get(f"{team.url}/api/v1/tasks/{task.id}", headers=token, trust_env=False).json()["artifacts"]
        return str(found[0]["url"]) if found and found[0]["url"] else None

    address = team.until_true(offered)
    assert visit(address).text == "one\nhello\n"
    assert visit(f"{address.rstrip('/')}/sha").text.strip() == built.data["commit"]
    team.until_true(lambda: "**web**" in team.pull["body"])


def test_a_worker_that_is_killed_builds_again_when_it_is_back(
    team: Team, worker: Callable[[], Process], tmp_path: Path
) -> None:
    source = tmp_path / "source"
    (source / "honk.yaml").write_text(BUILDS.replace("mkdir dist;", "sleep 1; mkdir dist;"))
    git(source, "commit", "-qam", "Another build")
    git(source, "push", "-q", str(team.github.directory(PLACE)), "main")
    team.ask()
    team.until("ready")
    first = worker()
    team.until("build.started")
    first.kill()
    first.wait()
    worker()
    team.until("build.finished")


def test_what_a_newer_commit_replaced_is_not_built(team: Team, worker: Callable[[], Process]) -> None:
    task = team.ask()
    team.until("ready")
    old = team.task(task.id).head_sha
    team.honk.inbox.say(task.id, "And again", "again", task.person)
    team.until("ready")
    new = team.task(task.id).head_sha
    worker()
    assert team.until("build.finished").data["commit"] == new
    skipped = team.honk.store.events_of(task.id, "build.skipped")
    assert [event.key for event in skipped] == [f"build:{old}:web"]


@pytest.mark.parametrize(
    ("left_out", "sentence"), [("HONK_DATABASE_URL", "HONK_DATABASE_URL"), ("HONK_ARTIFACTS_URL", "HONK_ARTIFACTS_URL")]
)
def test_a_worker_that_could_not_hand_anything_back_says_what_to_set(
    environment: dict[str, str], home: Path, left_out: str, sentence: str
) -> None:
    given = {name: value for name, value in (os.environ | environment).items() if name != left_out}
    done = subprocess.run(
        [sys.executable, "-m", "honk", "worker", "--labels", "macos"],
        env=given,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert sentence in done.stderr
