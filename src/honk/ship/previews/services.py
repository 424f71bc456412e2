"""Previews that run: started by a visit, stopped when nobody visits."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from honk.model import Cancelled, HonkError
from honk.ship.previews.pages import plain
from honk.ship.previews.proxy import Unreachable, forward, forward_websocket

log = logging.getLogger("honk.ship")

_LOOK_SECONDS = 0.5
_PAGE_PATIENCE = 4.0
"""Seconds that somebody looks at nothing before they are told that it is starting."""
_PATIENCE = 60.0
"""Seconds that the parts of a page wait, and programs."""
_MOST_SAID = 40
"""Pieces of a service's output that are remembered."""

Start = Callable[
    [str, str, Callable[[], bool], Callable[[str], None]],
    AbstractContextManager[tuple[Path, Callable[[], bool], float]],
]
"""Runs the service of a task's commit: its socket, whether it lives, and after how many idle seconds to stop it."""


@dataclass
class Service:
    """One that was started."""

    task_id: str
    commit: str
    ready: Future[Path] = field(default_factory=Future)
    """Its socket, once it listens; a `HonkError` where it never did."""
    end: threading.Event = field(default_factory=threading.Event)
    said: deque[str] = field(default_factory=lambda: deque(maxlen=_MOST_SAID))
    visits: int = 0
    """Requests that are being answered."""
    visited_at: float = field(default_factory=time.monotonic)

    @property
    def last_words(self) -> str:
        """The newest line of its output."""
        lines = [line.strip() for line in "".join(self.said).splitlines() if line.strip()]
        return lines[-1][:200] if lines else ""

    async def address(self, patience: float) -> Path | None:
        """Its socket; None if it has none yet after so many seconds. Raises `HonkError` where it never will."""
        try:
            return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(self.ready)), patience)
        except TimeoutError:
            return None
        except HonkError:
            # Somebody reads why now, so the next visit may start it anew.
            self.end.set()
            raise

    @contextmanager
    def visit(self) -> Iterator[None]:
        """While this lasts, it is not stopped for want of visitors."""
        self.visits += 1
        try:
            yield
        finally:
            self.visits -= 1
            self.visited_at = time.monotonic()


class Services:
    """Those that run in this process, at most `most`. Safe to use from many threads."""

    def __init__(self, start: Start, most: int) -> None:
        self._start = start
        self._most = most
        self._services: dict[str, Service] = {}
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    def of(self, token: str, task_id: str, commit: str) -> Service:
        """The preview's service, started if it does not run. Raises `HonkError` while there are too many."""
        with self._lock:
            found = self._services.get(token)
            if found is None or (found.end.is_set() and found.ready.done()):
                self._make_room()
                found = self._services[token] = Service(task_id, commit)
                thread = threading.Thread(target=self._live, args=(token, found), name="preview", daemon=True)
                self._threads = [one for one in self._threads if one.is_alive()] + [thread]
                thread.start()
            return found

    def end(self, task_id: str) -> None:
        """Stop a task's services."""
        with self._lock:
            for service in self._services.values():
                if service.task_id == task_id:
                    service.end.set()

    def close(self) -> None:
        """Stop all, and wait until they are gone."""
        with self._lock:
            threads = list(self._threads)
            for service in self._services.values():
                service.end.set()
        for thread in threads:
            thread.join()

    def _make_room(self) -> None:
        running = [service for service in self._services.values() if not service.end.is_set()]
        if len(running) < self._most:
            return
        idle = [service for service in running if service.ready.done() and not service.visits]
        if not idle:
            raise HonkError(
                f"{self._most} previews are running and looked at (HONK_PREVIEW_SERVICES): try again in a while."
            )
        min(idle, key=lambda service: service.visited_at).end.set()

    def _live(self, token: str, service: Service) -> None:
        try:
            with self._start(service.task_id, service.commit, service.end.is_set, service.said.append) as running:
                address, alive, idle = running
                service.visited_at = time.monotonic()
                service.ready.set_result(address)
                while alive() and not service.end.wait(_LOOK_SECONDS):
                    if not service.visits and time.monotonic() - service.visited_at > idle:
                        break
        except Exception as error:
            if not isinstance(error, HonkError):
                log.exception("the service of %s could not be started", service.commit)
            told = (
                error
                if isinstance(error, HonkError)
                else HonkError("The service could not be started: see Honk's log.")
            )
            if isinstance(error, Cancelled):
                told = HonkError("The service was stopped before it listened.")
            if not service.ready.done():
                service.ready.set_exception(told)
                # It stays until somebody has read why.
                return
        service.end.set()
        with self._lock:
            if self._services.get(token) is service:
                del self._services[token]


def port_of(folder: Path) -> int:
    """Where the service of an artifact listens. Raises `HonkError` where that is not told."""
    try:
        return int(json.loads((folder / "service.json").read_text())["port"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HonkError(
            "What is known of this service is damaged: answer in its thread, and Honk builds it again."
        ) from error


async def respond(service: Service, port: int, version: str, scope: Scope, receive: Receive, send: Send) -> bool:
    """Hand a request on as soon as the service listens; true if one of its pages was shown.

    Raises `HonkError` where it cannot be started, or does not answer any more.
    """
    page = (
        scope["type"] == "http" and scope["method"] == "GET" and "text/html" in Headers(scope=scope).get("accept", "")
    )
    address = await service.address(_PAGE_PATIENCE if page else _PATIENCE)
    if address is None:
        words = f"Version {version} is starting. {service.last_words}".strip()
        await plain(503, words, headers={"refresh": "1", "retry-after": "2"})(scope, receive, send)
        return False
    if scope["type"] == "websocket":
        await forward_websocket(address, port, scope, receive, send)
        return False
    shown = False

    async def seen(message: Message) -> None:
        nonlocal shown
        if message["type"] == "http.response.start":
            html = any(name == b"content-type" and b"html" in value for name, value in message["headers"])
            shown = html and message["status"] < 400
        await send(message)

    try:
        await forward(address, port, scope, receive, seen)
    except Unreachable as error:
        raise HonkError(f"The service does not answer. It last said: {service.last_words or 'nothing'}") from error
    return shown


async def refuse(sentence: str, thread: str, scope: Scope, receive: Receive, send: Send) -> None:
    """Say why there is nothing to see."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1013})
    else:
        told = f"{sentence} Load this page again to try once more."
        await plain(503, told, thread=thread, headers={"retry-after": "10"})(scope, receive, send)
