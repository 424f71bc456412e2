"""Hosts that people have let a repository's commands reach, besides those that honk.yaml names."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, insert, select

from honk.model import Person
from honk.store import tables
from honk.store.database import Database, now


@dataclass(frozen=True)
class Allowance:
    """One host at one port, and who allowed it."""

    repository: str
    host: str
    port: int
    person: str
    """Their id."""
    name: str
    at: datetime


class Allowances(Database):
    """The part of the store that keeps them."""

    def allow(self, repository: str, host: str, port: int, person: Person) -> bool:
        """Put one down; False if it was there."""
        rows = tables.allowances
        with self._write() as connection:
            place = (rows.c.repository == repository) & (rows.c.host == host) & (rows.c.port == port)
            if connection.execute(select(rows.c.host).where(place)).first():
                return False
            row = {"repository": repository, "host": host, "port": port, "person": person.id, "name": person.name}
            connection.execute(insert(rows).values(row | {"at": now()}))
            return True

    def revoke(self, repository: str, host: str, port: int) -> bool:
        """Take one back; False if there is none."""
        rows = tables.allowances
        place = (rows.c.repository == repository) & (rows.c.host == host) & (rows.c.port == port)
        with self._write() as connection:
            return connection.execute(delete(rows).where(place)).rowcount > 0

    def allowances(self, repository: str | None = None) -> list[Allowance]:
        """Those of one repository or of all, by name."""
        rows = tables.allowances
        wanted = select(rows).order_by(rows.c.repository, rows.c.host, rows.c.port)
        if repository is not None:
            wanted = wanted.where(rows.c.repository == repository)
        with self._read() as connection:
            return [
                Allowance(**dict(row) | {"at": datetime.fromisoformat(row["at"])})
                for row in connection.execute(wanted).mappings()
            ]

    def allowed(self, repository: str, host: str, port: int) -> bool:
        """Whether somebody has allowed exactly this."""
        return any((one.host, one.port) == (host, port) for one in self.allowances(repository))
