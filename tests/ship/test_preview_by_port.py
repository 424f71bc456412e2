"""The link to a preview with a port of its own, on a phone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from tests.ship.conftest import Files, Start

if TYPE_CHECKING:
    from playwright.sync_api import Browser

APP: Files = {
    "index.html": """\
<!doctype html><html lang="en"><link rel="icon" href="data:,"><link rel="stylesheet" href="assets/app.css">
<title>App</title><h1>Encore</h1><p id="route"></p><script type="module" src="/assets/app.js"></script></html>""",
    "assets/app.css": "h1 { color: rgb(1, 2, 3) }",
    "assets/app.js": 'document.getElementById("route").textContent = "at " + location.pathname',
}


def test_the_link_opens_the_app_and_its_routes_until_the_version_is_void(start: Start, browser: Browser) -> None:
    previews = start(preview_host="127.0.0.1")
    link = httpx.URL(previews.offer(APP))
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.set_default_timeout(20_000)
    page.goto(str(link))
    assert page.url == str(link.join("/"))
    page.get_by_text("at /", exact=True).wait_for()
    assert page.locator("h1").evaluate("h1 => getComputedStyle(h1).color") == "rgb(1, 2, 3)"
    page.evaluate("history.pushState({}, '', '/songs')")
    page.reload()
    page.get_by_text("at /songs", exact=True).wait_for()
    assert page.evaluate("document.cookie") == ""

    previews.store.void_artifacts("t1", keep_commit="")
    previews.server.withdraw("t1")
    page.reload()
    page.get_by_role("link", name="Open its thread").wait_for()
    page.close()
