"""Where repositories live, and changes are proposed and landed."""

from honk.forges.local import LocalForge

__all__ = ["LocalForge"]
