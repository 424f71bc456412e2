"""The nouns of Honk. This module imports nothing of ours; every other one may import it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, Protocol


class HonkError(Exception):
    """Something a person can act on: its text is one sentence that says what to do."""

    exit_code = 1
    passing = False
    """Whether the same may go well when it is tried again later, as when a service does not answer."""


class UsageError(HonkError):
    """The request itself cannot be carried out as it stands; nothing was created."""

    exit_code = 2


class NotFound(HonkError):
    """The named task, repository or artifact does not exist here."""

    exit_code = 2


class Refused(HonkError):
    """The gate said no: a stale tap, a red check, a merge that is not safe. Nothing was changed."""


class Conflict(Refused):
    """The change and the newest base contradict each other; somebody has to mend that."""


class Cancelled(HonkError):
    """The person asked to stop; the work so far is kept."""


class LimitReached(HonkError):
    """A budget (money, turns, rounds, time) is used up; the work so far is kept and can be continued."""


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
class Making:
    """How an artifact was made."""

    at: datetime
    machine: str
    """The name of the machine that ran the build."""
    command: str
    seconds: float
    log: str = ""
    """What the build printed; its end, where that is long. Left out where only the rest is asked for."""


@dataclass(frozen=True)
class Artifact:
    """Something built from one commit that a person can open or install. `sha256` names its content."""

    kind: str
    """The build's name in `honk.yaml`: `web`, `android`, `ios`, or any other."""
    commit: str
    sha256: str
    size: int
    """Bytes."""
    url: str | None = None
    install_url: str | None = None
    void: bool = False
    """True once a newer commit has replaced the one this was built from."""
    making: Making | None = None
    """Set by whoever builds; the store keeps it beside the artifact's row."""


@dataclass(frozen=True)
class Trial:
    """That somebody opened or fetched what was built: on what, and no more of them than that."""

    device: str
    """As people say it: `iPhone, iOS 18`, `Pixel 8, Android 16`, `Chrome on Linux`."""
    platform: Literal["ios", "android", "desktop"]
    exact: bool = True
    """False where the browser kept the model or the version to itself."""


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


@dataclass(frozen=True)
class Limits:
    """What a command and all that it starts may use together. Seconds and bytes; None is what this installation allows
    (`HONK_SANDBOX_…`)."""

    seconds: float = 600.0
    output: int = 16 * 1024 * 1024
    memory: int | None = None
    """With what is in /tmp and /dev/shm."""
    processes: int | None = None
    """Threads count, too."""
    disk: int | None = None
    """What the folders that it writes may hold in all, its tree and its home among them."""
    cpu_seconds: float | None = None


@dataclass(frozen=True)
class Command:
    """A command to run in a sandbox, in the working tree unless `directory` names a folder below it.

    `argv` is run as it is; for a shell line use `("sh", "-c", line)`. `environment` is all it gets besides PATH, HOME,
    LANG and what the sandbox itself sets. `egress` lists the hosts (`host` or `host:port`) it may reach.
    """

    argv: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: str = "."
    egress: Sequence[str] = ()
    full_network: bool = False
    """Deploys only: the command shares the host's network."""
    writable: Mapping[str, Path] = field(default_factory=dict)
    """Extra folders, by the absolute path they have inside, that the command may write."""
    readable: Mapping[str, Path] = field(default_factory=dict)
    """Extra folders or files, by the absolute path they have inside, that the command may read."""
    serves: Mapping[int, int] = field(default_factory=dict)
    """Ports that the command listens on at 127.0.0.1, each with the descriptor of a listening Unix socket outside. Its
    connections wait until the command listens; the first one is told `ready` then, and is closed."""
    reaches: Mapping[int, Path] = field(default_factory=dict)
    """Ports of 127.0.0.1 inside that lead to Unix sockets outside."""
    reads_only: bool = False
    """The tree is there as it is now and cannot be written, and the home is an empty one that is gone afterwards: so
    the command may run beside another. It reaches what it names itself and nothing else."""
    limits: Limits = Limits()
    nested: bool = False
    """Whether it may make user namespaces of its own, as a sandbox in the sandbox wants; the base branch's honk.yaml
    says so."""


