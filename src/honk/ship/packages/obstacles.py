"""Why a package will not install, said before somebody tries."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from honk.ship.packages.android_obstacles import android_obstacles
from honk.ship.packages.facts import Device, Obstacle, Package
from honk.ship.packages.ios_obstacles import ios_obstacles


def obstacles(
    package: Package, *, previous: Package | None, device: Device | None, https: bool, now: datetime
) -> list[Obstacle]:
    """What is in the way of installing the package, the blocking first.

    `previous` is the build that people have; `device` the one that asks; `https` says whether the page is reached by
    it; `now` is aware. What is not known is not held against the package.
    """
    earlier = previous if previous and previous.identifier == package.identifier else None
    found = [*_wrong_device(package, device), *_another_app(package, previous)]
    if package.android is not None:
        found += android_obstacles(package, package.android, previous=earlier, device=device, now=now)
    if package.ios is not None:
        found += ios_obstacles(package.ios, previous=earlier, device=device, https=https, now=now)
    return sorted(found, key=lambda obstacle: not obstacle.blocks)


def _wrong_device(package: Package, device: Device | None) -> Iterator[Obstacle]:
    wanted, name = ("ios", "iPhone or iPad") if package.kind == "ipa" else ("android", "Android phone or tablet")
    if device is None or device.platform == wanted:
        return
    if device.platform == "desktop":
        yield Obstacle("desktop", f"This app is for an {name}: open this page there.", blocks=False)
    else:
        theirs = "an iPhone or iPad" if device.platform == "ios" else "an Android device"
        yield Obstacle("wrong-device", f"This app is for an {name} and this is {theirs}: open this page there.", True)


def _another_app(package: Package, previous: Package | None) -> Iterator[Obstacle]:
    if previous and previous.identifier != package.identifier and (previous.kind == "ipa") == (package.kind == "ipa"):
        yield Obstacle(
            "another-app",
            f"The build before was {previous.identifier}, this one is {package.identifier}: it installs as another app "
            "beside it, so remove the old one by hand if you no longer want it.",
            blocks=False,
        )
