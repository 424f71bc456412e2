"""The local forge: bare repositories in Honk's home, pull requests in the store.

A repository either lives here (`git_url` is a bare repository of ours), or somewhere else (a path or a URL a person
named): then the proposed branches live here and only a merge touches the other place.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from honk.forges.composing import Composition, changed_paths, composed, unified_diff
from honk.gate import MergePermit
from honk.git import GitError, git, plain_text, succeeds
from honk.model import (
    Access,
    Check,
    Conflict,
    Landing,
    NotFound,
    Person,
    PullRequest,
    Refused,
    Repository,
    UsageError,
)
from honk.store import Store

_URL = re.compile(r"^(?:[a-z][a-z0-9+.-]*://|[\w.-]+@[\w.-]+:)", re.IGNORECASE)
_BASE = "refs/honk/base"


class LocalForge:
    """Implements the flow's `Forge` on this machine."""

    def __init__(self, home: Path, store: Store) -> None:
        self._folder = home / "forge"
        self._store = store

    def create(self, name: str, source: Path) -> Repository:
        """Put a repository on this forge, with the history of `source` (a git repository); once a name."""
        directory = self._folder / f"{name}.git"
        if not directory.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            git("clone", "-q", "--bare", source, directory)
        repository = Repository(name, name, str(directory), _default_branch(str(directory)))
        self._store.add_repository(repository)
        return repository

    def resolve(self, address: str) -> Repository:
        """See `Forge.resolve`. `PLACE#BRANCH` starts from that branch and goes back to it; otherwise a path's is the
        one checked out there (or HEAD's, if bare), and a URL's the one it names itself."""
        address = address.strip()
        if not address:
            raise UsageError("Name a repository: a path, a URL, or one that Honk knows.")
        if "\0" in address or address.startswith("-"):
            raise UsageError(f"{address!r} is not a repository's path or URL.")
        known = self._store.repository(address)
        if known and (known.git_url.startswith(str(self._folder)) or "#" in known.address):
            return known
        place, _, asked = address.partition("#")
        git_url = place if _URL.match(place) else str(_git_directory(place))
        branch = _branch(git_url, asked) if asked else _default_branch(git_url)
        whole = f"{git_url}#{asked}" if asked else git_url
        name = known.name if known else self._name(whole)
        repository = Repository(name, whole, git_url, branch)
        self._store.add_repository(repository)
        directory = self.git_dir(repository)
        if not directory.exists():
            directory.parent.mkdir(parents=True, exist_ok=True)
            git("init", "-q", "--bare", directory)
        return repository

    @staticmethod
    def is_here(address: str) -> bool:
        """Whether an address names something on this machine."""
        return Path(address.partition("#")[0]).expanduser().exists()

    def _name(self, address: str) -> str:
        known = self._store.repository(address)
        if known:
            return known.name
        git_url, _, branch = address.partition("#")
        whole = Path(git_url.rstrip("/")).name.removesuffix(".git") + (f"-{branch}" if branch else "")
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", whole).strip("-.")
        taken = self._store.repository(stem)
        suffix = hashlib.sha256(address.encode()).hexdigest()[:6]
        return f"{stem or 'repository'}-{suffix}" if taken or not stem else stem

    def git_dir(self, repository: Repository) -> Path:
        """See `Forge.git_dir`."""
        return self._folder / f"{repository.name}.git"

    def lookup(self, name: str) -> Repository | None:
        """See `Forge.lookup`: only what is known already."""
        return self._store.repository(name)

    def access(self, repository: Repository, person: Person) -> Access:
        """See `Forge.access`. Whoever a surface lets in may write: here there are no accounts."""
        return "write"

    def credentials(self, repository: Repository, renew: bool = False) -> Mapping[str, str]:
        """See `Forge.credentials`: the person's own serve."""
        return {}

    def size(self, repository: Repository) -> int | None:
        """See `Forge.size`: nobody tells."""
        return None

    def push(self, repository: Repository, source: Path, sha: str, branch: str) -> None:
        """See `Forge.push`."""
        directory, reference = self.git_dir(repository), f"refs/heads/{branch}"
        if succeeds("rev-parse", "--verify", "-q", reference, directory=directory):
            there = git("rev-parse", reference, directory=directory)
            git("fetch", "-q", source, f"+{sha}:refs/honk/proposed", directory=directory)
            if not succeeds("merge-base", "--is-ancestor", there, sha, directory=directory):
                raise Conflict(f"Somebody pushed {there[:8]} to {branch}.")
        git("fetch", "-q", source, f"+{sha}:{reference}", directory=directory)

    def open_change(
        self, repository: Repository, *, branch: str, title: str, body: str, head_sha: str, person: Person
    ) -> PullRequest:
        """See `Forge.open_change`."""
        return self._store.save_pull_request(repository.name, branch, title, body, head_sha)

    def pull_request(self, repository: Repository, branch: str) -> PullRequest | None:
        """See `Forge.pull_request`; the head is what the branch points at now."""
        found = self._store.pull_request(repository.name, branch)
        if found is None:
            return None
        head = git("rev-parse", f"refs/heads/{branch}", directory=self.git_dir(repository))
        return PullRequest(found.number, found.url, found.branch, found.title, found.state, head)

    def hold(self, repository: Repository, branch: str, *, held: bool) -> None:
        """See `Forge.hold`: here nothing shows it but the task."""

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
        """See `Forge.report`: here the task's own page does."""

    def obstacle(self, repository: Repository, branch: str, head_sha: str) -> str | None:
        """See `Forge.obstacle`: there is nothing here besides the gate."""
        return None

    def approvals(self, repository: Repository, branch: str, head_sha: str) -> Sequence[str]:
        """See `Forge.approvals`: here they are taps on the task."""
        return ()

    def wanted_approvals(self, repository: Repository) -> int:
        """See `Forge.wanted_approvals`: honk.yaml alone says it here."""
        return 0

    def close_change(self, repository: Repository, branch: str) -> None:
        """See `Forge.close_change`. The branch stays."""
        self._store.close_pull_request(repository.name, branch, "closed")

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
        """See `Forge.compose`."""
        directory = self.git_dir(repository)
        base = base or self._newest_base(repository)
        wanted = Composition(base, head_sha, method, message, person, at)
        return composed(directory, wanted, repository.default_branch)

    def _newest_base(self, repository: Repository) -> str:
        directory = self.git_dir(repository)
        reference = f"refs/heads/{repository.default_branch}"
        if repository.git_url == str(directory):
            return git("rev-parse", reference, directory=directory)
        git(
            "fetch",
            "-q",
            "--no-tags",
            repository.git_url,
            f"+{reference}:{_BASE}",
            directory=directory,
            person=_remote(repository.git_url),
        )
        return git("rev-parse", _BASE, directory=directory)

    def land(
        self,
        repository: Repository,
        permit: MergePermit,
        landing: Landing,
        *,
        branch: str,
        method: str,
        message: str,
        tell: Callable[[str], None] = lambda _: None,
    ) -> str | None:
        """See `Forge.land`."""
        if permit.sha != landing.sha:
            raise Refused("The permit is for another commit; nothing was merged.")
        directory = self.git_dir(repository)
        newest = self._newest_base(repository)
        if succeeds("merge-base", "--is-ancestor", landing.sha, newest, directory=directory):
            return landing.sha
        if newest != landing.base:
            return None
        return landing.sha if self._advance(repository, landing) else None

    def _advance(self, repository: Repository, landing: Landing) -> bool:
        directory = self.git_dir(repository)
        reference = f"refs/heads/{repository.default_branch}"
        if repository.git_url == str(directory):
            return succeeds("update-ref", reference, landing.sha, landing.base, directory=directory)
        if _remote(repository.git_url):
            return _push(directory, repository, reference, landing)
        return _advance_path(directory, repository, reference, landing)

    def run_workflow(self, repository: Repository, workflow: str, **_: object) -> Sequence[Path]:
        """See `Forge.run_workflow`: there is nothing here that could."""
        raise UsageError(
            f"{workflow} runs on GitHub Actions, and {repository.name} is not on GitHub: leave out its `on`."
        )

    def deploy(self, repository: Repository, sha: str, *, environment: str, **_: object) -> None:
        """See `Forge.deploy`: there is nothing here that could."""
        raise UsageError(
            f"{environment} is an environment on GitHub, and {repository.name} is not there: name `deploy.run` instead."
        )

    def base_text(self, repository: Repository, path: str) -> str | None:
        """See `Forge.base_text`: at once for what is on this machine."""
        if _remote(repository.git_url):
            return None
        try:
            branch = f"refs/heads/{repository.default_branch}"
            return plain_text(Path(repository.git_url), branch, path, repository.name)
        except GitError:
            return None

    def changed_paths(self, repository: Repository, base: str, head: str) -> list[str]:
        """See `Forge.changed_paths`."""
        return changed_paths(self.git_dir(repository), base, head)

    def diff(self, repository: Repository, base: str, head: str) -> str:
        """See `Forge.diff`."""
        directory = self.git_dir(repository)
        return unified_diff((directory, directory.parent.parent / "mirrors" / directory.name), base, head)


