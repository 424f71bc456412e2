"""The pages in a real browser, as large as a phone."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import Honk
from tests.web.conftest import SCRIPT, Up

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


def _open_first(phone: Page, up: Up, text: str = "Please greet", agent: str = SCRIPT) -> None:
    """Come in by the link and start a thread with the composer."""
    phone.goto(up.link)
    assert "token" not in phone.url
    phone.get_by_label("What should change?").fill(text)
    if not phone.get_by_label("Path or URL").is_visible():
        phone.get_by_text("Another repository or agent").click()
    phone.get_by_label("Path or URL").fill(str(up.repo))
    phone.get_by_label("Agent").fill(agent)
    phone.get_by_role("button", name="Honk").click()
    phone.wait_for_url(re.compile(r"/tasks/\w+"))


def test_a_thread_from_message_to_merge_with_the_page_live(phone: Page, up: Up) -> None:
    _open_first(phone, up)
    phone.get_by_text("is ready to try").wait_for()
    first = phone.locator(".card .sha").inner_text()
    rows = phone.locator("#rows > *").count()
    phone.reload()
    assert phone.locator("#rows > *").count() == rows

    phone.get_by_label("Reply", exact=True).last.fill("And again")
    phone.get_by_role("button", name="Send").click()
    phone.get_by_text("And again").wait_for()
    phone.locator(".version.void").wait_for()
    phone.locator(".version:not(.void)").wait_for()
    head = phone.locator(".card .sha").inner_text()
    assert head != first

    with phone.expect_popup() as preview:
        phone.get_by_role("link", name="Open the web preview").click()
    assert "hello" in preview.value.inner_text("body")
    preview.value.close()

    phone.get_by_role("button", name="Merge", exact=True).click()
    dialog = phone.get_by_role("dialog")
    assert head in dialog.inner_text()
    assert "✓ test" in dialog.inner_text()
    assert "Nothing is deployed" in dialog.inner_text()
    dialog.get_by_role("button", name=f"Merge {head}").click()
    phone.get_by_text("Merged as").wait_for()
    phone.locator(".card.merged").wait_for()
    assert phone.get_by_role("button", name="Merge", exact=True).count() == 0
    story = phone.get_by_role("img", name=re.compile("^Asked .*, Checks green .*, Built .*, Merged "))
    assert "web" in (story.text_content() or "")
    signed = up.client.get(f"/api/v1/tasks/{phone.url.rpartition('/')[2]}/provenance").json()
    assert [json.loads(base64.b64decode(one["payload"]))["predicateType"] for one in signed["statements"]] == [
        "https://slsa.dev/provenance/v1", "https://slsa.dev/provenance/v1", "urn:honk:change:v1",
    ]  # fmt: skip
    assert signed["key"].startswith("-----BEGIN PUBLIC KEY-----")
    ids = phone.evaluate("[...document.querySelectorAll('#rows > *')].map(row => row.id)")
    assert len(ids) == len(set(ids))
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_tap_on_a_version_that_has_moved_on_shows_why(phone: Page, up: Up) -> None:
    _open_first(phone, up)
    phone.get_by_text("is ready to try").wait_for()
    task = phone.url.rpartition("/")[2]
    phone.route("**/stream*", lambda route: route.abort())
    phone.reload()
    old = phone.locator(".card .sha").inner_text()
    up.client.post(f"/api/v1/tasks/{task}/messages", json={"text": "more", "key": "m"})
    deadline = time.monotonic() + 30
    while (shown := up.client.get(f"/api/v1/tasks/{task}").json())["head_sha"][:8] == old or shown["state"] != "ready":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    phone.get_by_role("button", name="Merge", exact=True).click()
    phone.get_by_role("dialog").get_by_role("button", name=f"Merge {old}").click()
    phone.get_by_role("alert").wait_for()
    assert "has moved on" in phone.get_by_role("alert").inner_text()
    assert phone.locator(".card .sha").inner_text() == shown["head_sha"][:8]


def test_what_people_and_agents_write_is_text_and_never_markup(phone: Page, up: Up) -> None:
    attack = "<img src=x onerror=alert(1)><script>alert(2)</script> [x](javascript:alert(3)) ![y](http://127.0.0.1:1/z)"
    quoted = attack.replace("'", "")
    _open_first(phone, up, text=attack, agent=f"script:printf '%s' '{quoted}'; printf '%s' '{quoted}' > 'x.html'")
    phone.get_by_text("is ready to try").wait_for()
    assert phone.locator("main img, main script").count() == 0
    assert phone.locator("a[href^='javascript']").count() == 0
    phone.get_by_role("link", name="Diff").click()
    phone.get_by_text("x.html").wait_for()
    assert phone.locator("main img, main script").count() == 0


def test_red_checks_are_told_with_their_reason_and_can_be_retried(phone: Page, up: Up) -> None:
    _open_first(phone, up, agent="script:echo broken >> app.txt")
    phone.locator(".card.failed").wait_for()
    assert "broken" in phone.locator(".card .error").inner_text()
    phone.get_by_role("button", name="Retry").click()
    phone.get_by_text("Tried again by").wait_for()


def test_cancel_is_one_tap(phone: Page, up: Up) -> None:
    _open_first(phone, up, agent="script:sleep 600")
    phone.get_by_role("button", name="Cancel").click()
    phone.get_by_text("Cancelled; the work so far is kept").wait_for()
    phone.get_by_role("button", name="Retry").wait_for()


def test_a_mistake_in_the_composer_keeps_the_words(phone: Page, up: Up) -> None:
    phone.goto(up.link)
    phone.get_by_label("What should change?").fill("Something long that I typed")
    phone.get_by_label("Path or URL").fill("/nowhere")
    phone.get_by_label("Agent").fill(SCRIPT)
    phone.get_by_role("button", name="Honk").click()
    phone.get_by_role("alert").wait_for()
    assert "There is no repository at /nowhere" in phone.get_by_role("alert").inner_text()
    assert phone.get_by_label("What should change?").input_value() == "Something long that I typed"


def test_the_app_can_be_installed_and_says_when_it_is_offline(phone: Page, up: Up) -> None:
    phone.goto(up.link)
    manifest = phone.evaluate("fetch(document.querySelector('link[rel=manifest]').href).then(answer => answer.json())")
    assert manifest["display"] == "standalone"
    sizes = phone.evaluate(
        "icons => Promise.all(icons.map(async icon => (await fetch(icon.src)).status))", manifest["icons"]
    )
    assert set(sizes) == {200}
    phone.evaluate("navigator.serviceWorker.ready")
    phone.reload()
    phone.wait_for_function("navigator.serviceWorker.controller !== null")


def test_a_lost_connection_loses_nothing_and_doubles_nothing(phone: Page, up: Up) -> None:
    _open_first(phone, up, agent="script:for n in 1 2 3 4 5 6; do echo line-$n; done; echo hello >> app.txt")
    phone.get_by_text("is ready to try").wait_for()
    task = phone.url.rpartition("/")[2]
    phone.context.set_offline(True)
    up.client.post(f"/api/v1/tasks/{task}/messages", json={"text": "said meanwhile", "key": "m"})
    deadline = time.monotonic() + 30
    before = phone.locator(".card .sha").inner_text()
    while (shown := up.client.get(f"/api/v1/tasks/{task}").json())["state"] != "ready" or shown["head_sha"][
        :8
    ] == before:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    phone.context.set_offline(False)
    phone.get_by_text("said meanwhile").wait_for()
    phone.locator(".version.void").wait_for()
    phone.locator(".version:not(.void)").wait_for()
    ids = phone.evaluate("[...document.querySelectorAll('#rows > *')].map(row => row.id)")
    assert len(ids) == len(set(ids))
    phone.reload()
    assert phone.evaluate("[...document.querySelectorAll('#rows > *')].map(row => row.id)") == ids


def test_the_card_shows_how_the_preview_looks_on_a_phone(
    browser: Browser, home: Path, make_repository: Callable[..., Path], honk: Honk, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = "<body style='margin:0;background:#00ff00'><script>document.body.style.background = '#0000ff'</script>"
    repo = make_repository({"index.html": page, "honk.yaml": "builds: {web: {run: 'true', output: index.html}}\n"})
    done = honk(
        "run", "Change it", "--repo", str(repo), "--agent", "script:echo '<p>x' >> index.html", "--json", check=0,
        HONK_SCREENSHOTS="true",
    )  # fmt: skip
    (artifact,) = json.loads(done.stdout)["artifacts"]
    assert artifact["screenshot_url"].endswith(f"{artifact['sha256']}.png")
    picture = home / "screenshots" / f"{artifact['sha256']}.png"
    shown = browser.new_page()
    shown.goto(f"data:image/png;base64,{base64.b64encode(picture.read_bytes()).decode()}")
    colour = shown.evaluate(
        "() => { const c = document.createElement('canvas'); const i = document.images[0]; c.width = i.naturalWidth;"
        " c.height = i.naturalHeight; const x = c.getContext('2d'); x.drawImage(i, 0, 0);"
        " return [c.width, ...x.getImageData(10, c.height - 10, 1, 1).data]; }"
    )
    shown.close()
    assert colour == [780, 0, 0, 255, 255]
