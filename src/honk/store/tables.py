"""The tables. Everything durable that Honk itself knows is here; DBOS keeps its own beside them."""

from __future__ import annotations

import contextlib
import fcntl
import sqlite3
import zlib
from pathlib import Path

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Engine,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    create_engine,
    event,
    inspect,
)
from sqlalchemy.engine import Connection
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

metadata = MetaData()

repositories = Table(
    "repositories",
    metadata,
    Column("name", String, primary_key=True),
    Column("address", String, nullable=False, unique=True),
    Column("git_url", String, nullable=False),
    Column("default_branch", String, nullable=False),
    Column("added_at", String, nullable=False),
)

tasks = Table(
    "tasks",
    metadata,
    Column("id", String, primary_key=True),
    Column("repository", String, nullable=False, index=True),
    Column("text", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Column("state", String, nullable=False, index=True),
    Column("person", JSON, nullable=False),
    Column("created_at", String, nullable=False),
    Column("updated_at", String, nullable=False),
    Column("base_sha", String),
    Column("head_sha", String),
    Column("merged_sha", String),
    Column("branch", String),
    Column("pull_request", Integer),
    Column("summary", Text),
    Column("error", Text),
    Column("next_action", String),
    Column("cost_usd", Float, nullable=False, default=0.0),
    Column("turns", Integer, nullable=False, default=0),
    Column("max_cost_usd", Float, nullable=False),
    Column("max_turns", Integer, nullable=False),
    Column("session", String),
    Column("deploy_status", String),
    Column("deploy_url", String),
    Column("cancel_requested", Boolean, nullable=False, default=False),
    Column("pull_request_url", String),
    Column("origin", String),
    Column("pushed_sha", String),
    Column("unsafe", Boolean, nullable=False, default=False),
)

events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("task_id", String, nullable=False, index=True),
    Column("kind", String, nullable=False),
    Column("at", String, nullable=False),
    Column("person", String, nullable=False),
    Column("data", Text, nullable=False),
    Column("key", String, nullable=False),
    Column("hash", String, nullable=False),
    UniqueConstraint("task_id", "key"),
)

chain = Table(
    "chain",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("length", Integer, nullable=False),
    Column("hash", String, nullable=False),
)
"""One row: how many events there are and the newest one's hash. Its row lock puts appends in order."""

messages = Table(
    "messages",
    metadata,
    Column("position", Integer, primary_key=True, autoincrement=True),
    Column("task_id", String, nullable=False, index=True),
    Column("key", String, nullable=False),
    Column("text", Text, nullable=False),
    Column("person", JSON, nullable=False),
    Column("at", String, nullable=False),
    Column("taken_by", String),
    Column("attachments", JSON),
    UniqueConstraint("task_id", "key"),
)

