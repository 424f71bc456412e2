"""Copies what a build made out of a tree: `export.py TREE PATTERN DESTINATION MOST_BYTES`.

Runs inside a sandbox, where a link of the tree can lead to nothing of the host's. Prints a JSON object: empty, or with
the `error` that kept it from copying and whether the pattern is to blame. Uses the standard library only.
"""

import json
import os
import re
import shutil
import stat
import sys
from collections.abc import Iterator, Sequence
from fnmatch import translate
from pathlib import Path


class WrongPatternError(Exception):
    """The pattern itself asks for what cannot be."""


class TooMuchError(Exception):
    """What it matches is over the limit."""


def export(tree: Path, pattern: str, destination: Path, most_bytes: int) -> None:
    """Copy regular files that `pattern` matches below `tree` to `destination`: a folder's content directly into it,
    files by their base name.

    Raises `WrongPatternError` for a pattern that leads out of the tree or names two files alike, `TooMuchError`,
    `OSError`.
    """
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    if pattern.startswith("/") or ".." in parts:
        raise WrongPatternError(f"The output {pattern} must lie below the repository's root.")
    written: dict[Path, Path] = {}
    for match in dict.fromkeys(matches(tree, parts)):
        if is_folder(match):
            found = {destination / path.relative_to(match): path for path in regular_files(match)}
        else:
            found = {destination / match.name: match}
        for target, path in found.items():
            if written.setdefault(target, path) != path:
                raise WrongPatternError(f"The output {pattern} has two files called {target.name}: name one of them.")
    left = most_bytes
    for target, path in written.items():
        left -= copy_regular(path, target, left)


def is_folder(path: Path) -> bool:
    return stat.S_ISDIR(path.lstat().st_mode)


def entries(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name != ".git")


def matches(folder: Path, parts: Sequence[str]) -> Iterator[Path]:
    if not parts:
        yield folder
        return
    first, rest = parts[0], parts[1:]
    if first == "**":
        yield from matches(folder, rest)
        yield from (match for entry in entries(folder) if is_folder(entry) for match in matches(entry, parts))
        return
    matching = re.compile(translate(first))
    for entry in entries(folder):
        if not (entry.name == first or matching.match(entry.name)) or (entry.name[0] == "." != first[0]):
            continue
        if is_folder(entry):
            yield from matches(entry, rest)
        elif not rest and stat.S_ISREG(entry.lstat().st_mode):
            yield entry


def regular_files(folder: Path) -> Iterator[Path]:
    for here, folders, files in os.walk(folder, followlinks=False):
        if ".git" in folders:
            folders.remove(".git")
        for name in files:
            path = Path(here, name)
            if stat.S_ISREG(path.lstat().st_mode):
                yield path


def copy_regular(path: Path, target: Path, space: int) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as source:
        facts = os.fstat(source.fileno())
        if not stat.S_ISREG(facts.st_mode):
            return 0
        if facts.st_size > space:
            raise TooMuchError
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as copy:
            shutil.copyfileobj(source, copy, 1 << 20)
        target.chmod(0o755 if facts.st_mode & 0o100 else 0o644)
        return facts.st_size


def main(tree: str, pattern: str, destination: str, most_bytes: str) -> dict[str, object]:
    try:
        export(Path(tree), pattern, Path(destination), int(most_bytes))
    except WrongPatternError as error:
        return {"error": str(error), "usage": True}
    except TooMuchError:
        gigabytes = int(most_bytes) // 1024**3
        return {"error": f"The output is over {gigabytes} GiB: let the build leave less of it."}
    except (OSError, RecursionError) as error:
        return {"error": f"The output {pattern} cannot be copied: {error}."}
    return {}


if __name__ == "__main__":
    print("\n" + json.dumps(main(*sys.argv[1:])))
