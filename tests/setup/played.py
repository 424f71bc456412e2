"""A Slack and a GitHub on loopback, no larger than what setting up asks of them, and as strict as the real ones."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt

Answer = tuple[int, dict[str, str], Any]


class Played:
    """What a served request needs: subclasses answer it."""

    address = ""

    def answer(self, method: str, path: str, query: str, headers: Any, body: str) -> Answer:
        raise NotImplementedError


@contextmanager
def serving(played: Played) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
            status, headers, answer = played.answer(self.command, address.path, address.query, self.headers, body)
            sent = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
            self.send_response(status)
            for name, value in {"content-type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    played.address = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


class PlayedSlack(Played):
    """One app in one workspace. A test changes what it is given, then looks at what is said."""

    def __init__(self) -> None:
        self.bot_token = "xoxb-100-" + secrets.token_hex(12)
        self.app_token = "xapp-1-A0HONK1-200-" + secrets.token_hex(32)
        self.configuration_token = "xoxe.xoxp-1-" + secrets.token_hex(12)
        self.scopes: list[str] = []
        self.app_scopes = ["connections:write"]
        self.channels = ["C1"]
        self.gone = ""
        """The error for every call with the bot's token, such as `token_revoked`."""
        self.manifest: dict[str, Any] = {}
        self.trouble: Answer | None = None

    def answer(self, method: str, path: str, query: str, headers: Any, body: str) -> Answer:
        if self.trouble:
            return self.trouble
        if method != "POST" or not path.startswith("/api/") or query:
            return 404, {}, "<h1>not found</h1>"
        given = {name: values[0] for name, values in parse_qs(body).items()}
        token = headers.get("authorization", "").removeprefix("Bearer ")
        if "token" in given or not token:
            return self._no("not_authed")
        call = getattr(self, "_" + path.removeprefix("/api/").replace(".", "_"), None)
        return call(token, given) if call else self._no("unknown_method")

    def _no(self, error: str) -> Answer:
        return 200, {}, {"ok": False, "error": error}

    def _yes(self, **answer: Any) -> Answer:
        return 200, {"x-oauth-scopes": ",".join(self.scopes)}, {"ok": True, **answer}

    def _bot(self, token: str, *scopes: str) -> str:
        if token != self.bot_token:
            return "not_allowed_token_type" if token.startswith("xapp-") else "invalid_auth"
        return self.gone or ("" if set(scopes) <= set(self.scopes) else "missing_scope")

    def _auth_test(self, token: str, _: dict[str, str]) -> Answer:
        error = self._bot(token)
        return self._no(error) if error else self._yes(team="Acme", user="honk", user_id="U0", bot_id="B0HONK")

    def _bots_info(self, token: str, given: dict[str, str]) -> Answer:
        error = self._bot(token, "users:read") or ("" if given.get("bot") == "B0HONK" else "bot_not_found")
        return self._no(error) if error else self._yes(bot={"id": "B0HONK", "app_id": "A0HONK1"})

    def _apps_connections_open(self, token: str, _: dict[str, str]) -> Answer:
        if token != self.app_token:
            return self._no("invalid_auth" if token.startswith("xapp-") else "not_allowed_token_type")
        if "connections:write" not in self.app_scopes:
            return self._no("missing_scope")
        return 200, {}, {"ok": True, "url": "wss://127.0.0.1/link"}

    def _users_conversations(self, token: str, given: dict[str, str]) -> Answer:
        error = self._bot(token, "channels:read", "groups:read")
        if given.get("types") != "public_channel,private_channel":
            return self._no("invalid_types")
        return self._no(error) if error else self._yes(channels=[{"id": each} for each in self.channels])

    def _apps_manifest_export(self, token: str, given: dict[str, str]) -> Answer:
        if token != self.configuration_token:
            return self._no("invalid_auth")
        return self._yes(manifest=self.manifest) if given == {"app_id": "A0HONK1"} else self._no("invalid_app_id")


