"""Small IPAs made in Python, with a provisioning profile that is signed as Apple's are."""

from __future__ import annotations

import plistlib
import struct
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import pkcs7

from tests.ship.made_android import Signer, zipped

UDID = "00008110-001A2B3C4D5E601E"
EXPIRES = datetime(2027, 6, 1, 12, 0, tzinfo=UTC)


def info(**changed: Any) -> dict[str, Any]:
    plain = {
        "CFBundleIdentifier": "com.example.encore",
        "CFBundleName": "encore",
        "CFBundleDisplayName": "Encore",
        "CFBundleShortVersionString": "1.2.3",
        "CFBundleVersion": "42",
        "MinimumOSVersion": "16.0",
        "CFBundleSupportedPlatforms": ["iPhoneOS"],
        "DTPlatformName": "iphoneos",
        "UIDeviceFamily": [1, 2],
        "CFBundleIcons": {"CFBundlePrimaryIcon": {"CFBundleIconFiles": ["AppIcon60x60"]}},
    }
    return {key: value for key, value in (plain | changed).items() if value is not None}


def profile(**changed: Any) -> dict[str, Any]:
    """An ad hoc profile, as its property list."""
    plain = {
        "Name": "Encore Ad Hoc",
        "TeamName": "Example Ltd",
        "TeamIdentifier": ["ABCDE12345"],
        "CreationDate": datetime(2026, 6, 1, 12, 0, tzinfo=UTC),
        "ExpirationDate": EXPIRES,
        "ProvisionedDevices": [UDID],
        "Entitlements": {"application-identifier": "ABCDE12345.com.example.encore", "get-task-allow": False},
    }
    # A property list holds times of UTC that do not say so.
    return {
        key: value.replace(tzinfo=None) if isinstance(value, datetime) else value
        for key, value in (plain | changed).items()
        if value is not None
    }


def sealed(content: bytes, signer: Signer) -> bytes:
    builder = pkcs7.PKCS7SignatureBuilder().set_data(content)
    builder = builder.add_signer(signer.certificate, signer.key, hashes.SHA256())
    return builder.sign(serialization.Encoding.DER, [pkcs7.PKCS7Options.Binary])


def ipa_files(
    signer: Signer, described: Mapping[str, Any] | None = None, provisioned: Mapping[str, Any] | None = None
) -> dict[str, bytes]:
    """The parts of an IPA; an empty `provisioned` leaves the profile out."""
    provisioned = profile() if provisioned is None else provisioned
    files = {
        "Payload/Encore.app/Info.plist": plistlib.dumps(
            dict(info() if described is None else described), fmt=plistlib.FMT_BINARY
        ),
        "Payload/Encore.app/AppIcon60x60@2x.png": crushed(120),
        "Payload/Encore.app/Encore": b"\xcf\xfa\xed\xfe" + b"\0" * 64,
    }
    if provisioned:
        files["Payload/Encore.app/embedded.mobileprovision"] = sealed(plistlib.dumps(dict(provisioned)), signer)
    return files


def ipa(
    signer: Signer, described: Mapping[str, Any] | None = None, provisioned: Mapping[str, Any] | None = None
) -> bytes:
    return zipped(ipa_files(signer, described, provisioned))


def crushed(side: int, colour: bytes = b"\xc8\x1e\x0a\xff") -> bytes:
    """A PNG in Xcode's form: BGRA, colours multiplied by the opacity, raw deflate. Its rows use all five filters."""
    red, green, blue, opacity = colour
    pixel = bytes([*(value * opacity // 255 for value in (blue, green, red)), opacity])
    row = pixel * side
    rows, above = b"", bytes(len(row))
    for line in range(side):
        kind = line % 5
        rows += bytes([kind]) + _filtered(kind, row, above)
        above = row
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(rows) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I4s", len(content), name) + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in (
            (b"CgBI", b"\x50\x00\x20\x02"),
            (b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0)),
            (b"IDAT", packed),
            (b"IEND", b""),
        )
    )


@cache
def _filtered(kind: int, row: bytes, above: bytes) -> bytes:
    out = bytearray()
    for index, value in enumerate(row):
        left = row[index - 4] if index >= 4 else 0
        corner = above[index - 4] if index >= 4 else 0
        up = above[index]
        guess = left + up - corner
        nearest = min((left, up, corner), key=lambda one: abs(guess - one))
        out.append((value - (0, left, up, (left + up) // 2, nearest)[kind]) & 0xFF)
    return bytes(out)


def pixels(picture: bytes) -> bytes:
    """The first pixel of an ordinary PNG whose first row has no filter."""
    at, data = 8, b""
    while at < len(picture):
        length, kind = struct.unpack_from(">I4s", picture, at)
        data += picture[at + 8 : at + 8 + length] if kind == b"IDAT" else b""
        at += 12 + length
    return zlib.decompress(data)[1:5]


NOW = datetime(2026, 11, 20, tzinfo=UTC)


def in_pieces(content: bytes) -> bytes:
    """A signed message without a signer whose content comes byte by byte, each in a part of its own (BER)."""

    def part(tag: int, inner: bytes) -> bytes:
        return bytes([tag, 0x84]) + len(inner).to_bytes(4, "big") + inner

    signed_data, data = bytes.fromhex("06092a864886f70d010702"), bytes.fromhex("06092a864886f70d010701")
    pieces = b"\x24\x80" + b"".join(b"\x04\x01" + bytes([value]) for value in content) + b"\0\0"
    inside = part(0x30, b"\x02\x01\x01" + b"\x31\x00" + part(0x30, data + part(0xA0, pieces)) + b"\x31\x00")
    return part(0x30, signed_data + part(0xA0, inside))
