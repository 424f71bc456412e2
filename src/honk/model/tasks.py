"""Who asks for what, and what has become of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal


class State(StrEnum):
    """Where a task stands. `ready` waits for a person; the last four lines are where a task can rest."""

    QUEUED = "queued"
    PREPARING = "preparing"
    WORKING = "working"
    VERIFYING = "verifying"
    BUILDING = "building"
    READY = "ready"
    MERGING = "merging"
    MERGED = "merged"
    DEPLOYING = "deploying"
    DEPLOYED = "deployed"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def resting(self) -> bool:
        """True when nothing runs for the task and the next move is a person's."""
        return self in RESTING


RESTING = frozenset(
    {State.READY, State.MERGED, State.DEPLOYED, State.ROLLED_BACK, State.FAILED, State.CANCELLED},
)


@dataclass(frozen=True)
class Person:
    """Who asked or tapped. `id` is unique within the surface that vouches for them, e.g. `local:ada`."""

    id: str
    name: str
    email: str | None = None


Access = Literal["none", "read", "write"]
"""What a person may do with a repository."""


@dataclass(frozen=True)
class Account:
    """Who a person is on the forge. `token` lets Honk act in their name; it is sealed wherever it is kept."""

    login: str
    token: str | None


@dataclass(frozen=True)
class LinkOffer:
    """How a person shows who they are on the forge: enter `code` at `url`."""

    code: str
    url: str
    expires_at: datetime


@dataclass(frozen=True)
class Repository:
    """A repository as the forge knows it. `name` is short, unique in this installation and safe as a file name."""

    name: str
    address: str
    """What the person named: a path, a URL, or the name again for a repository that lives on the local forge."""
    git_url: str
    """Where branches are read from and pushed to (a path or a URL)."""
    default_branch: str


@dataclass(frozen=True)
class Attachment:
    """A file that came with a message, kept by its content. `size` in bytes."""

    name: str
    media_type: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Message:
    """A person's words in a task's thread. `key` is the sender's own, so that sending twice changes nothing."""

    task_id: str
    key: str
    text: str
    person: Person
    at: datetime
    attachments: Sequence[Attachment] = ()


@dataclass(frozen=True)
class Event:
    """A row of the log. `id` rises by one over the whole installation; `hash` covers this row and the one before."""

    id: int
    task_id: str
    kind: str
    at: datetime
    person: str
    """The id of the person who caused it, or `honk`."""
    data: Mapping[str, Any]
    key: str
    hash: str


@dataclass(frozen=True)
class Task:
    """One thread's piece of work on one repository, as its row stands now."""

    id: str
    repository: str
    """The repository's `name`."""
    text: str
    agent: str
    """`claude`, `script:COMMAND` or `acp:COMMAND`."""
    state: State
    person: Person
    created_at: datetime
    updated_at: datetime
    base_sha: str | None = None
    head_sha: str | None = None
    merged_sha: str | None = None
    pushed_sha: str | None = None
    """What the pull request's branch pointed at when Honk last put or found it so."""
    branch: str | None = None
    pull_request: int | None = None
    summary: str | None = None
    """What the agent says it did, for the card and the pull request."""
    error: str | None = None
    next_action: str | None = None
    """What the person can do now, in a few words: `Merge`, `Continue`, `Retry` …"""
    cost_usd: float = 0.0
    turns: int = 0
    max_cost_usd: float = 5.0
    max_turns: int = 60
    session: str | None = None
    """The harness's own session id, to resume with its memory."""
    deploy_status: str | None = None
    """`running`, `healthy`, `ill` or `rolled_back`."""
    deploy_url: str | None = None
    cancel_requested: bool = False
    pull_request_url: str | None = None
    """Where people see the pull request, if the forge has a page for it."""
    origin: str | None = None
    """Where the request was made, as a link: a message in a chat, an issue."""
    unsafe: bool = False
    """True when this task runs without a sandbox because the person said so."""
