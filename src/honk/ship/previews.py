"""Web artifacts as pages, each at an origin of its own (a port): no preview can read another, or Honk's pages."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from honk.model import Artifact
from honk.store import Store

if TYPE_CHECKING:
    from uvicorn import Server


@dataclass
class _Open:
    server: Server
    port: int


class PreviewServer:
    """Implements the flow's `Previews`: one small static server a preview, all in one background thread.

    A preview keeps its port over restarts where the port is still free.
    """

    def __init__(self, store: Store, path: Callable[[Artifact], Path], host: str) -> None:
        self._store = store
        self._path = path
        self._host = host
        self._open: dict[tuple[str, str, str], _Open] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="previews", daemon=True)
        self._thread.start()

    def restore(self) -> None:
        """Serve again what was offered when the server last ran."""
        for row in self._store.artifact_rows():
            if not row["void"]:
                artifact = Artifact(row["kind"], row["commit"], row["sha256"], row["size"])
                self._serve(row["task_id"], artifact, row["port"])

    def serve(self, task_id: str, artifact: Artifact) -> None:
        """See `Previews.serve`. Artifacts without an `index.html` are no pages and are left alone."""
        self._serve(task_id, artifact, None)

    def _serve(self, task_id: str, artifact: Artifact, wanted: int | None) -> None:
        folder = self._path(artifact)
        key = (task_id, artifact.commit, artifact.kind)
        if key in self._open or not (folder / "index.html").is_file():
            return
        listener = self._listen(wanted)
        port = listener.getsockname()[1]
        asyncio.run_coroutine_threadsafe(self._start(key, folder, listener, port), self._loop).result(10)
        self._store.set_port(task_id, artifact.commit, artifact.kind, port)

    def _listen(self, wanted: int | None) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        for port in (wanted, 0) if wanted else (0,):
            listener = socket.socket(family, socket.SOCK_STREAM)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((self._host, port))
            except OSError:
                listener.close()
                if port == 0:
                    raise
                continue
            return listener
        raise OSError("no port is free for a preview")

    async def _start(self, key: tuple[str, str, str], folder: Path, listener: socket.socket, port: int) -> None:
        import uvicorn
        from starlette.applications import Starlette
        from starlette.responses import FileResponse, Response
        from starlette.staticfiles import StaticFiles
        from starlette.types import Receive, Scope, Send

        files = StaticFiles(directory=folder, html=True, follow_symlink=False)

        async def page(scope: Scope, receive: Receive, send: Send) -> None:
            from starlette.exceptions import HTTPException

            try:
                response: Response = await files.get_response(files.get_path(scope), scope)
            except HTTPException as error:
                wants_page = "." not in scope["path"].rpartition("/")[2]
                if error.status_code != 404 or not wants_page:
                    response = Response(status_code=error.status_code)
                else:
                    response = FileResponse(folder / "index.html")
            response.headers["cache-control"] = "no-cache"
            response.headers["x-robots-tag"] = "noindex"
            response.headers["x-content-type-options"] = "nosniff"
            await response(scope, receive, send)

        application = Starlette()
        application.mount("/", page)
        server = uvicorn.Server(
            uvicorn.Config(application, log_level="error", lifespan="off", timeout_graceful_shutdown=1)
        )
        self._open[key] = _Open(server, port)
        self._loop.create_task(server.serve(sockets=[listener]))

    def withdraw(self, task_id: str) -> None:
        """See `Previews.withdraw`."""
        offered = {
            (row["task_id"], row["commit"], row["kind"])
            for row in self._store.artifact_rows(task_id)
            if not row["void"]
        }
        for key in [key for key in self._open if key[0] == task_id and key not in offered]:
            self._open.pop(key).server.should_exit = True

    def close(self) -> None:
        """Stop serving everything."""
        for opened in self._open.values():
            opened.server.should_exit = True
        self._loop.call_soon_threadsafe(self._loop.stop)