def _remote(git_url: str) -> bool:
    return bool(_URL.match(git_url))


def _git_directory(address: str) -> Path:
    path = Path(address).expanduser()
    if not path.exists():
        raise NotFound(f"There is no repository at {address}: name a folder with a git repository, or a URL.")
    path = path.resolve()
    try:
        inside = git("rev-parse", "--is-bare-repository", directory=path)
        return path if inside == "true" else Path(git("rev-parse", "--show-toplevel", directory=path))
    except (GitError, NotADirectoryError) as error:
        raise UsageError(
            f"{address} is not a git repository: run `git init` there and commit something first."
        ) from error


def _branch(git_url: str, name: str) -> str:
    """The branch a person named. Raises `NotFound` if there is none."""
    person = _remote(git_url)
    found = git("ls-remote", "--heads", git_url, f"refs/heads/{name}", person=person, timeout=60)
    if not found:
        raise NotFound(f"There is no branch {name!r} in {git_url}: name one that is there, or leave it out.")
    return name


def _default_branch(git_url: str) -> str:
    """The branch a change starts from and goes back to."""
    if not _remote(git_url):
        try:
            branch = git("symbolic-ref", "--short", "HEAD", directory=Path(git_url))
        except GitError as error:
            raise UsageError(
                f"No branch is checked out in {git_url} (its HEAD is detached): check out the branch to start from."
            ) from error
        if not succeeds("rev-parse", "--verify", "-q", f"refs/heads/{branch}", directory=Path(git_url)):
            raise UsageError(f"The repository {git_url} is empty: commit something to {branch} first.")
        return branch
    try:
        answer = git("ls-remote", "--symref", git_url, "HEAD", person=True, timeout=60)
    except GitError as error:
        raise NotFound(f"The repository {git_url} cannot be read: {error}.") from error
    if found := re.search(r"^ref: refs/heads/(\S+)\tHEAD$", answer, re.MULTILINE):
        return found[1]
    raise UsageError(f"The repository {git_url} is empty or has no default branch: push a commit to it first.")


