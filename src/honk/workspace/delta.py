"""What a task has beyond commits that are elsewhere, as one archive: its files, its agent's home, its own commits.

Both ways go through a sandbox, because what is read was written by an agent. Nothing in the archive depends on the
machine or on the kind of tree, so a workspace in layers may come back as a plain one, and the other way round.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from honk.git import git, git_bytes
from honk.model import Command, HonkError, Limits
from honk.settings import Settings
from honk.workspace.agent_tree import IN_TREE
from honk.workspace.bring_in import change_head
from honk.workspace.layers import Layers
from honk.workspace.sandbox import Sandbox
from honk.workspace.system import INSIDE_HOME, interpreter
from honk.workspace.trees import make_bare

_PACK = Path(__file__).with_name("pack.py")
_UNPACK = Path(__file__).with_name("unpack.py")
_SECONDS = 3600.0
_ALWAYS: list[object] = ["", "", True]
"""Of a file that is never taken to be as the commit has it."""


@dataclass(frozen=True)
class LeftOut:
    """Ignored files that were over the limit: bytes by path, the biggest first; in the home as `~/…`."""

    paths: Mapping[str, int]


@dataclass(frozen=True)
class Packed:
    """An archive's facts. `commit` is the one whose files it is told against."""

    commit: str
    left_out: LeftOut


def pack(
    settings: Settings, folder: Path, tree: Path | Layers, base: str, branch: str, archive: Path, *, unsafe: bool
) -> Packed:
    """Pack the workspace in `folder`, in which nothing runs, into the new file `archive`.

    Raises `HonkError` if it cannot be read.
    """
    head = change_head(folder, branch) or base
    with tempfile.TemporaryDirectory(dir=folder, prefix=".pack-") as name:
        place = Path(name)
        plan, binds, commit = _plan(settings, folder, tree, head, place, unsafe)
        (place / "plan.json").write_text(json.dumps(plan))
        (place / "out").mkdir()
        (place / "home").mkdir()
        readable = {
            "/honk/pack.py": _PACK,
            "/honk/plan.json": place / "plan.json",
            "/honk/pack.git": place / "pack.git",
        }
        inside = ("/honk/pack.py", "/honk/plan.json", "/honk/out/archive")
        outside = (str(_PACK), str(place / "plan.json"), str(place / "out" / "archive"))
        command = Command(
            (interpreter(), "-I", "-S", *(outside if unsafe else inside)),
            readable=readable,
            writable={"/honk/out": place / "out", **binds},
            reads_only=isinstance(tree, Layers),
            limits=Limits(seconds=_SECONDS, output=1 << 20),
        )
        done = Sandbox(settings, tree, place / "home", unsafe=unsafe).run(command)
        packed = place / "out" / "archive"
        if done.exit_code or packed.is_symlink() or not packed.is_file():
            raise HonkError(f"The workspace cannot be packed: {done.output.strip()[-600:] or done.ended_by}.")
        told = json.loads(done.output.strip().splitlines()[-1])
        packed.rename(archive)
    return Packed(commit, LeftOut(told["left_out"]))


def _plan(
    settings: Settings, folder: Path, tree: Path | Layers, head: str, place: Path, unsafe: bool
) -> tuple[dict[str, Any], dict[str, Path], str]:
    """What to pack, as `pack.py` reads it; the folders it needs, by the path they have inside; the commit."""
    binds: dict[str, Path] = {}

    def bound(path: Path) -> str:
        inside = f"/honk/packed/{len(binds)}"
        binds[inside] = path
        return str(path) if unsafe else inside

    make_bare(place / "pack.git")
    index = {"GIT_INDEX_FILE": str(place / "pack.git" / "index")}
    git("read-tree", head, directory=folder / "change.git", environment=index)
    # Over what a set-up left, the home is a layer.
    layers = {
        "home": [(bound(folder / "home"), (folder / "home-work").is_dir())],
        "change": [(bound(folder / "change.git"), False)],
    }
    plan: dict[str, Any] = {
        "git_dir": str(place / "pack.git") if unsafe else "/honk/pack.git",
        "tree": str(tree) if unsafe else "/workspace",
        "limit": settings.delta_bytes,
        "layers": layers,
        "plain": None,
    }
    if isinstance(tree, Layers):
        bases = [number for number, lower in enumerate(tree.lowers) if _base_commit(settings, lower)]
        # What a set-up made is not the agent's work, and is made again where it is wanted.
        above = [*(lower for lower in tree.lowers[bases[-1] + 1 :] if not _is_set_up(settings, lower)), tree.upper]
        layers["tree"] = [(bound(layer), True) for layer in above]
        return plan, binds, _base_commit(settings, tree.lowers[bases[-1]]) or head
    umask = os.umask(0o022)
    os.umask(umask)
    plan |= {"plain": plan["tree"], "umask": umask, "commit": _nodes(folder / "change.git", head, index)}
    return plan, binds, head


