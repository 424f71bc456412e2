"""From a verified commit to something people use: builds, previews, deploys, health, rollback."""

from honk.ship.artifacts import ArtifactStore
from honk.ship.deploy import CommandDeployer
from honk.ship.previews import PreviewServer
from honk.ship.production import Production
from honk.ship.qr import qr_code
from honk.ship.screenshots import Screenshots

__all__ = ["ArtifactStore", "CommandDeployer", "PreviewServer", "Production", "Screenshots", "qr_code"]
