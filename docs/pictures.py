"""Takes the pictures of the README from a demo that runs: `make pictures`. Needs Chromium."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

FOLDER = Path(__file__).parent / "pictures"
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 1.5, "is_mobile": True}


def take(browser: Browser, link: str, production: str) -> None:
    """A thread's card as it stands at the end, by day and by night, its story, and the app."""
    base = link.partition("/?")[0]
    for scheme in ("light", "dark"):
        page = browser.new_context(**PHONE, color_scheme=scheme).new_page()
        page.goto(link)
        threads = [str(found.get_attribute("href")) for found in page.query_selector_all("a.thread")]
        page.goto(base + threads[-1])
        page.wait_for_selector(".card")
        page.wait_for_timeout(400)
        if scheme == "light":
            page.locator(".card").evaluate("card => { card.style.scrollMarginTop = '68px'; card.scrollIntoView() }")
            page.wait_for_timeout(400)
        page.screenshot(path=FOLDER / f"thread-{scheme}.png")
        if scheme == "light":
            page.locator(".story").screenshot(path=FOLDER / "story.png")
            page.goto(production)
            page.get_by_role("heading", name="About this song").click()
            page.screenshot(path=FOLDER / "encore.png")


def main() -> None:
    """Run the demo, look at it, leave."""
    FOLDER.mkdir(exist_ok=True)
    demo = subprocess.Popen(
        [sys.executable, "-m", "honk", "demo", "--fast", "--keep"], stderr=subprocess.PIPE, text=True
    )
    assert demo.stderr is not None  # noqa: S101  it was asked for as a pipe
    link = production = ""
    for line in demo.stderr:
        if found := re.search(r"On the phone\s+(\S+)", line):
            link = found[1]
        if found := re.search(r"In production\s+(\S+)", line):
            production = production or found[1]
        if "Still serving" in line:
            break
    program = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        take(browser, link, production)
        browser.close()
    demo.terminate()
    for picture in FOLDER.glob("*.png"):
        print(f"{picture.name}: {picture.stat().st_size / 1000:.0f} kB")


main()
