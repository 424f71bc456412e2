"""What a detector proposes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

PROBES = {
    "pytest": "python3 -m pytest --version",
    "mypy": "python3 -m mypy --version",
    "cargo": "cargo --version",
    "rustfmt": "rustfmt --version",
    "cargo-clippy": "cargo-clippy --version",
}
"""How to tell that a program is there where a file of that name on PATH says little: a module, or rustup's stand-in."""

Kind = Literal["format", "lint", "types", "build", "test"]
KINDS: Sequence[Kind] = ("format", "lint", "types", "build", "test")
"""In the order in which they run: what is quick to say first."""


@dataclass(frozen=True)
class Verifier:
    """One check to run: a shell line in a folder of the checkout, green when it ends with 0."""

    name: str
    command: str
    why: str
    directory: str = "."
    timeout: float = 600.0
    needs: Sequence[str] = ()
    """Programs that must be there. A detected check without them is skipped, and says so."""
    configured: bool = False
    """True when honk.yaml names it."""
    registries: bool = False
    """True when it fetches packages while it runs, as Maven and Gradle do."""
    kind: Kind | None = None
    """What it is for; None where nobody said."""
    tools: Sequence[str] = ()
    """The tools that it runs, by the names that other tools call them."""
    after: Sequence[str] = ()
    """Names of checks that leave in the tree what this one reads: builds, mostly."""


@dataclass(frozen=True)
class SetUp:
    """What has to run once in a checkout before its checks: dependencies, mostly. `path` goes in front of PATH for
    what runs in `directory` or below it, and may name $HOME."""

    command: str
    why: str
    path: str | None = None
    configured: bool = False
    directory: str = "."
    needs: Sequence[str] = ()
    """Programs without which it is not run: the checks say what is missing then."""
    brings: Sequence[str] = ()
    """Programs that are there after it."""
    apart: Sequence[str] = ()
    """Folders of other projects, whose declarations it does not read."""
    ahead: bool = False
    """True when it fetches what the checks would fetch themselves, by what is declared. Then only what it leaves in the
    home is kept, it is not run where that cannot be, and what is missing all the same the checks fetch."""
    reads: Sequence[str] = ()
    """Folders of which it may read every file, besides the declarations; of those that run ahead."""
    readable: Mapping[str, Path] = field(default_factory=dict)
    """Honk's own files that it reads, by their paths in a sandbox."""


@dataclass(frozen=True)
class LeftOut:
    """A check that was seen and is not run, with the reason in a few words."""

    name: str
    why: str


@dataclass(frozen=True)
class Plan:
    """The checks of a repository and what they stand on."""

    verifiers: Sequence[Verifier] = ()
    set_up: Sequence[SetUp] = ()
    left_out: Sequence[LeftOut] = ()
    untouched: Sequence[str] = ()
    """Projects that are left out because the change has nothing to do with them, in words."""


Members = frozenset[str]
"""Folders of projects."""


@dataclass(frozen=True)
class Workspace:
    """What is set up together: one project, or several that a build tool knows as one."""

    ecosystem: str
    directory: str
    plan: Callable[[Members | None], Plan]
    """The checks of these members; None asks for those of all, and may answer with fewer and wider ones."""
    members: Mapping[str, Members] = field(default_factory=dict)
    """The folder of each project in it, with the folders that it uses, in this workspace or elsewhere."""
    deep: bool = False
    """True where its tools look into every folder below, whatever else is there."""


def named(name: str, directory: str) -> str:
    """A check's name, with its folder where it is not the repository's own."""
    return name if directory == "." else f"{name} ({directory})"
