"""From a verified commit to something people use: builds, previews, deploys, health, rollback."""

from honk.ship.artifacts import ArtifactStore
from honk.ship.deploy import CommandDeployer
from honk.ship.previews import PreviewServer
from honk.ship.qr import qr_code
from honk.ship.screenshots import Screenshots
from honk.ship.site_host import SiteHost

__all__ = ["ArtifactStore", "CommandDeployer", "PreviewServer", "Screenshots", "SiteHost", "qr_code"]
