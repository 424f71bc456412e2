"""What the packages of an artifact are: read once after the build, kept by content, given back beside what was."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import RowMapping

from honk.ship.packages import (
    ChunkDigests,
    Device,
    Obstacle,
    Package,
    PackageError,
    chunk_digests,
    obstacles,
    package_of_json,
    read_package,
)
from honk.store import PackageRow

log = logging.getLogger("honk.ship")

_ENDINGS = frozenset({".apk", ".aab", ".ipa"})
_MOST = 20
"""Packages of one artifact that are read. A build for every device is one; one for each ABI is a handful."""
_TOLD_BEFOREHAND = frozenset({"another-app", "more-permissions"})
"""What does not block, and is said where nobody has opened the install page yet."""


@dataclass(frozen=True)
class Installable:
    """A package that can be offered. `file` is its path in the artifact, `before` the package that people have."""

    file: str
    package: Package
    digests: ChunkDigests | None = None
    before: Package | None = None

    def obstacles(self, device: Device | None, *, https: bool, now: datetime) -> list[Obstacle]:
        """What is in the way of it on that device, the blocking first."""
        return obstacles(self.package, previous=self.before, device=device, https=https, now=now)

    def warnings(self, *, https: bool, now: datetime) -> list[Obstacle]:
        """What is known to be in the way, or different, whoever installs it."""
        found = self.obstacles(None, https=https, now=now)
        if bundle := [one for one in found if one.code == "bundle"]:
            return bundle
        return [one for one in found if one.blocks or one.code in _TOLD_BEFOREHAND]

    @property
    def download_name(self) -> str:
        """What the file is called where it is saved: the app, its version and its build, in plain characters."""
        package = self.package
        parts = (package.name or package.identifier, package.version, package.build)
        words = [re.sub(r"[^\w.]+", "-", part).strip("-.") for part in parts]
        return "-".join(word for word in words if word)[:100] + f".{package.kind}"


def read_packages(folder: Path) -> list[PackageRow]:
    """Read every package in an artifact's folder. One that is broken or hostile gets a sentence, and nothing else."""
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in _ENDINGS and path.is_file() and not path.is_symlink()
    )
    return [_read(path, path.relative_to(folder).as_posix()) for path in found[:_MOST]]


def _read(path: Path, name: str) -> PackageRow:
    try:
        package = read_package(path)
        digests = chunk_digests(path) if package.kind == "ipa" else None
    except PackageError as error:
        return PackageRow(name, None, fault=str(error))
    except OSError as error:
        return PackageRow(name, None, fault=f"The package cannot be read ({error.strerror}): build it again.")
    except Exception:
        # Whatever a stranger's archive makes of the reader, the build that made it stands.
        log.warning("the package %s could not be read", name, exc_info=True)
        return PackageRow(name, None, fault="The package is broken in a way Honk does not know: build it again.")
    facts = package.as_json()
    del facts["icon"]
    kept = {"package": facts, "chunks": [digests.size, *digests.sha256s] if digests else None}
    return PackageRow(name, kept, package.icon)


def earlier_packages(row: RowMapping, known: Mapping[str, Sequence[PackageRow]]) -> Sequence[PackageRow]:
    """The packages that people have, for an artifact's row; none if they have the very same."""
    return known.get(row["compared_with"], ()) if row["compared_with"] != row["sha256"] else ()


def installable(rows: Sequence[PackageRow], before: Sequence[PackageRow] = ()) -> list[Installable]:
    """The packages that could be read, those for phones before bundles, each with the one it is an update of."""
    earlier = [(row.file, _package(row)) for row in before if row.facts]
    found = []
    for row in rows:
        if row.facts:
            package = _package(row)
            chunks = row.facts.get("chunks")
            digests = ChunkDigests(chunks[0], tuple(chunks[1:])) if chunks else None
            found.append(Installable(row.file, package, digests, _earlier(row.file, package, earlier)))
    return sorted(found, key=lambda one: (one.package.kind == "aab", one.file))


def _package(row: PackageRow) -> Package:
    facts: Mapping[str, Any] = row.facts or {}
    kept = package_of_json(facts["package"])
    return Package(**{**vars(kept), "icon": row.icon})


def _earlier(file: str, package: Package, earlier: Sequence[tuple[str, Package]]) -> Package | None:
    """The package that this one would take the place of: the same app, best in a file of the same name."""
    same_system = [(name, one) for name, one in earlier if (one.kind == "ipa") == (package.kind == "ipa")]
    fitting = sorted(
        same_system,
        key=lambda known: (known[1].identifier != package.identifier, known[1].kind != package.kind, known[0] != file),
    )
    return fitting[0][1] if fitting else None
