"""Production without a deploy script: Honk serves what was built."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from honk.app import assemble
from honk.certificates import trusted
from honk.settings import read_settings
from tests.flow.stories import Server, Thread, free_port, merged

pytestmark = pytest.mark.usefixtures("sandbox")


def _get(port: int, path: str = "") -> httpx.Response:
    deadline = time.monotonic() + 30
    while True:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/{path}", trust_env=False, verify=trusted())
        except httpx.TransportError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def _honk_yaml(port: int) -> str:
    return (
        "verify: {}\nbuilds: {web: {run: 'true', output: site}}\n"
        f"deploy: {{site: web, listen: '127.0.0.1:{port}',"
        f" health: {{url: 'http://127.0.0.1:{port}/health.txt', for: 0.2s, every: 0.05s}}}}\n"
    )


def test_a_merged_page_is_served_at_once_and_an_ill_one_makes_way_for_the_one_before(
    tmp_path: Path, home: Path, make_repository: Callable[..., Path]
) -> None:
    port = free_port()
    repo = make_repository({"site/index.html": "<p>one", "site/health.txt": "ok", "honk.yaml": _honk_yaml(port)})
    with Server(tmp_path / "server") as server:
        thread = Thread(assemble(read_settings(home=home)), server)
        first = merged(thread, repo, "echo '<p>two' > site/index.html", "first")
        assert first.task.deploy_url == f"http://127.0.0.1:{port}/"
        assert _get(port).text == "<p>two\n"
        second = merged(thread, repo, "echo '<p>three' > site/index.html; rm site/health.txt", "second")
        assert second.task.state.value == "rolled_back"
        assert "answered 404" in (second.task.error or "")
        assert _get(port).text == "<p>two\n"
        third = merged(thread, repo, "echo '<p>four' > site/index.html; echo ok > site/health.txt", "third")
        assert _get(port).text == "<p>four\n"
        third.tap("rollback")
        third.until("rolled_back")
        assert _get(port).text == "<p>two\n"
    with Server(tmp_path / "next-life") as server:
        assert _get(port).text == "<p>two\n", "a restart serves what was released"


def test_an_address_that_is_taken_is_said_and_nothing_is_switched(
    tmp_path: Path, home: Path, make_repository: Callable[..., Path]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, Server(tmp_path / "server") as server:
        text = _honk_yaml(taken.getsockname()[1])
        repo = make_repository({"site/index.html": "<p>one", "honk.yaml": text})
        thread = Thread(assemble(read_settings(home=home)), server)
        asked = merged(thread, repo, "echo '<p>two' > site/index.html", "first")
        assert "name another `listen`" in (asked.task.error or "")
