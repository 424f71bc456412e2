"""Small APKs and bundles made in Python, so that reading them can be tried on any machine."""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

IDS = {
    "label": 0x01010001,
    "icon": 0x01010002,
    "name": 0x01010003,
    "debuggable": 0x0101000F,
    "value": 0x01010024,
    "minSdkVersion": 0x0101020C,
    "versionCode": 0x0101021B,
    "versionName": 0x0101021C,
    "targetSdkVersion": 0x01010270,
    "testOnly": 0x01010272,
    "versionCodeMajor": 0x01010576,
    "isSplitRequired": 0x01010591,
}
V2, V3, V31 = 0x7109871A, 0xF05368C0, 0x1B93AD61

Node = tuple[str, dict[str, Any], list[Any]]


class Reference(int):
    """A resource id as an attribute's value."""


LABEL, ICON = Reference(0x7F010000), Reference(0x7F020000)


def png(side: int = 48, colour: bytes = b"\xc8\x1e\x1e\xff") -> bytes:
    rows = zlib.compress(b"".join(b"\0" + colour * side for _ in range(side)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I4s", len(content), kind) + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in (
            (b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0)),
            (b"IDAT", rows),
            (b"IEND", b""),
        )
    )


def chunk(kind: int, header: bytes, body: bytes = b"") -> bytes:
    return struct.pack("<HHI", kind, 8 + len(header), 8 + len(header) + len(body)) + header + body


def string_pool(strings: Sequence[str], *, utf8: bool = True) -> bytes:
    data, offsets = b"", []
    for text in strings:
        offsets.append(len(data))
        if utf8:
            encoded = text.encode()
            data += _length(len(text)) + _length(len(encoded)) + encoded + b"\0"
        else:
            data += struct.pack("<H", len(text)) + text.encode("utf-16-le") + b"\0\0"
    data += b"\0" * (-len(data) % 4)
    table = struct.pack(f"<{len(offsets)}I", *offsets)
    header = struct.pack("<IIIII", len(strings), 0, 0x100 if utf8 else 0, 28 + len(table), 0)
    return chunk(0x0001, header, table + data)


def _length(count: int) -> bytes:
    return bytes([count]) if count < 0x80 else bytes([0x80 | count >> 8, count & 0xFF])


def binary_xml(root: Node, *, utf8: bool = True) -> bytes:
    """Compiles elements `(name, attributes, children)`; an attribute of `IDS` gets its id, `package` stays plain."""
    strings = list(IDS)
    ids = chunk(0x0180, b"", struct.pack(f"<{len(IDS)}I", *IDS.values()))

    def index(text: str) -> int:
        if text not in strings:
            strings.append(text)
        return strings.index(text)

    def typed(value: Any) -> tuple[int, int, int]:
        if isinstance(value, Reference):
            return 0xFFFFFFFF, 0x01, value
        if isinstance(value, bool):
            return 0xFFFFFFFF, 0x12, 0xFFFFFFFF if value else 0
        if isinstance(value, int):
            return 0xFFFFFFFF, 0x10, value
        return index(value), 0x03, index(value)

    def write(node: Node) -> bytes:
        name, attributes, children = node
        listed = b""
        for key, value in attributes.items():
            raw, kind, data = typed(value)
            namespace = index("http://schemas.android.com/apk/res/android") if key in IDS else 0xFFFFFFFF
            listed += struct.pack("<IIIHBBI", namespace, index(key), raw, 8, 0, kind, data)
        place = struct.pack("<II", 1, 0xFFFFFFFF)
        tag = struct.pack("<IIHHHHHH", 0xFFFFFFFF, index(name), 20, 20, len(attributes), 0, 0, 0)
        return (
            chunk(0x0102, place, tag + listed)
            + b"".join(map(write, children))
            + chunk(0x0103, place, struct.pack("<II", 0xFFFFFFFF, index(name)))
        )

    body = write(root)
    body = string_pool(strings, utf8=utf8) + ids + body
    return chunk(0x0003, b"", body)


