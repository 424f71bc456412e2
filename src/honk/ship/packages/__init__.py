"""What people install on phones, read from files that nobody has vouched for.

`read_package` tells what a file is, `particulars` what may be looked up about it, `obstacles` why it will not install,
`device_of` which device asks, `ota_manifest` and `itms_url` how an iPhone gets it.
"""

from honk.ship.packages.devices import device_of
from honk.ship.packages.facts import (
    AndroidFacts,
    Certificate,
    Device,
    IosFacts,
    Limits,
    Obstacle,
    Package,
    PackageError,
    Profile,
    Signing,
    package_of_json,
)
from honk.ship.packages.obstacles import obstacles
from honk.ship.packages.over_the_air import ChunkDigests, chunk_digests, itms_url, ota_manifest
from honk.ship.packages.particulars import particulars
from honk.ship.packages.reading import read_package

__all__ = [
    "AndroidFacts",
    "Certificate",
    "ChunkDigests",
    "Device",
    "IosFacts",
    "Limits",
    "Obstacle",
    "Package",
    "PackageError",
    "Profile",
    "Signing",
    "chunk_digests",
    "device_of",
    "itms_url",
    "obstacles",
    "ota_manifest",
    "package_of_json",
    "particulars",
    "read_package",
]
