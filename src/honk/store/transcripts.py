"""What agents remember of their work, written as it goes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, insert, select

from honk.store import tables
from honk.store.database import Database

_MOST = 256 * 1024 * 1024
"""Characters of one task: what an agent writes is not ours to let grow without end."""
_ROWS = tables.transcripts


class Transcripts(Database):
    """The agents' own records in their order, as they were: an agent must remember truly, so nothing is masked, and
    nobody is shown them."""

    def transcript(self, task_id: str) -> KeptTranscript:
        """What the task's agent remembers."""
        return KeptTranscript(self, task_id)

    def append_entries(self, task_id: str, part: str, entries: Sequence[Mapping[str, Any]]) -> None:
        """See `model.Transcript.append`."""
        mine = _ROWS.c.task_id == task_id
        with self._write() as connection:
            size = connection.execute(select(func.sum(func.length(_ROWS.c.entry))).where(mine)).scalar() or 0
            given = [uuid for entry in entries if (uuid := _uuid(entry))]
            here = select(_ROWS.c.uuid).where(mine, _ROWS.c.part == part, _ROWS.c.uuid.in_(given))
            known = set(connection.execute(here).scalars())
            for entry in entries:
                # Escaped, because a database's text cannot say all that JSON can.
                uuid, text = _uuid(entry), json.dumps(entry)
                size += len(text)
                if uuid in known or size > _MOST:
                    continue
                known |= {uuid} if uuid else set()
                connection.execute(insert(_ROWS).values(task_id=task_id, part=part, uuid=uuid, entry=text))

    def entries(self, task_id: str) -> dict[str, list[dict[str, Any]]]:
        """See `model.Transcript.read`."""
        wanted = select(_ROWS.c.part, _ROWS.c.entry).where(_ROWS.c.task_id == task_id).order_by(_ROWS.c.position)
        parts: dict[str, list[dict[str, Any]]] = {}
        with self._read() as connection:
            for part, entry in connection.execute(wanted):
                parts.setdefault(part, []).append(json.loads(entry))
        return parts

    def remove_transcript(self, task_id: str) -> None:
        """Forget what the task's agent remembers."""
        with self._write() as connection:
            connection.execute(delete(_ROWS).where(_ROWS.c.task_id == task_id))


@dataclass(frozen=True)
class KeptTranscript:
    """Implements `model.Transcript` for one task."""

    store: Transcripts
    task_id: str

    def append(self, part: str, entries: Sequence[Mapping[str, Any]]) -> None:
        """See `model.Transcript.append`."""
        self.store.append_entries(self.task_id, part, entries)

    def read(self) -> dict[str, list[dict[str, Any]]]:
        """See `model.Transcript.read`."""
        return self.store.entries(self.task_id)


def _uuid(entry: Mapping[str, Any]) -> str | None:
    uuid = entry.get("uuid")
    return uuid if isinstance(uuid, str) and uuid.isprintable() and uuid else None
