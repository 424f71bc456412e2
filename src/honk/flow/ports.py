"""What the flow asks of the rooms below it, and the one place where it finds them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from honk.gate import MergePermit
from honk.model import (
    Artifact,
    Check,
    Checkout,
    Harness,
    Landing,
    Person,
    PullRequest,
    Repository,
    Task,
    Workspace,
)
from honk.repository_file import Build, Deploy, RepositoryFile
from honk.settings import Settings
from honk.store import Store


class Workspaces(Protocol):
    """Trees for agents and for checks."""

    def fetch(self, repository: Repository) -> str:
        """Bring the mirror up to date; the newest commit of the default branch."""
        ...

    def read(self, repository: Repository, commit: str, path: str) -> str | None:
        """A file's text at a base commit, or None."""
        ...

    def open(self, task: Task, repository: Repository) -> AbstractContextManager[Workspace]: ...

    def checkout(
        self, repository: Repository, sha: str, *, source: Path | None = None, unsafe: bool = False
    ) -> AbstractContextManager[Checkout]: ...

    def change_git_dir(self, task: Task) -> Path:
        """The bare repository that holds the task's commits, outside every sandbox."""
        ...


class Forge(Protocol):
    """Where repositories live and changes are proposed and landed."""

    def resolve(self, address: str) -> Repository:
        """Find or register what a person named. Raises `UsageError` or `NotFound` with a sentence."""
        ...

    def git_dir(self, repository: Repository) -> Path:
        """A bare repository on this machine that has every pushed and composed commit."""
        ...

    def push(self, repository: Repository, source: Path, sha: str, branch: str) -> None:
        """Make the branch point at the commit; doing it again changes nothing."""
        ...

    def open_change(self, repository: Repository, *, branch: str, title: str, body: str, head_sha: str) -> PullRequest:
        """Open the branch's pull request or bring it up to date: one a branch, however often it is called."""
        ...

    def pull_request(self, repository: Repository, branch: str) -> PullRequest | None: ...

    def close_change(self, repository: Repository, branch: str) -> None: ...

    def compose(
        self, repository: Repository, *, head_sha: str, method: str, message: str, person: Person, at: str
    ) -> Landing:
        """The commit that would land: the change on the newest base. Raises `Refused` on a conflict."""
        ...

    def land(self, repository: Repository, permit: MergePermit, landing: Landing) -> bool:
        """Advance the default branch from `landing.base` to `landing.sha`; True also if it had landed before, False if
        the branch has moved meanwhile. Raises `Refused` when it cannot be done safely."""
        ...

    def diff(self, repository: Repository, base: str, head: str) -> str: ...

    def changed_paths(self, repository: Repository, base: str, head: str) -> list[str]: ...

    def base_text(self, repository: Repository, path: str) -> str | None:
        """A file of the default branch, if it can be had without waiting; None otherwise or if there is none."""
        ...


class Verification(Protocol):
    """Runs a repository's checks on a clean checkout."""

    def __call__(
        self,
        checkout: Checkout,
        file: RepositoryFile,
        *,
        on_start: Callable[[str, str, str], None],
        on_finish: Callable[[Check], None],
        stop: Callable[[], bool],
    ) -> Sequence[Check]: ...


class Builder(Protocol):
    """Builds an artifact from a checkout and keeps it by its content."""

    def build(
        self,
        checkout: Checkout,
        kind: str,
        build: Build,
        *,
        egress: Sequence[str],
        stop: Callable[[], bool],
        on_output: Callable[[str], None],
    ) -> Artifact: ...

    def path(self, artifact: Artifact) -> Path: ...


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
        on_output: Callable[[str], None],
    ) -> None: ...

    def watch(self, deploy: Deploy) -> None:
        """Returns when the health window has passed well; raises `HonkError` with the evidence when it has not."""
        ...


class Previews(Protocol):
    """Serves web artifacts, each at an origin of its own."""

    def serve(self, task_id: str, artifact: Artifact) -> None: ...

    def withdraw(self, task_id: str) -> None:
        """Stop serving what is void."""
        ...


@dataclass(frozen=True)
class Rooms:
    """Everything the flow works with. `previews` is None where no server runs."""

    settings: Settings
    store: Store
    workspaces: Workspaces
    forge: Forge
    harness: Callable[[str], Harness]
    verification: Verification
    builder: Builder
    deployer: Deployer
    previews: Previews | None = None


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
