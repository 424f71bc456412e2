"""Files that were made to harm the reader: each gives one sentence, in little memory and time, and writes nothing."""

from __future__ import annotations

import io
import os
import plistlib
import random
import stat
import struct
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from honk.ship.packages import Limits, Package, PackageError, read_package
from tests.ship.made_android import (
    V2,
    V3,
    Signer,
    apk_files,
    binary_xml,
    chunk,
    insert_block,
    manifest_tree,
    proto_xml,
    resources,
    signed,
    signing_block,
    write,
    zipped,
)
from tests.ship.made_ios import in_pieces, ipa_files, profile, sealed

ADA = Signer()
IPA_FILES = ipa_files(ADA)
UNPROVISIONED = ipa_files(ADA, provisioned={})
INFO = "Payload/Encore.app/Info.plist"
MANIFEST = "AndroidManifest.xml"
BASE = "base/manifest/AndroidManifest.xml"


def with_entry(name: str, content: bytes = b"x", **attributes: int) -> bytes:
    """An APK with one more entry."""
    whole = io.BytesIO(zipped(apk_files()))
    with zipfile.ZipFile(whole, "a") as archive:
        entry = zipfile.ZipInfo(name)
        for key, value in attributes.items():
            setattr(entry, key, value)
        archive.writestr(entry, content)
    return whole.getvalue()


def patched(content: bytes, name: bytes, offset: int, value: bytes) -> bytes:
    """Changes an entry's line in the list of contents, `offset` bytes from its beginning."""
    at = content.rfind(b"PK\x01\x02", 0, content.rfind(name))
    return content[: at + offset] + value + content[at + offset + len(value) :]


def ended(count: int, size: int, offset: int) -> bytes:
    return struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, count & 0xFFFF, count & 0xFFFF, size, offset, 0)


def million_entries() -> bytes:
    line = struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    return line * 300_000 + ended(300_000, len(line) * 300_000, 0)


def overlapping() -> bytes:
    apk = zipped(apk_files())
    return patched(apk, b"res/xhdpi/ic.png", 42, struct.pack("<I", apk.find(b"PK\x03\x04", 4)))


def twenty_gigabytes() -> bytes:
    content = zipped(apk_files() | {f"assets/{number}": b"" for number in range(5)})
    for number in range(5):
        content = patched(content, f"assets/{number}".encode(), 24, b"\xfe\xff\xff\xff")
    return content


def deep_plist(xml: bool) -> bytes:
    if xml:
        return b'<plist version="1.0">' + b"<array>" * 100_000 + b"</array>" * 100_000 + b"</plist>"
    count = 60_000
    objects = b"".join(b"\xa1" + struct.pack(">H", index + 1) for index in range(count - 1)) + b"\x09"
    return bplist(objects, [8 + 3 * index for index in range(count)], 2)


def bplist(objects: bytes, offsets: list[int], reference: int) -> bytes:
    table = 8 + len(objects)
    trailer = struct.pack(">6xBBQQQ", 4, reference, len(offsets), 0, table)
    return b"bplist00" + objects + b"".join(struct.pack(">I", at) for at in offsets) + trailer


def self_referencing_plist() -> bytes:
    return bplist(b"\xd1\x01\x00\x51k", [8, 11], 1)


def overlapping_plist() -> bytes:
    """Each of 50,000 lists claims the whole file for its own."""
    count = 50_000
    objects = b"\xaf\x12\x00\x01\x80\x00" * count
    return bplist(objects + b"\0" * 200_000, [8 + 6 * index for index in range(count)], 2)


def long_number_plist() -> bytes:
    """Each of 60,000 numbers claims the same 32 KiB."""
    count = 60_000
    top = b"\xaf\x12" + struct.pack(">I", count - 1) + b"".join(struct.pack(">H", 1 + n) for n in range(count - 1))
    numbers = b"\x1f" * count + b"\0" * 40_000
    return bplist(top + numbers, [8, *range(8 + len(top), 8 + len(top) + count - 1)], 2)


def laughing_plist() -> bytes:
    entities = "".join(f'<!ENTITY l{index} "{f"&l{index - 1};" * 10}">' for index in range(1, 12))
    return (
        f'<?xml version="1.0"?><!DOCTYPE plist [<!ENTITY l0 "ha">{entities}]>'
        "<plist><dict><key>CFBundleIdentifier</key><string>&l11;</string></dict></plist>"
    ).encode()