def manifest_tree(
    *,
    package: str = "com.example.encore",
    code: int = 7,
    name: Any = "1.2.3",
    least: Any = 24,
    target: Any = 34,
    permissions: Sequence[str] = ("android.permission.INTERNET",),
    label: Any = LABEL,
    icon: Any = ICON,
    root: Mapping[str, Any] | None = None,
    application: Mapping[str, Any] | None = None,
) -> Node:
    return (
        "manifest",
        {"package": package, "versionCode": code, "versionName": name, **(root or {})},
        [
            ("uses-sdk", {"minSdkVersion": least, "targetSdkVersion": target}, []),
            *(("uses-permission", {"name": permission}, []) for permission in permissions),
            ("application", {"label": label, "icon": icon, **(application or {})}, []),
        ],
    )


def resources(label: str = "Encore", german: str = "Zugabe", icons: Mapping[int, str] | None = None) -> bytes:
    """A table with the label in two languages and the icon in some densities."""
    icons = {160: "res/mdpi/ic.png", 320: "res/xhdpi/ic.png", 0xFFFE: "res/any/ic.xml"} if icons is None else icons
    strings = [label, german, *icons.values()]

    def config(locale: bytes, density: int) -> bytes:
        return struct.pack("<IHH4sBBH", 64, 0, 0, locale.ljust(4, b"\0"), 0, 0, density) + b"\0" * 48

    def of_type(type_id: int, locale: bytes, density: int, index: int) -> bytes:
        entry = struct.pack("<HHI", 8, 0, 0) + struct.pack("<HBBI", 8, 0, 0x03, index)
        described = config(locale, density)
        header = struct.pack("<BBHII", type_id, 0, 0, 1, 20 + len(described) + 4) + described
        return chunk(0x0201, header, struct.pack("<I", 0) + entry)

    types = of_type(1, b"de", 0, 1) + of_type(1, b"", 0, 0)
    for place, density in enumerate(icons):
        types += of_type(2, b"", density, 2 + place)
    package = chunk(0x0200, struct.pack("<I256sIIIII", 0x7F, b"", 0, 0, 0, 0, 0), types)
    return chunk(0x0002, struct.pack("<I", 1), string_pool(strings, utf8=False) + package)


def apk_files(**manifest: Any) -> dict[str, bytes]:
    return {
        "AndroidManifest.xml": binary_xml(manifest_tree(**manifest)),
        "resources.arsc": resources(),
        "res/mdpi/ic.png": png(48),
        "res/xhdpi/ic.png": png(96),
    }