def _base_commit(settings: Settings, lower: Path) -> str | None:
    """The commit whose base a layer is, or None if it is none."""
    parts = lower.relative_to(settings.home).parts
    return parts[2] if parts[0] == "bases" else None


def _is_set_up(settings: Settings, lower: Path) -> bool:
    return lower.is_relative_to(settings.home / "setups")


def _nodes(change: Path, commit: str, index: Mapping[str, str]) -> dict[str, Any]:
    """The files of the commit, and those of a new git directory, in folders: `pack.Node`."""
    lines = git_bytes("ls-tree", "-r", "-z", "--full-tree", commit, directory=change).split(b"\0")
    listed = [
        (entry.split(), os.fsdecode(name)) for entry, _, name in (line.partition(b"\t") for line in lines if line)
    ]
    converted = _converted(change, [name for _, name in listed], index)
    root: dict[str, Any] = {}
    own = [(f".git/{name}", _ALWAYS) for name in ("HEAD", "config", "index", f"refs/heads/{IN_TREE}")]
    files = [(name, [entry[0].decode(), entry[2].decode(), name in converted]) for entry, name in listed]
    for path, node in (*own, *files):
        *folders, name = path.split("/")
        place = root
        for one in folders:
            place = place.setdefault(one, {})
        place[name] = node
    return root


def _converted(change: Path, names: list[str], index: Mapping[str, str]) -> set[str]:
    """The files that git lays out otherwise than it keeps them (gitattributes(5)), so that they cannot be compared."""
    if not any(name == ".gitattributes" or name.endswith("/.gitattributes") for name in names):
        return set()
    given = b"\0".join(map(os.fsencode, names))
    wanted = ("eol", "ident", "working-tree-encoding")
    told = git_bytes(
        *("check-attr", "--cached", "-z", "--stdin", *wanted), directory=change, environment=index, given=given
    ).split(b"\0")
    triples = zip(told[0::3], told[1::3], told[2::3], strict=False)
    return {os.fsdecode(name) for name, attribute, value in triples if value not in (b"unspecified", b"unset", b"lf")}


def unpack_change(settings: Settings, archive: Path, change: Path, *, unsafe: bool) -> None:
    """Put the packed commits into the new git directory `change`. Raises `HonkError`."""
    with tempfile.TemporaryDirectory(dir=archive.parent, prefix=".unpack-") as empty:
        sandbox = Sandbox(settings, Path(empty), Path(empty), unsafe=unsafe)
        _unpack(sandbox, archive, {"change": str(change) if unsafe else "/honk/change"}, {"/honk/change": change})


def unpack_files(settings: Settings, archive: Path, tree: Path | Layers, home: Path | Layers, *, unsafe: bool) -> None:
    """Make of `tree`, as the packed commit has it, and of the new `home` what was packed. Raises `HonkError`."""
    sandbox = Sandbox(settings, tree, home, unsafe=unsafe)
    _unpack(sandbox, archive, {"tree": sandbox.inside, "home": str(home) if unsafe else INSIDE_HOME}, {})


def _unpack(sandbox: Sandbox, archive: Path, roots: Mapping[str, str], writable: Mapping[str, Path]) -> None:
    program, packed = (str(_UNPACK), str(archive)) if sandbox.unsafe else ("/honk/unpack.py", "/honk/archive")
    done = sandbox.run(
        Command(
            (interpreter(), "-I", "-S", program, packed, *(f"{name}={place}" for name, place in roots.items())),
            readable={"/honk/unpack.py": _UNPACK, "/honk/archive": archive},
            writable=writable,
            limits=Limits(seconds=_SECONDS, output=1 << 16),
        )
    )
    if done.exit_code:
        raise HonkError(f"The workspace cannot be unpacked: {done.output.strip()[-600:] or done.ended_by}.")
