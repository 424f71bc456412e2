"""Reading a request of Claude Code: which scene it is about, and how far that has been played."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from honk.rehearsal.scenes import Scene, Step

Message = Mapping[str, Any]

_REMINDER = re.compile(r"<system-reminder>.*?</system-reminder>", re.DOTALL)
_CONTINUED = re.compile(r"^\s*(you were interrupted|continue where you stopped)", re.IGNORECASE)
_INTERRUPTED = re.compile(r"interrupted|request was aborted|no result (was )?received", re.IGNORECASE)


def next_step(scenes: Sequence[Scene], messages: Sequence[Message]) -> Step | None:
    """What the played model answers to this conversation, or None if no scene fits it."""
    scene, begun = _newest_scene(scenes, messages)
    if scene is None:
        return None
    done = _played(messages[begun + 1 :])
    return scene.steps[min(done, len(scene.steps) - 1)]


def _newest_scene(scenes: Sequence[Scene], messages: Sequence[Message]) -> tuple[Scene | None, int]:
    """The scene of the newest request, and the index of the message it stands in. A request to go on with an
    interrupted one is no request of its own, unless there is no earlier one."""
    continued: tuple[Scene | None, int] = (None, -1)
    for index in range(len(messages) - 1, -1, -1):
        text = _words(messages[index])
        found = next((scene for scene in scenes if scene.matches(text)), None) if text else None
        if found is None:
            continue
        if not _CONTINUED.match(text):
            return found, index
        continued = found, index
    return continued


def _words(message: Message) -> str:
    """What a person wrote in a message, without what Claude Code adds to it."""
    if message.get("role") != "user":
        return ""
    content = message.get("content")
    texts = (
        [content] if isinstance(content, str) else [b.get("text", "") for b in content or () if b.get("type") == "text"]
    )
    return _REMINDER.sub("", "\n".join(texts)).strip()


def _played(messages: Sequence[Message]) -> int:
    """How many answers were given since, not counting those whose tool was interrupted."""
    interrupted = {
        block.get("tool_use_id")
        for message in messages
        if message.get("role") == "user" and not isinstance(message.get("content"), str)
        for block in message.get("content") or ()
        if block.get("type") == "tool_result" and block.get("is_error") and _INTERRUPTED.search(_text(block))
    }
    answers = [message for message in messages if message.get("role") == "assistant"]
    return sum(not (_tools(answer) & interrupted) for answer in answers)


def _tools(answer: Message) -> set[Any]:
    content = answer.get("content")
    if isinstance(content, str):
        return set()
    return {block.get("id") for block in content or () if block.get("type") == "tool_use"}


def _text(block: Mapping[str, Any]) -> str:
    content = block.get("content")
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text", "") for part in content or () if isinstance(part, dict))
