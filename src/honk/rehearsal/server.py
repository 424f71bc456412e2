"""The Messages API as the played model speaks it: streamed or not, tokens counted roughly, requests kept for tests."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from honk.rehearsal.conversation import next_step
from honk.rehearsal.scenes import Scene, Step

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

_NO_SCENE = Step(say="(The model is played, and there is no scene for this request. Nothing was done.)")


@dataclass(frozen=True)
class Seen:
    """A request that came in."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    at: float
    """Seconds on the system's clock."""


class Rehearsal:
    """The server, in a thread of its own on a free loopback port, for the length of a `with`.

    `pace` multiplies the delays in the scenes: 0 answers at once. `refuse` makes every request fail with that status.
    """

    def __init__(self, scenes: Sequence[Scene], *, pace: float = 0.0, port: int = 0, refuse: int | None = None) -> None:
        self.scenes = list(scenes)
        self.requests: list[Seen] = []
        self._pace = pace
        self._port = port
        self._refuse = refuse
        self.base_url = ""

    def __enter__(self) -> Rehearsal:
        import uvicorn

        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self._port))
        self.base_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self._server = uvicorn.Server(
            uvicorn.Config(self._application(), log_level="error", lifespan="off", timeout_graceful_shutdown=1)
        )
        self._thread = threading.Thread(
            target=lambda: self._server.run(sockets=[listener]), name="played model", daemon=True
        )
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            time.sleep(0.005)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(5)

    def _application(self) -> Starlette:
        from starlette.applications import Starlette
        from starlette.routing import Route

        return Starlette(
            routes=[
                Route("/v1/messages", self._messages, methods=["POST"]),
                Route("/v1/messages/count_tokens", self._count, methods=["POST"]),
            ]
        )

    async def _count(self, request: Request) -> Response:
        from starlette.responses import JSONResponse

        return JSONResponse({"input_tokens": len(await request.body()) // 4})

    async def _messages(self, request: Request) -> Response:
        from starlette.responses import JSONResponse, StreamingResponse

        body = await request.json()
        self.requests.append(Seen(request.url.path, dict(request.headers), body, time.time()))
        if self._refuse:
            kind = "authentication_error" if self._refuse == 401 else "api_error"
            error = {"type": "error", "error": {"type": kind, "message": "The played model refuses."}}
            return JSONResponse(error, status_code=self._refuse)
        step = next_step(_fitting(self.scenes, body), body["messages"]) or _NO_SCENE
        if step.delay and self._pace:
            await asyncio.sleep(step.delay * self._pace)
        message = _answer(step, body)
        if not body.get("stream"):
            return JSONResponse(message)
        return StreamingResponse(_streamed(message), media_type="text/event-stream")


def _fitting(scenes: Sequence[Scene], body: dict[str, Any]) -> list[Scene]:
    """The scenes for requests that force the tool that this one does, mostly none."""
    choice = body.get("tool_choice") or {}
    forced = choice.get("name") if choice.get("type") == "tool" else None
    return [scene for scene in scenes if scene.answers == forced]


def _answer(step: Step, body: dict[str, Any]) -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    if step.say:
        content.append({"type": "text", "text": step.say})
    if step.use:
        content.append(
            {"type": "tool_use", "id": f"toolu_{uuid.uuid4().hex[:24]}", "name": step.use, "input": dict(step.input)}
        )
    return {
        "id": f"msg_{uuid.uuid4().hex[:24]}",
        "type": "message",
        "role": "assistant",
        "model": body.get("model", "played"),
        "content": content,
        "stop_reason": "tool_use" if step.use else "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": len(json.dumps(body["messages"])) // 4,
            "output_tokens": max(1, len(json.dumps(content)) // 4),
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
        },
    }


async def _streamed(message: dict[str, Any]) -> AsyncIterator[str]:
    def event(kind: str, **data: Any) -> str:
        return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n"

    begun = message | {"content": [], "stop_reason": None, "usage": message["usage"] | {"output_tokens": 1}}
    yield event("message_start", message=begun)
    for index, block in enumerate(message["content"]):
        if block["type"] == "text":
            yield event("content_block_start", index=index, content_block={"type": "text", "text": ""})
            delta = {"type": "text_delta", "text": block["text"]}
        else:
            yield event("content_block_start", index=index, content_block=block | {"input": {}})
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        yield event("content_block_delta", index=index, delta=delta)
        yield event("content_block_stop", index=index)
    ending = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield event("message_delta", delta=ending, usage={"output_tokens": message["usage"]["output_tokens"]})
    yield event("message_stop")
