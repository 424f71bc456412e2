"""How catalogue values become text on a page."""

import html


def text(value: object) -> str:
    """The value as HTML text or attribute value: whatever it holds, it stays text."""
    return html.escape(str(value), quote=True)


def duration(seconds: int) -> str:
    """Seconds as people read them on a player: `3:07`, `1:02:05`."""
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
