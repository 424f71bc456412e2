"""Which projects a change touches: those that it changes files of, and those that use one of these."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from honk.verify.plan import Members, Workspace
from honk.verify.tree import folder, within

_PROSE = re.compile(r"\.(md|rst|adoc)$|(^|/)(LICENSE|CODEOWNERS|AUTHORS)[^/]*$", re.IGNORECASE)
"""What speaks of all projects of a repository and is read by the checks of none."""


@dataclass
class Touched:
    """What of a workspace a change touches. `members` is None for all of it; `why` says for each folder why."""

    members: Members | None = None
    why: Mapping[str, str] = field(default_factory=dict)

    @property
    def any(self) -> bool:
        """Whether there is something to check."""
        return self.members is None or bool(self.members)


@dataclass
class _Search:
    """The members that are touched so far, by the number of their workspace, each with the reason."""

    workspaces: Sequence[Workspace]
    hits: list[dict[str, str]]

    def add(self, number: int, member: str, why: str) -> None:
        """A member is touched."""
        self.hits[number].setdefault(member, why)

    def add_all(self, number: int, why: str) -> None:
        """All of a workspace is touched."""
        for member in _members(self.workspaces[number]):
            self.add(number, member, why)


def prose(path: str) -> bool:
    """Whether a file speaks to people only."""
    return bool(_PROSE.search(path))


def touched(
    workspaces: Sequence[Workspace], changed: Collection[str] | None, others: Collection[str] = ()
) -> list[Touched]:
    """For each workspace what the changed paths touch of it; everything where `changed` is None. `others` are folders
    whose files belong to something else."""
    if changed is None:
        return [Touched() for _ in workspaces]
    search = _Search(workspaces, [{} for _ in workspaces])
    places = {*others, *(place for one in workspaces for place in (one.directory, *one.members))}
    for path in sorted(changed):
        _touch(search, places, path)
    _follow(search, changed)
    return [
        Touched(None if len(hits) == len(_members(one)) else frozenset(hits), hits)
        for one, hits in zip(workspaces, search.hits, strict=True)
    ]


def _members(workspace: Workspace) -> Collection[str]:
    return workspace.members or (workspace.directory,)


def _touch(search: _Search, places: Collection[str], path: str) -> None:
    owner = folder(path)
    while owner not in places and owner != ".":
        owner = folder(owner)
    if owner not in places:
        used = (used for one in search.workspaces for uses in one.members.values() for used in uses)
        if not prose(path) and not any(within(path, one) for one in used if one != "."):
            for number in range(len(search.workspaces)):
                search.add_all(number, f"{path}, which the change touches, belongs to no project")
        return
    owning = [n for n, one in enumerate(search.workspaces) if owner in (one.directory, *one.members)]
    ecosystems = {search.workspaces[number].ecosystem for number in owning}
    for number, one in enumerate(search.workspaces):
        members = _members(one)
        if number in owning and owner == one.directory and len(members) > 1:
            if not prose(path):
                search.add_all(number, f"the change touches {path}, which they share")
        elif number in owning:
            search.add(number, owner, "the change touches it")
        elif one.deep and one.ecosystem in ecosystems and within(owner, one.directory):
            inner = max((member for member in members if within(owner, member)), key=len, default=None)
            if inner:
                search.add(number, inner, f"the change touches {owner} in it")


def _follow(search: _Search, changed: Collection[str]) -> None:
    """Add what uses what is touched, until nothing is added."""
    while True:
        folders = {member for hits in search.hits for member in hits}
        before = sum(map(len, search.hits))
        for number, one in enumerate(search.workspaces):
            for member, uses in one.members.items():
                for used in uses - {member}:
                    if used in folders or any(path == used or path.startswith(used + "/") for path in changed):
                        search.add(number, member, f"it uses {used}, which the change touches")
        if sum(map(len, search.hits)) == before:
            return
