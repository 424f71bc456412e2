"""The sandbox's way to the few hosts it may reach: a proxy with an allow-list that resolves names outside."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from honk.model import UsageError

_HEAD_BYTES = 64 * 1024
_CONNECT_SECONDS = 20.0


def parse_entry(entry: str) -> tuple[str, int]:
    """`host`, `host:port`, `[address]:port` or `*.domain` as host and port (443 by default). Raises `UsageError`."""
    try:
        parts = urlsplit(f"//{entry}" if entry.count(":") < 2 or entry.startswith("[") else f"//[{entry}]")
        host, port = parts.hostname, parts.port or 443
    except ValueError:
        host, port = None, 0
    if not host or parts.path or parts.username or (host.count("*") and not host.startswith("*.")):
        raise UsageError(f"The egress entry {entry!r} must be `host`, `host:port` or `*.domain`.")
    return host.rstrip("."), port


def allows(entries: Sequence[tuple[str, int]], host: str, port: int) -> bool:
    """True if an entry names this host, or a domain above it, at this port."""
    host = host.lower().rstrip(".")
    return any(
        port == allowed_port and (host == allowed or (allowed.startswith("*.") and host.endswith(allowed[1:])))
        for allowed, allowed_port in entries
    )


_INTERNAL = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.168.0.0/16", "198.18.0.0/15", "240.0.0.0/4",
        "::/127", "64:ff9b:1::/48", "fc00::/7", "fe80::/10", "fec0::/10",
    )
)  # fmt: skip
"""Where a machine, its neighbours or a cloud's metadata can be: IANA's special-purpose registries, without those for
documentation, behind which nothing of anybody's is."""


def acceptable(host: str, address: str) -> bool:
    """False for an address inside a network, unless `host` is that address or localhost itself."""
    found = ipaddress.ip_address(address)
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    if host == address or (host == "localhost" and found.is_loopback):
        return True
    return not (
        found.is_multicast or any(found in network for network in _INTERNAL if network.version == found.version)
    )


class Egress:
    """A proxy on the Unix socket `socket` for as long as its context lasts. `refused` lists who was turned away.

    `entries` are as `parse_entry` reads them; `on_refused` is called with each refused `host:port`.
    """

    def __init__(self, entries: Sequence[str], on_refused: Callable[[str], None] | None = None) -> None:
        self._entries = [parse_entry(entry.strip().lower()) for entry in entries]
        self._on_refused = on_refused
        self._folder = Path(tempfile.mkdtemp(prefix="honk-"))
        self._loop = asyncio.new_event_loop()
        self._running = threading.Event()
        self.refused: list[str] = []
        self.socket = self._folder / "egress"

    def __enter__(self) -> Self:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.socket))
        listener.listen(128)
        self._thread = threading.Thread(target=self._serve, args=(listener,), name="honk-egress", daemon=True)
        self._thread.start()
        self._running.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _serve(self, listener: socket.socket) -> None:
        loop = self._loop
        asyncio.set_event_loop(loop)
        server = loop.run_until_complete(asyncio.start_unix_server(self._client, sock=listener, limit=_HEAD_BYTES))
        self._running.set()
        try:
            loop.run_forever()
        finally:
            server.close()
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            loop.close()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            await self._answer(reader, writer)
        with contextlib.suppress(OSError):
            writer.close()
            await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        first, _, headers = head.decode("latin-1").partition("\r\n")
        method, _, rest = first.partition(" ")
        target = rest.rpartition(" ")[0]
        tunnel = method == "CONNECT"
        try:
            parts = urlsplit(f"//{target}" if tunnel else target)
            host, port = (parts.hostname or "").lower(), parts.port or (443 if tunnel else 80)
        except ValueError:
            host, port = "", 0
        if not host or (not tunnel and parts.scheme != "http"):
            return await _tell(writer, "400 Bad Request", "This is a proxy: ask for http://host/path or CONNECT.")
        if not allows(self._entries, host, port):
            return await self._refuse(writer, host, port, "is not on the list of hosts that may be reached")
        try:
            addresses = await self._resolve(host, port)
        except OSError:
            return await _tell(writer, "502 Bad Gateway", f"{host} cannot be resolved.")
        if not addresses:
            return await self._refuse(writer, host, port, "resolves to an address of a private network")
        try:
            upstream = await _connect(addresses, port)
        except (OSError, TimeoutError):
            return await _tell(writer, "502 Bad Gateway", f"{host}:{port} cannot be reached.")
        if tunnel:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            upstream[1].write(_plain_head(method, target, headers))
        await _pump(reader, writer, *upstream)

    async def _resolve(self, host: str, port: int) -> list[str]:
        found = await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = dict.fromkeys(str(item[4][0]) for item in found)
        return [address for address in addresses if acceptable(host, address)]

    async def _refuse(self, writer: asyncio.StreamWriter, host: str, port: int, why: str) -> None:
        name = f"{host}:{port}"
        if name not in self.refused:
            self.refused.append(name)
            if self._on_refused:
                self._on_refused(name)
        await _tell(writer, "403 Forbidden", f"{name} {why}: add it to `egress` in honk.yaml if it is needed.")


async def _tell(writer: asyncio.StreamWriter, status: str, text: str) -> None:
    body = f"Honk: {text}\n".encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()


async def _connect(addresses: Sequence[str], port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    for last, address in enumerate(addresses, 1 - len(addresses)):
        try:
            return await asyncio.wait_for(asyncio.open_connection(address, port), _CONNECT_SECONDS)
        except (OSError, TimeoutError):
            if last == 0:
                raise
    raise OSError("no address")


def _plain_head(method: str, target: str, headers: str) -> bytes:
    parts = urlsplit(target)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    kept = [
        line
        for line in headers.split("\r\n")
        if line and line.partition(":")[0].strip().lower() not in ("connection", "proxy-connection", "host")
    ]
    host = parts.netloc.rpartition("@")[2]
    return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {host}", *kept, "Connection: close", "", ""]).encode(
        "latin-1"
    )


async def _pump(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    upstream_reader: asyncio.StreamReader,
    upstream_writer: asyncio.StreamWriter,
) -> None:
    try:
        await asyncio.gather(_copy(reader, upstream_writer), _copy(upstream_reader, writer))
    finally:
        upstream_writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1 << 16):
            try:
                writer.write(data)
                await writer.drain()
            except OSError:
                # It may have answered before it heard everything, and the answer is still on its way.
                return
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        writer.close()
