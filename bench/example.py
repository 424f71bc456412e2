"""The example's story with the played model, from the message on, as `honk demo` tells it."""

from __future__ import annotations

import json
import subprocess
import sys


def story_of_the_example() -> dict[str, float]:
    """Seconds, by the demo's own clock, with the real Claude Code, checks, builds, pictures and deploys."""
    done = subprocess.run(
        [sys.executable, "-m", "honk", "demo", "--fast", "--json"], check=True, capture_output=True, text=True
    )
    seconds: dict[str, float] = json.loads(done.stdout)["seconds"]
    return {f"example: {name}": value for name, value in seconds.items()}
