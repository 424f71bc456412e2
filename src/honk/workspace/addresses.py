"""Which hosts a list names, and which addresses no name may lead to."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

from honk.model import UsageError


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


def is_address(host: str) -> bool:
    """True for an IP address as it is usually written."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def may_be_public(host: str) -> bool:
    """False for what is an address of a network, or this machine, by its very spelling: `10.0.0.1`, `0x7f.1`,
    `localhost`. Whoever says yes to a name has still to look at where it leads."""
    if is_address(host):
        return acceptable("", host)
    # The last label of a public name is never a number (RFC 3696, section 2), that of a number in disguise always.
    last = host.rstrip(".").rpartition(".")[2]
    return bool(last) and not last[0].isdigit() and last != "localhost"


_INTERNAL = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.168.0.0/16", "198.18.0.0/15", "240.0.0.0/4",
        # Azure's metadata and DNS, in the midst of public addresses.
        "168.63.129.16/32",
        "::/96", "64:ff9b:1::/48", "2001::/32", "fc00::/7", "fe80::/10", "fec0::/10",
    )
)  # fmt: skip
"""Where a machine, its neighbours or a cloud's metadata can be: IANA's special-purpose registries, without those for
documentation, behind which nothing of anybody's is. Of the ways to write an IPv4 address as an IPv6 one, those that
lead nowhere today (`::a.b.c.d`, Teredo) are refused whole; the others are looked into."""

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_SIX_TO_FOUR = ipaddress.ip_network("2002::/16")


def _inner(found: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that packets to this one come to: mapped, by NAT64 (RFC 6052), 6to4 (3056), ISATAP (5214)."""
    if found.ipv4_mapped:
        return found.ipv4_mapped
    if found in _NAT64 or int(found) >> 32 & 0xFDFFFFFF == 0x00005EFE:
        return ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
    return ipaddress.IPv4Address(int(found) >> 80 & 0xFFFFFFFF) if found in _SIX_TO_FOUR else None


def acceptable(host: str, address: str) -> bool:
    """False for an address inside a network, unless `host` is that address or localhost itself."""
    found: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(address)
    if isinstance(found, ipaddress.IPv6Address):
        found = _inner(found) or found
    if host == address or (host == "localhost" and found.is_loopback):
        return True
    return not (
        found.is_multicast or any(found in network for network in _INTERNAL if network.version == found.version)
    )
