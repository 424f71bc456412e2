"""Built things, kept by their content: `artifacts/<sha256>/` holds files that never change once they are there.

A second place (`HONK_ARTIFACTS_URL`) may keep them too; what is missing or damaged here is then fetched from there.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from honk.model import Artifact, Cancelled, Checkout, Command, Completed, HonkError, Limits, Making
from honk.repository_file import SERVICE, Build, Preview, RepositoryFile
from honk.settings import Settings
from honk.ship.fetched import unpack
from honk.ship.retention import Policy, kept_artifacts, superfluous
from honk.ship.services import Readiness, running
from honk.ship.shelf import Shelf
from honk.store import Store

log = logging.getLogger("honk.ship")

_MOST_LOG = 200_000
"""Characters of a build's log that are kept."""
_IN_USE = 3600.0
"""Seconds. What came here more recently may belong to a build whose row is still to be written."""
_LEFT_BEHIND = 86400.0
"""Seconds after which a folder that no row knows was left behind by a process that died."""

Prepare = Callable[[Checkout, RepositoryFile, Callable[[], bool], Callable[[str], None]], Readiness]


def digest(folder: Path) -> tuple[str, int]:
    """The SHA-256 of a folder's content (paths and bytes, nothing else), and its size in bytes."""
    whole, size = hashlib.sha256(), 0
    for name, content in _contents(folder):
        whole.update(f"{name}\0{content}\n".encode())
        size += (folder / name).stat().st_size
    return whole.hexdigest(), size


