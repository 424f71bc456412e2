"""Many taps at once: every good change lands, no bad one does, and the default branch passes at each commit."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from honk.app import Installation, assemble
from honk.model import State
from honk.settings import read_settings
from tests.conftest import git
from tests.flow.stories import ADA, Server, repeated, until_nothing_runs

pytestmark = [pytest.mark.usefixtures("sandbox"), pytest.mark.slow]

CHECK = """\
verify: {test: "sh check.sh"}
deploy: {run: "echo $HONK_SHA >> $HONK_DEPLOY_DIR/runs"}
"""
TOGETHER_BROKEN = 'test "$(ls | grep -c ^switch)" -lt 2\n'
GOOD = [f"echo {number} > good-{number}" for number in range(43)]
CONFLICTING = ["echo a > one", "echo b > one", "echo a > two", "echo b > two"]
BREAKING = ["touch switch-1", "touch switch-2", "touch switch-3"]


def _until_all(honk: Installation, states: set[State], seconds: float = 180) -> Counter[State]:
    deadline = time.monotonic() + seconds
    while True:
        counted = Counter(task.state for task in honk.store.tasks())
        if set(counted) <= states:
            return counted
        assert time.monotonic() < deadline, counted
        time.sleep(0.25)


def _passes(repo: Path, commit: str, folder: Path) -> bool:
    folder.mkdir()
    archive = subprocess.run(["git", "archive", commit], cwd=repo, capture_output=True, check=True)
    subprocess.run(["tar", "-x"], cwd=folder, input=archive.stdout, check=True)
    return subprocess.run(["sh", "check.sh"], cwd=folder, check=False).returncode == 0


def test_of_fifty_taps_every_good_change_lands_and_no_bad_one_does(
    tmp_path: Path, home: Path, make_repository: Callable[..., Path]
) -> None:
    repo = make_repository({"one": "1\n", "two": "2\n", "honk.yaml": CHECK, "check.sh": TOGETHER_BROKEN})
    git(repo, "checkout", "-q", "-b", "elsewhere")
    base = git(repo, "rev-parse", "main")
    honk = assemble(read_settings(home=home))
    for number, command in enumerate([*GOOD, *CONFLICTING, *BREAKING]):
        honk.inbox.submit(repo=f"{repo}#main", text=command, agent=f"script:{command}", key=str(number), person=ADA)
    with Server(tmp_path / "server") as server:
        assert _until_all(honk, {State.READY}) == {State.READY: 50}
        for task in honk.store.tasks():
            honk.inbox.act(task.id, "merge", task.head_sha, "tap", ADA)
        ended = _until_all(honk, {State.READY, State.DEPLOYED})
        until_nothing_runs(home)
        assert server.deaths == 0

    # One of each pair and one of the three: the others are told why, and what contradicts is put together.
    assert ended == {State.DEPLOYED: 43 + 2 + 1, State.READY: 4}
    reasons = [event.data["reason"] for event in honk.store.events(limit=100_000) if event.kind == "merge.refused"]
    assert sorted(reason.split()[0] for reason in reasons) == ["Not", "Not", "The", "The"], reasons
    commits = git(repo, "rev-list", "--first-parent", "--reverse", f"{base}..main").split()
    assert len(commits) == 46
    assert all(_passes(repo, commit, tmp_path / commit) for commit in commits)
    tree = git(repo, "ls-tree", "--name-only", "main").split()
    assert {f"good-{number}" for number in range(43)} <= set(tree)
    (runs,) = [path.read_text().split() for path in home.glob("production/*/runs")]
    assert runs[-1] == commits[-1]
    assert len(runs) == len(set(runs)) < 46


def test_a_server_killed_in_the_middle_of_a_train_lets_each_land_once(
    tmp_path: Path, home: Path, make_repository: Callable[..., Path]
) -> None:
    repo = make_repository({"one": "1\n", "honk.yaml": CHECK, "check.sh": "true\n"})
    git(repo, "checkout", "-q", "-b", "elsewhere")
    base = git(repo, "rev-parse", "main")
    honk = assemble(read_settings(home=home))
    for number in range(3):
        command = f"script:echo {number} > good-{number}"
        honk.inbox.submit(repo=f"{repo}#main", text=command, agent=command, key=str(number), person=ADA)
    points = [f"{step}:{phase}" for step in ("land", "announce", "recheck") for phase in ("begins", "acted")]
    with Server(tmp_path / "first"):
        _until_all(honk, {State.READY})
    for task in honk.store.tasks():
        honk.inbox.act(task.id, "merge", task.head_sha, "tap", ADA)
    with Server(tmp_path / "second", tuple(points)) as server:
        assert _until_all(honk, {State.DEPLOYED}) == {State.DEPLOYED: 3}
        until_nothing_runs(home)
        assert server.deaths == len(points)
    assert len(git(repo, "rev-list", f"{base}..main").split()) == 3
    for task in honk.store.tasks():
        assert repeated(honk.store.events(task_id=task.id)) == []
        assert honk.store.count_events(task.id, "merge.landed") == 1
    (runs,) = [path.read_text().split() for path in home.glob("production/*/runs")]
    assert runs == [git(repo, "rev-parse", "main")]


def test_a_change_the_gate_holds_back_keeps_those_from_landing_that_were_green_only_with_it(
    tmp_path: Path, home: Path, make_repository: Callable[..., Path]
) -> None:
    repo = make_repository({"honk.yaml": "verify: {test: sh check.sh}\n", "check.sh": "true\n"})
    honk = assemble(read_settings(home=home))
    for name in ("roof", "pillar", "tree"):
        honk.inbox.submit(repo=str(repo), text=f"Add a {name}", agent=f"script:touch {name}", key=name, person=ADA)
    with Server(tmp_path / "first"):
        _until_all(honk, {State.READY})
    for task in sorted(honk.store.tasks(), key=lambda task: task.created_at):
        honk.inbox.act(task.id, "merge", task.head_sha, "tap", ADA)
    # Meanwhile main has come to want a pillar under each roof, and a second person's word for pillars.
    (repo / "check.sh").write_text("test ! -e roof || test -e pillar\n")
    (repo / "honk.yaml").write_text("verify: {test: sh check.sh}\nprotect: [pillar]\n")
    git(repo, "commit", "-qam", "Roofs need pillars")
    moved = git(repo, "rev-parse", "main")
    with Server(tmp_path / "second"):
        _until_all(honk, {State.READY, State.MERGED})
        until_nothing_runs(home)
    landed = git(repo, "rev-list", f"{moved}..main").split()
    assert git(repo, "ls-tree", "--name-only", "main").split() == ["check.sh", "honk.yaml", "tree"]
    assert all(_passes(repo, commit, tmp_path / commit) for commit in landed)
    reasons = {task.text: task.error or "" for task in honk.store.tasks() if task.state is State.READY}
    assert "pillar is protected by honk.yaml" in reasons["Add a pillar"]
    assert "the checks fail" in reasons["Add a roof"]
