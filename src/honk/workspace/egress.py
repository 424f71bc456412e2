"""The sandbox's way to the few hosts it may reach: a proxy with an allow-list that resolves names outside."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import socket
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

from honk.model import Reach, Refusal
from honk.scratch import scratch_folder
from honk.settings import Settings
from honk.workspace.addresses import acceptable, allows, is_address, may_be_public, parse_entry
from honk.workspace.event_loop import event_loop, wait_for
from honk.workspace.greeting import UNRECOGNISED_NAME, Malformed, host_header, read_greeting

_HEAD_BYTES = 64 * 1024
_HEAD_SECONDS = 20.0
_CONNECT_SECONDS = 20.0
_CONNECTIONS = 256
"""At the same time, of one sandbox."""
_QUESTIONS = 8
"""Names looked up at the same time for one sandbox, so that it leaves the others their turn."""
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?\.?|[0-9a-f:.]{2,45}")
_SAID = {
    "not on the list": "is not on the list of hosts that may be reached: add it to `egress` in honk.yaml, or let "
    "somebody with the right to write tap Allow, if it is needed.",
    "private address": "leads to an address of a private network: only an `egress` entry with the address itself in "
    "honk.yaml of the base branch can allow that.",
    "other name": "was asked for behind the name of another host.",
    "not TLS": "is reached on port 443, where only TLS is let through.",
    "limit": "is not reached any more: this sandbox has moved as many bytes as HONK_EGRESS_BYTES allows.",
}  # fmt: skip

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Gives the addresses of a host for a port, or raises `OSError`."""
_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _resolve(host: str, port: int) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(item[4][0]) for item in found))


class _Refused(Exception):
    """The host (as the person should be told), the port and why."""

    def __init__(self, host: str, port: int, why: Refusal) -> None:
        super().__init__(host, port, why)
        self.host, self.port, self.why = host.rstrip("."), port, why


class _Over(Exception):
    """A connection has lasted, rested or carried as much as it may."""


@dataclass
class _Traffic:
    """What one connection has moved, and when it last did."""

    egress: Egress
    target: tuple[str, int]
    moved: int = 0
    last: float = field(default_factory=lambda: event_loop().time())

    def add(self, count: int) -> None:
        self.moved += count
        self.egress.moved += count
        self.last = event_loop().time()
        if self.egress.moved > self.egress.settings.egress_bytes:
            raise _Refused(*self.target, "limit")
        if self.moved > self.egress.settings.egress_connection_bytes:
            raise _Over

    async def watch(self) -> None:
        """Raises `_Over` once nothing has moved for too long."""
        idle = self.egress.settings.egress_idle_seconds
        while (left := self.last + idle - event_loop().time()) > 0:  # noqa: ASYNC110  an event a piece would cost more
            await asyncio.sleep(left)
        raise _Over


