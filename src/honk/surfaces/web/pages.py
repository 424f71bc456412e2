"""The pages: a list of threads, a thread that is live, its diff; forms that work with and without a script."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Header, Request
from fastapi.responses import (
    FileResponse,
    HTMLResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.concurrency import run_in_threadpool

from honk.flow.inbox import Inbox
from honk.flow.taps import Action
from honk.flow.view import allowance_entry, task_view
from honk.model import HonkError, NotFound, State, Task
from honk.settings import Settings
from honk.ship.installs import install_links
from honk.store import Store
from honk.surfaces.web.access import Access
from honk.surfaces.web.api import resumed_from, tail
from honk.surfaces.web.diff import highlight_css, read_diff
from honk.surfaces.web.rendering import busy, fragment, page, row, stage_word
from honk.surfaces.web.timeline import chain, lasted, picture

_WORK = (
    "set_up.started",
    "check.started",
    "check.on_base",
    "judge.started",
    "build.started",
    "build.progress",
    "agent.tool",
)
_RUNNING = {
    State.WORKING: _WORK,
    State.VERIFYING: _WORK,
    State.BUILDING: _WORK,
    State.MERGING: ("merge.progress",),
    State.DEPLOYING: ("deploy.progress",),
}
"""What the card shows of a task that is in this state."""
_SHOWN_AT_ONCE = 400
"""Rows of a long conversation that a page begins with."""


class _Pages:
    """What the routes share."""

    def __init__(self, store: Store, inbox: Inbox, settings: Settings) -> None:
        self.store = store
        self.inbox = inbox
        self.settings = settings
        self.links = install_links(settings)

    def view(self, task: Task) -> dict[str, Any]:
        seen = task_view(self.store, task, self.settings.url, self.settings.previews_at, self.links)
        return seen | {"stage": stage_word(seen["state"]), "busy": busy(seen["state"])}

    def card(self, task_id: str, notice: str = "") -> str:
        task = self.store.task(task_id)
        kinds = _RUNNING.get(task.state, ())
        events = self.store.newest_events(task.id, 12) if kinds else ()
        running = next((event for event in events if event.kind in kinds), None)
        return fragment(
            "card.html", task=self.view(task), notice=notice, running=running, key=uuid.uuid4().hex,
            will_deploy=self.inbox.will_deploy(task), **self._chain(task),
        )  # fmt: skip

    def _chain(self, task: Task) -> dict[str, Any]:
        """How what landed came to be, and what is signed about it."""
        if not task.merged_sha:
            return {}
        links = chain(self.store.events(task_id=task.id, limit=1_000_000))
        took = lasted((links[-1].at - links[0].at).total_seconds())
        return {"chain": picture(links), "took": took, "last": links[-1].name.lower()}

    def rows(self, task_id: str) -> tuple[str, int, int]:
        """The newest rows of a conversation, the id of the last event, and how many earlier rows are left out."""
        events = self.store.events(task_id=task_id, limit=1_000_000)
        void = frozenset(str(event.data["commit"]) for event in events if event.kind == "card.void")
        rows = [text for event in events if (text := row(event, void))]
        return "\n".join(rows[-_SHOWN_AT_ONCE:]), events[-1].id if events else 0, max(0, len(rows) - _SHOWN_AT_ONCE)


def page_routes(
    store: Store,
    inbox: Inbox,
    settings: Settings,
    access: Access,
    pictures: tuple[Callable[[str], Path | None], Callable[[str, str], Path | None]],
    troubles: Callable[[], list[str]],
) -> APIRouter:
    """The routes people see. `pictures` find an artifact's picture, and two beside each other; `troubles` says
    what keeps Honk from listening elsewhere."""
    pages = _Pages(store, inbox, settings)
    router = APIRouter(include_in_schema=False)
    inside = APIRouter(include_in_schema=False, dependencies=[Depends(access.check)])
    _open_routes(router)
    _list_routes(inside, pages, access, troubles)
    _thread_routes(inside, pages)
    _screenshot_routes(inside, store, *pictures)
    _form_routes(inside, pages, access)
    _egress_routes(inside, pages, access)
    router.routes.extend(inside.routes)
    return router


def _open_routes(router: APIRouter) -> None:
    """What everybody may see."""

    @router.get("/sign-in")
    def sign_in(wrong: int = 0) -> HTMLResponse:
        return page("sign_in.html", wrong=wrong, status=401 if wrong else 200)

    @router.get("/offline")
    def offline() -> HTMLResponse:
        return page("offline.html")

    @router.get("/highlight.css")
    def colours() -> PlainTextResponse:
        return PlainTextResponse(highlight_css(), media_type="text/css", headers={"cache-control": "max-age=86400"})


def _list_routes(inside: APIRouter, pages: _Pages, access: Access, troubles: Callable[[], list[str]]) -> None:
    """The list of threads, and a new one."""
    store, inbox = pages.store, pages.inbox

    @inside.get("/")
    def threads() -> HTMLResponse:
        return page("threads.html", **_threads())

    def _threads(**more: Any) -> dict[str, Any]:
        known = inbox.repositories()
        tasks = [pages.view(task) for task in store.tasks(limit=100)]
        return {
            "tasks": tasks,
            "repositories": known,
            "key": uuid.uuid4().hex,
            "other": "",
            "text": "",
            "troubles": troubles(),
        } | more

    @inside.get("/threads")
    def thread_list() -> HTMLResponse:
        return page("thread_list.html", **_threads())

    @inside.post("/expect", status_code=204)
    def expect(repo: Annotated[str, Form()] = "") -> None:
        """Somebody has begun to write."""
        inbox.expect(repo)

    @inside.post("/tasks")
    def new_task(
        request: Request,
        text: Annotated[str, Form()] = "",
        repo: Annotated[str, Form()] = "",
        other: Annotated[str, Form()] = "",
        agent: Annotated[str, Form()] = "",
        key: Annotated[str, Form()] = "",
    ) -> Response:
        try:
            task = inbox.submit(
                repo=other.strip() or repo,
                text=text,
                agent=agent.strip() or None,
                key=key or uuid.uuid4().hex,
                person=access.person,
            )
        except HonkError as error:
            values = _threads(error=str(error), text=text, other=other, chosen=repo, agent=agent)
            if "hx-request" in request.headers:
                return page("composer.html", **values)
            return page("threads.html", status=422, **values)
        return _go(request, f"/tasks/{task.id}")


def _thread_routes(inside: APIRouter, pages: _Pages) -> None:
    """One thread: as it stands, live, and its diff."""
    store, inbox = pages.store, pages.inbox

    @inside.get("/tasks/{task_id}")
    def thread(task_id: str) -> HTMLResponse:
        task = store.task(task_id)
        rows, last, left_out = pages.rows(task.id)
        return page(
            "thread.html", task=pages.view(task), rows=rows, last=last, left_out=left_out, card=pages.card(task.id),
            key=uuid.uuid4().hex,
        )  # fmt: skip

    @inside.get("/tasks/{task_id}/stream")
    async def stream(
        request: Request, task_id: str, after: int = 0, last_event_id: Annotated[str | None, Header()] = None
    ) -> StreamingResponse:
        task = await run_in_threadpool(store.task, task_id)
        begin = max(after, resumed_from(last_event_id))

        async def live() -> AsyncIterator[str]:
            async for events in tail(store, task.id, begin, request):
                if not events:
                    yield ": alive\n\n"
                    continue
                last = events[-1].id
                html = "\n".join(text for event in events if (text := row(event, live=True)))
                if html:
                    yield _message("rows", html, last)
                yield _message("card", await run_in_threadpool(pages.card, task.id), last)

        return StreamingResponse(
            live(), media_type="text/event-stream", headers={"cache-control": "no-store", "x-accel-buffering": "no"}
        )

    @inside.get("/tasks/{task_id}/diff")
    def diff(task_id: str) -> HTMLResponse:
        task = store.task(task_id)
        return page("diff.html", task=pages.view(task), files=read_diff(inbox.diff(task.id)))


def _screenshot_routes(
    inside: APIRouter,
    store: Store,
    screenshot: Callable[[str], Path | None],
    comparison: Callable[[str, str], Path | None],
) -> None:
    """How a task's previews look."""

    @inside.get("/tasks/{task_id}/screenshots/{sha256}.png")
    def picture(task_id: str, sha256: str) -> Response:
        built = {row["sha256"] for row in store.artifact_rows(store.task(task_id).id)}
        path = screenshot(sha256) if sha256 in built else None
        if path is None:
            raise NotFound("There is no picture of that.")
        return FileResponse(path, media_type="image/png", headers={"cache-control": "private, max-age=86400"})

    @inside.get("/tasks/{task_id}/comparisons/{before}-{after}.png")
    def beside(task_id: str, before: str, after: str) -> Response:
        known = [(event.data["before"], event.data["after"]) for event in store.events_of(task_id, "build.compared")]
        path = comparison(before, after) if (before, after) in known else None
        if path is None:
            raise NotFound("There is no picture of that.")
        return FileResponse(path, media_type="image/png", headers={"cache-control": "private, max-age=86400"})


