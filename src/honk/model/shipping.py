"""What is built from a change."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal


@dataclass(frozen=True)
class Making:
    """How an artifact was made."""

    at: datetime
    machine: str
    """The name of the machine that ran the build."""
    command: str
    seconds: float
    log: str = ""
    """What the build printed; its end, where that is long. Left out where only the rest is asked for."""


@dataclass(frozen=True)
class Artifact:
    """Something built from one commit that a person can open or install. `sha256` names its content."""

    kind: str
    """The build's name in `honk.yaml`: `web`, `android`, `ios`, or any other."""
    commit: str
    sha256: str
    size: int
    """Bytes."""
    url: str | None = None
    install_url: str | None = None
    void: bool = False
    """True once a newer commit has replaced the one this was built from."""
    making: Making | None = None
    """Set by whoever builds; the store keeps it beside the artifact's row."""


@dataclass(frozen=True)
class Trial:
    """That somebody opened or fetched what was built: on what, and no more of them than that."""

    device: str
    """As people say it: `iPhone, iOS 18`, `Pixel 8, Android 16`, `Chrome on Linux`."""
    platform: Literal["ios", "android", "desktop"]
    exact: bool = True
    """False where the browser kept the model or the version to itself."""