ResourceLimit = Literal["memory limit", "process limit", "disk limit", "cpu limit"]


@dataclass(frozen=True)
class Excess:
    """That a sandbox was ended because it used more of something than it may. `sentence` says what to do."""

    limit: ResourceLimit
    sentence: str


@dataclass(frozen=True)
class Completed:
    """How a command ended. `ended_by` says who ended it when it did not end by itself."""

    exit_code: int
    output: str
    """Standard output and error as they came, decoded with replacement, cut in the middle at `limits.output`."""
    seconds: float
    ended_by: Literal["itself", "time limit", "cancel"] | ResourceLimit = "itself"
    refused_hosts: Sequence[str] = ()
    """Hosts the command tried to reach and was not allowed to."""
    excess: Excess | None = None
    """Set where `ended_by` is a limit of memory, processes, disk or CPU."""


Refusal = Literal["not on the list", "private address", "other name", "not TLS", "limit"]
"""Why a connection out of a sandbox was refused. Only the first can be put right by putting the host on the list."""

WHY: Mapping[str, str] = {
    "not on the list": "",
    "private address": "it leads into a private network",
    "other name": "it was asked for behind another host's name",
    "not TLS": "only TLS goes through port 443",
    "limit": "the sandbox has moved as many bytes as it may",
}
"""What is said of a refusal besides the host."""


@dataclass(frozen=True)
class Reach:
    """What commands in a sandbox may reach besides the hosts that each names itself, and who hears of what was refused.

    `permits(host, port)` is asked at the moment of a connection that no list allows; what it says yes to must still
    not lead into a private network, whatever it is called. `refused(host, port, why)` is told once of each. Both may
    block, and are called in threads of their own.
    """

    permits: Callable[[str, int], bool]
    refused: Callable[[str, int, Refusal], None]
    egress: Sequence[str] = ()
    """Hosts as in `Command.egress`."""
    late: Callable[[], Sequence[str]] = tuple
    """More of them, that take a moment to find out: asked for once somebody goes to a host that is not known yet."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables that lead programs to those hosts."""


@dataclass(frozen=True)
class Budget:
    """What an agent may spend on the model in one turn, held by the gateway."""

    cost_usd: float
    requests: int


@dataclass(frozen=True)
class Spent:
    """What went through the gateway to the model. The cost is reckoned by list prices, the dearest for a model that is
    not known."""

    cost_usd: float = 0.0
    requests: int = 0


