"""Who may come in: the bearer token for programs, a session cookie made from it for a browser."""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import urlsplit

from fastapi import HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from honk.model import Person
from honk.settings import Settings

_COOKIE = "honk"
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_YEAR = 365 * 24 * 3600


class Access:
    """Checks requests against one installation's token."""

    def __init__(self, token: str, settings: Settings) -> None:
        self._token = token
        self._settings = settings
        # The cookie is not the token, so that a leaked cookie does not open the HTTP interface elsewhere.
        self._session = hmac.new(token.encode(), b"browser session", hashlib.sha256).hexdigest()
        self.person = Person("local:owner", "You")

    def check(self, request: Request) -> None:
        """Raise 401 without the token, 403 for a form that another site sent."""
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self._token.encode()):
            return
        if not self.has_session(request):
            raise HTTPException(401, "Show the token: `Authorization: Bearer …`, or the link that `honk up` printed.")
        if request.method not in ("GET", "HEAD") and not self._same_origin(request):
            raise HTTPException(403, "This came from another site, so nothing was done.")

    def has_session(self, request: Request) -> bool:
        """Whether the browser has come in before."""
        return hmac.compare_digest(request.cookies.get(_COOKIE, "").encode(), self._session.encode())

    def enter(self, request: Request) -> Response | None:
        """The answer to the link with the token: a session, and the page's address without the token."""
        given = request.query_params.get("token")
        if request.method != "GET" or given is None or request.url.path.startswith("/api/"):
            return None
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            return RedirectResponse("/sign-in?wrong=1", status_code=303)
        response = RedirectResponse(request.url.path, status_code=303)
        secure = request.url.scheme == "https" or (self._settings.public_url or "").startswith("https:")
        response.set_cookie(
            _COOKIE, self._session, max_age=_YEAR, httponly=True, samesite="lax", secure=secure, path="/"
        )
        return response

    def host_is_ours(self, request: Request) -> bool:
        """False for a host name that somebody else's page may have pointed at this machine."""
        try:
            host = (urlsplit(f"//{request.headers.get('host', '')}").hostname or "").lower()
        except ValueError:
            return False
        if self._settings.host not in _LOOPBACK:
            return True
        public = urlsplit(self._settings.url).hostname
        return host in _LOOPBACK or host == public

    def _same_origin(self, request: Request) -> bool:
        origin = request.headers.get("origin") or request.headers.get("referer")
        if not origin:
            return request.headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")
        return urlsplit(origin).netloc in (request.headers.get("host"), urlsplit(self._settings.url).netloc)
