"""The files of one web artifact over HTTP.

A path is looked up among the names that the artifact has; it is never joined to a folder. So whatever a path contains,
it finds a file of the artifact or nothing. What HTTP asks of caches and ranges is in RFC 9110.
"""

from __future__ import annotations

import gzip
import mimetypes
import os
import re
import stat
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from pathlib import Path, PurePosixPath
from urllib.parse import quote

import anyio.to_thread
from starlette.datastructures import Headers
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import Receive, Scope, Send

from honk.ship.previews.pages import plain

_SMALLEST_TO_COMPRESS = 1024
_LARGEST_TO_COMPRESS = 8_000_000
_COMPRESSED_TO_KEEP = 32_000_000
"""Bytes of compressed answers that are kept for all previews together."""

_SIBLINGS = {"br": ".br", "gzip": ".gz"}
"""Content codings, the better first, and what a build calls a file that it has compressed so."""

_ONE_RANGE = re.compile(r"\s*bytes\s*=\s*(\d{1,15}-\d{0,15}|-\d{1,15})\s*")

# Named here, because what the system's own table says differs from machine to machine.
_TYPES = {
    ".avif": "image/avif",
    ".css": "text/css",
    ".gz": "application/gzip",
    ".htm": "text/html",
    ".html": "text/html",
    ".ico": "image/vnd.microsoft.icon",
    ".js": "text/javascript",
    ".json": "application/json",
    ".map": "application/json",
    ".mjs": "text/javascript",
    ".mp4": "video/mp4",
    ".otf": "font/otf",
    ".svg": "image/svg+xml",
    ".ttf": "font/ttf",
    ".txt": "text/plain",
    ".wasm": "application/wasm",
    ".webm": "video/webm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".xml": "application/xml",
}
_TEXTS = frozenset({"application/json", "application/manifest+json", "application/xml", "image/svg+xml"})

_starlette = StaticFiles()


@dataclass(frozen=True)
class Site:
    """What an artifact holds. `version` names its content, `since` is when it was built."""

    folder: Path
    version: str
    since: datetime
    files: Mapping[str, os.stat_result] = field(repr=False)
    """By `/`-separated path below the folder: regular files only, so no link leads anywhere."""


def open_site(folder: Path, version: str, since: datetime) -> Site:
    """Read which files there are. Raises `OSError` if the folder is gone."""
    return Site(folder, version, since, dict(_files(folder)))


def _files(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    waiting = [(folder, "")]
    while waiting:
        here, prefix = waiting.pop()
        with os.scandir(here) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append((Path(entry.path), f"{prefix}{entry.name}/"))
                elif stat.S_ISREG((found := entry.stat(follow_symlinks=False)).st_mode):
                    yield f"{prefix}{entry.name}", found


async def respond(site: Site, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request, whatever is asked."""
    scope = with_one_range(scope)
    response = await _answer(site, scope)
    await response(scope, receive, send)


def with_one_range(scope: Scope) -> Scope:
    """The request without a Range header that has anything but one range of bytes: it is passed over, as RFC 9110,
    section 14.2, allows, and the whole file is the answer."""
    ranges = [value.decode("latin-1") for name, value in scope["headers"] if name == b"range"]
    if ranges and (len(ranges) > 1 or not _ONE_RANGE.fullmatch(ranges[0])):
        return {**scope, "headers": [(name, value) for name, value in scope["headers"] if name != b"range"]}
    return scope


def asks_for_page(site: Site, scope: Scope) -> bool:
    """Whether the answer is one of the site's pages."""
    if scope["method"] != "GET":
        return False
    name = _find(site, scope["path"], Headers(scope=scope))
    return name is not None and name.endswith((".html", ".htm"))


async def _answer(site: Site, scope: Scope) -> Response:
    if scope["method"] not in ("GET", "HEAD"):
        return plain(405, "Previews can be read, not written.", headers={"allow": "GET, HEAD"})
    headers = Headers(scope=scope)
    name = _find(site, scope["path"], headers)
    if name is None:
        return plain(404, "There is nothing at this address of the preview.")
    if name.endswith("/"):
        query = scope["query_string"].decode("latin-1")
        return RedirectResponse(f"/{quote(name)}" + (f"?{query}" if query else ""), status_code=308)
    return await _file(site, name, headers)


def _find(site: Site, path: str, headers: Headers) -> str | None:
    """The file that a path names; with a slash at its end, the folder whose page is meant."""
    name = path[1:]
    if name in site.files:
        return name
    if (name == "" or name.endswith("/")) and f"{name}index.html" in site.files:
        return f"{name}index.html"
    if f"{name}/index.html" in site.files:
        return f"{name}/"
    if name and f"{name}.html" in site.files:
        return f"{name}.html"
    navigates = "text/html" in headers.get("accept", "") and "." not in path.rpartition("/")[2]
    return "index.html" if navigates and "index.html" in site.files else None


async def _file(site: Site, name: str, asked: Headers) -> Response:
    kind = media_type(name)
    text = kind.startswith("text/") or kind in _TEXTS
    siblings = {coding: f"{name}{end}" for coding, end in _SIBLINGS.items() if f"{name}{end}" in site.files}
    squeezed = text and _SMALLEST_TO_COMPRESS < site.files[name].st_size <= _LARGEST_TO_COMPRESS
    offered = [coding for coding in _SIBLINGS if coding in siblings or (coding == "gzip" and squeezed)]
    # A range counts the bytes of what is sent, and those of the file itself are the ones that people mean.
    coding = (
        None
        if "range" in asked
        else next((one for one in offered if _accepts(asked.get("accept-encoding", ""), one)), None)
    )
    headers = {
        "etag": f'"{site.version}{f"-{coding}" if coding else ""}"',
        "last-modified": format_datetime(site.since, usegmt=True),
    }
    headers |= {"vary": "accept-encoding"} if offered else {}
    headers |= {"content-encoding": coding} if coding else {}
    if _starlette.is_not_modified(Headers(headers), asked):
        return NotModifiedResponse(Headers(headers))
    if coding == "gzip" and "gzip" not in siblings:
        path = site.folder / name
        content = await anyio.to_thread.run_sync(_compressed, f"{site.version}/{name}", path)
        return Response(content, headers=headers, media_type=kind)
    sent = siblings[coding] if coding else name
    return FileResponse(site.folder / sent, headers=headers, media_type=kind, stat_result=site.files[sent])


def media_type(name: str) -> str:
    """What a file is, by its name."""
    known = _TYPES.get(PurePosixPath(name).suffix.lower())
    if known:
        return known
    guessed, coding = mimetypes.guess_type(name)
    return guessed if guessed and not coding else "application/octet-stream"


def _accepts(header: str, coding: str) -> bool:
    weights = {}
    for part in header.lower().split(","):
        name, _, weight = part.partition(";")
        weights[name.strip()] = weight
    weight = weights.get(coding, weights.get("*", "q=0"))
    return re.fullmatch(r"\s*q\s*=\s*0(\.0*)?\s*", weight) is None


_kept: OrderedDict[str, bytes] = OrderedDict()
_keeping = threading.Lock()


def _compressed(key: str, path: Path) -> bytes:
    """The file as gzip. What was asked for last is kept, because artifacts never change."""
    with _keeping:
        if key in _kept:
            _kept.move_to_end(key)
            return _kept[key]
    content = gzip.compress(path.read_bytes(), compresslevel=6, mtime=0)
    with _keeping:
        _kept[key] = content
        while sum(map(len, _kept.values())) > _COMPRESSED_TO_KEEP:
            _kept.popitem(last=False)
    return content
