"""Harnesses: what runs an agent's turn on a workspace."""

from __future__ import annotations

from honk.model import Harness, UsageError
from honk.settings import Settings

_USUAL = "https://api.anthropic.com"


def agent_ready(agent: str, settings: Settings) -> None:
    """Raises `UsageError` saying what to set or write if this agent cannot run here."""
    kind, _, command = agent.partition(":")
    if kind not in ("claude", "script", "acp"):
        raise UsageError(f"There is no agent {agent!r}: claude, script:COMMAND and acp:COMMAND are.")
    if kind in ("script", "acp") and not command.strip():
        raise UsageError(
            f"{kind}: wants a command, such as {kind}:'./{'change.sh' if kind == 'script' else 'agent acp'}'."
        )
    if agent == "claude" and not settings.anthropic_api_key and settings.anthropic_base_url.rstrip("/") == _USUAL:
        raise UsageError(
            "Set ANTHROPIC_API_KEY (or ANTHROPIC_BASE_URL, for a model server of your own) to let Claude Code work."
        )


def harness(agent: str, settings: Settings) -> Harness:
    """The harness for `claude`, `script:COMMAND` or `acp:COMMAND`. Raises `UsageError` for anything else."""
    agent_ready(agent, settings)
    kind, _, command = agent.partition(":")
    if kind == "script":
        from honk.agents.script import ScriptHarness

        return ScriptHarness(command, settings)
    if kind == "acp":
        from honk.agents.acp import AcpHarness

        return AcpHarness(command, settings)
    from honk.agents.claude import ClaudeHarness

    return ClaudeHarness(settings)


__all__ = ["agent_ready", "harness"]
