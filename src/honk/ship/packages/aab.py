"""What an Android App Bundle says of itself. Its manifest is a protocol buffer (`XmlNode` in AOSP's
`tools/aapt2/Resources.proto`), of which only element names and attributes are read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from honk.ship.packages import apk
from honk.ship.packages.apk_signatures import read_jar
from honk.ship.packages.archive import Archive
from honk.ship.packages.binary import Reader
from honk.ship.packages.binary_xml import STRING, Value
from honk.ship.packages.facts import Package

MANIFEST = "base/manifest/AndroidManifest.xml"
_DEPTH = 3
_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5
# Field numbers of XmlNode, XmlElement and XmlAttribute.
_NODE_ELEMENT = 1
_ELEMENT_NAME, _ELEMENT_ATTRIBUTE, _ELEMENT_CHILD = 3, 4, 5
_ATTRIBUTE_NAME, _ATTRIBUTE_VALUE, _ATTRIBUTE_ID = 2, 3, 5
_REFERENCE = re.compile(r"@[\w.:]+/\S+")

Attributes = Mapping[int | str, str]


def read_aab(archive: Archive) -> Package:
    """The label is told only where the manifest has it itself; there is no icon. Raises `PackageError` if malformed."""
    manifest, label, version = apk.Manifest(), "", ""
    for path, attributes in _elements(Reader(archive.read(MANIFEST, archive.limits.manifest), "manifest"), ()):
        if path == ("manifest",):
            manifest.package = attributes.get("package", "")
            version = attributes.get(apk.VERSION_NAME, "")
            manifest.version_code = apk.version_code(
                _integer(attributes, apk.VERSION_CODE), _integer(attributes, apk.VERSION_CODE_MAJOR)
            )
        elif path == ("manifest", "uses-sdk"):
            manifest.min_sdk = _sdk(attributes, apk.MIN_SDK) or manifest.min_sdk
            manifest.target_sdk = _sdk(attributes, apk.TARGET_SDK) or manifest.target_sdk
        elif len(path) == 2 and path[1] in ("uses-permission", "uses-permission-sdk-23"):
            apk.add_permission(manifest, attributes.get(apk.NAME, ""))
        elif path == ("manifest", "application"):
            label = attributes.get(apk.LABEL, "")
            manifest.debuggable = attributes.get(apk.DEBUGGABLE) == "true"
            manifest.test_only = attributes.get(apk.TEST_ONLY) == "true"
    return apk.package_of(
        "aab",
        archive,
        manifest,
        name="" if _REFERENCE.fullmatch(label) else label,
        version="" if _REFERENCE.fullmatch(version) else version,
        icon=None,
        signing=read_jar(archive)[0],
    )


def _integer(attributes: Attributes, key: int) -> int | None:
    return Value(STRING, 0, attributes.get(key)).integer


def _sdk(attributes: Attributes, key: int) -> int | None:
    return apk.sdk(Value(STRING, 0, attributes.get(key)))


def _elements(node: Reader, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Attributes]]:
    for number, part in _fields(node):
        if number != _NODE_ELEMENT:
            continue
        name = ""
        attributes: dict[int | str, str] = {}
        children: list[Reader] = []
        for inner, value in _fields(part):
            if inner == _ELEMENT_NAME:
                name = _text(value)
            elif inner == _ELEMENT_ATTRIBUTE:
                attributes |= _attribute(value)
            elif inner == _ELEMENT_CHILD:
                children.append(value)
        yield (*path, name), attributes
        if len(path) + 1 < _DEPTH:
            for child in children:
                yield from _elements(child, (*path, name))


def _attribute(reader: Reader) -> dict[int | str, str]:
    name, text, resource_id = "", "", 0
    for number, value in _fields(reader):
        if number == _ATTRIBUTE_NAME:
            name = _text(value)
        elif number == _ATTRIBUTE_VALUE:
            text = _text(value)
        elif number == _ATTRIBUTE_ID:
            resource_id = int.from_bytes(value.data, "little")
    return {resource_id or name: text}


def _text(reader: Reader) -> str:
    return bytes(reader.data).decode("utf-8", "replace")


def _fields(reader: Reader) -> Iterator[tuple[int, Reader]]:
    """A message's fields by number; a plain number comes as its little-endian bytes."""
    while reader.left:
        key = _varint(reader)
        if key & 7 == _BYTES:
            yield key >> 3, reader.part(_varint(reader))
        elif key & 7 == _VARINT:
            yield key >> 3, Reader(_varint(reader).to_bytes(8, "little"), reader.what)
        elif key & 7 in (_FIXED_64, _FIXED_32):
            reader.take(8 if key & 7 == _FIXED_64 else 4)
        else:
            raise reader.broken()


def _varint(reader: Reader) -> int:
    value = 0
    for shift in range(0, 70, 7):
        byte = reader.number(1)
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF
    raise reader.broken()
