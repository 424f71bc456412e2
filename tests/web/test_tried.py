"""The receipt: who opened a version on what, who did not, and a repository that merges nothing without it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.conftest import git, visit
from tests.ship.made_android import Signer, apk_files, signed, zipped
from tests.web.conftest import running
from tests.web.installing import IPHONE, LAPTOP, PIXEL, SLACK_UNFURLER, app_repository, ask, at

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.usefixtures("sandbox", "home")

MakeRepository = Callable[..., Path]
PAGE = "builds: {web: {run: mkdir dist; cp app.txt dist/index.html; cp app.txt dist/more.css, output: dist}}\n"
REQUIRED = "verify: {}\nmerge: {require_trial: true}\n"
MORE = "echo '<p>more' >> app.txt"


def _repository(make_repository: MakeRepository, file: str) -> Path:
    return make_repository({"app.txt": "<p>one\n", "honk.yaml": file})


def _opened(address: str, **headers: str) -> httpx.Response:
    answer = visit(address, **headers)
    assert answer.status_code == 200
    return answer


NOBODY = {
    "Slack's unfurler": SLACK_UNFURLER,
    "a bot that calls itself a browser": {
        "user-agent": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_11_1) AppleWebKit/601.2.4 (KHTML, like Gecko) "
        "Version/9.0.1 Safari/601.2.4 facebookexternalhit/1.1 Facebot Twitterbot/1.0",
        "accept": "text/html",
    },
    "a browser without a head": {
        "user-agent": LAPTOP["user-agent"].replace("Chrome/", "HeadlessChrome/"), "accept": "text/html",
    },
    "a script": {"user-agent": "curl/8.5.0", "accept": "*/*"},
    "nothing that says what it is": {"user-agent": ""},
    "a page looked at ahead of time": IPHONE | {"sec-purpose": "prefetch", "sec-fetch-mode": "navigate"},
    "a page in a frame": LAPTOP | {"sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"},
    "a script of the page": LAPTOP | {"sec-fetch-mode": "cors", "sec-fetch-dest": "empty"},
}  # fmt: skip


def test_a_person_who_opens_the_preview_has_tried_it_once_a_device(make_repository: MakeRepository) -> None:
    with running(_repository(make_repository, f"verify: {{}}\n{PAGE}")) as up:
        task = ask(up, up.repo, MORE)
        preview = task.artifact["url"]
        for name, headers in NOBODY.items():
            _opened(preview, **headers)
            assert task.task["tried"] == [], name
        _opened(f"{preview}more.css", **IPHONE)
        assert task.task["tried"] == [], "a style is not the page"
        asks = _opened(preview, **LAPTOP).headers["accept-ch"]
        assert "Sec-CH-UA-Model" in asks
        for _ in range(2):
            for number, headers in enumerate((LAPTOP, IPHONE, PIXEL)):
                _opened(preview, **headers)
                task.tried_on(number + 1)
        assert task.tried_on(3) == [
            "Chrome on Linux", "iPhone, iOS 18", "Pixel 8, Android 16",
        ]  # fmt: skip
        log = up.client.get(f"/tasks/{task.id}").text
        assert log.count("Pixel 8, Android 16") == 2, "once in the conversation, once on the card"

        task.say("And again", "more")
        task.until("ready")
        assert task.task["tried"] == [], "a new version is another"


def test_a_browser_that_tells_more_the_next_time_is_one_device(make_repository: MakeRepository) -> None:
    shy = {name: value for name, value in PIXEL.items() if "platform-version" not in name and "model" not in name}
    with running(_repository(make_repository, f"verify: {{}}\n{PAGE}")) as up:
        task = ask(up, up.repo, MORE)
        _opened(task.artifact["url"], **shy)
        assert task.tried_on(1) == ["Android device"]
        _opened(task.artifact["url"], **PIXEL)
        assert [task.until("tried")["data"]["exact"] for _ in range(2)] == [False, True]
        assert task.tried_on(1) == ["Pixel 8, Android 16"]


def test_honks_own_picture_is_no_receipt_and_a_browsers_visit_is_one(
    browser: Browser, make_repository: MakeRepository
) -> None:
    with running(_repository(make_repository, f"verify: {{}}\n{PAGE}"), HONK_SCREENSHOTS="true") as up:
        task = ask(up, up.repo, MORE)
        assert task.artifact["screenshot_url"]
        assert task.task["tried"] == []
        context = browser.new_context(user_agent=IPHONE["user-agent"], viewport={"width": 390, "height": 844})
        page = context.new_page()
        page.goto(task.artifact["url"])
        page.get_by_text("more").wait_for()
        assert task.until("tried")["data"]["device"] == "iPhone, iOS 18"
        context.close()


def test_a_preview_at_a_port_of_its_own_is_tried_as_well(make_repository: MakeRepository) -> None:
    repo = _repository(make_repository, f"verify: {{}}\n{PAGE}")
    with running(repo, HONK_PREVIEW_HOST="127.0.0.1") as up:
        task = ask(up, repo, MORE)
        with httpx.Client(follow_redirects=True, trust_env=False, headers=IPHONE) as phone:
            assert phone.get(task.artifact["url"]).status_code == 200
        assert task.tried_on(1) == ["iPhone, iOS 18"]


def _refused(answer: httpx.Response) -> str:
    assert answer.status_code == 409
    return str(answer.json()["error"])


def test_nothing_is_merged_untried_where_honk_yaml_asks_for_that(
    browser: Browser, make_repository: MakeRepository
) -> None:
    with running(_repository(make_repository, REQUIRED + PAGE)) as up:
        task = ask(up, up.repo, MORE)
        shown = task.task
        assert shown["trial_missing"] is True and shown["actions"] == ["cancel"]
        assert shown["next_action"] == "Try it first, then merge"
        sentence = _refused(task.merge())
        assert "nobody has tried this version yet" in sentence and "open its `web` preview" in sentence

        phone = browser.new_page(viewport={"width": 390, "height": 844})
        phone.set_default_timeout(20_000)
        phone.goto(up.link)
        phone.goto(f"{up.url}/tasks/{task.id}")
        phone.get_by_text("Try it first: honk.yaml asks").wait_for()
        assert phone.get_by_role("button", name="Merge").count() == 0
        visit(shown["artifacts"][0]["url"], **IPHONE)
        phone.get_by_role("button", name="Merge").wait_for()
        phone.get_by_text("✓ Tried on iPhone, iOS 18").wait_for()
        phone.close()

        task.say("And again", "more")
        task.until("ready")
        assert "nobody has tried" in _refused(task.merge("second"))
        visit(task.artifact["url"], **IPHONE)
        task.tried_on(1)
        assert task.merge("third").status_code == 202
        assert task.until("merge.landed", "merge.refused")["kind"] == "merge.landed"


def test_an_app_that_has_to_be_tried_is_installed_first(make_repository: MakeRepository) -> None:
    apk = signed(zipped(apk_files()), Signer(kind="ec"))
    file = REQUIRED + 'builds: {app: {run: "mkdir -p out; base64 -d < app.apk > out/app.apk", output: "out/*.apk"}}\n'
    with running(app_repository(make_repository, {"app.apk": apk}, first="", file=file)) as up:
        task = ask(up, up.repo, "echo more > more")
        assert "install its `app` build" in _refused(task.merge())
        at(up, f"{task.artifact['install_url']}/0.apk", **PIXEL)
        assert task.merge("again").status_code == 202
        assert task.until("merge.landed", "merge.refused")["kind"] == "merge.landed"


@pytest.mark.parametrize(
    ("builds", "words"),
    [
        ("builds: {}\n", "this version has no build that can be opened or installed"),
        ("builds: {tool: {run: cp app.txt tool, output: tool}}\n", "has no build that can be opened or installed"),
        ("builds: {ios: {run: 'true', output: out, on: macos}}\n", "there is nothing to try yet: ios was not built"),
    ],
    ids=["no builds", "nothing to open", "still to come"],
)
def test_where_there_is_nothing_to_try_the_sentence_says_so(
    make_repository: MakeRepository, builds: str, words: str
) -> None:
    with running(_repository(make_repository, REQUIRED + builds)) as up:
        assert words in _refused(ask(up, up.repo, MORE).merge())


def test_a_rule_that_came_after_the_tap_was_offered_counts(make_repository: MakeRepository) -> None:
    repo = _repository(make_repository, f"verify: {{}}\n{PAGE}")
    with running(repo) as up:
        task = ask(up, repo, MORE)
        assert task.task["actions"] == ["merge", "cancel"]
        (repo / "honk.yaml").write_text(REQUIRED + PAGE)
        git(repo, "commit", "-qam", "Try everything")
        answer = task.merge()
        refused = _refused(answer) if answer.status_code == 409 else task.until("merge.refused")["data"]["reason"]
        assert "nobody has tried this version yet" in refused
