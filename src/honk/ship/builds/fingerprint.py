"""What a build reads, named by a digest: where that is the same, so is what it would make."""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections.abc import Iterator

from pathspec import GitIgnoreSpec

from honk.repository_file import Build, RepositoryFile
from honk.ship.builds.tracked import Tracked

_PROSE = ["/*.md", "/*.rst", "/LICENSE*", "/NOTICE*", "/.github/", "/docs/"]
_TESTS = [
    "tests/", "test/", "__tests__/", "spec/", "e2e/", "androidTest/", "testFixtures/",
    "*.test.*", "*.spec.*", "*_test.*", "test_*.py", "conftest.py",
]  # fmt: skip

_READS_PROSE = re.compile(
    r"docs|\.md|\.rst|markdown|mdx|readme|changelog|licen[cs]e|notice"
    r"|docusaurus|vitepress|vuepress|11ty|eleventy|astro|gatsby|jekyll|hugo|sphinx|nextra",
    re.IGNORECASE,
)
"""Words of a build that makes pages of prose: the files themselves, and tools that look for them unasked."""
_READS_TESTS = re.compile(r"(?<![a-z])(__)?(tests?|specs?|e2e)(?![a-z])", re.IGNORECASE)
_OTHER_SCRIPTS = re.compile(r"(pre|post)?(test|lint|format|e2e|start|dev|serve)\b")
"""Scripts of package.json that no build runs, by their usual names."""


def fingerprint(tracked: Tracked, build: Build, file: RepositoryFile) -> str:
    """The SHA-256 of all that decides what a build makes: its lines, and the tracked files it reads.

    These are its `inputs`, or else all files but tests and prose. Those count as well where they lie in its `output`,
    and where its own lines, or the scripts that these name, speak of such. honk.yaml counts by what it says of the
    build only.
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
    handed_out = "/".join(part for part in build.output.split("/") if part not in ("", "."))
    if not handed_out:
        return paths
    said = "\n".join([build.run, build.output, *_scripts(tracked, build.run)])
    spared = [] if _READS_PROSE.search(said + _tools(tracked)) else [*_PROSE]
    spared += [] if _READS_TESTS.search(said) else _TESTS
    left_out = set(GitIgnoreSpec.from_lines(spared).match_files(paths))
    left_out -= set(GitIgnoreSpec.from_lines([f"/{handed_out}"]).match_files(paths))
    return [path for path in paths if path not in left_out]


def _scripts(tracked: Tracked, line: str) -> Iterator[str]:
    """What a shell line runs, as far as the repository tells: the files it names, and the scripts of package.json."""
    for word in dict.fromkeys(re.split(r"[\s;&|<>()'\"]+", line)):
        if posixpath.normpath(word) in tracked.files:
            yield tracked.text(posixpath.normpath(word))
    if re.search(r"\bmake\b", line):
        yield tracked.text("Makefile")
    for name, script in tracked.package("scripts").items():
        if not _OTHER_SCRIPTS.match(name):
            yield str(script)


def _tools(tracked: Tracked) -> str:
    return " ".join([*tracked.package("dependencies"), *tracked.package("devDependencies")])
