"""Apple's manifest and the link that makes an iPhone install."""

from __future__ import annotations

import hashlib
import plistlib
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from honk.model import UsageError
from honk.ship.packages import ChunkDigests, IosFacts, Package, chunk_digests, itms_url, ota_manifest

PACKAGE = Package(
    "ipa", "com.example.encore", "Encore & Co", "1.2.3", "42", 1, ios=IosFacts("com.example.encore", "iphoneos")
)
ADDRESS = "https://honk.example.com/install/7/app.ipa?until=1&sign=a%2Bb"


def test_the_manifest_is_as_apple_describes_it() -> None:
    content = ota_manifest(
        PACKAGE,
        package_url=ADDRESS,
        icon_url="https://honk.example.com/57.png",
        full_size_icon_url="https://honk.example.com/512.png",
        digests=ChunkDigests(10_485_760, ("ab", "cd")),
    )
    assert content.startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST')
    assert plistlib.loads(content) == {
        "items": [
            {
                "assets": [
                    {
                        "kind": "software-package",
                        "url": ADDRESS,
                        "sha256-size": 10_485_760,
                        "sha256s": ["ab", "cd"],
                    },
                    {"kind": "display-image", "url": "https://honk.example.com/57.png"},
                    {"kind": "full-size-image", "url": "https://honk.example.com/512.png"},
                ],
                "metadata": {
                    "bundle-identifier": "com.example.encore",
                    "bundle-version": "1.2.3",
                    "kind": "software",
                    "title": "Encore & Co",
                },
            }
        ]
    }


def test_a_manifest_needs_neither_icon_nor_digests() -> None:
    (item,) = plistlib.loads(ota_manifest(PACKAGE, package_url=ADDRESS))["items"]
    assert item["assets"] == [{"kind": "software-package", "url": ADDRESS}]


def test_digests_are_taken_chunk_by_chunk(tmp_path: Path) -> None:
    path = tmp_path / "app.ipa"
    path.write_bytes(b"a" * 10 + b"b" * 10 + b"c")
    assert chunk_digests(path, 10) == ChunkDigests(
        10, tuple(hashlib.sha256(part).hexdigest() for part in (b"a" * 10, b"b" * 10, b"c"))
    )
    path.write_bytes(b"a" * 10)
    assert len(chunk_digests(path, 10).sha256s) == 1


def test_the_link_carries_the_whole_address_of_the_manifest() -> None:
    address = "https://honk.example.com/m.plist?task=7&sign=a%2Bb/c#x"
    link = itms_url(address)
    assert link.startswith("itms-services://?action=download-manifest&url=https%3A%2F%2Fhonk.example.com%2Fm.plist%3F")
    assert parse_qs(urlsplit(link).query) == {"action": ["download-manifest"], "url": [address]}


@pytest.mark.parametrize("address", ["http://honk.example.com/m.plist", "https://", "javascript:alert(1)", ""])
def test_an_address_that_is_not_https_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="only from https"):
        itms_url(address)
    with pytest.raises(UsageError, match="only from https"):
        ota_manifest(PACKAGE, package_url=address)


def test_an_android_package_has_no_manifest() -> None:
    with pytest.raises(UsageError, match="is no iOS app"):
        ota_manifest(Package("apk", "a.b", "Encore", "1", "1", 1), package_url=ADDRESS)
