"""Android's compiled XML, element by element (`ResXMLTree_*` in AOSP's `ResourceTypes.h`).

Attributes are found by their resource id, as Android does: tools that make packages smaller take the names away.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from honk.ship.packages.binary import Reader
from honk.ship.packages.string_pool import STRING_POOL, StringPool

_XML = 0x0003
_RESOURCE_MAP = 0x0180
_START_ELEMENT = 0x0102
_END_ELEMENT = 0x0103
_NOTHING = 0xFFFFFFFF
_ATTRIBUTE = struct.Struct("<IIIHBBI")

REFERENCE = 0x01
STRING = 0x03
BOOLEAN = 0x12
_INTEGERS = range(0x10, 0x20)


@dataclass(frozen=True)
class Value:
    """A typed value. `data` is a resource id for a reference."""

    type: int
    data: int
    text: str | None = None

    @property
    def integer(self) -> int | None:
        if self.type in _INTEGERS:
            return self.data
        return int(self.text) if self.text and self.text.isdecimal() and len(self.text) < 10 else None

    @property
    def true(self) -> bool:
        return self.data != 0 if self.type in _INTEGERS else self.text == "true"


@dataclass(frozen=True)
class Element:
    """A start tag. `path` names the elements around it and itself, at most four of them."""

    path: tuple[str, ...]
    depth: int
    _attributes: Reader
    _attribute_size: int
    _strings: StringPool
    _ids: memoryview

    def attribute(self, resource_id: int) -> Value | None:
        """The attribute with this resource id."""
        for _, name, raw, kind, data in self._all():
            if name * 4 + 4 <= len(self._ids) and struct.unpack_from("<I", self._ids, name * 4)[0] == resource_id:
                return self._value(raw, kind, data)
        return None

    def plain(self, wanted: str) -> Value | None:
        """The attribute of this name that has no namespace."""
        for namespace, name, raw, kind, data in self._all():
            if namespace == _NOTHING and self._strings[name] == wanted:
                return self._value(raw, kind, data)
        return None

    def _all(self) -> Iterator[tuple[int, int, int, int, int]]:
        for at in range(0, len(self._attributes.data), self._attribute_size):
            namespace, name, raw, _, _, kind, data = _ATTRIBUTE.unpack_from(self._attributes.data, at)
            yield namespace, name, raw, kind, data

    def _value(self, raw: int, kind: int, data: int) -> Value:
        text = self._strings[data] if kind == STRING else self._strings[raw] if raw != _NOTHING else None
        return Value(kind, data, text)


def elements(data: bytes, what: str) -> Iterator[Element]:
    """The start tags of a compiled XML file, in order. Raises `PackageError` where it is malformed."""
    whole = Reader(data, what)
    if whole.number(2) != _XML:
        raise whole.broken("it is not in Android's compiled form")
    whole.seek(whole.number(2))
    strings: StringPool | None = None
    ids = memoryview(b"")
    depth, path = 0, [""] * 4
    while whole.left >= 8:
        start = whole.at
        kind, header, size = whole.number(2), whole.number(2), whole.number(4)
        if size < max(header, 8):
            raise whole.broken("a part of it has no length")
        whole.seek(start)
        chunk = whole.part(size)
        if kind == STRING_POOL and strings is None:
            strings = StringPool(chunk)
        elif kind == _RESOURCE_MAP:
            chunk.seek(header)
            ids = chunk.take(chunk.left)
        elif kind == _END_ELEMENT:
            depth -= 1
        elif kind == _START_ELEMENT:
            if strings is None:
                raise whole.broken("its texts are missing")
            name, attributes, attribute_size = _start_tag(chunk, header)
            if 0 <= depth < len(path):
                path[depth] = strings[name]
            depth += 1
            if depth <= len(path):
                yield Element(tuple(path[:depth]), depth, attributes, attribute_size, strings, ids)


def _start_tag(chunk: Reader, header: int) -> tuple[int, Reader, int]:
    chunk.seek(header)
    chunk.number(4)
    name = chunk.number(4)
    start, size, count = chunk.number(2), chunk.number(2), chunk.number(2)
    if count and size < _ATTRIBUTE.size:
        raise chunk.broken("an attribute is too short")
    chunk.seek(header + start)
    return name, chunk.part(size * count), max(size, 1)