class PlayedGitHub(Played):
    """One app, its maker and its installations; the pages people use and the interface for programs."""

    NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {
        "pull_request": ("pull_requests",),
        "pull_request_review": ("pull_requests",),
        "pull_request_review_comment": ("pull_requests",),
        "issue_comment": ("issues", "pull_requests"),
        "issues": ("issues",),
        "check_run": ("checks",),
        "check_suite": ("checks",),
        "status": ("statuses",),
        "push": ("contents",),
    }

    def __init__(self, private_key: str, public_key: str) -> None:
        self.private_key = private_key
        self.public_key = public_key
        self.app_id = 4665
        self.owner: dict[str, str] = {"login": "ada", "type": "User"}
        self.permissions: dict[str, str] = {}
        self.events: list[str] = []
        self.device_flow = True
        self.installations: list[dict[str, Any]] = []
        self.hook: dict[str, str] | None = None
        self.manifests: list[dict[str, Any]] = []
        self.codes: set[str] = set()
        self.refusal: Answer | None = None

    def answer(self, method: str, path: str, query: str, headers: Any, body: str) -> Answer:
        if path.startswith("/api/"):
            return self._interface(method, path.removeprefix("/api"), headers)
        if method == "POST" and path == "/login/device/code":
            return self._device(parse_qs(body))
        if method == "POST" and path.endswith("settings/apps/new"):
            return self._made(path, parse_qs(query), parse_qs(body))
        return 404, {"content-type": "text/html"}, "<h1>not found</h1>"

    def _made(self, path: str, query: dict[str, list[str]], form: dict[str, list[str]]) -> Answer:
        manifest = json.loads(form["manifest"][0])
        unknown = set(manifest) - {
            "name", "url", "description", "public", "redirect_url", "hook_attributes", "default_permissions",
            "default_events",
        }  # fmt: skip
        unsupported = set(manifest["default_events"]) - set(self.NEEDS)
        uncovered = [
            event
            for event in set(manifest["default_events"]) & set(self.NEEDS)
            if not set(self.NEEDS[event]) & set(manifest["default_permissions"])
        ]
        host = urlsplit(manifest["hook_attributes"]["url"]).hostname
        wrong = unknown or unsupported or uncovered or len(manifest["name"]) > 34 or host in ("localhost", "127.0.0.1")
        if wrong or not manifest["url"]:
            return 422, {"content-type": "text/html"}, f"Invalid GitHub App configuration {unknown} {unsupported}"
        if path.startswith("/organizations/"):
            self.owner = {"login": path.split("/")[2], "type": "Organization"}
        self.permissions, self.events = manifest["default_permissions"], manifest["default_events"]
        self.hook = {"url": manifest["hook_attributes"]["url"], "secret": "********"}
        self.manifests.append(manifest)
        code = secrets.token_hex(20)
        self.codes.add(code)
        back = f"{manifest['redirect_url']}?{urlencode({'code': code, 'state': query['state'][0]})}"
        return 302, {"location": back}, ""

    def _device(self, given: dict[str, list[str]]) -> Answer:
        if given.get("client_id") != ["Iv23honk"]:
            return 404, {}, {"error": "Not Found"}
        if not self.device_flow:
            return 400, {}, {"error": "device_flow_disabled", "error_description": "Device Flow must be enabled"}
        return 200, {}, {"device_code": "d", "user_code": "ABCD-1234", "verification_uri": "x", "expires_in": 900}

    def _interface(self, method: str, path: str, headers: Any) -> Answer:
        if self.refusal:
            return self.refusal
        if method == "POST" and path.startswith("/app-manifests/"):
            return self._converted(path)
        refused = self._signed(headers.get("authorization", "").removeprefix("Bearer "))
        pages: dict[str, Any] = {"/app": self._app(), "/app/installations": self.installations}
        if self.hook:
            pages["/app/hook/config"] = self.hook
        found = path in pages and method == "GET"
        return refused or ((200, {}, pages[path]) if found else (404, {}, {"message": "Not Found"}))

    def _converted(self, path: str) -> Answer:
        code = path.split("/")[2]
        if code not in self.codes or not path.endswith("/conversions"):
            return 404, {}, {"message": "Not Found"}
        self.codes.remove(code)
        return 201, {}, self._app() | {"pem": self.private_key, "webhook_secret": "w" * 40, "client_secret": "c"}

    def _signed(self, token: str) -> Answer | None:
        try:
            claims = jwt.decode(token, self.public_key, algorithms=["RS256"])
        except jwt.InvalidTokenError:
            return 401, {}, {"message": "A JSON web token could not be decoded"}
        if claims["exp"] - claims["iat"] > 600:
            return 401, {}, {"message": "'Expiration time' claim ('exp') is too far in the future"}
        return None if claims["iss"] == str(self.app_id) else (404, {}, {"message": "Integration not found"})

    def _app(self) -> dict[str, Any]:
        return {
            "id": self.app_id,
            "slug": "honk-acme",
            "client_id": "Iv23honk",
            "html_url": f"{self.address}/apps/honk-acme",
            "owner": self.owner,
            "permissions": self.permissions,
            "events": self.events,
        }
