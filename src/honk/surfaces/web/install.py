"""The install page of an artifact, and what phones fetch from it. Whoever has its link comes in: no cookie, no token.

What is in the way of installing is said before anybody taps, as far as the visitor's browser tells what it runs on.
"""

from __future__ import annotations

import base64
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response
from sqlalchemy import RowMapping
from starlette.types import Receive, Scope, Send

from honk.flow.inbox import Inbox
from honk.model import Artifact, HonkError, Task
from honk.settings import Settings
from honk.ship import qr_code
from honk.ship.installs import Installable, Opened, earlier_packages, install_links, installable
from honk.ship.packages import Device, Obstacle, device_of, itms_url, ota_manifest, particulars
from honk.ship.previews import with_one_range
from honk.ship.visitors import ASKED, fetched_by
from honk.store import PackageRow, Store
from honk.surfaces.web.rendering import page

log = logging.getLogger("honk.web")

_MEDIA_TYPES = {
    "apk": "application/vnd.android.package-archive",
    "aab": "application/octet-stream",
    "ipa": "application/octet-stream",
}
_POLICY = "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'"
_CLOSED = {
    "content-security-policy": _POLICY,
    "referrer-policy": "no-referrer",
    "x-robots-tag": "noindex, nofollow",
    "cache-control": "no-store",
}
"""The address is the secret: nobody else is told it, and nobody keeps what is behind it."""
_FILE = _CLOSED | {"cache-control": "private, no-cache"}
_ASKING = {"accept-ch": ASKED, "critical-ch": "Sec-CH-UA-Platform-Version, Sec-CH-UA-Model", "vary": "Sec-CH-UA-Model"}
_READS = ["GET", "HEAD"]
_NUMBER = re.compile(r"[0-9]{1,11}")


class _Ended(Exception):
    """A link that leads nowhere any more; `thread` is where people go on."""

    def __init__(self, sentence: str, thread: str | None, status: int = 410) -> None:
        super().__init__(sentence)
        self.thread = thread
        self.status = status


@dataclass(frozen=True)
class _Shown:
    """An artifact whose link is good. `address` is that link."""

    task: Task
    thread: str
    artifact: Artifact
    row: RowMapping
    address: str
    until: datetime
    packages: Sequence[Installable]
    faults: Sequence[PackageRow]

    @property
    def path(self) -> str:
        """The link at whatever name the server is reached by."""
        return urlsplit(self.address).path


class _Door:
    """Looks at links, and finds what is behind them."""

    def __init__(self, store: Store, settings: Settings, folder: Callable[[Artifact], Path]) -> None:
        self._store = store
        self._settings = settings
        self._folder = folder
        self._folders: dict[str, Path] = {}

    @property
    def https(self) -> bool:
        return self._settings.url.startswith("https:")

    def open(self, opened: Opened) -> _Shown:
        """What the link is for. Raises `_Ended` with the status and sentence."""
        links, task = install_links(self._settings), self._store.find_task(opened.task_id)
        rows = [row for row in self._store.artifact_rows(opened.task_id) if links.fits(opened, row)]
        if task is None or not rows:
            raise _Ended("This link is not whole or not Honk's: take it from the task's thread again.", None, 403)
        row, thread, short = rows[0], _thread(task, self._settings.url), opened.commit[:8]
        if row["void"]:
            told = f"Version {short} is void: a newer one has taken its place, or its task was cancelled."
            raise _Ended(f"{told} Take the new link from its thread.", thread)
        if datetime.now(UTC).timestamp() > opened.until:
            remedy = "Its change was merged." if task.merged_sha else "Answer in its thread, and Honk builds it again."
            raise _Ended(f"The link to version {short} has ended. {remedy}", thread)
        known = self._store.packages({row["sha256"], row["compared_with"]} - {None}, icons=True)
        found = known.get(row["sha256"], [])
        if row["removed"] or not found:
            raise _Ended(f"What was built of version {short} is not kept any more.", thread)
        packages = installable(found, earlier_packages(row, known))
        artifact = Artifact(row["kind"], row["commit"], row["sha256"], row["size"])
        address = f"{links.address(row)}/{opened.until}-{opened.seal}"
        until = datetime.fromtimestamp(opened.until, UTC)
        return _Shown(task, thread, artifact, row, address, until, packages, [one for one in found if one.fault])

    def file(self, shown: _Shown, one: Installable) -> Path:
        """Where the package is, compared with what was built the first time it is asked for. Raises `_Ended`."""
        sha256 = shown.artifact.sha256
        known = self._folders.get(sha256)
        try:
            if known is None or not (known / one.file).is_file():
                known = self._folders[sha256] = self._folder(shown.artifact)
            place = known / one.file
            if place.is_symlink() or place.stat().st_size != one.package.size:
                raise HonkError("the file has changed")
        except (HonkError, OSError) as error:
            log.info("no package of %s: %s", sha256, error)
            told = f"What was built of version {shown.artifact.commit[:8]} is not to be had any more."
            raise _Ended(told, shown.thread) from error
        return place


