"""Repositories on GitHub: branches pushed with an installation's token, pull requests, merges of exactly one commit."""

from __future__ import annotations

import base64
import contextlib
import logging
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from honk.forges.composing import Composition, changed_paths, composed, unified_diff
from honk.forges.github.accounts import GitHubAccounts
from honk.forges.github.api import GitHubApi, GitHubError, Place
from honk.forges.github.deployments import deploy
from honk.forges.github.merge_queue import merge_by_queue, wants_queue
from honk.forges.github.pulls import elsewhere, merge_pull, obstacle_of, red_checks, set_draft, wanted_approvals
from honk.forges.github.workflows import run_workflow
from honk.gate import MergePermit
from honk.git import GitError, git, git_as, plain_text, succeeds
from honk.model import (
    Access,
    Check,
    Conflict,
    HonkError,
    Landing,
    NotFound,
    Person,
    PullRequest,
    Refused,
    Repository,
    UsageError,
)
from honk.settings import Settings
from honk.store import Store

log = logging.getLogger("honk.github")

_PLACE = re.compile(r"^[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+$")
_BASE = "refs/honk/base"
CHECK_NAME = "Honk"
"""What Honk's own result is called among a commit's checks."""


class GitHubForge:
    """Implements the flow's `Forge` on GitHub.

    `history` gives a git directory that has all of a repository's history and never loses any: what is there is
    borrowed instead of being fetched and kept again.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        api: GitHubApi,
        accounts: GitHubAccounts,
        history: Callable[[Repository], Path],
    ) -> None:
        self._settings = settings
        self._store = store
        self._api = api
        self._accounts = accounts
        self._history = history
        self._folder = settings.home / "forge"
        self._root = settings.github_git_url.rstrip("/")

    # -- repositories ------------------------------------------------------------------------------------------------

    def owns(self, git_url: str) -> bool:
        """Whether an address is of this forge."""
        return git_url.startswith(f"{self._root}/")

    def place_in(self, address: str) -> Place | None:
        """The repository an address names here (`owner/name`, its page, its git address), whether or not it exists."""
        found = address.strip().removeprefix(f"{self._root}/").removesuffix("/").removesuffix(".git")
        found = re.sub(r"^git@[\w.-]+:", "", found)
        parts = found.split("/")
        if len(parts) > 2 and self.owns(address.strip()):
            found = "/".join(parts[:2])
        if not _PLACE.match(found):
            return None
        owner, name = found.split("/")
        return Place(owner, name)

    def place(self, repository: Repository) -> Place:
        """Where a registered repository is."""
        found = self.place_in(repository.git_url)
        if found is None:
            raise UsageError(f"{repository.git_url} is not a repository on GitHub.")
        return found

    def resolve(self, address: str) -> Repository:
        """Register what a person named. Raises `NotFound` where the app is not installed, `Refused` by the settings."""
        place = self.place_in(address)
        if place is None:
            raise UsageError(f"{address!r} is not a repository on GitHub: name it as owner/name.")
        if not self._api.allowed(place):
            raise Refused(f"Honk is not to work on {place} here: its administrators chose the repositories.")
        found = self._api.call("GET", "", place, to=f"read {place}")
        place = Place(*str(found["full_name"]).split("/"))
        git_url = f"{self._root}/{place}.git"
        known = self._store.repository(f"{self._root}/{place}")
        repository = Repository(
            known.name if known else self._name(place), f"{self._root}/{place}", git_url, found["default_branch"]
        )
        # Somebody else may have registered it meanwhile.
        return self._store.add_repository(repository)

    def lookup(self, name: str) -> Repository | None:
        """See `Forges.lookup`."""
        place = self.place_in(name)
        if place is None:
            return None
        try:
            return self._store.repository(f"{self._root}/{place}") or self.resolve(name)
        except HonkError:
            return None

    def _name(self, place: Place) -> str:
        for name in (place.name, f"{place.owner}-{place.name}"):
            if self._store.repository(name) is None:
                return name
        raise UsageError(f"There is another repository called {place.owner}-{place.name} here already.")

    def git_dir(self, repository: Repository) -> Path:
        """See `Forge.git_dir`. Made where it is not there: another machine may have come to know the repository."""
        return self._directory(repository, self._history(repository))

    def _directory(self, repository: Repository, history: Path) -> Path:
        """The same, without waiting until `history` is whole."""
        directory = self._folder / f"{repository.name}.git"
        if not directory.exists():
            directory.parent.mkdir(parents=True, exist_ok=True)
            git("init", "-q", "--bare", directory)
        borrowed = directory / "objects" / "info" / "alternates"
        if history.is_dir() and not borrowed.exists():
            draft = borrowed.with_name(f"alternates-{secrets.token_hex(4)}")
            draft.write_text(f"{history / 'objects'}\n")
            draft.rename(borrowed)
        return directory

    def size(self, repository: Repository) -> int | None:
        """See `Forge.size`."""
        try:
            told = self._api.call("GET", "", self.place(repository), to="ask for its size").get("size")
        except GitHubError:
            return None
        return None if told is None else int(told) * 1024

    def access(self, repository: Repository, person: Person) -> Access:
        """See `Forge.access`. Whoever works at the installation itself is its owner."""
        if person.id.startswith("local:"):
            return "write"
        account = self._store.account(person.id)
        if account is None:
            raise Refused("Link your GitHub account first, so that Honk knows what you may do: `/honk link`.")
        users = [user.lower() for user in self._settings.github_users]
        if users and account.login.lower() not in users:
            return "none"
        return self.access_of(self.place(repository), account.login)

    def access_of(self, place: Place, login: str) -> Access:
        """What somebody may do with a repository, asked of GitHub now."""
        try:
            answer = self._api.call(
                "GET", f"/collaborators/{login}/permission", place, to=f"ask what {login} may do with {place}"
            )
        except GitHubError as error:
            if error.status == 404:
                return "none"
            raise
        known: dict[str, Access] = {"admin": "write", "maintain": "write", "write": "write", "triage": "read"}
        return known.get(answer["permission"], "read" if answer["permission"] == "read" else "none")

    def credentials(self, repository: Repository, renew: bool = False) -> Mapping[str, str]:
        """See `Forge.credentials`: in the environment, so that no process list shows them."""
        if renew:
            self._api.renew(self.place(repository))
        token = base64.b64encode(f"x-access-token:{self._api.token(self.place(repository))}".encode()).decode()
        given = {
            f"http.{self._root}/.extraHeader": f"Authorization: Basic {token}",
            "credential.helper": "",
            "http.followRedirects": "false",
        }
        environment = {"GIT_CONFIG_COUNT": str(len(given))}
        for number, (key, value) in enumerate(given.items()):
            environment |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
        return environment

    # -- the change --------------------------------------------------------------------------------------------------

    def push(self, repository: Repository, source: Path, sha: str, branch: str) -> None:
        """See `Forge.push`."""
        directory, reference = self.git_dir(repository), f"refs/heads/{branch}"
        git("fetch", "-q", source, f"+{sha}:refs/honk/heads/{branch}", directory=directory)
        there = self._head(repository, branch)
        if there == sha:
            return
        if there is not None:
            if not succeeds("cat-file", "-e", f"{there}^{{commit}}", directory=directory):
                self._fetch(repository, reference, f"refs/honk/there/{branch}")
            if not succeeds("merge-base", "--is-ancestor", there, sha, directory=directory):
                raise Conflict(f"Somebody pushed {there[:8]} to {branch}.")
        lease = f"--force-with-lease={reference}:{there or ''}"
        try:
            given = ("push", "-q", lease, repository.git_url, f"{sha}:{reference}")
            git_as(partial(self.credentials, repository), *given, directory=directory)
        except GitError as error:
            if "stale info" in str(error):
                raise Conflict(f"Somebody pushed to {branch} meanwhile.") from error
            raise HonkError(f"GitHub refused the push to {branch}: {error}.") from error

    def _head(self, repository: Repository, branch: str) -> str | None:
        wanted = ("ls-remote", "--heads", repository.git_url, f"refs/heads/{branch}")
        answer = git_as(partial(self.credentials, repository), *wanted, timeout=60)
        return answer.split()[0] if answer else None

    def open_change(
        self, repository: Repository, *, branch: str, title: str, body: str, head_sha: str, person: Person
    ) -> PullRequest:
        """See `Forge.open_change`. By the person's own token where they gave one, else by the app."""
        place = self.place(repository)
        known = self._pull(place, branch)
        if known and not known.get("merged_at"):
            wanted = {"title": title, "body": body, "state": "open"}
            changed = {name: value for name, value in wanted.items() if known.get(name) != value}
            if changed:
                known = self._api.call("PATCH", f"/pulls/{known['number']}", place, to="update it", json=changed)
            return self._read(known, branch)
        made = self._create(place, repository, {"title": title, "body": body, "head": branch}, person)
        with contextlib.suppress(GitHubError):
            self._api.call(
                "POST", f"/issues/{made['number']}/labels", place, to="label it",
                json={"labels": [self._settings.github_label]},
            )  # fmt: skip
        return self._read(made, branch)

    def _create(self, place: Place, repository: Repository, wanted: dict[str, Any], person: Person) -> dict[str, Any]:
        given = {**wanted, "base": repository.default_branch, "maintainer_can_modify": True}
        for token in (self._accounts.token(person), None):
            try:
                made: dict[str, Any] = self._api.call(
                    "POST", "/pulls", place, to=f"open a pull request on {place}", json=given, token=token
                )
                return made
            except GitHubError as error:
                # It may have been made all the same: the answer was lost, or an earlier life of this step made it.
                if found := self._pull(place, wanted["head"]):
                    return found
                if token is None or error.status not in (401, 403, 404):
                    raise
        raise AssertionError("the app's own try either made it or raised")

    def _pull(self, place: Place, branch: str) -> dict[str, Any] | None:
        """The branch's newest pull request."""
        found = self._api.call(
            "GET", "/pulls", place, to=f"list the pull requests of {place}",
            params={"head": f"{place.owner}:{branch}", "state": "all", "per_page": 20},
        )  # fmt: skip
        ours = [pull for pull in found if pull["head"]["ref"] == branch and _of(pull["head"], place)]
        return max(ours, key=lambda pull: int(pull["number"])) if ours else None

    @staticmethod
    def _read(pull: Mapping[str, Any], branch: str) -> PullRequest:
        merged = bool(pull.get("merged_at") or pull.get("merged"))
        state: Literal["open", "merged", "closed"] = "closed"
        if merged or pull["state"] == "open":
            state = "merged" if merged else "open"
        head: str = pull["head"]["sha"]
        return PullRequest(int(pull["number"]), pull["html_url"], branch, pull["title"], state, head)

    def pull_request(self, repository: Repository, branch: str) -> PullRequest | None:
        """See `Forge.pull_request`."""
        found = self._pull(self.place(repository), branch)
        if found is None:
            return None
        pull = self._read(found, branch)
        directory = self.git_dir(repository)
        if pull.state == "open" and not succeeds("cat-file", "-e", f"{pull.head_sha}^{{commit}}", directory=directory):
            self._fetch(repository, f"refs/heads/{branch}", f"refs/honk/heads/{branch}")
        return pull

    def hold(self, repository: Repository, branch: str, *, held: bool) -> None:
        """See `Forge.hold`."""
        place = self.place(repository)
        try:
            found = self._pull(place, branch)
            if found and found["state"] == "open" and bool(found.get("draft")) != held:
                set_draft(self._api, place, found, draft=held)
        except GitHubError as error:
            log.info("the draft state of %s on %s stays: %s", branch, place, error)

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
        """See `Forge.report`: one check run."""
        place = self.place(repository)
        # What the base fails at, too, is reported only where its honk.yaml lets that pass.
        red = [check.name for check in checks if not check.green and check.status != "already_red"]
        rows = [f"- {check.name}: {check.remark or check.status}, {check.seconds:.1f} s" for check in checks]
        passed = f"{len(checks)} checks passed on a clean checkout"
        wanted = {
            "name": CHECK_NAME,
            "head_sha": head_sha,
            "status": "completed",
            # An override comes later and is Honk's matter: what is held must not keep GitHub from merging then.
            "conclusion": "failure" if red else "neutral" if held else "success",
            "output": {
                "title": f"{', '.join(red)} failed" if red else f"{passed}; a person has to look" if held else passed,
                "summary": "\n".join([*rows, "", *notes])[:60_000] if rows or notes else "No checks.",
            },
        } | ({"details_url": url} if url.startswith("http") else {})
        try:
            listed = self._api.call(
                "GET", f"/commits/{head_sha}/check-runs", place, to="read the checks", params={"check_name": CHECK_NAME}
            )
            own = self._api.app().get("id")
            if not any((run.get("app") or {}).get("id") == own for run in listed["check_runs"]):
                self._api.call("POST", "/check-runs", place, to="report its checks", json=wanted)
        except GitHubError as error:
            log.info("the checks of %s on %s are not shown there: %s", head_sha[:8], place, error)

    def close_change(self, repository: Repository, branch: str) -> None:
        """See `Forge.close_change`. The branch stays."""
        place = self.place(repository)
        found = self._pull(place, branch)
        if found and found["state"] == "open":
            self._api.call("PATCH", f"/pulls/{found['number']}", place, to="close it", json={"state": "closed"})

    # -- merging -----------------------------------------------------------------------------------------------------

    def obstacle(self, repository: Repository, branch: str, head_sha: str) -> str | None:
        """See `Forge.obstacle`. Raises `Conflict` where GitHub wants the change on the newest base first."""
        place = self.place(repository)
        if red := red_checks(self._api, place, head_sha, self._api.app().get("id")):
            return red
        found = self._pull(place, branch)
        return obstacle_of(self._api, place, found, repository.default_branch) if found else None

    def wanted_approvals(self, repository: Repository) -> int:
        """See `Forge.wanted_approvals`."""
        return wanted_approvals(self._api, self.place(repository), repository.default_branch) or 0

    def approvals(self, repository: Repository, branch: str, head_sha: str) -> Sequence[str]:
        """See `Forge.approvals`: the last word of each reviewer who may write."""
        place = self.place(repository)
        found = self._pull(place, branch)
        if found is None:
            return ()
        last: dict[str, Mapping[str, Any]] = {}
        for review in self._api.pages(f"/pulls/{found['number']}/reviews", place, to="read the reviews"):
            by_person = review.get("user") and review["user"].get("type") != "Bot"
            if by_person and review["state"] in ("APPROVED", "CHANGES_REQUESTED", "DISMISSED"):
                last[review["user"]["login"]] = review
        return [
            f"github:{login}"
            for login, review in last.items()
            if review["state"] == "APPROVED"
            and review["commit_id"] == head_sha
            and self.access_of(place, login) == "write"
        ]

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
        base = base or self._newest_base(repository)
        wanted = Composition(base, head_sha, method, message, person, at)
        return composed(self.git_dir(repository), wanted, repository.default_branch)

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
        """See `Forge.land`. GitHub makes the commit, of exactly the tried head."""
        if permit.sha != landing.sha:
            raise Refused("The permit is for another commit; nothing was merged.")
        place = self.place(repository)
        found = self._pull(place, branch)
        if found is None:
            raise Refused("The pull request is gone: reopen it by answering in the thread.")
        if not found.get("merged_at"):
            if found["base"]["ref"] != repository.default_branch:
                raise Refused(elsewhere(found, repository.default_branch))
            newest, directory = self._newest_base(repository), self.git_dir(repository)
            trees = {git("rev-parse", f"{one}^{{tree}}", directory=directory) for one in (newest, landing.base)}
            if len(trees) > 1:
                return None
            if wants_queue(self._api, place, repository.default_branch):
                sha = merge_by_queue(self._api, place, found, permit.head_sha, tell)
            else:
                sha = merge_pull(self._api, place, int(found["number"]), permit.head_sha, method, message)
        else:
            sha = self._api.call("GET", f"/pulls/{found['number']}", place, to="read what was merged")[
                "merge_commit_sha"
            ]
        self._newest_base(repository)
        return str(sha)

    def _newest_base(self, repository: Repository) -> str:
        self._fetch(repository, f"refs/heads/{repository.default_branch}", _BASE)
        return git("rev-parse", _BASE, directory=self.git_dir(repository))

    def _fetch(self, repository: Repository, reference: str, kept: str) -> None:
        wanted = ("fetch", "-q", "--no-tags", repository.git_url, f"+{reference}:{kept}")
        git_as(partial(self.credentials, repository), *wanted, directory=self.git_dir(repository))

    # -- what is on this machine -------------------------------------------------------------------------------------

    # -- what GitHub's own machines do -------------------------------------------------------------------------------

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
        """See `Forge.run_workflow`."""
        return run_workflow(
            self._api,
            self.place(repository),
            workflow,
            branch=branch,
            sha=sha,
            seconds=seconds,
            folder=folder,
            tell=tell,
            stop=stop,
        )

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
        """See `Forge.deploy`."""
        place = self.place(repository)
        deploy(self._api, place, sha, environment=environment, key=key, seconds=seconds, tell=tell)

    def diff(self, repository: Repository, base: str, head: str) -> str:
        """See `Forge.diff`."""
        mirror = self._mirror(repository)
        return unified_diff((self._directory(repository, mirror), mirror), base, head)

    def changed_paths(self, repository: Repository, base: str, head: str) -> list[str]:
        """See `Forge.changed_paths`."""
        return changed_paths(self.git_dir(repository), base, head)

    def base_text(self, repository: Repository, path: str) -> str | None:
        """See `Forge.base_text`: as the mirror has it."""
        try:
            mirror = self._mirror(repository)
            return plain_text(mirror, f"refs/heads/{repository.default_branch}", path, repository.name)
        except (GitError, NotADirectoryError, FileNotFoundError):
            return None

    def _mirror(self, repository: Repository) -> Path:
        return self._folder.parent / "mirrors" / f"{repository.name}.git"

    def register_all(self) -> list[Repository]:
        """Make known every repository the app is installed on and the settings allow."""
        known = []
        for place in self._api.repositories():
            try:
                known.append(self.resolve(str(place)))
            except (NotFound, Refused, UsageError) as error:
                log.info("%s is left out: %s", place, error)
            except GitHubError as error:
                if error.passing:
                    raise
                log.info("%s is left out: %s", place, error)
        return known


def _of(head: Mapping[str, Any], place: Place) -> bool:
    """Whether a branch is the repository's own, not a fork's."""
    return str((head.get("repo") or {}).get("full_name", "")).lower() == str(place).lower()
