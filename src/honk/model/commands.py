"""What runs in a sandbox, what it may do, and where."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from honk.model.errors import HonkError
from honk.model.tasks import Person


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

    def apart(self, before: Sequence[Checkout] = (), *, own_home: bool = True) -> AbstractContextManager[Checkout]:
        """The tree and the home as they are now, with what was written in those `before`, that `apart` gave too and in
        which nothing runs any longer. What is written in it is seen nowhere else; without `own_home`, what is written
        in the home is written in this checkout's, in which nothing may run meanwhile. This very checkout where trees
        have no layers."""
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


class ModelSession(Protocol):
    """Honk's own conversation with a model, outside of every sandbox, held to a budget."""

    @property
    def spent(self) -> Spent: ...

    def ask(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Put a request of the Messages API to the session's model; its answer. Raises `HonkError` with what the
        model's server said, `LimitReached` once the budget is spent."""
        ...
