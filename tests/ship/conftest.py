"""Previews without the rest of Honk: a store, a folder for each artifact, and Honk's pages as one that says so."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from starlette.responses import PlainTextResponse

from honk.flow.view import artifacts
from honk.model import Artifact, HonkError, Person, State, Task
from honk.settings import read_settings
from honk.ship import PreviewServer
from honk.store import Store, open_database

COMMIT = "c0ffee" + "0" * 34
Files = dict[str, bytes | str]


@dataclass
class Previews:
    """A preview server on a home of its own."""

    home: Path
    store: Store
    given: dict[str, Any]
    server: PreviewServer = field(init=False)
    closed: bool = False

    def __post_init__(self) -> None:
        self.settings = read_settings(home=self.home, **self.given)
        self.server = PreviewServer(self.store, self._folder, self.settings)

    def close(self) -> None:
        """End this life, once."""
        if not self.closed:
            self.server.close()
        self.closed = True

    def _folder(self, artifact: Artifact) -> Path:
        folder = self.home / artifact.sha256
        if not folder.is_dir():
            raise HonkError("it is not kept any more.")
        return folder

    def task(self, task_id: str = "t1") -> Task:
        if found := self.store.find_task(task_id):
            return found
        at = datetime.now(UTC)
        person = Person("local:ada", "Ada")
        task = Task(task_id, "app", "Please", "script:true", State.READY, person, at, at, head_sha=COMMIT)
        self.store.create_task(task, "m")
        return task

    def offer(self, files: Files, task_id: str = "t1", commit: str = COMMIT) -> str:
        """Build this, so to say; where it can be visited."""
        task = self.task(task_id)
        sha256 = hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()
        folder = self.home / sha256
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        artifact = Artifact("web", commit, sha256, 1)
        self.store.save_artifact(task.id, artifact)
        self.server.serve(task.id, artifact)
        return self.address(task_id, commit)

    def address(self, task_id: str = "t1", commit: str = COMMIT) -> str:
        shown = artifacts(self.store, self.task(task_id), self.settings.previews_at)
        return next(one.url or "" for one in shown if one.commit == commit)

    def get(self, url: str, method: str = "GET", **headers: str) -> httpx.Response:
        """Ask the server that has Honk's pages and, by host name, the previews."""

        async def pages(scope: Any, receive: Any, send: Any) -> None:
            await PlainTextResponse("Honk's own page")(scope, receive, send)

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self.server.in_front_of(pages))
            async with httpx.AsyncClient(transport=transport) as client:
                return await client.request(method, url, headers={"accept": "*/*"} | headers)

        return answered(ask)


def answered(ask: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
    """In a thread, because the browser of other tests keeps an event loop in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(anyio.run, ask).result()


Start = Callable[..., Previews]


@pytest.fixture
def start(home: Path) -> Iterator[Start]:
    """Starts a preview server with the given settings; again for a next life on the same home."""
    started: list[Previews] = []

    def begin(**given: Any) -> Previews:
        home.mkdir(exist_ok=True)
        store = Store(open_database(f"sqlite:///{home / 'honk.db'}"))
        started.append(Previews(home, store, given))
        return started[-1]

    yield begin
    for previews in started:
        previews.close()
