"""One broken project: its files, the command that fails, and what of its output must and must not be told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Case:
    """`must` are the texts that tell what is wrong, the culprit first; `must_not` are noise or secrets."""

    name: str
    tool: str
    """As a check is named."""
    command: str
    files: Mapping[str, str]
    must: Sequence[str]
    must_not: Sequence[str] = ()
    needs: Sequence[str] = field(default=())
    """Programs besides those that are installed for the corpus."""
    reports: Sequence[str] = ()
    """Globs of reports that it writes."""
    composed: bool = False
    """True where what must be told is put together from several places of the output."""
