"""The store: rows for what is, an append-only chained log for what happened.

Only the flow writes events. A state change and the event that tells of it are one transaction, and the event's key
makes that transaction happen once however often a step is repeated.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import ColumnElement, Engine, delete, func, insert, or_, select, update
from sqlalchemy.engine import Connection

from honk.masking import masked_value
from honk.model import Attachment, Event, Message, NotFound, Person, Repository, State, Task
from honk.store import tables
from honk.store.allowances import Allowances
from honk.store.checks import Checks
from honk.store.database import now
from honk.store.memory import Memory
from honk.store.results import Results
from honk.store.rows import read_event, read_message, read_repository, read_task
from honk.store.statements import Statements
from honk.store.transcripts import Transcripts

_GENESIS = "0" * 64


def event_hash(previous: str, number: int, task_id: str, kind: str, at: str, person: str, data: str, key: str) -> str:
    """The chain's link: SHA-256 over the previous link and every column of this row."""
    return hashlib.sha256(json.dumps([previous, number, task_id, kind, at, person, data, key]).encode()).hexdigest()


def _with_context(text: str, context: str) -> str:
    return f"{text}\n\n{context}" if context else text


class Store(Results, Checks, Statements, Memory, Allowances, Transcripts):
    """All of Honk's rows. `mask` is applied to every text that becomes an event, so that no known secret is kept."""

    def __init__(self, engine: Engine, mask: Callable[[str], str] = lambda text: text) -> None:
        super().__init__(engine)
        self._hide = mask
        with self._write() as connection:
            if connection.execute(select(tables.chain)).first() is None:
                connection.execute(insert(tables.chain).values(id=1, length=0, hash=_GENESIS))

    def mask(self, text: str) -> str:
        """The text without the secrets that are known, and without what has the shape of one."""
        return self._hide(text)

    _mask = mask

    # -- the log -----------------------------------------------------------------------------------------------------

    def record(
        self,
        task_id: str,
        kind: str,
        data: Mapping[str, Any] | None = None,
        *,
        key: str,
        person: str = "honk",
        changes: Mapping[str, Any] | None = None,
        unless: Collection[State] = (),
    ) -> bool:
        """Append an event and make the task's row say so, once per `key`; False if it had been recorded before, or if
        the task is in one of the states `unless`."""
        with self._write() as connection:
            state = select(tables.tasks.c.state).where(tables.tasks.c.id == task_id)
            if unless and connection.execute(state.with_for_update()).scalar() in [one.value for one in unless]:
                return False
            return self._append(connection, task_id, kind, data or {}, key=key, person=person, changes=changes)

    def _append(
        self,
        connection: Connection,
        task_id: str,
        kind: str,
        data: Mapping[str, Any],
        *,
        key: str,
        person: str,
        changes: Mapping[str, Any] | None = None,
    ) -> bool:
        head = connection.execute(select(tables.chain).with_for_update()).mappings().one()
        known = select(tables.events.c.id).where(tables.events.c.task_id == task_id, tables.events.c.key == key)
        if connection.execute(known).first() is not None:
            return False
        number, at = head["length"] + 1, now()
        text = json.dumps(masked_value(self._mask, data), ensure_ascii=False, sort_keys=True)
        link = event_hash(head["hash"], number, task_id, kind, at, person, text, key)
        connection.execute(
            insert(tables.events).values(
                id=number, task_id=task_id, kind=kind, at=at, person=person, data=text, key=key, hash=link
            )
        )
        connection.execute(update(tables.chain).values(length=number, hash=link))
        masked = {
            name: self._mask(value) if isinstance(value, str) else value for name, value in (changes or {}).items()
        }
        connection.execute(update(tables.tasks).where(tables.tasks.c.id == task_id).values(updated_at=at, **masked))
        return True

    def events(self, after: int = 0, task_id: str | None = None, limit: int = 1000) -> list[Event]:
        """Events with a higher id than `after`, oldest first, of one task or of all."""
        wanted = select(tables.events).where(tables.events.c.id > after).order_by(tables.events.c.id).limit(limit)
        if task_id is not None:
            wanted = wanted.where(tables.events.c.task_id == task_id)
        with self._read() as connection:
            return [read_event(row) for row in connection.execute(wanted).mappings()]

    def newest_events(self, task_id: str, count: int) -> list[Event]:
        """The task's last events, the newest first."""
        rows = tables.events
        wanted = select(rows).where(rows.c.task_id == task_id).order_by(rows.c.id.desc()).limit(count)
        with self._read() as connection:
            return [read_event(row) for row in connection.execute(wanted).mappings()]

    def count_events(self, task_id: str, kind: str, key_prefix: str = "") -> int:
        """How many events of a kind the task has, of those whose key begins so."""
        rows = tables.events
        wanted = select(func.count()).where(
            rows.c.task_id == task_id, rows.c.kind == kind, rows.c.key.startswith(key_prefix, autoescape=True)
        )
        with self._read() as connection:
            return connection.execute(wanted).scalar_one()

    def events_of(self, task_id: str, kind: str) -> list[Event]:
        """The task's events of one kind, oldest first."""
        rows = tables.events
        wanted = select(rows).where(rows.c.task_id == task_id, rows.c.kind == kind).order_by(rows.c.id)
        with self._read() as connection:
            return [read_event(row) for row in connection.execute(wanted).mappings()]

    def tasks_with(self, key: str) -> list[str]:
        """The tasks that have an event with this key, the first first."""
        rows = tables.events
        with self._read() as connection:
            return list(
                connection.execute(select(rows.c.task_id).where(rows.c.key == key).order_by(rows.c.id)).scalars()
            )

    def merging(self, repository: str | None = None) -> list[tuple[Task, Event]]:
        """Tasks that wait for their merge, of one repository or of all, each with the tap; the first to tap first."""
        tasks, events = tables.tasks, tables.events
        newest = (
            select(func.max(events.c.id).label("id"))
            .where(events.c.kind == "merge.requested")
            .group_by(events.c.task_id)
            .subquery()
        )
        taps = select(events).join(newest, events.c.id == newest.c.id).join(tasks, tasks.c.id == events.c.task_id)
        taps = taps.where(tasks.c.state == State.MERGING.value).order_by(events.c.id)
        if repository is not None:
            taps = taps.where(tasks.c.repository == repository)
        with self._read() as connection:
            found = [read_event(row) for row in connection.execute(taps).mappings()]
        return [(self.task(event.task_id), event) for event in found]

    def landings(self, repository: str, after: int = 0) -> list[Event]:
        """What landed on the repository's default branch by Honk since an event, the newest first."""
        tasks, events = tables.tasks, tables.events
        wanted = (
            select(events)
            .join(tasks, tasks.c.id == events.c.task_id)
            .where(tasks.c.repository == repository, events.c.kind == "merge.landed", events.c.id > after)
            .order_by(events.c.id.desc())
        )
        with self._read() as connection:
            return [read_event(row) for row in connection.execute(wanted).mappings()]

    def newest_event(self) -> int:
        """The id of the newest event there is; 0 if there is none."""
        with self._read() as connection:
            return int(connection.execute(select(tables.chain.c.length)).scalar_one())

    def broken_link(self) -> int | None:
        """The id of the first event whose hash does not fit (missing, changed or cut off at the end), or None."""
        previous, number = _GENESIS, 0
        with self._read() as connection:
            head = connection.execute(select(tables.chain)).mappings().one()
            for row in connection.execute(select(tables.events).order_by(tables.events.c.id)).mappings():
                number += 1
                link = event_hash(
                    previous, number, row["task_id"], row["kind"], row["at"], row["person"], row["data"], row["key"]
                )
                if row["id"] != number or row["hash"] != link:
                    return number
                previous = link
            return None if (number, previous) == (head["length"], head["hash"]) else number + 1

    # -- tasks and messages ------------------------------------------------------------------------------------------

    def create_task(
        self,
        task: Task,
        message_key: str,
        attachments: Sequence[Attachment] = (),
        context: str = "",
        login: str | None = None,
    ) -> bool:
        """Put the task, its first message (its text, and `context`) and its first event down together; False if the
        task was there already. `login` is the person's account on the forge at this moment."""
        with self._write() as connection:
            if connection.execute(select(tables.tasks.c.id).where(tables.tasks.c.id == task.id)).first():
                return False
            # Everybody reads the row; the agent gets the message as it was written.
            row = asdict(task) | {"created_at": now(), "updated_at": now(), "state": task.state.value}
            row["text"] = self._mask(task.text)
            connection.execute(insert(tables.tasks).values(row))
            self._append(
                connection,
                task.id,
                "task.created",
                {
                    "repository": task.repository,
                    "agent": task.agent,
                    "text": task.text[:4000],
                    "origin": task.origin,
                    "login": login,
                },
                key="created",
                person=task.person.id,
            )
            text = _with_context(task.text, context)
            self._add_message(connection, task.id, message_key, text, task.person, attachments, first=True)
            return True

    def add_message(
        self, task_id: str, key: str, text: str, person: Person, attachments: Sequence[Attachment] = ()
    ) -> bool:
        """Put a message into the thread; False if this key was there already."""
        with self._write() as connection:
            return self._add_message(connection, task_id, key, text, person, attachments)

    def _add_message(
        self,
        connection: Connection,
        task_id: str,
        key: str,
        text: str,
        person: Person,
        attachments: Sequence[Attachment],
        *,
        first: bool = False,
    ) -> bool:
        told: dict[str, Any] = {"text": text, "name": person.name} | ({"first": True} if first else {})
        if attachments:
            told["files"] = [attachment.name for attachment in attachments]
        if not self._append(connection, task_id, "message.received", told, key=f"message:{key}", person=person.id):
            return False
        connection.execute(
            insert(tables.messages).values(
                task_id=task_id,
                key=key,
                text=text,
                person=asdict(person),
                at=now(),
                attachments=[asdict(attachment) for attachment in attachments],
            )
        )
        return True

    def edit_message(self, task_id: str, key: str, text: str, context: str, person: str, edit: str) -> bool:
        """Change a message nobody has taken yet; False if it has been, or there is none. `edit` is the change's key."""
        rows = tables.messages
        place = (rows.c.task_id == task_id) & (rows.c.key == key) & rows.c.taken_by.is_(None)
        with self._write() as connection:
            if connection.execute(select(rows.c.key).where(place)).first() is None:
                return False
            told = {"message": key, "text": text}
            if self._append(connection, task_id, "message.edited", told, key=f"edited:{edit}", person=person):
                connection.execute(update(rows).where(place).values(text=_with_context(text, context)))
                first = select(rows.c.key).where(rows.c.task_id == task_id).order_by(rows.c.position).limit(1)
                if connection.execute(first).scalar() == key:
                    task = tables.tasks
                    connection.execute(update(task).where(task.c.id == task_id).values(text=self._mask(text)))
            return True

    def withdraw_message(self, task_id: str, key: str, person: str) -> bool:
        """Drop a message nobody has taken yet; False if it has been, or there is none."""
        rows = tables.messages
        place = (rows.c.task_id == task_id) & (rows.c.key == key) & rows.c.taken_by.is_(None)
        with self._write() as connection:
            if connection.execute(select(rows.c.key).where(place)).first() is None:
                return False
            connection.execute(delete(rows).where(place))
            self._append(
                connection, task_id, "message.withdrawn", {"message": key}, key=f"withdrawn:{key}", person=person
            )
            return True

    def take_messages(self, task_id: str, turn: str) -> list[Message]:
        """The messages this turn works on: those nobody took yet, and those it took itself when it ran before."""
        rows = tables.messages
        with self._write() as connection:
            connection.execute(
                update(rows).where(rows.c.task_id == task_id, rows.c.taken_by.is_(None)).values(taken_by=turn)
            )
            wanted = select(rows).where(rows.c.task_id == task_id, rows.c.taken_by == turn).order_by(rows.c.position)
            return [read_message(row) for row in connection.execute(wanted).mappings()]

    def messages(self, task_id: str) -> list[Message]:
        wanted = (
            select(tables.messages).where(tables.messages.c.task_id == task_id).order_by(tables.messages.c.position)
        )
        with self._read() as connection:
            return [read_message(row) for row in connection.execute(wanted).mappings()]

    def waiting_messages(self, task_id: str) -> int:
        """How many messages no turn has taken yet."""
        rows = tables.messages
        wanted = select(func.count()).where(rows.c.task_id == task_id, rows.c.taken_by.is_(None))
        with self._read() as connection:
            return connection.execute(wanted).scalar_one()

    def untaken(self) -> list[tuple[str, str]]:
        """Task id and key of every message that no turn has taken."""
        rows = tables.messages
        wanted = select(rows.c.task_id, rows.c.key).where(rows.c.taken_by.is_(None)).order_by(rows.c.position)
        with self._read() as connection:
            return [(row.task_id, row.key) for row in connection.execute(wanted)]

    def task(self, task_id: str) -> Task:
        """The task whose id is, or uniquely begins with, `task_id`. Raises `NotFound`."""
        rows = tables.tasks
        with self._read() as connection:
            found = connection.execute(select(rows).where(rows.c.id == task_id)).mappings().all()
            if not found and len(task_id) >= 4:
                found = (
                    connection.execute(select(rows).where(rows.c.id.startswith(task_id, autoescape=True)))
                    .mappings()
                    .all()
                )
        if len(found) != 1:
            told = (
                f"several tasks begin with {task_id!r}: give more of the id"
                if found
                else f"there is no task {task_id!r}"
            )
            raise NotFound(f"{told[0].upper()}{told[1:]}; `honk task list` shows them.")
        return read_task(found[0])

    def find_task(self, task_id: str) -> Task | None:
        """The task with exactly this id, or None."""
        with self._read() as connection:
            row = connection.execute(select(tables.tasks).where(tables.tasks.c.id == task_id)).mappings().first()
        return read_task(row) if row else None

    def task_of_pull_request(self, repository: str, number: int) -> Task | None:
        """The newest task with that pull request, or None."""
        rows = tables.tasks
        return self._newest_task((rows.c.repository == repository) & (rows.c.pull_request == number))

    def task_at(self, repository: str, head_sha: str) -> Task | None:
        """The newest task whose change is at that commit, or None."""
        rows = tables.tasks
        return self._newest_task((rows.c.repository == repository) & (rows.c.head_sha == head_sha))

    def _newest_task(self, place: ColumnElement[bool]) -> Task | None:
        wanted = select(tables.tasks).where(place).order_by(tables.tasks.c.created_at.desc()).limit(1)
        with self._read() as connection:
            row = connection.execute(wanted).mappings().first()
        return read_task(row) if row else None

    def tasks(self, limit: int = 200) -> list[Task]:
        """The newest tasks first."""
        wanted = select(tables.tasks).order_by(tables.tasks.c.created_at.desc()).limit(limit)
        with self._read() as connection:
            return [read_task(row) for row in connection.execute(wanted).mappings()]

    def update_task(self, task_id: str, **changes: Any) -> None:
        """Change the row without an event: for counters that the log tells of elsewhere."""
        with self._write() as connection:
            connection.execute(update(tables.tasks).where(tables.tasks.c.id == task_id).values(**changes))

    # -- repositories ------------------------------------------------------------------------------------------------

    def add_repository(self, repository: Repository) -> Repository:
        """Register, or refresh what is known of it; as it is registered, which is by the name it was given first."""
        rows = tables.repositories
        with self._write() as connection:
            known = or_(rows.c.name == repository.name, rows.c.address == repository.address)
            found = connection.execute(select(rows.c.name).where(known)).scalars().all()
            if not found:
                connection.execute(insert(rows).values(**asdict(repository), added_at=now()))
                return repository
            kept = replace(repository, name=found[0] if repository.name not in found else repository.name)
            connection.execute(update(rows).where(rows.c.name == kept.name).values(asdict(kept)))
            return kept

    def repository(self, name: str) -> Repository | None:
        """By name or by address."""
        rows = tables.repositories
        with self._read() as connection:
            row = (
                connection.execute(select(rows).where(or_(rows.c.name == name, rows.c.address == name)))
                .mappings()
                .first()
            )
        return read_repository(row) if row else None

    def repositories(self) -> list[Repository]:
        with self._read() as connection:
            wanted = select(tables.repositories).order_by(tables.repositories.c.added_at.desc())
            return [read_repository(row) for row in connection.execute(wanted).mappings()]
