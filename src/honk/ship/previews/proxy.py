"""A visitor's request, handed to a service behind a Unix socket, and its answer handed back.

The service of a preview is not trusted: it gets no cookie that is not its own, and what it answers reaches no further
than its own origin. It is told it is at `localhost`, because servers for developers refuse other names. One in
production (`AS_IT_IS`) is at home at its address: it hears what was asked and answers what it likes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import httpcore
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.typing import Origin, Subprotocol

COOKIES = "honk.cookies"
"""Key of a scope: what the names of the service's cookies begin with, where its host has other services too."""

AS_IT_IS = "honk.as-it-is"
"""Key of a scope: true where the service is told what was asked as it was, and says what it says."""

Raw = list[tuple[bytes, bytes]]

_HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te",
     b"trailer", b"transfer-encoding", b"upgrade")
)  # fmt: skip
_OWN = frozenset((b"host", b"cookie", b"origin", b"referer", b"forwarded"))
# These would reach beyond the service: to other ports of its host, or to a time when it is gone.
_KEPT_BACK = frozenset((b"strict-transport-security", b"alt-svc", b"clear-site-data", b"date", b"location"))
_TIMEOUTS = {"connect": 10.0, "pool": None, "write": 60.0, "read": None}
_MOST_MESSAGE = 16 * 1024**2


class Unreachable(Exception):
    """The service does not answer."""


async def forward(service: Path, port: int, scope: Scope, receive: Receive, send: Send) -> None:
    """Hand an HTTP request on. Raises `Unreachable` if nothing was answered."""
    request = httpcore.Request(
        scope["method"],
        httpcore.URL(scheme=b"http", host=b"localhost", port=port, target=_target(scope)),
        headers=_asked(scope, port),
        content=_body(receive) if _has_body(scope) else None,
        extensions={"timeout": _TIMEOUTS},
    )
    async with httpcore.AsyncConnectionPool(uds=str(service)) as pool:
        try:
            response = await pool.handle_async_request(request)
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError) as error:
            raise Unreachable from error
        try:
            await _answer(response, scope, port, receive, send)
        finally:
            await response.aclose()


async def _answer(response: httpcore.Response, scope: Scope, port: int, receive: Receive, send: Send) -> None:
    async def hand_back() -> None:
        headers = list(_answered(response.headers, scope, port))
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        try:
            async for part in response.aiter_stream():
                await send({"type": "http.response.body", "body": part, "more_body": True})
        except (httpcore.NetworkError, httpcore.ProtocolError):
            # What was said cannot be unsaid: without the end, the browser sees that it is not whole.
            return
        await send({"type": "http.response.body", "body": b""})

    async with anyio.create_task_group() as tasks:

        async def until_gone() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            tasks.cancel_scope.cancel()

        tasks.start_soon(until_gone)
        await hand_back()
        tasks.cancel_scope.cancel()


async def forward_websocket(service: Path, port: int, scope: Scope, receive: Receive, send: Send) -> None:
    """Hand a WebSocket on, both ways, until either side ends it."""
    client = WebSocket(scope, receive, send)
    headers = Headers(raw=_asked(scope, port))
    try:
        async with unix_connect(
            str(service),
            f"ws://{headers.get('host', 'localhost')}{_target(scope).decode('latin-1')}",
            origin=Origin(headers["origin"]) if "origin" in headers else None,
            subprotocols=[Subprotocol(name) for name in scope["subprotocols"]] or None,
            additional_headers=[(name, value) for name, value in headers.items() if name not in ("host", "origin")],
            user_agent_header=None,
            compression=None,
            ping_interval=None,
            max_size=_MOST_MESSAGE,
        ) as upstream:
            await client.accept(subprotocol=upstream.subprotocol)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_say, client, upstream, tasks.cancel_scope)
                tasks.start_soon(_hear, client, upstream, tasks.cancel_scope)
    except (OSError, WebSocketException, TimeoutError):
        if client.application_state.name == "CONNECTING":
            await client.close(1013)


async def _say(client: WebSocket, upstream: ClientConnection, both: anyio.CancelScope) -> None:
    while True:
        message: Message = await client.receive()
        if message["type"] != "websocket.receive":
            break
        try:
            await upstream.send(message["text"] if message.get("text") is not None else message["bytes"])
        except ConnectionClosed:
            return
    both.cancel()


