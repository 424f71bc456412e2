"""The example that the demo changes, and the changes that the demo plays on it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from ruamel.yaml import YAML

if TYPE_CHECKING:
    from playwright.sync_api import Browser

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
REQUESTS = {
    "about": ("Add an 'About this song' card to the now playing screen: album, year, credits and the story behind it"),
    "folded": "Nice! Put the mood in it too, and start it folded",
    "lyrics": "Show lyrics under the player",
}


@dataclass
class Encore:
    """A copy of the example to change, build, deploy and serve."""

    home: Path
    site: Path
    seen: set[Path] = field(default_factory=set)

    def python(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.run([sys.executable, *arguments], **environment)

    def run(self, argv: Sequence[str], **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv,
            cwd=self.home,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def tests(self) -> subprocess.CompletedProcess[str]:
        verify = YAML(typ="safe").load(self.home / "honk.yaml")["verify"]["test"]
        assert verify.startswith("python3 ")
        return self.python(*verify.split()[1:])

    def build(self, commit: str = "") -> subprocess.CompletedProcess[str]:
        return self.python("build.py", HONK_SHA=commit)

    def deploy(self, commit: str, previous: str = "") -> subprocess.CompletedProcess[str]:
        return self.run(["./deploy.sh"], **self.release(commit, previous))

    def rollback(self, commit: str, previous: str) -> subprocess.CompletedProcess[str]:
        return self.run(["./rollback.sh"], **self.release(commit, previous))

    def release(self, commit: str, previous: str) -> dict[str, str]:
        return {
            "HONK_DEPLOY_DIR": str(self.site),
            "HONK_SHA": commit,
            "HONK_PREVIOUS_SHA": previous,
            "HONK_ARTIFACT_WEB": str(self.home / "dist"),
        }

    def play(self, scene: str, until_verify: int = -1) -> None:
        """Do what the scene does to files, up to its nth `verify` or, with -1, to its end."""
        verified = 0
        for step in steps(scene):
            verified += step.get("use") == "mcp__honk__verify"
            if verified == until_verify:
                return
            self.apply(step)

    def apply(self, step: dict[str, Any]) -> None:
        given = step.get("input", {})
        if "file_path" not in given:
            return
        inside = given["file_path"]
        assert inside.startswith("/workspace/"), inside
        file = self.home / inside.removeprefix("/workspace/")
        if step["use"] == "Read":
            assert file.is_file(), inside
        elif step["use"] == "Write":
            assert not file.exists(), f"{inside} would have to be read before it is overwritten"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(given["content"], encoding="utf-8")
        elif step["use"] == "Edit":
            assert file in self.seen, f"{inside} is edited without having been read"
            text = file.read_text(encoding="utf-8")
            assert text.count(given["old_string"]) == 1, f"{given['old_string']!r} is not once in {inside}"
            file.write_text(text.replace(given["old_string"], given["new_string"]), encoding="utf-8")
        self.seen.add(file)

    @contextmanager
    def served(self) -> Iterator[str]:
        """Serve the site as production does; gives its address."""
        argv = [sys.executable, "serve.py", "--root", str(self.site), "--port", "0"]
        with subprocess.Popen(argv, cwd=self.home, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout is not None
                found = re.search(r"http://\S+", server.stdout.readline())
                assert found
                yield found[0]
            finally:
                server.terminate()


def scenes() -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = YAML(typ="safe").load(EXAMPLES / "encore-story" / "scenes.yaml")["scenes"]
    return loaded


def steps(scene: str) -> list[dict[str, Any]]:
    (found,) = [each["steps"] for each in scenes() if each["name"] == scene]
    return list(found)


def get(address: str) -> tuple[int, str]:
    try:
        with urlopen(address, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.fixture
def encore(tmp_path: Path) -> Encore:
    shutil.copytree(EXAMPLES / "encore", tmp_path / "encore", ignore=shutil.ignore_patterns("dist", "__pycache__"))
    return Encore(tmp_path / "encore", tmp_path / "site")


def test_the_example_passes_its_own_tests_and_builds(encore: Encore) -> None:
    tests = encore.tests()
    assert tests.returncode == 0, tests.stderr
    assert encore.build().returncode == 0
    assert (encore.home / "dist" / "index.html").is_file()


def test_a_catalogue_that_cannot_be_played_stops_the_build_with_a_reason(encore: Encore) -> None:
    songs = encore.home / "catalogue" / "songs.json"
    songs.write_text(songs.read_text().replace('"mood": "Night"', '"mood": "Grumpy"', 1))
    built = encore.build()
    assert built.returncode != 0
    assert "the mood is one of" in built.stderr


def test_the_same_commit_builds_the_same_bytes(encore: Encore) -> None:
    def shipped() -> dict[str, bytes]:
        assert encore.build(commit="abc").returncode == 0
        dist = encore.home / "dist"
        return {str(path.relative_to(dist)): path.read_bytes() for path in dist.rglob("*") if path.is_file()}

    assert shipped() == shipped()


def test_a_deployed_build_is_served_and_healthy(encore: Encore) -> None:
    encore.build(commit="one")
    deployed = encore.deploy("one")
    assert deployed.returncode == 0, deployed.stderr
    with encore.served() as address:
        status, body = get(f"{address}health")
        assert status == 200, body
        assert json.loads(body)["release"] == "one"
        assert "<title>Encore</title>" in get(address)[1]
        for needed in json.loads((encore.site / "current" / "health.json").read_text())["needs"]:
            assert get(address + needed)[0] == 200, needed


def test_a_rollback_serves_the_release_before_without_a_restart(encore: Encore) -> None:
    encore.build()
    encore.deploy("one")
    with encore.served() as address:
        encore.deploy("two", previous="one")
        assert json.loads(get(f"{address}health")[1])["release"] == "two"
        assert encore.rollback("two", previous="one").returncode == 0
        assert json.loads(get(f"{address}health")[1])["release"] == "one"


def test_a_rollback_to_a_release_that_is_gone_changes_nothing_and_says_so(encore: Encore) -> None:
    encore.build()
    encore.deploy("one")
    back = encore.rollback("one", previous="gone")
    assert back.returncode != 0
    assert "there is no release gone" in back.stderr
    assert (encore.site / "current").resolve().name == "one"


def test_a_deploy_keeps_five_releases_and_the_one_to_go_back_to(encore: Encore) -> None:
    encore.build()
    for number in range(8):
        assert encore.deploy(f"r{number}", previous="r0").returncode == 0
    kept = {release.name for release in (encore.site / "releases").iterdir()}
    assert len(kept) == 6
    assert {"r0", "r7"} <= kept


def test_deploying_the_same_commit_again_changes_nothing(encore: Encore) -> None:
    encore.build()
    for _ in range(2):
        assert encore.deploy("one").returncode == 0
    assert [release.name for release in (encore.site / "releases").iterdir()] == ["one"]
    assert (encore.site / "current").resolve().name == "one"


@pytest.mark.parametrize("name", REQUESTS)
def test_each_request_of_the_demo_finds_its_own_scene_only(name: str) -> None:
    asked = [scene for scene in scenes() if "answers" not in scene]
    assert [scene["name"] for scene in asked if re.search(scene["when"], REQUESTS[name])] == [name]


def test_the_first_attempt_at_the_card_is_caught_by_a_test_of_the_example(encore: Encore) -> None:
    encore.play("about", until_verify=1)
    tests = encore.tests()
    assert tests.returncode != 0
    assert "card 'about' lets text of 'paper-lanterns' become markup" in tests.stderr
    assert "FAILED (failures=1)" in tests.stderr


def test_the_mended_card_and_its_follow_up_pass_and_are_healthy(encore: Encore) -> None:
    before = encore.tests().stderr
    encore.play("about")
    mended = encore.tests()
    assert mended.returncode == 0, mended.stderr
    assert count(mended.stderr) > count(before), "the card comes with tests of its own"
    encore.build()
    page = (encore.home / "dist" / "index.html").read_text()
    assert "About this song" in page
    assert "<summary>" not in page

    encore.play("folded")
    followed = encore.tests()
    assert followed.returncode == 0, followed.stderr
    assert count(followed.stderr) > count(mended.stderr)
    encore.build()
    page = (encore.home / "dist" / "index.html").read_text()
    assert "<summary>" in page
    assert "<dt>Mood</dt>" in page
    encore.deploy("one")
    with encore.served() as address:
        assert get(f"{address}health")[0] == 200


@pytest.mark.parametrize("after", [(), ("about", "folded")], ids=["on its own", "after the card"])
def test_the_lyrics_pass_and_build_but_are_ill_in_production(encore: Encore, after: Sequence[str]) -> None:
    for scene in (*after, "lyrics"):
        encore.play(scene)
    tests = encore.tests()
    assert tests.returncode == 0, tests.stderr
    assert encore.build().returncode == 0
    assert "We hung the paper lanterns out" in (encore.home / "dist" / "index.html").read_text()
    encore.deploy("ill")
    with encore.served() as address:
        status, body = get(f"{address}health")
    assert status == 503
    assert "the page needs lyrics/last-bus-home.txt (and 2 more)" in json.loads(body)["reason"]


def count(unittest_output: str) -> int:
    found = re.search(r"Ran (\d+) tests", unittest_output)
    assert found, unittest_output
    return int(found[1])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_player_plays_on_a_phone_and_fetches_nothing_from_elsewhere(
    encore: Encore, scheme: Any, browser: Browser
) -> None:
    from playwright import sync_api as api

    encore.play("about")
    encore.play("folded")
    encore.build()
    encore.deploy("one")
    wrong: list[str] = []
    with encore.served() as address:
        phone = {"width": 390, "height": 664}
        context = browser.new_context(viewport=phone, is_mobile=True, has_touch=True, color_scheme=scheme)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: None if request.url.startswith(address) else wrong.append(request.url))
        page.goto(address)
        api.expect(page.get_by_role("heading", name="Paper Lanterns")).to_be_visible()
        page.get_by_role("button", name="Play", exact=True).tap()
        api.expect(page.get_by_role("button", name="Pause", exact=True)).to_be_visible()
        page.get_by_role("button", name="Next song").tap()
        api.expect(page.get_by_role("heading", name="Last Bus Home")).to_be_visible()
        story = page.get_by_text("Voss recorded the N7")
        api.expect(story).to_be_hidden()
        page.get_by_role("heading", name="About this song").tap()
        api.expect(story).to_be_visible()
        page.get_by_role("button", name="Library").tap()
        page.get_by_role("button", name="Calm").tap()
        api.expect(page.locator("#songs").get_by_text("Lemon Tree Road")).to_be_hidden()
        page.locator("#songs").get_by_text("Moth").tap()
        page.get_by_role("button", name="Listen").tap()
        api.expect(page.get_by_role("heading", name="Moth")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out sideways"
        context.close()
    assert wrong == []
