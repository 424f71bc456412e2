"""What an IPA says of itself: `Info.plist`, the icon, and the provisioning profile beside it.

Keys are those of Apple's "Information Property List"; the profile's are those of its documentation of provisioning
profiles (technote TN3125, "Inside Code Signing: Provisioning Profiles").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from honk.ship.packages.archive import Archive, leads_outside
from honk.ship.packages.certificates import signed_content
from honk.ship.packages.facts import IosFacts, Package, PackageError, Profile, ProfileKind, one_line
from honk.ship.packages.pictures import plain_png
from honk.ship.packages.plists import read_plist, tame, text, texts

APP = re.compile(r"Payload/([^/]+\.app)/Info\.plist")
_BUNDLE_ID = re.compile(r"[A-Za-z0-9._-]{1,255}")
_DEVICES_MOST = 2_000
_FAMILIES: Mapping[int, str] = {1: "iphone", 2: "ipad", 3: "tv", 4: "watch", 6: "mac", 7: "vision"}
_LINKS_MOST = 1_000


def read_ipa(archive: Archive, app: str) -> Package:
    """The package whose app lies in the folder `Payload/<app>`. Raises `PackageError` if it is malformed."""
    folder = f"Payload/{app}/"
    _check_links(archive, folder)
    info = read_plist(archive.read(folder + "Info.plist", archive.limits.plist), "Info.plist")
    bundle_id = text(info, "CFBundleIdentifier")
    if not _BUNDLE_ID.fullmatch(bundle_id):
        raise PackageError("The package's Info.plist names no valid bundle id: build the package again.")
    minimum = one_line(text(info, "MinimumOSVersion"), 20) or None
    platform = _platform(info)
    version = one_line(text(info, "CFBundleShortVersionString", "CFBundleVersion"), 60)
    build = one_line(text(info, "CFBundleVersion", "CFBundleShortVersionString"), 60)
    return Package(
        kind="ipa",
        identifier=bundle_id,
        name=one_line(text(info, "CFBundleDisplayName", "CFBundleName")) or app.removesuffix(".app"),
        version=version,
        build=build,
        size=archive.size,
        icon=_icon(archive, folder, info),
        minimum_os=f"iOS {minimum}" if minimum else None,
        ios=IosFacts(bundle_id, platform, minimum, _families(info), _profile(archive, folder)),
    )


def _check_links(archive: Archive, folder: str) -> None:
    """Old apps hold links within themselves. One that leads elsewhere has no business in a package."""
    for count, (name, target) in enumerate(archive.links()):
        if count >= _LINKS_MOST or leads_outside(name, target, folder):
            raise PackageError(f"The package holds a link that leads outside the app ({one_line(name, 80)}).")


def _platform(info: Mapping[str, Any]) -> str:
    named = (*texts(info, "CFBundleSupportedPlatforms", 10), text(info, "DTPlatformName"))
    lower = [name.lower() for name in named if name]
    if any("simulator" in name for name in lower):
        return "simulator"
    return "iphoneos" if not lower or "iphoneos" in lower else one_line(lower[0], 30)


def _families(info: Mapping[str, Any]) -> tuple[str, ...]:
    found = info.get("UIDeviceFamily")
    numbers = found[:20] if isinstance(found, list) else [found]
    return tuple(dict.fromkeys(_FAMILIES[one] for one in numbers if isinstance(one, int) and one in _FAMILIES))


def _icon(archive: Archive, folder: str, info: Mapping[str, Any]) -> bytes | None:
    """The largest of the pictures that Info.plist names. Icons that lie only in `Assets.car` are not read."""
    stems = tuple(folder + stem.removesuffix(".png") for stem in dict.fromkeys(_icon_names(info)) if "/" not in stem)
    pictures = [name for name in archive.names if stems and name.startswith(stems) and name.endswith(".png")]
    fitting = [name for name in pictures if archive.declared_size(name) <= archive.limits.icon // 8]
    for name in sorted(fitting, key=archive.declared_size, reverse=True)[:4]:
        picture = plain_png(archive.read(name, archive.limits.icon))
        if picture:
            return picture
    return None


def _icon_names(info: Mapping[str, Any]) -> Iterable[str]:
    for key in ("CFBundleIcons", "CFBundleIcons~ipad"):
        icons = info.get(key)
        primary = icons.get("CFBundlePrimaryIcon") if isinstance(icons, dict) else None
        if isinstance(primary, dict):
            yield from texts(primary, "CFBundleIconFiles", 50)
    yield from texts(info, "CFBundleIconFiles", 50)
    yield text(info, "CFBundleIconFile") or "Icon.png"


def _profile(archive: Archive, folder: str) -> Profile | None:
    path = folder + "embedded.mobileprovision"
    if path not in archive:
        return None
    what = "provisioning profile"
    found = read_plist(signed_content(archive.read(path, archive.limits.profile), what), what)
    entitlements = found.get("Entitlements")
    entitlements = entitlements if isinstance(entitlements, dict) else {}
    expires = found.get("ExpirationDate")
    if not isinstance(expires, datetime):
        raise PackageError("The package's provisioning profile does not say when it expires: sign the package again.")
    debugged = entitlements.get("get-task-allow") is True
    devices = texts(found, "ProvisionedDevices", _DEVICES_MOST)
    return Profile(
        name=one_line(text(found, "Name")),
        kind=_kind(found, debugged=debugged),
        team=one_line(text(found, "TeamName") or next(iter(texts(found, "TeamIdentifier", 1)), "")),
        expires=expires.replace(tzinfo=UTC),
        devices=tuple(one_line(device, 60) for device in devices),
        entitlements=tame(entitlements),
        get_task_allow=debugged,
        application=one_line(text(entitlements, "application-identifier").partition(".")[2], 255),
    )


def _kind(found: Mapping[str, Any], *, debugged: bool) -> ProfileKind:
    """An enterprise profile names no devices because all may install; one for the App Store names none either."""
    if found.get("ProvisionsAllDevices") is True:
        return "enterprise"
    if isinstance(found.get("ProvisionedDevices"), list):
        return "development" if debugged else "ad-hoc"
    return "app-store"
