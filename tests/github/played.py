"""A GitHub on loopback, as strict as the real one: REST, GraphQL, device flow, git over HTTP, signed webhooks.

Every request is held against GitHub's own description, and so is every answer. Git is the real one.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import re
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import jwt
import uvicorn
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from honk.certificates import trusted
from tests.conftest import git
from tests.github.description import description, graphql_faults
from tests.github.git_http import serve_git

APP_ID = 4242
SLUG = "honk-test"


def now(seconds: float = 0) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


class Refusal(Exception):
    """An answer other than a good one."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}


@dataclass
class Fault:
    """A request that goes wrong: before anything happened, or after it did (`after`: the connection is cut)."""

    method: str
    path: str
    status: int
    headers: Mapping[str, str]
    message: str
    after: bool
    times: int
    then: Fault | None = None
    """What goes wrong next, once this did."""


@dataclass
class Forge:
    """One repository's rows."""

    pulls: dict[int, dict[str, Any]] = field(default_factory=dict)
    issues: dict[int, dict[str, Any]] = field(default_factory=dict)
    issue_events: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    comments: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    review_comments: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    reviews: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    runs: list[dict[str, Any]] = field(default_factory=list)
    statuses: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    protection: dict[str, int] = field(default_factory=dict)
    rules: dict[str, int] = field(default_factory=dict)
    queued: dict[int, tuple[str, str]] = field(default_factory=dict)
    """The merge queue: by pull request, the head that was lined up and the state of its entry."""
    queues: set[str] = field(default_factory=set)
    """Branches that take changes by the queue only."""
    changed: dict[int, str] = field(default_factory=dict)
    """When something last happened to an issue or a pull request."""
    reactions: list[tuple[str, str]] = field(default_factory=list)
    logs: dict[int, str] = field(default_factory=dict)
    deployments: list[dict[str, Any]] = field(default_factory=list)
    deployed: Callable[[str, str], str] = lambda sha, environment: "success"
    """What becomes of a deployment."""
    workflow_runs: list[dict[str, Any]] = field(default_factory=list)
    workflow: Callable[[str, str], tuple[str, Mapping[str, bytes], str]] | None = None
    """What becomes of a run of a workflow on a commit: its conclusion, its artifacts (zip files), its log."""
    installed: bool = True


