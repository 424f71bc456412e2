"""A preview in a real browser, on a real server, beside Honk's own pages."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.conftest import visit
from tests.web.conftest import Up

if TYPE_CHECKING:
    from playwright.sync_api import Browser

APP = """\
<!doctype html>
<html lang="en"><base href="./"><link rel="icon" href="data:,"><link rel="stylesheet" href="assets/app.css">
<title>App</title><h1>Encore</h1><p id="route"></p>
<script type="module" src="/assets/app.mjs"></script></html>
"""
SCRIPT = """\
document.getElementById("route").textContent = "at " + location.pathname;
globalThis.song = (path) => { history.pushState({}, "", path); };
"""
FILES = {
    "honk.yaml": "verify: {}\nbuilds: {web: {run: cp -r site dist, output: dist}}\n",
    "site/index.html": APP,
    "site/assets/app.mjs": SCRIPT,
    "site/assets/app.css": "h1 { color: rgb(1, 2, 3) }\n",
}


def _offered(up: Up, repo: Path) -> str:
    """Ask for a change; where its preview is once it is ready."""
    body = {"repo": str(repo), "text": "Please", "agent": "script:echo '<!-- more -->' >> site/index.html", "key": "k"}
    task = up.client.post("/api/v1/tasks", json=body).raise_for_status().json()["id"]
    with up.client.stream("GET", f"/api/v1/tasks/{task}/events", timeout=60) as stream:
        for line in stream.iter_lines():
            if line.startswith("data: ") and (event := json.loads(line[6:]))["kind"] in ("ready", "failed"):
                assert event["kind"] == "ready", event
                break
    (web,) = up.client.get(f"/api/v1/tasks/{task}").json()["artifacts"]
    return str(web["url"])


def test_a_preview_is_an_app_of_its_own_beside_honks_pages(
    browser: Browser, up: Up, make_repository: Callable[..., Path]
) -> None:
    phone = browser.new_page(viewport={"width": 390, "height": 844})
    phone.set_default_timeout(20_000)
    url = _offered(up, make_repository(FILES, "site"))
    sent: list[dict[str, str]] = []
    phone.on("request", lambda request: sent.append(request.all_headers()) if request.url.startswith(url) else None)
    phone.goto(up.link)
    assert phone.context.cookies(up.url)

    phone.goto(url)
    phone.get_by_text("at /", exact=True).wait_for()
    assert phone.locator("h1").evaluate("h1 => getComputedStyle(h1).color") == "rgb(1, 2, 3)"
    phone.evaluate("song('/songs')")
    phone.reload()
    phone.get_by_text("at /songs", exact=True).wait_for()

    assert phone.context.cookies(url) == []
    assert sent
    assert not any("cookie" in headers for headers in sent)
    outcome = phone.evaluate("address => fetch(address).then(() => 'read', () => 'refused')", f"{up.url}/api/v1/tasks")
    assert outcome == "refused"
    phone.close()


@pytest.mark.parametrize("path", ["/", "/api/v1/tasks", "/healthz", "/metrics", "/docs", "/static/app.css", "/sw.js"])
def test_no_page_of_honks_own_is_at_a_previews_name(up: Up, path: str) -> None:
    address = f"http://{'a' * 26}.localhost:{httpx.URL(up.url).port}{path}"
    answer = visit(address, authorization=f"Bearer {up.token}")
    assert answer.status_code == 404
    assert "There is no preview at this address" in answer.text
    assert "set-cookie" not in visit(f"{address}?token={up.token}").headers


@pytest.mark.parametrize("host", ["[::1", "a]b.localhost", "x.localhost", ""])
def test_a_host_that_is_nobodys_gets_neither_pages_nor_a_fault(up: Up, host: str) -> None:
    answer = httpx.get(f"{up.url}/healthz", headers={"host": host}, trust_env=False)
    assert answer.status_code in (404, 421)
