"""Which checks fit a repository, running them outside the agent's reach, and saying in a few lines what they found."""

from honk.verify.detect import detect
from honk.verify.distil import distil
from honk.verify.explain import explain
from honk.verify.plan import Plan, SetUp, Verifier
from honk.verify.registries import registry_environment, registry_hosts
from honk.verify.remedies import remedy
from honk.verify.run import Prepared, equip, missing_programs, prepare, untouched, verify

__all__ = [
    "Plan",
    "Prepared",
    "SetUp",
    "Verifier",
    "detect",
    "distil",
    "equip",
    "explain",
    "missing_programs",
    "prepare",
    "registry_environment",
    "registry_hosts",
    "remedy",
    "untouched",
    "verify",
]
