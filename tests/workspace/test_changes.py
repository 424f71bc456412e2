"""What a change consists of, read from git's data alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from honk.workspace import changes
from honk.workspace.changes import read_changes, read_diff
from tests.conftest import git

Make = Callable[..., Path]


def commit(repo: Path) -> str:
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "Change")
    return git(repo, "rev-parse", "HEAD")


def test_both_sides_of_every_file_that_differs_are_read(make_repository: Make) -> None:
    long = "".join(f"line {number}\n" for number in range(50))
    repo = make_repository({"gone.txt": "gone\n", "run.sh": "#!/bin/sh\n", "old.txt": long, "same.txt": "same\n"})
    base = git(repo, "rev-parse", "HEAD")
    (repo / "gone.txt").unlink()
    (repo / "run.sh").chmod(0o644)
    (repo / "old.txt").rename(repo / 'new näme\t".txt')
    (repo / "raw.bin").write_bytes(b"\0\xff\n")
    (repo / "link").symlink_to("/etc/passwd")
    (repo / os.fsdecode(b"not-utf8-\xff")).write_text("x")
    git(repo, "update-index", "--add", "--cacheinfo", f"160000,{base},sub")
    git(repo, "add", "-A", "--", ":!sub")
    git(repo, "commit", "-qm", "Change")
    found = {file.path: file for file in read_changes(repo / ".git", base, git(repo, "rev-parse", "HEAD")).files}
    assert (found["gone.txt"].before, found["gone.txt"].after) == (b"gone\n", None)
    assert (found["run.sh"].mode_before, found["run.sh"].mode_after) == ("100755", "100644")
    renamed = found['new näme\t".txt']
    assert (renamed.old_path, renamed.before) == ("old.txt", long.encode())
    assert (found["raw.bin"].before, found["raw.bin"].mode_before, found["raw.bin"].after) == (None, None, b"\0\xff\n")
    assert (found["link"].mode_after, found["link"].after) == ("120000", b"/etc/passwd")
    assert found["sub"].after == f"Subproject commit {base}\n".encode()
    assert found["not-utf8-\ufffd"].after == b"x"
    assert "same.txt" not in found


def test_what_is_too_large_is_named_and_not_read(make_repository: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "_FILE_BYTES", 1_000)
    monkeypatch.setattr(changes, "_DIFF_BYTES", 2_000)
    repo = make_repository({"app.txt": "one\n"})
    base = git(repo, "rev-parse", "HEAD")
    (repo / "app.txt").write_text("two\n")
    (repo / "huge.txt").write_text("x" * 79 + "\n" + "y\n" * 2_000)
    head = commit(repo)
    found = read_changes(repo / ".git", base, head)
    assert [file.path for file in found.files] == ["app.txt"]
    assert found.left_out == ["huge.txt"]
    diff = read_diff(repo / ".git", base, head)
    assert "+two" in diff
    assert diff.endswith("[the rest is left out]\n")
    assert len(diff) < 2_100


def test_programs_that_the_repository_names_for_diffs_are_not_run(make_repository: Make, tmp_path: Path) -> None:
    repo = make_repository({"app.txt": "one\n", ".gitattributes": "*.txt diff=evil\n"})
    base, mark = git(repo, "rev-parse", "HEAD"), tmp_path / "ran"
    git(repo, "config", "diff.evil.textconv", f"touch {mark}; cat")
    git(repo, "config", "diff.evil.command", f"touch {mark}")
    git(repo, "config", "diff.external", f"touch {mark}")
    (repo / "app.txt").write_text("two\n")
    head = commit(repo)
    assert "+two" in read_diff(repo / ".git", base, head)
    assert read_changes(repo / ".git", base, head).files[0].after == b"two\n"
    assert not mark.exists()


def test_what_stands_around_a_change_is_read_when_somebody_asks(make_repository: Make) -> None:
    repo = make_repository({"gone.txt": "gone\n", "pyproject.toml": "[project]\n", "long.toml": "#" * 500})
    base = git(repo, "rev-parse", "HEAD")
    (repo / "gone.txt").unlink()
    (repo / "new.txt").write_text("new\n")
    (repo / "setup.cfg").symlink_to("/etc/passwd")
    standing = read_changes(repo / ".git", base, commit(repo)).standing
    assert standing is not None
    assert standing.files() == ["long.toml", "new.txt", "pyproject.toml", "setup.cfg"]
    asked = ["gone.txt", "long.toml", "pyproject.toml", "setup.cfg"]
    assert standing.texts(asked, 100) == {"pyproject.toml": "[project]\n"}
