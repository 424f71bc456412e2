"""What a build reads, named by a digest: where that is the same, so is what it would make."""

from __future__ import annotations

import hashlib
import json

from pathspec import GitIgnoreSpec

from honk.repository_file import Build, RepositoryFile
from honk.ship.builds.tracked import Tracked

_PROSE = ["/*.md", "/*.rst", "/LICENSE*", "/NOTICE*", "/.github/", "/docs/"]
_TESTS = [
    "tests/", "test/", "__tests__/", "spec/", "e2e/", "androidTest/", "testFixtures/",
    "*.test.*", "*.spec.*", "*_test.*", "test_*.py", "conftest.py",
]  # fmt: skip


def fingerprint(tracked: Tracked, build: Build, file: RepositoryFile) -> str:
    """The SHA-256 of all that decides what a build makes: its lines, and the tracked files it reads.

    These are its `inputs`, or else all files but tests and prose. Where its own lines name a folder of those, such as
    `docs`, nothing is left out. honk.yaml counts by what it says of the build only.
    """
    lines = [file.setup, build.run, build.output, build.on, sorted(build.inputs or [])]
    whole = hashlib.sha256(json.dumps(["1", *lines]).encode())
    for path in _read(tracked, build):
        whole.update(f"{path}\0{tracked.files[path]}\n".encode("utf-8", "surrogateescape"))
    return whole.hexdigest()


def _read(tracked: Tracked, build: Build) -> list[str]:
    paths = sorted(path for path in tracked.files if path != "honk.yaml")
    if build.inputs is not None:
        return sorted(GitIgnoreSpec.from_lines(build.inputs).match_files(paths))
    said = f"{build.run} {build.output}"
    if any(word in said for word in ("docs", "test", "spec", ".md", "README", "CHANGELOG")):
        return paths
    left_out = set(GitIgnoreSpec.from_lines([*_PROSE, *_TESTS]).match_files(paths))
    return [path for path in paths if path not in left_out]
