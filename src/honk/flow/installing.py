"""The packages for phones in a build: read once, and set beside what people have."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import RowMapping

from honk.flow.ports import rooms
from honk.model import Artifact, HonkError
from honk.ship.installs import Installable, InstallLinks, earlier_packages, installable, read_packages
from honk.store import PackageRow, Store


def packages_of(artifact: Artifact) -> Sequence[PackageRow]:
    """What is known of the packages in an artifact, which are read now if nobody has yet; empty where there are none
    or its files are not to be had."""
    store, builder = rooms().store, rooms().builder
    known = store.packages([artifact.sha256]).get(artifact.sha256)
    if known:
        return known
    try:
        found = read_packages(builder.path(artifact))
    except HonkError:
        return ()
    store.save_packages(artifact.sha256, found)
    return found


Told = dict[tuple[str, str], list[dict[str, Any]]]
"""By commit and kind."""


def found_packages(store: Store, rows: Sequence[RowMapping], links: InstallLinks) -> Told:
    """What the interface tells of the packages in artifacts."""
    wanted = {row["sha256"] for row in rows} | {row["compared_with"] for row in rows if row["compared_with"]}
    known = store.packages(wanted)
    https, now = links.url.startswith("https:"), datetime.now(UTC)
    return {
        (row["commit"], row["kind"]): _told(known[row["sha256"]], earlier_packages(row, known), https, now)
        for row in rows
        if row["sha256"] in known
    }


def _told(rows: Sequence[PackageRow], before: Sequence[PackageRow], https: bool, now: datetime) -> list[dict[str, Any]]:
    told = [
        {
            "file": one.file,
            "kind": one.package.kind,
            "identifier": one.package.identifier,
            "name": one.package.name,
            "version": one.package.version,
            "build": one.package.build,
            "minimum_os": one.package.minimum_os,
            "size": one.package.size,
            "warnings": [
                {"code": found.code, "text": found.text, "blocks": found.blocks}
                for found in one.warnings(https=https, now=now)
            ],
            "compared": compared(one),
        }
        for one in installable(rows, before)
    ]
    return told + [{"file": row.file, "error": row.fault} for row in rows if row.fault]


def compared(one: Installable) -> dict[str, Any] | None:
    """How a package differs from the one that people have; None if nobody has one that is known."""
    before, package = one.before, one.package
    if before is None:
        return None
    told: dict[str, Any] = {"version": before.version, "build": before.build}
    if package.android and before.android:
        theirs, ours = before.android, package.android
        told |= {
            "permissions_added": sorted(set(ours.permissions) - set(theirs.permissions)),
            "same_certificate": {one.sha256 for one in ours.signing.certificates}
            == {one.sha256 for one in theirs.signing.certificates},
            "lower_version": ours.version_code < theirs.version_code,
        }
    return told
