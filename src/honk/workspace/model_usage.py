"""Reading what an answer of the Messages API cost, from its bytes as they pass."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_LONGEST = 32 * 1024**2
"""Bytes of a line of a stream, or of an answer in one piece, that are kept to be read."""
_COUNTED = (
    "input_tokens",
    "output_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
)
_OF_CACHE = ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")
_CHARACTERS = 2
"""Of an answer's text in a token, at the least: for answers that break off before they say what they used."""


class UsageReader:
    """Is given an answer's bytes, and knows what it used. `whole` turns true when it has been said to the end."""

    def __init__(self, *, streamed: bool) -> None:
        self.whole = False
        self.model = ""
        self._streamed = streamed
        self._rest = bytearray()
        self._lost = False
        self._usage: dict[str, int] = {}
        self._characters = 0

    def read(self, data: bytes) -> None:
        """Take the next bytes."""
        self._rest += data
        if self._streamed:
            *lines, rest = self._rest.split(b"\n")
            self._rest = rest
            for line in lines:
                if line.startswith(b"data:"):
                    self._event(bytes(line[5:]))
        if len(self._rest) > _LONGEST:
            self._lost = True
            self._rest.clear()

    def used(self) -> Mapping[str, int] | None:
        """Tokens by their names, as far as they are known; None if nothing could be read."""
        if not self._streamed and not self.whole and not self._lost:
            self._answer(_object(bytes(self._rest)))
        if self._lost or not self._usage:
            return None
        if self.whole:
            return self._usage
        said = self._characters // _CHARACTERS
        return self._usage | {"output_tokens": max(self._usage.get("output_tokens", 0), said)}

    def _event(self, text: bytes) -> None:
        event = _object(text)
        match event.get("type"):
            case "message_start":
                self._count(event.get("message"))
            case "content_block_delta" | "content_block_start":
                part = event.get("delta") or event.get("content_block") or {}
                said = [value for name, value in part.items() if isinstance(value, str) and name != "type"]
                self._characters += sum(map(len, said))
            case "message_delta":
                self._count(event)
            case "message_stop":
                self.whole = True

    def _answer(self, answer: Mapping[str, Any]) -> None:
        self._count(answer)
        self.whole = bool(self._usage)

    def _count(self, told: Any) -> None:
        if not isinstance(told, dict):
            return
        self.model = str(told.get("model") or self.model)
        usage = told.get("usage")
        if not isinstance(usage, dict):
            return
        cache = usage.get("cache_creation")
        found = [(name, usage.get(name)) for name in _COUNTED]
        found += [(name, cache.get(name)) for name in _OF_CACHE] if isinstance(cache, dict) else []
        for name, count in found:
            if isinstance(count, int):
                # What a stream says last is said of the whole of it.
                self._usage[name] = max(count, self._usage.get(name, 0))


def _object(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
