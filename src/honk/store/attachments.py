"""Files that came with messages, kept by their content."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from honk.model import Attachment, UsageError

MAX_BYTES = 20_000_000
"""Of one file."""


class Attachments:
    """The files in `home`/attachments."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "attachments"

    def keep(self, name: str, media_type: str, data: bytes) -> Attachment:
        """Keep a file; again for the same content changes nothing. Raises `UsageError` for one over 20 MB."""
        safe = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(name).name).strip("-.")[-80:] or "file"
        if len(data) > MAX_BYTES:
            raise UsageError(f"{safe} is larger than {MAX_BYTES // 1_000_000} MB: send the part that matters.")
        sha256 = hashlib.sha256(data).hexdigest()
        target = self._folder / sha256
        if not target.exists():
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor, draft = tempfile.mkstemp(dir=self._folder)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            Path(draft).rename(target)
        return Attachment(safe, media_type, sha256, len(data))

    def folder(self, task_id: str) -> Path:
        """Where the task's files lie under their names."""
        folder = self._folder / "tasks" / task_id
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def hand_over(self, task_id: str, to: str) -> bool:
        """Make the empty folder of one task that of another, for whoever has it open; false if that one has files."""
        try:
            self.folder(task_id).rename(self.folder(to))
        except OSError:
            return False
        return True

    def drop(self, task_id: str) -> None:
        """Remove the folder of a task that never had files."""
        with suppress(OSError):
            self.folder(task_id).rmdir()

    def lay_out(self, task_id: str, attachments: Sequence[Attachment]) -> list[str]:
        """Put files into the task's folder and return their names there; doing it again changes nothing."""
        folder, names = self.folder(task_id), []
        for attachment in attachments:
            content = self._folder / attachment.sha256
            name = attachment.name
            if (folder / name).exists() and not (folder / name).samefile(content):
                name = f"{attachment.sha256[:8]}-{name}"
            if not (folder / name).exists():
                os.link(content, folder / name)
            names.append(name)
        return names
