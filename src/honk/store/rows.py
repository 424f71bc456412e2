"""Rows of the tables as the nouns of the model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping

from honk.model import (
    Attachment,
    Check,
    Doubt,
    Event,
    Finding,
    Making,
    Message,
    Person,
    PullRequest,
    Repository,
    State,
    Task,
    Verdict,
)


def read_person(value: Mapping[str, Any]) -> Person:
    return Person(**value)


def read_time(value: str) -> datetime:
    return datetime.fromisoformat(value)


def read_task(row: RowMapping) -> Task:
    return Task(
        **dict(row)
        | {
            "state": State(row["state"]),
            "person": read_person(row["person"]),
            "created_at": read_time(row["created_at"]),
            "updated_at": read_time(row["updated_at"]),
        }
    )


def read_making(row: RowMapping) -> Making | None:
    """How an artifact was made, with its log if the row holds that; None if it was never put down."""
    if row["built_at"] is None:
        return None
    return Making(read_time(row["built_at"]), row["machine"], row["command"], row["seconds"], row.get("log") or "")


def read_event(row: RowMapping) -> Event:
    return Event(**dict(row) | {"at": read_time(row["at"]), "data": json.loads(row["data"])})


def read_message(row: RowMapping) -> Message:
    attachments = [Attachment(**kept) for kept in row["attachments"] or ()]
    at = read_time(row["at"])
    return Message(row["task_id"], row["key"], row["text"], read_person(row["person"]), at, attachments)


def read_repository(row: RowMapping) -> Repository:
    return Repository(row["name"], row["address"], row["git_url"], row["default_branch"])


def read_check(row: RowMapping | Mapping[str, Any]) -> Check:
    return Check(
        **{name: row[name] for name in ("name", "status", "seconds", "summary", "command", "why")},
        verifier=row["verifier"] or "",
        log=row["log"] or "",
        failures=tuple(row["failures"] or ()),
        unchanged_since=row["unchanged_since"],
        against=row["against"],
        tests=row["tests"],
        tests_on_base=row["tests_on_base"],
    )


def read_finding(value: Mapping[str, Any]) -> Finding:
    return Finding(**value)


def read_verdict(value: Mapping[str, Any]) -> Verdict:
    return Verdict(**{**value, "doubts": tuple(Doubt(**doubt) for doubt in value["doubts"])})


def read_pull_request(row: RowMapping) -> PullRequest:
    return PullRequest(row["number"], "", row["branch"], row["title"], row["state"], row["head_sha"])
