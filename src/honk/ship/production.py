"""Production by Honk itself: what a repository has released, at the address it names, while Honk's server runs.

`release.json` in the repository's folder under `production` says which commit that is, and of each earlier one what it
was: pages, which are a built artifact's files, or a service, which runs. A request is answered by one release; one
that comes after the switch is answered by the new one. Nothing is switched to before it can answer.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import anyio.to_thread
from starlette.types import ASGIApp, Receive, Scope, Send

from honk.model import HonkError
from honk.ship.previews.pages import away
from honk.ship.previews.site import Site, open_site, respond
from honk.ship.serving import Servers
from honk.ship.versions import Version

_FILE = "release.json"


class Release(Protocol):
    """One commit's pages or service."""

    @property
    def trouble(self) -> str | None: ...

    def keep(self, on_output: Callable[[str], None] = ...) -> Future[None]: ...

    def enter_production(self) -> None: ...

    def retire(self) -> None: ...

    def discard(self, *, at_once: bool = False) -> threading.Thread | None: ...

    async def respond(self, scope: Scope, receive: Receive, send: Send) -> bool: ...


class Pages:
    """A built artifact's files: there for as long as they are kept."""

    trouble = None

    def __init__(self, find: Callable[[], Path], sha256: str) -> None:
        self._find = find
        self._sha256 = sha256
        self._site: Site | None = None

    def keep(self, on_output: Callable[[str], None] = lambda _: None) -> Future[None]:
        """Done if they are to be had."""
        found: Future[None] = Future()
        try:
            self._find()
            found.set_result(None)
        except HonkError as error:
            found.set_exception(error)
        return found

    def enter_production(self) -> None:
        """Nothing to do."""

    def retire(self) -> None:
        """Nothing to do."""

    def discard(self, *, at_once: bool = False) -> None:
        """Nothing to do."""

    async def respond(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Answer from the files; false if they are gone."""
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return True
        try:
            site = await anyio.to_thread.run_sync(self._open) if self._site is None else self._site
        except (HonkError, OSError, ValueError):
            return False
        await respond(site, scope, receive, send)
        return True

    def _open(self) -> Site:
        self._site = open_site(self._find(), self._sha256[:32], datetime.now(UTC))
        return self._site


class Production:
    """What Honk itself serves of all repositories. The releases of one repository come one after the other."""

    def __init__(self, production: Path, find: Callable[[str], Path], version: Callable[[Path, str], Version]) -> None:
        """`production` has a folder for each repository; `find` gives the folder of an artifact by its SHA-256,
        `version` the service of a repository's commit."""
        self._production = production
        self._find = find
        self._version = version
        self._lock = threading.Lock()
        self._servers: Servers | None = None
        self._listening: dict[str, Path] = {}
        self._current: dict[Path, Release] = {}
        self._kept: dict[Path, dict[str, Release]] = {}

    def start(self) -> list[str]:
        """Serve what was released before; what could not be, in sentences. Services come to listen by and by."""
        self._servers = Servers("production")
        troubles = []
        for file in sorted(self._production.glob(f"*/{_FILE}")):
            folder = file.parent
            try:
                known = _read(folder)
                self._listen(folder, str(known["releases"][known["commit"]]["listen"]))
                current = self._of(folder, known["commit"], known["releases"][known["commit"]]["sha256"])
            except (HonkError, OSError, ValueError, KeyError, TypeError) as error:
                troubles.append(f"What {folder.name} has released is not served: {error}")
                continue
            self._current[folder] = current
            current.enter_production()
            current.keep()
        return troubles

    def close(self) -> None:
        """Stop serving; services are asked to end, and are gone when this returns."""
        if self._servers:
            self._servers.close()
        with self._lock:
            kept = [release for releases in self._kept.values() for release in releases.values()]
        for thread in [release.discard(at_once=True) for release in kept]:
            if thread:
                thread.join()

    def release(
        self,
        folder: Path,
        commit: str,
        listen: str,
        *,
        sha256: str | None,
        seconds: float,
        on_output: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Make a commit be what is served for the repository of that folder: the pages of the artifact with that
        SHA-256, or its service if there is none.

        Raises `HonkError` if it cannot be served there or does not answer in so many seconds; nothing is switched then.
        """
        if self._servers is None:
            raise HonkError("sites and services are served by `honk up`, which does not run here.")
        self._listen(folder, listen)
        release = self._of(folder, commit, sha256)
        try:
            release.keep(on_output).result(seconds)
        except (HonkError, TimeoutError) as error:
            if release is not self._current.get(folder):
                self._forget(folder, commit)
            if isinstance(error, TimeoutError):
                raise HonkError(f"The service was not up after {seconds:.0f} s.") from error
            raise
        releases = _read(folder)["releases"] if (folder / _FILE).exists() else {}
        releases[commit] = {"listen": listen, "sha256": sha256}
        _write(folder, {"commit": commit, "releases": releases})
        self._switch(folder, release)

    def back(self, folder: Path, commit: str, seconds: float) -> None:
        """Serve the release of an earlier commit again. Raises `HonkError` if there is none, or as `release` does."""
        known = _read(folder)["releases"].get(commit) if (folder / _FILE).exists() else None
        if known is None:
            raise HonkError(f"there is no release of {commit[:8]} to go back to.")
        self.release(folder, commit, known["listen"], sha256=known["sha256"], seconds=seconds)
        for other in [other for other in self._kept[folder] if other != commit]:
            self._forget(folder, other)

    def settled(self, folder: Path, seconds: float) -> None:
        """Return when what is released answers. Raises `HonkError` if it does not come to."""
        current = self._current.get(folder)
        if current:
            try:
                current.keep().result(seconds)
            except TimeoutError as error:
                raise HonkError(f"The service was not up after {seconds:.0f} s.") from error

    def trouble(self, folder: Path) -> str | None:
        """How what is released now has ended, if it ever has since."""
        current = self._current.get(folder)
        return current.trouble if current else None

    def _of(self, folder: Path, commit: str, sha256: str | None) -> Release:
        with self._lock:
            kept = self._kept.setdefault(folder, {})
            if commit not in kept:
                kept[commit] = Pages(partial(self._find, sha256), sha256) if sha256 else self._version(folder, commit)
            return kept[commit]

    def _switch(self, folder: Path, release: Release) -> None:
        before = self._current.get(folder)
        if before is release:
            return
        release.enter_production()
        self._current[folder] = release
        if before:
            before.retire()
        for commit, other in list(self._kept[folder].items()):
            if other not in (release, before):
                self._forget(folder, commit)

    def _forget(self, folder: Path, commit: str) -> None:
        with self._lock:
            release = self._kept[folder].pop(commit)
        release.discard()

    def _listen(self, folder: Path, address: str) -> None:
        with self._lock:
            taken = self._listening.get(address)
            if taken is not None and taken != folder:
                raise HonkError(f"{address} serves {taken.name} already: name another `listen`.")
            if taken is None and self._servers:
                self._servers.add(self._application(folder), _bound(address))
                self._listening[address] = folder

    def _application(self, folder: Path) -> ASGIApp:
        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            while release := self._current.get(folder):
                if await release.respond(scope, receive, send):
                    return
                # It may have left between the two lines above.
                if release is self._current.get(folder):
                    break
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1013})
                return
            await away(503, "Nothing is served here at the moment.", scope)(scope, receive, send)

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


def _read(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / _FILE).read_text())
    return found


def _write(folder: Path, content: dict[str, Any]) -> None:
    draft = folder / f".{_FILE}-{os.getpid()}"
    with draft.open("w") as opened:
        json.dump(content, opened)
        opened.flush()
        os.fsync(opened.fileno())
    draft.rename(folder / _FILE)
