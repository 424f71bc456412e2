"""Mirrors follow the default branch and say what is wrong in words."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from honk.model import HonkError, Repository, UsageError
from honk.workspace import Mirrors
from tests.conftest import git

from .conftest import Make, repository_at


def test_a_fetch_brings_the_newest_commit_of_the_default_branch_and_no_other(home: Path, make_repository: Make) -> None:
    path = make_repository({"a": "1"})
    git(path, "branch", "other")
    mirrors, repository = Mirrors(home), repository_at(path)
    first = mirrors.fetch(repository)
    git(path, "commit", "-q", "--allow-empty", "-m", "Second")
    second = mirrors.fetch(repository)
    assert [first, second] == git(path, "log", "--reverse", "--format=%H").split()
    assert git(mirrors.path(repository), "branch", "--format=%(refname:short)") == "main"
    assert mirrors.fetch(repository, "other") == first


def test_a_rewritten_branch_is_followed(home: Path, make_repository: Make) -> None:
    path = make_repository({"a": "1"})
    mirrors, repository = Mirrors(home), repository_at(path)
    mirrors.fetch(repository)
    git(path, "commit", "-q", "--amend", "--allow-empty", "-m", "Rewritten")
    assert mirrors.fetch(repository) == git(path, "rev-parse", "HEAD")


def test_what_is_wrong_with_a_repository_is_said(home: Path, make_repository: Make, tmp_path: Path) -> None:
    mirrors = Mirrors(home)
    empty = tmp_path / "empty"
    empty.mkdir()
    git(empty, "init", "-q", "-b", "main")
    with pytest.raises(UsageError, match="is empty: push a first commit to main"):
        mirrors.fetch(repository_at(empty))
    with pytest.raises(UsageError, match="has no branch trunk: it has main"):
        mirrors.fetch(repository_at(make_repository({"a": "1"}), branch="trunk"))
    with pytest.raises(HonkError, match="cannot be read"):
        mirrors.fetch(Repository("gone", "gone", str(tmp_path / "gone"), "main"))


def test_many_processes_fetch_into_one_mirror(home: Path, make_repository: Make) -> None:
    path = make_repository({"a": "1"})
    code = (
        "from pathlib import Path; from honk.model import Repository; from honk.workspace import Mirrors\n"
        f"for _ in range(5): print(Mirrors(Path({str(home)!r})).fetch("
        f"Repository('project', 'x', {str(path)!r}, 'main')))\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate()[0].split() for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    assert said == [[git(path, "rev-parse", "HEAD")] * 5] * 3


def test_a_mirror_that_is_kept_quick_loses_nothing(home: Path, make_repository: Make) -> None:
    path = make_repository({"a": "0"})
    mirrors, repository = Mirrors(home), repository_at(path)
    for number in range(6):
        (path / "a").write_text(f"{number} more")
        git(path, "commit", "-qam", f"Change {number}")
        newest = mirrors.fetch(repository)
    mirrors.maintain()
    mirror = mirrors.path(repository)
    assert git(mirror, "rev-list", "--count", newest) == "7"
    assert git(mirror, "fsck", "--full", "--strict") == ""
    assert (mirror / "objects" / "info" / "commit-graphs").is_dir()
    assert len(list((mirror / "objects" / "pack").glob("*.pack"))) == 1
    (path / "a").write_text("last")
    git(path, "commit", "-qam", "Last")
    assert mirrors.fetch(repository) == git(path, "rev-parse", "HEAD")
