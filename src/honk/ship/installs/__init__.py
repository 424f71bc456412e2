"""Packages for phones: what a build holds of them, the links they are installed by, and what is to be said before.

`read_packages` reads each once, `installable` gives them back with what people have, `install_links` signs.
"""

from honk.ship.installs.known import Installable, earlier_packages, installable, read_packages
from honk.ship.installs.links import InstallLinks, Opened, install_links, make_install_key

__all__ = [
    "InstallLinks",
    "Installable",
    "Opened",
    "earlier_packages",
    "install_links",
    "installable",
    "make_install_key",
    "read_packages",
]
