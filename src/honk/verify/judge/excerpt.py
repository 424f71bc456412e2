"""As much of a diff as a judge is shown, and which lines of which files that is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LIMIT = 120_000
"""Characters of a diff that are shown: about 40,000 tokens."""
_LINE = 2_000
"""Characters of one line; minified programs are one line of megabytes."""
_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_QUOTED = re.compile(rb'\\([abfnrtv"\\]|[0-7]{3})')
_ESCAPES = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, '"': 34, "\\": 92}


@dataclass(frozen=True)
class Excerpt:
    """What of a diff is shown."""

    text: str
    lines: Mapping[str, frozenset[int]]
    """The paths that are shown, each with the numbers of its lines that are: in the changed file, and where they are
    gone from it, in the file before."""
    left_out: Sequence[str] = ()
    """The paths of which something is not shown."""


@dataclass(frozen=True)
class _File:
    paths: Sequence[str]
    """The name it has now, and the one it had."""
    lines: Sequence[str]
    numbers: Sequence[int | None]
    """Of each line, where it stands in its file."""


def excerpt(diff: str, limit: int = LIMIT) -> Excerpt:
    """At most `limit` characters or so of a unified diff of git's. Small files are shown whole; what is left of the
    limit is shared out among the large ones."""
    files = _files(diff)
    share = _share([sum(len(line) + 1 for line in file.lines) for file in files], limit)
    shown: list[str] = []
    left_out: list[str] = []
    lines: dict[str, frozenset[int]] = {}
    for file in files:
        kept = _kept(file.lines, share)
        shown += file.lines[:kept]
        if kept < len(file.lines):
            shown.append(f"[{len(file.lines) - kept} more lines of {file.paths[0]} are left out]")
            left_out.append(file.paths[0])
        for path in file.paths:
            found = {number for number in file.numbers[:kept] if number is not None}
            lines[path] = lines.get(path, frozenset()) | found
    return Excerpt("\n".join(shown), lines, left_out)


def _kept(lines: Sequence[str], share: int) -> int:
    total = 0
    for number, line in enumerate(lines):
        total += len(line) + 1
        if total > share:
            return number
    return len(lines)


def _share(sizes: Sequence[int], limit: int) -> int:
    """How long a file may be so that all fit, each cut to that."""
    left, waiting = limit, sorted(sizes)
    while waiting:
        share = left // len(waiting)
        if waiting[0] > share:
            return share
        left -= waiting.pop(0)
    return limit


def _files(diff: str) -> list[_File]:
    """The diff by its files. Hunks say how many lines they have, so that no line of a file passes for a header."""
    found: list[_File] = []
    paths: list[str] = []
    lines: list[str] = []
    numbers: list[int | None] = []
    old = new = old_left = new_left = 0

    def close() -> None:
        if lines:
            named = list(dict.fromkeys(paths)) or ["the beginning"]
            found.append(_File(named, list(lines), list(numbers)))

    for raw in diff.split("\n"):
        line = raw if len(raw) <= _LINE else f"{raw[:_LINE]} [{len(raw) - _LINE} more characters]"
        number: int | None = None
        if old_left > 0 or new_left > 0:
            sign = line[:1]
            if sign == "-":
                number, old, old_left = old, old + 1, old_left - 1
            elif sign == "+":
                number, new, new_left = new, new + 1, new_left - 1
            elif sign != "\\":
                number, old, new, old_left, new_left = new, old + 1, new + 1, old_left - 1, new_left - 1
        elif line.startswith("diff --git "):
            close()
            paths, lines, numbers = _both(line.removeprefix("diff --git ")), [], []
        elif header := _HUNK.match(line):
            old, new = int(header[1]), int(header[3])
            old_left, new_left = int(header[2] or 1), int(header[4] or 1)
        elif line.startswith(("--- ", "+++ ")) and not line.endswith("/dev/null"):
            named = _named(line[4:])
            paths = [named, *paths] if line[0] == "+" else [*paths, named]
        elif line.startswith(("rename to ", "rename from ")):
            named = _plain(line.split(" ", 2)[2])
            paths = [named, *paths] if line.startswith("rename to") else [*paths, named]
        lines.append(line)
        numbers.append(number)
    close()
    return found


def _both(names: str) -> list[str]:
    """The path in a `diff --git` line, as far as it can be told: both of its halves are the same, but for renames."""
    if names.startswith('"'):
        return [_named(names[: names.find('" ', 1) + 1])]
    half = names[: len(names) // 2]
    return [_named(half)] if half[2:] == names[len(half) + 3 :] else []


def _named(path: str) -> str:
    """A path as `---` and `+++` have it, without the side it is on."""
    return re.sub(r"^[ab]/", "", _plain(path.rstrip("\t")))


def _plain(path: str) -> str:
    """A path as it is, without git's quotes."""
    if not (path.startswith('"') and path.endswith('"') and len(path) > 1):
        return path
    told = _QUOTED.sub(
        lambda found: bytes([_ESCAPES[code] if (code := found[1].decode()) in _ESCAPES else int(code, 8) & 255]),
        path[1:-1].encode(),
    )
    return told.decode("utf-8", "replace")
