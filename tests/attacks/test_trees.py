"""What an agent can make of its tree so that Honk, which works on it from outside, reads or writes somewhere else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from honk.git import git_bytes
from honk.model import Repository, Workspace
from honk.settings import Settings
from honk.workspace import Workspaces
from tests.conftest import git
from tests.workspace.conftest import ADA, repository_at, shell, task_on

from .conftest import own_homes

WORD = "the-word-outside"


@dataclass(frozen=True)
class Shape:
    """A script that an agent runs in its tree, which knows folders of the machine as `$OUT`."""

    name: str
    script: str
    export: str = ""
    """What is taken out of the tree afterwards as if a build had made it."""


SHAPES = (
    Shape("a .git that is a file and points elsewhere", "rm -rf .git; echo gitdir: $OUT/victim/.git > .git"),
    Shape("a .git that is a link elsewhere", "rm -rf .git; ln -s $OUT/victim/.git .git"),
    Shape("a HEAD that is a link elsewhere", "rm .git/HEAD; ln -s $OUT/victim/.git/HEAD .git/HEAD"),
    Shape("branches that are a link elsewhere", "rm -rf .git/refs; ln -s $OUT/victim/.git/refs .git/refs"),
    Shape("an index that is a link elsewhere", "rm .git/index; ln -s $OUT/victim/.git/index .git/index"),
    Shape("a broken index", "head -c 5000 /dev/urandom > .git/index"),
    Shape("objects borrowed from elsewhere", "echo $OUT/victim/.git/objects > .git/objects/info/alternates"),
    Shape("objects that are a link elsewhere", "rm -rf .git/objects; ln -s $OUT/victim/.git/objects .git/objects"),
    Shape("a git directory shared with another", "echo $OUT/victim/.git > .git/commondir"),
    Shape("a work tree elsewhere", "git config core.worktree $OUT/victim"),
    Shape("locks that are never released", "touch .git/index.lock .git/HEAD.lock .git/config.lock"),
    Shape("attributes that are a link elsewhere", "ln -s $OUT/secret .gitattributes"),
    Shape("ignored names that are a link elsewhere", "ln -s $OUT/secret .gitignore"),
    Shape("a file that is a link elsewhere", "ln -s $OUT/secret link", export="link"),
    Shape("a tracked file that became a link elsewhere", "rm b.txt; ln -s $OUT/secret b.txt", export="*.txt"),
    Shape("a folder that is a link elsewhere", "rm -rf dir; ln -s $OUT dir", export="dir/**/*"),
    Shape("links inside of what is exported", "mkdir out; ln -s $OUT out/a; ln -s $OUT/secret out/b", export="out"),
    Shape("links that go up and down again", "ln -s ../../../../../../../../../../$OUT/secret up", export="up"),
    Shape("links to a process's own files", "ln -s /proc/self/environ e; ln -s /proc/self/root r", export="*"),
    Shape("a hard link to a file outside of the tree", "ln /etc/passwd hard || ln ~/x hard || ln /honk/bridge.py hard"),
    Shape("a pipe where a file is wanted", "mkfifo pipe", export="pipe"),
    Shape("a socket where a file is wanted", "python3 -c \"import socket as s; s.socket(1).bind('s')\"", export="s"),
    Shape("a program that would run as its owner", "cp /bin/sh sh; chmod 6755 sh", export="sh"),
    Shape("names that look like options and paths", "touch -- -rf '--output=x' '$(id)'; mkdir -- '..x'", export="*"),
    Shape("folders nobody may enter", "mkdir -p shut/in; ln -s $OUT shut/in/out; chmod 000 shut/in; chmod 000 shut"),
)  # fmt: skip


@dataclass(frozen=True)
class Result:
    """What was to be seen after Honk had worked on a tree."""

    committed: dict[str, str]
    exported: dict[str, bytes]
    modes: set[int]


@pytest.fixture(scope="module")
def settings(can_sandbox: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with own_homes(tmp_path_factory.mktemp("trees")) as found:
        yield found


@pytest.fixture(scope="module")
def outside(settings: Settings) -> Path:
    """Folders of the machine, with a repository of somebody else's."""
    folder = settings.home.parent / "outside"
    victim = folder / "victim"
    victim.mkdir(parents=True)
    git(victim, "init", "-q", "-b", "main")
    (victim / "kept.txt").write_text(WORD)
    git(victim, "add", "-A")
    git(victim, "commit", "-qm", WORD)
    (folder / "secret").write_text(f"{WORD}\n")
    (folder / "secret").chmod(0o640)
    return folder


