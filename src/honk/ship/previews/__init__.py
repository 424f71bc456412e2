"""Web artifacts as pages, each at an origin of its own: no preview can read another, or Honk's pages."""

from honk.ship.previews.server import PreviewServer

__all__ = ["PreviewServer"]
