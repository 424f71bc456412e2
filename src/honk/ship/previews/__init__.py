"""Web artifacts as pages, each at an origin of its own: no preview can read another, or Honk's pages."""

from honk.ship.previews.server import PreviewServer
from honk.ship.previews.site import with_one_range

__all__ = ["PreviewServer", "with_one_range"]
