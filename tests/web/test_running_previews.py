"""A version that is a service: started by a visit, in the sandbox, and reached like any preview."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosedOK, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from tests.service import SERVICE
from tests.web.conftest import Up, running

pytestmark = pytest.mark.usefixtures("sandbox")

YAML = "verify: {}\nbuilds: {}\npreview: {run: python3 serve.py, port: 3000, idle: %s}\n"
PERSON = {
    "accept": "text/html",
    "user-agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605 Safari/604",
}


def _task(server: Up, text: str, state: str = "ready") -> dict[str, Any]:
    agent = "script:echo hello from the new version > words.txt"
    asked = {"repo": str(server.repo), "text": text, "agent": agent, "key": text}
    with server.client as client:
        made = client.post("/api/v1/tasks", json=asked)
        assert made.is_success, made.text
        deadline = time.monotonic() + 90
        while True:
            task: dict[str, Any] = client.get(f"/api/v1/tasks/{made.json()['id']}").json()
            if task["state"] in (state, "failed"):
                return task
            assert time.monotonic() < deadline, task
            time.sleep(0.05)


@pytest.fixture
def repository(make_repository: Callable[..., Path]) -> Path:
    return make_repository({"serve.py": SERVICE, "words.txt": "old", "honk.yaml": YAML % "10m"})


@pytest.fixture(params=["by name", "by port"])
def server(request: pytest.FixtureRequest, home: Path, repository: Path) -> Iterator[Up]:
    given = {} if request.param == "by name" else {"HONK_PREVIEW_HOST": "127.0.0.1"}
    with running(repository, **given) as up:
        yield up


def _client(url: str = "") -> httpx.Client:
    """One that finds `*.localhost` as browsers do."""

    class Loopback(httpx.HTTPTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            there = request.url.copy_with(host="127.0.0.1")
            return super().handle_request(
                httpx.Request(request.method, there, headers=request.headers, stream=request.stream)
            )

    return httpx.Client(base_url=url, transport=Loopback(), timeout=60, headers=PERSON, trust_env=False)


def test_the_new_version_answers_as_if_it_were_there_itself(server: Up) -> None:
    task = _task(server, "Say hello")
    (artifact,) = task["artifacts"]
    assert artifact["kind"] == "service"
    with _client() as visitor:
        first = visitor.get(artifact["url"], follow_redirects=True)
        while first.status_code == 503:
            assert "starting" in first.text
            first = visitor.get(artifact["url"], follow_redirects=True)
        assert "hello from the new version" in first.text
        assert first.headers["x-robots-tag"] == "noindex"
        origin = str(first.url.join("/"))
        visitor.headers["cookie"] = first.history[0].headers["set-cookie"].split(";")[0] if first.history else ""
        told = visitor.get(f"{origin}told", headers={"origin": origin.rstrip("/"), "x-forwarded-for": "spoofed"})
        assert told.status_code == 200, told.text
        heard = told.json()
        assert (heard["host"], heard["origin"]) == ("localhost:3000", "http://localhost:3000")
        assert "cookie" not in heard
        assert "x-forwarded-for" not in heard
        assert "domain" not in told.headers["set-cookie"].lower()
        assert "strict-transport-security" not in told.headers
        own = told.headers["set-cookie"].split(";")[0]
        again = visitor.get(f"{origin}told", headers={"cookie": f"{visitor.headers['cookie']}; {own}".lstrip("; ")})
        assert again.json()["cookie"] == "mine=1"
        assert visitor.get(f"{origin}away").headers["location"] == "/there?x=1"
        assert visitor.post(f"{origin}", content=b"loud").content == b"LOUD"
        _hears_websockets(origin, visitor.headers["cookie"])
    with server.client as client:
        tried = client.get(f"/api/v1/tasks/{task['id']}").json()["tried"]
    assert [one["device"] for one in tried] == ["iPhone, iOS 18"]


def _hears_websockets(origin: str, cookie: str) -> None:
    at = httpx.URL(origin)
    address = f"ws://{at.netloc.decode()}/words"
    headers = {"Cookie": cookie} if cookie else {}

    def socket_there() -> socket.socket:
        return socket.create_connection(("127.0.0.1", at.port or 80))

    with connect(
        address, sock=socket_there(), additional_headers=headers, origin=Origin(origin.rstrip("/")), proxy=None
    ) as talk:
        talk.send("me")
        assert talk.recv() == "heard me"
        with pytest.raises(ConnectionClosedOK):
            talk.recv()
    with pytest.raises(InvalidStatus):
        connect(address, sock=socket_there(), additional_headers=headers, origin=Origin("http://evil.example"))


def test_it_is_stopped_when_nobody_looks_and_started_again_when_somebody_does(
    home: Path, make_repository: Callable[..., Path]
) -> None:
    repository = make_repository({"serve.py": SERVICE, "words.txt": "old", "honk.yaml": YAML % "1s"})
    with running(repository) as server:
        task = _task(server, "Say hello")
        with _client(task["artifacts"][0]["url"]) as visitor:
            assert _count(visitor) == 1
            assert _count(visitor) == 2
            _until(lambda: not _running(home), "it runs on without a visitor")
            assert _count(visitor) == 1
            assert visitor.get("die").status_code == 503
            _until(lambda: _count(visitor) == 1, "it was not started again after it died")


def test_a_version_that_does_not_come_to_listen_says_what_it_said(
    home: Path, make_repository: Callable[..., Path]
) -> None:
    honk_yaml = "verify: {}\nbuilds: {}\npreview: {run: 'echo no database here; exit 4', port: 3000}\n"
    with running(make_repository({"words.txt": "old", "honk.yaml": honk_yaml})) as server:
        task = _task(server, "Say hello", "failed")
    assert "ended with exit code 4 before it listened on port 3000" in task["error"]
    assert "no database here" in task["error"]


def _running(home: Path) -> list[str]:
    """The checkouts of this home that are there."""
    return [path.name for path in (home / "checkouts").iterdir() if path.is_dir()]


def _count(visitor: httpx.Client) -> int:
    deadline = time.monotonic() + 60
    while (page := visitor.get("")).status_code == 503:
        assert time.monotonic() < deadline, page.text
    found = re.search(r"id=n>(\d+)", page.text)
    assert found, page.text
    return int(found[1])


def _until(holds: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.05)
