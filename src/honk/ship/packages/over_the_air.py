"""Apple's manifest for installing an app over the air, and the link that starts it.

Keys are those of `ManifestURL` in Apple's "Device Management" reference. iOS fetches manifest, pictures and app
without the browser's cookies, more than once and in ranges.
"""

from __future__ import annotations

import hashlib
import plistlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from honk.model import UsageError
from honk.ship.packages.facts import Package

_CHUNK = 10 << 20
_READ = 1 << 20


@dataclass(frozen=True)
class ChunkDigests:
    """SHA-256 digests, in hex, of a file's successive chunks of `size` bytes (the last may be shorter). iOS fetches a
    chunk again whose digest differs."""

    size: int
    sha256s: tuple[str, ...]


def chunk_digests(path: Path, size: int = _CHUNK) -> ChunkDigests:
    """The digests of a file, read in pieces of at most 1 MiB."""
    digests: list[str] = []
    with path.open("rb") as file:
        while True:
            whole, left = hashlib.sha256(), size
            while left and (piece := file.read(min(left, _READ))):
                whole.update(piece)
                left -= len(piece)
            if left == size:
                return ChunkDigests(size, tuple(digests))
            digests.append(whole.hexdigest())


def ota_manifest(
    package: Package,
    *,
    package_url: str,
    icon_url: str | None = None,
    full_size_icon_url: str | None = None,
    digests: ChunkDigests | None = None,
) -> bytes:
    """The manifest as an XML property list. `icon_url` is shown while the app comes (57 × 57 and up), the full-size one
    (512 × 512) where there is room; without one the first serves for both. Raises `UsageError` for anything but an IPA
    and for an address that is not https."""
    if package.kind != "ipa":
        raise UsageError(f"{package.name} is no iOS app: only those have a manifest for installing over the air.")
    software: dict[str, Any] = {"kind": "software-package", "url": _https(package_url)}
    if digests is not None and digests.sha256s:
        software |= {"sha256-size": digests.size, "sha256s": list(digests.sha256s)}
    assets = [software]
    if icon_url is not None:
        assets.append({"kind": "display-image", "url": _https(icon_url)})
    if full := full_size_icon_url or icon_url:
        assets.append({"kind": "full-size-image", "url": _https(full)})
    metadata = {
        "bundle-identifier": package.identifier,
        "bundle-version": package.version or package.build or "1",
        "kind": "software",
        "title": package.name,
    }
    return plistlib.dumps({"items": [{"assets": assets, "metadata": metadata}]}, sort_keys=False)


def itms_url(manifest_url: str) -> str:
    """The link that makes an iPhone install: the manifest's address is percent-encoded whole, so that its own query
    stays its own. Raises `UsageError` if it is not https."""
    return f"itms-services://?action=download-manifest&url={quote(_https(manifest_url), safe='')}"


def _https(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise UsageError("iPhones install over the air only from https: set HONK_PUBLIC_URL to an https address.")
    return url
