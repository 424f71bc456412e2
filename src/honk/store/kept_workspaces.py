"""Archives of workspaces, where every machine on the same database finds them.

A machine that works on a task holds its workspace until it has put it down here. Whoever finds that another one holds
it must not go on from what is kept: that one has it newer.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from honk.model import HonkError
from honk.store import tables
from honk.store.database import Database, now

_CHUNK = 4 * 1024 * 1024
_ROWS = tables.kept_workspaces
_CHUNKS = tables.kept_chunks


@dataclass(frozen=True)
class Kept:
    """What is known of a task's workspace. `version` is None until it is first put down."""

    holder: str | None
    version: str | None
    sha256: str | None
    facts: Mapping[str, Any]


class KeptWorkspaces(Database):
    """What tasks have beyond their commits, by task."""

    def find(self, task_id: str) -> Kept | None:
        """What is known of the task's workspace."""
        wanted = select(_ROWS.c.holder, _ROWS.c.version, _ROWS.c.sha256, _ROWS.c.facts)
        with self._read() as connection:
            row = connection.execute(wanted.where(_ROWS.c.task_id == task_id)).first()
        return Kept(row.holder, row.version, row.sha256, row.facts or {}) if row else None

    def claim(self, task_id: str, machine: str) -> str:
        """Make this machine the holder unless another one is; who it is now."""
        known = self.find(task_id)
        if known is not None and known.holder is not None:
            return known.holder
        free = (_ROWS.c.task_id == task_id) & or_(_ROWS.c.holder.is_(None), _ROWS.c.holder == machine)
        with self._write() as connection:
            if connection.execute(update(_ROWS).where(free).values(holder=machine, at=now())).rowcount:
                return machine
            try:
                with connection.begin_nested():
                    connection.execute(insert(_ROWS).values(task_id=task_id, holder=machine, at=now()))
            except IntegrityError:
                holder = connection.execute(select(_ROWS.c.holder).where(_ROWS.c.task_id == task_id)).scalar()
                return holder or machine
        return machine

    def keep(self, task_id: str, machine: str, archive: Path, facts: Mapping[str, Any]) -> str:
        """Put an archive down in place of the one before, and hold the workspace no longer; its version.

        Raises `HonkError` if the machine does not hold it.
        """
        version, digest = secrets.token_hex(16), hashlib.sha256()
        with archive.open("rb") as file:
            for number, data in enumerate(iter(lambda: file.read(_CHUNK), b"")):
                digest.update(data)
                # Each in a transaction of its own, so that nobody waits long for theirs.
                with self._write() as connection:
                    connection.execute(
                        insert(_CHUNKS).values(version=version, number=number, task_id=task_id, data=data)
                    )
        mine = (_ROWS.c.task_id == task_id) & (_ROWS.c.holder == machine)
        values = {"holder": None, "version": version, "sha256": digest.hexdigest(), "facts": dict(facts), "at": now()}
        with self._write() as connection:
            if not connection.execute(update(_ROWS).where(mine).values(values)).rowcount:
                connection.execute(delete(_CHUNKS).where(_CHUNKS.c.version == version))
                raise HonkError(f"The workspace of task {task_id} is not this machine's to keep.")
            old = (_CHUNKS.c.task_id == task_id) & (_CHUNKS.c.version != version)
            connection.execute(delete(_CHUNKS).where(old))
        return version

    def fetch(self, task_id: str, kept: Kept, archive: Path) -> None:
        """Write the archive to a new file. Raises `HonkError` if it is not there whole any more."""
        digest, number = hashlib.sha256(), 0
        with archive.open("wb") as file:
            while (data := self._chunk(kept.version, number)) is not None:
                digest.update(data)
                file.write(data)
                number += 1
        if digest.hexdigest() != kept.sha256:
            raise HonkError(f"What was kept of the workspace of task {task_id} is damaged: start the task anew.")

    def _chunk(self, version: str | None, number: int) -> bytes | None:
        wanted = select(_CHUNKS.c.data).where(_CHUNKS.c.version == version, _CHUNKS.c.number == number)
        with self._read() as connection:
            data = connection.execute(wanted).scalar()
        return None if data is None else bytes(data)

    def remove(self, task_id: str) -> None:
        """Keep nothing of the task's workspace any longer."""
        with self._write() as connection:
            connection.execute(delete(_ROWS).where(_ROWS.c.task_id == task_id))
            connection.execute(delete(_CHUNKS).where(_CHUNKS.c.task_id == task_id))

    def tasks(self) -> list[str]:
        """The tasks something is known of."""
        with self._read() as connection:
            return list(connection.execute(select(_ROWS.c.task_id)).scalars())
