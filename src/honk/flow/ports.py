"""What the flow asks of the rooms below it, and the one place where it finds them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from honk.gate import MergePermit
from honk.model import (
    Access,
    Artifact,
    Budget,
    ChangedFile,
    Changes,
    Check,
    Checkout,
    Finding,
    Harness,
    Landing,
    LinkOffer,
    ModelSession,
    Person,
    PullRequest,
    Reach,
    Repository,
    Standing,
    Task,
    UsageError,
    Verdict,
    Workspace,
)
from honk.repository_file import Build, Deploy, Preview, RepositoryFile
from honk.settings import Settings
from honk.ship.comparison import Compared
from honk.ship.services import Readiness
from honk.store import Attachments, Store
from honk.verify import Earlier

if TYPE_CHECKING:
    from honk.flow.warming import Spare


class Workspaces(Protocol):
    """Trees for agents and for checks."""

    def fetch(self, repository: Repository) -> str:
        """Bring the mirror up to date; the newest commit of the default branch."""
        ...

    def has_history(self, repository: Repository) -> bool:
        """Whether the files of older commits are here too, or still come."""
        ...

    def need_history(self, repository: Repository) -> None:
        """Wait until they are."""
        ...

    def read(self, repository: Repository, commit: str, path: str) -> str | None:
        """A file's text at a base commit, or None."""
        ...

    def exists(self, task: Task) -> bool:
        """Whether the task has a workspace on this machine."""
        ...

    def ready(
        self, repository: Repository, base: str, set_up: Callable[[Checkout], str | None], reach: Reach | None = None
    ) -> None:
        """Have workspaces that are made on this base stand on what `set_up` leaves, unless it is known by now; it
        returns what goes in front of PATH, or None if it failed."""
        ...

    def spare(
        self, task: Task, repository: Repository, files: Path, *, reach: Reach, budget: Budget
    ) -> AbstractContextManager[Workspace | None]:
        """A workspace for a task that is still to come, for which `task` stands; None where that cannot be."""
        ...

    def adopted(
        self, workspace: Workspace, task: Task, repository: Repository, files: Path
    ) -> AbstractContextManager[Workspace | None]:
        """A spare workspace as the task's own, with all that runs in it; None if the task has one by now."""
        ...

    def maintain(self) -> None:
        """Keep the mirrors quick."""
        ...

    def collect(self) -> int:
        """Remove shared trees that nobody needs, as far as they are over the limit; the bytes that were freed."""
        ...

    def open(
        self,
        task: Task,
        repository: Repository,
        files: Path | None = None,
        *,
        reach: Reach | None = None,
        budget: Budget | None = None,
    ) -> AbstractContextManager[Workspace]:
        """The task's workspace; the folder `files` is readable in it as `/honk/attachments`."""
        ...

    def bring_in(
        self, task: Task, repository: Repository, commit: str, message: str, *, source: Path | None = None
    ) -> tuple[str, Sequence[str]]:
        """Merge a commit into the task's change: the newest commit then, and the paths with conflicts to mend."""
        ...

    def checkout(
        self,
        repository: Repository,
        sha: str,
        *,
        source: Path | None = None,
        unsafe: bool = False,
        reach: Reach | None = None,
    ) -> AbstractContextManager[Checkout]: ...

    def change_git_dir(self, task: Task) -> Path:
        """The bare repository that holds the task's commits, outside every sandbox."""
        ...

    def lacking(self, task: Task) -> Mapping[str, str]:
        """The submodules that stayed empty in the task's workspace: why, and what to do, by path."""
        ...

    def here(self) -> Collection[str]:
        """The tasks that have a workspace on this machine."""
        ...

    def known(self) -> Collection[str]:
        """The tasks whose workspace the store knows of."""
        ...

    def put_down(self, task: Task, repository: Repository, *, remove: bool) -> Mapping[str, int]:
        """Put the workspace down in the store if it is newer here, and `remove` its folder; nothing happens while it
        is in use. What was left out for its size: bytes by path. Raises `HonkError` if it cannot be read."""
        ...

    def changes(self, task: Task, base: str, head: str) -> Changes:
        """The files that the task's commit changes against the base, on both sides."""
        ...

    def diff(self, task: Task, base: str, head: str) -> str:
        """The same as a unified diff, its beginning where it is very long."""
        ...

    def model(self, name: str, budget: Budget) -> AbstractContextManager[ModelSession]:
        """A session with a model outside of every sandbox. Raises `UsageError` if no model is set up."""
        ...

    def remove(self, task: Task) -> None:
        """Delete the workspace, here and in the store, unless it is in use."""
        ...


