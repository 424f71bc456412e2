"""Trees in layers: read-only ones that many share, and one on top that takes all that is written.

The kernel puts them together (overlayfs) when a sandbox is entered and takes them apart when it ends, so making such a
tree costs a few empty folders however large the repository is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from honk.workspace.system import interpreter
from honk.workspace.trees import write_files

_MONITOR = Path(__file__).with_name("fsmonitor.py")
_KEPT = "lowers.json"

MONITOR_COMMAND = f"{interpreter()} -I -S /honk/fsmonitor.py 2>/dev/null"
"""What git in a sandbox asks for the paths that may have changed. In a tree that came back without layers it fails, and
git looks by itself."""
MONITORED = 4_000
"""With so many files, asking that is quicker for git than looking at each."""
COARSE_MONITOR = (
    "cd /honk/upper 2>/dev/null || exit 1; printf 'honk\\0'; for at in * .[!.]* ..?*; do case $at in .git) ;; *) "
    'if [ -e "$at" ] || [ -L "$at" ]; then printf \'%s\\0%s/\\0\' "$at" "$at"; fi ;; esac; done; :'
)
"""The same for smaller trees, by the names at the root alone and in the shell that git starts for it in any case: git
looks below those that were written, and at nothing else. A new layer has to look each file up, so that is slow once."""


@dataclass(frozen=True)
class Layers:
    """A tree of which `lowers` (lowest first) are shared and never written; what is written lands in `upper`.

    The folder `work`, on the same file system, is the kernel's.
    """

    upper: Path
    work: Path
    lowers: Sequence[Path]

    @property
    def index(self) -> Path:
        """Git's index of the lowers, as it was when they were made."""
        return next(index for lower in reversed(self.lowers) if (index := lower / ".git" / "index").is_file())

    def arguments(self, inside: str, *, read_only: bool) -> list[str]:
        """Bubblewrap's arguments that mount the tree at `inside`.

        Two mounts of one upper layer that both write are undefined (kernel documentation, overlayfs: "sharing and
        copying layers"), so whoever comes beside a command that runs mounts all layers read-only.
        """
        arguments = [word for lower in self.lowers for word in ("--overlay-src", str(lower))]
        if read_only:
            arguments += ("--overlay-src", str(self.upper), "--ro-overlay", inside)
        else:
            arguments += ("--overlay", str(self.upper), str(self.work), inside)
        return arguments

    def monitor_arguments(self) -> list[str]:
        """Bubblewrap's arguments for what `MONITOR_COMMAND` needs."""
        return ["--ro-bind", str(_MONITOR), "/honk/fsmonitor.py", "--ro-bind", str(self.upper), "/honk/upper"]


def entries(index: Path) -> int:
    """How many files an index of git has (gitformat-index(5): the header's third word)."""
    with index.open("rb") as file:
        return int.from_bytes(file.read(12)[8:12], "big")


def monitor_alone(empty: Path) -> dict[str, Path]:
    """What monitors need in a sandbox whose tree has no layers: of the folder `empty` they tell nothing."""
    return {"/honk/fsmonitor.py": _MONITOR, "/honk/upper": empty}


def lay(folder: Path, lowers: Sequence[Path], home: Path, files: Mapping[str, str]) -> Layers:
    """Make an upper layer in the new `folder`, with `files` (their text by path). `lowers` are below Honk's `home`."""
    layers = Layers(folder / "upper", folder / "work", lowers)
    write_files(layers.upper, files)
    layers.upper.mkdir(parents=True, exist_ok=True)
    layers.work.mkdir()
    draft = folder / f".{_KEPT}"
    draft.write_text(json.dumps([str(lower.relative_to(home)) for lower in lowers]))
    draft.rename(folder / _KEPT)
    return layers


def kept_lowers(folder: Path) -> list[str]:
    """The lowers of the layers laid in `folder`, relative to Honk's home; empty if there are none."""
    try:
        lowers: list[str] = json.loads((folder / _KEPT).read_text())
    except (FileNotFoundError, NotADirectoryError):
        return []
    return lowers


def kept_layers(folder: Path, home: Path) -> Layers | None:
    """The layers laid in `folder`, or None if there are none."""
    lowers = kept_lowers(folder)
    return Layers(folder / "upper", folder / "work", [home / lower for lower in lowers]) if lowers else None
