"""What is known of a package: plain data, and its form as JSON."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from honk.model import HonkError
from honk.untrusted import clean

Kind = Literal["apk", "aab", "ipa"]
ProfileKind = Literal["development", "ad-hoc", "enterprise", "app-store"]

ANDROID_RELEASES: Mapping[int, str] = {
    14: "4.0",
    15: "4.0.3",
    16: "4.1",
    17: "4.2",
    18: "4.3",
    19: "4.4",
    20: "4.4W",
    21: "5.0",
    22: "5.1",
    23: "6.0",
    24: "7.0",
    25: "7.1",
    26: "8.0",
    27: "8.1",
    28: "9",
    29: "10",
    30: "11",
    31: "12",
    32: "12L",
    33: "13",
    34: "14",
    35: "15",
    36: "16",
    37: "17",
}
"""API levels and the releases people know them by, from Android's table of platform versions (`uses-sdk`)."""


class PackageError(HonkError):
    """The file is no package that Honk can read: broken, hostile, or of another kind. Nothing was written."""


@dataclass(frozen=True)
class Limits:
    """How much of a file is read. Bytes, and counts of entries. What is over ends in a `PackageError`."""

    file: int = 4 << 30
    directory: int = 16 << 20
    """The archive's list of contents."""
    entries: int = 65_535
    unpacked: int = 16 << 30
    """What all entries together claim to be when they are unpacked. Honk does not unpack them, phones do."""
    manifest: int = 4 << 20
    resources: int = 48 << 20
    plist: int = 2 << 20
    profile: int = 512 << 10
    icon: int = 2 << 20
    signing_block: int = 8 << 20
    total: int = 64 << 20
    """What may be unpacked into memory over the whole reading."""


@dataclass(frozen=True)
class Certificate:
    """Who signed. `sha256` is the digest of the DER form, in lower-case hex, as `apksigner` prints it."""

    sha256: str
    subject: str
    """The distinguished name, or an empty string where the certificate cannot be read."""
    debug: bool
    """True for the certificates that development tools make or that everybody has the key of."""


@dataclass(frozen=True)
class Signing:
    """How an Android package is signed."""

    schemes: tuple[str, ...] = ()
    """Those found, of `v1`, `v2`, `v3` and `v3.1`, in this order."""
    certificates: tuple[Certificate, ...] = ()
    """Of the newest scheme found; one a signer."""
    earlier: tuple[str, ...] = ()
    """SHA-256 digests of the certificates that the newest scheme's proof of rotation names as predecessors."""
    valid: bool | None = None
    """Whether signatures and content fit. None where that was not looked into: v1 alone, or an unknown algorithm."""
    fault: str | None = None
    """What does not fit, or why it was not looked into."""

    @property
    def debug(self) -> bool:
        """Whether any signer used a debug certificate."""
        return any(certificate.debug for certificate in self.certificates)


@dataclass(frozen=True)
class AndroidFacts:
    """What an Android manifest and the archive around it say."""

    package: str
    version_code: int
    min_sdk: int
    target_sdk: int
    permissions: tuple[str, ...] = ()
    debuggable: bool = False
    abis: tuple[str, ...] = ()
    """Native ABIs with code in `lib/`; empty when there is no native code."""
    signing: Signing = Signing()
    test_only: bool = False
    split_required: bool = False
    """The manifest says that this is only a part and needs the other parts beside it."""
    resources_ready: bool = True
    """False when `resources.arsc` is compressed or not at a multiple of four bytes."""


@dataclass(frozen=True)
class Profile:
    """An iOS provisioning profile, as it claims to be. Apple's signature on it is not looked into: the phone does."""

    name: str
    kind: ProfileKind
    team: str
    expires: datetime
    devices: tuple[str, ...] = ()
    """UDIDs, as they stand in the profile."""
    entitlements: Mapping[str, Any] = field(default_factory=dict)
    get_task_allow: bool = False
    application: str = ""
    """The bundle id it is for, without the team's prefix; may end in `*`."""


@dataclass(frozen=True)
class IosFacts:
    """What `Info.plist` and the profile beside it say."""

    bundle_id: str
    platform: str
    """`iphoneos`, `simulator`, or the name of another platform such as `appletvos`."""
    minimum_os: str | None = None
    """As numbers, e.g. `16.0`."""
    families: tuple[str, ...] = ()
    """Of `iphone`, `ipad`, `tv`, `watch`, `vision` and `mac`."""
    profile: Profile | None = None


@dataclass(frozen=True)
class Package:
    """What a person would install. `size` in bytes, `icon` a PNG."""

    kind: Kind
    identifier: str
    name: str
    version: str
    build: str
    size: int
    icon: bytes | None = None
    minimum_os: str | None = None
    """As people say it: `Android 7.0`, `iOS 16.0`."""
    android: AndroidFacts | None = None
    ios: IosFacts | None = None

    def as_json(self) -> dict[str, Any]:
        """A dict for `json.dumps`: the icon as base64, times as ISO 8601."""
        shown: dict[str, Any] = _adapter().dump_python(self, mode="json", exclude={"icon"})
        return shown | {"icon": base64.b64encode(self.icon).decode() if self.icon else None}


@dataclass(frozen=True)
class Device:
    """What a browser lets on about the device it runs on; None where it does not tell."""

    platform: Literal["ios", "android", "desktop"]
    os_version: str | None = None
    """As numbers, e.g. `17.5`."""
    model: str | None = None
    abis: tuple[str, ...] | None = None
    udid: str | None = None
    """No browser tells it; a person may have."""


@dataclass(frozen=True)
class Obstacle:
    """A reason why a package will not install (`blocks`), or something to know before one tries."""

    code: str
    text: str
    """One sentence with what to do."""
    blocks: bool


@cache
def _adapter() -> TypeAdapter[Package]:
    return TypeAdapter(Package)


def package_of_json(data: Mapping[str, Any]) -> Package:
    """The package that `as_json` told of. Raises `PackageError` if it is none."""
    try:
        icon = data.get("icon")
        plain = dict(data) | {"icon": base64.b64decode(icon) if icon else None}
        return _adapter().validate_python(plain)
    except (ValidationError, ValueError) as error:
        raise PackageError("What was kept about this package cannot be read; build it again.") from error


def android_release(api_level: int) -> str:
    """The name people know, e.g. `Android 7.0`; `API level 99` for one that is not in the table."""
    release = ANDROID_RELEASES.get(api_level)
    return f"Android {release}" if release else f"API level {api_level}"


def one_line(text: str, limit: int = 120) -> str:
    """Foreign text as one short line without control and invisible characters."""
    shown = " ".join(clean(text[: limit * 4]).split())
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"