@pytest.fixture(scope="module")
def project(settings: Settings) -> Path:
    folder = settings.home.parent / "project"
    (folder / "dir").mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    for name in ("a.txt", "b.txt", "dir/c.txt"):
        (folder / name).write_text("one\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "First")
    return folder


def everything(folder: Path) -> dict[str, tuple[int, bytes]]:
    """All files below a folder, with their modes."""
    return {
        str(path.relative_to(folder)): (path.lstat().st_mode, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def base(settings: Settings, project: Path) -> tuple[Workspaces, Repository, str]:
    workspaces = Workspaces(settings)
    repository = repository_at(project)
    return workspaces, repository, workspaces.fetch(repository)


def work(base: tuple[Workspaces, Repository, str], number: int, shape: Shape, outside: Path, target: Path) -> Result:
    """Have an agent make the shape, commit it, check it out again, take from it and remove it."""
    workspaces, repository, sha = base
    task = task_on(sha, id=f"shape{number}")
    with workspaces.open(task, repository) as workspace:
        commit = snapshot(workspace, f"OUT={outside}; echo two >> a.txt; touch ~/x\n{shape.script}")
        workspace.diff_stat()
    change = workspaces.change_git_dir(task)
    lines = git(change, "ls-tree", "-r", "-z", commit).split("\0")
    committed = {}
    for line in filter(None, lines):
        entry, _, name = line.partition("\t")
        committed[name] = git_bytes("cat-file", "blob", entry.split()[2], directory=change).decode("utf-8", "replace")
    exported: list[Path] = []
    if shape.export:
        with workspaces.checkout(repository, sha) as checkout:
            checkout.run(shell(f"OUT={outside}\n{shape.script}"))
            exported = [*checkout.export(shape.export, target)]
    with workspaces.checkout(repository, commit, source=change) as again:
        again.run(shell("git status"))
    workspaces.remove(task)
    assert not workspaces.exists(task)
    return Result(
        committed,
        {str(path.relative_to(target)): path.read_bytes() for path in exported},
        {path.lstat().st_mode & 0o7000 for path in exported},
    )


def snapshot(workspace: Workspace, script: str) -> str:
    workspace.run(shell(script))
    sha = workspace.snapshot("Change", ADA)
    assert sha is not None
    return sha


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_it_leads_honk_nowhere(
    shape: Shape, base: tuple[Workspaces, Repository, str], outside: Path, tmp_path: Path
) -> None:
    before = everything(outside)
    result = work(base, SHAPES.index(shape), shape, outside, tmp_path / "target")
    assert everything(outside) == before
    assert result.committed["a.txt"] == "one\ntwo\n"
    said = " ".join(
        [*result.committed.values(), *(content.decode("utf-8", "replace") for content in result.exported.values())]
    )
    assert WORD not in said
    assert "root:" not in said
    assert result.modes <= {0}
    assert [path for path in (tmp_path / "target").rglob("*") if path.is_symlink()] == []


def test_a_link_in_the_change_catches_no_file_that_the_base_brings_below_it(
    base: tuple[Workspaces, Repository, str], outside: Path, project: Path
) -> None:
    workspaces, repository, sha = base
    task = task_on(sha, id="caught")
    with workspaces.open(task, repository) as workspace:
        snapshot(workspace, f"rm -rf dir; ln -s {outside} dir; ln -s {outside} new")
    git(project, "switch", "-q", "-c", "theirs")
    (project / "new").mkdir()
    (project / "new" / "secret").write_text("overwritten\n")
    (project / "dir" / "secret").write_text("overwritten\n")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "Theirs")
    theirs = git(project, "rev-parse", "HEAD")
    before = everything(outside)
    workspaces.bring_in(task, repository, theirs, "Merge", source=project / ".git")
    assert everything(outside) == before


def test_a_program_that_runs_with_its_owners_rights_stays_in_a_home_that_nobody_else_may_enter(
    base: tuple[Workspaces, Repository, str], settings: Settings
) -> None:
    from honk.app import assemble

    # It may have been made by hand, as everybody's.
    settings.home.chmod(0o755)
    assemble(settings)
    assert settings.home.stat().st_mode & 0o077 == 0


def test_the_history_that_tasks_share_cannot_be_changed_from_inside(base: tuple[Workspaces, Repository, str]) -> None:
    workspaces, repository, sha = base
    mirror = workspaces.mirrors.path(repository)
    before = everything(mirror)
    with workspaces.open(task_on(sha, id="history"), repository) as workspace:
        script = """
for store in $(cat .git/objects/info/alternates) /honk/objects/*; do
    find $store -type f | while read -r file; do chmod u+w $file; echo x > $file; rm -f $file; done
    ln -s / $store/escape; touch $store/made; chmod 777 $store
done
git gc --prune=now; git prune --expire=now; git repack -ad; git -C $store update-ref refs/heads/main HEAD; true
"""
        workspace.run(shell(script))
    assert everything(mirror) == before
    assert git(mirror, "fsck", "--full") == ""


LOOK = """
find / '(' -path /usr -o -path /opt -o -path /proc ')' -prune -o -name of-mine -print
ls /proc/*/cwd/of-mine
"""


def test_another_tasks_tree_and_home_cannot_be_found(base: tuple[Workspaces, Repository, str]) -> None:
    workspaces, repository, sha = base
    with workspaces.open(task_on(sha, id="mine"), repository) as mine:
        mine.run(shell(f"echo {WORD} > of-mine; echo {WORD} > ~/of-mine; echo {WORD} > /tmp/of-mine"))
        with workspaces.open(task_on(sha, id="other"), repository) as other:
            looked = other.run(shell(LOOK))
    assert "/of-mine" not in looked.output.replace("'/proc/*/cwd/of-mine'", "")


def test_files_that_came_with_a_message_cannot_be_changed(
    base: tuple[Workspaces, Repository, str], tmp_path: Path
) -> None:
    from honk.store import Attachments

    workspaces, repository, sha = base
    attachments = Attachments(tmp_path)
    kept = attachments.keep("plan.txt", "text/plain", b"plan")
    attachments.lay_out("attached", [kept])
    folder = attachments.folder("attached")
    with workspaces.open(task_on(sha, id="attached"), repository, folder) as workspace:
        script = (
            "cd /honk/attachments; cat plan.txt; echo x >> plan.txt; rm plan.txt; ln -s /etc/passwd new; chmod 777 ."
        )
        assert workspace.run(shell(script)).output.startswith("plan")
    assert everything(tmp_path) == {
        f"attachments/{kept.sha256}": (0o100600, b"plan"),
        "attachments/tasks/attached/plan.txt": (0o100600, b"plan"),
    }
