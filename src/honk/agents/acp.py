"""Any agent that speaks the Agent Client Protocol (JSON-RPC over its standard streams).

The protocol has no hook at the end of a turn, so the gate is ours: when the agent ends its turn, verification runs, and
while it is red the agent is prompted again with what is wrong.
"""

from __future__ import annotations

import json
import os
import queue
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from typing import IO, Any, cast

from honk.model import AgentResult, Cancelled, Command, HonkError, LimitReached, Turn
from honk.settings import Settings

_PROTOCOL = 1
_LOADING_SECONDS = 60.0
_SHOWN = 4_000


class AcpHarness:
    """Runs an ACP agent's program in the sandbox. The agent's own account with a model is its own matter: it reaches a
    model only through the gateway, under the usual ANTHROPIC_ names."""

    def __init__(self, command: str, settings: Settings) -> None:
        self._command = command
        self._settings = settings

    def prepare(self, turn: Turn) -> None:
        """Nothing: how an agent of the person's choice bears to wait is not known."""

    def run(self, turn: Turn) -> AgentResult:
        """See `Harness.run`."""
        conversation = _Conversation(self._command, self._settings, turn)
        try:
            return conversation.run()
        finally:
            conversation.kill()


class _Conversation:
    """One turn with one process of the agent."""

    def __init__(self, command: str, settings: Settings, turn: Turn) -> None:
        self._turn = turn
        self._deadline = time.monotonic() + settings.agent_seconds
        self._seconds = settings.agent_seconds
        environment = {}
        model = False
        try:
            access = turn.workspace.model
            environment = {"ANTHROPIC_BASE_URL": access.base_url, "ANTHROPIC_API_KEY": access.token}
            model = True
        except HonkError:
            pass  # the agent may need no model of ours
        start = turn.workspace.interactive(
            Command(tuple(shlex.split(command)), environment=environment, nested=turn.nested), model=model
        )
        self._excess = start.excess
        self._process = subprocess.Popen(
            list(start.argv),
            env=dict(start.environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._input = cast(IO[bytes], self._process.stdin)
        self._output = cast(IO[bytes], self._process.stdout)
        self._error_output = cast(IO[bytes], self._process.stderr)
        self._incoming: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._errors = b""
        self._number = 0
        self._words: list[str] = []
        self._name = shlex.split(command)[0].rpartition("/")[2]
        self._said = 0
        threading.Thread(target=self._read, daemon=True).start()
        self._error_reader = threading.Thread(target=self._read_errors, daemon=True)
        self._error_reader.start()

    def run(self) -> AgentResult:
        told = self._ask("initialize", {"protocolVersion": _PROTOCOL, "clientCapabilities": {}}, _LOADING_SECONDS)
        agent = told.get("agentInfo") or {}
        self._name = " ".join(str(agent[key])[:80] for key in ("name", "version") if agent.get(key)) or self._name
        session = self._session()
        prompts = [self._turn.prompt]
        turns = 0
        while True:
            while prompts:
                self._words.clear()
                self._said = 0
                body = {"sessionId": session, "prompt": [{"type": "text", "text": prompts.pop(0)}]}
                self._prompt(body)
                turns += 1
                if turns >= self._turn.max_turns:
                    raise LimitReached(
                        f"The limit of {self._turn.task.max_turns} turns is reached; Continue allows more."
                    )
                prompts += [message.text for message in self._turn.inbox()]
            answer = self._turn.gate("stop")
            if answer.green:
                spent = self._turn.workspace.spent
                summary = "".join(self._words).strip()
                return AgentResult(summary, session, spent.cost_usd, max(turns, spent.requests), self._name)
            prompts.append(answer.text)

    def _prompt(self, body: Mapping[str, Any]) -> None:
        """Let the agent work on a prompt. What the gateway refused it says more than what the agent makes of that."""
        try:
            self._ask("session/prompt", body)
        except HonkError as error:
            raise self._turn.workspace.refusal or error from error
        finally:
            spent = self._turn.workspace.spent
            told = {"turns": spent.requests, "cost_usd": spent.cost_usd}
            self._turn.emit("agent.usage", told, f"usage:{self._number}")
        self._tell_words()
        if isinstance(refusal := self._turn.workspace.refusal, LimitReached):
            raise refusal

    def _session(self) -> str:
        made = self._ask("session/new", {"cwd": self._turn.workspace.inside, "mcpServers": []}, _LOADING_SECONDS)
        return str(made["sessionId"])

    def kill(self) -> None:
        """End the agent's sandbox and everything in it."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    # -- the wire ----------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        for line in self._output:
            try:
                message = json.loads(line)
            except ValueError:
                continue
            if isinstance(message, dict):
                self._incoming.put(message)
        self._incoming.put(None)

    def _read_errors(self) -> None:
        for line in self._error_output:
            self._errors = (self._errors + line)[-2_000:]

    def _send(self, message: Mapping[str, Any]) -> None:
        try:
            self._input.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
            self._input.flush()
        except OSError as error:
            raise self._gone() from error

    def _ask(self, method: str, parameters: Mapping[str, Any], seconds: float | None = None) -> dict[str, Any]:
        """Send a request and serve the agent until its answer comes."""
        self._number += 1
        self._send({"id": self._number, "method": method, "params": parameters})
        limit = time.monotonic() + seconds if seconds else self._deadline
        while True:
            message = self._next(limit, method)
            if message.get("id") == self._number and "method" not in message:
                if "error" in message:
                    told = message["error"].get("message", "no reason")
                    raise HonkError(f"The agent refused {method}: {told}")
                return dict(message.get("result") or {})
            self._serve(message)

    def _next(self, limit: float, method: str) -> dict[str, Any]:
        while True:
            if self._turn.stop():
                raise Cancelled("Cancelled.")
            if time.monotonic() > limit:
                if limit == self._deadline:
                    raise LimitReached(f"The agent worked for {self._seconds:.0f} s, which is the limit.")
                raise HonkError(f"The agent did not answer {method}: does it speak the Agent Client Protocol?")
            try:
                message = self._incoming.get(timeout=0.2)
            except queue.Empty:
                continue
            if message is None:
                raise self._gone()
            return message

    def _gone(self) -> HonkError:
        self._error_reader.join(2)
        if (excess := self._excess()) is not None:
            return LimitReached(f"The agent was stopped. {excess.sentence}")
        words = " ".join(self._errors.decode("utf-8", "replace").split())[-300:]
        return HonkError(f"The agent's program ended unexpectedly: {words or 'it gave no reason'}")

    # -- what the agent says and asks --------------------------------------------------------------------------------

    def _serve(self, message: dict[str, Any]) -> None:
        method, parameters = message.get("method"), message.get("params") or {}
        if method == "session/update":
            self._update(parameters.get("update") or {})
        elif method == "session/request_permission":
            # Everything the agent can do, it does in its sandbox: it may.
            options = parameters.get("options") or []
            allowed = next(
                (o for o in options if str(o.get("kind", "")).startswith("allow")), options[0] if options else {}
            )
            outcome = {"outcome": "selected", "optionId": allowed.get("optionId", "allow")}
            self._send({"id": message.get("id"), "result": {"outcome": outcome}})
        elif method and "id" in message:
            self._send({"id": message["id"], "error": {"code": -32601, "message": f"{method} is not offered"}})

    def _update(self, update: dict[str, Any]) -> None:
        kind = update.get("sessionUpdate")
        if kind == "agent_message_chunk":
            self._words.append(str((update.get("content") or {}).get("text", "")))
        elif kind == "tool_call":
            self._tell_words()
            data = {
                "id": update.get("toolCallId"),
                "name": update.get("title", "tool"),
                "input": update.get("rawInput") or {},
            }
            self._turn.emit("agent.tool", data, f"tool:{update.get('toolCallId')}")
        elif kind == "tool_call_update" and update.get("status") in ("completed", "failed"):
            texts = [(part.get("content") or {}).get("text", "") for part in update.get("content") or ()]
            data = {
                "id": update.get("toolCallId"),
                "ok": update["status"] == "completed",
                "text": "\n".join(texts)[:_SHOWN],
            }
            self._turn.emit("agent.tool_result", data, f"result:{update.get('toolCallId')}")

    def _tell_words(self) -> None:
        text = "".join(self._words[self._said :]).strip()
        if text:
            self._turn.emit("agent.text", {"text": text}, f"text:{self._number}:{self._said}")
        self._said = len(self._words)
