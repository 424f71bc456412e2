"""Links to install pages: signed, and good for a time. Phones open them from a chat, and iOS fetches without cookies.

A link carries what it is for, when it ends, and an HMAC (RFC 2104) of both with this installation's own key; whoever
has it may install, and nothing else. It is the same whenever it is made, so that what shows it need not change.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import RowMapping

from honk.settings import Settings

_SHORT = 12
"""Characters of a commit in a link; the whole one is signed."""
_SEAL = 16
"""Bytes of the HMAC in a link: 128 bits, more than anybody guesses."""


@dataclass(frozen=True)
class Opened:
    """What the address of a link says, not looked into yet. `until` is in seconds since 1970."""

    task_id: str
    commit: str
    kind: str
    until: int
    seal: str

    def means(self, row: RowMapping) -> bool:
        """Whether it is for that row of the artifacts."""
        return bool(row["kind"] == self.kind and row["commit"][:_SHORT] == self.commit)


@dataclass(frozen=True)
class InstallLinks:
    """Makes links and looks at them. Without a key, as where no server ever ran, there are none."""

    url: str
    """Honk's own address."""
    lifetime: timedelta
    key: bytes | None

    def of(self, row: RowMapping) -> str | None:
        """The link to the install page of an artifact, by its row."""
        offered = row["offered_at"] or row["built_at"]
        if self.key is None or offered is None:
            return None
        until = int((datetime.fromisoformat(offered) + self.lifetime).timestamp())
        return f"{self.address(row)}/{until}-{self._seal(row, until)}"

    def address(self, row: RowMapping) -> str:
        """What all links to an artifact begin with."""
        return f"{self.url}/install/{row['task_id']}/{row['commit'][:_SHORT]}/{row['kind']}"

    def fits(self, opened: Opened, row: RowMapping) -> bool:
        """Whether Honk made the link for that artifact."""
        if self.key is None or not opened.means(row):
            return False
        return hmac.compare_digest(self._seal(row, opened.until).encode(), opened.seal.encode())

    def _seal(self, row: RowMapping, until: int) -> str:
        told = "\0".join(("install", row["task_id"], row["commit"], row["kind"], str(until)))
        made = hmac.new(self.key or b"", told.encode(), hashlib.sha256).digest()[:_SEAL]
        return base64.urlsafe_b64encode(made).decode().rstrip("=")


def install_links(settings: Settings) -> InstallLinks:
    """The links of the settings' installation."""
    try:
        key = _key_file(settings.home).read_bytes() or None
    except OSError:
        key = None
    return InstallLinks(settings.url, timedelta(days=settings.preview_days), key)


def make_install_key(home: Path) -> None:
    """Make the key that signs, unless there is one: at once or not at all, readable by its owner only."""
    path = _key_file(home)
    if path.exists():
        return
    draft = path.with_name(f".install-{os.getpid()}-{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(32))
        # Unlike a rename, this leaves alone what another process has made meanwhile.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _key_file(home: Path) -> Path:
    return home / "install.key"
