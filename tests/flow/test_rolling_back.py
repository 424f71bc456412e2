"""Going back: to what was built before, and only from the newest version."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from honk.app import assemble
from honk.model import State
from honk.settings import read_settings
from tests.flow.stories import Server, Thread, offered, until_nothing_runs

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
    asked = offered(thread, repo, command, key)
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


def test_a_rollback_command_finds_what_was_built_of_the_version_before(
    tmp_path: Path, home: Path, make_repository: Callable[..., Path]
) -> None:
    text = (
        'verify: {}\nbuilds: {web: {run: "mkdir dist; cp app.txt dist/index.html", output: dist}}\n'
        'deploy: {run: "cp $HONK_ARTIFACT_WEB/index.html $HONK_DEPLOY_DIR/live",'
        ' rollback: "cp $HONK_ARTIFACT_WEB/index.html $HONK_DEPLOY_DIR/live", revert: false}\n'
    )
    repo = make_repository({"app.txt": "zero\n", "honk.yaml": text})
    with Server(tmp_path / "server") as server:
        thread = Thread(assemble(read_settings(home=home)), server)
        _asked(thread, repo, "echo one > app.txt", "one").until("deploy.healthy")
        second = _asked(thread, repo, "echo two > app.txt", "two")
        second.until("deploy.healthy")
        (live,) = home.glob("production/*/live")
        assert live.read_text() == "two\n"
        second.tap("rollback")
        second.until("rolled_back", "failed")
        assert live.read_text() == "one\n"
