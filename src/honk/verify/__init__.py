"""Which checks fit a repository, running them outside the agent's reach, and saying in a few lines what they found."""

from honk.verify.detect import detect
from honk.verify.distil import distil
from honk.verify.explain import explain
from honk.verify.failures import names, new_failures
from honk.verify.plan import Plan, SetUp, Verifier
from honk.verify.plan_changes import plan_changes
from honk.verify.registries import registry_environment, registry_hosts
from honk.verify.remedies import remedy
from honk.verify.room import Conditions, Prepared, equip, missing_programs, prepare, untouched
from honk.verify.run import Earlier, checks_at_once, verify

__all__ = [
    "Conditions",
    "Earlier",
    "Plan",
    "Prepared",
    "SetUp",
    "Verifier",
    "checks_at_once",
    "detect",
    "distil",
    "equip",
    "explain",
    "missing_programs",
    "names",
    "new_failures",
    "plan_changes",
    "prepare",
    "registry_environment",
    "registry_hosts",
    "remedy",
    "untouched",
    "verify",
]
