"""Production for web pages that need nothing but their files: the release is switched in one move, earlier ones stay.

What is served is the built artifact itself. `release.json` in the repository's folder under `production` says which
one; a request that comes after it was replaced gets the new release, and none ever gets parts of two.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio.to_thread
from starlette.types import ASGIApp, Receive, Scope, Send

from honk.model import HonkError
from honk.ship.previews.pages import plain
from honk.ship.previews.site import Site, open_site, respond
from honk.ship.serving import Servers

_FILE = "release.json"


class SiteHost:
    """Serves each repository's current release at the address it names, while Honk's server runs."""

    def __init__(self, production: Path, find: Callable[[str], Path]) -> None:
        """`production` has a folder for each repository; `find` gives the folder of an artifact by its SHA-256."""
        self._production = production
        self._find = find
        self._lock = threading.Lock()
        self._servers: Servers | None = None
        self._listening: dict[str, Path] = {}

    def start(self) -> list[str]:
        """Serve what was released before; what could not be, in sentences."""
        self._servers = Servers("sites")
        troubles = []
        for file in sorted(self._production.glob(f"*/{_FILE}")):
            try:
                self._listen(file.parent, str(_read(file)["listen"]))
            except (HonkError, OSError, ValueError, KeyError) as error:
                troubles.append(f"The site of {file.parent.name} is not served: {error}")
        return troubles

    def close(self) -> None:
        """Stop serving."""
        if self._servers:
            self._servers.close()

    def release(self, folder: Path, commit: str, sha256: str, listen: str) -> None:
        """Make the artifact be what is served for the repository of that folder. Raises `HonkError` where it cannot be
        served at that address."""
        if self._servers is None:
            raise HonkError("a site is served by `honk up`, which does not run here.")
        self._find(sha256)
        self._listen(folder, listen)
        known = _read(folder / _FILE) if (folder / _FILE).exists() else {"releases": {}}
        releases = {**known["releases"], commit: sha256}
        _write(folder / _FILE, {"listen": listen, "commit": commit, "sha256": sha256, "releases": releases})

    def back(self, folder: Path, commit: str) -> None:
        """Serve the release of an earlier commit again. Raises `HonkError` if there is none."""
        known = _read(folder / _FILE) if (folder / _FILE).exists() else {"releases": {}}
        if commit not in known["releases"]:
            raise HonkError(f"there is no release of {commit[:8]} to go back to.")
        self.release(folder, commit, known["releases"][commit], known["listen"])

    def _listen(self, folder: Path, address: str) -> None:
        with self._lock:
            taken = self._listening.get(address)
            if taken is not None and taken != folder:
                raise HonkError(f"{address} serves the site of {taken.name} already: name another `listen`.")
            if taken is None and self._servers:
                self._servers.add(_application(folder, self._find), _bound(address))
                self._listening[address] = folder


def _application(folder: Path, find: Callable[[str], Path]) -> ASGIApp:
    opened: dict[str, Site] = {}

    def current() -> Site:
        release = _read(folder / _FILE)
        sha256 = str(release["sha256"])
        site = opened.get(sha256)
        if site is None:
            site = open_site(find(sha256), sha256[:32], datetime.now(UTC))
            opened.clear()
            opened[sha256] = site
        return site

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        try:
            site = await anyio.to_thread.run_sync(current)
        except (HonkError, OSError, ValueError, KeyError):
            await plain(503, "There is no release of this site.")(scope, receive, send)
            return
        await respond(site, scope, receive, send)

    return application


def _bound(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, int(port)))
    except (OSError, ValueError, OverflowError) as error:
        listener.close()
        raise HonkError(f"{address} cannot be served ({error}): name another `listen`, or free that port.") from error
    return listener


def _read(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def _write(file: Path, content: dict[str, Any]) -> None:
    draft = file.with_name(f".{file.name}-{os.getpid()}")
    with draft.open("w") as opened:
        json.dump(content, opened)
        opened.flush()
        os.fsync(opened.fileno())
    draft.rename(file)
