"""What is built of a change, and when that can be spared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from honk.app import assemble
from honk.flow.view import artifacts, task_view
from honk.model import Artifact, Event, State
from honk.settings import read_settings
from tests.conftest import git
from tests.flow.stories import ADA, Server, Thread

pytestmark = pytest.mark.usefixtures("sandbox")

PAGE = "mkdir -p dist && cp app.txt dist/index.html && cat made.txt >> dist/index.html || true; echo built"
MakeRepository = Callable[..., Path]


@pytest.fixture
def thread(tmp_path: Path, home: Path) -> Iterator[Thread]:
    with Server(tmp_path / "server") as server:
        yield Thread(assemble(read_settings(home=home)), server)


def _built(thread: Thread, repo: Path, command: str, key: str = "k") -> Event:
    """The event that tells what came of the task's build."""
    task = thread.honk.inbox.submit(repo=str(repo), text="Change it", agent=f"script:{command}", key=key, person=ADA)
    thread.id, thread.seen = task.id, 0
    thread.until("ready")
    told = [event for event in thread.events if event.kind in ("build.finished", "build.skipped", "build.waiting")]
    return told[-1]


def _page(thread: Thread, artifact: Artifact) -> str:
    return (thread.honk.artifacts.path(artifact) / "index.html").read_text()


def test_what_reads_the_same_is_not_built_again_but_offered_again(
    thread: Thread, make_repository: MakeRepository
) -> None:
    text = f'verify: {{}}\nbuilds: {{web: {{run: "{PAGE}", output: dist}}}}\n'
    repo = make_repository({"app.txt": "one\n", "honk.yaml": text})
    first = _built(thread, repo, "echo two >> app.txt; echo two > README.md")
    assert first.data["unchanged_since"] is None
    thread.honk.inbox.say(thread.id, "And again", "again", thread.task.person)
    thread.until("ready")
    second = [event for event in thread.events if event.kind == "build.finished"][-1]
    assert second.data["commit"] != first.data["commit"], "the script adds a line each time"
    third = _built(thread, repo, "echo two >> app.txt; echo more > README.md", key="other")
    assert third.data["unchanged_since"] == first.data["commit"]
    assert third.data["sha256"] == first.data["sha256"]
    assert "build.started" not in [event.kind for event in thread.events]
    (artifact,) = artifacts(thread.honk.store, thread.task, "")
    assert artifact.commit == thread.task.head_sha
    assert _page(thread, artifact) == "one\ntwo\n"
    offered = thread.honk.store.artifact_row(thread.id, artifact.commit, "web")
    assert offered and offered["log"].endswith("built\n"), "it says how what it offers was made"


def test_the_size_is_told_against_what_has_landed(thread: Thread, make_repository: MakeRepository) -> None:
    text = f'verify: {{}}\nbuilds: {{web: {{run: "{PAGE}", output: dist}}}}\n'
    repo = make_repository({"app.txt": "one\n", "honk.yaml": text})
    assert _built(thread, repo, "echo two >> app.txt").data["size_before"] is None
    thread.tap("merge")
    thread.until_state(State.MERGED)
    later = _built(thread, repo, "echo three >> app.txt", key="later").data
    assert (later["size_before"], later["size"]) == (8, 14)


def test_a_page_without_honk_yaml_is_found_and_can_be_visited(thread: Thread, make_repository: MakeRepository) -> None:
    repo = make_repository({"site/index.html": "<p>one", "Makefile": "test:\n\ttrue\n"})
    told = _built(thread, repo, "echo '<p>two' > site/index.html")
    assert told.kind == "build.finished"
    (artifact,) = artifacts(thread.honk.store, thread.task, "")
    assert _page(thread, artifact) == "<p>two\n"


def test_a_found_build_that_fails_keeps_nobody_from_merging(thread: Thread, make_repository: MakeRepository) -> None:
    package = '{"scripts": {"build": "echo no such plugin; exit 3", "test": "true"}, "devDependencies": {}}'
    repo = make_repository({"package.json": package, "index.html": "<p>", "honk.yaml": "verify: {}\n"})
    told = _built(thread, repo, "echo '<p>two' > index.html")
    assert told.kind == "build.skipped"
    assert "no such plugin" in told.data["reason"]
    assert "name `builds` in honk.yaml" in told.data["reason"]
    assert thread.task.state is State.READY
    view = task_view(thread.honk.store, thread.task, "")
    assert [one["kind"] for one in view["not_built"]] == ["web"]


