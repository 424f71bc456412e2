"""Property lists from strangers, read with `plistlib` after a look at what it would have to build."""

from __future__ import annotations

import plistlib
import struct
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from xml.parsers.expat import ExpatError

from honk.ship.packages.facts import PackageError

_TRAILER = struct.Struct(">6xBBQQQ")
_OBJECTS = 100_000
_DEPTH = 8
_NODES = 5_000
_TEXT = 4_000
_MALFORMED = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError, ExpatError, EOFError)
_INTEGER, _DATA, _TEXT_UTF16, _UID, _ARRAY, _SET, _DICT = 0x1, 0x4, 0x6, 0x8, 0xA, 0xC, 0xD


def read_plist(data: bytes, what: str) -> Mapping[str, Any]:
    """The dictionary at the top. Values may be nested deep or hold themselves: walk them with care, or take `tame`.
    Raises `PackageError` if it is malformed, or of a kind that would blow up."""
    try:
        if data.startswith(b"bplist"):
            _check_binary(data)
        found = plistlib.loads(data)
    except (*_MALFORMED, struct.error) as error:
        raise PackageError(
            f"The package's {what} cannot be read (it is malformed): build the package again."
        ) from error
    if not isinstance(found, dict):
        raise PackageError(f"The package's {what} holds no dictionary: build the package again.")
    return found


def _check_binary(data: bytes) -> None:
    """`plistlib` builds each object as large as it claims to be, also where they lie over each other in the file, so
    a small file could ask for gigabytes. In an honest one all objects together are no larger than the file."""
    offset_size, reference_size, count, _, table = _TRAILER.unpack(data[-_TRAILER.size :])
    if count > _OBJECTS or not 1 <= offset_size <= 8 or not 1 <= reference_size <= 8:
        raise ValueError("too many objects")
    room = len(data)
    for index in range(count):
        at = int.from_bytes(data[table + index * offset_size : table + (index + 1) * offset_size], "big")
        room -= _object_size(data, at, reference_size)
        if room < 0:
            raise ValueError("objects overlap")


def _object_size(data: bytes, at: int, reference_size: int) -> int:
    kind, count = data[at] >> 4, data[at] & 0xF
    if kind == _INTEGER:
        return 1 + (1 << count)
    if kind < _DATA or kind == _UID:
        return 1
    if count == 0xF:
        width = 1 << (data[at + 1] & 0x3)
        count = int.from_bytes(data[at + 2 : at + 2 + width], "big")
    unit = {_TEXT_UTF16: 2, _ARRAY: reference_size, _SET: reference_size, _DICT: 2 * reference_size}.get(kind, 1)
    return 1 + count * unit


def text(found: Mapping[str, Any], *keys: str) -> str:
    """The first of the keys that holds a text with something in it."""
    return next((value for key in keys if isinstance(value := found.get(key), str) and value.strip()), "")


def texts(found: Mapping[str, Any], key: str, most: int) -> tuple[str, ...]:
    """The texts in a list."""
    values = found.get(key)
    return tuple(value for value in values[:most] if isinstance(value, str)) if isinstance(values, list) else ()


def tame(value: Any) -> Any:
    """A copy that JSON can hold: bounded in depth, number and length, without what holds itself."""
    return _tame(value, _DEPTH, [_NODES])


def _tame(value: Any, depth: int, left: list[int]) -> Any:
    left[0] -= 1
    if left[0] < 0 or depth == 0:
        return None
    if isinstance(value, dict):
        pairs = [(key, inner) for key, inner in value.items() if isinstance(key, str)]
        return {key[:_TEXT]: _tame(inner, depth - 1, left) for key, inner in pairs[:_NODES]}
    if isinstance(value, list):
        return [_tame(inner, depth - 1, left) for inner in value[:_NODES]]
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, str):
        return value[:_TEXT]
    if isinstance(value, bool) or (isinstance(value, int) and value.bit_length() <= 64):
        return value
    return value.isoformat() if isinstance(value, datetime) else None
