"""A set-up runs once for what it reads, and what it leaves is never what a change could have tampered with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from honk.model import Check, Repository
from honk.repository_file import parse_repository_file
from honk.settings import read_settings
from honk.verify import Conditions, verify
from honk.workspace import Workspaces
from honk.workspace.overlays import overlay_refusal
from tests.conftest import git

pytestmark = pytest.mark.usefixtures("sandbox")

INSTALL = "mkdir -p node_modules && date +%N > node_modules/made && touch ~/made"
"""Stands for npm, which would fetch: a program of that name that comes with the repository's tools."""


class Place:
    """A repository, and its checks run on one of its commits, with what they printed."""

    def __init__(self, home: Path, path: Path) -> None:
        self.path = path
        self.repository = Repository("project", str(path), str(path), "main")
        self.workspaces = Workspaces(read_settings(home=home))
        self.said = ""

    def verify(self, commit: str | None = None, source: Path | None = None) -> list[Check]:
        self.said = ""
        newest = self.workspaces.fetch(self.repository)
        file = parse_repository_file(self.workspaces.read(self.repository, newest, "honk.yaml") or "")
        with self.workspaces.checkout(self.repository, commit or newest, source=source) as checkout:
            return verify(checkout, file, Conditions(log=self._hear))

    def _hear(self, check: str, text: str) -> None:
        self.said += text if check == "test" else ""

    def made(self, commit: str | None = None, source: Path | None = None) -> str:
        """What tells one run of the set-up from another."""
        checks = self.verify(commit, source)
        assert [check.status for check in checks] == ["passed"], checks
        return self.said.strip()

    def commit(self, files: dict[str, str], message: str = "Next") -> str:
        for name, text in files.items():
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            (self.path / name).write_text(text)
        git(self.path, "add", "-A")
        git(self.path, "commit", "-qm", message)
        return git(self.path, "rev-parse", "HEAD")


@pytest.fixture
def place(home: Path, make_repository: Callable[..., Path], tmp_path: Path) -> Place:
    if (refusal := overlay_refusal(home)) is not None:
        pytest.skip(f"The kernel refuses overlays here: {refusal}")
    return Place(
        home,
        make_repository(
            {
                "honk.yaml": "setup: npm ci\nverify: {test: 'cat node_modules/made; test -e ~/made'}\n",
                "package.json": "{}",
                "package-lock.json": "{}",
                "app.js": "1",
                ".gitignore": "node_modules/\n",
                ".npmrc": "",
            }
        ),
    )


@pytest.fixture(autouse=True)
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """An npm that needs no registry, in a folder the sandbox may read."""
    folder = tmp_path / "tools"
    folder.mkdir()
    (folder / "npm").write_text(f"#!/bin/sh\nset -e\n{INSTALL}\n[ ! -e trick.sh ] || sh trick.sh\n")
    (folder / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/local/bin:/usr/bin:/bin")
    monkeypatch.setenv("HONK_SANDBOX_READABLE", f'["{folder}"]')


def test_a_set_up_runs_once_for_the_same_lock_file(place: Place) -> None:
    first = place.made()
    assert place.made() == first
    place.commit({"app.js": "2"})
    assert place.made() == first
    place.commit({"package-lock.json": '{"lockfileVersion": 3}'})
    assert place.made() != first


def test_checks_cannot_change_what_a_set_up_left_for_others(place: Place) -> None:
    place.commit({"honk.yaml": "setup: npm ci\nverify: {test: 'cat node_modules/made; echo x > node_modules/made'}\n"})
    first = place.made()
    assert place.made() == first


def test_what_a_change_had_its_set_up_do_serves_that_change_alone(place: Place) -> None:
    git(place.path, "checkout", "-qb", "change")
    tampered = place.commit({"trick.sh": "echo tampered > node_modules/made"})
    assert place.made(tampered, place.path / ".git") == "tampered"
    assert place.made(tampered, place.path / ".git") == "tampered"
    honest = place.commit({"trick.sh": "true"})
    assert place.made(honest, place.path / ".git") != "tampered"
    assert place.made() != "tampered"


def test_a_change_with_the_same_lock_file_stands_on_what_the_default_branch_was_set_up_with(place: Place) -> None:
    first = place.made()
    git(place.path, "checkout", "-qb", "change")
    change = place.commit({"app.js": "2"})
    assert place.made(change, place.path / ".git") == first


def test_a_set_up_that_may_read_anything_runs_again_for_other_files(place: Place) -> None:
    place.commit(
        {"honk.yaml": "setup: npm ci && sh build.sh\nverify: {test: cat made}\n", "build.sh": "cp app.js made"}
    )
    assert place.made() == "1"
    place.commit({"app.js": "2"})
    assert place.made() == "2"


def test_life_cycle_scripts_may_read_anything(place: Place) -> None:
    place.commit({"package.json": '{"scripts": {"prepare": "tsc"}}'})
    first = place.made()
    assert place.made() == first
    place.commit({"app.js": "2"})
    assert place.made() != first


def test_a_set_up_that_writes_tracked_files_is_not_kept(place: Place) -> None:
    place.commit({"trick.sh": "echo more >> app.js"})
    first = place.made()
    assert place.made() != first


def test_a_set_up_that_fails_is_told_and_tried_again(place: Place) -> None:
    place.commit({"trick.sh": "exit 3"})
    for _ in range(2):
        assert [(check.name, check.status) for check in place.verify()] == [("set-up", "failed"), ("test", "skipped")]
