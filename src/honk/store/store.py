"""The store: rows for what is, an append-only chained log for what happened.

Only the flow writes events. A state change and the event that tells of it are one transaction, and the event's key
makes that transaction happen once however often a step is repeated.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, RowMapping, func, insert, or_, select, update
from sqlalchemy.engine import Connection

from honk.model import Artifact, Check, Event, Message, NotFound, Person, PullRequest, Repository, Task
from honk.store import tables
from honk.store.rows import read_check, read_event, read_message, read_pull_request, read_repository, read_task

_GENESIS = "0" * 64


def now() -> str:
    """The time as the store writes it: ISO 8601, UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def event_hash(previous: str, number: int, task_id: str, kind: str, at: str, person: str, data: str, key: str) -> str:
    """The chain's link: SHA-256 over the previous link and every column of this row."""
    return hashlib.sha256(json.dumps([previous, number, task_id, kind, at, person, data, key]).encode()).hexdigest()


class Store:
    """All of Honk's rows. `mask` is applied to every text that becomes an event, so that no known secret is kept."""

    def __init__(self, engine: Engine, mask: Callable[[str], str] = lambda text: text) -> None:
        self._engine = engine
        self._mask = mask
        with self._write() as connection:
            if connection.execute(select(tables.chain)).first() is None:
                connection.execute(insert(tables.chain).values(id=1, length=0, hash=_GENESIS))

    @property
    def engine(self) -> Engine:
        return self._engine

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        with self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        with self._engine.connect().execution_options(reading=True) as connection, connection.begin():
            yield connection

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
    ) -> bool:
        """Append an event and make the task's row say so, once per `key`; False if it had been recorded before."""
        with self._write() as connection:
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
        text = self._mask(json.dumps(data, ensure_ascii=False, sort_keys=True))
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

    def create_task(self, task: Task, message_key: str) -> bool:
        """Put the task, its first message and its first event down together; False if the task was there already."""
        with self._write() as connection:
            if connection.execute(select(tables.tasks.c.id).where(tables.tasks.c.id == task.id)).first():
                return False
            row = asdict(task) | {"created_at": now(), "updated_at": now(), "state": task.state.value}
            connection.execute(insert(tables.tasks).values(row))
            self._append(
                connection,
                task.id,
                "task.created",
                {"repository": task.repository, "agent": task.agent, "text": task.text[:4000]},
                key="created",
                person=task.person.id,
            )
            self._add_message(connection, task.id, message_key, task.text, task.person, first=True)
            return True

    def add_message(self, task_id: str, key: str, text: str, person: Person) -> bool:
        """Put a message into the thread; False if this key was there already."""
        with self._write() as connection:
            return self._add_message(connection, task_id, key, text, person)

    def _add_message(
        self, connection: Connection, task_id: str, key: str, text: str, person: Person, *, first: bool = False
    ) -> bool:
        if not self._append(
            connection,
            task_id,
            "message.received",
            {"text": text, "name": person.name} | ({"first": True} if first else {}),
            key=f"message:{key}",
            person=person.id,
        ):
            return False
        connection.execute(
            insert(tables.messages).values(task_id=task_id, key=key, text=text, person=asdict(person), at=now())
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

    def add_repository(self, repository: Repository) -> None:
        """Register, or refresh what is known of it."""
        row = asdict(repository)
        with self._write() as connection:
            known = tables.repositories.c.name == repository.name
            if connection.execute(select(tables.repositories).where(known)).first():
                connection.execute(update(tables.repositories).where(known).values(row))
            else:
                connection.execute(insert(tables.repositories).values(**row, added_at=now()))

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

    # -- what was found and made -------------------------------------------------------------------------------------

    def save_checks(self, repository: str, commit: str, configuration: str, results: Iterable[Check]) -> None:
        """Replace the commit's results."""
        rows = tables.checks
        with self._write() as connection:
            connection.execute(rows.delete().where(rows.c.repository == repository, rows.c.commit == commit))
            for position, check in enumerate(results):
                connection.execute(
                    insert(rows).values(
                        repository=repository,
                        commit=commit,
                        position=position,
                        configuration=configuration,
                        **asdict(check) | {"summary": self._mask(check.summary)},
                    )
                )

    def checks(self, repository: str, commit: str | None, configuration: str | None = None) -> list[Check]:
        """The commit's results, of one configuration or of any."""
        rows = tables.checks
        wanted = select(rows).where(rows.c.repository == repository, rows.c.commit == commit).order_by(rows.c.position)
        if configuration is not None:
            wanted = wanted.where(rows.c.configuration == configuration)
        with self._read() as connection:
            return [read_check(row) for row in connection.execute(wanted).mappings()]

    def save_pull_request(self, repository: str, branch: str, title: str, body: str, head_sha: str) -> PullRequest:
        """Open the branch's pull request on the local forge, or bring it up to date; one a branch."""
        rows = tables.pull_requests
        key = (rows.c.repository == repository) & (rows.c.branch == branch)
        with self._write() as connection:
            if connection.execute(select(rows.c.number).where(key)).first():
                connection.execute(
                    update(rows).where(key).values(title=title, body=body, head_sha=head_sha, state="open")
                )
            else:
                last = connection.execute(
                    select(func.max(rows.c.number)).where(rows.c.repository == repository)
                ).scalar()
                connection.execute(
                    insert(rows).values(
                        repository=repository,
                        number=(last or 0) + 1,
                        branch=branch,
                        title=title,
                        body=body,
                        state="open",
                        head_sha=head_sha,
                    )
                )
            return read_pull_request(connection.execute(select(rows).where(key)).mappings().one())

    def pull_request(self, repository: str, branch: str) -> PullRequest | None:
        rows = tables.pull_requests
        wanted = select(rows).where(rows.c.repository == repository, rows.c.branch == branch)
        with self._read() as connection:
            row = connection.execute(wanted).mappings().first()
        return read_pull_request(row) if row else None

    def close_pull_request(self, repository: str, branch: str, state: str) -> None:
        rows = tables.pull_requests
        with self._write() as connection:
            connection.execute(
                update(rows).where(rows.c.repository == repository, rows.c.branch == branch).values(state=state)
            )

    def save_artifact(self, task_id: str, artifact: Artifact) -> None:
        """One a task, commit and kind; saving again changes nothing but the content."""
        rows = tables.artifacts
        key = (rows.c.task_id == task_id) & (rows.c.commit == artifact.commit) & (rows.c.kind == artifact.kind)
        content = {"sha256": artifact.sha256, "size": artifact.size}
        with self._write() as connection:
            if connection.execute(select(rows.c.kind).where(key)).first():
                connection.execute(update(rows).where(key).values(**content))
            else:
                connection.execute(
                    insert(rows).values(
                        task_id=task_id, commit=artifact.commit, kind=artifact.kind, void=False, **content
                    )
                )

    def void_artifacts(self, task_id: str, keep_commit: str) -> None:
        """Whatever was built from another commit than `keep_commit` is not offered any longer."""
        rows = tables.artifacts
        with self._write() as connection:
            connection.execute(
                update(rows).where(rows.c.task_id == task_id, rows.c.commit != keep_commit).values(void=True, port=None)
            )

    def artifact_rows(self, task_id: str | None = None) -> list[RowMapping]:
        """Rows with `task_id, commit, kind, sha256, size, port, void`."""
        rows = tables.artifacts
        wanted = select(rows) if task_id is None else select(rows).where(rows.c.task_id == task_id)
        with self._read() as connection:
            return list(connection.execute(wanted).mappings())

    def set_port(self, task_id: str, commit: str, kind: str, port: int | None) -> None:
        """Where the running server serves this artifact."""
        rows = tables.artifacts
        key = (rows.c.task_id == task_id) & (rows.c.commit == commit) & (rows.c.kind == kind)
        with self._write() as connection:
            connection.execute(update(rows).where(key).values(port=port))

    def save_deployment(self, repository: str, commit: str, task_id: str, status: str) -> None:
        """Note how a deployment stands. A new one remembers the healthy one before it."""
        rows = tables.deployments
        key = (rows.c.repository == repository) & (rows.c.commit == commit)
        with self._write() as connection:
            if connection.execute(select(rows.c.status).where(key)).first():
                connection.execute(update(rows).where(key).values(status=status))
                return
            last = connection.execute(select(func.max(rows.c.position)).where(rows.c.repository == repository)).scalar()
            connection.execute(
                insert(rows).values(
                    repository=repository,
                    commit=commit,
                    task_id=task_id,
                    status=status,
                    position=(last or 0) + 1,
                    previous=self._healthy(connection, repository),
                )
            )

    @staticmethod
    def _healthy(connection: Connection, repository: str) -> str | None:
        rows = tables.deployments
        wanted = select(rows.c.commit).where(rows.c.repository == repository, rows.c.status == "healthy")
        found: str | None = connection.execute(wanted.order_by(rows.c.position.desc()).limit(1)).scalar()
        return found

    def deployment(self, repository: str, commit: str | None = None) -> RowMapping | None:
        """The deployment of a commit, or the newest one that is neither ill nor rolled back."""
        rows = tables.deployments
        wanted = select(rows).where(rows.c.repository == repository)
        if commit is not None:
            wanted = wanted.where(rows.c.commit == commit)
        else:
            wanted = wanted.where(rows.c.status == "healthy").order_by(rows.c.position.desc()).limit(1)
        with self._read() as connection:
            return connection.execute(wanted).mappings().first()
