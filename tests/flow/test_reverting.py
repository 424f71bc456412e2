"""What was rolled back is taken out of the default branch again, by a change like any other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from honk.app import assemble
from honk.model import State
from honk.settings import read_settings
from tests.conftest import git
from tests.flow.stories import ADA, Server, Thread, honk_yaml, offered, production, until_nothing_runs

pytestmark = pytest.mark.usefixtures("sandbox")


def _deployed(thread: Thread, repo: Path, command: str, key: str) -> Thread:
    asked = offered(thread, repo, command, key)
    asked.tap("merge")
    asked.until("deploy.healthy", "rolled_back")
    return asked


@pytest.mark.parametrize("method", ["squash", "merge"])
def test_an_ill_change_is_undone_by_a_task_that_waits_for_its_own_tap(
    tmp_path: Path, home: Path, make_repository: Callable[..., Path], method: str
) -> None:
    with production(home) as port, Server(tmp_path / "server") as server:
        text = honk_yaml(port) + f"merge: {{method: {method}}}\n"
        repo = make_repository({"app.txt": "app\n", "kept.txt": "kept\n", "honk.yaml": text})
        git(repo, "checkout", "-qb", "elsewhere")
        thread = Thread(assemble(read_settings(home=home)), server)
        ada = Path(f"{repo}#main")
        _deployed(thread, ada, "echo first >> app.txt", "first")
        ill = _deployed(thread, ada, "echo ill >> app.txt; rm kept.txt; printf '\\\\000\\\\001' > picture", "second")
        revert = Thread(thread.honk, server, ill.until("revert.prepared").data["task"])
        assert ill.task.next_action == f"Merge the revert (task {revert.id}), or ask for a fix"
        revert.until("ready")
        assert revert.task.person == ADA
        assert "Please second" in revert.task.text
        assert revert.task.state is State.READY, "nobody but a person merges it"
        assert git(repo, "show", "main:app.txt") == "app\nfirst\nill"

        revert.tap("merge")
        revert.until("deploy.healthy")
        until_nothing_runs(home)
        assert git(repo, "show", "main:app.txt") == "app\nfirst"
        assert git(repo, "ls-tree", "--name-only", "main").split() == ["app.txt", "honk.yaml", "kept.txt"]
        assert git(repo, "log", "-1", "--format=%s", "main").startswith("Revert “Please second”")


def test_what_came_since_stays_when_the_ill_change_is_undone(
    tmp_path: Path, home: Path, make_repository: Callable[..., Path]
) -> None:
    with production(home) as port, Server(tmp_path / "server") as server:
        repo = make_repository({"app.txt": "app\n", "honk.yaml": honk_yaml(port)})
        thread = Thread(assemble(read_settings(home=home)), server)
        _deployed(thread, repo, "echo first >> app.txt", "first")
        ill = _deployed(thread, repo, "echo ill >> app.txt", "second")
        revert = Thread(thread.honk, server, ill.until("revert.prepared").data["task"])
        revert.until("ready")
        (repo / "since.txt").write_text("since\n")
        git(repo, "add", "-A")
        git(repo, "commit", "-qm", "Somebody else's")
        revert.tap("merge")
        revert.until("deploy.healthy")
        assert (repo / "app.txt").read_text() == "app\nfirst\n"
        assert (repo / "since.txt").read_text() == "since\n"


def test_a_repository_that_wants_no_reverts_gets_none(
    tmp_path: Path, home: Path, make_repository: Callable[..., Path]
) -> None:
    with production(home) as port, Server(tmp_path / "server") as server:
        text = honk_yaml(port).replace("deploy:\n", "deploy:\n  revert: false\n")
        repo = make_repository({"app.txt": "app\n", "honk.yaml": text})
        thread = Thread(assemble(read_settings(home=home)), server)
        _deployed(thread, repo, "echo first >> app.txt", "first")
        _deployed(thread, repo, "echo ill >> app.txt", "second")
        until_nothing_runs(home)
        assert len(thread.honk.store.tasks()) == 2