def _contents(folder: Path) -> Iterator[tuple[str, str]]:
    """Each file's path below the folder and the SHA-256 of its content, sorted by path."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256")
        yield path.relative_to(folder).as_posix(), content.hexdigest()


class ArtifactStore:
    """Implements the flow's `Builder`. Processes of one machine may share the folder."""

    def __init__(self, settings: Settings, store: Store, distil: Callable[[str], str], prepare: Prepare) -> None:
        """`prepare` does a checkout's set-up until it is asked to stop, and tells what that prints."""
        self._folder = settings.home / "artifacts"
        self._store = store
        self._distil = distil
        self._prepare = prepare
        self._shelf = Shelf(settings.artifacts_url) if settings.artifacts_url else None
        self._policy = Policy(settings.artifacts_days, settings.artifacts_bytes, settings.artifacts_per_task)

    def path(self, artifact: Artifact) -> Path:
        """See `Builder.path`."""
        target = self._folder / artifact.sha256
        if _holds(target, artifact.sha256):
            return target
        name = f"`{artifact.kind}` of {artifact.commit[:8]}"
        if self._shelf is None:
            what = "are damaged" if target.exists() else "are not kept any more"
            raise HonkError(f"The files of {name} {what}; they have to be built again.")
        with self._aside() as scratch:
            self._shelf.fetch(artifact.sha256, scratch)
            if digest(scratch)[0] != artifact.sha256:
                self._shelf.remove(artifact.sha256)
                raise HonkError(
                    f"The files of {name} came back from the artifact store with another SHA-256, so they are not "
                    "used; they have to be built again."
                )
            self._place(scratch, artifact.sha256)
        return target

    def files(self, artifact: Artifact) -> dict[str, str]:
        """See `Builder.files`."""
        return dict(_contents(self.path(artifact)))

    def find(self, sha256: str) -> Path:
        """The folder with that content, as `path` gives an artifact's."""
        return self.path(Artifact("site", sha256, sha256, 0))

    def build(
        self,
        checkout: Checkout,
        kind: str,
        build: Build,
        *,
        file: RepositoryFile,
        stop: Callable[[], bool],
        on_output: Callable[[str], None],
    ) -> Artifact:
        """Run the set-up and the build, and keep what it made. Raises `HonkError` with the distilled reason when it
        fails or makes nothing, `Cancelled` when `stop()` turns true."""
        ready = self.set_up(checkout, file, stop=stop, on_output=on_output)
        command = Command(
            ("sh", "-c", ready.prefix + build.run),
            environment={"CI": "true"} | dict(ready.environment) | {"HONK_SHA": checkout.commit},
            egress=ready.egress,
            limits=Limits(seconds=build.timeout),
            nested=ready.nested,
        )
        done = checkout.run(command, on_output=on_output, stop=stop)
        self._judge(kind, build, done)
        made = Making(datetime.now(UTC), socket.gethostname(), build.run, done.seconds, done.output[-_MOST_LOG:])
        with self._aside() as scratch:
            if not checkout.export(build.output, scratch):
                raise _made_nothing(kind, build)
            return self._kept(checkout.commit, kind, scratch, made)

    @contextmanager
    def running(
        self,
        checkout: Checkout,
        file: RepositoryFile,
        *,
        stop: Callable[[], bool],
        on_output: Callable[[str], None],
    ) -> Iterator[tuple[Path, Callable[[], bool]]]:
        """See `Builder.running`."""
        if file.preview is None:
            raise HonkError("honk.yaml names no `preview` that could run.")
        ready = self.set_up(checkout, file, stop=stop, on_output=on_output)
        with running(checkout, file.preview, ready, distil=self._distil, on_output=on_output, stop=stop) as service:
            yield service.address, lambda: service.alive

    def set_up(
        self,
        checkout: Checkout,
        file: RepositoryFile,
        *,
        stop: Callable[[], bool],
        on_output: Callable[[str], None],
    ) -> Readiness:
        """See `Builder.set_up`."""
        return self._prepare(checkout, file, stop, on_output)

    def keep_service(self, commit: str, preview: Preview, reads: str, *, seconds: float) -> Artifact:
        """See `Builder.keep_service`."""
        made = Making(datetime.now(UTC), socket.gethostname(), preview.run, seconds)
        with self._aside() as scratch:
            told = {"run": preview.run, "port": preview.port, "directory": preview.directory, "reads": reads}
            (scratch / "service.json").write_text(json.dumps(told, indent=1, sort_keys=True))
            return self._kept(commit, SERVICE, scratch, made)

    def keep(
        self, commit: str, kind: str, build: Build, archives: Sequence[Path], *, seconds: float, log: str
    ) -> Artifact:
        """See `Builder.keep`. `build.output` is looked for in what the archives hold together."""
        made = Making(datetime.now(UTC), build.on or "", build.run, seconds, log[-_MOST_LOG:])
        with self._aside() as unpacked, self._aside() as scratch:
            unpack(archives, unpacked)
            for match in unpacked.glob(build.output):
                if match.is_dir():
                    shutil.copytree(match, scratch, dirs_exist_ok=True)
                else:
                    shutil.copy(match, scratch / match.name)
            if not any(scratch.iterdir()):
                raise _made_nothing(kind, build)
            return self._kept(commit, kind, scratch, made)

    def _kept(self, commit: str, kind: str, scratch: Path, made: Making) -> Artifact:
        sha256, size = digest(scratch)
        if self._shelf:
            self._shelf.put(sha256, scratch)
        self._place(scratch, sha256)
        return Artifact(kind, commit, sha256, size, making=made)

    def _judge(self, kind: str, build: Build, done: Completed) -> None:
        if done.ended_by == "cancel":
            raise Cancelled("Cancelled.")
        if done.ended_by == "time limit":
            raise HonkError(f"The build `{kind}` took longer than {build.timeout:.0f} s and was ended.")
        if done.excess:
            raise HonkError(f"The build `{kind}` (`{build.run}`) did not end by itself. {done.excess.sentence}")
        if done.exit_code:
            raise HonkError(f"The build `{kind}` failed (`{build.run}`):\n{self._distil(done.output)}")

    def collect(self) -> Collection[str]:
        """See `Builder.collect`. What an open card offers, and what production runs or would go back to, stays."""
        with self._locked(fcntl.LOCK_EX):
            kept = kept_artifacts(self._store)
            gone = superfluous(kept, self._policy, datetime.now(UTC))
            self._store.remove_artifacts(one.key for one in gone)
            wanted = {one.sha256 for one in set(kept) - set(gone)}
            for sha256 in {one.sha256 for one in gone} - wanted:
                if _rested(self._folder / sha256) > _IN_USE:
                    self._discard(sha256)
            for path in self._folder.iterdir():
                if path.is_dir() and path.name not in wanted and _rested(path) > _LEFT_BEHIND:
                    self._discard(path.name)
        return {one.key[0] for one in gone}

    def _discard(self, name: str) -> None:
        """Remove a folder here and its archive there. Where that fails the folder stays, and reminds the next time."""
        try:
            if self._shelf and not name.startswith("."):
                self._shelf.remove(name)
        except HonkError as error:
            log.warning("%s is kept for another day: %s", name, error)
            return
        _remove(self._folder / name)

    def _place(self, scratch: Path, sha256: str) -> None:
        """Make a folder of that content be the artifact, at once or not at all."""
        target = self._folder / sha256
        with self._locked(fcntl.LOCK_SH):
            os.utime(scratch)
            if not _holds(target, sha256):
                if target.exists():
                    _remove(target)
                try:
                    scratch.rename(target)
                except OSError:
                    # Another process may have been first with the same.
                    if not _holds(target, sha256):
                        raise
            os.utime(target)

    @contextmanager
    def _aside(self) -> Iterator[Path]:
        self._folder.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=self._folder, prefix=".new-"))
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    @contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / ".lock").open("a") as lock:
            fcntl.flock(lock, how)
            yield


def _made_nothing(kind: str, build: Build) -> HonkError:
    return HonkError(
        f"The build `{kind}` ran but made nothing at {build.output}: mend its command or its `output` in honk.yaml."
    )


def _holds(folder: Path, sha256: str) -> bool:
    try:
        return folder.is_dir() and digest(folder)[0] == sha256
    except OSError:
        return False


def _rested(path: Path) -> float:
    """Seconds since the folder was put where it is; without end if it is not there."""
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return float("inf")


def _remove(folder: Path) -> None:
    """Take a folder away at once, then piece by piece, so that nobody finds a part of it."""
    aside = folder.with_name(f".old-{folder.name}-{os.getpid()}")
    try:
        folder.rename(aside)
    except OSError:
        aside = folder
    shutil.rmtree(aside, ignore_errors=True)