class Forge(Protocol):
    """Where repositories live and changes are proposed and landed."""

    def access(self, repository: Repository, person: Person) -> Access:
        """What the person may do there, asked at this moment. Raises `Refused` if it is not known who they are."""
        ...

    def credentials(self, repository: Repository, renew: bool = False) -> Mapping[str, str]:
        """The environment with which git reads and writes the repository; empty where the person's own serve.
        With `renew`, not those that were given before: they were refused."""
        ...

    def size(self, repository: Repository) -> int | None:
        """How many bytes the repository has, about; None where nobody tells."""
        ...

    def git_dir(self, repository: Repository) -> Path:
        """A bare repository on this machine that has every pushed and composed commit."""
        ...

    def push(self, repository: Repository, source: Path, sha: str, branch: str) -> None:
        """Make the branch point at the commit; doing it again changes nothing.

        Raises `Conflict` if it has a commit that this one does not contain: somebody else pushed.
        """
        ...

    def open_change(
        self, repository: Repository, *, branch: str, title: str, body: str, head_sha: str, person: Person
    ) -> PullRequest:
        """Open the branch's pull request, in the person's name where that is possible, or bring it up to date: one a
        branch, however often it is called."""
        ...

    def pull_request(self, repository: Repository, branch: str) -> PullRequest | None:
        """The branch's newest pull request, with what the branch points at now; its commits are in `git_dir`."""
        ...

    def hold(self, repository: Repository, branch: str, *, held: bool) -> None:
        """Show that the branch's pull request is not verified (a draft), or that it is again. Best effort."""
        ...

    def report(
        self,
        repository: Repository,
        head_sha: str,
        checks: Sequence[Check],
        url: str,
        *,
        notes: Sequence[str] = (),
        held: bool = False,
    ) -> None:
        """Show the checks' results on the commit where the forge has a place for them, and `notes` (Markdown) of what
        judge and tamper guard say; `held` if a person has to confirm it before Honk merges. Best effort."""
        ...

    def close_change(self, repository: Repository, branch: str) -> None: ...

    def obstacle(self, repository: Repository, branch: str, head_sha: str) -> str | None:
        """What on the forge stands in the way of merging this commit, in a sentence; None if nothing does."""
        ...

    def approvals(self, repository: Repository, branch: str, head_sha: str) -> Sequence[str]:
        """Ids of the people who approved exactly this commit there."""
        ...

    def wanted_approvals(self, repository: Repository) -> int:
        """How many approving reviews the forge itself wants on the default branch."""
        ...

    def compose(
        self,
        repository: Repository,
        *,
        base: str | None = None,
        head_sha: str,
        method: str,
        message: str,
        person: Person,
        at: str,
    ) -> Landing:
        """The commit that would land: the change on `base`, a commit composed before, or on the newest of the default
        branch. Raises `Conflict` if the two contradict."""
        ...

    def land(
        self,
        repository: Repository,
        permit: MergePermit,
        landing: Landing,
        *,
        branch: str,
        method: str,
        message: str,
        tell: Callable[[str], None],
    ) -> str | None:
        """Advance the default branch from `landing.base` to `landing.sha`, or between commits with the same files; the
        commit that landed, also if it had before, or None if the branch has moved meanwhile. `tell` gets what is waited
        for. Raises `Refused` when it cannot be done safely."""
        ...

    def run_workflow(
        self,
        repository: Repository,
        workflow: str,
        *,
        branch: str,
        sha: str,
        seconds: float,
        folder: Path,
        tell: Callable[[str], None],
        stop: Callable[[], bool],
    ) -> Sequence[Path]:
        """Have the forge's own machines run a workflow on the branch's commit; the zip files of what it built, in
        `folder`. Raises `HonkError` with what it said."""
        ...

    def deploy(
        self,
        repository: Repository,
        sha: str,
        *,
        environment: str,
        key: str,
        seconds: float,
        tell: Callable[[str], None],
    ) -> None:
        """Have the forge deploy the commit, once for a key. Raises `HonkError` with what it said when that fails."""
        ...

    def diff(self, repository: Repository, base: str, head: str) -> str: ...

    def changed_paths(self, repository: Repository, base: str, head: str) -> list[str]: ...

    def base_text(self, repository: Repository, path: str) -> str | None:
        """A file of the default branch, if it can be had without waiting; None otherwise or if there is none.
        Raises `UsageError` for a link or a folder of that name."""
        ...