class _Ranged(FileResponse):
    """A file, whole or one range of it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await super().__call__(with_one_range(scope), receive, send)


def install_routes(store: Store, inbox: Inbox, settings: Settings, folder: Callable[[Artifact], Path]) -> APIRouter:
    """`/install/…`. `folder` finds an artifact's files."""
    door = _Door(store, settings, folder)
    router = APIRouter(prefix="/install/{task_id}/{commit}/{kind}/{link}", include_in_schema=False)

    def opened(task_id: str, commit: str, kind: str, link: str) -> _Shown:
        until, _, seal = link.partition("-")
        number = int(until) if _NUMBER.fullmatch(until) else 0
        return door.open(Opened(task_id, commit, kind, number, seal))

    @router.api_route("", methods=_READS)
    def install_page(request: Request, task_id: str, commit: str, kind: str, link: str) -> Response:
        try:
            shown = opened(task_id, commit, kind, link)
        except _Ended as ended:
            return _told(ended)
        device = device_of(request.headers.get("user-agent", ""), request.headers)
        return _page(shown, device, https=door.https)

    @router.api_route("/{file}", methods=_READS)
    def part(request: Request, task_id: str, commit: str, kind: str, link: str, file: str) -> Response:
        """A package, its icon, or Apple's manifest: several times and by ranges, as phones ask for them."""
        try:
            shown = opened(task_id, commit, kind, link)
            number, _, ending = file.partition(".")
            if not _NUMBER.fullmatch(number) or int(number) >= len(shown.packages):
                raise _nothing(shown)
            response = _part(door, shown, int(number), ending)
        except _Ended as ended:
            return _told(ended)
        # iOS fetches the manifest before it asks whether to install: only the app itself is a trial.
        package = ending in _MEDIA_TYPES and request.method == "GET"
        if package and (trial := fetched_by(request.headers)):
            try:
                inbox.tried(shown.task.id, shown.artifact.commit, shown.artifact.kind, trial)
            except Exception:
                # That it cannot be put down keeps nobody from installing.
                log.warning("a trial could not be put down", exc_info=True)
        return response

    return router


def _part(door: _Door, shown: _Shown, number: int, ending: str) -> Response:
    one = shown.packages[number]
    if ending == "png" and one.package.icon:
        return Response(one.package.icon, media_type="image/png", headers=_FILE)
    if ending == "plist" and one.package.kind == "ipa" and door.https:
        icon = f"{shown.address}/{number}.png" if one.package.icon else None
        address = f"{shown.address}/{number}.ipa"
        told = ota_manifest(one.package, package_url=address, icon_url=icon, digests=one.digests)
        return Response(told, media_type="text/xml", headers=_CLOSED)
    if ending == one.package.kind:
        headers = _FILE | {"etag": f'"{shown.artifact.sha256[:32]}-{number}"'}
        media_type, name = _MEDIA_TYPES[one.package.kind], one.download_name
        return _Ranged(door.file(shown, one), media_type=media_type, filename=name, headers=headers)
    raise _nothing(shown)


def _nothing(shown: _Shown) -> _Ended:
    return _Ended("This build has no such file: go back to its page.", shown.address, 404)


def _told(ended: _Ended) -> Response:
    given = {"sentence": str(ended), "thread": ended.thread}
    return page("install_ended.html", status=ended.status, headers=_CLOSED, **given)


def _thread(task: Task, url: str) -> str:
    """Where people talk about the task: where it was asked for, if that is a page."""
    known = task.origin if task.origin and task.origin.startswith(("https://", "http://")) else None
    return known or f"{url}/tasks/{task.id}"


def _page(shown: _Shown, device: Device, *, https: bool) -> Response:
    """The page as that device sees it: the package that fits it best, and the others below."""
    now = datetime.now(UTC)
    looked = [(number, one, _in_the_way(one, device, https, now)) for number, one in enumerate(shown.packages)]
    looked.sort(key=lambda seen: (sum(found.blocks for found in seen[2]), seen[0]))
    offers = [_offer(shown, number, one, found, device, https=https) for number, one, found in looked]
    making, task = shown.row, shown.task
    return page(
        "install.html",
        headers=_CLOSED | _ASKING,
        offers=offers,
        faults=shown.faults,
        device=device,
        commit=shown.artifact.commit,
        built_at=making["built_at"],
        repository=task.repository,
        asked_by=task.person.name,
        request=task.text,
        summary=task.summary,
        thread=shown.thread,
        until=shown.until,
        qr=base64.b64encode(qr_code(shown.address)).decode(),
    )


def _in_the_way(one: Installable, device: Device, https: bool, now: datetime) -> Sequence[Obstacle]:
    """What is to be said on this device: where it cannot be this one, only that."""
    found = one.obstacles(device, https=https, now=now)
    return [obstacle for obstacle in found if obstacle.code == "wrong-device"] or found


def _offer(
    shown: _Shown, number: int, one: Installable, found: Sequence[Obstacle], device: Device, *, https: bool
) -> dict[str, Any]:
    package = one.package
    fits = device.platform == ("ios" if package.kind == "ipa" else "android")
    over_the_air = package.kind == "ipa" and https and fits
    manifest = f"{shown.address}/{number}.plist"
    blocked = any(obstacle.blocks for obstacle in found)
    return {
        "package": package,
        "file": one.file,
        "size": package.size,
        "obstacles": found,
        "particulars": list(particulars(package, one.before)),
        "blocked": blocked,
        "fits": fits,
        "installs": fits and package.kind != "aab" and (over_the_air or package.kind == "apk"),
        "elsewhere": device.platform != "desktop" and not fits,
        "url": itms_url(manifest) if over_the_air else f"{shown.path}/{number}.{package.kind}",
        "icon": f"{shown.path}/{number}.png" if package.icon else None,
    }
