"""Which addresses the services can reach."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from honk.settings import Settings


def public_address(settings: Settings) -> str:
    """HONK_PUBLIC_URL without a trailing slash, if others on the internet could reach it by https; else empty."""
    address = (settings.public_url or "").rstrip("/")
    return address if address.lower().startswith("https://") and domain_of(address) else ""


def domain_of(address: str) -> str:
    """The address's host, if it is a name that the internet may know; else empty."""
    host = urlsplit(address).hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host if "." in host and not host.endswith((".local", ".localhost", ".internal")) else ""
    return ""
