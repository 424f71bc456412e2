"""The sandbox's way to the model: a reverse proxy that adds the key outside, so that no key is ever inside."""

from __future__ import annotations

import secrets
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from honk.model import HonkError, UsageError
from honk.settings import Settings

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "host",
        "content-length",
    }
)
_CREDENTIALS = frozenset({"authorization", "x-api-key", "cookie"})
_REQUEST_BYTES = 64 * 1024**2
_USUAL_UPSTREAM = "https://api.anthropic.com"


class ModelGateway:
    """A model gateway for one session, for as long as its context lasts.

    Listens on the Unix socket `socket`, or with `tcp` on `port` of the loopback. `token` opens it. Raises
    `UsageError` when made if no model is set up.
    """

    def __init__(self, settings: Settings, *, tcp: bool = False) -> None:
        key = settings.anthropic_api_key
        if key is None and settings.anthropic_base_url.rstrip("/") == _USUAL_UPSTREAM:
            raise UsageError("No model is set up: set ANTHROPIC_API_KEY, or ANTHROPIC_BASE_URL to a model of your own.")
        self.token = f"honk-{secrets.token_urlsafe(24)}"
        self.port = 0
        self._key = key.get_secret_value() if key else None
        self._upstream = settings.anthropic_base_url.rstrip("/")
        self._tcp = tcp
        self._folder = Path(tempfile.mkdtemp(prefix="honk-"))
        self.socket = self._folder / "model"

    def __enter__(self) -> Self:
        import uvicorn

        listener = self._listen()
        configuration = uvicorn.Config(
            application(self._upstream, self._key, self.token),
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=1,
            server_header=False,
        )
        self._server = uvicorn.Server(configuration)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listener]}, name="honk-model-gateway", daemon=True
        )
        self._thread.start()
        deadline = time.monotonic() + 30
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                self.__exit__()
                raise HonkError("The gateway to the model could not start: run `honk doctor`.")
            time.sleep(0.005)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _listen(self) -> socket.socket:
        if self._tcp:
            listener = socket.socket()
            listener.bind(("127.0.0.1", 0))
            self.port = listener.getsockname()[1]
        else:
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(self.socket))
        listener.listen(128)
        return listener


def application(upstream: str, key: str | None, token: str) -> Starlette:
    """The reverse proxy: `/v1/…` to `upstream` with `key`, for whoever shows `token`."""
    import httpx
    from starlette.applications import Starlette
    from starlette.routing import Route

    # A model may think for minutes before the first byte; connecting must be quick.
    client = httpx.AsyncClient(timeout=httpx.Timeout(900.0, connect=20.0), limits=httpx.Limits(max_connections=64))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with client:
            yield

    async def forward(request: Request) -> Response:
        return await _forward(request, client, upstream, key, token)

    methods = ["GET", "POST", "HEAD", "DELETE"]
    return Starlette(routes=[Route("/{path:path}", forward, methods=methods)], lifespan=lifespan)


async def _forward(request: Request, client: Any, upstream: str, key: str | None, token: str) -> Response:
    import httpx
    from starlette.background import BackgroundTask
    from starlette.responses import StreamingResponse

    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _REQUEST_BYTES:
            return _refusal(413, "request_too_large", "The request is over 64 MiB.")
    if not _knows(request, token):
        return _refusal(401, "authentication_error", "This gateway belongs to another session.")
    path = request.scope.get("raw_path", b"").decode("ascii", "replace") or request.url.path
    if not path.startswith("/v1/") or "/.." in path or "%2e" in path.lower():
        return _refusal(404, "not_found_error", "Only the model's own paths below /v1/ are forwarded.")
    headers = [(name, value) for name, value in request.headers.items() if name not in _HOP_BY_HOP | _CREDENTIALS]
    if "accept-encoding" not in request.headers:
        headers.append(("accept-encoding", "identity"))
    if key is not None:
        headers.append(("x-api-key", key))
    query = f"?{request.url.query}" if request.url.query else ""
    outgoing = client.build_request(request.method, f"{upstream}{path}{query}", headers=headers, content=bytes(body))
    try:
        answer = await client.send(outgoing, stream=True)
    except httpx.HTTPError as error:
        return _refusal(502, "api_error", f"The model at {upstream} cannot be reached: {type(error).__name__}.")
    response = StreamingResponse(answer.aiter_raw(), answer.status_code, background=BackgroundTask(answer.aclose))
    kept = ((name, value) for name, value in answer.headers.multi_items() if name.lower() not in _HOP_BY_HOP)
    response.raw_headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in kept]
    return response


def _knows(request: Request, token: str) -> bool:
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    shown = [request.headers.get("x-api-key", ""), bearer if scheme.lower() == "bearer" else ""]
    return any(secrets.compare_digest(item.encode(), token.encode()) for item in shown)


def _refusal(status: int, kind: str, message: str) -> Response:
    from starlette.responses import JSONResponse

    return JSONResponse({"type": "error", "error": {"type": kind, "message": message}}, status)
