"""`honk up` and `honk worker`."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from types import FrameType
from typing import TYPE_CHECKING

from honk.model import UsageError
from honk.surfaces.terminal import progress, results

if TYPE_CHECKING:
    from honk.settings import Settings

log = logging.getLogger("honk")


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(256)
    except PermissionError as error:
        raise UsageError(
            f"{host}:{port} may not be listened on by you: choose a port from 1024 on with --listen."
        ) from error
    except OSError as error:
        listener.close()
        raise UsageError(
            f"{host}:{port} cannot be listened on ({error.strerror or error}): stop what uses it, or choose another "
            "with --listen HOST:PORT or HONK_LISTEN."
        ) from error
    return listener


def serve(listen: str | None) -> None:
    """Run until told to stop. Raises `UsageError` if the port or the home is taken."""
    import uvicorn

    from honk.app import access_token, assemble
    from honk.settings import read_settings
    from honk.surfaces.web import create_app

    settings = read_settings(listen=listen)
    listener = _listen(settings.host, settings.port)
    if settings.port == 0:
        settings = settings.model_copy(update={"listen": f"{settings.host}:{listener.getsockname()[1]}"})
    installation = assemble(settings)
    if not installation.work(serve_previews=True):
        raise UsageError(
            f"Process {installation.lock.holder()} works on {settings.home} already: use that one, stop it, or set "
            "HONK_HOME to another folder."
        )
    token = access_token(settings.home)
    surfaces = installation.open_surfaces()
    application = create_app(
        installation.store,
        installation.inbox,
        settings,
        token,
        slack=surfaces.slack,
        github=surfaces.github,
        screenshot=installation.screenshots.path,
        comparison=installation.screenshots.comparison,
        folder=installation.artifacts.path,
        waiting_agents=installation.spares.waiting,
    )
    server = uvicorn.Server(
        uvicorn.Config(
            installation.with_previews(application),
            log_level="warning",
            timeout_graceful_shutdown=1,
            server_header=False,
        )
    )

    def leave(_: int, __: FrameType | None) -> None:
        # What runs is taken up by the next life, as after a crash: only what is in production may end in peace.
        try:
            installation.engine.close()
            installation.production.close()
        except Exception:
            log.exception("not everything could be closed")
        os._exit(0)

    signal.signal(signal.SIGINT, leave)
    signal.signal(signal.SIGTERM, leave)
    results.print(f"Honk is up. Open [bold]{settings.url}/?token={token}[/]")
    _say_what_is_missing(settings)
    if surfaces.slack:
        progress.print("[dim]Listening in Slack.[/]")
    if surfaces.github:
        way = "by webhooks" if settings.github_webhook_secret else "by looking"
        progress.print(f"[dim]Working with GitHub, told of news {way}.[/]")
    # In a thread of its own, so that uvicorn leaves the signals to `leave`.
    thread = threading.Thread(target=lambda: server.run(sockets=[listener]), name="web")
    thread.start()
    thread.join()


def _say_what_is_missing(settings: Settings) -> None:
    from honk.agents import agent_ready
    from honk.model import HonkError

    try:
        agent_ready("claude", settings)
    except HonkError as error:
        progress.print(f"[yellow]! {error}[/]")


def work(labels: str, *, unsafe: bool) -> None:
    """Take work from the home's or the shared database until told to stop; with labels, builds that ask for them."""
    from honk.app import assemble
    from honk.settings import read_settings

    settings = read_settings()
    named = [label.strip() for label in labels.split(",") if label.strip()] or settings.labels
    if labels:
        settings = settings.model_copy(update={"labels": named})
        _say_what_labels_need(settings)
    if unsafe and not labels:
        raise UsageError("--unsafe-no-sandbox is for a worker with --labels, which builds and does nothing else.")
    installation = assemble(settings)
    if not installation.work(only_labels=bool(labels), unsafe=unsafe):
        raise UsageError(f"Process {installation.lock.holder()} works on {settings.home} already: one is enough.")
    if unsafe:
        progress.print("[red bold]! Builds run WITHOUT a sandbox on this machine: they can read all that you can.[/]")
    doing = f"Building what asks for {', '.join(named)}" if labels else "Working"
    progress.print(f"{doing}. Stop with Ctrl-C; what runs is taken up again.")
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    signal.signal(signal.SIGINT, lambda *_: os._exit(0))
    threading.Event().wait()


def _say_what_labels_need(settings: Settings) -> None:
    """Raises `UsageError` where what is built here could not reach the server."""
    if not settings.database_url:
        raise UsageError(
            "A worker with labels takes builds from the server's database: set HONK_DATABASE_URL to the same on both."
        )
    if not settings.artifacts_url:
        raise UsageError(
            "A worker with labels needs a place for what it builds that the server reads too: set HONK_ARTIFACTS_URL "
            "to the same on both, such as s3://bucket/honk."
        )
