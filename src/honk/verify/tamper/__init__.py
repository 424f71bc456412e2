"""The tamper guard: what in a change weakens what checks it, found by rule, without a model or running any of it."""

from honk.findings import KINDS, Kind
from honk.verify.tamper.guard import guard, guard_each

__all__ = ["KINDS", "Kind", "guard", "guard_each"]
