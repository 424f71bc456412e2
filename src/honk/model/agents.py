"""What works on a task, and what it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from honk.model.commands import Workspace
from honk.model.tasks import Message, Task


@dataclass(frozen=True)
class GateAnswer:
    """What the verify tool and the Stop gate tell the agent. `green` lets it stop."""

    green: bool
    text: str


@dataclass(frozen=True)
class AgentResult:
    """How a harness's turn ended. `summary` is the agent's last words. Raises of the harness: `LimitReached`,
    `Cancelled`, `HonkError`; each leaves the tree as it is."""

    summary: str
    session: str | None
    cost_usd: float
    turns: int
    harness: str = ""
    """What worked, with its version."""
    models: Sequence[str] = ()
    """The models it asked, as far as it says."""


class Transcript(Protocol):
    """What an agent remembers of its task, kept outside of the workspace: it outlives the machine."""

    def append(self, part: str, entries: Sequence[Mapping[str, Any]]) -> None:
        """Add entries to a part of it, one of several files a harness may write; one whose `uuid` is there already is
        not added again. Past a limit (256 MB) nothing is."""
        ...

    def read(self) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """All entries in their order, by part."""
        ...


@dataclass(frozen=True)
class Turn:
    """All a harness is given for one turn.

    `emit(kind, data, key)` puts a row in the task's log: `agent.text {text}`, `agent.tool {id, name, input}`,
    `agent.tool_result {id, ok, text}`, `agent.usage {turns, cost_usd}`. `key` makes it appear once however often it is
    sent. `gate(asked_by)` runs verification on a snapshot (`asked_by` is `tool` or `stop`); at the round limit it
    raises `LimitReached`. `ask(question)` puts a question to the person: the harness then lets the turn end without
    verification, and their answer starts the next one. `inbox()` returns follow-ups that arrived since it was last
    called. `stop()` turns true when the person cancels; the harness then ends every process within two seconds and
    raises `Cancelled`.
    All five block; an asynchronous harness calls them in a thread.
    """

    task: Task
    prompt: str
    """The brief for this turn: the request, its context and the house rules."""
    workspace: Workspace
    session: str
    """The id to give a new session (a UUID that depends only on the task)."""
    resume: bool
    """True when the session exists and is to be continued."""
    max_cost_usd: float
    max_turns: int
    emit: Callable[[str, Mapping[str, Any], str], None]
    gate: Callable[[str], GateAnswer]
    ask: Callable[[str], None]
    inbox: Callable[[], Sequence[Message]]
    stop: Callable[[], bool]
    transcript: Transcript
    nested: bool = False
    """What goes into the agent's `Command.nested`."""


class Prepared(Protocol):
    """An agent's process that has been started and waits for its first words."""

    def run(self, turn: Turn) -> AgentResult:
        """As `Harness.run`, in the workspace it was prepared in and with the session it was prepared for; it ends then.
        Where the turn wants what cannot be changed any more, it starts anew."""
        ...

    def close(self) -> None:
        """End it without having told it anything."""
        ...


class Harness(Protocol):
    """Runs an agent's turn on a workspace."""

    def run(self, turn: Turn) -> AgentResult: ...

    def prepare(self, turn: Turn) -> Prepared | None:
        """Start what a first turn begins with, before its words are known; None where that saves nothing. Of the turn,
        only the workspace, the session and the limits count. Raises `HonkError`."""
        ...
