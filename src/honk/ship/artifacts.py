"""Built things, kept by their content: `artifacts/<sha256>/` holds files that never change once they are there."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from honk.model import Artifact, Cancelled, Checkout, Command, HonkError, Limits
from honk.repository_file import Build


def digest(folder: Path) -> tuple[str, int]:
    """The SHA-256 of a folder's content (paths and bytes, nothing else), and its size in bytes."""
    whole, size = hashlib.sha256(), 0
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()):
        content = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                content.update(chunk)
                size += len(chunk)
        whole.update(f"{path.relative_to(folder).as_posix()}\0{content.hexdigest()}\n".encode())
    return whole.hexdigest(), size


class ArtifactStore:
    """Implements the flow's `Builder` on a folder of this machine."""

    def __init__(self, home: Path, distil: Callable[[str], str]) -> None:
        self._folder = home / "artifacts"
        self._distil = distil

    def path(self, artifact: Artifact) -> Path:
        """The folder that holds the artifact's files."""
        return self._folder / artifact.sha256

    def build(
        self,
        checkout: Checkout,
        kind: str,
        build: Build,
        *,
        egress: Sequence[str],
        stop: Callable[[], bool],
        on_output: Callable[[str], None],
    ) -> Artifact:
        """Run the build and keep what it made. Raises `HonkError` with the distilled reason when it fails or makes
        nothing, `Cancelled` when `stop()` turns true."""
        command = Command(
            ("sh", "-c", build.run),
            environment={"HONK_SHA": checkout.commit, "CI": "true"},
            egress=egress,
            limits=Limits(seconds=build.timeout),
        )
        done = checkout.run(command, on_output=on_output, stop=stop)
        if done.ended_by == "cancel":
            raise Cancelled("Cancelled.")
        if done.ended_by == "time limit":
            raise HonkError(f"The build `{kind}` took longer than {build.timeout:.0f} s and was ended.")
        if done.exit_code:
            raise HonkError(f"The build `{kind}` failed (`{build.run}`):\n{self._distil(done.output)}")
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._folder, prefix=".new-") as scratch:
            files = checkout.export(build.output, Path(scratch))
            if not files:
                raise HonkError(
                    f"The build `{kind}` ran but made nothing at {build.output}: mend its command or its `output` in "
                    "honk.yaml."
                )
            sha256, size = digest(Path(scratch))
            target = self._folder / sha256
            if not target.exists():
                ready = Path(scratch).with_name(f".ready-{sha256}-{os.getpid()}")
                shutil.copytree(scratch, ready)
                try:
                    ready.rename(target)
                except OSError:
                    shutil.rmtree(ready, ignore_errors=True)
                    if not target.exists():
                        raise
        return Artifact(kind, checkout.commit, sha256, size)
