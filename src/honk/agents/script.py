"""A command instead of a model: codemods, generators, fleet shifts."""

from __future__ import annotations

from collections.abc import Iterator

from honk.model import AgentResult, Cancelled, Command, HonkError, LimitReached, Limits, Turn
from honk.settings import Settings

SUMMARY = "Summary: "
"""What a script's last line begins with, where it says itself what it did."""
_SHOWN = 20_000
_CHUNK = 2_000


class ScriptHarness:
    """Runs a shell line in the agent's sandbox as the transformation."""

    def __init__(self, command: str, settings: Settings) -> None:
        self._command = command
        self._settings = settings

    def prepare(self, turn: Turn) -> None:
        """Nothing: it starts quickly."""

    def run(self, turn: Turn) -> AgentResult:
        """See `Harness.run`. The request is in HONK_TASK_TEXT. Red checks are not answered: a script does not think."""
        command = Command(
            ("sh", "-c", self._command),
            environment={"HONK_TASK_ID": turn.task.id, "HONK_TASK_TEXT": turn.task.text[:100_000]},
            limits=Limits(seconds=self._settings.agent_seconds),
            nested=turn.nested,
        )
        done = turn.workspace.run(command, stop=turn.stop)
        output = done.output.strip()[-_SHOWN:]
        for number, text in enumerate(_chunks(output)):
            turn.emit("agent.text", {"text": text}, f"output:{number}")
        if done.ended_by == "cancel":
            raise Cancelled("Cancelled.")
        if done.ended_by == "time limit":
            raise LimitReached(f"The script took longer than {self._settings.agent_seconds:.0f} s and was ended.")
        if done.excess:
            raise LimitReached(f"The script was stopped. {done.excess.sentence}")
        if done.exit_code:
            raise HonkError(f"The script ended with {done.exit_code}:\n{output[-1500:] or self._command}")
        turn.gate("tool")
        last = output.rpartition("\n")[2]
        said = last.removeprefix(SUMMARY).strip() if last.startswith(SUMMARY) else ""
        return AgentResult(said or f"`{self._command[:200]}` was run.", None, 0.0, 0, "script")


def _chunks(text: str) -> Iterator[str]:
    """The text in pieces of at most `_CHUNK` characters that end with a line where they can: whole words can be read,
    and masked."""
    while text:
        end = len(text) if len(text) <= _CHUNK else text.rfind("\n", 0, _CHUNK) + 1 or _CHUNK
        yield text[:end]
        text = text[end:]