def test_a_build_stands_on_the_set_up_of_its_checks(thread: Thread, make_repository: MakeRepository) -> None:
    text = (
        "setup: echo set up > made.txt\n"
        'verify: {test: "test -f made.txt"}\n'
        f'builds: {{web: {{run: "{PAGE}", output: dist}}}}\n'
    )
    repo = make_repository({"app.txt": "one\n", "honk.yaml": text, ".gitignore": "made.txt\n"})
    _built(thread, repo, "echo two >> app.txt")
    (artifact,) = artifacts(thread.honk.store, thread.task, "")
    assert _page(thread, artifact) == "one\ntwo\nset up\n"


def test_a_build_for_a_worker_that_is_not_there_waits_and_the_card_does_not(
    thread: Thread, make_repository: MakeRepository
) -> None:
    text = "verify: {}\nbuilds: {ios: {run: fastlane adhoc, output: '*.ipa', on: macos}}\n"
    repo = make_repository({"app.txt": "one\n", "honk.yaml": text})
    told = _built(thread, repo, "echo two >> app.txt")
    assert (told.kind, told.data["label"]) == ("build.waiting", "macos")
    (missing,) = task_view(thread.honk.store, thread.task, "")["not_built"]
    assert missing["reason"] == "waits for a worker with the label macos"
    thread.tap("merge")
    thread.until_state(State.MERGED)
    assert git(repo, "log", "-1", "--format=%s", "main") != "First"


def test_the_page_is_shown_beside_how_it_was_before(
    tmp_path: Path, home: Path, make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HONK_SCREENSHOTS", "true")
    page = "<body style='margin:0'><h1>Encore</h1>"
    repo = make_repository(
        {"index.html": page, "honk.yaml": "verify: {}\nbuilds: {web: {run: 'true', output: index.html}}\n"}
    )
    with Server(tmp_path / "server") as server:
        thread = Thread(assemble(read_settings(home=home)), server)
        told = _built(thread, repo, "echo '<p style=\"margin-top:200px\">About this song' >> index.html")
        if not told.data["pictured"]:
            pytest.skip("this machine has no Chromium, or no Playwright")
        compared = thread.until("build.compared")
        assert compared.data["after"] == told.data["sha256"]
        assert compared.data["places"] >= 1
        assert 0 < compared.data["changed"] < 0.2
        view = task_view(thread.honk.store, thread.task, "")
        (shown,) = view["comparisons"]
        (offered,) = view["artifacts"]
        assert told.data["size_before"] is None, "nothing has landed yet"
        assert offered["size_before"] == (repo / "index.html").stat().st_size, (
            "what the base's build makes is known now"
        )
        assert thread.honk.screenshots.comparison(compared.data["before"], compared.data["after"])
        assert shown["picture_url"].endswith(f"/comparisons/{compared.data['before']}-{compared.data['after']}.png")
        # Another change with the same base: its page is not built and pictured again.
        _built(thread, repo, "echo '<!-- nothing to see -->' >> index.html", key="invisible")
        unseen = thread.until("build.compared")
        assert unseen.data["before"] == compared.data["before"]
        assert (unseen.data["places"], unseen.data["changed"]) == (0, 0)


def test_a_service_is_shown_beside_how_it_was_before(
    tmp_path: Path, home: Path, make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HONK_SCREENSHOTS", "true")
    text = "verify: {}\nbuilds: {}\npreview: {run: python3 -m http.server -b 127.0.0.1 $PORT, port: 3000, ready: 30s}\n"
    repo = make_repository({"index.html": "<h1>Encore</h1>", "honk.yaml": text})
    with Server(tmp_path / "server") as server:
        thread = Thread(assemble(read_settings(home=home)), server)
        told = _built(thread, repo, "echo '<h1>Coda</h1>' > index.html")
        if not told.data["pictured"]:
            pytest.skip("this machine has no Chromium, or no Playwright")
        compared = thread.until("build.compared")
        assert (compared.data["kind"], compared.data["after"]) == ("service", told.data["sha256"])
        assert compared.data["places"] >= 1
