"""GitHub's own machines: builds by workflows, deploys by deployments."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from honk.model import State
from tests.conftest import git
from tests.github.conftest import PLACE, Team
from tests.github.played import Forge, PlayedGitHub

pytestmark = pytest.mark.usefixtures("sandbox")

FILE = """\
verify: {}
builds: {ios: {run: ios.yml, on: github-actions, output: "*.ipa"}}
deploy: {environment: production}
"""


def _zip(files: dict[str, bytes]) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return written.getvalue()


@pytest.fixture
def github(tmp_path: Path, make_repository: Callable[..., Path]) -> Iterator[PlayedGitHub]:
    with PlayedGitHub(tmp_path / "github") as played:
        played.add_repository(PLACE, make_repository({"app.txt": "one\n", "honk.yaml": FILE}, name="source"))
        played.add_user("ada", **{PLACE.replace("/", "__"): "write"})
        yield played


@pytest.fixture
def actions(github: PlayedGitHub) -> Forge:
    forge = github.repositories[PLACE]
    forge.workflow = lambda name, sha: ("success", {"app": _zip({"Encore.ipa": sha.encode(), "log.txt": b""})}, "")
    return forge


def test_a_workflow_builds_the_verified_commit_and_its_artifact_is_offered(team: Team, actions: Forge) -> None:
    task = team.ask()
    team.until("ready")
    head = team.task(task.id).head_sha or ""
    (run,) = actions.workflow_runs
    assert (run["name"], run["head_sha"], run["head_branch"]) == ("ios.yml", head, task.branch)
    (row,) = team.honk.store.artifact_rows(task.id)
    assert (row["kind"], row["commit"], row["machine"]) == ("ios", head, "github-actions")
    folder = team.honk.settings.home / "artifacts" / row["sha256"]
    assert [path.name for path in folder.iterdir()] == ["Encore.ipa"]
    assert (folder / "Encore.ipa").read_text() == head
    kept = team.honk.store.artifact_row(task.id, head, "ios")
    assert kept and kept["log"].startswith("ios.yml on GitHub: http"), "GitHub's own log is there"


def test_what_a_workflow_did_not_give_is_said_and_retry_asks_it_again(team: Team, actions: Forge) -> None:
    log = "2026-11-23T10:00:00Z error: no profile for dev.honk.encore\n"
    task = None
    for number, (given, sentences) in enumerate(
        [
            (("failure", {}, log), ["ios.yml on GitHub ended with failure", "no profile for dev.honk.encore"]),
            (("success", {}, ""), ["kept nothing"]),
            (("success", {"app": b"PK no"}, ""), ["came back damaged"]),
            (("success", {"app": _zip({"../../evil.ipa": b"x"})}, ""), ["reaches out of its folder"]),
            (("success", {"a": _zip({"x.ipa": b"1"}), "b": _zip({"x.ipa": b"2"})}, ""), ["twice"]),
            (("success", {"app": _zip({"readme.txt": b"x"})}, ""), ["made nothing at *.ipa"]),
        ]
    ):
        actions.workflow = lambda name, sha, given=given: given
        task = team.tap(task, "retry", key=f"again {number}") if task else team.ask()
        failed = team.until("failed")
        for sentence in sentences:
            assert sentence in failed.data["error"]
    assert len(actions.workflow_runs) == 6


def test_cancelling_ends_the_run_on_github_too(team: Team, actions: Forge) -> None:
    actions.workflow = lambda name, sha: ("never", {}, "")
    task = team.ask()
    team.until("build.started")
    team.until_true(lambda: actions.workflow_runs)
    team.tap(task, "cancel")
    team.until("cancelled")
    assert actions.workflow_runs[0]["conclusion"] == "cancelled"


def test_the_merged_commit_is_deployed_by_github_and_followed(team: Team, actions: Forge) -> None:
    task = team.ask()
    team.until("ready")
    team.tap(task, "merge")
    sha = team.until("merge.landed").data["sha"]
    team.until("deploy.healthy")
    (made,) = actions.deployments
    assert (made["sha"], made["environment"]) == (sha, "production")
    asked = next(body for verb, path, body, _ in team.github.calls if verb == "POST" and path.endswith("/deployments"))
    assert asked["auto_merge"] is False
    assert asked["required_contexts"] == []


def test_a_deployment_that_fails_is_followed_by_one_of_the_version_before(team: Team, actions: Forge) -> None:
    task = team.ask()
    team.until("ready")
    team.tap(task, "merge")
    first = team.until("merge.landed").data["sha"]
    team.until("deploy.healthy")
    actions.deployed = lambda sha, environment: "success" if sha == first else "failure"
    second = team.ask(key="second")
    team.until("ready")
    team.tap(second, "merge")
    ill = team.until("deploy.ill")
    assert "ended with failure: it is failure" in ill.data["reason"]
    team.until("rolled_back")
    assert [one["sha"] for one in actions.deployments] == [first, team.task(second.id).merged_sha, first]
    assert team.task(second.id).state is State.ROLLED_BACK
    assert git(team.github.directory(PLACE), "rev-parse", "main") == team.task(second.id).merged_sha
