"""What the agent and the person get to read about a verification."""

from __future__ import annotations

from collections.abc import Sequence

from honk.model import Check
from honk.verify.distil import cut

_BUDGET = 8_000
"""Characters of everything that is red together."""
_LEAST = 300


def explain(checks: Sequence[Check]) -> str:
    """A line when all is green, else the reasons and nothing more: which check, its command, the lines that matter."""
    if not checks:
        return "There are no checks in this repository."
    red = sorted((check for check in checks if not check.green), key=lambda check: check.status == "already_red")
    if red:
        share = max(_LEAST, _BUDGET // len(red))
        told = [f"{_heading(check)} (`{cut(check.command, 300)}`):\n{cut(check.summary, share)}" for check in red]
        shown = told[: _BUDGET // _LEAST]
        left = len(told) - len(shown)
        return "\n\n".join([*shown, f"… and {left} more are red."] if left else shown)
    ran = [check for check in checks if check.status in ("passed", "flaky")]
    skipped = [f"{check.name} ({_first_line(check)})" for check in checks if check.status == "skipped"]
    if not ran:
        return f"Nothing was checked: {'; '.join(skipped)}"
    names = ", ".join(f"{check.name} ({_first_line(check)})" if check.summary else check.name for check in ran)
    unchecked = f" Not checked: {'; '.join(skipped)}" if skipped else ""
    return f"All checks {'that ran ' if skipped else ''}are green: {names}.{unchecked}"


def _heading(check: Check) -> str:
    if check.status == "already_red":
        return f"{check.name} is red without this change, too: leave that alone unless it was asked for"
    return f"{check.name} is red"


def _first_line(check: Check) -> str:
    return check.summary.partition("\n")[0].rstrip(".")
