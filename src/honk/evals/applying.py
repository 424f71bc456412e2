"""What cases changed, file by file. Git applies the diffs, in a repository without a tree that is gone afterwards."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from honk.evals.case import Case, File
from honk.git import GitError, git, git_bytes
from honk.model import ChangedFile, UsageError

_INDEX = "eval-index"


def changed_files(cases: Sequence[Case]) -> list[list[ChangedFile]]:
    """What each case's diff makes of its base. Raises `UsageError` with git's words for the first that does not apply.

    Every case has a folder of its own in one index, so git is started once a case and a few times besides.
    """
    with tempfile.TemporaryDirectory(prefix="honk-eval-", ignore_cleanup_errors=True) as place:
        folder = Path(place)
        index = {"GIT_INDEX_FILE": str(folder / _INDEX)}
        git("init", "-q", "--bare", folder)
        git("fast-import", "--quiet", directory=folder, given=_bases(cases))
        git("read-tree", "refs/base", directory=folder, environment=index)
        for number, case in enumerate(cases):
            try:
                git(
                    "apply", "--cached", "--whitespace=nowarn", f"--directory=case-{number}", "-",
                    directory=folder, environment=index, given=case.diff.encode("utf-8", "surrogateescape"),
                )  # fmt: skip
            except GitError as error:
                raise UsageError(
                    f"The diff of the case {case.id!r} does not apply to its base: "
                    f"{str(error).replace(f'case-{number}/', '')}."
                ) from error
        after = git("write-tree", directory=folder, environment=index)
        return _read(folder, len(cases), "refs/base", after)


def _bases(cases: Sequence[Case]) -> bytes:
    """All bases as one commit, as git's `fast-import` reads it."""
    out = [b"commit refs/base\ncommitter Honk <honk@localhost> 0 +0000\ndata 0\n"]
    for number, case in enumerate(cases):
        # So that the folder is there where a base is empty, too.
        files: Mapping[str, File] = {".case": File(text=str(number)), **case.files()}
        for path, file in files.items():
            content = file.content()
            quoted = path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
            head = f'M {file.mode} inline "case-{number}/{quoted}"\ndata {len(content)}\n'
            out += [head.encode("utf-8", "surrogateescape"), content, b"\n"]
    return b"".join(out)


def _read(folder: Path, count: int, before: str, after: str) -> list[list[ChangedFile]]:
    sides = [_folders(folder, tree) for tree in (before, after)]
    pairs = [tuple(side[f"case-{number}"] for side in sides) for number in range(count)]
    given = "".join(f"{old} {new}\n" for old, new in pairs).encode()
    raw = git_bytes("diff-tree", "--stdin", "-r", "-z", "-M", "--raw", directory=folder, given=given)
    # Before the rows of each pair stands the pair itself.
    parts = re.split(rb"(?:^|(?<=\0))([0-9a-f]{40,64} [0-9a-f]{40,64})\n", raw)
    rows = dict(zip(parts[1::2], parts[2::2], strict=True))
    changes = [list(_rows(rows.get(f"{old} {new}".encode(), b""))) for old, new in pairs]
    contents = _contents(folder, (name for change in changes for facts, _, _ in change for name in facts[2:4]))
    return [[_changed(facts, path, old, contents) for facts, path, old in change] for change in changes]


def _folders(folder: Path, tree: str) -> dict[str, str]:
    lines = git("ls-tree", "-d", tree, directory=folder).splitlines()
    return {line.partition("\t")[2]: line.split()[2] for line in lines}


def _rows(raw: bytes) -> Iterable[tuple[Sequence[str], str, str | None]]:
    """Modes, ids and status of each file, its path, and its path before where that was another."""
    words = iter(raw.decode("utf-8", "surrogateescape").split("\0"))
    for word in words:
        if word.startswith(":"):
            facts = word[1:].split(" ")
            old = next(words)
            new = next(words) if facts[4][0] in "RC" else old
            yield facts, new, old if new != old else None


def _changed(facts: Sequence[str], path: str, old: str | None, contents: Mapping[str, bytes]) -> ChangedFile:
    modes = [None if set(mode) == {"0"} else mode for mode in facts[:2]]
    return ChangedFile(path, contents.get(facts[2]), contents.get(facts[3]), modes[0], modes[1], old)


def _contents(folder: Path, names: Iterable[str]) -> dict[str, bytes]:
    wanted = [name for name in dict.fromkeys(names) if set(name) != {"0"}]
    raw = git_bytes("cat-file", "--batch", directory=folder, given="\n".join(wanted).encode() + b"\n")
    found: dict[str, bytes] = {}
    at = 0
    for name in wanted:
        end = raw.index(b"\n", at)
        size = int(raw[at:end].split()[2])
        found[name] = raw[end + 1 : end + 1 + size]
        at = end + 2 + size
    return found
