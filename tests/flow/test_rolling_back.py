"""A tap on Roll back counts for the newest version, also when it has to wait for its turn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from honk.app import assemble
from honk.model import State
from honk.settings import read_settings
from tests.flow.stories import ADA, Server, Thread, until_nothing_runs

pytestmark = pytest.mark.usefixtures("sandbox")

HONK_YAML = """\
verify: {}
deploy:
  run: >-
    cp app.txt $HONK_DEPLOY_DIR/$HONK_SHA;
    if [ -e hold ]; then until [ -e $HONK_DEPLOY_DIR/go ]; do sleep 0.05; done; fi;
    cp app.txt $HONK_DEPLOY_DIR/live
  rollback: "cp $HONK_DEPLOY_DIR/$HONK_PREVIOUS_SHA $HONK_DEPLOY_DIR/live"
  revert: false
"""


def _asked(thread: Thread, repo: Path, command: str, key: str) -> Thread:
    asked = Thread(thread.honk, thread.server)
    asked.id = thread.honk.inbox.submit(
        repo=str(repo), text=f"Please {key}", agent=f"script:{command}", key=key, person=ADA
    ).id
    asked.until("ready")
    asked.tap("merge")
    return asked


def test_a_tap_that_waited_while_a_newer_version_went_live_brings_nothing_older_back(
    tmp_path: Path, home: Path, make_repository: Callable[..., Path]
) -> None:
    repo = make_repository({"app.txt": "zero\n", "honk.yaml": HONK_YAML})
    with Server(tmp_path / "server") as server:
        thread = Thread(assemble(read_settings(home=home)), server)
        _asked(thread, repo, "echo one > app.txt", "one").until("deploy.healthy")
        second = _asked(thread, repo, "echo two > app.txt", "two")
        second.until("deploy.healthy")
        third = _asked(thread, repo, "echo three > app.txt; touch hold", "three")
        third.until("deploy.started")
        second.tap("rollback")
        (folder,) = home.glob("production/*")
        (folder / "go").touch()
        refused = second.until("rollback.refused", "rolled_back")
        assert refused.data["reason"].startswith(f"Not rolled back: the newer {(third.task.merged_sha or '')[:8]} is")
        assert second.task.state is State.DEPLOYED
        assert (folder / "live").read_text() == "three\n"

        third.tap("rollback")
        third.until("rolled_back")
        assert (folder / "live").read_text() == "two\n"
        second.tap("rollback", "and further")
        second.until("rolled_back")
        assert (folder / "live").read_text() == "one\n"
        until_nothing_runs(home)