def _form_routes(inside: APIRouter, pages: _Pages, access: Access) -> None:
    """What people send in a thread."""
    store, inbox = pages.store, pages.inbox

    @inside.post("/tasks/{task_id}/messages")
    def say(
        request: Request, task_id: str, text: Annotated[str, Form()] = "", key: Annotated[str, Form()] = ""
    ) -> Response:
        error = ""
        try:
            inbox.say(task_id, text, key or uuid.uuid4().hex, access.person)
        except HonkError as refused:
            error = str(refused)
        if "hx-request" not in request.headers and not error:
            return _go(request, f"/tasks/{task_id}")
        task = pages.view(store.task(task_id))
        return page("reply.html", task=task, key=uuid.uuid4().hex, error=error, text=text if error else "")

    @inside.post("/tasks/{task_id}/actions")
    def act(
        request: Request,
        task_id: str,
        action: Annotated[Action, Form()],
        head_sha: Annotated[str, Form()] = "",
        host: Annotated[str, Form()] = "",
        key: Annotated[str, Form()] = "",
    ) -> Response:
        notice = ""
        try:
            inbox.act(task_id, action, head_sha or None, key or uuid.uuid4().hex, access.person, host=host)
        except HonkError as refused:
            notice = str(refused)
        if "hx-request" not in request.headers and not notice:
            return _go(request, f"/tasks/{task_id}")
        return HTMLResponse(pages.card(task_id, notice), status_code=409 if notice else 200)


