"""The catalogue: what it must hold to be playable."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.covers import PATTERNS

Song = Mapping[str, Any]
Songs = Sequence[Song]

MOODS = ("Bright", "Warm", "Calm", "Focus", "Night")
SCALES = ("major", "minor")
TEXTS = ("id", "title", "artist", "album", "cover", "mood")


class CatalogueError(Exception):
    """The catalogue cannot be played as it stands; the text names the song and what is wrong with it."""


@dataclass(frozen=True)
class Catalogue:
    songs: Songs
    covers: Mapping[str, Mapping[str, Any]]


def load(folder: Path) -> Catalogue:
    """Read and check `songs.json` and `covers.json`. Raises `CatalogueError`."""
    try:
        songs = json.loads((folder / "songs.json").read_text(encoding="utf-8"))["songs"]
        covers = json.loads((folder / "covers.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CatalogueError(f"the catalogue cannot be read: {error}") from error
    catalogue = Catalogue(songs, covers)
    check(catalogue)
    return catalogue


def check(catalogue: Catalogue) -> None:
    """Raise `CatalogueError` for the first thing that is wrong."""
    for name, cover in catalogue.covers.items():
        if cover.get("pattern") not in PATTERNS:
            raise CatalogueError(f"cover {name}: the pattern is one of {', '.join(sorted(PATTERNS))}")
        if len(cover.get("colours", ())) != 4 or not all(re.fullmatch("#[0-9a-f]{6}", c) for c in cover["colours"]):
            raise CatalogueError(f"cover {name}: four colours like #1b2a49 are needed")
    seen = set()
    for song in catalogue.songs:
        problem = _problem(song, catalogue.covers)
        if problem or song["id"] in seen:
            raise CatalogueError(f"song {song.get('id', '?')}: {problem or 'the id is used twice'}")
        seen.add(song["id"])
    if not seen:
        raise CatalogueError("the catalogue holds no song")


def _problem(song: Song, covers: Mapping[str, Any]) -> str | None:
    for field in TEXTS:
        if not isinstance(song.get(field), str) or not song[field].strip():
            return f"{field} is missing"
    if not re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", song["id"]):
        return "the id is lower-case words joined by hyphens"
    if song["cover"] not in covers:
        return f"there is no cover {song['cover']}"
    if song["mood"] not in MOODS:
        return f"the mood is one of {', '.join(MOODS)}"
    if not isinstance(song.get("year"), int) or not 1900 <= song["year"] <= 2100:
        return "the year is a number like 2021"
    if not isinstance(song.get("length"), int) or song["length"] <= 0:
        return "the length is a number of seconds"
    tune = song.get("tune", {})
    if not (40 <= tune.get("bpm", 0) <= 200 and 36 <= tune.get("root", 0) <= 72 and tune.get("scale") in SCALES):
        return "the tune has a bpm of 40-200, a root note of 36-72 and a scale, major or minor"
    if not song.get("story") or not all(isinstance(paragraph, str) and paragraph for paragraph in song["story"]):
        return "the story is a list of paragraphs"
    if not song.get("credits") or not all(credit.get("role") and credit.get("names") for credit in song["credits"]):
        return "each credit has a role and names"
    return None