def zipped(files: Mapping[str, bytes]) -> bytes:
    """A zip in which `resources.arsc` is stored at a multiple of four bytes, the rest compressed."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            if name == "resources.arsc":
                entry.compress_type = zipfile.ZIP_STORED
                entry.extra = b"\0" * (-(whole.tell() + 30 + len(name)) % 4)
            archive.writestr(entry, content)
    return whole.getvalue()


ALGORITHMS = {"rsa": 0x0103, "rsa512": 0x0104, "pss": 0x0101, "ec": 0x0201}


class Signer:
    """A key and its certificate. `kind` is one of `ALGORITHMS`."""

    def __init__(self, name: str = "Ada", kind: str = "rsa") -> None:
        self.kind = kind
        self.algorithm = ALGORITHMS[kind]
        self.hashed = hashes.SHA512() if kind == "rsa512" else hashes.SHA256()
        self.key: Any = (
            ec.generate_private_key(ec.SECP256R1()) if kind == "ec" else rsa.generate_private_key(65537, 2048)
        )
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
            .not_valid_after(datetime(2050, 1, 1, tzinfo=UTC))
            .sign(self.key, hashes.SHA256())
        )
        self.der = self.certificate.public_bytes(Encoding.DER)
        self.sha256 = hashlib.sha256(self.der).hexdigest()
        self.public = self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def sign(self, data: bytes) -> bytes:
        if self.kind == "ec":
            return bytes(self.key.sign(data, ec.ECDSA(self.hashed)))
        if self.kind == "pss":
            return bytes(self.key.sign(data, padding.PSS(padding.MGF1(self.hashed), 32), self.hashed))
        return bytes(self.key.sign(data, padding.PKCS1v15(), self.hashed))

    def jar(self, instructions: bytes) -> bytes:
        from cryptography.hazmat.primitives.serialization import pkcs7

        builder = pkcs7.PKCS7SignatureBuilder().set_data(instructions)
        builder = builder.add_signer(self.certificate, self.key, hashes.SHA256())
        return builder.sign(serialization.Encoding.DER, [pkcs7.PKCS7Options.DetachedSignature])


def prefixed(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data


def _content_digest(parts: Sequence[bytes], name: str) -> bytes:
    digests = [
        hashlib.new(name, b"\xa5" + struct.pack("<I", len(piece)) + piece).digest()
        for part in parts
        for at in range(0, len(part), 1 << 20)
        for piece in [part[at : at + (1 << 20)]]
    ]
    return hashlib.new(name, b"\x5a" + struct.pack("<I", len(digests)) + b"".join(digests)).digest()


def signer_block(
    signer: Signer,
    parts: Sequence[bytes],
    *,
    versions: tuple[int, int] | None = None,
    attributes: Mapping[int, bytes] | None = None,
) -> bytes:
    digest = _content_digest(parts, signer.hashed.name)
    inside = struct.pack("<II", *versions) if versions else b""
    listed = b"".join(prefixed(struct.pack("<I", key) + value) for key, value in (attributes or {}).items())
    signed = (
        prefixed(prefixed(struct.pack("<I", signer.algorithm) + prefixed(digest)))
        + prefixed(prefixed(signer.der))
        + inside
        + prefixed(listed)
    )
    signature = prefixed(struct.pack("<I", signer.algorithm) + prefixed(signer.sign(signed)))
    return prefixed(prefixed(signed) + inside + prefixed(signature) + prefixed(signer.public))


def lineage(*certificates: bytes) -> bytes:
    """The attribute that proves a rotation, oldest first; its own signatures are left empty."""
    nodes = (
        prefixed(prefixed(prefixed(der) + struct.pack("<I", 0x0103)) + struct.pack("<II", 7, 0x0103) + prefixed(b""))
        for der in certificates
    )
    return struct.pack("<I", 1) + b"".join(nodes)


def signing_block(pairs: Mapping[int, bytes]) -> bytes:
    body = b"".join(struct.pack("<QI", len(value) + 4, key) + value for key, value in pairs.items())
    size = struct.pack("<Q", len(body) + 24)
    return size + body + size + b"APK Sig Block 42"


def insert_block(apk: bytes, block: bytes) -> bytes:
    end = apk.rfind(b"PK\x05\x06")
    (directory,) = struct.unpack_from("<I", apk, end + 16)
    moved = apk[end : end + 16] + struct.pack("<I", directory + len(block)) + apk[end + 20 :]
    return apk[:directory] + block + apk[directory:end] + moved


def sections(apk: bytes) -> list[bytes]:
    end = apk.rfind(b"PK\x05\x06")
    (directory,) = struct.unpack_from("<I", apk, end + 16)
    return [apk[:directory], apk[directory:end], apk[end:]]


def signed(apk: bytes, signer: Signer, *schemes: int, attributes: Mapping[int, bytes] | None = None) -> bytes:
    """The APK with a signing block; `attributes` go into the v3 and v3.1 signers."""
    pairs = {}
    for scheme in schemes:
        versions = None if scheme == V2 else (24, 0x7FFFFFFF)
        one = signer_block(signer, sections(apk), versions=versions, attributes=None if scheme == V2 else attributes)
        pairs[scheme] = prefixed(one)
    return insert_block(apk, signing_block(pairs))


def write(folder: Path, content: bytes, name: str = "app.apk") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def proto_field(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def proto_xml(node: Node) -> bytes:
    name, attributes, children = node
    element = proto_field(3, name.encode())
    for key, value in attributes.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        element += proto_field(
            4, proto_field(2, key.encode()) + proto_field(3, text.encode()) + proto_field(5, IDS.get(key, 0))
        )
    for child in children:
        element += proto_field(5, proto_xml(child))
    return proto_field(1, element)
