"""Why an iOS package will not install over the air. Each rule says where it comes from."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from honk.ship.packages.facts import Device, IosFacts, Obstacle, Package, Profile

_SOON = timedelta(days=7)
_DEVELOPER_MODE = 16


def ios_obstacles(
    facts: IosFacts, *, previous: Package | None, device: Device | None, https: bool, now: datetime
) -> Iterator[Obstacle]:
    """What is in the way of this package on an iPhone or iPad; see `obstacles`."""
    known = device if device and device.platform == "ios" else None
    # "Distribute proprietary in-house apps to Apple devices": manifest and app come by https, trusted by the device.
    if not https:
        yield Obstacle(
            "no-https",
            "iPhones install over the air only from https with a certificate they trust: set HONK_PUBLIC_URL to an "
            "https address.",
            blocks=True,
        )
    yield from _platform(facts, known)
    if facts.profile is None and facts.platform == "iphoneos":
        yield Obstacle(
            "no-profile",
            "The app has no provisioning profile, so no iPhone installs it: export it with an ad hoc, development or "
            "enterprise profile.",
            blocks=True,
        )
    elif facts.profile is not None:
        yield from _profile(facts, facts.profile, known, now)
    if previous and previous.ios and previous.ios.profile and facts.profile:
        yield from _update(facts.profile, previous.ios.profile)


def _platform(facts: IosFacts, device: Device | None) -> Iterator[Obstacle]:
    if facts.platform == "simulator":
        yield Obstacle(
            "simulator",
            "The app was built for the simulator and runs on no iPhone: build it for the device (`-sdk iphoneos`).",
            blocks=True,
        )
    elif facts.platform != "iphoneos":
        yield Obstacle("platform", f"The app was built for {facts.platform}: build it for iOS (`-sdk iphoneos`).", True)
    if device is None:
        return
    if device.model in ("iPhone", "iPod") and facts.families and "iphone" not in facts.families:
        yield Obstacle("family", "The app is for iPads alone and this is an iPhone: open this page on an iPad.", True)
    if device.os_version and facts.minimum_os and _older(device.os_version, facts.minimum_os):
        yield Obstacle(
            "minimum-os",
            f"The app needs iOS {facts.minimum_os} or newer and this device has iOS {device.os_version}: update the "
            "device, or lower the deployment target.",
            blocks=True,
        )


def _profile(facts: IosFacts, profile: Profile, device: Device | None, now: datetime) -> Iterator[Obstacle]:
    # TN3125 "Inside Code Signing: Provisioning Profiles": what, who, where, when.
    if profile.kind == "app-store":
        yield Obstacle(
            "app-store-profile",
            "The app is signed for the App Store, so iPhones install it only from there or from TestFlight: export it "
            "with an ad hoc profile.",
            blocks=True,
        )
    if profile.expires <= now:
        yield Obstacle(
            "profile-expired",
            f"The app's provisioning profile expired on {_day(profile.expires)}: renew the profile and build again.",
            blocks=True,
        )
    elif profile.expires - now <= _SOON:
        yield Obstacle(
            "profile-expires",
            f"The app's provisioning profile expires on {_day(profile.expires)} and the app stops opening then: renew "
            "the profile and build again.",
            blocks=False,
        )
    if profile.application and not _covers(profile.application, facts.bundle_id):
        yield Obstacle(
            "profile-of-another-app",
            f"The provisioning profile is for {profile.application} and the app is {facts.bundle_id}: sign it with its "
            "own profile.",
            blocks=True,
        )
    if profile.kind in ("ad-hoc", "development"):
        yield from _listed(profile, device)
    if profile.kind == "enterprise":
        yield Obstacle(
            "trust",
            f"The first time, iOS asks to trust {profile.team or 'the developer'}: after installing, do so in "
            "Settings › General › VPN & Device Management.",
            blocks=False,
        )
    # "Enabling Developer Mode on a device": from iOS 16 for development-signed apps.
    if profile.kind == "development" and not (device and device.os_version and _older(device.os_version, "16")):
        yield Obstacle(
            "developer-mode",
            f"The app is signed for development, which opens from iOS {_DEVELOPER_MODE} on only in Developer Mode: "
            "turn it on in Settings › Privacy & Security, or export with an ad hoc profile.",
            blocks=False,
        )


def _listed(profile: Profile, device: Device | None) -> Iterator[Obstacle]:
    if not profile.devices:
        yield Obstacle("no-devices", "The app's provisioning profile lists no device: add some, and build again.", True)
    elif device and device.udid:
        if _plain(device.udid) not in {_plain(udid) for udid in profile.devices}:
            yield Obstacle(
                "device-not-listed",
                "This device is not in the app's provisioning profile: add its UDID to the profile and build again.",
                blocks=True,
            )
    else:
        yield Obstacle(
            "device-list",
            f"The app installs only on the devices of its provisioning profile ({len(profile.devices)}): if it will "
            "not on yours, have its UDID added and the app built again.",
            blocks=False,
        )


def _update(profile: Profile, previous: Profile) -> Iterator[Obstacle]:
    # Installation fails with "MismatchedApplicationIdentifierEntitlement" when the team's prefix changes.
    ours, theirs = _prefix(profile), _prefix(previous)
    if ours and theirs and ours != theirs:
        yield Obstacle(
            "other-team",
            "The app is signed by another team than the build before, so iOS refuses the update: sign with the same "
            "team, or delete the app first, which loses its data.",
            blocks=True,
        )


def _prefix(profile: Profile) -> str:
    whole = profile.entitlements.get("application-identifier")
    return whole.partition(".")[0] if isinstance(whole, str) else ""


def _covers(pattern: str, bundle_id: str) -> bool:
    return bundle_id.startswith(pattern[:-1]) if pattern.endswith("*") else pattern == bundle_id


def _plain(udid: str) -> str:
    return udid.replace("-", "").lower()


def _older(version: str, wanted: str) -> bool:
    """Whether a version is older; parts it does not tell count as the highest there may be, so as not to refuse."""
    theirs = [int(part) for part in version.split(".") if part.isdecimal()]
    least = [int(part) for part in wanted.split(".") if part.isdecimal()]
    return theirs < least[: len(theirs)]


def _day(at: datetime) -> str:
    return f"{at.day} {at:%B %Y}"
