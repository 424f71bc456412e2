"""What a request to the model may ask for: nothing that makes the model's server reach out in the sandbox's place."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from honk.model import HonkError
from honk.workspace.prices import cost, factor

_ASKED = re.compile(r"/v1/messages(/count_tokens)?")
_LISTED = re.compile(r"/v1/models(/[A-Za-z0-9._@:-]+)?")
_OWN_TOOLS = re.compile(r"custom|(bash|text_editor|computer|memory|tool_search_tool\w*|advisor)_\d+")
"""Types of tools that run where the request comes from, or not at all. Others fetch, search and compute elsewhere."""
_ELSEWHERE = ("mcp_servers", "container")
_OUTPUT = 128_000
"""Tokens of an answer, where the request does not say."""
_BYTES = 3
"""Of a request in a token, at the least."""


class NotForwarded(HonkError):
    """A request that does not go to the model's server. `status` and `kind` are those of the Messages API's errors."""

    def __init__(self, status: int, kind: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.kind = status, kind


@dataclass(frozen=True)
class ModelRequest:
    """What is to be known of a request before it is sent. Counting tokens and listing models costs nothing."""

    model: str = ""
    free: bool = True
    most: float = 0.0
    """US dollars that its answer can cost, about."""
    times: float = 1.0
    """How much dearer than usual what it asks for is."""


def read_request(method: str, path: str, body: bytes, models: Sequence[str]) -> ModelRequest:
    """Look at a request. `models` are the names that may be asked, with `*` for any end; empty: all.

    Raises `NotForwarded`.
    """
    if method in ("GET", "HEAD") and _LISTED.fullmatch(path):
        return ModelRequest()
    asked = _ASKED.fullmatch(path) if method == "POST" else None
    if asked is None:
        raise NotForwarded(
            404, "not_found_error", f"The gateway lets messages, their tokens' count and models through, not {path!r}."
        )
    request = _read(body)
    model = request.get("model")
    if not isinstance(model, str) or not model:
        raise NotForwarded(400, "invalid_request_error", "The request names no model.")
    if models and not any(fnmatchcase(model, allowed) for allowed in models):
        raise NotForwarded(
            403,
            "permission_error",
            f"The model {model[:100]!r} is not among those that HONK_MODELS allows here: {', '.join(models)}.",
        )
    if reason := next(_reaching_out(request), None):
        raise NotForwarded(403, "permission_error", f"The gateway does not let requests through that {reason}.")
    output = request.get("max_tokens")
    expected = {
        "cache_creation_input_tokens": len(body) // _BYTES,
        "output_tokens": output if isinstance(output, int) else _OUTPUT,
    }
    times = factor(request)
    return ModelRequest(model, asked[1] is not None, cost(model, expected, times), times)


def _read(body: bytes) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """Of a name that is there twice, the model's server might take the other value."""
        made = dict(pairs)
        if len(made) != len(pairs):
            raise ValueError("a name is there twice")
        return made

    try:
        request = json.loads(body, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise NotForwarded(400, "invalid_request_error", f"The request cannot be read: {error}.") from error
    if not isinstance(request, dict):
        raise NotForwarded(400, "invalid_request_error", "The request is not an object.")
    return request


def _reaching_out(request: dict[str, Any]) -> Iterator[str]:
    """What in the request would have the model's server connect to somewhere, or run something, for the sandbox."""
    yield from (f"name {name!r}: it works outside of the sandbox" for name in _ELSEWHERE if request.get(name))
    for tool in request.get("tools") or ():
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind is not None and not _OWN_TOOLS.fullmatch(str(kind)):
            yield f"want the tool {str(kind)[:60]!r}: it works outside of the sandbox"
    contents = [request.get("system"), *(_content(message) for message in request.get("messages") or ())]
    while contents:
        blocks = contents.pop()
        for block in blocks if isinstance(blocks, list) else ():
            source = block.get("source") if isinstance(block, dict) else None
            if isinstance(source, dict):
                if source.get("type") == "url" or "url" in source:
                    yield "have a file fetched from an address: send its content"
                contents.append(source.get("content"))
            if isinstance(block, dict) and block.get("type") == "tool_result":
                contents.append(block.get("content"))


def _content(message: Any) -> Any:
    return message.get("content") if isinstance(message, dict) else None
