"""Two ways to a preview: by an unguessable host name, or by a port with a link that nobody can guess."""

from __future__ import annotations

import hmac
import re
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from honk.ship.previews.pages import plain
from honk.ship.previews.proxy import COOKIES

OPEN = "/.honk/open/"
"""What the link to a preview with a port of its own begins with; the preview's token follows."""

_TOKEN = re.compile(r"[a-z2-7]{26}")
_ALWAYS = {
    "x-robots-tag": "noindex",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
    # The address is the secret: other sites that a preview loads from are not told it.
    "referrer-policy": "same-origin",
}

Visit = Callable[[str, Scope, Receive, Send], Awaitable[None]]
"""Answers a request to the preview with that token; 404 if there is none."""


def by_host(inner: ASGIApp, domain: str, own: str, visit: Visit) -> ASGIApp:
    """Take every request whose Host is at or under `domain` away from `inner`, Honk's own pages, whose host is `own`.

    Nothing that such a request carries is looked at but its host, its path and what it says about caches and ranges.
    """

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        hosts = Headers(scope=scope).getlist("host") if scope["type"] in ("http", "websocket") else []
        names = [host_name(host) for host in hosts]
        under = [name for name in names if _under(name, domain) and name != own]
        if not under:
            await inner(scope, receive, send)
        elif scope["type"] == "websocket" and (len(names) > 1 or not _same_origin(scope)):
            await send({"type": "websocket.close", "code": 1008})
        elif len(names) > 1:
            await _marked(plain(400, "A request names one host."))(scope, receive, send)
        else:
            await _visited(under[0].removesuffix(f".{domain}"), visit, scope, receive, send)

    return application


def by_port(token: str, port: int, days: float, visit: Visit) -> ASGIApp:
    """One preview at a port of its own. Its link leaves a cookie for this port and leads to the clean address."""
    cookie = f"honk-preview-{port}"

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        given = cookie_parser(Headers(scope=scope).get("cookie", "")).get(cookie, "")
        # Cookies know no ports: without a name of their own, a service would get those of its neighbours.
        scope[COOKIES] = f"preview-{port}-"
        if scope["type"] == "websocket":
            if _same(given, token) and _same_origin(scope):
                await visit(token, scope, receive, send)
            else:
                await send({"type": "websocket.close", "code": 1008})
        elif scope["path"].startswith(OPEN) and _same(scope["path"].removeprefix(OPEN), token):
            opened = RedirectResponse("/", status_code=303)
            opened.set_cookie(cookie, token, max_age=int(days * 86400), path="/", httponly=True, samesite="lax")
            await _marked(opened)(scope, receive, send)
        elif _same(given, token):
            await _visited(token, visit, scope, receive, send)
        else:
            closed = plain(403, "This preview opens with its own link: take it from the task's thread.")
            await _marked(closed)(scope, receive, send)

    return application


def host_name(host: str) -> str:
    """The name in a Host header, as names are compared."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _same_origin(scope: Scope) -> bool:
    """Whether a WebSocket is opened by a page of the preview itself, or by a program: browsers always say."""
    headers = Headers(scope=scope)
    return "origin" not in headers or urlsplit(headers["origin"]).netloc == headers.get("host")


def _under(name: str, domain: str) -> bool:
    return name.endswith(f".{domain}") or (name == domain and domain != "localhost")


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


async def _visited(token: str, visit: Visit, scope: Scope, receive: Receive, send: Send) -> None:
    marked = _marking(send)
    if not _TOKEN.fullmatch(token) and scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    if not _TOKEN.fullmatch(token):
        await nothing_here()(scope, receive, marked)
        return
    await visit(token, scope, receive, marked)


def nothing_here() -> Response:
    """The answer to a host name that is no preview's."""
    return plain(404, "There is no preview at this address: take its link from the task's thread.")


def _marked(response: Response) -> ASGIApp:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await response(scope, receive, _marking(send))

    return application


def asking(send: Send, hints: str) -> Send:
    """Has the browser tell these client hints from now on (RFC 8942), where the page itself does not ask for some."""

    async def asked(message: Message) -> None:
        if message["type"] == "http.response.start":
            found = list(message["headers"])
            if not any(name == b"accept-ch" for name, _ in found):
                message = {**message, "headers": [*found, (b"accept-ch", hints.encode())]}
        await send(message)

    return asked


def _marking(send: Send) -> Send:
    async def marked(message: Message) -> None:
        if message["type"] == "http.response.start":
            found = list(message["headers"])
            names = {name for name, _ in found}
            told = [(name.encode(), value.encode()) for name, value in _ALWAYS.items() if name.encode() not in names]
            message = {**message, "headers": found + told}
        await send(message)

    return marked
