"""A bare copy of each repository's default branch, kept fresh, from which every tree is made."""

from __future__ import annotations

import fcntl
import logging
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path

from honk.git import GitError, git, git_as
from honk.model import HonkError, Repository, UsageError
from honk.workspace import history

log = logging.getLogger("honk.workspace")

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


@contextmanager
def _told(repository: Repository) -> Iterator[None]:
    """Say of what git says in which repository it could not fetch."""
    try:
        yield
    except GitError as error:
        raise HonkError(f"Older files of {repository.address} cannot be fetched: {error}.") from error


def local_path(git_url: str) -> Path | None:
    """The folder a repository's address names on this machine, or None if it lies elsewhere."""
    if git_url.startswith("file://"):
        return Path(git_url.removeprefix("file://"))
    if "://" in git_url or _SSH_ADDRESS.match(git_url):
        return None
    return Path(git_url).expanduser().absolute()


class Mirrors:
    """The mirrors in Honk's `home`. Safe to use from many threads and processes.

    `size` tells how many bytes a repository has, about, or None where nobody knows.
    """

    def __init__(
        self,
        home: Path,
        credentials: Callable[[Repository, bool], Mapping[str, str]] = lambda _, __: {},
        size: Callable[[Repository], int | None] = lambda _: None,
    ) -> None:
        self._folder = home / "mirrors"
        self._credentials = credentials
        self._size = size
        self._completing: set[str] = set()

    def path(self, repository: Repository) -> Path:
        """The bare repository of `repository`, which `fetch` makes."""
        return self._folder / f"{repository.name}.git"

    def fetch(self, repository: Repository, ref: str | None = None) -> str:
        """Bring the default branch (or `ref`) up to date and return the sha of its newest commit.

        Of a large repository that lies elsewhere only that commit's files come at first; older ones follow by
        themselves (see `whole`). Raises `UsageError` for an empty repository or a branch that is not there, `HonkError`
        if the repository cannot be reached.
        """
        branch = ref or repository.default_branch
        target = branch if branch.startswith("refs/") else f"refs/heads/{branch}"
        mirror = self.path(repository)
        with self._locked(mirror):
            self._create(mirror)
            local = local_path(repository.git_url)
            if local and (newest := _commit(local, target)) and newest == _commit(mirror, target):
                return newest
            source = str(local) if local else repository.git_url
            credentials = partial(self._credentials, repository)
            wanted = ("fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--force", "--", source)
            try:
                if local:
                    git(*wanted, f"{target}:{target}", directory=mirror)
                elif self._in_parts(repository, mirror):
                    history.fetch_files_first(credentials, mirror, source, target)
                else:
                    git_as(credentials, *wanted, f"{target}:{target}", directory=mirror)
            except GitError as error:
                raise self._explained(repository, branch, source, local is None, error) from error
            newest = git("rev-parse", f"{target}^{{commit}}", directory=mirror)
        self._complete_soon(repository)
        return newest

    def has(self, repository: Repository, commit: str) -> bool:
        """Whether a commit is here, with all of its files: they are fetched if only they are missing.

        Raises `HonkError` if that cannot be.
        """
        mirror = self.path(repository)
        if not (mirror.is_dir() and _commit(mirror, commit)):
            return False
        if not history.has_files(mirror, commit):
            with self._locked(mirror):
                if history.is_partial(mirror):
                    credentials = partial(self._credentials, repository)
                    with _told(repository):
                        history.fetch_files(credentials, mirror, repository.git_url, commit)
        return True

    def is_whole(self, repository: Repository) -> bool:
        """Whether the mirror has all files of all commits, not only of those that were wanted."""
        return not history.is_partial(self.path(repository))

    def whole(self, repository: Repository) -> Path:
        """The mirror with all of its history; waits for what is still to come. Raises as `fetch`."""
        mirror = self.path(repository)
        if not (mirror / "HEAD").is_file():
            self.fetch(repository)
        self._complete(mirror)
        return mirror

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
        """Keep each mirror quick: its history whole, its packs indexed together, its commits' graph written, its
        references packed.

        Objects are never removed, since trees and their sandboxes borrow them.
        """
        for mirror in sorted(self._folder.glob("*.git")):
            try:
                self._complete(mirror)
            except HonkError as error:
                log.warning("%s", error)
                continue
            with self._locked(mirror):
                history.remove_marks(mirror)
                for line in _MAINTENANCE:
                    with suppress(GitError):
                        git(*line, directory=mirror, timeout=3600)

    def _locked(self, mirror: Path) -> AbstractContextManager[None]:
        return locked(self._folder / f".{mirror.stem}.lock")

    def _in_parts(self, repository: Repository, mirror: Path) -> bool:
        """Whether files are fetched before the history: in a new mirror of what is large, and until it is whole."""
        if history.is_partial(mirror):
            return True
        if git("for-each-ref", "--count=1", directory=mirror):
            return False
        size = self._size(repository)
        if size is not None and size < history.WORTH_BYTES:
            return False
        history.begin(mirror, repository)
        return True

    def _complete_soon(self, repository: Repository) -> None:
        """Begin to fetch the rest of a history, beside everything else."""
        mirror = self.path(repository)
        if not history.is_partial(mirror) or mirror.stem in self._completing:
            return
        self._completing.add(mirror.stem)

        def complete() -> None:
            try:
                self._complete(mirror)
            except HonkError as error:
                log.warning("%s", error)
            finally:
                self._completing.discard(mirror.stem)

        threading.Thread(target=complete, name=f"history-{mirror.stem}", daemon=True).start()

    def _complete(self, mirror: Path) -> None:
        """Fetch the rest of a history, if there is more; one at a time on this machine. The mirror can be used and
        fetched into meanwhile. Raises `HonkError`."""
        if not history.is_partial(mirror):
            return
        with locked(self._folder / f".{mirror.stem}.history.lock"):
            with self._locked(mirror):
                if not history.is_partial(mirror):
                    return
                repository = history.repository_of(mirror)
                history.remove_torn(mirror)
            place = (partial(self._credentials, repository), mirror, repository.git_url, repository.default_branch)
            with _told(repository):
                known = history.fetch_rest(*place)
                with self._locked(mirror):
                    history.fetch_rest(*place, known)
                    history.end(mirror)

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
