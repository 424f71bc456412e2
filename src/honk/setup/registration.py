"""The page here that takes a person to GitHub with the app's manifest, and the one GitHub sends them back to."""

from __future__ import annotations

import hmac
import json
import secrets
import threading
from collections.abc import Callable
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from honk.model import HonkError, UsageError
from honk.settings import Settings
from honk.setup.github import convert
from honk.setup.github_app import installation_page, manifest

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Honk</title><body style="font: 1.1rem system-ui; max-width: 34rem; margin: 4rem auto; padding: 0 1rem">{}</body>
</html>"""


def register(
    settings: Settings,
    *,
    name: str | None,
    organisation: str | None,
    port: int,
    announce: Callable[[str], None],
    seconds: float,
) -> dict[str, Any]:
    """Have a person make the app in their browser, from the address that `announce` gets, and return what GitHub says
    of it. `port` 0 takes any. Raises `HonkError` if that does not happen within `seconds`, or GitHub refuses."""
    visit = _Visit(settings, name, organisation)
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), _handler(visit))
    except OSError as error:
        raise UsageError(
            f"Port {port} cannot be listened on ({error.strerror}): choose another with --port."
        ) from error
    server.daemon_threads = True
    visit.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        announce(f"http://127.0.0.1:{visit.port}/{visit.state}")
        return visit.outcome(seconds)
    finally:
        server.shutdown()
        server.server_close()


class _Visit:
    """One person's way to GitHub and back. `state` shows that who comes back is who went."""

    def __init__(self, settings: Settings, name: str | None, organisation: str | None) -> None:
        self.state = secrets.token_urlsafe(24)
        self.port = 0
        self._settings = settings
        self._name = name
        self._organisation = organisation
        self._taken = threading.Lock()
        self._done = threading.Event()
        self._app: dict[str, Any] = {}
        self._error: HonkError | None = None

    def outcome(self, seconds: float) -> dict[str, Any]:
        if not self._done.wait(seconds):
            raise HonkError("Nobody came back from GitHub: run `honk setup github` again and follow its link.")
        if self._error:
            raise self._error
        return self._app

    def form(self) -> str:
        """A form that sends itself: GitHub takes the manifest only by POST."""
        made = manifest(
            self._settings,
            name=self._name,
            organisation=self._organisation,
            redirect_url=f"http://127.0.0.1:{self.port}/callback",
        )
        base = self._settings.github_git_url.rstrip("/")
        of = f"/organizations/{quote(self._organisation, safe='')}" if self._organisation else ""
        action = f"{base}{of}/settings/apps/new?state={self.state}"
        return (
            f'<form method="post" action="{escape(action)}">'
            f'<input type="hidden" name="manifest" value="{escape(json.dumps(made))}">'
            "<button>Go on to GitHub</button></form><script>document.forms[0].submit()</script>"
        )

    def came_back(self, query: str) -> tuple[int, str]:
        """Status and where to send the person, or words for them."""
        given = parse_qs(query)
        state, code = (given.get(name, [""])[0] for name in ("state", "code"))
        if not hmac.compare_digest(state.encode(), self.state.encode()) or not code:
            return 400, "This is not the answer to the question asked here: follow the link that Honk printed."
        with self._taken:
            if not self._done.is_set():
                try:
                    self._app = convert(self._settings, code)
                except HonkError as error:
                    self._error = error
                self._done.set()
        if self._error:
            return 502, str(self._error)
        return 303, installation_page(self._settings.github_git_url, self._app)


def _handler(visit: _Visit) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            address = urlsplit(self.path)
            # Pages of other sites that point a name of theirs here get nothing.
            if self.headers.get("host") not in (f"127.0.0.1:{visit.port}", f"localhost:{visit.port}"):
                self._send(403, "Not here.")
            elif hmac.compare_digest(address.path.encode(), f"/{visit.state}".encode()):
                self._send(200, visit.form(), words=False)
            elif address.path == "/callback":
                status, answer = visit.came_back(address.query)
                self._send(status, answer)
            else:
                self._send(404, "Follow the link that Honk printed.")

        def _send(self, status: int, answer: str, *, words: bool = True) -> None:
            body = _PAGE.format(escape(answer) if words else answer).encode()
            self.send_response(status)
            if status == 303:
                self.send_header("location", answer)
            self.send_header("content-type", "text/html; charset=utf-8")
            self.send_header("content-length", str(len(body)))
            self.send_header("cache-control", "no-store")
            self.send_header("referrer-policy", "no-referrer")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            # The addresses hold the code and the state.
            return

    return Handler