class Checkout(Protocol):
    """A tree of files at one commit in which commands run, in a sandbox of its own, that the agent never touched."""

    @property
    def commit(self) -> str: ...

    @property
    def made_of(self) -> str:
        """What its programs come from, if not from this machine: an image and what runs it."""
        ...

    def files(self) -> Sequence[str]:
        """Every tracked path, `/`-separated, sorted. Read from git, so no symlink is followed."""
        ...

    def read(self, path: str) -> str | None:
        """The tracked file's text as committed (decoded with replacement), or None if there is no such file."""
        ...

    def texts(self, paths: Collection[str], longest: int) -> Mapping[str, str]:
        """The texts of those of these tracked regular files that have at most `longest` bytes; quicker than to read
        them one by one."""
        ...

    def run(
        self,
        command: Command,
        *,
        on_output: Callable[[str], None] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> Completed:
        """Run to the end, to the time limit, or until `stop()` is true; then every process of it is gone.

        Changes to the tree are kept between calls on the same checkout. Raises `HonkError` if no sandbox can start.
        """
        ...

    @property
    def tree(self) -> str:
        """Git's id of the commit's tree: the same for all commits with the same files."""
        ...

    @property
    def layered(self) -> bool:
        """Whether what `apart` gives is a tree of its own."""
        ...

    def apart(self, before: Sequence[Checkout] = ()) -> AbstractContextManager[Checkout]:
        """The tree and the home as they are now, with what was written in those `before`, that `apart` gave too and in
        which nothing runs any longer. What is written in it is seen nowhere else. This very checkout where trees have
        no layers."""
        ...

    def blobs(self) -> Mapping[str, str]:
        """The id of each tracked regular file's content, by path: equal ids are equal contents."""
        ...

    def set_up(self, key: str, run: Callable[[], bool]) -> bool:
        """Let `run` set the tree and the home up, or spare it where what it left under this key before can be stood on.

        `key` names everything that decides what a set-up leaves. Kept is what writes no tracked file; of a commit that
        is not on the default branch, only for that very tree. Returns what `run` does, True if it was spared.
        """
        ...

    def export(self, pattern: str, destination: Path) -> Sequence[Path]:
        """Copy what `pattern` (a file, a folder, or a glob) matches in the tree as it is now to `destination`.

        Regular files and folders only: links and special files are left behind, so nothing outside the tree can be
        read. A folder's contents land directly in `destination`; files keep their base name. Returns the files
        written; empty if nothing matched.
        """
        ...


@dataclass(frozen=True)
class Interactive:
    """How to start a long-lived process inside a sandbox from outside: exactly this argv and environment."""

    argv: Sequence[str]
    environment: Mapping[str, str]
    excess: Callable[[], Excess | None] = lambda: None
    """Why the sandbox was ended, if it was because of a limit."""


@dataclass(frozen=True)
class ModelAccess:
    """What a sandbox needs to reach the model through the gateway: no secret among it."""

    base_url: str
    """As seen from inside, e.g. `http://127.0.0.1:4001`."""
    token: str
    """Worth something only on this session's gateway."""


class Workspace(Protocol):
    """An agent's writable tree. Lives as long as its task; processes in it live as long as a turn."""

    @property
    def inside(self) -> str:
        """The absolute path of the tree as processes in the sandbox see it."""
        ...

    def run(
        self,
        command: Command,
        *,
        on_output: Callable[[str], None] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> Completed:
        """As `Checkout.run`, in the agent's own tree, home and limits."""
        ...

    def interactive(self, command: Command, *, model: bool) -> Interactive:
        """The argv that starts `command` in this sandbox with its standard streams attached, for a harness that talks
        to it. With `model`, the gateway's address is reachable inside for as long as the workspace is entered."""
        ...

    @property
    def model(self) -> ModelAccess:
        """Where the model is, for a process started with `model=True`. Raises `UsageError` if no model is set up."""
        ...

    @property
    def spent(self) -> Spent:
        """What went to the model so far, whoever in the sandbox sent it."""
        ...

    @property
    def refusal(self) -> HonkError | None:
        """What the gateway told the last request to the model that it did not let through: `LimitReached` once the
        budget is spent; None if it let all through."""
        ...

    def charge(self, cost_usd: float) -> None:
        """What Honk itself has spent on the task meanwhile: so much less is left to the agent."""
        ...

    def snapshot(self, message: str, author: Person) -> str | None:
        """Commit the tree as it is now on top of the task's last commit and bring the commit out of the sandbox.

        Returns its sha, or None if nothing differs from the task's last commit. Safe while the agent runs.
        Taking it again with nothing changed since returns the same sha.
        """
        ...

    def unmerged(self) -> Sequence[str]:
        """Paths in which the markers of a merge's conflicts are still to be seen."""
        ...

    def diff_stat(self) -> str:
        """One line: files changed, insertions, deletions, against the base."""
        ...


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
    them after the change."""

    files: Sequence[ChangedFile]
    left_out: Sequence[str] = ()
    standing: Standing | None = None


Severity = Literal["note", "warning", "serious"]


@dataclass(frozen=True)
class Finding:
    """Something in a change that weakens what checks it, found by rule and without a model."""

    kind: str
    """What kind it is, in words joined by hyphens, such as `test-deleted`."""
    severity: Severity
    path: str
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


class ModelSession(Protocol):
    """Honk's own conversation with a model, outside of every sandbox, held to a budget."""

    @property
    def spent(self) -> Spent: ...

    def ask(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Put a request of the Messages API to the session's model; its answer. Raises `HonkError` with what the
        model's server said, `LimitReached` once the budget is spent."""
        ...


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
