"""Build the site: `python3 build.py` checks the catalogue and writes `dist/`. The same input gives the same bytes."""

import json
import os
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path
from string import Template
from typing import Any

from src import cards, covers
from src.catalogue import MOODS, Catalogue, CatalogueError, Song, load
from src.text import duration, text

HERE = Path(__file__).resolve().parent

ASSETS = ("styles.css", "sound.js", "player.js", "icon.svg")
"""The files of `src/` that are shipped as they are. Anything not listed here stays at home."""


def build(output: Path, commit: str = "", catalogue: Catalogue | None = None) -> None:
    """Write the site to `output`, which is emptied first. Raises `CatalogueError`."""
    catalogue = catalogue or load(HERE / "catalogue")
    page = render(catalogue)
    shutil.rmtree(output, ignore_errors=True)
    (output / "art").mkdir(parents=True)
    for name in ASSETS:
        shutil.copyfile(HERE / "src" / name, output / name)
    for name, cover in sorted(catalogue.covers.items()):
        _write(output / "art" / f"{name}.svg", covers.draw(name, cover))
    _write(output / "index.html", page)
    _write(output / "catalogue.json", _json({"songs": catalogue.songs}))
    needs = sorted({"index.html", "catalogue.json", *needed(page)})
    _write(output / "health.json", _json({"version": commit[:12] or "dev", "commit": commit or None, "needs": needs}))


def render(catalogue: Catalogue) -> str:
    """The page."""
    songs = catalogue.songs
    shell = Template((HERE / "src" / "page.html").read_text(encoding="utf-8"))
    data = {"songs": [_playable(song, catalogue) for song in songs]}
    return shell.substitute(
        moods="\n".join(f'<button class="chip" data-mood="{mood}">{mood}</button>' for mood in MOODS),
        shelf="\n".join(_album(song) for song in _first_of_each_album(catalogue)),
        library="\n".join(_row(song) for song in songs),
        cards="\n".join(
            f'<div class="cards" data-cards="{text(song["id"])}" hidden>\n{cards.render(song, songs)}\n</div>'
            for song in songs
        ),
        # A `<` in a title must not end the script element the data is in.
        data=json.dumps(data, ensure_ascii=False, sort_keys=True).replace("<", "\\u003c"),
    )


def needed(page: str) -> set[str]:
    """What the page loads in a browser: each relative `src`, `href` and `data-src` in it."""
    found = set()

    class Links(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            for name, value in attrs:
                if name in ("src", "href", "data-src") and value and not value.startswith(("#", "data:")):
                    found.add(value)

    Links().feed(page)
    return found


def _playable(song: Song, catalogue: Catalogue) -> dict[str, Any]:
    kept = ("id", "title", "artist", "length", "mood", "cover", "tune")
    return {name: song[name] for name in kept} | {"colours": catalogue.covers[song["cover"]]["colours"]}


def _first_of_each_album(catalogue: Catalogue) -> list[Song]:
    first: dict[str, Song] = {}
    for song in catalogue.songs:
        first.setdefault(song["album"], song)
    return list(first.values())


def _album(song: Song) -> str:
    return (
        f'<button class="album" data-album="{text(song["cover"])}">'
        f'<img src="art/{text(song["cover"])}.svg" alt="" width="132" height="132">'
        f"<b>{text(song['album'])}</b><small>{text(song['artist'])}</small></button>"
    )


def _row(song: Song) -> str:
    return (
        f'<li data-song="{text(song["id"])}" data-of="{text(song["mood"])}">'
        f'<button class="row" data-play="{text(song["id"])}">'
        f'<img src="art/{text(song["cover"])}.svg" alt="" width="48" height="48">'
        f'<span class="row-text"><b>{text(song["title"])}</b><small>{text(song["artist"])}</small></span>'
        f"<time>{duration(song['length'])}</time></button>"
        f'<button class="icon" data-next="{text(song["id"])}" aria-label="Play {text(song["title"])} next">'
        '<svg aria-hidden="true"><use href="#i-add"/></svg></button></li>'
    )


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def _write(path: Path, content: str) -> None:
    path.write_text(content, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    try:
        build(HERE / "dist", commit=os.environ.get("HONK_SHA", ""))
    except CatalogueError as problem:
        sys.exit(f"build.py: {problem}")
    print("dist/ is ready")