checks = Table(
    "checks",
    metadata,
    Column("repository", String, primary_key=True),
    Column("commit", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("status", String, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("summary", Text, nullable=False),
    Column("command", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("configuration", String, nullable=False),
    Column("verifier", String),
    Column("log", String),
    Column("failures", JSON),
    Column("unchanged_since", String),
    Column("against", String),
    Column("tree", String),
    Column("tests", Integer),
    Column("tests_on_base", Integer),
)
"""Results bound to a commit and to the digest of the configuration they were made with."""

check_results = Table(
    "check_results",
    metadata,
    Column("repository", String, primary_key=True),
    Column("tree", String, primary_key=True),
    Column("verifier", String, primary_key=True),
    Column("commit", String, nullable=False),
    Column("at", String, nullable=False, index=True),
    Column("name", String, nullable=False),
    Column("status", String, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("summary", Text, nullable=False),
    Column("command", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("log", String),
    Column("failures", JSON),
    Column("against", String),
    Column("tests", Integer),
    Column("tests_on_base", Integer),
)
"""Results by all that decides them: git's id of the tree, and the digest of the verifier. `commit` is where it ran."""

check_logs = Table(
    "check_logs",
    metadata,
    Column("sha256", String, primary_key=True),
    Column("data", LargeBinary, nullable=False),
    Column("at", String, nullable=False, index=True),
)
"""What checks printed, compressed, by its content."""

flaky_checks = Table(
    "flaky_checks",
    metadata,
    Column("repository", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("at", String, nullable=False),
)
"""Each time that a check failed and passed when it was run again on the same commit."""

verdicts = Table(
    "verdicts",
    metadata,
    Column("repository", String, primary_key=True),
    Column("commit", String, primary_key=True),
    Column("configuration", String, primary_key=True),
    Column("findings", JSON, nullable=False),
    Column("verdict", JSON),
)
"""What the tamper guard and, where it was asked, the judge said of a commit, by the digest of all that they went by."""

pull_requests = Table(
    "pull_requests",
    metadata,
    Column("repository", String, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("branch", String, nullable=False),
    Column("title", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("state", String, nullable=False),
    Column("head_sha", String, nullable=False),
    UniqueConstraint("repository", "branch"),
)
"""The local forge's pull requests."""

artifacts = Table(
    "artifacts",
    metadata,
    Column("task_id", String, primary_key=True),
    Column("commit", String, primary_key=True),
    Column("kind", String, primary_key=True),
    Column("sha256", String, nullable=False),
    Column("size", Integer, nullable=False),
    Column("port", Integer),
    Column("void", Boolean, nullable=False, default=False),
    Column("token", String, index=True),
    Column("offered_at", String),
    Column("removed", Boolean),
    Column("built_at", String),
    Column("machine", String),
    Column("command", Text),
    Column("seconds", Float),
    Column("log", Text),
    Column("fingerprint", String),
    Column("compared_with", String),
)
"""`compared_with` is the SHA-256 of the artifact whose packages people have, as far as is known."""

packages = Table(
    "packages",
    metadata,
    Column("sha256", String, primary_key=True),
    Column("file", String, primary_key=True),
    Column("facts", JSON),
    Column("icon", LargeBinary),
    Column("fault", Text),
)
"""What the packages for phones in an artifact are, by the artifact's content: read once. `fault` says why one could not
be read."""

deployments = Table(
    "deployments",
    metadata,
    Column("repository", String, primary_key=True),
    Column("commit", String, primary_key=True),
    Column("task_id", String, nullable=False),
    Column("position", Integer, nullable=False),
    Column("status", String, nullable=False),
    Column("previous", String),
)

statements = Table(
    "statements",
    metadata,
    Column("key", String, primary_key=True),
    Column("task_id", String, nullable=False, index=True),
    Column("kind", String, nullable=False),
    Column("at", String, nullable=False),
    Column("envelope", Text, nullable=False),
)
"""Signed statements about what was built, merged and deployed; none is ever changed."""

statement_subjects = Table(
    "statement_subjects",
    metadata,
    Column("digest", String, primary_key=True),
    Column("key", String, primary_key=True),
)
"""What statements are about, by its digest: a file's, a folder's, a commit's."""

memory = Table(
    "memory",
    metadata,
    Column("surface", String, primary_key=True),
    Column("kind", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("value", JSON, nullable=False),
    Column("at", String, nullable=False),
)
"""What surfaces remember for themselves: where they are in the log, which message shows which task."""

allowances = Table(
    "allowances",
    metadata,
    Column("repository", String, primary_key=True),
    Column("host", String, primary_key=True),
    Column("port", Integer, primary_key=True, autoincrement=False),
    Column("person", String, nullable=False),
    Column("name", String, nullable=False),
    Column("at", String, nullable=False),
)
"""Hosts that people have let a repository's commands reach, besides those that honk.yaml names."""

kept_workspaces = Table(
    "kept_workspaces",
    metadata,
    Column("task_id", String, primary_key=True),
    Column("holder", String),
    Column("version", String),
    Column("sha256", String),
    Column("facts", JSON),
    Column("at", String, nullable=False),
)
"""What tasks have beyond their commits. `holder` is the machine that has it newer than it is kept here."""

kept_chunks = Table(
    "kept_chunks",
    metadata,
    Column("version", String, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("task_id", String, nullable=False, index=True),
    Column("data", LargeBinary, nullable=False),
)
"""The archives of `kept_workspaces`, in pieces."""

transcripts = Table(
    "transcripts",
    metadata,
    Column("position", Integer, primary_key=True, autoincrement=True),
    Column("task_id", String, nullable=False, index=True),
    Column("part", String, nullable=False),
    Column("uuid", String),
    Column("entry", Text, nullable=False),
    UniqueConstraint("task_id", "part", "uuid"),
)
"""What agents remember, entry by entry as their harness wrote it: never masked, and never shown."""

accounts = Table(
    "accounts",
    metadata,
    Column("person", String, primary_key=True),
    Column("login", String, nullable=False, index=True),
    Column("token", Text),
    Column("at", String, nullable=False),
)
"""Who a person is on the forge. The token is sealed."""


def _bring_up_to_date(engine: Engine) -> None:
    """Make the tables, and add the columns that an earlier version's tables lack: each may be empty."""
    metadata.create_all(engine)
    known = inspect(engine)
    there = {
        table.name: {column["name"] for column in known.get_columns(table.name)} for table in metadata.sorted_tables
    }
    missing = [
        (table.name, column)
        for table in metadata.sorted_tables
        for column in table.columns
        if column.name not in there[table.name]
    ]
    if not missing:
        return
    with engine.begin() as connection:
        for table_name, column in missing:
            kind = column.type.compile(engine.dialect)
            connection.exec_driver_sql(f"ALTER TABLE {table_name} ADD COLUMN {column.name} {kind}")


_EXPECTED = repr([(table.name, table.columns.keys()) for table in metadata.sorted_tables])


def _as_looked_at(schema_version: int) -> int:
    """What SQLite keeps with a database to say that its tables, at this count of their changes, have all that is here:
    looking at each takes longer than most commands."""
    return zlib.crc32(f"{schema_version} {_EXPECTED}".encode()) & 0x7FFFFFFF


def _is_up_to_date(path: Path) -> bool:
    with contextlib.closing(sqlite3.connect(path, timeout=30)) as connection:
        (changes,), (kept,) = (connection.execute(f"PRAGMA {name}_version").fetchone() for name in ("schema", "user"))
        return bool(kept == _as_looked_at(changes))


def write_ahead(path: Path) -> None:
    """Have SQLite keep this database with a log of writes, once for all: it cannot take up that mode while another
    process looks, and does not wait for it, so processes take turns."""
    with path.with_name(f"{path.name}.lock").open("a") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        with contextlib.closing(sqlite3.connect(path, timeout=30)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")


def open_database(address: str) -> Engine:
    """An engine whose writes are serial and durable enough to survive a killed process, with the tables made."""
    if not address.startswith("sqlite"):
        engine = create_engine(address, pool_pre_ping=True)
        _bring_up_to_date(engine)
        return engine
    path = Path(address.removeprefix("sqlite:///"))
    write_ahead(path)
    engine = create_engine(address, connect_args={"timeout": 30, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _on_connect(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute("PRAGMA busy_timeout=30000")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        reading = connection.get_execution_options().get("reading", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    if not _is_up_to_date(path):
        _bring_up_to_date(engine)
        with engine.begin() as connection:
            changes = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
            connection.exec_driver_sql(f"PRAGMA user_version={_as_looked_at(changes)}")
    return engine
