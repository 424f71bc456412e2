"""A real `honk up` with a repository beside it, and a real browser."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from honk.certificates import trusted
from tests.processes import start_up

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
            verify=trusted(),
            base_url=self.url,
            headers={"authorization": f"Bearer {self.token}"},
            timeout=30,
            trust_env=False,
        )


@contextmanager
def running(repo: Path, listen: str = "127.0.0.1:0", **environment: str) -> Iterator[Up]:
    """`honk up` in a process of its own, reached where it listens whatever it calls itself."""
    with tempfile.TemporaryDirectory(prefix="honk-up-") as folder:
        process, address, token = start_up(listen, Path(folder) / "up.log", **environment)
        url = f"http://{listen}" if listen.rpartition(":")[2] != "0" else address
        try:
            yield Up(f"{url}/?token={token}", token, repo)
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def up(home: Path, make_repository: Callable[..., Path], sandbox: None) -> Iterator[Up]:
    """`honk up` with a repository that has a check and a page."""
    with running(make_repository({"app.txt": "one\n", "honk.yaml": CHECKS})) as server:
        yield server


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
