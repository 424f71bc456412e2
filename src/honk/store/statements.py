"""Signed statements, by what they are about."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping, insert, select

from honk.store import tables
from honk.store.database import Database, now


@dataclass(frozen=True)
class StatementRow:
    """A statement as it was signed. `kind` is its predicate type."""

    key: str
    task_id: str
    kind: str
    at: str
    envelope: dict[str, Any]


class Statements(Database):
    """What is added here stays as it is."""

    def save_statement(
        self, key: str, task_id: str, kind: str, subjects: Iterable[str], envelope: Mapping[str, Any]
    ) -> bool:
        """Keep a statement under a key; False if there is one."""
        rows, about = tables.statements, tables.statement_subjects
        with self._write() as connection:
            if connection.execute(select(rows.c.key).where(rows.c.key == key)).first():
                return False
            connection.execute(
                insert(rows).values(key=key, task_id=task_id, kind=kind, at=now(), envelope=json.dumps(dict(envelope)))
            )
            connection.execute(insert(about), [{"digest": digest, "key": key} for digest in dict.fromkeys(subjects)])
            return True

    def has_statement(self, key: str) -> bool:
        rows = tables.statements
        with self._read() as connection:
            return connection.execute(select(rows.c.key).where(rows.c.key == key)).first() is not None

    def statements(self, task_id: str) -> list[StatementRow]:
        """The task's statements, the first first."""
        rows = tables.statements
        wanted = select(rows).where(rows.c.task_id == task_id).order_by(rows.c.at, rows.c.key)
        with self._read() as connection:
            return [_read(row) for row in connection.execute(wanted).mappings()]

    def statements_about(self, digest: str) -> list[StatementRow]:
        """Every statement about what has this digest, or whose digest begins so."""
        rows, about = tables.statements, tables.statement_subjects
        keys = select(about.c.key).where(about.c.digest.startswith(digest, autoescape=True))
        wanted = select(rows).where(rows.c.key.in_(keys)).order_by(rows.c.at, rows.c.key)
        with self._read() as connection:
            return [_read(row) for row in connection.execute(wanted).mappings()]


def _read(row: RowMapping) -> StatementRow:
    return StatementRow(row["key"], row["task_id"], row["kind"], row["at"], json.loads(row["envelope"]))
