"""A second place for artifacts: any store that fsspec knows, one archive for each content."""

from __future__ import annotations

import shutil
import tarfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from honk.model import HonkError, UsageError

_GONE = "The artifact store does not have what was built any more; it has to be built again."
_WITH_BUCKETS = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "obs")
"""Stores without folders: asked for one, a driver would make a bucket, by whatever name was mistyped."""


class Shelf:
    """Archives at `url`/<sha256>.tar. The place belongs to one installation. Every call raises `HonkError` where the
    place cannot be reached."""

    def __init__(self, url: str) -> None:
        """Raises `UsageError` for an address that fsspec does not know or lacks a driver for."""
        import fsspec

        self._scheme = urlsplit(url).scheme or "file"
        try:
            self._files, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            told = str(error).rstrip(".")
            raise UsageError(f"HONK_ARTIFACTS_URL cannot be used: {told}. For s3://, install `honk[s3]`.") from error
        self._root: str = root.rstrip("/")

    def put(self, sha256: str, folder: Path) -> None:
        """Keep a folder. The same files make the same archive, and it is there whole or not at all."""
        with self._reached(
            f"The artifact store ({self._scheme}) has no {self._root.partition('/')[0]}: make it, or mend "
            "HONK_ARTIFACTS_URL, then tap Retry."
        ):
            if self._files.exists(self._at(sha256)):
                return
            if self._scheme not in _WITH_BUCKETS:
                self._files.makedirs(self._root, exist_ok=True)
            draft = f"{self._root}/.new-{uuid.uuid4().hex}"
            with self._files.open(draft, "wb") as out, tarfile.open(fileobj=out, mode="w|") as archive:
                for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()):
                    _add(archive, path, path.relative_to(folder).as_posix())
            self._files.mv(draft, self._at(sha256))

    def fetch(self, sha256: str, folder: Path) -> None:
        """Unpack what was kept into a folder. What it holds is for the caller to check."""
        with (
            self._reached(),
            self._files.open(self._at(sha256), "rb") as source,
            tarfile.open(fileobj=source, mode="r|") as archive,
        ):
            for member in archive:
                _unpack(archive, member, folder)

    def remove(self, sha256: str) -> None:
        """Keep it no longer."""
        with self._reached():
            if self._files.exists(self._at(sha256)):
                self._files.rm(self._at(sha256))

    def _at(self, sha256: str) -> str:
        return f"{self._root}/{sha256}.tar"

    @contextmanager
    def _reached(self, missing: str = _GONE) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise HonkError(missing) from error
        except HonkError:
            raise
        # Each driver of fsspec has exceptions of its own.
        except Exception as error:
            raise HonkError(
                f"The artifact store ({self._scheme}) failed: {type(error).__name__}: {error}. Look at "
                "HONK_ARTIFACTS_URL and its credentials, then tap Retry."
            ) from error


def _add(archive: tarfile.TarFile, path: Path, name: str) -> None:
    member = tarfile.TarInfo(name)
    status = path.stat()
    member.size = status.st_size
    member.mode = 0o755 if status.st_mode & 0o100 else 0o644
    with path.open("rb") as file:
        archive.addfile(member, file)


def _unpack(archive: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """Regular files below the folder only, whatever the archive says."""
    parts: Any = PurePosixPath(member.name).parts
    source = archive.extractfile(member) if member.isreg() else None
    if source is None or ".." in parts or member.name.startswith("/"):
        raise HonkError("An archive in the artifact store holds more than files, so it is not used.")
    target = folder.joinpath(*parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    with source, target.open("xb") as out:
        shutil.copyfileobj(source, out)
    target.chmod(member.mode & 0o755)
