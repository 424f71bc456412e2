"""The certificates that Honk trusts, read once a process: reading them for each request costs more than the request."""

from __future__ import annotations

import ssl
from functools import cache


@cache
def trusted() -> ssl.SSLContext:
    """What proves a server to be who it says: the usual authorities, or those of SSL_CERT_FILE and SSL_CERT_DIR."""
    import httpx

    return httpx.create_ssl_context()
