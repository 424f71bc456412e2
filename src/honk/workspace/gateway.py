"""The sandbox's way to the model: a reverse proxy that adds the key outside, so that no key is ever inside.

It holds the session to its budget, too, whatever in the sandbox sends the requests. Answers pass as they come.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

from honk.certificates import trusted
from honk.model import Budget, HonkError, LimitReached, Spent, UsageError
from honk.scratch import scratch_folder
from honk.settings import Settings
from honk.workspace.account import Account
from honk.workspace.event_loop import event_loop, wait_for
from honk.workspace.model_request import ModelRequest, NotForwarded, read_request
from honk.workspace.model_usage import UsageReader
from honk.workspace.prices import cost

if TYPE_CHECKING:
    import httpx
    from starlette.requests import Request
    from starlette.types import Message, Receive, Scope, Send

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
_REQUEST_BYTES = 32 * 1024**2
"""As the Messages API itself has it."""
_REQUEST_SECONDS = 120.0
_ANSWER_SECONDS = 3600.0
_AT_ONCE = 32
"""Requests of one session; more wait."""
_LARGE = 256 * 1024
"""Bytes of a request that is read in another thread, so that nobody else waits for it."""
_USUAL_UPSTREAM = "https://api.anthropic.com"


class ModelGateway:
    """A model gateway for one session, for as long as its context lasts.

    Listens on the Unix socket `socket`, or with `tcp` on `port` of the loopback. `token` opens it. `spent` and
    `refusal` are as `model.Workspace` says. Raises `UsageError` when made if no model is set up.
    """

    def __init__(self, settings: Settings, *, tcp: bool = False, budget: Budget | None = None) -> None:
        key = settings.anthropic_api_key
        if key is None and settings.anthropic_base_url.rstrip("/") == _USUAL_UPSTREAM:
            raise UsageError("No model is set up: set ANTHROPIC_API_KEY, or ANTHROPIC_BASE_URL to a model of your own.")
        self.token = f"honk-{secrets.token_urlsafe(24)}"
        self.port = 0
        self._proxy = _ModelProxy(settings, key.get_secret_value() if key else None, self.token, budget)
        self._tcp = tcp
        self._folder = scratch_folder()
        self.socket = self._folder / "model"

    @property
    def spent(self) -> Spent:
        return self._proxy.account.spent

    @property
    def refusal(self) -> HonkError | None:
        return self._proxy.refusal

    def settle(self) -> None:
        """Wait until `spent` holds all that was answered."""
        wait_for(self._proxy.account.settled())

    def charge(self, cost_usd: float) -> None:
        """See `model.Workspace.charge`."""
        self._proxy.account.charge(cost_usd)

    def __enter__(self) -> Self:
        wait_for(self._open(self._listen()))
        return self

    def __exit__(self, *_: object) -> None:
        wait_for(self._close())
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

    async def _open(self, listener: socket.socket) -> None:
        from uvicorn.config import Config
        from uvicorn.protocols.http.h11_impl import H11Protocol
        from uvicorn.server import ServerState

        # A server of its own is 75 ms and a thread for each session; its protocol on the loop that runs is 1 ms.
        configuration = Config(
            self._proxy, interface="asgi3", lifespan="off", ws="none", log_config=None, access_log=False,
            server_header=False, proxy_headers=False, h11_max_incomplete_event_size=1 << 16,
        )  # fmt: skip
        configuration.load()
        self._state = ServerState()
        make = event_loop().create_server if self._tcp else event_loop().create_unix_server
        self._server = await make(lambda: H11Protocol(configuration, self._state, {}), sock=listener)

    async def _close(self) -> None:
        self._server.close()
        for connection in list(self._state.connections):
            connection.transport.abort()
        for task in self._state.tasks:
            task.cancel()
        await asyncio.gather(*self._state.tasks, return_exceptions=True)


_client: tuple[asyncio.AbstractEventLoop, httpx.AsyncClient] | None = None


def _upstream() -> httpx.AsyncClient:
    """The connections to the model's server: all sessions share them, since to make ready for TLS takes a while."""
    global _client  # noqa: PLW0603  it is the process's, as its event loop
    if _client is None or _client[0] is not event_loop():
        import httpx

        # A model may think for minutes before the first byte; connecting must be quick.
        timeout = httpx.Timeout(900.0, connect=20.0)
        _client = (
            event_loop(),
            httpx.AsyncClient(verify=trusted(), timeout=timeout, limits=httpx.Limits(max_keepalive_connections=32)),
        )
    return _client[1]


def warm() -> None:
    """Load and make what the first session would wait for."""
    import starlette.requests  # noqa: F401
    import uvicorn.protocols.http.h11_impl  # noqa: F401

    async def make() -> None:
        _upstream()

    wait_for(make())


