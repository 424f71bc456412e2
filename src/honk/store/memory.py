"""What surfaces remember for themselves, and which accounts people have elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from honk.model import Account
from honk.store import tables
from honk.store.database import Database, now


class Memory(Database):
    """Rows that no workflow depends on."""

    def remember(self, surface: str, kind: str, key: str, value: Mapping[str, Any]) -> None:
        """Keep a value under a key, in place of what was there."""
        rows = tables.memory
        place = (rows.c.surface == surface) & (rows.c.kind == kind) & (rows.c.key == key)
        new = insert(rows).values(surface=surface, kind=kind, key=key, value=dict(value), at=now())
        with self._write() as connection:
            if not connection.execute(update(rows).where(place).values(value=dict(value), at=now())).rowcount:
                try:
                    with connection.begin_nested():
                        connection.execute(new)
                except IntegrityError:
                    # Another process was first; the later word counts.
                    connection.execute(update(rows).where(place).values(value=dict(value), at=now()))

    def recall(self, surface: str, kind: str, key: str) -> dict[str, Any] | None:
        """The value kept under the key, or None."""
        rows = tables.memory
        wanted = select(rows.c.value).where(rows.c.surface == surface, rows.c.kind == kind, rows.c.key == key)
        with self._read() as connection:
            found: dict[str, Any] | None = connection.execute(wanted).scalar()
        return found

    def recall_all(self, surface: str, kind: str, limit: int | None = None) -> dict[str, dict[str, Any]]:
        """Every value of a kind by its key, the oldest first; at most `limit` of them."""
        rows = tables.memory
        wanted = select(rows.c.key, rows.c.value).where(rows.c.surface == surface, rows.c.kind == kind)
        with self._read() as connection:
            return {
                row.key: row.value for row in connection.execute(wanted.order_by(rows.c.at, rows.c.key).limit(limit))
            }

    def forget(self, surface: str, kind: str, key: str) -> None:
        """Drop what is kept under the key, if anything is."""
        rows = tables.memory
        with self._write() as connection:
            connection.execute(delete(rows).where(rows.c.surface == surface, rows.c.kind == kind, rows.c.key == key))

    def link_account(self, person: str, login: str, token: str | None = None) -> None:
        """Note that this person is that one on the forge. `token` is sealed before it comes here."""
        rows = tables.accounts
        with self._write() as connection:
            connection.execute(delete(rows).where(rows.c.person == person))
            connection.execute(insert(rows).values(person=person, login=login, token=token, at=now()))

    def renew_account(self, login: str, token: str | None) -> None:
        """Keep another token, sealed, for whoever is that one on the forge."""
        with self._write() as connection:
            connection.execute(update(tables.accounts).where(tables.accounts.c.login == login).values(token=token))

    def unlink_account(self, person: str) -> None:
        """Forget the person's account on the forge."""
        rows = tables.accounts
        mine = rows.c.login == person.removeprefix("github:") if person.startswith("github:") else None
        with self._write() as connection:
            connection.execute(delete(rows).where(rows.c.person == person if mine is None else mine))

    def account(self, person: str) -> Account | None:
        """Who the person is on the forge. Somebody who came from there (`github:ada`) is who they are."""
        rows = tables.accounts
        login = person.removeprefix("github:") if person.startswith("github:") else None
        wanted = select(rows).where(rows.c.person == person if login is None else rows.c.login == login)
        with self._read() as connection:
            row = connection.execute(wanted.order_by(rows.c.at.desc()).limit(1)).mappings().first()
        if row:
            return Account(row["login"], row["token"])
        return Account(login, None) if login else None

    def same_person(self, one: str, other: str) -> bool:
        """Whether two ids are one human being, as far as accounts tell."""
        if one == other or (one.startswith("local:") and other.startswith("local:")):
            return True
        mine, theirs = self.account(one), self.account(other)
        return mine is not None and theirs is not None and mine.login.lower() == theirs.login.lower()
