"""Long work shows its newest line."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from honk.flow.ports import rooms

_SECONDS = 5.0
"""How often the person sees the newest line of what runs."""


def newest_line(tasks: Sequence[str], kind: str, told: Mapping[str, Any], key: str) -> Callable[[str], None]:
    """Takes output as it comes, and every few seconds records its newest line for the tasks."""
    begun, shown = time.monotonic(), 0

    def tell(chunk: str) -> None:
        nonlocal shown
        lines = [line for line in chunk.splitlines() if line.strip()]
        number = int((time.monotonic() - begun) / _SECONDS)
        if not lines or number <= shown:
            return
        shown = number
        data = {**told, "line": lines[-1].strip()[:200], "seconds": number * _SECONDS}
        for task in tasks:
            rooms().store.record(task, kind, data, key=f"{key}:progress:{number}")

    return tell