async def _hear(client: WebSocket, upstream: ClientConnection, both: anyio.CancelScope) -> None:
    try:
        async for message in upstream:
            await (client.send_text(message) if isinstance(message, str) else client.send_bytes(message))
        await client.close(upstream.close_code or 1000, upstream.close_reason)
    except ConnectionClosed:
        await client.close(1011)
    except (WebSocketDisconnect, RuntimeError):
        pass
    both.cancel()


def _target(scope: Scope) -> bytes:
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    return path.partition(b"?")[0] + (b"?" + scope["query_string"] if scope["query_string"] else b"")


def _has_body(scope: Scope) -> bool:
    return any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Unreachable
        yield message.get("body", b"")
        if not message.get("more_body"):
            return


def _asked(scope: Scope, port: int) -> Raw:
    """The request's headers as the service may see them."""
    given: Raw = [
        (name, value)
        for name, value in scope["headers"]
        if name not in _HOP_BY_HOP and not name.startswith(b"sec-websocket-")
    ]
    headers = Headers(raw=given)
    if scope.get(AS_IT_IS):
        return _told_by_whom(given, headers, scope)
    kept = [(name, value) for name, value in given if name not in _OWN and not name.startswith(b"x-forwarded-")]
    own = headers.get("host", "")
    told = {"host": f"localhost:{port}", "x-forwarded-host": own, "x-forwarded-proto": _scheme(scope)}
    if cookies := "; ".join(_given_cookies(headers.getlist("cookie"), scope.get(COOKIES, ""))):
        told["cookie"] = cookies
    for name in ("origin", "referer"):
        if (said := headers.get(name)) and (inside := _inside(said, own, port)):
            told[name] = inside
    return kept + [(name.encode(), value.encode("latin-1")) for name, value in told.items()]


def _told_by_whom(given: Raw, headers: Headers, scope: Scope) -> Raw:
    """The headers as they came, with who asked and how: after what a proxy in front of Honk has said of that."""
    hops = [hop.strip() for hop in headers.get("x-forwarded-for", "").split(",") if hop.strip()]
    asker = scope["client"][0] if scope.get("client") else ""
    told = {
        b"x-forwarded-for": ", ".join(hops if not asker or hops[-1:] == [asker] else [*hops, asker]),
        b"x-forwarded-proto": _scheme(scope),
    }
    kept = [(name, value) for name, value in given if name not in told]
    return kept + [(name, value.encode("latin-1")) for name, value in told.items() if value]


def _scheme(scope: Scope) -> str:
    return "https" if scope["scheme"] in ("https", "wss") else "http"


def _inside(address: str, own: str, port: int) -> str:
    """An address on the preview's own origin, as the service calls it; any other as it is."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    if parts.netloc != own:
        return address
    return parts._replace(scheme="http", netloc=f"localhost:{port}").geturl()


def _given_cookies(headers: list[str], prefix: str) -> Iterator[str]:
    for cookie in "; ".join(headers).split(";"):
        if cookie.strip().startswith(prefix) and cookie.strip():
            yield cookie.strip().removeprefix(prefix)


def _answered(headers: Raw, scope: Scope, port: int) -> Iterator[tuple[bytes, bytes]]:
    """The answer's headers as the browser may see them."""
    for raw, value in headers:
        name = raw.lower()
        if scope.get(AS_IT_IS):
            if name not in _HOP_BY_HOP and name != b"date":
                yield name, value
        elif name == b"set-cookie":
            yield name, _own_cookie(value, scope.get(COOKIES, "").encode())
        elif name == b"location":
            yield name, _outside(value, port)
        elif name not in _HOP_BY_HOP and name not in _KEPT_BACK:
            yield name, value


def _own_cookie(value: bytes, prefix: bytes) -> bytes:
    """A cookie for this host and no domain around it."""
    parts = [part.strip() for part in value.split(b";")]
    return b"; ".join([prefix + parts[0], *(part for part in parts[1:] if not part.lower().startswith(b"domain"))])


def _outside(value: bytes, port: int) -> bytes:
    """Where the service leads to: on its own origin, by the path alone."""
    try:
        parts = urlsplit(value.decode("latin-1"))
        own = parts.hostname in ("localhost", "127.0.0.1") and parts.port == port
    except ValueError:
        return b"/"
    return (parts._replace(scheme="", netloc="").geturl() or "/").encode("latin-1") if own else value