class Egress:
    """A proxy on the Unix socket `socket` for as long as its context lasts. `refused` lists who was turned away.

    `entries` are as `parse_entry` reads them, which raises `UsageError`; `reach` says what is open besides, and is
    told of what is refused. `moved` counts bytes in both directions.
    """

    def __init__(
        self,
        entries: Sequence[str],
        reach: Reach | None = None,
        settings: Settings | None = None,
        resolve: Resolve = _resolve,
    ) -> None:
        self._entries = [parse_entry(entry.strip().lower()) for entry in entries]
        self._reach = reach
        self._resolve = resolve
        self._folder = scratch_folder()
        self._connections: set[asyncio.Task[None]] = set()
        self._telling: list[asyncio.Future[None]] = []
        self.settings = settings or Settings()
        self.moved = 0
        self.refused: list[str] = []
        self.socket = self._folder / "egress"

    def __enter__(self) -> Self:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.socket))
        listener.listen(128)
        wait_for(self._open(listener))
        return self

    def __exit__(self, *_: object) -> None:
        wait_for(self._close())
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _open(self, listener: socket.socket) -> None:
        self._asking = asyncio.Semaphore(_QUESTIONS)
        self._server = await asyncio.start_unix_server(self._client, sock=listener, limit=_HEAD_BYTES)

    async def _close(self) -> None:
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, *self._telling, return_exceptions=True)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._connections) >= _CONNECTIONS:
            return writer.close()
        self._connections.add(task)
        try:
            async with asyncio.timeout(self.settings.egress_connection_seconds):
                await self._answer(reader, writer)
        except (OSError, EOFError, asyncio.LimitOverrunError, Malformed, _Over):
            pass
        finally:
            self._connections.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(_HEAD_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        method, _, rest = first.partition(" ")
        target = rest.rpartition(" ")[0]
        tunnel = method == "CONNECT"
        try:
            parts = urlsplit(f"//{target}" if tunnel else target)
            host, port = (parts.hostname or "").lower(), parts.port or (443 if tunnel else 80)
            named, length = host_header(lines), _length(lines)
        except ValueError as error:
            return await _tell(writer, "400 Bad Request", f"The request cannot be read: {error}.")
        if not _HOST.fullmatch(host) or (not tunnel and parts.scheme != "http"):
            return await _tell(writer, "400 Bad Request", "This is a proxy: ask for http://host/path or CONNECT.")
        try:
            if not tunnel and named is not None and not _same_host(named, host, port, 80):
                raise _Refused(_shown(named), port, "other name")
            upstream = await self._connect(writer, host, port)
        except _Refused as refused:
            self._note(refused)
            told = f"{refused.host}:{refused.port} {_SAID[refused.why]}"
            return await _tell(writer, "403 Forbidden", told)
        if upstream is None:
            return None
        traffic = _Traffic(self, (host, port))
        try:
            if tunnel:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await _pump(traffic, self._through_tunnel((reader, writer), upstream[1], traffic), upstream, writer)
            else:
                upstream[1].write(_plain_head(method, target, lines))
                await _pump(traffic, _body(reader, upstream[1], length, traffic), upstream, writer)
        except _Refused as refused:
            self._note(refused)
        finally:
            upstream[1].close()

    # -- who may be reached ------------------------------------------------------------------------------------------

    async def _connect(self, writer: asyncio.StreamWriter, host: str, port: int) -> _Streams | None:
        """A connection to the host, at an address that was looked at before; None if there is none and that was said.
        Raises `_Refused`."""
        if self.moved > self.settings.egress_bytes:
            raise _Refused(host, port, "limit")
        async with self._asking:
            listed = allows(self._entries, host, port) or await self._listed_late(host, port)
            if not listed and not may_be_public(host):
                raise _Refused(host, port, "private address")
            if not listed and not await self._permitted(host, port):
                raise _Refused(host, port, "not on the list")
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    found = await self._resolve(host, port)
            except (OSError, UnicodeError):
                await _tell(writer, "502 Bad Gateway", f"{host} cannot be resolved.")
                return None
        # Only a list that people wrote may name an address of a network of theirs.
        if not (addresses := [address for address in found if acceptable(host if listed else "", address)]):
            raise _Refused(host, port, "private address")
        for address in addresses:
            with contextlib.suppress(OSError):
                async with asyncio.timeout(_CONNECT_SECONDS):
                    return await asyncio.open_connection(address, port)
        await _tell(writer, "502 Bad Gateway", f"{host}:{port} cannot be reached.")
        return None

    async def _permitted(self, host: str, port: int) -> bool:
        reach = self._reach
        return reach is not None and await asyncio.to_thread(reach.permits, host.rstrip("."), port)

    async def _listed_late(self, host: str, port: int) -> bool:
        if self._reach is None:
            return False
        found = await asyncio.to_thread(self._reach.late)
        return allows([parse_entry(entry.strip().lower()) for entry in found], host, port)

    def _note(self, refused: _Refused) -> None:
        name = f"{refused.host}:{refused.port}"
        if name in self.refused:
            return
        self.refused.append(name)
        if self._reach:
            telling = asyncio.to_thread(self._reach.refused, refused.host, refused.port, refused.why)
            self._telling.append(asyncio.ensure_future(telling))

    async def _through_tunnel(self, client: _Streams, upstream: asyncio.StreamWriter, traffic: _Traffic) -> None:
        """Hand on what the client says, once its first words have shown that it talks to whom it said it would."""
        reader, writer = client
        host, port = traffic.target
        said, greeting = b"", None
        async with asyncio.timeout(_HEAD_SECONDS if port == 443 else None):
            while greeting is None:
                if not (data := await reader.read(1 << 14)):
                    break
                said += data
                greeting = read_greeting(said)
        if greeting and greeting.protocol != "tls" and port == 443:
            raise _Refused(host, port, "not TLS")
        if greeting and greeting.protocol != "other" and not _is_for(greeting.host, greeting.protocol, host, port):
            if greeting.protocol == "tls":
                writer.write(UNRECOGNISED_NAME)
            raise _Refused(_shown(greeting.host or host), port, "other name")
        if greeting:
            upstream.write(said)
            await _copy(reader, upstream, traffic)


def _is_for(named: str | None, protocol: str, host: str, port: int) -> bool:
    if named is None:
        # Nothing names a server that is asked for by its address, which is on the list itself then.
        return is_address(host)
    return named == host.rstrip(".") if protocol == "tls" else _same_host(named, host, port, port)


def _same_host(named: str, host: str, port: int, usual: int) -> bool:
    try:
        parts = urlsplit(f"//{named}")
        return ((parts.hostname or "").rstrip("."), parts.port or usual) == (host.rstrip("."), port)
    except ValueError:
        return False


def _shown(named: str) -> str:
    """A name that a client gave, as one that people can be told."""
    bare = named.rpartition(":")[0] if named.rpartition(":")[2].isdigit() else named
    return bare if _HOST.fullmatch(bare) else "a name that is none"


# -- the wire --------------------------------------------------------------------------------------------------------


async def _tell(writer: asyncio.StreamWriter, status: str, text: str) -> None:
    body = f"Honk: {text}\n".encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()


def _plain_head(method: str, target: str, lines: Sequence[str]) -> bytes:
    parts = urlsplit(target)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    own = ("connection", "proxy-connection", "proxy-authorization", "host", "keep-alive", "upgrade")
    kept = [line for line in lines if line.partition(":")[0].lower() not in own]
    host = parts.netloc.rpartition("@")[2]
    return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {host}", *kept, "Connection: close", "", ""]).encode(
        "latin-1"
    )


