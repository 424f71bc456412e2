"""What stands around a change: which files the repository has, and what those of them say that decide what is run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from honk.model import ChangedFile, Standing
from honk.verify.tamper.modules import known_module

_ASKED = re.compile(
    r"(^|/)(honk\.yaml|pyproject\.toml|setup\.(py|cfg)|\.?pytest\.(ini|toml)|tox\.ini|package\.json"
    r"|\.?mypy\.ini|\.?ruff\.toml|pyrightconfig\.json|\.flake8|\.coveragerc"
    r"|(jest|vite|vitest|ava)\.(config|workspace)\.\w+|\.mocharc[^/]*|GNUmakefile|[Mm]akefile|\.?[Jj]ustfile"
    r"|gradle-wrapper\.(jar|properties)|maven-wrapper\.(jar|properties)|gradlew(\.bat)?|mvnw(\.cmd)?)$"
)
"""Of a change in one of these it is asked what stands around it; of a module with a name that Python knows, too."""
_READ = re.compile(
    r"(^|/)(honk\.yaml|pyproject\.toml|setup\.(py|cfg)|\.?pytest\.(ini|toml)|tox\.ini|noxfile\.py|manage\.py"
    r"|\.?mypy\.ini|\.?ruff\.toml|pyrightconfig\.json|\.flake8|\.coveragerc"
    r"|requirements[\w.-]*\.txt|package\.json|(jest|vite|vitest|ava)\.config\.\w+|\.mocharc[^/]*"
    r"|(gradle|maven)-wrapper\.properties|GNUmakefile|[Mm]akefile|\.?[Jj]ustfile)$"
)
"""What is read where it stands as it stood."""
_NOT_OURS = re.compile(r"(^|/)(node_modules|vendor|third_party|site-packages|\.?venv)/")
_MOST = 2_000
"""Files that are read."""
_LONGEST = 64 * 1024


@dataclass(frozen=True)
class Around:
    """Every path after the change, and the texts of settings that it leaves as they were. Where nobody could say,
    it is not `known`, and there are no more paths than the change has."""

    paths: Sequence[str] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    known: bool = False


def around(changed: Sequence[ChangedFile], standing: Standing | None) -> Around:
    """What has to be known of what stands around a change; nothing is looked up that its files do not ask for."""
    if standing is None or not any(_asks(one) for one in changed):
        return Around()
    paths = standing.files()
    ours = {path for one in changed for path in (one.path, one.old_path)}
    wanted = [path for path in paths if path not in ours and _READ.search(path) and not _NOT_OURS.search(path)]
    # What lies near the root says the most.
    wanted = sorted(wanted, key=lambda path: (path.count("/"), path))[:_MOST]
    return Around(paths, dict(standing.texts(wanted, _LONGEST)), known=True)


def _asks(one: ChangedFile) -> bool:
    if _ASKED.search(one.path) or (one.old_path and _ASKED.search(one.old_path)):
        return True
    appeared = one.after is not None and (one.before is None or one.old_path not in {None, one.path})
    return appeared and known_module(one.path, one.mode_after) is not None


def _says(path: str) -> bool:
    return bool(_READ.search(path) or _ASKED.search(path))


@dataclass(frozen=True)
class Sides:
    """The repository on both sides of a change, as far as it is known."""

    paths: frozenset[str]
    """After the change."""
    stood: frozenset[str]
    """Paths that are there before and after it."""
    before: Mapping[str, str]
    after: Mapping[str, str]
    known: bool

    def folders(self, *names: str) -> Iterator[str]:
        """The folders that have a file of one of these names before or after the change; the root's is empty."""
        found = {path.rpartition("/")[0] for path in (*self.before, *self.after) if path.rpartition("/")[2] in names}
        yield from sorted(found)


def both_sides(changed: Sequence[ChangedFile], surrounding: Around) -> Sides:
    """The repository before and after: what stands around, with the change's own texts on either side."""
    before, after = dict(surrounding.texts), dict(surrounding.texts)
    paths = set(surrounding.paths)
    new = set()
    for one in changed:
        if one.after is None:
            paths.discard(one.path)
        else:
            paths.add(one.path)
        if one.after is not None and _says(one.path):
            after[one.path] = one.after[:_LONGEST].decode("utf-8", "replace")
        if one.before is None or one.old_path not in {None, one.path}:
            new.add(one.path)
        if one.before is not None and _says(one.old_path or one.path):
            before[one.old_path or one.path] = one.before[:_LONGEST].decode("utf-8", "replace")
    return Sides(frozenset(paths), frozenset(paths - new), before, after, surrounding.known)
