"""An app's repository, whose builds make packages, and a person who asks for changes to it."""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from honk.certificates import trusted
from tests.web.conftest import Up

BUILDS = """\
verify: {}
builds: {app: {run: "mkdir -p out; for file in $(cat which); do base64 -d < $file > out/$file; done", output: "out/*"}}
"""
PIXEL = {
    "user-agent": "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile "
    "Safari/537.36",
    "sec-ch-ua-platform": '"Android"',
    "sec-ch-ua-platform-version": '"16.0.0"',
    "sec-ch-ua-model": '"Pixel 8"',
    "accept": "text/html,application/xhtml+xml,*/*;q=0.8",
}
IPHONE = {
    "user-agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.5 Mobile/15E148 Safari/604.1",
    "accept": "text/html,application/xhtml+xml,*/*;q=0.8",
}
LAPTOP = {
    "user-agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 "
    "Safari/537.36",
    "accept": "text/html,application/xhtml+xml,*/*;q=0.8",
}
APP_STORE_DAEMON = {"user-agent": "com.apple.appstored/1.0 iOS/18.5 model/iPhone15,2 hwp/t8120 build/22F76 (6; dt:283)"}
SLACK_UNFURLER = {"user-agent": "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", "accept": "*/*"}


def app_repository(
    make_repository: Callable[..., Path], packages: Mapping[str, bytes], *, first: str, file: str = BUILDS
) -> Path:
    """A repository whose build makes the packages that its file `which` names."""
    texts = {name: base64.encodebytes(content).decode() for name, content in packages.items()}
    return make_repository({"honk.yaml": file, "which": f"{first}\n"} | texts, "app")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass
class Asked:
    """A task, from its person's side."""

    up: Up
    id: str
    seen: int = 0

    @property
    def task(self) -> dict[str, Any]:
        found: dict[str, Any] = self.up.client.get(f"/api/v1/tasks/{self.id}").raise_for_status().json()
        return found

    @property
    def artifact(self) -> dict[str, Any]:
        (one,) = self.task["artifacts"]
        return dict(one)

    def until(self, *kinds: str) -> dict[str, Any]:
        """The next event of one of these kinds."""
        address, headers = f"/api/v1/tasks/{self.id}/events", {"last-event-id": str(self.seen)}
        told: list[str] = []
        with self.up.client.stream("GET", address, headers=headers, timeout=60) as stream:
            for line in stream.iter_lines():
                if line.startswith("data: "):
                    event: dict[str, Any] = json.loads(line[6:])
                    self.seen = event["id"]
                    told.append(event["kind"])
                    if event["kind"] in kinds:
                        return event
                    assert event["kind"] != "failed", event
        raise AssertionError(f"no {kinds} among {told}")

    def tried_on(self, count: int) -> list[str]:
        """The devices of the receipt, as soon as there are so many: a page is shown before that is put down."""
        deadline = time.monotonic() + 30
        while len(found := [str(one["device"]) for one in self.task["tried"]]) < count:
            assert time.monotonic() < deadline, found
            time.sleep(0.1)
        return found

    def say(self, text: str, key: str) -> None:
        self.up.client.post(f"/api/v1/tasks/{self.id}/messages", json={"text": text, "key": key}).raise_for_status()

    def merge(self, key: str = "merge") -> httpx.Response:
        tap = {"action": "merge", "head_sha": self.task["head_sha"], "key": key}
        return self.up.client.post(f"/api/v1/tasks/{self.id}/actions", json=tap)


def ask(up: Up, repo: Path, script: str, text: str = "Please", key: str = "k") -> Asked:
    """Ask for a change and wait until it is ready."""
    body = {"repo": str(repo), "text": text, "agent": f"script:{script}", "key": key}
    asked = Asked(up, up.client.post("/api/v1/tasks", json=body).raise_for_status().json()["id"])
    asked.until("ready")
    return asked


def at(up: Up, address: str, method: str = "GET", **headers: str) -> httpx.Response:
    """What a device without cookies gets at an address of Honk's, whatever name Honk goes by."""
    url = httpx.URL(address)
    here = httpx.URL(up.url)
    return httpx.request(
        method,
        url.copy_with(scheme="http", host=here.host, port=here.port),
        headers={"host": url.netloc.decode()} | headers,
        trust_env=False,
        verify=trusted(),
        timeout=30,
    )