def _push(directory: Path, repository: Repository, reference: str, landing: Landing) -> bool:
    try:
        git(
            "push",
            "-q",
            f"--force-with-lease={reference}:{landing.base}",
            repository.git_url,
            f"{landing.sha}:{reference}",
            directory=directory,
            person=True,
        )
    except GitError as error:
        if "stale info" in str(error) or "fetch first" in str(error) or "non-fast-forward" in str(error):
            return False
        raise Refused(f"{repository.git_url} refused the push to {repository.default_branch}: {error}.") from error
    return True


def _advance_path(directory: Path, repository: Repository, reference: str, landing: Landing) -> bool:
    """Advance a branch of the person's own repository without losing anything of theirs."""
    path = Path(repository.git_url)
    git("fetch", "-q", "--no-tags", "--no-write-fetch-head", directory, landing.sha, directory=path, person=True)
    holder = _work_tree_on(path, reference)
    if holder is None:
        return succeeds("update-ref", "-m", "honk: merge", reference, landing.sha, landing.base, directory=path)
    if git("status", "--porcelain", "--untracked-files=no", "--ignore-submodules=all", directory=holder, person=True):
        raise Refused(
            f"{repository.default_branch} is checked out in {holder} with uncommitted changes: commit or stash them, "
            "then merge again."
        )
    if git("rev-parse", "HEAD", directory=holder) != landing.base:
        return False
    try:
        git("merge", "-q", "--ff-only", landing.sha, directory=holder, person=True)
    except GitError as error:
        raise Refused(f"{holder} cannot be brought to the merged commit: {error}.") from error
    return True


def _work_tree_on(path: Path, reference: str) -> Path | None:
    """The work tree that has the branch checked out, if one has."""
    folder: Path | None = None
    bare = False
    for line in git("worktree", "list", "--porcelain", directory=path).splitlines():
        if line.startswith("worktree "):
            folder, bare = Path(line.removeprefix("worktree ")), False
        elif line == "bare":
            bare = True
        elif line == f"branch {reference}" and not bare:
            return folder
    return None
