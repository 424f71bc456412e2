"""An address as a picture that another device's camera reads."""

from __future__ import annotations

import io


def qr_code(address: str) -> bytes:
    """A PNG, large enough to be read off a screen."""
    import segno

    out = io.BytesIO()
    segno.make(address, error="m", micro=False).save(out, kind="png", scale=8, border=4)
    return out.getvalue()