def in_ipa(name: str, content: bytes) -> Callable[[], bytes]:
    return lambda: zipped(IPA_FILES | {name: content})


def in_apk(name: str, content: bytes) -> Callable[[], bytes]:
    return lambda: zipped(apk_files() | {name: content})


def link(name: str, target: bytes, files: dict[str, bytes]) -> bytes:
    whole = io.BytesIO(zipped(files))
    with zipfile.ZipFile(whole, "a") as archive:
        entry = zipfile.ZipInfo(name)
        entry.create_system = 3
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, target)
    return whole.getvalue()


def linked_info() -> bytes:
    files = dict(IPA_FILES)
    del files[INFO]
    return link(INFO, b"Encore", files)


def expanding_strings() -> bytes:
    """A manifest whose element names are long texts that lie over each other."""
    count = 2_000
    offsets = struct.pack(f"<{count}I", *range(0, 2 * count, 2))
    texts = struct.pack("<H", 0x7000) * 40_000
    header = struct.pack("<IIIII", count, 0, 0, 28 + len(offsets), 0)
    names = b"".join(
        chunk(0x0102, struct.pack("<II", 1, 0), struct.pack("<IIHHHHHH", 0xFFFFFFFF, index, 20, 20, 0, 0, 0, 0))
        + chunk(0x0103, struct.pack("<II", 1, 0), struct.pack("<II", 0xFFFFFFFF, index))
        for index in range(count)
    )
    return chunk(0x0003, b"", chunk(0x0001, header, offsets + texts) + names)


