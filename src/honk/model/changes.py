"""A change and what is known of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

CheckStatus = Literal["passed", "flaky", "skipped", "already_red", "failed", "error"]


@dataclass(frozen=True)
class Check:
    """One verifier's result on one commit. `flaky` failed and passed when it was run again; `skipped` says in `summary`
    why it did not run; `already_red` fails in the same way on the base; `error` is ours, not the change's (a time
    limit, a sandbox that would not start) and counts as red."""

    name: str
    status: CheckStatus
    seconds: float
    summary: str
    """One short line when green; when red the few lines that let a person or an agent act."""
    command: str = ""
    why: str = ""
    """Why this verifier was chosen, e.g. `pyproject.toml names pytest`."""
    verifier: str = ""
    """The digest of all that decides the result besides the tree: the command, the set-up, the machine's programs …"""
    log: str = ""
    """The SHA-256 under which the store keeps what it printed."""
    failures: Sequence[str] = ()
    """What failed, in a form that can be compared between two commits."""
    unchanged_since: str | None = None
    """The commit on which it ran, where it was not run again because nothing that decides it has changed."""
    against: str | None = None
    """The base commit on which it fails in the same way, where it is `already_red`."""
    tests: int | None = None
    """How many tests passed in it, where it is green and its tools say so."""
    tests_on_base: int | None = None
    """How many did on the base, where that were more."""

    @property
    def green(self) -> bool:
        return self.status in ("passed", "flaky", "skipped")

    @property
    def remark(self) -> str:
        """What is to be said of the result besides its status, in a few words; empty for most."""
        if self.status == "flaky":
            return "flaky"
        if self.status == "already_red":
            return f"already red on {(self.against or '')[:8]}"
        return f"unchanged since {self.unchanged_since[:8]}" if self.unchanged_since else ""


@dataclass(frozen=True)
class PullRequest:
    """A proposed change on a forge. `head_sha` is the commit the forge shows now."""

    number: int
    url: str
    branch: str
    title: str
    state: Literal["open", "merged", "closed"]
    head_sha: str


@dataclass(frozen=True)
class Landing:
    """A composed commit that is ready to become the default branch's newest: `base` is what it stands on, `unchanged`
    says that its tree is exactly the tried commit's."""

    base: str
    sha: str
    unchanged: bool


@dataclass(frozen=True)
class ChangedFile:
    """A file of a change, on both sides; a side where it is not there has None. Modes are git's, such as `100644`."""

    path: str
    before: bytes | None
    after: bytes | None
    mode_before: str | None = None
    mode_after: str | None = None
    old_path: str | None = None
    """Its name before the change, where git found that it was renamed."""


class Standing(Protocol):
    """The files of a commit, to be looked up while its repository is there. A `Checkout` is one, too."""

    def files(self) -> Sequence[str]:
        """Every tracked path, `/`-separated."""
        ...

    def texts(self, paths: Collection[str], longest: int) -> Mapping[str, str]:
        """The texts of those of these tracked regular files that have at most `longest` bytes."""
        ...


@dataclass(frozen=True)
class Changes:
    """The files of a change, the paths of those that are too many or too large to be looked at, and what stands around
    them after the change and stood there before."""

    files: Sequence[ChangedFile]
    left_out: Sequence[str] = ()
    standing: Standing | None = None
    stood: Standing | None = None


Severity = Literal["note", "warning", "serious"]


@dataclass(frozen=True)
class Finding:
    """Something in a change that weakens what checks it, found by rule and without a model."""

    kind: str
    """What kind it is, in words joined by hyphens, such as `test-deleted`."""
    severity: Severity
    path: str
    """Its file; the check's name, where it was found when that ran."""
    line: int | None
    """The line in the changed file, from 1; in the file before the change where the line is gone; None for a file as a
    whole."""
    message: str
    """One sentence that says what was found."""
    evidence: str = ""
    """The line as it stands, or stood."""


@dataclass(frozen=True)
class Doubt:
    """What a judge holds against a change: beyond the request (`scope`), or likely wrong (`correctness`)."""

    kind: Literal["scope", "correctness"]
    message: str
    path: str | None = None
    line: int | None = None


@dataclass(frozen=True)
class Verdict:
    """What the judge says of a change. `abstain` when it gave no answer that could be read; `summary` says why."""

    decision: Literal["approve", "veto", "abstain"]
    score: float
    """How sure the judge is that the change does what was asked and nothing else, from 0 to 1; 0 where it abstains."""
    summary: str
    doubts: Sequence[Doubt] = ()
    model: str = ""
    cost_usd: float = 0.0
