"""The HTTP interface for programs: `/api/v1`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, HTTPException, Request
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from honk.flow.inbox import Inbox
from honk.flow.view import task_view
from honk.model import Event, NotFound, Task
from honk.provenance import public_key
from honk.settings import Settings
from honk.ship.installs import install_links
from honk.store import Store
from honk.surfaces.web.access import Access

MAX_BODY = 1_000_000
"""Bytes of a request."""

_HEARTBEAT_SECONDS = 15.0
_POLL_SECONDS = 0.1


class NewTask(BaseModel):
    """What should change, and where."""

    model_config = ConfigDict(extra="forbid")
    repo: str = Field(description="A path or URL the server can read, or the name of a repository it knows.")
    text: str = Field(description="The request, in a person's words.")
    agent: str | None = Field(default=None, description="`claude` (default), `script:COMMAND` or `acp:COMMAND`.")
    key: str = Field(min_length=1, max_length=200, description="Yours: sending it again gives the same task.")


class NewMessage(BaseModel):
    """More words in a task's thread."""

    model_config = ConfigDict(extra="forbid")
    text: str
    key: str = Field(min_length=1, max_length=200)


class Tap(BaseModel):
    """An action on a task. `head_sha` is the commit it was offered for; it is refused if that has moved on. `host`, as
    in the task's `blocked[].allow`, is what `allow` lets the repository's commands reach from now on."""

    model_config = ConfigDict(extra="forbid")
    action: Literal["merge", "cancel", "retry", "rollback", "approve", "override", "allow"]
    head_sha: str | None = None
    host: str = Field(default="", max_length=300)
    key: str = Field(min_length=1, max_length=200)


def server_sent(event: Event) -> str:
    """One event of the log as a server-sent event."""
    data = {
        "id": event.id,
        "task": event.task_id,
        "kind": event.kind,
        "at": event.at.isoformat(),
        "person": event.person,
        "data": dict(event.data),
    }
    return f"id: {event.id}\nevent: {event.kind}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


async def tail(store: Store, task_id: str, after: int, request: Request) -> AsyncIterator[list[Event]]:
    """Batches of a task's events after that id, as they come; an empty batch now and then says the line is alive."""
    silent = 0.0
    while not await request.is_disconnected():
        events = await run_in_threadpool(store.events, after, task_id)
        if events:
            after, silent = events[-1].id, 0.0
            yield events
            continue
        if silent == 0.0 or silent >= _HEARTBEAT_SECONDS:
            silent = 0.0
            yield []
        silent += _POLL_SECONDS
        await asyncio.sleep(_POLL_SECONDS)


def resumed_from(last_event_id: str | None) -> int:
    """The id a browser or program says it has seen."""
    return int(last_event_id) if last_event_id and last_event_id.isdigit() else 0


def api_routes(store: Store, inbox: Inbox, settings: Settings, access: Access) -> APIRouter:
    """The routes under `/api/v1`."""
    router = APIRouter(prefix="/api/v1", tags=["tasks"], dependencies=[Depends(access.check), Depends(_size)])

    links = install_links(settings)

    def view(task: Task) -> dict[str, Any]:
        return task_view(store, task, settings.url, settings.previews_at, links)

    @router.post("/tasks", status_code=201, responses={200: {"description": "The key is known: the same task."}})
    def create_task(body: NewTask) -> JSONResponse:
        """Start a task. The same key again answers 200 with the same task."""
        before = store.newest_event()
        task = inbox.submit(repo=body.repo, text=body.text, agent=body.agent, key=body.key, person=access.person)
        events = store.events(task_id=task.id, limit=1)
        created = bool(events) and events[0].id > before
        return JSONResponse(view(task), status_code=201 if created else 200)

    @router.get("/tasks")
    def list_tasks(limit: int = 200) -> dict[str, list[dict[str, Any]]]:
        """The newest tasks."""
        return {"tasks": [view(task) for task in store.tasks(limit=max(1, min(limit, 1000)))]}

    @router.get("/tasks/{task_id}")
    def get_task(task_id: str) -> dict[str, Any]:
        """One task as it stands."""
        return view(store.task(task_id))

    @router.get("/tasks/{task_id}/events", response_class=StreamingResponse)
    async def task_events(
        request: Request, task_id: str, last_event_id: Annotated[str | None, Header()] = None, after: int = 0
    ) -> StreamingResponse:
        """The task's log as server-sent events; `Last-Event-ID` (or `after`) resumes."""
        task = await run_in_threadpool(store.task, task_id)
        begin = max(after, resumed_from(last_event_id))

        async def stream() -> AsyncIterator[str]:
            async for events in tail(store, task.id, begin, request):
                yield "".join(server_sent(event) for event in events) or ": alive\n\n"

        return StreamingResponse(
            stream(), media_type="text/event-stream", headers={"cache-control": "no-store", "x-accel-buffering": "no"}
        )

    @router.post("/tasks/{task_id}/messages", status_code=201)
    def add_message(task_id: str, body: NewMessage) -> dict[str, Any]:
        """Say more: it enters the turn that runs, or starts the next."""
        return view(inbox.say(task_id, body.text, body.key, access.person))

    @router.post("/tasks/{task_id}/actions", status_code=202)
    def act(task_id: str, body: Tap) -> dict[str, Any]:
        """Merge, cancel, retry, roll back, approve, override a veto, or allow a host that was blocked."""
        return view(inbox.act(task_id, body.action, body.head_sha, body.key, access.person, host=body.host))

    @router.get("/tasks/{task_id}/artifacts/{commit}/{kind}/log", response_class=PlainTextResponse)
    def build_log(task_id: str, commit: str, kind: str) -> str:
        """What the build of one artifact printed."""
        row = store.artifact_row(store.task(task_id).id, commit, kind)
        if row is None or row["log"] is None:
            raise NotFound("There is no log of that build here.")
        return str(row["log"])

    @router.get("/tasks/{task_id}/logs/{sha256}", response_class=PlainTextResponse)
    def check_log(task_id: str, sha256: str) -> str:
        """What a check of the task printed, as its `log_url` says: masked, and without the middle where it is long."""
        store.task(task_id)
        if (text := store.log(sha256)) is None:
            raise NotFound("That log is not kept here (any more).")
        return text

    @router.get("/tasks/{task_id}/provenance", tags=["provenance"])
    def provenance(task_id: str) -> dict[str, Any]:
        """The signed statements about what was built, merged and deployed (in-toto statements in DSSE envelopes), and
        the public key (PEM) that signed those of this installation."""
        rows = store.statements(store.task(task_id).id)
        return {"statements": [row.envelope for row in rows], "key": public_key(settings.home).pem}

    @router.get("/repositories", tags=["repositories"])
    def repositories() -> dict[str, list[dict[str, str]]]:
        """The repositories this installation knows."""
        return {
            "repositories": [
                {"name": known.name, "address": known.address, "default_branch": known.default_branch}
                for known in inbox.repositories()
            ]
        }

    return router


def _size(request: Request) -> None:
    length = request.headers.get("content-length")
    if length is None and request.method == "POST":
        raise HTTPException(411, "Say how long the request is (Content-Length).")
    if length and (not length.isdigit() or int(length) > MAX_BODY):
        raise HTTPException(
            413, f"The request is larger than {MAX_BODY // 1000} kB: put long texts into the repository."
        )
