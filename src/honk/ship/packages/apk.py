"""What an APK says of itself: its compiled manifest, label, icon, native code and signatures."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from honk.ship.packages.apk_signatures import read_signing
from honk.ship.packages.archive import Archive
from honk.ship.packages.binary_xml import STRING, Value, elements
from honk.ship.packages.facts import (
    AndroidFacts,
    Package,
    PackageError,
    Signing,
    android_release,
    one_line,
)
from honk.ship.packages.pictures import plain_png
from honk.ship.packages.resources import Resources

MANIFEST = "AndroidManifest.xml"
_RESOURCES = "resources.arsc"

# The ids of `android.R.attr`, which Android promises never to change.
LABEL, ICON, NAME, DEBUGGABLE = 0x01010001, 0x01010002, 0x01010003, 0x0101000F
MIN_SDK, VERSION_CODE, VERSION_NAME, TARGET_SDK = 0x0101020C, 0x0101021B, 0x0101021C, 0x01010270
TEST_ONLY, VERSION_CODE_MAJOR, SPLIT_REQUIRED, VALUE = 0x01010272, 0x01010576, 0x01010591, 0x01010024
PREVIEW_SDK = 10_000
"""What Android takes a codename for, such as one of a developer preview (`Build.VERSION_CODES.CUR_DEVELOPMENT`)."""

_PACKAGE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)+")
_PERMISSIONS_MOST = 1000
_SPLITS_META = "com.android.vending.splits.required"
_LIBRARY = re.compile(r"(?:base/)?lib/([a-z0-9_-]{2,20})/[^/]+\.so")
_LARGEST_DENSITY = 640


@dataclass
class Manifest:
    """What a manifest says, before its references are followed."""

    package: str = ""
    split: str = ""
    version_code: int = 0
    version_name: Value | None = None
    min_sdk: int = 1
    target_sdk: int | None = None
    permissions: dict[str, None] = field(default_factory=dict)
    debuggable: bool = False
    test_only: bool = False
    split_required: bool = False
    label: Value | None = None
    icon: Value | None = None


def read_apk(archive: Archive) -> Package:
    """Raises `PackageError` if the APK is malformed, or only a part of an app."""
    manifest = _manifest(archive.read(MANIFEST, archive.limits.manifest))
    resources = None
    if _RESOURCES in archive and archive.declared_size(_RESOURCES) <= archive.limits.resources:
        resources = Resources(archive.read(_RESOURCES, archive.limits.resources))
    return package_of(
        "apk",
        archive,
        manifest,
        name=_text(resources, manifest.label),
        version=_text(resources, manifest.version_name),
        icon=_icon(archive, resources, manifest.icon),
        signing=read_signing(archive),
        resources_ready=_resources_ready(archive),
    )


def package_of(
    kind: str,
    archive: Archive,
    manifest: Manifest,
    *,
    name: str | None,
    version: str | None,
    icon: bytes | None,
    signing: Signing,
    resources_ready: bool = True,
) -> Package:
    """The package of a manifest whose references have been followed."""
    if not _PACKAGE_NAME.fullmatch(manifest.package) or len(manifest.package) > 223:
        raise PackageError("The package's manifest names no valid application id: build the package again.")
    if manifest.split:
        raise PackageError(
            f"This is the part {one_line(manifest.split, 40)!r} of an app that was split up: build one whole APK."
        )
    facts = AndroidFacts(
        package=manifest.package,
        version_code=manifest.version_code,
        min_sdk=manifest.min_sdk,
        target_sdk=manifest.min_sdk if manifest.target_sdk is None else manifest.target_sdk,
        permissions=tuple(manifest.permissions),
        debuggable=manifest.debuggable,
        abis=tuple(sorted({match[1] for path in archive.names if (match := _LIBRARY.fullmatch(path))})),
        signing=signing,
        test_only=manifest.test_only,
        split_required=manifest.split_required,
        resources_ready=resources_ready,
    )
    return Package(
        kind="aab" if kind == "aab" else "apk",
        identifier=manifest.package,
        name=one_line(name or "") or manifest.package,
        version=one_line(version or "", 60) or str(manifest.version_code),
        build=str(manifest.version_code),
        size=archive.size,
        icon=icon,
        minimum_os=android_release(manifest.min_sdk),
        android=facts,
    )


def _manifest(data: bytes) -> Manifest:
    found = Manifest()
    for element in elements(data, "manifest"):
        path = element.path
        if path == ("manifest",):
            found.package = _plain(element.plain("package"))
            found.split = _plain(element.plain("split"))
            found.version_code = version_code(
                integer(element.attribute(VERSION_CODE)), integer(element.attribute(VERSION_CODE_MAJOR))
            )
            found.version_name = element.attribute(VERSION_NAME)
            found.split_required |= _true(element.attribute(SPLIT_REQUIRED))
        elif path == ("manifest", "uses-sdk"):
            found.min_sdk = sdk(element.attribute(MIN_SDK)) or found.min_sdk
            found.target_sdk = sdk(element.attribute(TARGET_SDK)) or found.target_sdk
        elif len(path) == 2 and path[0] == "manifest" and path[1] in ("uses-permission", "uses-permission-sdk-23"):
            add_permission(found, _plain(element.attribute(NAME)))
        elif path == ("manifest", "application"):
            found.label, found.icon = element.attribute(LABEL), element.attribute(ICON)
            found.debuggable = _true(element.attribute(DEBUGGABLE))
            found.test_only = _true(element.attribute(TEST_ONLY))
            found.split_required |= _true(element.attribute(SPLIT_REQUIRED))
        elif path == ("manifest", "application", "meta-data") and _plain(element.attribute(NAME)) == _SPLITS_META:
            found.split_required |= _true(element.attribute(VALUE))
    return found


def add_permission(manifest: Manifest, name: str) -> None:
    """Note a permission once. Raises `PackageError` for more than any app asks for."""
    if name:
        manifest.permissions[one_line(name, 200)] = None
    if len(manifest.permissions) > _PERMISSIONS_MOST:
        raise PackageError("The package's manifest asks for more permissions than there are: build the package again.")


def version_code(code: int | None, major: int | None) -> int:
    """The long version code that Android compares (`PackageInfo.getLongVersionCode`)."""
    return ((major or 0) & 0x7FFFFFFF) << 32 | (code or 0) & 0xFFFFFFFF


def integer(value: Value | None) -> int | None:
    return value.integer if value else None


def sdk(value: Value | None) -> int | None:
    """An API level; a codename stands for the newest there may be."""
    if value is None:
        return None
    if value.integer is not None:
        return value.integer
    return PREVIEW_SDK if value.type == STRING and value.text else None


def _plain(value: Value | None) -> str:
    return (value.text or "") if value else ""


def _true(value: Value | None) -> bool:
    return value is not None and value.true


def _text(resources: Resources | None, value: Value | None) -> str | None:
    if value is None:
        return None
    if value.text is not None and value.type == STRING:
        return value.text
    return resources.text(value) if resources else None


def _icon(archive: Archive, resources: Resources | None, value: Value | None) -> bytes | None:
    """The largest PNG of the icon that is no larger than xxxhdpi; None where it is drawn, WebP, or no picture."""
    if value is None or resources is None:
        return None
    pictures = sorted(
        (density, path)
        for path, density in resources.files(value)
        if path.lower().endswith(".png") and density <= _LARGEST_DENSITY and path in archive
    )
    for _, path in reversed(pictures):
        if archive.declared_size(path) <= archive.limits.icon:
            return plain_png(archive.read(path, archive.limits.icon))
    return None


def _resources_ready(archive: Archive) -> bool:
    if _RESOURCES not in archive:
        return True
    at = archive.stored_at(_RESOURCES)
    return at is not None and at % 4 == 0
