"""What a change does to the checks that are found in a repository: which are no longer run, and which look at less.

Tools are called as the project itself calls them, so a script, a task or a workflow decides what they look at. The
plans of both sides are compared, whichever file it was that made the difference.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from honk.model import Finding, Severity, Standing
from honk.repository_file import RepositoryFile
from honk.verify.detect import detect
from honk.verify.plan import Verifier
from honk.verify.tree import join, within

_KIND = "checks-changed"
_SCOPED = frozenset(("ruff", "ruff-format", "black", "mypy", "pyright"))
"""Tools of which the project says on what they run. The lines of others follow from what a change touches."""


def plan_changes(before: Standing, after: Standing, file: RepositoryFile, changed: Collection[str]) -> list[Finding]:
    """Findings about checks that were found `before` the change and are others `after` it. `file` is honk.yaml of the
    base: what that names cannot be changed."""
    if file.verify is not None:
        return []
    old, new = (detect(side, file, changed=changed).verifiers for side in (before, after))
    there = set(after.files())
    return list(_compared(old, {one.name: one for one in new}, there))


def _compared(old: Sequence[Verifier], new: dict[str, Verifier], there: set[str]) -> Iterator[Finding]:
    known = {one.name for one in old}
    added = {(one.kind, one.directory) for one in new.values() if one.name not in known}
    for one in old:
        now = new.get(one.name)
        if now is None:
            if any(within(path, one.directory) for path in there):
                replaced = (one.kind, one.directory) in added
                yield _finding(one, "warning" if replaced else "serious", f"It is no longer run (`{one.command}`).")
        elif _SCOPED.intersection(one.tools) and _less(one, now, there):
            yield _finding(one, "serious", f"It runs `{now.command}`; before the change it was `{one.command}`.")


def _less(before: Verifier, after: Verifier, there: set[str]) -> bool:
    """Whether the line may look at less, or at it less closely: words are gone, other than paths that are, or there are
    options that were not."""
    was, now = (Counter(shlex.split(one.command)) for one in (before, after))
    gone = [word for word in was - now if word.startswith("-") or _is_there(join(before.directory, word), there)]
    return bool(gone) or any(word.startswith("-") for word in now - was)


def _is_there(path: str, there: set[str]) -> bool:
    return path in there or path == "." or any(within(one, path) for one in there)


def _finding(check: Verifier, severity: Severity, message: str) -> Finding:
    return Finding(_KIND, severity, check.name, None, message)
