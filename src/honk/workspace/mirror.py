"""A bare copy of each repository's default branch, kept fresh, from which every tree is made."""

from __future__ import annotations

import fcntl
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from honk.git import GitError, git, git_as
from honk.model import HonkError, Repository, UsageError

_SSH_ADDRESS = re.compile(r"^[^/]+@?[^/]*:(?!//)")


_MAINTENANCE = (
    ("pack-refs", "--all", "--prune"),
    ("repack", "--quiet", "-d", "--geometric=2", "--write-midx", "--no-write-bitmap-index"),
    ("commit-graph", "write", "--reachable", "--changed-paths", "--split", "--no-progress"),
)


def _commit(git_dir: Path, target: str) -> str | None:
    """The commit that a reference names in a git directory, if it does."""
    try:
        return git("rev-parse", "--verify", "--quiet", f"{target}^{{commit}}", directory=git_dir) or None
    except GitError:
        return None


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the file `path` for this thread alone, among all processes of this machine."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def local_path(git_url: str) -> Path | None:
    """The folder a repository's address names on this machine, or None if it lies elsewhere."""
    if git_url.startswith("file://"):
        return Path(git_url.removeprefix("file://"))
    if "://" in git_url or _SSH_ADDRESS.match(git_url):
        return None
    return Path(git_url).expanduser().absolute()


class Mirrors:
    """The mirrors in Honk's `home`. Safe to use from many threads and processes."""

    def __init__(
        self, home: Path, credentials: Callable[[Repository, bool], Mapping[str, str]] = lambda _, __: {}
    ) -> None:
        self._folder = home / "mirrors"
        self._credentials = credentials

    def path(self, repository: Repository) -> Path:
        """The bare repository of `repository`, which `fetch` makes."""
        return self._folder / f"{repository.name}.git"

    def fetch(self, repository: Repository, ref: str | None = None) -> str:
        """Bring the default branch (or `ref`) up to date and return the sha of its newest commit.

        Raises `UsageError` for an empty repository or a branch that is not there, `HonkError` if the repository
        cannot be reached.
        """
        branch = ref or repository.default_branch
        target = branch if branch.startswith("refs/") else f"refs/heads/{branch}"
        mirror = self.path(repository)
        with locked(self._folder / f".{repository.name}.lock"):
            self._create(mirror)
            local = local_path(repository.git_url)
            if local and (newest := _commit(local, target)) and newest == _commit(mirror, target):
                return newest
            source = str(local) if local else repository.git_url
            wanted = ("fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--force", "--", source)
            try:
                if local:
                    git(*wanted, f"{target}:{target}", directory=mirror)
                else:
                    git_as(partial(self._credentials, repository), *wanted, f"{target}:{target}", directory=mirror)
            except GitError as error:
                raise self._explained(repository, branch, source, local is None, error) from error
            return git("rev-parse", f"{target}^{{commit}}", directory=mirror)

    def commit(self, repository: Repository, name: str, head: str) -> str:
        """The commit that a person names in a repository, as git would write it; `HEAD` is `head`. It is in the mirror
        then. Raises `UsageError` if there is no such."""
        wrong = UsageError(f"{name!r} names no commit of {repository.address}: name a branch, a tag or a commit of it.")
        if name.startswith("-"):
            raise wrong
        mirror, local = self.path(repository), local_path(repository.git_url)
        target = re.sub(r"^(?:HEAD|@)(?![\w{])", head, name)
        if found := _commit(mirror, target) if target != name or not local else _commit(local, name):
            if local and not _commit(mirror, found):
                git("fetch", "--quiet", "--no-tags", "--", str(local), found, directory=mirror)
            return found
        if local:
            raise wrong
        try:
            return self.fetch(repository, name)
        except UsageError:
            raise wrong from None

    def maintain(self) -> None:
        """Keep each mirror quick: its packs indexed together, its commits' graph written, its references packed.

        Objects are never removed, since trees and their sandboxes borrow them.
        """
        for mirror in sorted(self._folder.glob("*.git")):
            with locked(self._folder / f".{mirror.stem}.lock"):
                for line in _MAINTENANCE:
                    with suppress(GitError):
                        git(*line, directory=mirror, timeout=3600)

    def _create(self, mirror: Path) -> None:
        if not (mirror / "HEAD").is_file():
            mirror.mkdir(parents=True, exist_ok=True)
            git("init", "--quiet", "--bare", mirror)

    def _explained(self, repository: Repository, branch: str, source: str, person: bool, error: GitError) -> HonkError:
        try:
            given = {} if not person else self._credentials(repository, False)
            heads = git("ls-remote", "--heads", "--", source, person=person, environment=given, timeout=60)
        except GitError:
            return HonkError(f"The repository {repository.address} cannot be read: {error}.")
        if not heads:
            return UsageError(f"The repository {repository.address} is empty: push a first commit to {branch}.")
        names = [line.partition("\trefs/heads/")[2] for line in heads.splitlines()]
        if branch not in names:
            known = ", ".join(names[:5])
            return UsageError(f"The repository {repository.address} has no branch {branch}: it has {known}.")
        return HonkError(f"The repository {repository.address} cannot be fetched: {error}.")
