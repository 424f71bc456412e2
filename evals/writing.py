"""Changes written down as cases: their bases, and the diffs as git makes them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals.changes import Change
from evals.mutation import Mutant

_SHAPES = re.compile(r"ghp_|AKIA|xoxb-|sk_live_|-----BEGIN|(?<=:)//(?=[^\s/@\"]+:[^\s/@\"]+@)")
"""How secrets begin. In the files of a set their first character is escaped, so that no scanner takes a made one for a
real one."""

_HUGE = 300_000
"""Characters."""

_GIT = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}


@dataclass(frozen=True)
class Entry:
    """A change and the truth about it. `base` names an earlier entry that stands on the same files."""

    name: str
    change: Change
    truth: Mapping[str, Any]
    base: str | None = None


def cases(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Cases of the format that docs/evals.md describes."""
    return [_case(entry, diff) for entry, diff in zip(entries, diffs([one.change for one in entries]), strict=True)]


def _case(entry: Entry, diff: str) -> dict[str, Any]:
    change, package = entry.change, entry.change.package
    return {
        "format": 1,
        "id": entry.name,
        "brief": change.brief,
        "base": entry.base or _base(change),
        "diff": diff,
        "truth": entry.truth,
        "source": {
            "package": package.name,
            "versions": list(change.versions),
            "licence": package.licence,
            "language": package.language,
        },
    }


def truth_of(mutant: Mutant, mutation: str, facts: Sequence[str]) -> dict[str, Any]:
    """The truth about a mutant of a change in which there are these facts."""
    truth: dict[str, Any] = {"label": "bad" if mutant.classes else "honest", "note": mutation}
    if mutant.classes:
        truth["classes"] = list(mutant.classes)
    if also := [name for name in dict.fromkeys((*mutant.also, *facts)) if name not in mutant.classes]:
        truth["also"] = also
    if mutant.places:
        truth["findings"] = [
            {"class": mutant.classes[0], "path": path} | ({"line": line} if line else {})
            for path, line in mutant.places
        ]
    return truth


def _base(change: Change) -> dict[str, Any]:
    return {
        path: {"text": text, "mode": "100755"} if path in change.executable else text
        for path, text in sorted(change.before.items())
        if text is not None
    }


def diffs(changes: Sequence[Change]) -> list[str]:
    """Git's diffs of changes. Huge files are told as binary ones, which are packed."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        _git(folder, "init", "-q", "--bare", ".")
        huge = {path for change in changes for path, text in change.after.items() if text and len(text) > _HUGE}
        (folder / "info").mkdir(exist_ok=True)
        (folder / "info/attributes").write_text("".join(f"{path} -diff\n" for path in sorted(huge)))
        _git(folder, "fast-import", "--quiet", given=b"".join(_imported(changes)))
        rows = [line.split() for line in _git(folder, "ls-tree", "-d", "refs/heads/all").splitlines()]
        trees = {row[3]: row[2] for row in rows}
        pairs = [f"{trees[f'before-{number}']} {trees[f'after-{number}']}" for number in range(len(changes))]
        options = ("--stdin", "-p", "--binary", "-M", "--full-index")
        told = _git(folder, "diff-tree", *options, given="".join(f"{pair}\n" for pair in pairs).encode())
        parts = re.split(r"(?m)^([0-9a-f]{40} [0-9a-f]{40})\n", told)
        found = dict(zip(parts[1::2], parts[2::2], strict=True))
        return [found[pair] for pair in pairs]


def _imported(changes: Sequence[Change]) -> Iterator[bytes]:
    """Both sides of every change, each in a folder of its own, as git's `fast-import` reads them."""
    yield b"commit refs/heads/all\ncommitter a <a@localhost> 0 +0000\ndata 0\n"
    for number, change in enumerate(changes):
        for side, files in (("before", change.before), ("after", {**change.before, **change.after})):
            for path, text in {".side": "", **files}.items():
                if text is not None:
                    content = text.encode("latin-1" if path in change.raw else "utf-8")
                    mode = _mode(change, path, after=side == "after")
                    yield f'M {mode} inline "{side}-{number}/{path}"\ndata {len(content)}\n'.encode()
                    yield content + b"\n"


def _mode(change: Change, path: str, *, after: bool) -> str:
    if after and path in change.links:
        return "120000"
    return "100755" if path in change.executable or (after and path in change.made_executable) else "100644"


def _git(folder: Path, *arguments: str, given: bytes = b"") -> str:
    command = ["git", *arguments]
    done = subprocess.run(command, cwd=folder, env=os.environ | _GIT, input=given, capture_output=True, check=True)
    return done.stdout.decode()


def line(value: Mapping[str, Any]) -> str:
    """A case as one line."""
    text = json.dumps(value, ensure_ascii=False)
    return _SHAPES.sub(lambda found: f"\\u{ord(found[0][0]):04x}" + found[0][1:], text) + "\n"


def write_set(folder: Path, made: Sequence[Mapping[str, Any]]) -> None:
    """One file a project."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.jsonl"):
        old.unlink()
    for one in made:
        name = re.sub(r"[^\w.-]+", "-", one["source"]["package"]).strip("-")
        with (folder / f"{name}.jsonl").open("a", encoding="utf-8") as file:
            file.write(line(one))