class Forges(Protocol):
    """Every forge of this installation."""

    def resolve(self, address: str) -> Repository:
        """Find or register what a person named. Raises `UsageError` or `NotFound` with a sentence."""
        ...

    def lookup(self, name: str) -> Repository | None:
        """One that people in a chat may name: known here, or open to Honk on the forge. Never a path or any address."""
        ...

    def of(self, repository: Repository) -> Forge:
        """The one the repository lives on."""
        ...


class Accounts(Protocol):
    """Who people are on the forge."""

    def link_offer(self, person: Person) -> LinkOffer:
        """Begin. Raises `UsageError` where there is no forge with accounts."""
        ...

    def finish_link(self, person: Person) -> str | None:
        """The login once the person has confirmed it there; None while they have not. Raises `Refused`."""
        ...


class Verification(Protocol):
    """Runs a repository's checks on a clean checkout."""

    def __call__(
        self,
        checkout: Checkout,
        file: RepositoryFile,
        *,
        changed: Collection[str],
        on_start: Callable[[str, str, str], None],
        on_finish: Callable[[Check], None],
        stop: Callable[[], bool],
        earlier: Earlier,
        only: Collection[str] | None = None,
    ) -> Sequence[Check]:
        """All results that the paths `changed` ask for, or those of `only` these checks; see `verify.verify`. Both
        callbacks come from other threads."""
        ...


class Judging(Protocol):
    """Asks a model what it thinks of a change."""

    def __call__(
        self,
        brief: str,
        diff: str,
        findings: Sequence[Finding],
        *,
        ask: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    ) -> Verdict: ...


class Builder(Protocol):
    """Builds artifacts from checkouts and keeps them by their content."""

    def build(
        self,
        checkout: Checkout,
        kind: str,
        build: Build,
        *,
        file: RepositoryFile,
        stop: Callable[[], bool],
        on_output: Callable[[str], None],
    ) -> Artifact: ...

    def keep(
        self, commit: str, kind: str, build: Build, archives: Sequence[Path], *, seconds: float, log: str
    ) -> Artifact:
        """Keep what another machine built, from zip files. Raises `HonkError` for what is damaged or not there."""
        ...

    def set_up(
        self,
        checkout: Checkout,
        file: RepositoryFile,
        *,
        stop: Callable[[], bool],
        on_output: Callable[[str], None],
    ) -> Readiness:
        """Do the repository's set-up in the checkout; what lines that run in it need then. Raises `HonkError` when it
        fails, `Cancelled` when `stop()` turns true."""
        ...

    def running(
        self,
        checkout: Checkout,
        file: RepositoryFile,
        *,
        stop: Callable[[], bool],
        on_output: Callable[[str], None],
    ) -> AbstractContextManager[tuple[Path, Callable[[], bool]]]:
        """The service that honk.yaml's `preview` names, started in the checkout: its Unix socket, and whether it runs.
        Raises `HonkError` with its last words when it does not come to listen, `Cancelled` when `stop()` turns true."""
        ...

    def keep_service(self, commit: str, preview: Preview, reads: str, *, seconds: float) -> Artifact:
        """Put down that the service started so, from files with the fingerprint `reads`."""
        ...

    def path(self, artifact: Artifact) -> Path:
        """The folder with its files, compared with what was built. Raises `HonkError` if they are not to be had."""
        ...

    def files(self, artifact: Artifact) -> Mapping[str, str]:
        """The SHA-256 of each of its files, by path. Raises `HonkError` if they are not to be had."""
        ...

    def collect(self) -> Collection[str]:
        """Remove what nobody needs any longer; the tasks of what was removed."""
        ...


