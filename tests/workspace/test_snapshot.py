"""An agent's tree becomes a commit whatever the agent did to it, and nothing of it runs outside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from honk.model import Person, Repository, Task, Workspace
from honk.settings import Settings
from honk.workspace import Workspaces
from tests.conftest import git

from .conftest import ADA, Make, repository_at, shell, task_on


@dataclass
class Place:
    """A task on a repository, entered."""

    workspaces: Workspaces
    repository: Repository
    task: Task
    workspace: Workspace

    def do(self, line: str) -> str:
        done = self.workspace.run(shell(f"set -e; {line}"))
        assert done.exit_code == 0, done.output
        return done.output

    def snapshot(self, message: str = "Change") -> str | None:
        return self.workspace.snapshot(message, ADA)

    def git(self, *arguments: str) -> str:
        return git(self.workspaces.change_git_dir(self.task), *arguments)

    def files(self, sha: str | None) -> dict[str, str]:
        """Path to mode of everything in the commit."""
        lines = self.git("ls-tree", "-r", "-z", str(sha)).split("\0")
        return {line.partition("\t")[2]: line.split()[0] for line in lines if line}


@contextmanager
def entered(workspaces: Workspaces, path: Path, **given: object) -> Iterator[Place]:
    repository = repository_at(path)
    task = task_on(workspaces.fetch(repository), **given)
    with workspaces.open(task, repository) as workspace:
        yield Place(workspaces, repository, task, workspace)


@pytest.fixture(params=["sandbox", "unsafe"])
def place(workspaces: Workspaces, make_repository: Make, request: pytest.FixtureRequest) -> Iterator[Place]:
    path = make_repository({"a.txt": "one\n", "dir/b.txt": "two\n", ".gitignore": "ignored/\n"})
    with entered(workspaces, path, unsafe=request.param == "unsafe") as found:
        yield found


def test_an_untouched_tree_is_no_change(place: Place) -> None:
    assert place.snapshot() is None
    assert place.workspace.diff_stat() == "nothing changed"


def test_a_change_becomes_one_commit_with_its_author_and_repeating_it_adds_none(place: Place) -> None:
    place.do("echo more >> a.txt")
    sha = place.snapshot("Add more")
    assert place.snapshot("Another message") == sha
    assert place.git("log", "--format=%an <%ae> %cn %s", f"{place.task.base_sha}..honk/t1") == (
        "Ada <ada@example.com> Honk Add more"
    )
    assert place.workspace.diff_stat() == "1 file changed, 1 insertion(+)"


def test_a_person_without_an_address_is_given_one_that_leads_nowhere(place: Place) -> None:
    place.do("echo more >> a.txt")
    place.workspace.snapshot("Change", Person("slack:U1", "Bea"))
    assert place.git("log", "-1", "--format=%ae", "honk/t1") == "slack:U1@users.noreply.honk"


def test_commits_follow_the_tasks_own_line_and_not_what_the_agent_committed(place: Place) -> None:
    place.do("echo 1 > n; git add -A; git commit -qm 'By the agent'")
    first = place.snapshot()
    place.do("echo 2 > n; git checkout -q --orphan elsewhere; git commit -qam x")
    second = place.snapshot()
    assert place.git("log", "--format=%H", "honk/t1").split() == [second, first, place.task.base_sha]


def test_a_change_taken_back_is_no_change(place: Place) -> None:
    place.do("echo more >> a.txt")
    assert place.snapshot() is not None
    place.do("echo one > a.txt")
    assert place.snapshot() is None


def test_awkward_files_are_kept_as_they_are(place: Place) -> None:
    place.do(
        "echo x > 'with space'; echo x > 'ünïcode ☃'; echo x > \"$(printf 'new\\nline')\"; echo x > -dash;"
        "printf 'a\\r\\nb\\r\\n' > crlf; head -c 100000 /dev/urandom > binary;"
        "ln -s /etc/passwd link; ln -s nowhere dead;"
        "chmod +x dir/b.txt; rm a.txt; mkdir -p ignored empty; echo x > ignored/f; mkfifo pipe; echo x > ':(top)magic'"
    )
    sha = place.snapshot()
    assert place.files(sha) == {
        ".gitignore": "100644",
        "-dash": "100644",
        ":(top)magic": "100644",
        "binary": "100644",
        "crlf": "100644",
        "dead": "120000",
        "dir/b.txt": "100755",
        "link": "120000",
        "new\nline": "100644",
        "with space": "100644",
        "ünïcode ☃": "100644",
    }
    assert place.git("cat-file", "-p", f"{sha}:link") == "/etc/passwd"
    assert place.git("cat-file", "-s", f"{sha}:crlf") == "6"


@pytest.mark.parametrize(
    "damage",
    [
        "rm -rf .git",
        "rm -rf .git; echo nonsense > .git",
        "rm -rf .git; ln -s /etc .git",
        "echo nonsense > .git/index",
        "echo nonsense > .git/HEAD; rm -rf .git/objects .git/refs",
        "rm .git/objects/info/alternates",
        "touch .git/index.lock",
    ],
)
def test_a_damaged_git_directory_does_not_matter(place: Place, damage: str) -> None:
    place.do(f"echo more >> a.txt; {damage}")
    sha = place.snapshot()
    assert place.git("cat-file", "-p", f"{sha}:a.txt") == "one\nmore"
    assert sorted(place.files(sha)) == [".gitignore", "a.txt", "dir/b.txt"]


def test_repositories_the_agent_made_inside_become_plain_folders(place: Place) -> None:
    place.do(
        "git init -q fresh; echo 1 > fresh/f; git init -q fresh/deeper; echo 2 > fresh/deeper/g; git init -q void;"
        "git init -q full; cd full; echo 3 > h; git add -A; git -c user.name=x -c user.email=x@x commit -qm x; cd ..;"
        "git init -q dir; echo 4 > dir/c.txt"
    )
    first = place.snapshot()
    expected = [".gitignore", "a.txt", "dir/b.txt", "dir/c.txt", "fresh/deeper/g", "fresh/f", "full/h"]
    assert sorted(place.files(first)) == expected
    assert place.snapshot() == first
    place.do("rm fresh/f; echo 5 > full/i")
    assert sorted(place.files(place.snapshot())) == [*(name for name in expected if name != "fresh/f"), "full/i"]


def test_hooks_filters_and_programs_of_the_workspace_do_not_run_outside(
    workspaces: Workspaces, make_repository: Make, tmp_path: Path
) -> None:
    with entered(workspaces, make_repository({"a.txt": "one\n"})) as place:
        # What runs outside can write the test's folder; what runs inside has no such path.
        script = f"#!/bin/sh\ntouch {tmp_path}/ran\ncat\n"
        (tmp_path / "evil").write_text(script)
        (tmp_path / "evil").chmod(0o755)
        place.do(
            f"cd .git; mkdir -p hooks; for hook in pre-commit post-commit reference-transaction post-index-change; do "
            f"printf '#!/bin/sh\\ntouch {tmp_path}/ran\\n' > hooks/$hook; chmod +x hooks/$hook; done; cd ..;"
            f"git config core.fsmonitor {tmp_path}/evil; git config filter.evil.clean {tmp_path}/evil;"
            f"git config filter.evil.smudge {tmp_path}/evil; git config diff.external {tmp_path}/evil;"
            f"git config core.pager {tmp_path}/evil; git config core.sshCommand {tmp_path}/evil;"
            "echo '* filter=evil diff=evil' > .gitattributes; echo more >> a.txt"
        )
        sha = place.snapshot()
        place.workspace.diff_stat()
        assert place.git("cat-file", "-p", f"{sha}:a.txt") == "one\nmore"
        with workspaces.checkout(place.repository, str(sha), source=workspaces.change_git_dir(place.task)) as checkout:
            assert checkout.run(shell("cat a.txt; git status --porcelain")).output == "one\nmore\n"
    assert not (tmp_path / "ran").exists()


def test_submodules_stay_what_they_were(workspaces: Workspaces, make_repository: Make) -> None:
    make_repository({"lib.txt": "library\n"}, name="library")
    path = make_repository({"a": "1"})
    git(path, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "../library", "library")
    git(path, "commit", "-qam", "Submodule")
    with entered(workspaces, path) as place:
        assert place.do("cat library/lib.txt") == "library\n"
        assert place.snapshot() is None
        place.do("echo 2 > a; echo dirty >> library/lib.txt; rm library/.git")
        assert place.files(place.snapshot()) == {".gitmodules": "100644", "a": "100644", "library": "160000"}


def test_a_large_file_is_brought_out(workspaces: Workspaces, make_repository: Make) -> None:
    with entered(workspaces, make_repository({"a": "1"})) as place:
        place.do("head -c 100000000 /dev/zero | tr '\\0' x > big; head -c 20000000 /dev/urandom > random")
        assert place.git("cat-file", "-s", f"{place.snapshot()}:big") == "100000000"


def test_a_workspace_is_found_again_as_it_was_left(
    workspaces: Workspaces, make_repository: Make, settings: Settings
) -> None:
    path = make_repository({"a": "1"})
    with entered(workspaces, path) as place:
        place.do("echo 2 > a; echo transcript > ~/transcript")
        sha = place.snapshot()
        task = place.task
    with entered(Workspaces(settings), path) as again:
        assert again.do("cat a ~/transcript") == "2\ntranscript\n"
        assert again.snapshot() == sha
    with entered(workspaces, path, head_sha=sha) as later:
        assert later.snapshot() is None
    assert workspaces.exists(task)
    workspaces.remove(task)
    assert not workspaces.exists(task)


def test_half_made_workspaces_and_snapshots_are_made_anew(
    workspaces: Workspaces, make_repository: Make, settings: Settings
) -> None:
    path = make_repository({"a": "1"})
    (settings.home / "workspaces" / ".new-t1-dead" / "tree").mkdir(parents=True)
    with entered(workspaces, path) as place:
        place.do("echo 2 > a")
        folder = workspaces.change_git_dir(place.task).parent
        first = place.snapshot()
        (folder / "snapshot.git" / "honk-index").write_bytes(b"broken")
        (folder / "snapshot.git" / "honk-index.lock").touch()
        assert place.snapshot() == first
    assert not list((settings.home / "workspaces").glob(".new-*"))


def test_a_snapshot_is_taken_while_the_agent_works(workspaces: Workspaces, make_repository: Make) -> None:
    with entered(workspaces, make_repository({"a": "1"})) as place:
        shas: list[str | None] = []

        def look(text: str) -> None:
            if "written" in text:
                shas.append(place.snapshot())
                (workspaces.change_git_dir(place.task).parent / "home" / "go-on").touch()

        line = "echo 2 > a; echo written; while [ ! -e ~/go-on ]; do sleep 0.05; done"
        assert place.workspace.run(shell(line), on_output=look).exit_code == 0
        assert place.git("cat-file", "-p", f"{shas[0]}:a") == "2"
