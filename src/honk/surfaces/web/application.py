"""Puts the web surface together: who may come in, what errors look like, and which routes there are."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from honk import __version__
from honk.flow.inbox import Inbox
from honk.model import Artifact, HonkError, NotFound, Refused, UsageError
from honk.settings import Settings
from honk.store import Store
from honk.surfaces.web.access import Access
from honk.surfaces.web.api import api_routes
from honk.surfaces.web.install import install_routes
from honk.surfaces.web.metrics import metrics_text
from honk.surfaces.web.pages import page_routes
from honk.surfaces.web.webhooks import GitHubDoor, SlackDoor, troubles, webhook_routes

if TYPE_CHECKING:
    from starlette.middleware.base import RequestResponseEndpoint

_STATIC = Path(__file__).parent / "static"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; worker-src 'self'"
)


def _no_folder(_: Artifact) -> Path:
    raise NotFound("This server keeps nothing of what was built.")


def create_app(
    store: Store,
    inbox: Inbox,
    settings: Settings,
    token: str,
    *,
    slack: SlackDoor | None = None,
    github: GitHubDoor | None = None,
    screenshot: Callable[[str], Path | None] = lambda _: None,
    comparison: Callable[[str, str], Path | None] = lambda *_: None,
    folder: Callable[[Artifact], Path] = _no_folder,
    waiting_agents: Callable[[], int] = lambda: 0,
) -> FastAPI:
    """The application. Whoever shows `token` (as a bearer, or once in `/?token=`) may do everything; `slack` and
    `github` check for themselves who comes through their doors. `screenshot` finds an artifact's picture, `comparison`
    two beside each other, `folder` an artifact's files; `waiting_agents` says how many agents were started ahead."""
    app = FastAPI(title="Honk", version=__version__, description="A self-hosted background coding agent.")
    access = Access(token, settings)
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    for part in (
        api_routes(store, inbox, settings, access),
        webhook_routes(slack, github),
        install_routes(store, inbox, settings, folder),
        page_routes(store, inbox, settings, access, (screenshot, comparison), lambda: troubles(slack, github)),
    ):
        # They are whole as they are; what is included is made a second time, when the first request comes.
        app.router.routes.extend(part.routes)
    _errors(app)

    @app.get("/healthz", include_in_schema=True, tags=["operations"])
    def healthz() -> dict[str, str]:
        """Answers as long as the server and its database do."""
        store.tasks(limit=1)
        return {"status": "ok", "version": __version__}

    @app.get("/metrics", response_class=PlainTextResponse, tags=["operations"])
    def metrics(request: Request) -> str:
        """Counts for Prometheus."""
        access.check(request)
        return metrics_text(store, waiting_agents())

    @app.get("/sw.js", include_in_schema=False)
    def service_worker() -> Response:
        return Response((_STATIC / "sw.js").read_text(), media_type="text/javascript")

    @app.middleware("http")
    async def guard(request: Request, call_next: RequestResponseEndpoint) -> Response:
        if not access.host_is_ours(request):
            return JSONResponse({"error": "This host name is not Honk's: set HONK_PUBLIC_URL to it."}, status_code=421)
        if entered := access.enter(request):
            return entered
        response = await call_next(request)
        if request.url.path not in ("/docs", "/redoc"):
            response.headers.setdefault("content-security-policy", _POLICY)
        response.headers["x-content-type-options"] = "nosniff"
        response.headers.setdefault("referrer-policy", "same-origin")
        return response

    return app


def _errors(app: FastAPI) -> None:
    """Every refusal is one sentence, as JSON for programs and as a page for people."""

    def answer(request: Request, status: int, sentence: str) -> Response:
        wants_page = "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/api/")
        if status == 401 and wants_page:
            return RedirectResponse("/sign-in", status_code=303)
        if wants_page:
            from honk.surfaces.web.rendering import page

            return page("error.html", status=status, sentence=sentence)
        return JSONResponse({"error": sentence}, status_code=status)

    @app.exception_handler(HonkError)
    def on_honk_error(request: Request, error: HonkError) -> Response:
        status = 404 if isinstance(error, NotFound) else 409 if isinstance(error, Refused) else 500
        return answer(request, 422 if isinstance(error, UsageError) else status, str(error))

    @app.exception_handler(HTTPException)
    def on_http_error(request: Request, error: HTTPException) -> Response:
        plain = error.detail == HTTPStatus(error.status_code).phrase
        told = {
            404: "There is nothing at this address." if plain else "",
            405: "This address does not take that method.",
        }
        return answer(request, error.status_code, told.get(error.status_code) or str(error.detail))

    @app.exception_handler(RequestValidationError)
    def on_invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"] if part != "body")
        return answer(request, 422, f"`{place}`: {first['msg']}." if place else f"The body is wrong: {first['msg']}.")

    @app.exception_handler(Exception)
    def on_fault(request: Request, error: Exception) -> Response:
        return answer(request, 500, "Something went wrong inside Honk; the server's log has the details.")
