"""The artist's other songs."""

from src.catalogue import Song, Songs
from src.text import duration, text


def body(song: Song, songs: Songs) -> str:
    """A list to play from; empty for an artist with one song."""
    others = [other for other in songs if other["artist"] == song["artist"] and other["id"] != song["id"]]
    rows = "\n".join(_row(other) for other in others)
    return f'<ul class="rows">\n{rows}\n</ul>' if rows else ""


def _row(song: Song) -> str:
    return (
        f'<li><button class="row" data-play="{text(song["id"])}">'
        f'<img src="art/{text(song["cover"])}.svg" alt="" width="44" height="44">'
        f'<span class="row-text"><b>{text(song["title"])}</b><small>{text(song["album"])}</small></span>'
        f"<time>{duration(song['length'])}</time></button></li>"
    )
