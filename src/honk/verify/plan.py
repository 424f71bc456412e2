"""What a detector proposes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from honk.model import Checkout

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
    after: Sequence[str] = ()
    """Names of checks that leave in the tree what this one reads: builds, mostly."""


@dataclass(frozen=True)
class SetUp:
    """What has to run once in a checkout before its checks: dependencies, mostly. `path` goes in front of PATH, and may
    name $HOME."""

    command: str
    why: str
    path: str | None = None
    configured: bool = False


@dataclass(frozen=True)
class Plan:
    """The checks of a repository and what they stand on."""

    verifiers: Sequence[Verifier] = ()
    set_up: Sequence[SetUp] = ()


@dataclass(frozen=True)
class Tree:
    """A checkout as detectors look at it: the tracked files at its root, and their texts."""

    checkout: Checkout
    files: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def of(cls, checkout: Checkout) -> Tree:
        """Look at a checkout."""
        return cls(checkout, frozenset(checkout.files()))

    def text(self, path: str) -> str:
        """The file's text, or nothing if it is not there."""
        return (self.checkout.read(path) or "") if path in self.files else ""

    def first(self, *paths: str) -> str | None:
        """The first of these files that is there."""
        return next((path for path in paths if path in self.files), None)
