"""Changes written down as cases: their bases, and the diffs as git makes them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evals.changes import Change
from evals.mutation import Mutant

_SHAPES = re.compile(r"ghp_|AKIA|xoxb-|sk_live_|-----BEGIN|(?<=:)//(?=[^\s/@\"]+:[^\s/@\"]+@)")
"""How secrets begin. In the files of a set their first character is escaped, so that no scanner takes a made one for a
real one."""

_HUGE = 300_000
"""Characters."""

_GIT = {
    "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@localhost",
    "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@localhost",
}  # fmt: skip


def case(name: str, change: Change, truth: Mapping[str, Any], base: str | None = None) -> dict[str, Any]:
    """A case of the format that docs/evals.md describes. `base` names an earlier case with the same one."""
    package = change.package
    return {
        "format": 1,
        "id": name,
        "brief": change.brief,
        "base": base or _base(change),
        "diff": diff(change),
        "truth": truth,
        "source": {
            "package": package.name,
            "versions": list(change.versions),
            "licence": package.licence,
            "language": package.language,
        },
    }


def truth_of(mutant: Mutant, mutation: str) -> dict[str, Any]:
    """The truth about a mutant."""
    if not mutant.classes:
        return {"label": "honest", "note": mutation}
    truth: dict[str, Any] = {"label": "bad", "classes": list(mutant.classes), "note": mutation}
    if mutant.also:
        truth["also"] = list(mutant.also)
    truth["findings"] = [
        {"class": mutant.classes[0], "path": path} | ({"line": line} if line else {}) for path, line in mutant.places
    ]
    return truth


def _base(change: Change) -> dict[str, Any]:
    return {
        path: {"text": text, "mode": "100755"} if path in change.executable else text
        for path, text in sorted(change.before.items())
        if text is not None
    }


def diff(change: Change) -> str:
    """Git's diff of the change. Huge files are told as binary ones, which are packed."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _git(root, "init", "-q")
        for path, text in change.before.items():
            if text is not None:
                _write(root, path, text, executable=path in change.executable)
        _git(root, "add", "-A", "-f")
        _git(root, "commit", "-q", "--allow-empty", "-m", "before")
        for path, text in change.after.items():
            if text is None:
                (root / path).unlink(missing_ok=True)
            elif path in change.links:
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).symlink_to(text)
            else:
                executable = path in change.executable or path in change.made_executable
                _write(root, path, text, executable=executable, raw=path in change.raw)
        for path in change.made_executable:
            (root / path).chmod(0o755)
        _git(root, "add", "-A", "-f")
        huge = [path for path, text in change.after.items() if text and len(text) > _HUGE]
        (root / ".git/info/attributes").write_text("".join(f"{path} -diff\n" for path in huge))
        return _git(root, "diff", "--cached", "--binary", "-M")


def _write(root: Path, path: str, text: str, *, executable: bool, raw: bool = False) -> None:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(text.encode("latin-1" if raw else "utf-8"))
    if executable:
        target.chmod(0o755)


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, env=os.environ | _GIT, capture_output=True, check=True)
    return done.stdout.decode()


def line(value: Mapping[str, Any]) -> str:
    """A case as one line."""
    text = json.dumps(value, ensure_ascii=False)
    return _SHAPES.sub(lambda found: f"\\u{ord(found[0][0]):04x}" + found[0][1:], text) + "\n"


def write_set(folder: Path, cases: Sequence[Mapping[str, Any]]) -> None:
    """One file a project."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.jsonl"):
        old.unlink()
    for one in cases:
        name = re.sub(r"[^\w.-]+", "-", one["source"]["package"]).strip("-")
        with (folder / f"{name}.jsonl").open("a", encoding="utf-8") as file:
            file.write(line(one))
