"""The tamper guard: what in a change weakens what checks it, found by rule, without a model or running any of it."""

from honk.verify.tamper.guard import guard, guard_each
from honk.verify.tamper.kinds import KINDS, Answer, Kind

__all__ = ["KINDS", "Answer", "Kind", "guard", "guard_each"]
