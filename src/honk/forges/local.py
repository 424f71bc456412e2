"""The local forge: bare repositories in Honk's home, pull requests in the store.

A repository either lives here (`git_url` is a bare repository of ours), or somewhere else (a path or a URL a person
named): then the proposed branches live here and only a merge touches the other place.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from pathlib import Path

from honk.gate import MergePermit
from honk.git import GitError, git, succeeds
from honk.model import HonkError, Landing, NotFound, Person, PullRequest, Refused, Repository, UsageError
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

    def push(self, repository: Repository, source: Path, sha: str, branch: str) -> None:
        """See `Forge.push`."""
        git("fetch", "-q", source, f"+{sha}:refs/heads/{branch}", directory=self.git_dir(repository))

    def open_change(self, repository: Repository, *, branch: str, title: str, body: str, head_sha: str) -> PullRequest:
        """See `Forge.open_change`."""
        return self._store.save_pull_request(repository.name, branch, title, body, head_sha)

    def pull_request(self, repository: Repository, branch: str) -> PullRequest | None:
        """See `Forge.pull_request`; the head is what the branch points at now."""
        found = self._store.pull_request(repository.name, branch)
        if found is None:
            return None
        head = git("rev-parse", f"refs/heads/{branch}", directory=self.git_dir(repository))
        return PullRequest(found.number, found.url, found.branch, found.title, found.state, head)

    def close_change(self, repository: Repository, branch: str) -> None:
        """See `Forge.close_change`. The branch stays."""
        self._store.close_pull_request(repository.name, branch, "closed")

    def compose(
        self, repository: Repository, *, head_sha: str, method: str, message: str, person: Person, at: str
    ) -> Landing:
        """See `Forge.compose`. Depends on base and head alone, so that composing again gives the same commit."""
        directory = self.git_dir(repository)
        base = self._newest_base(repository)
        common = git("merge-base", base, head_sha, directory=directory)
        identity = _identity(person, at)
        tried = git("rev-parse", f"{head_sha}^{{tree}}", directory=directory)
        if method == "rebase":
            sha = head_sha if common == base else _rebased(directory, common, base, head_sha, repository, identity)
        else:
            tree = tried if common == base else _merged_tree(directory, base, head_sha, repository.default_branch)
            parents = ["-p", base] + (["-p", head_sha] if method == "merge" else [])
            sha = git(
                "commit-tree", tree, *parents, "-F", "-",
                directory=directory, environment=identity, given=message.encode(),
            )  # fmt: skip
        git("update-ref", f"refs/honk/landings/{sha}", sha, directory=directory)
        return Landing(base, sha, git("rev-parse", f"{sha}^{{tree}}", directory=directory) == tried)

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

    def land(self, repository: Repository, permit: MergePermit, landing: Landing) -> bool:
        """See `Forge.land`."""
        if permit.sha != landing.sha:
            raise Refused("The permit is for another commit; nothing was merged.")
        directory = self.git_dir(repository)
        newest = self._newest_base(repository)
        if succeeds("merge-base", "--is-ancestor", landing.sha, newest, directory=directory):
            return True
        if newest != landing.base:
            return False
        reference = f"refs/heads/{repository.default_branch}"
        if repository.git_url == str(directory):
            return succeeds("update-ref", reference, landing.sha, landing.base, directory=directory)
        if _remote(repository.git_url):
            return _push(directory, repository, reference, landing)
        return _advance_path(directory, repository, reference, landing)

    def base_text(self, repository: Repository, path: str) -> str | None:
        """See `Forge.base_text`: at once for what is on this machine."""
        if _remote(repository.git_url):
            return None
        try:
            return git("show", f"refs/heads/{repository.default_branch}:{path}", directory=Path(repository.git_url))
        except GitError:
            return None

    def changed_paths(self, repository: Repository, base: str, head: str) -> list[str]:
        """See `Forge.changed_paths`. A rename counts as both of its paths."""
        named = git("diff", "--name-only", "--no-renames", "-z", base, head, directory=self.git_dir(repository))
        return [path for path in named.split("\0") if path]

    def diff(self, repository: Repository, base: str, head: str) -> str:
        """See `Forge.diff`. Renames are found, external diff programs are not run."""
        directory = self.git_dir(repository)
        for candidate in (directory, directory.parent.parent / "mirrors" / directory.name):
            if candidate.exists() and succeeds("cat-file", "-e", f"{head}^{{commit}}", directory=candidate):
                return git(
                    "diff", "-M", "--no-color", "--no-ext-diff", "--no-textconv", base, head, directory=candidate
                )
        return ""


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


def _identity(person: Person, at: str) -> dict[str, str]:
    """Who wrote a commit and who made it, always at the same time, so that making it again gives the same one."""
    return {
        "GIT_AUTHOR_NAME": person.name or "Honk",
        "GIT_AUTHOR_EMAIL": person.email or "honk@localhost",
        "GIT_AUTHOR_DATE": at,
        "GIT_COMMITTER_NAME": "Honk",
        "GIT_COMMITTER_EMAIL": "honk@localhost",
        "GIT_COMMITTER_DATE": at,
    }


def _conflict(branch: str) -> Refused:
    return Refused(
        f"The change conflicts with what is on {branch} by now: answer in the thread, for instance "
        f"“merge the newest {branch} and mend the conflicts”."
    )


def _rebased(
    directory: Path, common: str, base: str, head: str, repository: Repository, identity: dict[str, str]
) -> str:
    """The change's own commits, one by one on the newest base."""
    committer = {name: value for name, value in identity.items() if name.startswith("GIT_COMMITTER")}
    with tempfile.TemporaryDirectory(prefix="honk-rebase-") as folder:
        tree = Path(folder) / "tree"
        git("worktree", "add", "-q", "--detach", tree, head, directory=directory)
        try:
            git("rebase", "-q", "--onto", base, common, directory=tree, environment=committer)
            return git("rev-parse", "HEAD", directory=tree)
        except GitError as error:
            raise _conflict(repository.default_branch) from error
        finally:
            git("worktree", "remove", "--force", tree, directory=directory)


def _merged_tree(directory: Path, base: str, head: str, branch: str) -> str:
    try:
        return git(
            "merge-tree", "--write-tree", "--no-messages", "--name-only", base, head, directory=directory
        ).splitlines()[0]
    except GitError as error:
        if error.git_exit_code == 1:
            raise _conflict(branch) from error
        raise HonkError(
            "Merging onto a base that has moved needs git 2.38 or newer on this machine: upgrade git, then merge again."
        ) from error


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