def _egress_routes(inside: APIRouter, pages: _Pages, access: Access) -> None:
    """What people have allowed a task's repository to reach, and taking that back."""
    store, inbox = pages.store, pages.inbox

    def shown(task_id: str, notice: str = "") -> HTMLResponse:
        task = store.task(task_id)
        allowed = [(one, allowance_entry(one.host, one.port)) for one in store.allowances(task.repository)]
        return page("egress.html", task=pages.view(task), allowed=allowed, notice=notice, status=409 if notice else 200)

    @inside.get("/tasks/{task_id}/egress")
    def allowances(task_id: str) -> HTMLResponse:
        return shown(task_id)

    @inside.post("/tasks/{task_id}/egress")
    def revoke(request: Request, task_id: str, entry: Annotated[str, Form()] = "") -> Response:
        try:
            inbox.revoke(store.task(task_id).repository, entry, access.person)
        except HonkError as refused:
            return shown(task_id, str(refused))
        return _go(request, f"/tasks/{task_id}/egress")


def _go(request: Request, address: str) -> Response:
    if "hx-request" in request.headers:
        return Response(headers={"hx-redirect": address})
    return RedirectResponse(address, status_code=303)


def _message(name: str, html: str, last: int) -> str:
    data = "\n".join(f"data: {line}" for line in html.splitlines())
    return f"id: {last}\nevent: {name}\n{data}\n\n"
