"""How a web preview looks on a phone: Chromium in a sandbox without network, driven by Playwright, with the built files
and nothing else."""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from honk.model import Artifact, Checkout, Command, HonkError, Limits
from honk.ship.comparison import Compared, compare

log = logging.getLogger("honk.ship")

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_SCRIPT = Path(__file__).with_name("picture.js")
_MAX_BYTES = 5_000_000
_RESTED = 86_400.0
_SERVE = """\
python3 -I -m http.server 8000 --bind 127.0.0.1 --directory /site >/dev/null 2>&1 &
for attempt in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  python3 -I -c "import socket; socket.create_connection(('127.0.0.1', 8000))" 2>/dev/null && break
  sleep 0.1
done
"""
_PICTURE = 'exec /playwright/node /picture.js "$1" http://127.0.0.1:8000/ /screenshot/page.png'


def browser() -> str | None:
    """The program that pictures pages, if it is here."""
    return next((name for name in _BROWSERS if shutil.which(name)), None)


def driver() -> Path | None:
    """The folder with what drives the browser, Playwright's node and package; it comes with the extra `pictures`."""
    found = importlib.util.find_spec("playwright")
    folder = Path(found.origin).parent / "driver" if found and found.origin else None
    return folder if folder and (folder / "node").is_file() else None


class Screenshots:
    """Pictures in `home`/screenshots, by the content they show."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "screenshots"

    def path(self, sha256: str) -> Path | None:
        """The picture of an artifact's first page, if one was taken."""
        path = self._folder / f"{sha256}.png"
        return path if path.is_file() else None

    def collect(self, kept: Collection[str]) -> None:
        """Remove the pictures of artifacts that are not kept any more, by their SHA-256; not those made today, whose
        artifact may still be on its way into the store."""
        for path in self._folder.glob("*.png"):
            if path.stem.rpartition("-")[2] not in kept and time.time() - path.stat().st_mtime > _RESTED:
                path.unlink(missing_ok=True)

    def comparison(self, before: str, after: str) -> Path | None:
        """The two pictures beside each other, if they were found to differ."""
        path = self._folder / f"{before}-{after}.png"
        return path if path.is_file() else None

    def compare(self, before: str, after: str) -> Compared | None:
        """See `flow.ports.Screenshots.compare`."""
        pictures = self.path(before), self.path(after)
        if pictures[0] is None or pictures[1] is None:
            return None
        with tempfile.TemporaryDirectory(dir=self._folder, prefix=".new-") as scratch:
            draft = Path(scratch) / "beside.png"
            try:
                found = compare(pictures[0], pictures[1], draft)
            except ValueError as error:
                log.info("no comparison: %s", error)
                return None
            if draft.exists():
                draft.rename(self._folder / f"{before}-{after}.png")
        return found

    def take(self, checkout: Checkout, artifact: Artifact, folder: Path) -> bool:
        """Picture what was built, where it is a web page and this machine has Chromium and Playwright; True if there
        is a picture now.

        What the page runs, it runs in a sandbox of the checkout's own kind, which reaches nothing.
        """
        if not (folder / "index.html").is_file():
            return False
        return self._taken(checkout, artifact, Command(("sh", "-c", _SERVE + _PICTURE), readable={"/site": folder}))

    def take_running(self, checkout: Checkout, artifact: Artifact, service: Path) -> bool:
        """See `flow.ports.Screenshots.take_running`."""
        return self._taken(checkout, artifact, Command(("sh", "-c", _PICTURE), reaches={8000: service}))

    def _taken(self, checkout: Checkout, artifact: Artifact, command: Command) -> bool:
        program, drives = browser(), driver()
        if program is None or drives is None:
            return False
        if self.path(artifact.sha256):
            return True
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._folder, prefix=".new-") as scratch:
            whole = replace(
                command,
                argv=(*command.argv, "sh", shutil.which(program) or program),
                readable={**command.readable, "/playwright": drives, "/picture.js": _SCRIPT},
                writable={"/screenshot": Path(scratch)},
                reads_only=True,
                limits=Limits(seconds=30.0, output=1 << 16),
            )
            try:
                done = checkout.run(whole)
            except HonkError as error:
                log.info("no screenshot of %s: %s", artifact.kind, error)
                return False
            data = _read(Path(scratch) / "page.png")
            if data is None:
                log.info("no screenshot of %s: %s", artifact.kind, done.output[-300:])
                return False
            draft = Path(scratch) / "ready.png"
            draft.unlink(missing_ok=True)
            draft.write_bytes(data)
            draft.rename(self._folder / f"{artifact.sha256}.png")
        return True


def _read(path: Path) -> bytes | None:
    """A picture that a sandbox made: a regular file of bounded size that begins as a PNG does."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_size > _MAX_BYTES:
            return None
        data = file.read(_MAX_BYTES)
    return data if data.startswith(b"\x89PNG\r\n\x1a\n") else None
