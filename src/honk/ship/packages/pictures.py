"""Icons from strangers as plain PNGs: only the parts that make the picture, each with its checksum looked at.

Xcode "crushes" the PNGs of an app for iPhones into a form that browsers do not show: a chunk `CgBI` in front, pixels as
BGRA with the colours multiplied by the opacity, and deflate without zlib's header. They are turned back here.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_LARGEST_SIDE = 2048
_LARGEST_CRUSHED_SIDE = 512
_BYTES_PER_PIXEL = 4


def plain_png(data: bytes) -> bytes | None:
    """The picture as an ordinary PNG, or None if it is none, broken, or larger than an icon."""
    try:
        chunks = list(_chunks(data))
        crushed = bool(chunks) and chunks[0][0] == b"CgBI"
        chunks = [(kind, content) for kind, content in chunks if kind in _KEPT]
        if not chunks or chunks[0][0] != b"IHDR" or chunks[-1][0] != b"IEND":
            return None
        width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", chunks[0][1])
        if not 0 < width <= _LARGEST_SIDE or not 0 < height <= _LARGEST_SIDE:
            return None
        if not crushed:
            return _png(chunks)
        if (depth, colour, interlaced) != (8, 6, 0) or max(width, height) > _LARGEST_CRUSHED_SIDE:
            return None
        packed = b"".join(content for kind, content in chunks if kind == b"IDAT")
        return _png([chunks[0], (b"IDAT", zlib.compress(_uncrushed(packed, width, height))), (b"IEND", b"")])
    except (ValueError, struct.error, zlib.error):
        return None


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    if not data.startswith(_SIGNATURE):
        raise ValueError("not a PNG")
    at = len(_SIGNATURE)
    kind = b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, at)
        content = data[at + 8 : at + 8 + length]
        (checksum,) = struct.unpack_from(">I", data, at + 8 + length)
        if zlib.crc32(kind + content) != checksum:
            raise ValueError("a checksum differs")
        yield kind, content
        at += 12 + length


def _png(chunks: Sequence[tuple[bytes, bytes]]) -> bytes:
    return _SIGNATURE + b"".join(
        struct.pack(">I4s", len(content), kind) + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


def _uncrushed(packed: bytes, width: int, height: int) -> bytes:
    stride = width * _BYTES_PER_PIXEL
    raw = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, height * (stride + 1))
    if len(raw) != height * (stride + 1):
        raise ValueError("too few pixels")
    above, rows = bytearray(stride), bytearray()
    for at in range(0, len(raw), stride + 1):
        above = _unfiltered(raw[at], bytearray(raw[at + 1 : at + 1 + stride]), above)
        rows += b"\0" + _straight(above)
    return bytes(rows)


def _unfiltered(kind: int, row: bytearray, above: bytearray) -> bytearray:
    """A row without its filter ("Filter types for filter method 0" of the PNG specification)."""
    for index in range(len(row)):
        left = row[index - _BYTES_PER_PIXEL] if index >= _BYTES_PER_PIXEL else 0
        corner = above[index - _BYTES_PER_PIXEL] if index >= _BYTES_PER_PIXEL else 0
        row[index] = (row[index] + _predicted(kind, left, above[index], corner)) & 0xFF
    return row


def _predicted(kind: int, left: int, up: int, corner: int) -> int:
    if kind > 4:
        raise ValueError("an unknown filter")
    if kind < 4:
        return (0, left, up, (left + up) // 2)[kind]
    guess = left + up - corner
    return min((left, up, corner), key=lambda value: abs(guess - value))


def _straight(row: bytearray) -> bytes:
    """RGBA with plain colours from BGRA with multiplied ones."""
    plain = bytearray(row)
    plain[0::4], plain[2::4] = row[2::4], row[0::4]
    for at in range(0, len(plain), _BYTES_PER_PIXEL):
        opacity = plain[at + 3]
        if 0 < opacity < 0xFF:
            for channel in range(at, at + 3):
                plain[channel] = min(0xFF, (plain[channel] * 0xFF + opacity // 2) // opacity)
    return bytes(plain)
