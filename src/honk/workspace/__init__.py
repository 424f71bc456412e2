"""Trees of files and the sandbox in which everything that is not Honk's own runs."""

from honk.workspace.doctor import promises
from honk.workspace.mirror import Mirrors
from honk.workspace.sandbox import Sandbox, probe
from honk.workspace.workspaces import Workspaces

__all__ = ["Mirrors", "Sandbox", "Workspaces", "probe", "promises"]
