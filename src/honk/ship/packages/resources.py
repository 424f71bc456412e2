"""Android's compiled resources, as far as a label and an icon need them (`ResTable_*` in AOSP's `ResourceTypes.h`)."""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

from honk.ship.packages.binary import Reader
from honk.ship.packages.binary_xml import REFERENCE, STRING, Value
from honk.ship.packages.facts import PackageError
from honk.ship.packages.string_pool import STRING_POOL, StringPool

_TABLE = 0x0002
_PACKAGE = 0x0200
_TYPE = 0x0201
_CHUNKS = 50_000
_CONFIGURATIONS = 8_000
"""Of one type; Android's own resources have 2,208."""
_HOPS = 8
_REFERENCES = 16
_SPARSE, _OFFSETS_16 = 0x01, 0x02
_COMPLEX, _COMPACT = 0x0001, 0x0008
_NO_ENTRY = 0xFFFFFFFF


@dataclass(frozen=True)
class Configured:
    """A resource's value in one configuration. `density` in dots per inch, 0 where it does not matter."""

    value: Value
    locale: bytes
    density: int


class Resources:
    """A table of resources, indexed once; values are read when they are asked for."""

    def __init__(self, data: bytes) -> None:
        """Raises `PackageError` if the table is malformed."""
        self._what = "resources"
        self._types: dict[int, list[Reader]] = {}
        self._strings: StringPool | None = None
        self._seen = 0
        whole = Reader(data, self._what)
        if whole.number(2) != _TABLE:
            raise whole.broken()
        whole.seek(whole.number(2))
        for kind, chunk in self._chunks(whole):
            if kind == STRING_POOL and self._strings is None:
                self._strings = StringPool(chunk)
            elif kind == _PACKAGE:
                chunk.seek(2)
                header = chunk.number(2)
                chunk.seek(8)
                package = chunk.number(4) & 0xFF
                chunk.seek(header)
                for inner, part in self._chunks(chunk):
                    if inner == _TYPE:
                        part.seek(8)
                        configured = self._types.setdefault(package << 8 | part.number(1), [])
                        configured.append(part)
                        if len(configured) > _CONFIGURATIONS:
                            raise part.broken("it has too many configurations")

    def _chunks(self, within: Reader) -> Iterator[tuple[int, Reader]]:
        while within.left >= 8:
            start = within.at
            kind, header, size = within.number(2), within.number(2), within.number(4)
            self._seen += 1
            if size < max(header, 8) or self._seen > _CHUNKS:
                raise within.broken()
            within.seek(start)
            yield kind, within.part(size)

    def text(self, value: Value) -> str | None:
        """What the value says in the app's default language; None if it leads nowhere."""
        for _ in range(_HOPS):
            if value.type != REFERENCE:
                return value.text
            found = list(self._configured(value.data))
            if not found:
                return None
            value = next((one for one in found if not one.locale.strip(b"\0")), found[0]).value
        return None

    def files(self, value: Value) -> list[tuple[str, int]]:
        """The paths that a reference leads to, each with the density it is made for."""
        found: list[tuple[str, int]] = []
        waiting = [(value, 0)]
        followed = 0
        while waiting and followed < _REFERENCES:
            value, density = waiting.pop()
            if value.type == STRING and value.text:
                found.append((value.text, density))
            elif value.type == REFERENCE:
                followed += 1
                waiting.extend((one.value, one.density) for one in self._configured(value.data))
        return found

    def _configured(self, resource_id: int) -> Iterator[Configured]:
        for chunk in self._types.get(resource_id >> 16, []):
            configured = self._in_type(chunk, resource_id & 0xFFFF)
            if configured is not None:
                yield configured

    def _in_type(self, chunk: Reader, index: int) -> Configured | None:
        chunk.seek(2)
        header = chunk.number(2)
        chunk.seek(9)
        flags = chunk.number(1)
        chunk.seek(12)
        count, entries_at = chunk.number(4), chunk.number(4)
        config = bytes(chunk.part(chunk.number(4) - 4).data[:12]).ljust(12, b"\0")
        offset = _entry_offset(chunk, header, flags, count, index)
        if offset is None:
            return None
        chunk.seek(entries_at + offset)
        value = self._entry(chunk)
        return Configured(value, config[4:8], struct.unpack_from("<H", config, 10)[0]) if value else None

    def _entry(self, chunk: Reader) -> Value | None:
        size, flags, data = chunk.number(2), chunk.number(2), chunk.number(4)
        if flags & _COMPACT:
            return self._value(flags >> 8, data)
        if flags & _COMPLEX:
            return None
        chunk.seek(chunk.at - 8 + size)
        chunk.number(3)
        return self._value(chunk.number(1), chunk.number(4))

    def _value(self, kind: int, data: int) -> Value:
        if kind == STRING:
            if self._strings is None:
                raise PackageError("The package's resources hold no texts: build the package again.")
            return Value(kind, data, self._strings[data])
        return Value(kind, data)


def _entry_offset(chunk: Reader, header: int, flags: int, count: int, index: int) -> int | None:
    """Where an entry begins in its type's entries; None if the type has none of that index."""
    chunk.seek(header)
    if flags & _SPARSE:
        pairs = chunk.take(count * 4)
        at = bisect_left(range(count), index, key=lambda place: int(struct.unpack_from("<H", pairs, place * 4)[0]))
        if at == count:
            return None
        found, offset = struct.unpack_from("<HH", pairs, at * 4)
        return int(offset) * 4 if found == index else None
    if index >= count:
        return None
    if flags & _OFFSETS_16:
        (short,) = struct.unpack_from("<H", chunk.take(count * 2), index * 2)
        return None if short == 0xFFFF else int(short) * 4
    (offset,) = struct.unpack_from("<I", chunk.take(count * 4), index * 4)
    return None if offset == _NO_ENTRY else int(offset)
