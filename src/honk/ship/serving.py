"""Small servers beside Honk's own, all in one background thread."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import TYPE_CHECKING

from starlette.types import ASGIApp

if TYPE_CHECKING:
    from uvicorn import Server


class Servers:
    """Starts and stops them. Safe to use from many threads."""

    def __init__(self, name: str) -> None:
        self._servers: list[Server] = []
        self._serving: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name=name, daemon=True).start()

    def add(self, application: ASGIApp, listener: socket.socket) -> None:
        """Serve the application at a socket that listens, until `close`."""
        asyncio.run_coroutine_threadsafe(self._start(application, listener), self._loop).result(10)

    def close(self) -> None:
        """Stop all."""
        for server in self._servers:
            server.should_exit = True
        asyncio.run_coroutine_threadsafe(self._ended(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _start(self, application: ASGIApp, listener: socket.socket) -> None:
        import uvicorn

        server = uvicorn.Server(
            uvicorn.Config(
                application, log_level="error", lifespan="off", timeout_graceful_shutdown=1, server_header=False
            )
        )
        self._servers.append(server)
        self._serving.add(self._loop.create_task(server.serve(sockets=[listener])))

    async def _ended(self) -> None:
        await asyncio.gather(*self._serving, return_exceptions=True)
