"""The doors for other services: Slack's events and GitHub's webhooks. Each is checked by the surface it is for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

_MAX_BYTES = 6_000_000
"""More than any surface takes; each has a limit of its own."""


class SlackDoor(Protocol):
    """See `SlackSurface.http`."""

    def http(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, Mapping[str, str], bytes]: ...

    def status(self) -> str:
        """One sentence on how it goes; `connected` when it goes well."""
        ...


class GitHubDoor(Protocol):
    """See `GitHubSurface.http`."""

    def http(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]: ...

    def status(self) -> str:
        """One sentence on how it goes; `connected` when it goes well."""
        ...


def troubles(slack: SlackDoor | None, github: GitHubDoor | None) -> list[str]:
    """What keeps Honk from listening or speaking somewhere, in sentences."""
    named = (("Slack", slack), ("GitHub", github))
    said = [(name, door.status()) for name, door in named if door]
    return [f"{name}: {status}" for name, status in said if status != "connected"]


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BYTES:
            raise HTTPException(413, "This is larger than Honk reads.")
    return bytes(body)


def webhook_routes(slack: SlackDoor | None, github: GitHubDoor | None) -> APIRouter:
    """`POST /slack/events` and `POST /github/webhook`; 404 with a sentence where the service is not set up."""
    router = APIRouter(tags=["webhooks"])

    @router.post("/slack/events")
    async def slack_events(request: Request) -> Response:
        """Events, taps and commands of Slack's Events API, signed."""
        if slack is None:
            raise HTTPException(404, "Slack is not set up here: run `honk setup slack`.")
        status, headers, answer = await run_in_threadpool(slack.http, await _body(request), dict(request.headers))
        return Response(answer, status_code=status, headers=dict(headers))

    @router.post("/github/webhook", status_code=202)
    async def github_webhook(request: Request) -> Response:
        """GitHub's webhooks, signed."""
        if github is None:
            raise HTTPException(404, "GitHub is not set up here: run `honk setup github`.")
        status, answer = await run_in_threadpool(github.http, await _body(request), dict(request.headers))
        return Response(answer, status_code=status, media_type="text/plain")

    return router
