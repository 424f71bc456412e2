"""What the sandbox promises, and attacks that try to break each promise: for `honk doctor` and for the tests."""

from honk.workspace.attacks.attack import PROMISES, Attack, Outcome, Promise
from honk.workspace.attacks.bait import Bait, planted
from honk.workspace.attacks.harmless import HARMLESS
from honk.workspace.attacks.trying import attack_here, held_promises, outcomes

__all__ = [
    "HARMLESS",
    "PROMISES",
    "Attack",
    "Bait",
    "Outcome",
    "Promise",
    "attack_here",
    "held_promises",
    "outcomes",
    "planted",
]
