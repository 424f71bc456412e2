"""Of a large repository far away the files come first, and its history while the agent works."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from honk.model import Command, HonkError, Repository
from honk.settings import Settings
from honk.workspace import Mirrors, Workspaces, history
from tests.conftest import git
from tests.git_server import GitServer

from .conftest import ADA, Make, shell, task_on

COMMITS = 5


class Far:
    """A repository of some commits on a server, each of which rewrites `story`."""

    def __init__(self, source: Path, server: GitServer) -> None:
        self.server = server
        self._source = source
        self.repository = Repository("project", "far", f"{server.url}/far.git", "main")
        for number in range(2, COMMITS + 1):
            self.commit(f"part {number}\n")

    def commit(self, story: str) -> str:
        (self._source / "story").write_text(story)
        git(self._source, "commit", "-qam", story)
        git(self._source, "push", "-q", "--force", "../far/far.git", "HEAD:main")
        return git(self._source, "rev-parse", "HEAD")

    def take_back(self) -> None:
        """Let the next commit stand in place of the last one."""
        git(self._source, "reset", "-q", "--hard", "HEAD~1")

    def content(self, back: int) -> str:
        """What git calls the content of `story` some commits ago."""
        return git(self._source, "rev-parse", f"HEAD~{back}:story")


@contextmanager
def served(make_repository: Make, tmp_path: Path, **given: object) -> Iterator[Far]:
    source = make_repository({"story": "part 1\n", "other": "always\n"}, name="source")
    bare = tmp_path / "far" / "far.git"
    git(tmp_path, "clone", "-q", "--bare", str(source), str(bare))
    with GitServer(bare.parent, **given) as server:  # type: ignore[arg-type]
        yield Far(source, server)


@pytest.fixture
def far(make_repository: Make, tmp_path: Path) -> Iterator[Far]:
    with served(make_repository, tmp_path) as made:
        yield made


def until(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def assert_ordinary(mirror: Path) -> None:
    """Everything of every commit is there, and nothing tells that it once was not."""
    git(mirror, "fsck", "--full", "--strict", "--connectivity-only")
    assert git(mirror, "rev-list", "--objects", "--all", "--missing=error")
    assert [*mirror.glob("partial"), *mirror.glob(".whole"), *mirror.glob("objects/pack/*.promisor")] == []
    assert git(mirror, "for-each-ref", "--format=%(refname)") == "refs/heads/main"
    assert "remote" not in git(mirror, "config", "--list", "--local")


def has(mirror: Path, content: str) -> bool:
    return (
        subprocess.run(["git", "cat-file", "-e", content], cwd=mirror, check=False, capture_output=True).returncode == 0
    )


def test_an_agent_works_on_the_newest_files_while_older_ones_are_on_their_way(settings: Settings, far: Far) -> None:
    workspaces, old, new = Workspaces(settings), far.content(1), far.content(0)
    mirror = workspaces.mirrors.path(far.repository)
    far.server.hold(old)
    base = workspaces.fetch(far.repository)
    assert git(mirror, "rev-list", "--count", base) == str(COMMITS)
    assert (has(mirror, new), has(mirror, old), workspaces.has_history(far.repository)) == (True, False, False)
    task = task_on(base)
    with workspaces.open(task, far.repository) as workspace:
        seen = workspace.run(shell("cat story && git status --short && git log --format=%s && echo more >> story"))
        assert seen.exit_code == 0
        assert seen.output.split("\n")[0] == f"part {COMMITS}"
        # It is said that something is missing, at once: nothing is looked for from inside.
        for line in ("git log -p", "git blame story", "git show HEAD~1:story"):
            missing = workspace.run(Command(("sh", "-c", f"{line} > /dev/null")))
            assert missing.exit_code == 128
            assert re.search("unable to read|Cannot read|bad object", missing.output)
        sha = workspace.snapshot("More", ADA)
        assert sha is not None
        change = workspaces.change_git_dir(task)
        with workspaces.checkout(far.repository, sha, source=change) as checkout:
            assert checkout.run(shell("cat story")).output == f"part {COMMITS}\nmore\n"
        far.server.let_go()
        until(lambda: workspaces.has_history(far.repository))
        # What has come is seen at once, in a sandbox that is open already, too.
        assert workspace.run(shell("git log -p --format=%s && git blame story")).exit_code == 0
    assert_ordinary(mirror)


def test_what_needs_older_files_waits_for_them(settings: Settings, far: Far) -> None:
    workspaces = Workspaces(settings)
    base = workspaces.fetch(far.repository)
    task = task_on(base)
    with workspaces.open(task, far.repository) as workspace:
        workspace.run(shell("echo mine > other"))
        workspace.snapshot("Mine", ADA)
    newest = far.commit("the end\n")
    workspaces.fetch(far.repository)
    head, conflicts = workspaces.bring_in(task, far.repository, newest, "Merge the newest main")
    assert not conflicts
    assert workspaces.has_history(far.repository)
    assert git(workspaces.change_git_dir(task), "show", f"{head}:story", f"{head}:other") == "the end\nmine"


def test_newer_commits_come_with_their_files_until_all_is_there(home: Path, far: Far) -> None:
    mirrors = Mirrors(home)
    far.server.hold(far.content(1))
    mirrors.fetch(far.repository)
    far.commit("part 1\n")
    newest = mirrors.fetch(far.repository)
    mirror = mirrors.path(far.repository)
    assert git(mirror, "show", f"{newest}:story") == "part 1"
    between = far.commit("between\n")
    far.commit("after\n")
    mirrors.fetch(far.repository)
    # A commit that comes to be wanted later, as by a task from another machine, gets its files when it is.
    assert not has(mirror, f"{between}:story")
    assert mirrors.has(far.repository, between)
    assert git(mirror, "show", f"{between}:story") == "between"
    far.server.let_go()
    assert_ordinary(mirrors.whole(far.repository))


@pytest.mark.parametrize("at_once", [history._BATCH, 1])
def test_a_history_whose_fetch_was_killed_is_fetched_at_the_next_start(
    home: Path, far: Far, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    code = (
        "import sys; from pathlib import Path; from honk.model import Repository; from honk.workspace import Mirrors\n"
        f"Mirrors(Path({str(home)!r})).fetch({far.repository!r})\n"
        "print('fetched', flush=True); sys.stdin.read()\n"
    )
    far.server.hold(far.content(1))
    asked = len(far.server.asked)
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdout and process.stdout.readline() == "fetched\n"
    until(lambda: any(far.content(1).encode() in body for body in far.server.asked[asked:]))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    mirrors = Mirrors(home)
    assert not mirrors.is_whole(far.repository)
    torn = mirrors.path(far.repository) / "objects" / "pack" / "tmp_pack_torn"
    torn.touch()
    far.server.let_go()
    monkeypatch.setattr(history, "_BATCH", at_once)
    mirrors.maintain()
    assert_ordinary(mirrors.path(far.repository))
    assert not torn.exists()


@pytest.mark.parametrize("refuses", [{"parts": False}, {"version_2": False}])
def test_a_forge_that_does_not_send_parts_sends_everything(
    home: Path, make_repository: Make, tmp_path: Path, refuses: dict[str, bool]
) -> None:
    with served(make_repository, tmp_path, **refuses) as far:
        mirrors = Mirrors(home)
        newest = mirrors.fetch(far.repository)
        assert git(mirrors.path(far.repository), "rev-list", "--count", "--objects", "--missing=error", newest)
        assert_ordinary(mirrors.whole(far.repository))


def test_a_small_repository_comes_whole_in_one_request(home: Path, far: Far) -> None:
    mirrors = Mirrors(home, size=lambda _: history.WORTH_BYTES - 1)
    mirrors.fetch(far.repository)
    assert_ordinary(mirrors.path(far.repository))
    assert not any(b"filter" in body for body in far.server.asked)


def test_what_somebodys_trees_stand_on_is_kept_whatever_git_is_told_to_tidy_up(home: Path, far: Far) -> None:
    tidy = "[fetch]\n\tunpackLimit = 1\n[gc]\n\tautoPackLimit = 1\n\tautoDetach = false\n\tpruneExpire = now\n"
    with (Path.home() / ".gitconfig").open("a") as settings:
        settings.write(tidy)
    mirrors = Mirrors(home, size=lambda _: 0)
    far.commit("to be taken back\n")
    old = mirrors.fetch(far.repository)
    far.take_back()
    for story in ("another\n", "and another\n", "and one more\n"):
        far.commit(story)
        newest = mirrors.fetch(far.repository)
    assert newest != old
    assert has(mirrors.path(far.repository), f"{old}:story")


def test_every_part_is_fetched_with_credentials_and_none_is_kept(
    home: Path, make_repository: Make, tmp_path: Path
) -> None:
    with served(make_repository, tmp_path, token="let me in") as far:
        with pytest.raises(HonkError, match="cannot be read"):
            Mirrors(home).fetch(far.repository)
        asked: list[bool] = []

        def credentials(_: Repository, renew: bool) -> dict[str, str]:
            asked.append(renew)
            return far.server.credentials()

        mirrors = Mirrors(home, credentials)
        mirrors.fetch(far.repository)
        mirror = mirrors.whole(far.repository)
        assert_ordinary(mirror)
        assert not any(asked)
        word = far.server.credentials()["GIT_CONFIG_VALUE_0"].rpartition(" ")[2]
        assert subprocess.run(["grep", "-r", word, mirror], check=False, capture_output=True).returncode == 1
