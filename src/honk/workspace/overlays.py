"""Whether the kernel lets this user put trees together in layers, or copy them for nothing.

Tried for real, because it depends on much: the kernel, the file system of Honk's home, a container around it.
"""

from __future__ import annotations

import subprocess
import tempfile
from functools import cache
from pathlib import Path

from honk.model import HonkError
from honk.workspace.bubblewrap import bwrap, isolation
from honk.workspace.layers import lay
from honk.workspace.system import system
from honk.workspace.trees import share_copy


@cache
def overlays_work(home: Path) -> bool:
    """Whether layers can be written in `home`. Tried once in a process's life."""
    return overlay_refusal(home) is None


def overlay_refusal(home: Path) -> str | None:
    """Try it: None if it works, else the reason."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home, prefix=".layers-") as name:
            lower = Path(name, "lower")
            lower.mkdir()
            (lower / "file").touch()
            layers = lay(Path(name, "over"), [lower], home, {})
            mounts = [*isolation(), *system().arguments, *layers.arguments("/tree", read_only=False)]
            tried = subprocess.run(
                [str(bwrap()), *mounts, "--chdir", "/tree", "--", "/bin/sh", "-c", "rm file && : > new"],
                env={},
                capture_output=True,
                timeout=30,
                check=False,
            )
            subprocess.run(["rm", "-rf", str(layers.work)], capture_output=True, check=False)
    except (HonkError, OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    words = tried.stderr.decode("utf-8", "replace").strip().splitlines()
    return None if tried.returncode == 0 else (words[-1] if words else "no reason given")


@cache
def sharing_works(home: Path) -> bool:
    """Whether files below `home` can be copied without their content (reflinks). Tried once in a process's life."""
    with tempfile.TemporaryDirectory(dir=home, prefix=".layers-") as name:
        source = Path(name, "source")
        source.mkdir()
        (source / "file").write_bytes(bytes(4096))
        return share_copy(source, Path(name, "copy"))
