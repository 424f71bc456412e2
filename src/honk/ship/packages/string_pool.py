"""The string pools of Android's binary resources (`ResStringPool_header` in AOSP's `ResourceTypes.h`)."""

from __future__ import annotations

import struct

from honk.ship.packages.binary import Reader

STRING_POOL = 0x0001
_UTF8 = 1 << 8
_DECODED_LIMIT = 8 << 20
"""Characters decoded from one pool: strings may overlap, so a small pool could claim to hold gigabytes."""


class StringPool:
    """Strings by their index, decoded when they are asked for."""

    def __init__(self, chunk: Reader) -> None:
        """`chunk` is the whole pool with its header. Raises `PackageError` if it is malformed."""
        chunk.seek(2)
        header_size = chunk.number(2)
        chunk.seek(8)
        self.count = chunk.number(4)
        chunk.number(4)
        self._utf8 = bool(chunk.number(4) & _UTF8)
        self._start = chunk.number(4)
        chunk.seek(header_size)
        self._offsets = chunk.take(self.count * 4)
        self._chunk = chunk
        self._decoded: dict[int, str] = {}
        self._budget = _DECODED_LIMIT

    def __getitem__(self, index: int) -> str:
        """Raises `PackageError` if there is no such string."""
        known = self._decoded.get(index)
        if known is not None:
            return known
        if not 0 <= index < self.count:
            raise self._chunk.broken("it names a text that it has not")
        self._chunk.seek(self._start + struct.unpack_from("<I", self._offsets, index * 4)[0])
        if self._utf8:
            self._length(1)
            text = bytes(self._chunk.take(self._length(1))).decode("utf-8", "replace")
        else:
            text = bytes(self._chunk.take(self._length(2) * 2)).decode("utf-16-le", "replace")
        self._budget -= len(text) + 1
        if self._budget < 0:
            raise self._chunk.broken("its texts are too long")
        self._decoded[index] = text
        return text

    def _length(self, unit: int) -> int:
        """A length takes one unit, or two when the first one's highest bit is set."""
        high = 1 << (8 * unit - 1)
        first = self._chunk.number(unit)
        return ((first & (high - 1)) << (8 * unit)) | self._chunk.number(unit) if first & high else first
