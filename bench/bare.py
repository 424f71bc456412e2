"""What a team would write instead: a script of the SDK, without sandbox, checks or pull request."""

from __future__ import annotations

import asyncio
import sys

from claude_agent_sdk import ClaudeAgentOptions, query


async def main() -> None:
    """One session in the folder that is named."""
    options = ClaudeAgentOptions(
        cwd=sys.argv[1],
        allowed_tools=["Read", "Edit", "Bash"],
        permission_mode="dontAsk",
        setting_sources=[],
        env={"CLAUDE_CONFIG_DIR": sys.argv[2], "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"},
    )
    async for _ in query(prompt="Please greet", options=options):
        pass


asyncio.run(main())
