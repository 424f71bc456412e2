"""Releases of open-source projects, fetched by this machine's own package managers and read without being unpacked.

Nothing of an archive is run by this script. `pip` itself asks a source archive for its metadata, and runs its build
backend for that.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LARGEST = 400_000
"""Bytes of a file that is looked at."""


_BACKENDS = Path(__file__).with_name("backends")


@dataclass(frozen=True)
class Package:
    """A project and the releases to compare, the oldest first. `kind` is what fetches it: pypi, npm or debian."""

    name: str
    kind: str
    language: str
    licence: str
    versions: Sequence[str]


@dataclass(frozen=True)
class Entry:
    """A file of an archive."""

    content: bytes
    executable: bool


Tree = Mapping[str, Entry]


def release(package: Package, version: str, cache: Path) -> Tree:
    """Every file of a release that is small enough to be looked at, by its path below the archive's own folder."""
    place = cache / package.kind / re.sub(r"[^\w.-]", "_", package.name) / version
    archive = _archive(place)
    if archive is None:
        place.mkdir(parents=True, exist_ok=True)
        {"pypi": _pip, "npm": _npm, "debian": _debian}[package.kind](package, version, place, cache)
        archive = _archive(place)
    if archive is None:
        raise LookupError(f"{package.name} {version}: no source archive came")
    return _read_zip(archive) if archive.suffix == ".zip" else _read_tar(archive)


def _archive(place: Path) -> Path | None:
    found = [
        file
        for file in sorted(place.glob("*"))
        if re.search(r"\.(tar\.\w+|tgz|zip)$", file.name) and ".debian.tar." not in file.name
    ]
    return found[0] if found else None


def _run(arguments: Sequence[str], place: Path, **environment: str) -> None:
    done = subprocess.run(
        arguments, cwd=place, capture_output=True, text=True, check=False, env=os.environ | environment
    )
    if done.returncode:
        raise LookupError(f"{' '.join(arguments[:3])}: {(done.stderr or done.stdout).strip().splitlines()[-1]}")


def _pip(package: Package, version: str, place: Path, _: Path) -> None:
    name = package.name
    arguments = ["-m", "pip", "download", "-q", "--no-deps", "--no-binary", name, "-d", ".", f"{name}=={version}"]
    if package.language != "python":
        # pip asks an archive's build backend for its metadata. Ours reads it, where the real one wants a compiler.
        _run([sys.executable, *arguments, "--no-build-isolation"], place, PYTHONPATH=str(_BACKENDS))
    else:
        _run([sys.executable, *arguments], place)


def _npm(package: Package, version: str, place: Path, _: Path) -> None:
    _run(["npm", "pack", "--silent", f"{package.name}@{version}"], place)


def _debian(package: Package, version: str, place: Path, cache: Path) -> None:
    try:
        _run(["apt-get", *_apt_options(cache), "-q", "source", "--download-only", f"{package.name}={version}"], place)
    except LookupError:
        # A mirror may have what the authors released and lack what Debian adds to it.
        if _archive(place) is None:
            raise


def _apt_options(cache: Path) -> list[str]:
    """Options with which apt knows the sources of several releases of Debian, without touching this machine's lists.

    The servers are those that the machine's own lists name.
    """
    root = cache.resolve() / "apt"
    options = [
        f"-oDir::Etc::sourcelist={root}/sources.list",
        "-oDir::Etc::sourceparts=-",
        f"-oDir::State::lists={root}/lists",
        f"-oDir::Cache={root}/cache",
        "-oAPT::Sandbox::User=root",
    ]
    if not (root / "sources.list").exists():
        for folder in ("lists/partial", "cache/archives/partial"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        (root / "sources.list").write_text(_sources())
        _run(["apt-get", *options, "-q", "update"], root)
    return options


def _sources() -> str:
    told = "\n".join(
        file.read_text()
        for file in [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
        if file.is_file()
    )
    found = re.search(r"(?m)^(?:URIs:|deb(?: \[.*?\])?)\s+(\S+/debian/?)(?:\s|$)", told)
    if found is None:
        raise LookupError("apt's lists on this machine name no mirror of Debian")
    suites = ("bullseye", "bookworm", "trixie", "sid")
    return "".join(f"deb-src {found[1]} {suite} main\n" for suite in suites)


def _inner(name: str) -> str:
    return name.removeprefix("./").partition("/")[2]


def _read_tar(archive: Path) -> Tree:
    found: dict[str, Entry] = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            path = _inner(member.name)
            if path and member.isfile() and member.size <= LARGEST and (file := tar.extractfile(member)):
                found[path] = Entry(file.read(), bool(member.mode & 0o100))
    return found


def _read_zip(archive: Path) -> Tree:
    with zipfile.ZipFile(archive) as zipped:
        return {
            _inner(info.filename): Entry(zipped.read(info), False)
            for info in zipped.infolist()
            if _inner(info.filename) and not info.is_dir() and info.file_size <= LARGEST
        }


def default_cache() -> Path:
    """Where archives are kept between runs."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "honk-evals"
