"""Claude Code's memory: its transcript, kept outside as it is written, and laid out in the agent's home again where the
home does not have it.

The command line resumes from its own files; what the SDK calls a session store is a copy that is written with them.
"""

from __future__ import annotations

import asyncio
import json
import re
import shlex
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from honk.model import Command, HonkError, Turn

_PROJECT = "$HOME/.claude/projects/-workspace"
"""Where the command line keeps the sessions of the tree, by its own rule for the tree's path."""
_MAIN = "main"
_SUBAGENT = re.compile(r"subagents/agent-[A-Za-z0-9_-]{1,80}")


class Remembering:
    """Keeps the transcript of a turn's session as it is written, and tells the money spent, which is in it and which
    the SDK tells only at the end."""

    def __init__(self, turn: Turn, tell: Callable[[float], Awaitable[None]]) -> None:
        self.turn = turn
        """Whose session it is; a session that was started ahead gets another one before its first words."""
        self._tell = tell

    async def append(self, key: Mapping[str, Any], entries: Sequence[Any]) -> None:
        """See `SessionStore.append`. What comes was said inside the sandbox."""
        part = key.get("subpath") or _MAIN
        kept = [entry for entry in entries if isinstance(entry, dict)]
        if key.get("session_id") == self.turn.session and (part == _MAIN or _SUBAGENT.fullmatch(part)):
            await asyncio.to_thread(self.turn.transcript.append, part, kept)
        for entry in kept:
            attachment = entry.get("attachment")
            if isinstance(attachment, dict) and attachment.get("type") == "budget_usd":
                await self._tell(float(attachment["used"]))

    async def load(self, key: Any) -> None:
        """Nothing: the command line resumes from its own copy."""


def remembered(turn: Turn, folder: Path) -> bool:
    """Whether the session can be resumed in the workspace's home; what is kept outside is put there if it is more than
    what is there. `folder` is an empty one for that. Raises `HonkError`."""
    count = f"cat $HOME/.claude/projects/*/{shlex.quote(turn.session)}.jsonl 2>/dev/null | wc -l"
    counted = turn.workspace.run(Command(("sh", "-c", count))).output.strip()
    here = int(counted) if counted.isdecimal() else 0
    parts = turn.transcript.read()
    if turn.task.unsafe or len(parts.get(_MAIN, ())) <= here:
        return here > 0
    for part, entries in parts.items():
        file = folder / (f"{turn.session}.jsonl" if part == _MAIN else f"{turn.session}/{part}.jsonl")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"{json.dumps(entry)}\n" for entry in entries if entry.get("type") != "agent_metadata"))
    lay_out = f"mkdir -p {_PROJECT} && cp -r /honk/transcript/. {_PROJECT}/"
    done = turn.workspace.run(Command(("sh", "-c", lay_out), readable={"/honk/transcript": folder}))
    if done.exit_code:
        raise HonkError(f"The agent's memory cannot be laid out: {done.output.strip()[-300:] or done.ended_by}.")
    return True
