"""Every forge of an installation, and which repository lives on which."""

from __future__ import annotations

from honk.forges.github.forge import GitHubForge
from honk.forges.local import LocalForge
from honk.model import Repository


class Forges:
    """Implements the flow's `Forges`: GitHub where it is set up, this machine otherwise."""

    def __init__(self, local: LocalForge, github: GitHubForge | None) -> None:
        self.local = local
        self.github = github

    def resolve(self, address: str) -> Repository:
        """See `Forges.resolve`. What Honk knows by that name comes first, then a path here, then GitHub."""
        known = self.local.lookup(address.strip())
        if self.github is None:
            return self.local.resolve(address)
        if known:
            return (
                self.github.resolve(known.address) if self.github.owns(known.git_url) else self.local.resolve(address)
            )
        there = self.github.place_in(address)
        if self.github.owns(address.strip()) or (there and not self.local.is_here(address)):
            return self.github.resolve(address)
        return self.local.resolve(address)

    def lookup(self, name: str) -> Repository | None:
        """See `Forges.lookup`."""
        return self.local.lookup(name) or (self.github.lookup(name) if self.github else None)

    def of(self, repository: Repository) -> LocalForge | GitHubForge:
        """See `Forges.of`."""
        if self.github and self.github.owns(repository.git_url):
            return self.github
        return self.local