@cache
def _key() -> rsa.RSAPrivateKey:
    """Made once a process: it takes a good part of a second."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class PlayedGitHub:
    """Start it with `with`. What people do is in the methods without an underscore."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._description = description()
        self._numbers = itertools.count(1000)
        self.repositories: dict[str, Forge] = {}
        self.permissions: dict[tuple[str, str], str] = {}
        self.users: dict[str, int] = {}
        self.tokens: dict[str, tuple[str, float]] = {}
        """Token → who it is (`app` or a login) and until when."""
        self.devices: dict[str, dict[str, Any]] = {}
        self.calls: list[tuple[str, str, Any, str]] = []
        self.violations: list[str] = []
        self.faults: list[Fault] = []
        self.webhook_url: str | None = None
        self.secret = "it is signed with this"
        self.git_asked: list[str] = []
        self.kilobytes = 30
        """How large it says that each repository is."""
        key = _key()
        self.private_key = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        ).decode()
        self._public = key.public_key()
        self._lock = threading.RLock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.root = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.api_url = f"{self.root}/api/v3"
        self.git_url = self.root
        everything = ["GET", "POST", "PUT", "PATCH", "DELETE"]
        app = Starlette(
            routes=[
                Route("/api/v3/graphql", self._graphql, methods=["POST"]),
                Route("/api/v3/{path:path}", self._rest, methods=everything),
                Route("/login/device/code", self._device, methods=["POST"]),
                Route("/login/oauth/access_token", self._access_token, methods=["POST"]),
                Route("/logs/{number:int}", self._log),
                Route("/stored/{name:path}/{number:int}", self._stored),
                Route("/{path:path}", self._git, methods=["GET", "POST"]),
            ]
        )
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
        self._thread = threading.Thread(target=lambda: self._server.run(sockets=[self._listener]), daemon=True)

    def __enter__(self) -> PlayedGitHub:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(10)

    # -- what people do ----------------------------------------------------------------------------------------------

    def directory(self, name: str) -> Path:
        return self._folder / f"{name}.git"

    def add_repository(self, name: str, source: Path) -> None:
        directory = self.directory(name)
        directory.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["git", "clone", "-q", "--bare", str(source), str(directory)], check=True)
        self.repositories[name] = Forge()

    def add_user(self, login: str, **permissions: str) -> None:
        """`add_user("ada", acme__encore="write")`"""
        self.users.setdefault(login, next(self._numbers))
        for place, permission in permissions.items():
            self.permissions[place.replace("__", "/"), login] = permission

    def user(self, login: str) -> dict[str, Any]:
        bot = login.endswith("[bot]")
        number = self.users.setdefault(login, next(self._numbers))
        return {
            "login": login, "id": number, "node_id": f"U_{number}", "type": "Bot" if bot else "User",
            "site_admin": False, "html_url": f"{self.root}/{login}", "url": f"{self.api_url}/users/{login}",
        }  # fmt: skip

    def push(self, name: str, branch: str, files: Mapping[str, str], as_: str) -> str:
        """Somebody commits files on a branch and pushes; the new commit."""
        work = self._folder / f"work-{uuid.uuid4().hex}"
        subprocess.run(["git", "clone", "-q", "-b", branch, str(self.directory(name)), str(work)], check=True)
        for path, text in files.items():
            (work / path).write_text(text)
        git(work, "add", "-A")
        git(work, "commit", "-q", "--author", f"{as_} <{as_}@example.com>", "-m", f"By {as_}")
        git(work, "push", "-q", "origin", f"HEAD:{branch}")
        head = git(work, "rev-parse", "HEAD")
        for pull in self.repositories[name].pulls.values():
            if pull["branch"] == branch and pull["state"] == "open":
                self._touch(name, pull["number"])
                self._tell("pull_request", name, as_, action="synchronize", pull_request=self._pull(name, pull))
        return head

    def comment(self, name: str, number: int, text: str, as_: str) -> dict[str, Any]:
        made = self._commented(name, number, text, as_)
        forge = self.repositories[name]
        issue = {"number": number, "pull_request": {}} if number in forge.pulls else self._issue(name, number)
        self._tell("issue_comment", name, as_, action="created", issue=issue, comment=made)
        return made

    def review(
        self, name: str, number: int, state: str, text: str, as_: str, comments: Mapping[str, str] | None = None
    ) -> None:
        """Submit a review with comments on lines (`path:line` → words)."""
        forge = self.repositories[name]
        head = self._head(name, forge.pulls[number]["branch"])
        made = {
            "id": next(self._numbers), "node_id": "R", "user": self.user(as_), "body": text, "state": state,
            "commit_id": head, "submitted_at": now(), "author_association": "COLLABORATOR",
            "html_url": f"{self.root}/{name}/pull/{number}#review",
            "pull_request_url": f"{self.api_url}/repos/{name}/pulls/{number}",
            "_links": {"html": {"href": ""}, "pull_request": {"href": ""}},
        }  # fmt: skip
        forge.reviews.setdefault(number, []).append(made)
        self._touch(name, number)
        pull = self._pull(name, forge.pulls[number])
        webhook = made | {"state": state.lower()}
        self._tell("pull_request_review", name, as_, action="submitted", review=webhook, pull_request=pull)
        for place, words in (comments or {}).items():
            path, _, line = place.partition(":")
            said = {
                "id": next(self._numbers), "node_id": "C", "user": self.user(as_), "body": words, "path": path,
                "line": int(line), "diff_hunk": "@@ -1 +1 @@\n+the line", "commit_id": head, "created_at": now(),
                "updated_at": now(), "html_url": f"{self.root}/{name}/pull/{number}#comment",
                "url": f"{self.api_url}/comment", "original_commit_id": head, "author_association": "COLLABORATOR",
                "pull_request_url": f"{self.api_url}/repos/{name}/pulls/{number}", "pull_request_review_id": made["id"],
                "_links": {"self": {"href": ""}, "html": {"href": ""}, "pull_request": {"href": ""}},
            }  # fmt: skip
            forge.review_comments.setdefault(number, []).append(said)
            self._tell("pull_request_review_comment", name, as_, action="created", comment=said, pull_request=pull)

    def check(self, name: str, sha: str, check: str, conclusion: str, log: str = "") -> None:
        """A workflow of the team's own ends on a commit."""
        number = next(self._numbers)
        run = self._run(name, {
            "name": check, "head_sha": sha, "status": "completed", "conclusion": conclusion, "id": number,
            "details_url": f"{self.root}/{name}/actions/runs/1/job/{number}",
            "output": {"title": None, "summary": None, "text": None},
            "app": {"id": 15368, "slug": "github-actions"},
        })  # fmt: skip
        forge = self.repositories[name]
        forge.logs[number] = log
        forge.runs.append(run)
        self._tell("check_run", name, "github-actions[bot]", action="completed", check_run=run)

    def add_run(self, name: str, run: Mapping[str, Any]) -> None:
        """A check that somebody ran, of which nobody is told."""
        self.repositories[name].runs.append(self._run(name, run))

    def open_issue(self, name: str, title: str, body: str, as_: str) -> int:
        forge = self.repositories[name]
        number = self._next(forge)
        forge.issues[number] = {"id": next(self._numbers), "number": number, "title": title, "body": body, "by": as_,
                                "labels": [], "assignees": [], "state": "open", "at": now()}  # fmt: skip
        self._touch(name, number)
        self._tell("issues", name, as_, action="opened", issue=self._issue(name, number))
        return number

    def label_issue(self, name: str, number: int, label: str, as_: str) -> None:
        self.repositories[name].issues[number]["labels"].append(label)
        self._happened(name, number, "labeled", as_, label={"name": label, "color": "fff"})

    def assign_issue(self, name: str, number: int, login: str, as_: str) -> None:
        self.repositories[name].issues[number]["assignees"].append(login)
        self._happened(name, number, "assigned", as_, assignee=self.user(login))

    def _happened(self, name: str, number: int, what: str, as_: str, **told: Any) -> None:
        self.repositories[name].issue_events.setdefault(number, []).append(
            {"id": next(self._numbers), "node_id": "E", "event": what, "actor": self.user(as_), "created_at": now(),
             "url": "", "commit_id": None, "commit_url": None} | told
        )  # fmt: skip
        self._touch(name, number)
        self._tell("issues", name, as_, action=what, issue=self._issue(name, number), **told)

    def _touch(self, name: str, number: int) -> None:
        self.repositories[name].changed[number] = now()

    def protect(self, name: str, branch: str, approvals: int, *, by_ruleset: bool = False) -> None:
        forge = self.repositories[name]
        (forge.rules if by_ruleset else forge.protection)[branch] = approvals

    def require_queue(self, name: str, branch: str) -> None:
        """From now on, the branch takes changes by the merge queue only."""
        self.repositories[name].queues.add(branch)

    def run_queue(self, name: str, number: int, *, passes: bool = True) -> None:
        """The queue's own checks end: the pull request is merged, or taken out."""
        forge = self.repositories[name]
        with self._lock:
            head, _ = forge.queued[number]
            if passes:
                self._land(name, forge.pulls[number], head, {"merge_method": "squash"}, "app")
            del forge.queued[number]
        if passes:
            merged = self._pull(name, forge.pulls[number])
            self._tell("pull_request", name, f"{SLUG}[bot]", action="closed", pull_request=merged)

    def close_pull(self, name: str, number: int, as_: str) -> None:
        pull = self.repositories[name].pulls[number]
        pull |= {"state": "closed", "closed_at": now()}
        self._touch(name, number)
        self._tell("pull_request", name, as_, action="closed", pull_request=self._pull(name, pull))

    def confirm_device(self, user_code: str, login: str) -> None:
        """Somebody enters the code on GitHub's page."""
        next(one for one in self.devices.values() if one["user_code"] == user_code)["login"] = login

    def fail_next(
        self, method: str, path: str, status: int = 502, *, headers: Mapping[str, str] | None = None,
        message: str = "Server Error", after: bool = False, times: int = 1, then: Fault | None = None,
    ) -> None:  # fmt: skip
        """The next requests whose path matches (a regular expression) go wrong."""
        self.faults.append(Fault(method, path, status, headers or {}, message, after, times, then))

    def end_tokens(self) -> None:
        """Every token ends now."""
        self.tokens = {token: (who, 0.0) for token, (who, _) in self.tokens.items()}

    def said(self, name: str, number: int) -> list[str]:
        """What the app has said on an issue or a pull request."""
        found = self.repositories[name].comments.get(number, [])
        return [one["body"] for one in found if one["user"]["type"] == "Bot"]

    # -- webhooks ----------------------------------------------------------------------------------------------------

    def _tell(self, event: str, name: str, sender: str, **payload: Any) -> None:
        if self.webhook_url:
            whole = payload | {"repository": self._repository(name), "sender": self.user(sender)}
            self.deliver(event, whole)

    def deliver(self, event: str, payload: Mapping[str, Any], delivery: str | None = None, secret: str = "") -> int:
        """Send a signed webhook; the status it is answered with."""
        assert self.webhook_url
        body = json.dumps(payload).encode()
        signature = hmac.new((secret or self.secret).encode(), body, hashlib.sha256).hexdigest()
        headers = {
            "x-github-event": event, "x-github-delivery": delivery or str(uuid.uuid4()),
            "x-hub-signature-256": f"sha256={signature}", "content-type": "application/json",
        }  # fmt: skip
        return httpx.post(self.webhook_url, content=body, headers=headers, timeout=30, verify=trusted()).status_code

    # -- who asks ----------------------------------------------------------------------------------------------------

    def _who(self, request: Request) -> str:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() not in ("bearer", "token"):
            raise Refusal(401, "Requires authentication")
        if given in self.tokens:
            who, until = self.tokens[given]
            if time.time() > until:
                raise Refusal(401, "Bad credentials")
            return who
        try:
            claims = jwt.decode(given, self._public, algorithms=["RS256"], options={"require": ["iss", "exp", "iat"]})
        except jwt.PyJWTError as error:
            raise Refusal(401, "A JSON web token could not be decoded") from error
        if str(claims["iss"]) != str(APP_ID) or claims["exp"] - time.time() > 601:
            raise Refusal(401, "'Expiration time' claim ('exp') is too far in the future")
        return "jwt"

    def _allowed(self, token: str, name: str, writes: bool) -> bool:
        who, until = self.tokens.get(token, ("", 0.0))
        if time.time() > until or name not in self.repositories:
            return False
        rights = "write" if who == "app" else self.permissions.get((name, who), "none")
        return rights in (("write", "admin") if writes else ("read", "write", "admin"))

    def _token(self, who: str, prefix: str) -> str:
        token = f"{prefix}{uuid.uuid4().hex}"
        self.tokens[token] = (who, time.time() + 3600)
        return token

    # -- the REST interface ------------------------------------------------------------------------------------------

    async def _rest(self, request: Request) -> Response:
        body = await request.body()
        return await _in_thread(self._answer, request, body)

    def _answer(self, request: Request, raw: bytes) -> Response:
        path = "/" + request.path_params["path"]
        method, query = request.method, dict(request.query_params)
        body = json.loads(raw) if raw else None
        try:
            who = self._who(request)
            with self._lock:
                self.calls.append((method, path, body, who))
                faults = list(self._description.faults(method, path, query, body))
                self.violations += faults
                if faults:
                    raise Refusal(422, "; ".join(faults))
                fault = next(
                    (f for f in self.faults if f.times and f.method == method and re.search(f.path, path)), None
                )
                if fault:
                    fault.times -= 1
                    self.faults += [fault.then] if fault.then else []
                    if not fault.after:
                        raise Refusal(fault.status, fault.message, fault.headers)
                status, answer = self._route(method, path, query, body or {}, who)
                if fault:
                    raise Refusal(fault.status, fault.message, fault.headers)
                if isinstance(answer, Response):
                    return answer
                self.violations += [
                    f"played answer of {method} {path}: {wrong}"
                    for wrong in self._description.wrong_answer(method, path, status, answer)
                ]
        except Refusal as refusal:
            return JSONResponse({"message": str(refusal)}, refusal.status, dict(refusal.headers))
        return JSONResponse(answer, status) if answer is not None else Response(status_code=status)

    def _route(self, method: str, path: str, query: Mapping[str, str], body: Any, who: str) -> tuple[int, Any]:
        if path.startswith("/app") or path.endswith("/installation"):
            return self._app_route(method, path, who)
        if path == "/user":
            return 200, self.user(who) | {"public_repos": 0}
        if path == "/installation/repositories":
            found = [self._repository(name) for name, forge in self.repositories.items() if forge.installed]
            return 200, {"total_count": len(found), "repositories": found}
        found_at = re.match(r"^/repos/([^/]+/[^/]+)(/.*)?$", path)
        if not found_at or found_at[1] not in self.repositories:
            raise Refusal(404, "Not Found")
        if who == "jwt":
            raise Refusal(401, "This takes an installation token")
        name, rest = found_at[1], found_at[2] or ""
        if who != "app" and self.permissions.get((name, who), "none") not in ("write", "admin", "read"):
            raise Refusal(404, "Not Found")
        for pattern, verb, handler in self._handlers():
            match = re.match(f"^{pattern}$", rest)
            if match and verb == method:
                return handler(name, match, query, body, who)
        raise Refusal(404, f"Not played: {method} {rest}")

    def _app_route(self, method: str, path: str, who: str) -> tuple[int, Any]:
        if who != "jwt":
            raise Refusal(401, "A JSON web token could not be decoded")
        if path == "/app":
            return 200, {
                "id": APP_ID, "slug": SLUG, "node_id": "A", "client_id": "Iv1.test", "name": "Honk",
                "owner": self.user("acme"), "description": "", "external_url": self.root,
                "html_url": f"{self.root}/apps/{SLUG}", "created_at": now(),
                "updated_at": now(), "permissions": {"contents": "write"}, "events": ["push"],
            }  # fmt: skip
        if path.endswith("/access_tokens") and method == "POST":
            return 201, {"token": self._token("app", "ghs_"), "expires_at": now(3600), "permissions": {}}
        if path == "/app/installations":
            return 200, [self._installation()]
        name = path.removeprefix("/repos/").removesuffix("/installation")
        if name not in self.repositories or not self.repositories[name].installed:
            raise Refusal(404, "Not Found")
        return 200, self._installation()

    def _installation(self) -> dict[str, Any]:
        return {
            "id": 77, "account": self.user("acme"), "repository_selection": "all", "app_id": APP_ID, "app_slug": SLUG,
            "access_tokens_url": self.api_url, "repositories_url": self.api_url, "html_url": self.root, "target_id": 1,
            "target_type": "Organization", "permissions": {}, "events": [], "created_at": now(), "updated_at": now(),
            "single_file_name": None, "suspended_by": None, "suspended_at": None,
        }  # fmt: skip

    def _handlers(self) -> list[tuple[str, str, Callable[..., tuple[int, Any]]]]:
        return [
            ("", "GET", lambda name, *_: (200, self._repository(name))),
            (r"/collaborators/([^/]+)/permission", "GET", self._permission),
            (r"/pulls", "GET", self._list_pulls),
            (r"/pulls", "POST", self._create_pull),
            (r"/pulls/(\d+)", "GET", lambda name, found, *_: (200, self._pull(name, self._known(name, found)))),
            (r"/pulls/(\d+)", "PATCH", self._update_pull),
            (r"/pulls/(\d+)/merge", "PUT", self._merge),
            (r"/pulls/(\d+)/reviews", "GET", self._rows("reviews")),
            (r"/pulls/(\d+)/comments", "GET", self._rows("review_comments")),
            (r"/issues", "GET", self._list_issues),
            (r"/issues/(\d+)/labels", "POST", self._label),
            (r"/issues/(\d+)/events", "GET", self._rows("issue_events")),
            (r"/issues/(\d+)/comments", "GET", self._rows("comments")),
            (r"/issues/(\d+)/comments", "POST", self._post_comment),
            (r"/(issues/comments/\d+|pulls/comments/\d+|issues/\d+)/reactions", "POST", self._reaction),
            (r"/commits/(\w+)/check-runs", "GET", self._list_runs),
            (r"/commits/(\w+)/status", "GET", self._status),
            (r"/commits/(\w+)", "GET", self._commit),
            (r"/check-runs", "POST", self._create_run),
            (r"/actions/jobs/(\d+)/logs", "GET", self._job_log),
            (r"/deployments", "GET", self._list_deployments),
            (r"/deployments", "POST", self._create_deployment),
            (r"/deployments/(\d+)/statuses", "GET", self._deployment_statuses),
            (r"/actions/workflows/([\w.-]+)/dispatches", "POST", self._dispatch),
            (r"/actions/workflows/([\w.-]+)/runs", "GET", self._workflow_runs),
            (r"/actions/runs/(\d+)", "GET", self._workflow_run),
            (r"/actions/runs/(\d+)/cancel", "POST", self._cancel_run),
            (r"/actions/runs/(\d+)/jobs", "GET", self._run_jobs),
            (r"/actions/runs/(\d+)/artifacts", "GET", self._run_artifacts),
            (r"/actions/artifacts/(\d+)/zip", "GET", self._artifact),
            (r"/branches/(.+)/protection", "GET", self._protection),
            (r"/rules/branches/(.+)", "GET", self._rules),
        ]  # fmt: skip

    def _rows(self, of: str) -> Callable[..., tuple[int, Any]]:
        """A list that belongs to one issue or pull request."""
        return lambda name, found, query, *_: (
            200, _page(getattr(self.repositories[name], of).get(int(found[1]), []), query)
        )  # fmt: skip

    def _known(self, name: str, found: re.Match[str]) -> dict[str, Any]:
        pull = self.repositories[name].pulls.get(int(found[1]))
        if pull is None:
            raise Refusal(404, "Not Found")
        return pull

    def _repository(self, name: str) -> dict[str, Any]:
        owner, short = name.split("/")
        head = git(self.directory(name), "symbolic-ref", "--short", "HEAD")
        return {
            "id": 1, "node_id": "R", "name": short, "full_name": name, "owner": self.user(owner), "private": True,
            "html_url": f"{self.root}/{name}", "clone_url": f"{self.root}/{name}.git", "default_branch": head,
            "fork": False, "size": self.kilobytes,
        }  # fmt: skip

    def _head(self, name: str, branch: str) -> str:
        return git(self.directory(name), "rev-parse", f"refs/heads/{branch}")

    @staticmethod
    def _next(forge: Forge) -> int:
        return max([0, *forge.pulls, *forge.issues]) + 1

    def _mergeable(self, name: str, pull: Mapping[str, Any], head: str) -> tuple[bool, str]:
        directory, base = self.directory(name), pull["base"]
        if pull["state"] != "open":
            return False, "unknown"
        tried = subprocess.run(
            ["git", "merge-tree", "--write-tree", base, head], cwd=directory, capture_output=True, check=False
        )
        if tried.returncode:
            return False, "dirty"
        forge = self.repositories[name]
        wanted = max(forge.protection.get(base, 0), forge.rules.get(base, 0))
        approved = {
            review["user"]["login"]
            for review in self.repositories[name].reviews.get(pull["number"], [])
            if review["state"] == "APPROVED" and review["user"]["login"] != pull["by"]
        }
        return True, "blocked" if len(approved) < wanted else "draft" if pull["draft"] else "clean"

    def _pull(self, name: str, pull: Mapping[str, Any]) -> dict[str, Any]:
        number, repository = pull["number"], self._repository(name)
        head = pull.get("merged_head") or self._head(name, pull["branch"])
        mergeable, state = self._mergeable(name, pull, head)
        address = f"{self.root}/{name}/pull/{number}"
        return {
            "id": number, "node_id": f"PR_{name}_{number}", "number": number, "html_url": address, "url": address,
            "title": pull["title"], "body": pull["body"], "state": pull["state"], "draft": pull["draft"],
            "user": self.user(pull["by"]), "merged": bool(pull.get("merged_at")), "merged_at": pull.get("merged_at"),
            "closed_at": pull.get("closed_at"), "merge_commit_sha": pull.get("merge_commit_sha"), "locked": False,
            "mergeable": mergeable, "mergeable_state": state, "requested_reviewers": [], "requested_teams": [],
            "merged_by": self.user(pull["merged_by"]) if pull.get("merged_by") else None,
            "labels": [{"id": 1, "name": label} for label in pull["labels"]],
            "head": {"ref": pull["branch"], "sha": head, "label": f"acme:{pull['branch']}", "repo": repository,
                     "user": repository["owner"]},
            "base": {"ref": pull["base"], "sha": self._head(name, pull["base"]), "label": "acme:main",
                     "repo": repository, "user": repository["owner"]},
            "created_at": now(), "updated_at": now(), "author_association": "MEMBER", "auto_merge": None,
            "assignee": None, "milestone": None, "_links": {},
        }  # fmt: skip

    def _permission(self, name: str, found: re.Match[str], *_: Any) -> tuple[int, Any]:
        login = found[1]
        if login not in self.users:
            raise Refusal(404, "Not Found")
        return 200, {
            "permission": self.permissions.get((name, login), "none"),
            "role_name": "write",
            "user": self.user(login),
        }

    def _list_pulls(self, name: str, _: Any, query: Mapping[str, str], *__: Any) -> tuple[int, Any]:
        head = query.get("head", ":").partition(":")[2]
        state = query.get("state", "open")
        found = [
            self._pull(name, pull)
            for pull in self.repositories[name].pulls.values()
            if (not head or pull["branch"] == head) and (state == "all" or pull["state"] == state)
        ]
        listed = [{key: value for key, value in pull.items() if key not in ("merged", "mergeable", "mergeable_state")}
                  for pull in found]  # fmt: skip
        return 200, _page(listed, query)

    def _create_pull(self, name: str, _: Any, __: Any, body: Any, who: str) -> tuple[int, Any]:
        forge = self.repositories[name]
        branch = body["head"]
        if any(pull["branch"] == branch and pull["state"] == "open" for pull in forge.pulls.values()):
            raise Refusal(422, f"A pull request already exists for acme:{branch}.")
        self._head(name, branch)
        by = f"{SLUG}[bot]" if who == "app" else who
        number = self._next(forge)
        forge.pulls[number] = {
            "number": number, "title": body["title"], "body": body.get("body"), "branch": branch, "base": body["base"],
            "state": "open", "draft": bool(body.get("draft")), "by": by, "labels": [],
        }  # fmt: skip
        self._touch(name, number)
        return 201, self._pull(name, forge.pulls[number])

    def _update_pull(self, name: str, found: re.Match[str], _: Any, body: Any, *__: Any) -> tuple[int, Any]:
        pull = self._known(name, found)
        if body.get("state") == "closed":
            pull["closed_at"] = now()
        pull |= {key: value for key, value in body.items() if key in ("title", "body", "state")}
        self._touch(name, pull["number"])
        return 200, self._pull(name, pull)

    def _merge(self, name: str, found: re.Match[str], _: Any, body: Any, who: str) -> tuple[int, Any]:
        pull = self._known(name, found)
        if pull["state"] != "open":
            raise Refusal(405, "Pull Request is not mergeable")
        head = self._head(name, pull["branch"])
        if body.get("sha") and body["sha"] != head:
            raise Refusal(409, "Head branch was modified. Review and try the merge again.")
        mergeable, state = self._mergeable(name, pull, head)
        if not mergeable or state in ("blocked", "draft"):
            raise Refusal(405, {"blocked": "At least 1 approving review is required.", "draft": "This is a draft"}.get(
                state, "Pull Request is not mergeable"))  # fmt: skip
        if pull["base"] in self.repositories[name].queues:
            raise Refusal(405, "Changes must be made through the merge queue")
        return 200, self._land(name, pull, head, body, who)

    def _land(self, name: str, pull: dict[str, Any], head: str, body: Any, who: str) -> dict[str, Any]:
        directory = self.directory(name)
        base = self._head(name, pull["base"])
        tree = git(directory, "merge-tree", "--write-tree", base, head).splitlines()[0]
        message = f"{body.get('commit_title') or pull['title']}\n\n{body.get('commit_message') or ''}"
        parents = ["-p", base] + (["-p", head] if body.get("merge_method", "merge") == "merge" else [])
        sha = git(directory, "commit-tree", tree, *parents, "-m", message)
        git(directory, "update-ref", f"refs/heads/{pull['base']}", sha, base)
        by = f"{SLUG}[bot]" if who == "app" else who
        pull |= {"state": "closed", "merged_at": now(), "merge_commit_sha": sha, "merged_head": head, "merged_by": by,
                 "closed_at": now()}  # fmt: skip
        self._touch(name, pull["number"])
        return {"sha": sha, "merged": True, "message": "Pull Request successfully merged"}

    def merge_by_hand(self, name: str, number: int, as_: str) -> None:
        """Somebody presses the button on GitHub's own page."""
        found = re.match(r"(\d+)", str(number))
        assert found
        self._merge(name, found, {}, {}, as_)
        pull = self._pull(name, self.repositories[name].pulls[number])
        self._tell("pull_request", name, as_, action="closed", pull_request=pull)

    def _issue(self, name: str, number: int, row: Mapping[str, Any] | None = None) -> dict[str, Any]:
        issue = row or self.repositories[name].issues[number]
        address = f"{self.root}/{name}/issues/{number}"
        return {
            "id": issue["id"], "node_id": "I", "number": number, "title": issue["title"], "body": issue["body"],
            "user": self.user(issue["by"]), "html_url": address, "url": address, "state": issue["state"],
            "labels": [{"name": label} for label in issue["labels"]], "comments": 0, "locked": False,
            "created_at": issue["at"], "updated_at": self.repositories[name].changed[number],
            "author_association": "MEMBER", "assignee": None, "closed_at": None, "milestone": None,
            "repository_url": "", "labels_url": "", "comments_url": "",
            "events_url": "", "assignees": [self.user(login) for login in issue["assignees"]],
        }  # fmt: skip

    def _list_issues(self, name: str, _: Any, query: Mapping[str, str], *__: Any) -> tuple[int, Any]:
        """Pull requests are issues too, as on the real one."""
        forge = self.repositories[name]
        listed = [self._issue(name, number) for number in forge.issues]
        for number, pull in forge.pulls.items():
            as_issue = {"id": number, "number": number, "title": pull["title"], "body": pull["body"], "by": pull["by"],
                        "labels": pull["labels"], "assignees": [], "state": pull["state"], "at": now()}  # fmt: skip
            addresses = dict.fromkeys(("url", "html_url", "diff_url", "patch_url"), self.root)
            listed.append(self._issue(name, number, as_issue) | {"pull_request": addresses})
        since, state = query.get("since", ""), query.get("state", "open")
        found = [one for one in listed if one["updated_at"] >= since and state in ("all", one["state"])]
        newest_last = query.get("sort") == "updated" and query.get("direction") == "asc"
        return 200, _page(sorted(found, key=lambda one: one["updated_at"], reverse=not newest_last), query)

    def _label(self, name: str, found: re.Match[str], _: Any, body: Any, *__: Any) -> tuple[int, Any]:
        forge, number = self.repositories[name], int(found[1])
        labels: list[str] = (forge.pulls.get(number) or forge.issues[number])["labels"]
        labels += [label for label in body["labels"] if label not in labels]
        return 200, [
            {"id": 1, "node_id": "L", "url": "", "name": label, "color": "fff", "default": False, "description": None}
            for label in labels
        ]

    def _commented(self, name: str, number: int, text: str, login: str) -> dict[str, Any]:
        address = f"{self.root}/{name}/issues/{number}#c"
        made = {
            "id": next(self._numbers), "node_id": "C", "user": self.user(login), "body": text, "html_url": address,
            "url": address, "created_at": now(), "updated_at": now(), "issue_url": address,
            "author_association": "MEMBER",
        }  # fmt: skip
        self.repositories[name].comments.setdefault(number, []).append(made)
        self._touch(name, number)
        return made

    def _post_comment(self, name: str, found: re.Match[str], _: Any, body: Any, who: str) -> tuple[int, Any]:
        return 201, self._commented(name, int(found[1]), body["body"], f"{SLUG}[bot]" if who == "app" else who)

    def _reaction(self, name: str, found: re.Match[str], _: Any, body: Any, *__: Any) -> tuple[int, Any]:
        self.repositories[name].reactions.append((found[1], body["content"]))
        user = self.user(f"{SLUG}[bot]")
        return 201, {"id": 1, "node_id": "X", "user": user, "content": body["content"], "created_at": now()}

    def _run(self, name: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
        output = {"title": None, "summary": None, "text": None, "annotations_count": 0, "annotations_url": ""}
        return {
            "id": next(self._numbers), "node_id": "K", "external_id": "", "url": "",
            "html_url": f"{self.root}/{name}/run",
            "details_url": "", "started_at": now(), "completed_at": now(), "check_suite": {"id": 1},
            "pull_requests": [],
            "app": {"id": APP_ID, "slug": SLUG}, "conclusion": None, **wanted,
            "output": output | dict(wanted.get("output") or {}),
        }  # fmt: skip

    def _create_run(self, name: str, _: Any, __: Any, body: Any, *___: Any) -> tuple[int, Any]:
        run = self._run(name, body)
        self.repositories[name].runs.append(run)
        return 201, {key: value for key, value in run.items() if key != "app"} | {"app": None}

    def _list_runs(self, name: str, found: re.Match[str], query: Mapping[str, str], *_: Any) -> tuple[int, Any]:
        runs = [run for run in self.repositories[name].runs if run["head_sha"] == found[1]]
        runs = [run for run in runs if run["name"] == query.get("check_name", run["name"])]
        runs = _page(runs, query)
        return 200, {"total_count": len(runs), "check_runs": [run | {"app": None} if run["app"]["id"] != APP_ID else run
                                                              for run in runs]}  # fmt: skip

    def _status(self, name: str, found: re.Match[str], query: Mapping[str, str], *_: Any) -> tuple[int, Any]:
        statuses = _page(self.repositories[name].statuses.get(found[1], []), query)
        return 200, {"state": "success", "statuses": statuses, "sha": found[1], "total_count": len(statuses),
                     "repository": self._repository(name), "commit_url": "", "url": ""}  # fmt: skip

    def _commit(self, name: str, found: re.Match[str], *_: Any) -> tuple[int, Any]:
        login = git(self.directory(name), "log", "-1", "--format=%an", found[1])
        return 200, {"sha": found[1], "author": self.user(login) if login in self.users else None}

    def _job_log(self, name: str, found: re.Match[str], *_: Any) -> tuple[int, Any]:
        return 302, RedirectResponse(f"{self.root}/logs/{found[1]}", 302)

    # -- what runs on its machines -----------------------------------------------------------------------------------

    def _list_deployments(self, name: str, _: Any, query: Mapping[str, str], *__: Any) -> tuple[int, Any]:
        wanted = {key: query[key] for key in ("sha", "environment") if key in query}
        found = [one for one in self.repositories[name].deployments if wanted.items() <= one.items()]
        return 200, [{key: value for key, value in one.items() if key != "told"} for one in _page(found, query)]

    def _create_deployment(self, name: str, _: Any, __: Any, body: Any, *___: Any) -> tuple[int, Any]:
        sha = git(self.directory(name), "rev-parse", body["ref"])
        made = {"id": next(self._numbers), "node_id": "D", "sha": sha, "ref": body["ref"], "task": "deploy",
                "payload": body.get("payload", {}), "environment": body["environment"],
                "created_at": now()}  # fmt: skip
        self.repositories[name].deployments.append(made | {"told": []})
        return 201, made

    def _deployment_statuses(self, name: str, found: re.Match[str], *_: Any) -> tuple[int, Any]:
        """Each look finds it a state further."""
        (one,) = [one for one in self.repositories[name].deployments if one["id"] == int(found[1])]
        states = ["queued", "in_progress", self.repositories[name].deployed(one["sha"], one["environment"])]
        told: list[dict[str, Any]] = one["told"]
        answer = list(reversed(told))
        if len(told) < len(states):
            told.append({"id": next(self._numbers), "node_id": "S", "state": states[len(told)],
                         "description": f"it is {states[len(told)]}", "log_url": "", "created_at": now()})  # fmt: skip
        return 200, answer

    def _dispatch(self, name: str, found: re.Match[str], _: Any, body: Any, *__: Any) -> tuple[int, Any]:
        forge = self.repositories[name]
        if forge.workflow is None:
            raise Refusal(404, "Not Found")
        sha = self._head(name, body["ref"])
        conclusion, artifacts, log = forge.workflow(found[1], sha)
        number = next(self._numbers)
        forge.logs[number] = log
        run = {"id": number, "node_id": "W", "name": found[1], "event": "workflow_dispatch", "head_sha": sha,
               "head_branch": body["ref"], "status": "queued", "conclusion": None, "run_number": 1,
               "html_url": f"{self.root}/{name}/actions/runs/{number}", "created_at": now()}  # fmt: skip
        kept = {next(self._numbers): (title, data) for title, data in artifacts.items()}
        forge.workflow_runs.append(run | {"ends": conclusion, "artifacts": kept})
        return 204, None

    def _runs_like(self, name: str, /, **wanted: Any) -> list[dict[str, Any]]:
        return [run for run in self.repositories[name].workflow_runs if wanted.items() <= run.items()]

    @staticmethod
    def _shown_run(run: Mapping[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in run.items() if key not in ("ends", "artifacts")}

    def _workflow_runs(self, name: str, found: re.Match[str], query: Mapping[str, str], *_: Any) -> tuple[int, Any]:
        runs = self._runs_like(name, name=found[1], head_sha=query["head_sha"], event=query["event"])
        return 200, {"total_count": len(runs), "workflow_runs": [self._shown_run(run) for run in runs]}

    def _workflow_run(self, name: str, found: re.Match[str], *_: Any) -> tuple[int, Any]:
        """Each look finds it a state further."""
        (run,) = self._runs_like(name, id=int(found[1]))
        answer = self._shown_run(run)
        if run["status"] == "queued":
            run["status"] = "in_progress"
        elif run["status"] == "in_progress" and run["ends"] != "never":
            run |= {"status": "completed", "conclusion": run["ends"]}
        return 200, answer

    def _cancel_run(self, name: str, found: re.Match[str], *_: Any) -> tuple[int, Any]:
        (run,) = self._runs_like(name, id=int(found[1]))
        run |= {"status": "completed", "conclusion": "cancelled"}
        return 202, {}

    def _run_jobs(self, name: str, found: re.Match[str], *_: Any) -> tuple[int, Any]:
        (run,) = self._runs_like(name, id=int(found[1]))
        step = {"name": "Archive the app", "number": 1, "status": run["status"], "conclusion": run["conclusion"]}
        job = {"id": run["id"], "run_id": run["id"], "name": "build", "status": run["status"],
               "conclusion": run["conclusion"], "steps": [step]}  # fmt: skip
        return 200, {"total_count": 1, "jobs": [job]}

    def _run_artifacts(self, name: str, found: re.Match[str], *_: Any) -> tuple[int, Any]:
        (run,) = self._runs_like(name, id=int(found[1]))
        rows = [{"id": number, "name": title, "size_in_bytes": len(data), "expired": False}
                for number, (title, data) in run["artifacts"].items()]  # fmt: skip
        return 200, {"total_count": len(rows), "artifacts": rows}

    def _artifact(self, name: str, found: re.Match[str], *_: Any) -> tuple[int, Any]:
        return 302, RedirectResponse(f"{self.root}/stored/{name}/{found[1]}", 302)

    async def _stored(self, request: Request) -> Response:
        if "authorization" in request.headers:
            return PlainTextResponse("The token was sent to the store.", 400)
        forge = self.repositories["/".join(request.path_params["name"].split("/"))]
        number = request.path_params["number"]
        found = [run["artifacts"][number] for run in forge.workflow_runs if number in run["artifacts"]]
        return Response(found[0][1], media_type="application/zip")

    def _protection(self, name: str, found: re.Match[str], *_: Any) -> tuple[int, Any]:
        wanted = self.repositories[name].protection.get(found[1])
        if wanted is None:
            raise Refusal(404, "Branch not protected")
        return 200, {"url": "", "required_pull_request_reviews": {"required_approving_review_count": wanted,
                     "dismiss_stale_reviews": False, "require_code_owner_reviews": False}}  # fmt: skip

    def _rules(self, name: str, found: re.Match[str], *_: Any) -> tuple[int, Any]:
        wanted = self.repositories[name].rules.get(found[1])
        parameters = {"required_approving_review_count": wanted, "dismiss_stale_reviews_on_push": False,
                      "require_code_owner_review": False, "require_last_push_approval": False,
                      "required_review_thread_resolution": False}  # fmt: skip
        source = {"ruleset_source_type": "Repository", "ruleset_source": name, "ruleset_id": 1}
        rules = [{"type": "pull_request", "parameters": parameters} | source] if wanted is not None else []
        if found[1] in self.repositories[name].queues:
            rules.append({"type": "merge_queue"} | source)
        return 200, rules

    # -- the rest ----------------------------------------------------------------------------------------------------

    async def _graphql(self, request: Request) -> Response:
        self._who(request)
        body = json.loads(await request.body())
        with self._lock:
            self.violations += graphql_faults(body["query"])
            for forge_name, forge in self.repositories.items():
                for number in forge.pulls:
                    if body["variables"].get("id") == f"PR_{forge_name}_{number}":
                        self.calls.append(("POST", "/graphql", body, "app"))
                        try:
                            return JSONResponse({"data": self._asked(forge_name, forge, number, body)})
                        except Refusal as refusal:
                            return JSONResponse({"errors": [{"message": str(refusal)}]})
        return JSONResponse({"errors": [{"message": "Could not resolve to a node"}]})

    def _asked(self, name: str, forge: Forge, number: int, body: Any) -> dict[str, Any]:
        """What a GraphQL query about a pull request, or a mutation of it, comes to."""
        query, pull = body["query"], forge.pulls[number]
        head = pull.get("merged_head") or self._head(name, pull["branch"])
        if "enqueuePullRequest" in query:
            if body["variables"]["head"] != head:
                raise Refusal(422, "Head branch was modified.")
            if number in forge.queued or pull["state"] != "open":
                raise Refusal(422, "Pull request is already in the queue")
            forge.queued[number] = (head, "AWAITING_CHECKS")
        elif "dequeuePullRequest" in query:
            forge.queued.pop(number, None)
        elif "node(" not in query:
            pull["draft"] = "convertPullRequestToDraft" in query
            return {}
        places = list(forge.queued)
        entry = (
            {"id": f"MQE_{number}", "state": forge.queued[number][1], "position": places.index(number) + 1}
            if number in forge.queued
            else None
        )
        merged = bool(pull.get("merged_at"))
        return {
            "node": {
                "headRefOid": head,
                "merged": merged,
                "state": "MERGED" if merged else pull["state"].upper(),
                "mergeQueueEntry": entry,
                "mergeCommit": {"oid": pull["merge_commit_sha"]} if merged else None,
            }
        }

    async def _device(self, request: Request) -> Response:
        form = await request.form()
        if form.get("client_id") != "Iv1.test":
            return JSONResponse({"error": "incorrect_client_credentials"})
        code = uuid.uuid4().hex
        self.devices[code] = {"user_code": code[:4].upper() + "-" + code[4:8].upper(), "login": None}
        return JSONResponse({
            "device_code": code, "user_code": self.devices[code]["user_code"], "expires_in": 900, "interval": 5,
            "verification_uri": f"{self.root}/login/device",
        })  # fmt: skip

    async def _access_token(self, request: Request) -> Response:
        form = await request.form()
        device = self.devices.get(str(form.get("device_code")))
        if device is None:
            return JSONResponse({"error": "bad_verification_code"})
        if device["login"] is None:
            return JSONResponse({"error": "authorization_pending"})
        return JSONResponse({"access_token": self._token(device["login"], "ghu_"), "token_type": "bearer", "scope": ""})

    async def _log(self, request: Request) -> Response:
        number = request.path_params["number"]
        text = next((forge.logs[number] for forge in self.repositories.values() if number in forge.logs), "")
        return PlainTextResponse(text)

    async def _git(self, request: Request) -> Response:
        self.git_asked.append(f"{request.method} {request.url.path}?{request.url.query}")
        return await serve_git(request, self._folder, self._allowed)


def _page(rows: list[Any], query: Mapping[str, str]) -> list[Any]:
    size = int(query.get("per_page", "30"))
    begin = (int(query.get("page", "1")) - 1) * size
    return rows[begin : begin + size]


async def _in_thread(function: Callable[..., Response], *arguments: Any) -> Response:
    from starlette.concurrency import run_in_threadpool

    return await run_in_threadpool(function, *arguments)
