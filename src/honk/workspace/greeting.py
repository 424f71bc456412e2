"""What a client says first in a tunnel: the TLS ClientHello (RFC 8446, section 4.1.2) or an HTTP request's head."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

MOST = 64 * 1024
"""Bytes within which a greeting has to be whole."""

_HANDSHAKE, _CLIENT_HELLO, _SERVER_NAME, _HOST_NAME = 22, 1, 0, 0
_RECORD = (1 << 14) + 256
_REQUEST = re.compile(rb"[A-Z]{3,16} ")
UNRECOGNISED_NAME = b"\x15\x03\x03\x00\x02\x02\x70"
"""The TLS alert for a client whose name is not served (RFC 6066, section 3)."""


@dataclass(frozen=True)
class Greeting:
    """What was said. `host` is the name that is asked for, if one is; of an encrypted ClientHello the outer one."""

    protocol: Literal["tls", "http", "other"]
    host: str | None = None


class Malformed(ValueError):
    """It begins like TLS or HTTP and is neither."""


class _More(Exception):
    """It is not whole yet."""


def read_greeting(said: bytes) -> Greeting | None:
    """What the first bytes of a connection say, or None while more are needed. Raises `Malformed`."""
    if not said:
        return None
    try:
        if said[0] == _HANDSHAKE:
            return Greeting("tls", _server_name(_hello(said)))
        return _request(said)
    except _More:
        if len(said) > MOST:
            raise Malformed("the greeting does not end") from None
        return None
    except (IndexError, UnicodeDecodeError) as error:
        raise Malformed("the greeting is broken") from error


def _request(said: bytes) -> Greeting:
    if len(said) < 17 and re.fullmatch(rb"[A-Z]+", said):
        raise _More
    if not _REQUEST.match(said):
        return Greeting("other")
    head, end, _ = said.partition(b"\r\n\r\n")
    if not end:
        raise _More
    return Greeting("http", host_header(head.decode("latin-1").split("\r\n")[1:]))


def host_header(lines: list[str]) -> str | None:
    """The one Host header's value in lower case, None without. Raises `Malformed` for several, and for lines that
    servers read differently."""
    hosts = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or name != name.strip() or re.search(r"[\r\n\0]", line):
            raise Malformed("a header is broken")
        if name.lower() == "host":
            hosts.append(value.strip().lower())
    if len(hosts) > 1:
        raise Malformed("there are several Host headers")
    return hosts[0] if hosts else None


def _hello(said: bytes) -> bytes:
    """The ClientHello's body, put together from as many records as it was cut into."""
    message, place = b"", 0
    while True:
        if len(said) < place + 5:
            raise _More
        length = int.from_bytes(said[place + 3 : place + 5])
        if said[place] != _HANDSHAKE or said[place + 1] != 3 or not 0 < length <= _RECORD:
            raise Malformed("the greeting is no ClientHello")
        message += said[place + 5 : place + 5 + length]
        if len(message) >= 4:
            if message[0] != _CLIENT_HELLO:
                raise Malformed("the greeting is no ClientHello")
            whole = 4 + int.from_bytes(message[1:4])
            if whole > MOST:
                raise Malformed("the greeting does not end")
            if len(message) >= whole:
                return message[4:whole]
        if len(said) < place + 5 + length:
            raise _More
        place += 5 + length


def _vector(body: bytes, place: int, width: int) -> tuple[bytes, int]:
    """A vector whose length is written in `width` bytes at `place`, and the place after it."""
    start = place + width
    end = start + int.from_bytes(body[place:start])
    if start > len(body) or end > len(body):
        raise Malformed("the greeting is broken")
    return body[start:end], end


def _server_name(body: bytes) -> str | None:
    place = 2 + 32
    for width in (1, 2, 1):  # session, cipher suites, compression methods
        _, place = _vector(body, place, width)
    if place == len(body):
        return None
    extensions, _ = _vector(body, place, 2)
    names, place = [], 0
    while place < len(extensions):
        kind = int.from_bytes(extensions[place : place + 2])
        content, place = _vector(extensions, place + 2, 2)
        if kind == _SERVER_NAME:
            names.append(_only_name(content))
    if len(names) > 1:
        raise Malformed("the greeting names several servers")
    return names[0] if names else None


def _only_name(content: bytes) -> str:
    listed, end = _vector(content, 0, 2)
    name, last = _vector(listed, 1, 2)
    if end != len(content) or last != len(listed) or listed[0] != _HOST_NAME:
        raise Malformed("the greeting names several servers")
    return name.decode("ascii").lower().rstrip(".")
