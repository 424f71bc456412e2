"""A home, a repository in it, and servers outside for sandboxes to reach or not."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from honk.model import Command, Person, Repository, State, Task
from honk.settings import Settings, read_settings
from honk.workspace import Workspaces, probe

ADA = Person("local:ada", "Ada", "ada@example.com")


def shell(line: str) -> Command:
    return Command(("sh", "-c", line))


def repository_at(path: Path, branch: str = "main") -> Repository:
    return Repository("project", str(path), str(path), branch)


def task_on(base: str, **given: object) -> Task:
    now = datetime.now(UTC)
    task = Task("t1", "project", "Do it", "script:true", State.WORKING, ADA, now, now, base_sha=base)
    return Task(**(vars(task) | given))


@pytest.fixture(scope="session")
def can_sandbox() -> None:
    if (refusal := probe()) is not None:
        pytest.skip(refusal)


@pytest.fixture
def settings(home: Path, can_sandbox: None) -> Settings:
    return read_settings()


@pytest.fixture
def workspaces(settings: Settings) -> Workspaces:
    return Workspaces(settings)


class Upstream:
    """A server on this machine that remembers what it was asked."""

    def __init__(self) -> None:
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.go_on = threading.Event()
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                upstream.paths.append(self.path)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"hello from outside")

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                upstream.paths.append(self.path)
                upstream.headers.append({name.lower(): value for name, value in self.headers.items()})
                self.send_response(200)
                self.send_header("content-type", "text/event-stream")
                self.end_headers()
                self.wfile.write(b"data: first\n\n")
                self.wfile.flush()
                upstream.go_on.wait(60)
                self.wfile.write(b"data: last\n\n")

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    played = Upstream()
    threading.Thread(target=played.server.serve_forever, args=(0.01,), daemon=True).start()
    yield played
    played.go_on.set()
    played.server.shutdown()
    played.server.server_close()


Make = Callable[..., Path]
