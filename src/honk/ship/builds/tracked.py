"""A commit's files, read from git without a checkout."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from honk.git import git, git_bytes

_MOST_TEXT = 200_000
"""Characters of a file that are looked at."""


@dataclass(frozen=True)
class Tracked:
    """What git tracks at a commit. `files` gives each path's mode and object."""

    git_dir: Path
    commit: str
    files: Mapping[str, str]

    @classmethod
    def at(cls, git_dir: Path, commit: str) -> Tracked:
        """List a commit's files. Raises `GitError` if it is not there."""
        listed = git("ls-tree", "-r", "-z", "--full-tree", commit, directory=git_dir)
        pairs = (line.split("\t", 1) for line in listed.split("\0") if line)
        return cls(git_dir, commit, {path: what for what, path in pairs})

    def text(self, path: str) -> str:
        """The file's text; nothing if it is not there, or is a link."""
        if not self.files.get(path, "").startswith("100"):
            return ""
        found = git_bytes("cat-file", "blob", f"{self.commit}:{path}", directory=self.git_dir)
        return found.decode("utf-8", "replace")[:_MOST_TEXT]

    def first(self, *paths: str) -> str | None:
        """The first of these files that is there."""
        return next((path for path in paths if path in self.files), None)

    def named(self, name: str) -> list[str]:
        """Every path whose last part is `name`, the shallowest first."""
        found = [path for path in self.files if path.rpartition("/")[2] == name]
        return sorted(found, key=lambda path: (path.count("/"), path))

    def package(self, key: str) -> dict[str, Any]:
        """What the package.json at the root has under a key, such as `scripts`; nothing if that is no object."""
        try:
            package = json.loads(self.text("package.json") or "{}")
        except ValueError:
            return {}
        found = package.get(key) if isinstance(package, dict) else None
        return found if isinstance(found, dict) else {}
