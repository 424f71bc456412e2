"""What matters of a comparison that a test runner prints."""

from __future__ import annotations

import re
from collections.abc import Sequence

_SIGN = re.compile(r"^[-+](?!\+|-)")
_LEGEND = re.compile(
    r"^(?:- Expected|\+ Received|- Snapshot|\+ expected - actual|\+ actual - expected|@@ |"
    r"[-+] (?:Expected|Received|Snapshot) +[-+] \d+)"
)


def difference(said: Sequence[str]) -> list[str]:
    """The lines up to a comparison, and of that only those that differ."""
    signed = [line for line in said if _SIGN.match(line) and not _LEGEND.match(line)]
    if not signed:
        return list(said)
    begun = next(number for number, line in enumerate(said) if _SIGN.match(line) or _LEGEND.match(line))
    return [*said[:begun], *signed]
