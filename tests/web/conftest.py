"""A real `honk up` with a repository beside it, and a real browser."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHECKS = """\
verify: {test: "! grep -n broken app.txt"}
builds: {web: {run: mkdir dist; cp app.txt dist/index.html, output: dist}}
"""
SCRIPT = "script:test -e stay && while test -e stay; do sleep 0.05; done; echo hello >> app.txt"


@dataclass
class Up:
    """A server that runs."""

    link: str
    token: str
    repo: Path

    @property
    def url(self) -> str:
        return self.link.partition("/?")[0]

    @property
    def client(self) -> httpx.Client:
        return httpx.Client(
            base_url=self.url, headers={"authorization": f"Bearer {self.token}"}, timeout=30, trust_env=False
        )


@pytest.fixture
def up(home: Path, make_repository: Callable[..., Path], sandbox: None) -> Iterator[Up]:
    """`honk up` in a process of its own."""
    repo = make_repository({"app.txt": "one\n", "honk.yaml": CHECKS})
    process = subprocess.Popen(
        [sys.executable, "-m", "honk", "up", "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    found = re.search(r"(http://\S+/\?token=(\S+))", process.stdout.readline())
    assert found
    yield Up(found[1], found[2], repo)
    process.kill()
    process.wait()


@pytest.fixture
def phone(browser: Browser, up: Up) -> Iterator[Page]:
    """A page as large as a phone's, that must not log an error. It is closed before the server is."""
    context = browser.new_context(viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
    page = context.new_page()
    page.set_default_timeout(20_000)
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    expected = ("409", "ERR_FAILED", "[object Event]")  # a refused tap, and a stream that a test cuts off
    assert [error for error in errors if not any(known in error for known in expected)] == []
