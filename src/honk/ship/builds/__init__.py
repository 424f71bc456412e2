"""Which builds a repository has, and when one need not be made again."""

from honk.ship.builds.detect import plan_builds
from honk.ship.builds.fingerprint import fingerprint
from honk.ship.builds.tracked import Tracked

__all__ = ["Tracked", "fingerprint", "plan_builds"]
