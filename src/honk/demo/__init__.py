"""The commute story on the bundled example, from a message to production and back; only the model is played."""

from honk.demo.story import run_demo

__all__ = ["run_demo"]
