"""Which previews there are, and what became of each."""

from __future__ import annotations

import base64
import logging
import secrets
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio.to_thread
from sqlalchemy import RowMapping
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from honk.model import Artifact, HonkError, Trial
from honk.repository_file import SERVICE
from honk.settings import Settings
from honk.ship.previews.doors import asking, by_host, by_port, host_name, nothing_here
from honk.ship.previews.pages import plain
from honk.ship.previews.services import Services, Start, port_of, refuse, respond
from honk.ship.previews.site import Site, asks_for_page, open_site
from honk.ship.previews.site import respond as show
from honk.ship.serving import Servers
from honk.ship.visitors import ASKED, opened_by
from honk.store import Store

log = logging.getLogger("honk.ship")


@dataclass
class _Preview:
    """One version that can be visited. `site` is read at the first visit."""

    task_id: str
    artifact: Artifact
    offered_at: datetime
    site: Site | None = None
    reading: threading.Lock = field(default_factory=threading.Lock)


class PreviewServer:
    """Implements the flow's `Previews`.

    Where previews have names (`Settings.previews_under`), `in_front_of` puts them before Honk's own pages. Elsewhere
    each has a small server at a port of its own, all in one background thread; it keeps its port over restarts where
    the port is still free. The address of a void or ended preview goes on to say what became of it.
    """

    def __init__(
        self,
        store: Store,
        path: Callable[[Artifact], Path],
        settings: Settings,
        tried: Callable[[str, str, str, Trial], None] = lambda *_: None,
        start: Start | None = None,
    ) -> None:
        """`tried` is told of the task, commit, kind and device when a person opens a preview; `start` runs those that
        are services."""
        self._tried = tried
        self._services = Services(start, settings.preview_services) if start else None
        self._store = store
        self._path = path
        self._settings = settings
        self._previews: dict[str, _Preview] = {}
        self._finding = threading.Lock()
        self._ports: dict[str, int] = {}
        self._servers = Servers("previews")

    def restore(self) -> None:
        """Serve again what was offered when the server last ran, and what was built while none ran."""
        now = datetime.now(UTC)
        for row in self._store.artifact_rows():
            if row["token"] is None:
                young = row["built_at"] and datetime.fromisoformat(row["built_at"]) + self._lifetime > now
                if (young or row["port"]) and not row["void"] and not row["removed"]:
                    with suppress(HonkError, OSError):
                        self.serve(row["task_id"], _artifact(row))
            elif self._settings.previews_under is None and _time(row) + 2 * self._lifetime > now:
                port = self._listen(row["token"], row["port"])
                self._store.set_port(row["task_id"], row["commit"], row["kind"], port)

    def serve(self, task_id: str, artifact: Artifact) -> None:
        """See `Previews.serve`. Artifacts that are neither a service nor pages with an `index.html` are left alone."""
        if artifact.kind != SERVICE and not (self._path(artifact) / "index.html").is_file():
            return
        row = self._store.artifact_row(task_id, artifact.commit, artifact.kind)
        token = (row["token"] if row else None) or base64.b32encode(secrets.token_bytes(16)).decode()[:26].lower()
        by_name = self._settings.previews_under is not None
        port = None if by_name else self._listen(token, row["port"] if row else None)
        self._store.offer(task_id, artifact.commit, artifact.kind, token, port)
        self.withdraw(task_id)

    def withdraw(self, task_id: str) -> None:
        """See `Previews.withdraw`."""
        with self._finding:
            for token in [token for token, preview in self._previews.items() if preview.task_id == task_id]:
                del self._previews[token]
        if self._services:
            self._services.end(task_id)

    def close(self) -> None:
        """Stop serving everything."""
        if self._services:
            self._services.close()
        self._servers.close()

    def in_front_of(self, inner: ASGIApp) -> ASGIApp:
        """Honk's own pages, with the previews at their host names."""
        domain = self._settings.previews_under
        if domain is None:
            return inner
        return by_host(inner, domain, host_name(self._settings.url.partition("//")[2]), self.visit)

    async def visit(self, token: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or a WebSocket, to the preview with that token."""
        preview = self._previews.get(token) or await anyio.to_thread.run_sync(self._find, token)
        running = preview is not None and preview.artifact.kind == SERVICE
        if scope["type"] == "websocket" and not running:
            await send({"type": "websocket.close", "code": 1008})
            return
        if preview is None:
            await nothing_here()(scope, receive, send)
            return
        thread = f"{self._settings.url}/tasks/{preview.task_id}"
        short = preview.artifact.commit[:8]
        if preview.artifact.void:
            told = f"Version {short} is void: a newer one has taken its place, or its task was cancelled."
            await plain(410, told, thread=thread)(scope, receive, send)
        elif preview.offered_at + self._lifetime < datetime.now(UTC):
            told = f"The preview of version {short} has ended."
            await plain(410, f"{told} {await self._remedy(preview)}", thread=thread)(scope, receive, send)
        elif preview.artifact.kind == SERVICE and self._services:
            await self._visit_service(self._services, token, preview, scope, receive, send)
        else:
            try:
                site = preview.site
                if site is None:
                    site = await anyio.to_thread.run_sync(self._open, preview)
            except (HonkError, OSError) as error:
                log.info("no preview of %s: %s", preview.artifact.sha256, error)
                told = f"What was built of version {short} is not to be had any more."
                await plain(410, f"{told} {await self._remedy(preview)}", thread=thread)(scope, receive, send)
            else:
                trial = opened_by(Headers(scope=scope)) if asks_for_page(site, scope) else None
                await show(site, scope, receive, asking(send, ASKED) if trial else send)
                if trial:
                    await anyio.to_thread.run_sync(self._note, preview, trial)

    async def _visit_service(
        self, services: Services, token: str, preview: _Preview, scope: Scope, receive: Receive, send: Send
    ) -> None:
        artifact = preview.artifact
        thread = f"{self._settings.url}/tasks/{preview.task_id}"
        trial = opened_by(Headers(scope=scope))
        try:
            folder = await anyio.to_thread.run_sync(self._path, artifact)
            service = services.of(token, preview.task_id, artifact.commit)
            with service.visit():
                answer = asking(send, ASKED) if trial else send
                shown = await respond(service, port_of(folder), artifact.commit[:8], scope, receive, answer)
        except HonkError as error:
            await refuse(str(error), thread, scope, receive, send)
        else:
            if trial and shown:
                await anyio.to_thread.run_sync(self._note, preview, trial)

    def _note(self, preview: _Preview, trial: Trial) -> None:
        artifact = preview.artifact
        try:
            self._tried(preview.task_id, artifact.commit, artifact.kind, trial)
        except Exception:
            # The page was shown; that it was is told the next time.
            log.warning("a trial of %s could not be put down", artifact.sha256, exc_info=True)

    async def _remedy(self, preview: _Preview) -> str:
        task = await anyio.to_thread.run_sync(self._store.find_task, preview.task_id)
        if task and task.merged_sha:
            return "Its change was merged."
        return "Answer in its thread, and Honk builds it again."

    @property
    def _lifetime(self) -> timedelta:
        return timedelta(days=self._settings.preview_days)

    def _find(self, token: str) -> _Preview | None:
        with self._finding:
            row = self._store.offered(token)
            if row is None:
                return None
            found = _Preview(row["task_id"], replace(_artifact(row), void=row["void"]), _time(row))
            return self._previews.setdefault(token, found)

    def _open(self, preview: _Preview) -> Site:
        artifact = preview.artifact
        with preview.reading:
            site = preview.site or open_site(self._path(artifact), artifact.sha256[:32], preview.offered_at)
            preview.site = site
        return site

    def _listen(self, token: str, wanted: int | None) -> int:
        """Serve at a port of its own, which is returned."""
        if token not in self._ports:
            listener = _free_port(self._settings.host, wanted)
            port = listener.getsockname()[1]
            application = by_port(token, port, self._settings.preview_days, self.visit)
            self._servers.add(application, listener)
            self._ports[token] = port
        return self._ports[token]


def _artifact(row: RowMapping) -> Artifact:
    return Artifact(row["kind"], row["commit"], row["sha256"], row["size"])


def _time(row: RowMapping) -> datetime:
    return datetime.fromisoformat(row["offered_at"])


def _free_port(host: str, wanted: int | None) -> socket.socket:
    """A listening socket, at the port that is wanted if it is free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in (wanted, 0) if wanted else (0,):
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError:
            listener.close()
            if port == 0:
                raise
            continue
        return listener
    raise OSError("no port is free for a preview")
