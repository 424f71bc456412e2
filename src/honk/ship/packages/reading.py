"""From a file that somebody built, or sent, to what is known of it."""

from __future__ import annotations

import stat
from pathlib import Path

from honk.ship.packages import aab, apk
from honk.ship.packages.archive import Archive, open_archive
from honk.ship.packages.facts import Limits, Package, PackageError
from honk.ship.packages.ipa import APP, read_ipa

ORDINARY = Limits()
"""Enough for the largest apps that stores take."""


def read_package(path: Path, limits: Limits = ORDINARY) -> Package:
    """What an APK, AAB or IPA is, by its content; the file's name does not matter.

    The file is not trusted: only the few entries that are needed are unpacked, into memory, within `limits`; nothing
    is written. Raises `PackageError` with one sentence for anything that is not a sound package, `OSError` if the
    file cannot be opened.
    """
    with open_archive(path, limits) as archive:
        apps = [match[1] for name in archive.names if (match := APP.fullmatch(name))]
        android = apk.MANIFEST in archive
        bundle = aab.MANIFEST in archive
        if len(apps) + android + bundle > 1:
            raise PackageError("This is more than one app package in one file: build them one by one.")
        if apps:
            return read_ipa(archive, apps[0])
        if android or bundle:
            _refuse_links(archive)
            return apk.read_apk(archive) if android else aab.read_aab(archive)
    raise PackageError("This is neither an APK, an AAB nor an IPA: it has no manifest and no Payload/*.app/Info.plist.")


def _refuse_links(archive: Archive) -> None:
    if any(stat.S_ISLNK(mode) for mode in archive.modes()):
        raise PackageError("The package holds a symbolic link; Android packages have none: build the package again.")
