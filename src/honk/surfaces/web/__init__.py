"""The web surface: the HTTP interface, and the phone-first chat on the same rows and log."""

from honk.surfaces.web.application import create_app

__all__ = ["create_app"]
