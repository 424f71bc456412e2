"""The digest that APK signatures cover, in memory that does not grow with the file.

From "Integrity-protected contents" of Android's description of APK Signature Scheme v2: the entries, the central
directory and the end record are each cut into chunks of 1 MiB; each chunk's digest is taken after the byte 0xa5 and its
length, and theirs after the byte 0x5a and their number. In the end record the offset of the central directory counts
as if the signing block were not there.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from honk.ship.packages.facts import PackageError

_CHUNK = 1 << 20
_DIRECTORY_OFFSET = 16


@dataclass(frozen=True)
class Sections:
    """Where the signed parts of an APK lie: entries to `block`, the list from `directory` to `end`, the rest."""

    block: int
    directory: int
    end: int
    size: int


def content_digests(file: BinaryIO, sections: Sections, algorithms: Sequence[str]) -> dict[str, bytes]:
    """The digests by the names of `hashlib`, in one pass over the file."""
    chunks = {name: hashlib.new(name) for name in algorithms}
    count = sum(-(-length // _CHUNK) for length in _lengths(sections))
    for whole in chunks.values():
        whole.update(b"\x5a" + struct.pack("<I", count))
    for chunk in _chunks(file, sections):
        for name, whole in chunks.items():
            part = hashlib.new(name, b"\xa5" + struct.pack("<I", len(chunk)))
            part.update(chunk)
            whole.update(part.digest())
    return {name: whole.digest() for name, whole in chunks.items()}


def _lengths(sections: Sections) -> tuple[int, int, int]:
    return sections.block, sections.end - sections.directory, sections.size - sections.end


def _chunks(file: BinaryIO, sections: Sections) -> Iterator[bytes]:
    for start, end in ((0, sections.block), (sections.directory, sections.end)):
        file.seek(start)
        for at in range(start, end, _CHUNK):
            wanted = min(_CHUNK, end - at)
            chunk = file.read(wanted)
            if len(chunk) != wanted:
                raise PackageError("The package is cut off: build or upload it again.")
            yield chunk
    file.seek(sections.end)
    record = bytearray(file.read(sections.size - sections.end))
    struct.pack_into("<I", record, _DIRECTORY_OFFSET, sections.block)
    yield bytes(record)
