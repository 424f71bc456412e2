"""What in a change weakens the checks it is judged by, found by rule."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from honk.model import ChangedFile, Finding


@dataclass(frozen=True)
class Kind:
    """One kind of finding, and what a serious one leads to where honk.yaml does not say."""

    answer: Literal["protect", "show", "allow"]


KINDS: Mapping[str, Kind] = {"merge-marker": Kind("protect")}
_MARKER = re.compile(rb"^(<<<<<<<|>>>>>>>)( |$)")


def guard(changed: Sequence[ChangedFile]) -> list[Finding]:
    """The findings, in the order of the files."""
    return [
        Finding("merge-marker", "serious", file.path, number, "A marker of a merge was left in.", line.decode()[:200])
        for file in changed
        for number, line in enumerate((file.after or b"").split(b"\n"), 1)
        if _MARKER.match(line)
    ]


__all__ = ["KINDS", "Kind", "guard"]