class Deployer(Protocol):
    """Runs deploy and rollback commands and watches health."""

    def deploy(
        self,
        checkout: Checkout,
        deploy: Deploy,
        repository: Repository,
        *,
        previous: str | None,
        artifacts: dict[str, Path],
        on_output: Callable[[str], None],
    ) -> None:
        """Raises `HonkError` if the command fails or hangs."""
        ...

    def rollback(
        self,
        checkout: Checkout,
        deploy: Deploy,
        repository: Repository,
        *,
        previous: str | None,
        artifacts: dict[str, Path],
        on_output: Callable[[str], None],
    ) -> None:
        """Bring the deployment of `previous` back. `artifacts` are what was built of it, by their build's name."""
        ...

    def measure(self, deploy: Deploy) -> Mapping[str, float]:
        """The metrics that are compared with what they were before the deploy, by address."""
        ...

    def watch(
        self, checkout: Checkout | None, deploy: Deploy, repository: Repository, before: Mapping[str, float]
    ) -> None:
        """Returns when the health window has passed well; raises `HonkError` with the evidence when it has not. A
        checkout is needed where a command watches."""
        ...


class Screenshots(Protocol):
    """Pictures of what was built."""

    def path(self, sha256: str) -> Path | None:
        """The picture of an artifact's first page, if one was taken."""
        ...

    def collect(self, kept: Collection[str]) -> None:
        """Remove the pictures of what is not among these SHA-256 any more."""
        ...

    def take(self, checkout: Checkout, artifact: Artifact, folder: Path) -> bool:
        """Picture a web artifact at a phone's size; True if there is a picture now. Never raises for want of one."""
        ...

    def take_running(self, checkout: Checkout, artifact: Artifact, service: Path) -> bool:
        """Picture the first page of a service that listens at a Unix socket, as `take` does a folder's."""
        ...

    def compare(self, before: str, after: str) -> Compared | None:
        """Put the pictures of two artifacts beside each other where they differ; None if that cannot be done."""
        ...


class Previews(Protocol):
    """Serves web artifacts, each at an origin of its own."""

    def serve(self, task_id: str, artifact: Artifact) -> None: ...

    def withdraw(self, task_id: str) -> None:
        """Say of what is void or removed that it is."""
        ...


class Spares(Protocol):
    """Agents that were started ahead."""

    def want(self, repository: Repository) -> None:
        """Have one ready for the repository soon. Returns at once."""
        ...

    def renew(self, repository: Repository) -> None:
        """The repository has a newer commit: if one waits there, have it wait on that. Returns at once."""
        ...

    def take(self, task: Task, budget: Budget, *, nested: bool) -> Spare | None:
        """The one that fits the task, which is the caller's now."""
        ...


@dataclass(frozen=True)
class Rooms:
    """Everything the flow works with. `previews` is None where no server runs."""

    settings: Settings
    store: Store
    attachments: Attachments
    workspaces: Workspaces
    forges: Forges
    harness: Callable[[str], Harness]
    verification: Verification
    guard: Callable[[Sequence[ChangedFile], Standing | None], Sequence[Finding]]
    """Finds what in a change weakens what checks it, given what stands around it."""
    judge: Judging
    builder: Builder
    deployer: Deployer
    sign: Callable[[Mapping[str, Any]], dict[str, Any]]
    """Puts a statement into an envelope with this installation's signature."""
    screenshots: Screenshots | None = None
    previews: Previews | None = None
    spares: Spares | None = None
    """Agents that are started ahead, in a process that serves people."""
    unsafe: bool = False
    """Whether this machine's owner lets builds run without a sandbox, as on a Mac of theirs."""


_rooms: Rooms | None = None


def furnish(rooms: Rooms) -> None:
    """Give this process's flow its rooms; once, before it is launched."""
    global _rooms  # noqa: PLW0603  DBOS finds workflows by name, so what they work with is the process's
    _rooms = rooms


def rooms() -> Rooms:
    """The rooms of this process."""
    if _rooms is None:
        raise RuntimeError("the flow has no rooms yet: call furnish() first")
    return _rooms


def known_repository(task_id: str) -> tuple[Task, Repository]:
    """A task as it stands and its repository. Raises `UsageError` if that is not known any more."""
    task = rooms().store.task(task_id)
    repository = rooms().store.repository(task.repository)
    if repository is None:
        raise UsageError(f"The repository {task.repository!r} is not known here any more.")
    return task, repository
