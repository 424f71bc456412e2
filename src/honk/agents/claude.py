"""Claude Code through its SDK: the real command line inside the sandbox, its hooks and the `verify` tool outside."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from honk.agents.remembering import Remembering, remembered
from honk.model import AgentResult, Cancelled, Command, Excess, GateAnswer, HonkError, LimitReached, Prepared, Turn
from honk.scratch import scratch
from honk.settings import Settings

if TYPE_CHECKING:
    from claude_agent_sdk import ClaudeAgentOptions, ClaudeSDKClient, Message, ResultMessage, SessionStore

T = TypeVar("T")

_INSIDE = "/honk/claude"
_MEMORY = "/home/honk/.claude"
"""Where the command line keeps its transcripts, inside."""
_TOOLS = ["Bash", "BashOutput", "KillShell", "Read", "Edit", "MultiEdit", "Write", "NotebookEdit", "Glob", "Grep"]
_REFUSED = ["WebFetch", "WebSearch", "AskUserQuestion", "EnterPlanMode", "ExitPlanMode", "CronCreate"]
_SHOWN = 4_000
"""Characters of a tool's result that go into the log."""


class ClaudeHarness:
    """Runs Claude Code's own loop; see the decision on verification for what its gate does."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def run(self, turn: Turn) -> AgentResult:
        """See `Harness.run`."""
        with scratch() as folder:
            return asyncio.run(_Session(self._settings, turn, folder).run())

    def prepare(self, turn: Turn) -> Prepared:
        """See `Harness.prepare`."""
        return _Started(self._settings, turn)


class _Started:
    """A command line that has been started and has not been told anything. Implements `model.Prepared`."""

    def __init__(self, settings: Settings, turn: Turn) -> None:
        self._settings = settings
        self._turn = turn
        self._loop = asyncio.new_event_loop()
        # The command line ends with the thread that started it, so this one lives as long as it may.
        self._thread = threading.Thread(target=self._loop.run_forever, name="honk-prepared", daemon=True)
        self._thread.start()
        self._stack = contextlib.ExitStack()
        self._stack.callback(self._end_loop)
        folder = self._stack.enter_context(scratch())
        self._session = _Session(settings, turn, folder)
        self._stack.callback(lambda: self._call(self._session.leave()))
        try:
            self._call(self._session.connect())
        except BaseException:
            self.close()
            raise

    def run(self, turn: Turn) -> AgentResult:
        """See `Prepared.run`."""
        try:
            asked = (turn.max_turns, turn.max_cost_usd, turn.nested, turn.session)
            told = (self._turn.max_turns, self._turn.max_cost_usd, self._turn.nested, self._turn.session)
            if asked == told and not turn.resume and self._session.alive:
                return self._call(self._session.converse(turn))
        finally:
            self.close()
        return ClaudeHarness(self._settings).run(turn)

    def close(self) -> None:
        """See `Prepared.close`."""
        self._stack.close()

    def _call(self, what: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result()

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class _Session:
    """One turn's conversation with the command line."""

    def __init__(self, settings: Settings, turn: Turn, folder: Path) -> None:
        self._settings = settings
        self._turn = turn
        self._folder = folder
        self._errors: list[str] = []
        self._ended: HonkError | None = None
        self._answers: set[str] = set()
        self._cost = 0.0
        self._version = ""
        self._asked = False
        self._client: ClaudeSDKClient | None = None
        self._remembering = Remembering(turn, self._spent)
        self._excess: Callable[[], Excess | None] = lambda: None

    async def run(self) -> AgentResult:
        try:
            await self.connect()
            return await self.converse(self._turn)
        finally:
            await self.leave()

    async def connect(self) -> None:
        """Start the command line. Raises `HonkError`."""
        from claude_agent_sdk import ClaudeSDKClient

        self._client = client = ClaudeSDKClient(self._options())
        with self._told_as_it_ended():
            await client.connect()

    async def converse(self, turn: Turn) -> AgentResult:
        """Give the turn's words to the command line that was started, and hear it out. Raises as `Harness.run`."""
        client = cast("ClaudeSDKClient", self._client)
        self._turn = self._remembering.turn = turn
        control = asyncio.create_task(self._control(client))
        try:
            with self._told_as_it_ended():
                await client.query(turn.prompt)
                result = await self._listen(client)
            if self._ended:
                raise self._ended
            return result
        finally:
            control.cancel()

    async def leave(self) -> None:
        """End the command line, and all that it has started."""
        if (client := self._client) is None:
            return
        process = self._kill(client)
        for farewell in (client.disconnect, *([process.aclose] if process else [])):
            with contextlib.suppress(Exception):
                await asyncio.wait_for(farewell(), 2)

    @property
    def alive(self) -> bool:
        """Whether the command line was started and has not ended."""
        process = getattr(getattr(self._client, "_transport", None), "_process", None)
        return process is not None and process.returncode is None

    @contextlib.contextmanager
    def _told_as_it_ended(self) -> Iterator[None]:
        try:
            yield
        except HonkError:
            raise
        except Exception as error:
            raise self._end(error) from error

    # -- the conversation --------------------------------------------------------------------------------------------

    async def _listen(self, client: ClaudeSDKClient) -> AgentResult:
        from claude_agent_sdk import ResultMessage

        async for message in client.receive_messages():
            await self._tell(message)
            if not isinstance(message, ResultMessage):
                continue
            if self._ended:
                raise self._ended
            self._check(message)
            arrived = await asyncio.to_thread(self._turn.inbox)
            if arrived:
                for late in arrived:
                    await client.query(late.text)
                continue
            return AgentResult(
                (message.result or "").strip(),
                message.session_id,
                self._cost,
                len(self._answers),
                f"Claude Code {self._version}".strip(),
                sorted(message.model_usage or {}),
            )
        raise self._end(None)

    def _check(self, result: ResultMessage) -> None:
        """Turn the ways a session can end badly into sentences."""
        if result.subtype == "error_max_turns":
            raise LimitReached(
                f"The limit of {self._turn.task.max_turns} model turns is reached; Continue allows more."
            )
        if result.subtype == "error_max_budget_usd":
            raise LimitReached(f"The budget of ${self._turn.task.max_cost_usd:.2f} is spent; Continue allows more.")
        if result.is_error:
            if refusal := self._turn.workspace.refusal:
                raise refusal
            told = result.result or "; ".join(result.errors or []) or result.subtype
            raise HonkError(_model_error(result.api_error_status, told))

    async def _control(self, client: ClaudeSDKClient) -> None:
        """Pass follow-ups in, and end everything when the person cancels or time is up."""
        deadline = time.monotonic() + self._settings.agent_seconds
        while True:
            await asyncio.sleep(0.2)
            if await asyncio.to_thread(self._turn.stop):
                self._ended = Cancelled("Cancelled.")
            elif time.monotonic() > deadline:
                self._ended = LimitReached(
                    f"The agent worked for {self._settings.agent_seconds:.0f} s, which is the limit."
                )
            elif (excess := self._excess()) is not None:
                self._ended = LimitReached(f"The agent was stopped. {excess.sentence}")
            if self._ended:
                self._kill(client)
                return
            for message in await asyncio.to_thread(self._turn.inbox):
                await client.query(message.text)

    @staticmethod
    def _kill(client: ClaudeSDKClient) -> Any:
        """End the sandbox's first process; its PID namespace takes every other one along. Returns the process."""
        process = getattr(getattr(client, "_transport", None), "_process", None)
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        return process

    def _end(self, error: Exception | None) -> HonkError:
        """Why the command line is gone, although it had not answered."""
        if self._ended is None and (excess := self._excess()) is not None:
            self._ended = LimitReached(f"The agent was stopped. {excess.sentence}")
        return self._ended or HonkError(self._crash(error))

    def _crash(self, error: Exception | None) -> str:
        words = " ".join("".join(self._errors).split())[-300:] or str(error or "it gave no reason")
        return f"Claude Code ended unexpectedly: {words}"

    # -- what the log gets -------------------------------------------------------------------------------------------

    async def _tell(self, message: Message) -> None:
        from claude_agent_sdk import AssistantMessage, ResultMessage, SystemMessage, UserMessage

        if isinstance(message, SystemMessage) and message.subtype == "init":
            self._version = str(message.data.get("claude_code_version") or "")
        elif isinstance(message, ResultMessage):
            # The gateway sees all that went to the model, whoever in the sandbox sent it.
            gateway = self._turn.workspace.spent.cost_usd
            self._cost = max(message.total_cost_usd or self._cost, gateway)
            await self._emit(
                "agent.usage", {"turns": len(self._answers), "cost_usd": self._cost}, f"result:{message.uuid}"
            )
        elif isinstance(message, AssistantMessage):
            await self._tell_assistant(message)
        elif isinstance(message, UserMessage) and not isinstance(message.content, str):
            for block in message.content:
                await self._tell_result(block)

    async def _tell_assistant(self, message: Any) -> None:
        from claude_agent_sdk import TextBlock, ToolUseBlock

        if message.parent_tool_use_id is None:
            self._answers.add(message.message_id or message.uuid or "")
        for number, block in enumerate(message.content):
            if isinstance(block, TextBlock) and block.text.strip():
                await self._emit("agent.text", {"text": block.text}, f"text:{message.uuid}:{number}")
            elif isinstance(block, ToolUseBlock):
                given = {name: _cut(value) for name, value in block.input.items()}
                await self._emit(
                    "agent.tool", {"id": block.id, "name": _plain_name(block.name), "input": given}, block.id
                )
        await self._emit("agent.usage", {"turns": len(self._answers), "cost_usd": self._cost}, f"usage:{message.uuid}")

    async def _tell_result(self, block: object) -> None:
        from claude_agent_sdk import ToolResultBlock

        if isinstance(block, ToolResultBlock):
            content = block.content
            if isinstance(content, list):
                content = "\n".join(part.get("text", "") for part in content if isinstance(part, dict))
            data = {"id": block.tool_use_id, "ok": not block.is_error, "text": _cut(content or "")}
            await self._emit("agent.tool_result", data, f"result:{block.tool_use_id}")

    async def _emit(self, kind: str, data: dict[str, Any], key: str) -> None:
        await asyncio.to_thread(self._turn.emit, kind, data, key)

    async def _spent(self, cost_usd: float) -> None:
        """Tell what the model has cost so far, as the command line itself reckons it."""
        if cost_usd > self._cost:
            self._cost = cost_usd
            key = f"spent:{self._turn.session}:{cost_usd}"
            await self._emit("agent.usage", {"turns": len(self._answers), "cost_usd": cost_usd}, key)

    # -- how the command line is started -----------------------------------------------------------------------------

    def _options(self) -> ClaudeAgentOptions:
        from claude_agent_sdk import ClaudeAgentOptions, HookMatcher, create_sdk_mcp_server, tool

        turn = self._turn

        @tool("verify", "Format, build and test a clean checkout of the work so far, as it will be judged.", {})
        async def verify(_: dict[str, Any]) -> dict[str, Any]:
            answer = await self._ask("tool")
            return {"content": [{"type": "text", "text": answer.text}], "is_error": not answer.green}

        (self._folder / "transcript").mkdir()
        known = turn.resume and remembered(turn, self._folder / "transcript")

        @tool(
            "ask",
            "Ask the person a question, only if you cannot go on without its answer. Then end your turn: the answer "
            "comes as the next message.",
            {"question": str},
        )
        async def ask(given: dict[str, Any]) -> dict[str, Any]:
            await asyncio.to_thread(self._turn.ask, str(given.get("question") or ""))
            self._asked = True
            return {"content": [{"type": "text", "text": "It has been put to the person. End your turn now."}]}

        server = create_sdk_mcp_server("honk", tools=[verify, ask])
        return ClaudeAgentOptions(
            cli_path=self._wrapper(),
            cwd=self._folder,
            allowed_tools=[*_TOOLS, "mcp__honk__verify", "mcp__honk__ask"],
            disallowed_tools=_REFUSED,
            permission_mode="dontAsk",
            setting_sources=["project"],
            mcp_servers={"honk": server},
            strict_mcp_config=True,
            system_prompt={"type": "preset", "preset": "claude_code"},
            model=self._settings.model,
            max_turns=turn.max_turns,
            max_budget_usd=turn.max_cost_usd,
            hooks={"Stop": [HookMatcher(hooks=[self._on_stop], timeout=3600)]},
            verbatim_prompts=True,
            stderr=self._errors.append,
            env={"CLAUDE_CONFIG_DIR": _MEMORY},
            session_store=None if turn.task.unsafe else cast("SessionStore", self._remembering),
            session_store_flush="eager",
            resume=turn.session if known else None,
            session_id=None if known else turn.session,
        )

    def _wrapper(self) -> str:
        """A program that starts the command line inside the sandbox, with nothing of this process's environment."""
        from claude_agent_sdk import __version__
        from claude_agent_sdk._internal.transport import subprocess_cli

        program = Path(subprocess_cli.__file__).parents[2] / "_bundled" / "claude"
        access = self._turn.workspace.model
        environment = {
            "ANTHROPIC_BASE_URL": access.base_url,
            "ANTHROPIC_API_KEY": access.token,
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "CLAUDE_CODE_MAX_RETRIES": "3",
            "CLAUDE_CODE_ENTRYPOINT": "sdk-py",
            "CLAUDE_AGENT_SDK_VERSION": __version__,
            subprocess_cli._SDK_READS_SESSION_STATE_ENV: "1",
            "ENABLE_TOOL_SEARCH": "false",
            "DISABLE_AUTOUPDATER": "1",
            "MCP_TOOL_TIMEOUT": "3600000",
        }
        if not self._turn.task.unsafe:
            environment["CLAUDE_CONFIG_DIR"] = _MEMORY
        place = str(program) if self._turn.task.unsafe else _INSIDE
        start = self._turn.workspace.interactive(
            Command((place,), environment=environment, readable={_INSIDE: program}, nested=self._turn.nested),
            model=True,
        )
        self._excess = start.excess
        outer = [f"{name}={value}" for name, value in start.environment.items()]
        script = self._folder / "claude"
        script.write_text(f'#!/bin/sh\nexec {shlex.join(["env", "-i", *outer, *start.argv])} "$@"\n')
        script.chmod(0o700)
        return str(script)

    # -- the gate ----------------------------------------------------------------------------------------------------

    async def _ask(self, asked_by: str) -> GateAnswer:
        """The gate's answer; what it raises ends the session once the agent has let go."""
        try:
            return await asyncio.to_thread(self._turn.gate, asked_by)
        except HonkError as error:
            self._ended = error
            return GateAnswer(True, str(error))

    async def _on_stop(self, given: Any, tool_use_id: str | None, context: Any) -> Any:
        if self._asked:
            return {}
        answer = await self._ask("stop")
        return {} if answer.green else {"decision": "block", "reason": answer.text}


def _plain_name(tool: str) -> str:
    return tool.removeprefix("mcp__honk__")


def _cut(value: Any) -> Any:
    if isinstance(value, str) and len(value) > _SHOWN:
        return f"{value[:_SHOWN]}\n… {len(value) - _SHOWN:,} characters more"
    return value


def _model_error(status: int | None, told: str) -> str:
    told = " ".join(told.split())[:500]
    if status in (401, 403):
        return f"The model's server refused the key ({status}): check ANTHROPIC_API_KEY. It said: {told}"
    if status in (429, 529):
        return f"The model's server is busy or the key's rate is used up ({status}); Retry tries again. It said: {told}"
    return f"The model could not go on{f' ({status})' if status else ''}: {told}"