APK = zipped(apk_files())
HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "an empty file": (lambda: b"", "no readable app package"),
    "no zip": (lambda: b"\x89PNG" * 100, "no readable app package"),
    "a truncated archive": (lambda: APK[:-30], "no readable app package"),
    "a list of contents that points outside": (
        lambda: patched(APK, b"ic.png", 42, b"\xf0\xff\xff\x7f"),
        "points outside",
    ),
    "a list of contents larger than the file": (lambda: APK[:-10] + b"\xff\xff\xff\x7f" + APK[-6:], "no readable"),
    "300,000 entries": (million_entries, "lists more than 65535 files"),
    "a zip bomb for a manifest": (in_apk(MANIFEST, b"\0" * (40 << 20)), "larger than 4194304 bytes"),
    "a zip bomb for an Info.plist": (in_ipa(INFO, b" " * (40 << 20)), "larger than 2097152 bytes"),
    "a size claim of 4 GB": (lambda: patched(APK, b"AndroidManifest.xml", 24, b"\xfe\xff\xff\xff"), "larger than"),
    "a size claim that is too small": (lambda: patched(APK, b"AndroidManifest.xml", 24, b"\x09\0\0\0"), "cannot be"),
    "claims of 20 GB in all": (twenty_gigabytes, "zip bomb"),
    "files that overlap": (overlapping, "overlap"),
    "two files of one name": (lambda: with_entry(MANIFEST), "two files of the same name"),
    "a name that climbs out": (lambda: with_entry("../../etc/passwd"), "leads outside it"),
    "a name that climbs out by backslashes": (lambda: with_entry("a\\..\\..\\b"), "leads outside it"),
    "an absolute name": (lambda: with_entry("/etc/passwd"), "leads outside it"),
    "a name with a NUL in it": (
        lambda: with_entry("assets/aXb").replace(b"assets/aXb", b"assets/a\0b"),
        "leads outside it",
    ),
    "an encrypted entry": (lambda: patched(APK, b"AndroidManifest.xml", 8, b"\1\0"), "encrypted"),
    "an unknown way of packing": (lambda: patched(APK, b"AndroidManifest.xml", 10, b"\x0c\0"), "do not know"),
    "a link in an APK": (lambda: link("assets/x", b"/etc/passwd", apk_files()), "symbolic link"),
    "a link for an Info.plist": (linked_info, "is a link"),
    "a link that leads out of an app": (
        lambda: link("Payload/Encore.app/x", b"../../../etc/passwd", IPA_FILES),
        "link that leads outside the app",
    ),
    "something behind the end": (lambda: signed(APK, ADA, V2) + b"PK trailing", "not where Android looks"),
    "a manifest of nothing": (in_apk(MANIFEST, b""), "manifest cannot be read"),
    "a manifest with parts of no length": (in_apk(MANIFEST, b"\3\0\x08\0" + b"\0" * 60), "no length"),
    "a manifest with two billion texts": (
        in_apk(MANIFEST, chunk(3, b"", chunk(1, struct.pack("<IIIII", 0x7FFFFFFF, 0, 0, 28, 0)))),
        "ends too early",
    ),
    "a manifest whose texts overlap": (in_apk(MANIFEST, expanding_strings()), "texts are too long"),
    "resources of nothing": (in_apk("resources.arsc", b"\2\0\x0c\0"), "no valid|cannot be read"),
    "resources whose parts have no length": (
        in_apk("resources.arsc", chunk(2, b"\0" * 4, b"\1\2\0\0\0\0\0\0")),
        "cannot be read",
    ),
    "too many permissions": (
        lambda: zipped(apk_files(permissions=[f"a.b{number}" for number in range(1500)])),
        "more permissions",
    ),
    "a signing block larger than the file": (
        lambda: insert_block(APK, b"\xff" * 8 + b"\0" * 40 + b"\xff" * 8 + b"APK Sig Block 42"),
        "signing block",
    ),
    "a signing block of two sizes": (
        lambda: insert_block(APK, b"\1" + signing_block({V2: b"\0" * 80})[1:]),
        "two lengths differ",
    ),
    "a signing block of noise": (
        lambda: insert_block(APK, signing_block({V2: random.Random(1).randbytes(200)})),
        "signing block cannot be read",
    ),
    "a signing block without a signer": (
        lambda: insert_block(APK, signing_block({V3: struct.pack("<I", 0)})),
        "names no signer",
    ),
    "a v1 signature of noise": (
        lambda: zipped(apk_files() | {"META-INF/A.SF": b"", "META-INF/A.RSA": b"\x30\x82\xff\xff" * 50}),
        "no signed message",
    ),
    "a bundle of noise": (lambda: zipped({BASE: b"\xff" * 200}), "manifest cannot be read"),
    "a plist of a billion laughs": (in_ipa(INFO, laughing_plist()), "Info.plist cannot be read"),
    "a plist nested 100,000 deep as XML": (in_ipa(INFO, deep_plist(True)), "Info.plist holds no dictionary"),
    "a plist nested 60,000 deep": (in_ipa(INFO, deep_plist(False)), "Info.plist cannot be read"),
    "a plist that holds itself": (in_ipa(INFO, self_referencing_plist()), "no valid bundle id"),
    "a plist whose objects overlap": (in_ipa(INFO, overlapping_plist()), "Info.plist cannot be read"),
    "a plist of long numbers that overlap": (in_ipa(INFO, long_number_plist()), "Info.plist cannot be read"),
    "a plist cut off": (in_ipa(INFO, b"bplist00"), "Info.plist cannot be read"),
    "a profile of noise": (
        in_ipa("Payload/Encore.app/embedded.mobileprovision", b"\x30\x80" * 20_000),
        "no signed message",
    ),
    "a profile in sixty thousand pieces": (
        in_ipa("Payload/Encore.app/embedded.mobileprovision", in_pieces(b" " * 60_000)),
        "provisioning profile cannot be read",
    ),
    "resources of 9,000 configurations": (
        in_apk("resources.arsc", resources(icons=dict.fromkeys(range(9_000), "res/mdpi/ic.png"))),
        "too many configurations",
    ),
    "a profile that never says when it expires": (
        in_ipa(
            "Payload/Encore.app/embedded.mobileprovision",
            sealed(plistlib.dumps(profile(ExpirationDate=None)), ADA),
        ),
        "when it expires",
    ),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_gives_one_sentence_and_leaves_nothing_behind(name: str, tmp_path: Path) -> None:
    make, words = HOSTILE[name]
    content = make()
    path = write(tmp_path, content)
    tracemalloc.start()
    begun = time.process_time()
    try:
        with pytest.raises(PackageError, match=words) as refused:
            read_package(path)
        memory = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 250
    assert memory < 100 << 20
    assert time.process_time() - begun < 10
    assert list(tmp_path.iterdir()) == [path]


def test_entitlements_that_hold_themselves_come_out_flat(tmp_path: Path) -> None:
    shared: list[object] = ["x"]
    for _ in range(30):
        shared = [shared, shared]
    files = dict(IPA_FILES)
    content = plistlib.dumps(profile(Entitlements={"deep": shared}), fmt=plistlib.FMT_BINARY)
    files["Payload/Encore.app/embedded.mobileprovision"] = sealed(content, ADA)
    package = read_package(write(tmp_path, zipped(files)))
    assert len(str(package.as_json())) < 200_000


