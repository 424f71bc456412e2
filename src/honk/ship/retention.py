"""Which artifacts are kept, and for how long."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import RowMapping

from honk.model import State
from honk.store import Store

_ENDED = frozenset({State.MERGED, State.DEPLOYED, State.ROLLED_BACK, State.CANCELLED})


@dataclass(frozen=True)
class Policy:
    """`days` for what nobody needs, `size` in bytes for everything, `versions` of each of a task's builds."""

    days: float
    size: int
    versions: int


@dataclass(frozen=True)
class Kept:
    """An artifact that is kept. `key` is its task, commit and kind."""

    key: tuple[str, str, str]
    sha256: str
    size: int
    built_at: datetime
    needed: bool
    """True while an open card offers it, and while production runs it or would go back to it."""


def kept_artifacts(store: Store) -> list[Kept]:
    """What is kept, and which of it is needed."""
    in_production = store.tasks_in_production()

    def needed(row: RowMapping) -> bool:
        ended = State(row["state"]) in _ENDED or row["merged_sha"] is not None
        deploying = row["state"] in (State.MERGING, State.DEPLOYING)
        return not row["void"] and (not ended or deploying or row["task_id"] in in_production)

    return [
        Kept(
            key=(row["task_id"], row["commit"], row["kind"]),
            sha256=row["sha256"],
            size=row["size"],
            built_at=datetime.fromisoformat(row["built_at"] or row["updated_at"]),
            needed=needed(row),
        )
        for row in store.kept_artifacts()
    ]


def superfluous(kept: Sequence[Kept], policy: Policy, now: datetime) -> list[Kept]:
    """What may go: too old, too many of one build, or the oldest of too much. Nothing that is needed."""
    newest_first = sorted(kept, key=lambda one: (one.needed, one.built_at), reverse=True)
    counted: Counter[tuple[str, str]] = Counter()
    contents: set[str] = set()
    total, gone = 0, []
    for one in newest_first:
        build = one.key[0], one.key[2]
        counted[build] += 1
        more = 0 if one.sha256 in contents else one.size
        too_old = one.built_at + timedelta(days=policy.days) < now
        if not one.needed and (too_old or counted[build] > policy.versions or total + more > policy.size):
            gone.append(one)
            continue
        contents.add(one.sha256)
        total += more
    return gone
