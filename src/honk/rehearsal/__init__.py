"""A stand-in for the model's server: it plays scripted scenes through the real Claude Code. For tests and the demo."""

from honk.rehearsal.scenes import Scene, Step, load_scenes, say, use, verdict
from honk.rehearsal.server import Rehearsal

__all__ = ["Rehearsal", "Scene", "Step", "load_scenes", "say", "use", "verdict"]