def test_a_folder_a_link_and_a_missing_file_are_no_packages(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(write(tmp_path, APK))
    for name in (".", "link", "missing"):
        with pytest.raises(PackageError, match="is no file"):
            read_package(tmp_path / name)


def test_a_pipe_is_no_package(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(PackageError, match="is no file"):
        read_package(tmp_path / "pipe")


def test_a_file_over_the_limit_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="too large to offer"):
        read_package(write(tmp_path, APK), Limits(file=1000))


def _valid() -> dict[str, bytes]:
    instructions = b"Signature-Version: 1.0\r\n\r\n"
    v1 = apk_files() | {"META-INF/ADA.SF": instructions, "META-INF/ADA.RSA": ADA.jar(instructions)}
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w") as archive:
        for name, content in IPA_FILES.items():
            archive.writestr(name, content)
    plain = io.BytesIO()
    with zipfile.ZipFile(plain, "w") as archive:
        for name, content in v1.items():
            archive.writestr(name, content)
    return {
        "an APK": signed(plain.getvalue(), ADA, V2, V3),
        "an IPA": stored.getvalue(),
        "a bundle": zipped({BASE: proto_xml(manifest_tree(label="Encore", icon="x"))}),
    }


def _parts() -> dict[str, Callable[[bytes], bytes]]:
    """One part of a package around which the rest is made anew, so that its checksum fits."""
    return {
        "a manifest": lambda content: zipped(apk_files() | {MANIFEST: content}),
        "resources": lambda content: zipped(apk_files() | {"resources.arsc": content}),
        "an Info.plist": lambda content: zipped(UNPROVISIONED | {INFO: content}),
        "a profile": lambda content: zipped(
            {INFO: IPA_FILES[INFO], "Payload/Encore.app/embedded.mobileprovision": content}
        ),
        "a v1 signature": lambda content: zipped(apk_files() | {"META-INF/A.SF": b"", "META-INF/A.RSA": content}),
        "a bundle's manifest": lambda content: zipped({BASE: content}),
        "an icon": lambda content: zipped(UNPROVISIONED | {"Payload/Encore.app/AppIcon60x60@2x.png": content}),
    }


def _wholesome(part: str) -> bytes:
    files = IPA_FILES
    return {
        "a manifest": binary_xml(manifest_tree()),
        "resources": apk_files()["resources.arsc"],
        "an Info.plist": files[INFO],
        "a profile": files["Payload/Encore.app/embedded.mobileprovision"],
        "a v1 signature": ADA.jar(b"x"),
        "a bundle's manifest": proto_xml(manifest_tree(label="Encore", icon="x")),
        "an icon": files["Payload/Encore.app/AppIcon60x60@2x.png"],
    }[part]


def _spoilt(content: bytes, chance: random.Random) -> bytes:
    if chance.random() < 0.2:
        return content[: chance.randrange(len(content))]
    spoilt = bytearray(content)
    for _ in range(chance.choice((1, 1, 3, 20))):
        at = chance.randrange(len(spoilt))
        spoilt[at] = chance.choice((0, 1, 0x7F, 0xFF, chance.randrange(256), spoilt[at] ^ 1 << chance.randrange(8)))
    return bytes(spoilt)


def _reads_or_refuses(path: Path) -> None:
    before = time.process_time()
    try:
        assert isinstance(read_package(path), Package)
    except PackageError as refused:
        assert "\n" not in str(refused)
    assert time.process_time() - before < 5


@pytest.mark.parametrize("name", _valid())
def test_a_spoilt_package_is_read_or_refused_and_nothing_else(name: str, tmp_path: Path) -> None:
    content, chance = _valid()[name], random.Random(name)
    assert isinstance(read_package(write(tmp_path, content)), Package)
    for _ in range(250):
        _reads_or_refuses(write(tmp_path, _spoilt(content, chance)))


@pytest.mark.parametrize("name", _parts())
def test_a_spoilt_part_is_read_or_refused_and_nothing_else(name: str, tmp_path: Path) -> None:
    content, around, chance = _wholesome(name), _parts()[name], random.Random(name)
    assert isinstance(read_package(write(tmp_path, around(content))), Package)
    for _ in range(150):
        _reads_or_refuses(write(tmp_path, around(_spoilt(content, chance))))
