"""Git over HTTP as a forge far away has it: the real `git http-backend`, with what was asked and answered kept."""

from __future__ import annotations

import base64
import gzip
import os
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType

_PIECE = 1 << 16


class GitServer:
    """Serves the bare repositories in `folder` at `url`; to those who show the `token`, if there is one.

    Without `parts`, it knows no filters. Without `version_2`, it speaks git's older protocol, in which only what a
    reference names can be asked for. The line takes so many bytes a second, or any number.
    """

    def __init__(
        self,
        folder: Path,
        *,
        token: str = "",
        parts: bool = True,
        version_2: bool = True,
        bytes_per_second: float | None = None,
    ) -> None:
        self._folder = folder
        self._token = token
        self._settings = {"uploadpack.allowFilter": str(parts).lower()}
        self._version_2 = version_2
        self.bytes_per_second = bytes_per_second
        self._held = b""
        self._open = threading.Event()
        self._open.set()
        self.asked: list[bytes] = []
        """What was sent with each request, plain."""
        self.bytes_sent = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def hold(self, text: str) -> None:
        """Have requests in which `text` is wait until `let_go`."""
        self._held = text.encode()
        self._open.clear()

    def let_go(self) -> None:
        """Answer what waits, and whatever comes."""
        self._held = b""
        self._open.set()

    def credentials(self) -> dict[str, str]:
        """The environment with which git is let in."""
        word = base64.b64encode(f"x:{self._token}".encode()).decode()
        return {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"http.{self.url}/.extraHeader",
            "GIT_CONFIG_VALUE_0": f"Authorization: Basic {word}",
        }

    def __enter__(self) -> GitServer:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.let_go()
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request: BaseHTTPRequestHandler, body: bytes) -> bytes | None:
        """What `git http-backend` answers, head and all; None for somebody unknown."""
        headers, (path, _, query) = request.headers, request.path.partition("?")
        plain = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
        self.asked.append(plain)
        word = self.credentials()["GIT_CONFIG_VALUE_0"].partition(": ")[2]
        if self._token and headers.get("authorization") != word:
            return None
        if self._held and self._held in plain:
            self._open.wait(60)
        given = {f"GIT_CONFIG_KEY_{number}": key for number, key in enumerate(self._settings)}
        given |= {f"GIT_CONFIG_VALUE_{number}": value for number, value in enumerate(self._settings.values())}
        return subprocess.run(
            ["git", "http-backend"], input=body, capture_output=True, check=False,
            env={
                "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(self._folder), "GIT_HTTP_EXPORT_ALL": "1",
                "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_COUNT": str(len(self._settings)), **given,
                "PATH_INFO": path, "QUERY_STRING": query, "REQUEST_METHOD": request.command,
                "CONTENT_TYPE": headers.get("content-type", ""), "CONTENT_LENGTH": str(len(body)),
                "HTTP_CONTENT_ENCODING": headers.get("content-encoding", ""),
                "GIT_PROTOCOL": headers.get("git-protocol", "") if self._version_2 else "",
            },
        ).stdout  # fmt: skip


def _handler(server: GitServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._reply(b"")

        def do_POST(self) -> None:
            if self.headers.get("transfer-encoding") != "chunked":
                self._reply(self.rfile.read(int(self.headers["content-length"])))
                return
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            self._reply(body)

        def _reply(self, body: bytes) -> None:
            answer = server.answer(self, body)
            if answer is None:
                answer = b'Status: 401 Sign in\r\nWWW-Authenticate: Basic realm="git"\r\n\r\n'
            head, _, rest = answer.partition(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
            self.send_response(int(headers.pop("Status", "200").split()[0]))
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(rest)))
            self.end_headers()
            server.bytes_sent += len(rest)
            if (rate := server.bytes_per_second) is None:
                self.wfile.write(rest)
                return
            for begin in range(0, len(rest), _PIECE):
                piece = rest[begin : begin + _PIECE]
                self.wfile.write(piece)
                time.sleep(len(piece) / rate)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
