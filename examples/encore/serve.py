"""Serve the current release: `python3 serve.py --root DIR --port N`.

`DIR/current` is a link to a release's folder. It is read again at each request: switching the link switches the site.
"""

import argparse
import json
import mimetypes
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

TYPES = {".js": "text/javascript", ".svg": "image/svg+xml", ".json": "application/json", ".txt": "text/plain"}


def current(root: Path) -> Path | None:
    """The folder of the release that is live, or None before the first."""
    link = root / "current"
    return link.resolve() if link.is_dir() else None


def find(release: Path, address: str) -> Path | None:
    """The file that answers an address, or None. Nothing outside the release is ever found."""
    name = unquote(urlsplit(address).path).lstrip("/")
    if "\0" in name:
        return None
    path = (release / name).resolve()
    if path == release:
        path = release / "index.html"
    return path if path.is_relative_to(release) and path.is_file() else None


def health(root: Path) -> tuple[HTTPStatus, dict[str, Any]]:
    """Whether the live release can do its work: everything its page needs is served and the catalogue can be read."""
    release = current(root)
    if release is None:
        return _ill("there is no release yet")
    try:
        about = json.loads((release / "health.json").read_text(encoding="utf-8"))
        missing = [name for name in about["needs"] if find(release, name) is None]
        songs = json.loads((release / "catalogue.json").read_text(encoding="utf-8"))["songs"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return _ill(f"the release cannot be read: {error}", release=release.name)
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        reason = f"the page needs {missing[0]}{more}, which the release does not hold"
        return _ill(reason, release=release.name, missing=missing)
    if not songs:
        return _ill("the catalogue is empty", release=release.name)
    fields = {"version": about.get("version"), "commit": about.get("commit"), "release": release.name}
    return HTTPStatus.OK, {"status": "ok", **fields, "songs": len(songs)}


def _ill(reason: str, **details: Any) -> tuple[HTTPStatus, dict[str, Any]]:
    return HTTPStatus.SERVICE_UNAVAILABLE, {"status": "ill", "reason": reason, **details}


class Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD."""

    root: Path
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self) -> None:
        if urlsplit(self.path).path == "/health":
            status, body = health(self.root)
            return self._answer(status, "application/json", json.dumps(body).encode())
        release = current(self.root)
        file = find(release, self.path) if release else None
        if file is None:
            return self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"There is nothing here.\n")
        kind = TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        return self._answer(HTTPStatus.OK, kind, file.read_bytes())

    do_HEAD = do_GET

    def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8" if kind.startswith("text/") else kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-cache")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Content-Security-Policy", "default-src 'self'; base-uri 'none'; object-src 'none'")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Stay quiet: health is asked for every second."""


def server(root: Path, port: int, host: str = "127.0.0.1") -> ThreadingHTTPServer:
    """A server that is bound but not yet running; port 0 takes any free one."""
    return ThreadingHTTPServer((host, port), type("RootHandler", (Handler,), {"root": root.resolve()}))


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--root", type=Path, required=True, help="the folder that holds `current` and `releases/`")
    options.add_argument("--port", type=int, default=4670)
    options.add_argument("--host", default="127.0.0.1")
    given = options.parse_args()
    with server(given.root, given.port, given.host) as site:
        print(f"Encore on http://{given.host}:{site.server_port}/", flush=True)
        try:
            site.serve_forever()
        except KeyboardInterrupt:
            pass
