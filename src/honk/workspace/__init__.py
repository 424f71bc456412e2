"""Trees of files and the sandbox in which everything that is not Honk's own runs."""

from honk.workspace.addresses import may_be_public, parse_entry
from honk.workspace.asking import USUAL_MODEL
from honk.workspace.bubblewrap import probe
from honk.workspace.doctor import promises
from honk.workspace.mirror import Mirrors
from honk.workspace.sandbox import Sandbox
from honk.workspace.workspaces import Workspaces


def warm_gateway() -> None:
    """Load what the first session of this process would wait for."""
    from honk.workspace.gateway import warm

    warm()


__all__ = [
    "USUAL_MODEL",
    "Mirrors",
    "Sandbox",
    "Workspaces",
    "may_be_public",
    "parse_entry",
    "probe",
    "promises",
    "warm_gateway",
]