class _ModelProxy:
    """The application behind a session's socket: what may go to the model's server goes there with the key."""

    def __init__(self, settings: Settings, key: str | None, token: str, budget: Budget | None) -> None:
        self.account = Account(budget)
        self.refusal: HonkError | None = None
        self._address = settings.anthropic_base_url.rstrip("/")
        self._models: Sequence[str] = settings.models
        self._key = key
        self._token = token
        self._at_once = asyncio.Semaphore(_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from starlette.requests import Request

        if scope["type"] != "http":
            return
        try:
            async with self._at_once:
                await self._forward(Request(scope, receive), receive, send)
        except NotForwarded as refused:
            if refused.kind == "permission_error":
                self.refusal = HonkError(str(refused))
            await _refuse(send, refused.status, refused.kind, str(refused))
        except LimitReached as limit:
            self.refusal = limit
            await _refuse(send, 403, "permission_error", str(limit))

    async def _forward(self, request: Request, receive: Receive, send: Send) -> None:
        body = await _body(request)
        if not self._knows(request):
            raise NotForwarded(401, "authentication_error", "This gateway belongs to another session.")
        path = request.scope.get("raw_path", b"").decode("ascii", "replace") or request.url.path
        looking = (request.method, path, body, self._models)
        asked = read_request(*looking) if len(body) < _LARGE else await asyncio.to_thread(read_request, *looking)
        if asked.free:
            await self._pass(request, path, body, asked, receive, send)
            return
        admitted = await self.account.admit(asked.most)
        spent: float | None = None
        try:
            reader = await self._pass(request, path, body, asked, receive, send)
            if reader is not None:
                used = reader.used()
                # Of what was broken off, or cannot be read, nobody knows.
                spent = asked.most if used is None else cost(reader.model or asked.model, used, asked.times)
        finally:
            await asyncio.shield(self.account.settle(admitted, spent))

    async def _pass(
        self, request: Request, path: str, body: bytes, asked: ModelRequest, receive: Receive, send: Send
    ) -> UsageReader | None:
        """Send the request on and its answer back; what that used, if it is an answer that costs something."""
        import httpx

        query = f"?{request.url.query}" if request.url.query else ""
        outgoing = _upstream().build_request(
            request.method, f"{self._address}{path}{query}", headers=self._headers(request), content=body
        )
        answer = None
        reader = UsageReader(streamed=False)
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                answer = await _unless_gone(_upstream().send(outgoing, stream=True), receive)
                if answer is None:
                    return reader
                reader = UsageReader(streamed="event-stream" in answer.headers.get("content-type", ""))
                await _unless_gone(_hand_back(answer, reader, send), receive)
                return reader if answer.is_success and not asked.free else None
        except (httpx.HTTPError, TimeoutError) as error:
            if answer is not None:
                return reader
            told = f"The model at {self._address} cannot be reached: {type(error).__name__}."
            raise NotForwarded(502, "api_error", told) from error
        finally:
            if answer is not None:
                await asyncio.shield(answer.aclose())

    def _headers(self, request: Request) -> list[tuple[str, str]]:
        left_out = _HOP_BY_HOP | _CREDENTIALS | {"accept-encoding"}
        headers = [(name, value) for name, value in request.headers.items() if name not in left_out]
        # What an answer used has to be readable here.
        headers.append(("accept-encoding", "identity"))
        return headers if self._key is None else [*headers, ("x-api-key", self._key)]

    def _knows(self, request: Request) -> bool:
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        shown = [request.headers.get("x-api-key", ""), bearer if scheme.lower() == "bearer" else ""]
        return any(secrets.compare_digest(item.encode(), self._token.encode()) for item in shown)


async def _body(request: Request) -> bytes:
    from starlette.requests import ClientDisconnect

    body = bytearray()
    try:
        async with asyncio.timeout(_REQUEST_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > _REQUEST_BYTES:
                    raise NotForwarded(413, "request_too_large", "The request is over 32 MiB.")
    except (ClientDisconnect, TimeoutError) as error:
        raise NotForwarded(400, "invalid_request_error", "The request did not come to its end.") from error
    return bytes(body)


async def _unless_gone(work: Any, receive: Receive) -> Any:
    """What the work returns; None, and the work is ended, if the client goes away first."""

    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(gone())
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        for task in (working, leaving):
            task.cancel()
        with contextlib.suppress(Exception):
            await asyncio.gather(working, leaving, return_exceptions=True)


async def _hand_back(answer: httpx.Response, reader: UsageReader, send: Send) -> None:
    kept = ((name, value) for name, value in answer.headers.multi_items() if name.lower() not in _HOP_BY_HOP)
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in kept]
    await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
    readable = answer.headers.get("content-encoding", "identity") == "identity"
    async for chunk in answer.aiter_raw():
        if readable:
            reader.read(chunk)
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _refuse(send: Send, status: int, kind: str, sentence: str) -> None:
    """An error as the Messages API has them."""
    import json

    body = json.dumps({"type": "error", "error": {"type": kind, "message": sentence}}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    start: Message = {"type": "http.response.start", "status": status, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": body})
