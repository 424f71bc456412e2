"""Which checks fit a repository, running them outside the agent's reach, and saying in a few lines what they found."""

from honk.verify.detect import SetUp, Verifier, detect
from honk.verify.distil import distil
from honk.verify.explain import explain
from honk.verify.registries import registry_environment, registry_hosts
from honk.verify.run import Prepared, equip, prepare, verify

__all__ = [
    "Prepared",
    "SetUp",
    "Verifier",
    "detect",
    "distil",
    "equip",
    "explain",
    "prepare",
    "registry_environment",
    "registry_hosts",
    "verify",
]