def _length(lines: Sequence[str]) -> int | None:
    """How many bytes the body has (RFC 9112, section 6.3), None if it comes in chunks. Raises `Malformed`."""
    headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    lengths = [value for name, value in headers if name == "content-length"]
    codings = [value.lower() for name, value in headers if name == "transfer-encoding"]
    if len(lengths) + len(codings) > 1 or codings not in ([], ["chunked"]) or not all(map(str.isdecimal, lengths)):
        raise Malformed("the length of the body is not clear")
    return None if codings else int(lengths[0]) if lengths else 0


async def _body(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, length: int | None, traffic: _Traffic
) -> None:
    """Hand on one request's body and nothing after it, which could be a request to somebody else."""
    if length is not None:
        return await _exactly(length, reader, writer, traffic)
    while True:
        line = await reader.readuntil(b"\r\n")
        writer.write(line)
        if not re.fullmatch(rb"[0-9A-Fa-f]{1,15}(;[^\r\n]*)?\r\n", line):
            raise Malformed("the body is not chunked")
        if size := int(line.partition(b";")[0], 16):
            await _exactly(size + 2, reader, writer, traffic)
            continue
        while line != b"\r\n":
            line = await reader.readuntil(b"\r\n")
            writer.write(line)
        return None


async def _exactly(count: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, traffic: _Traffic) -> None:
    while count:
        if not (data := await reader.read(min(count, 1 << 16))):
            raise EOFError
        count -= len(data)
        traffic.add(len(data))
        with contextlib.suppress(OSError):
            # It may answer before it has heard everything, and the answer is still on its way then.
            writer.write(data)
            await writer.drain()


async def _pump(
    traffic: _Traffic, going_out: Coroutine[None, None, None], upstream: _Streams, writer: asyncio.StreamWriter
) -> None:
    """Both directions, until both are at their end or one of them may not go on."""
    both = [asyncio.ensure_future(going_out), asyncio.ensure_future(_copy(upstream[0], writer, traffic))]
    watching = asyncio.ensure_future(traffic.watch())
    try:
        pending = {*both, watching}
        while not all(task.done() for task in both):
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
    finally:
        for task in (*both, watching):
            task.cancel()
        await asyncio.gather(*both, watching, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, traffic: _Traffic) -> None:
    while data := await reader.read(1 << 16):
        traffic.add(len(data))
        try:
            writer.write(data)
            await writer.drain()
        except OSError:
            # It may have answered before it heard everything, and the answer is still on its way.
            return
    with contextlib.suppress(OSError):
        if writer.can_write_eof():
            writer.write_eof()
