"""Workspaces in layers: nothing is copied, nothing that others stand on changes, and git sees all that was done."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from honk.model import Checkout, Reach, Repository, Workspace
from honk.settings import Settings, read_settings
from honk.workspace import Workspaces
from honk.workspace.layers import MONITORED
from honk.workspace.overlays import overlay_refusal
from tests.conftest import git

from .conftest import ADA, Make, repository_at, shell, task_on


@pytest.fixture(autouse=True)
def can_layer(settings: Settings) -> None:
    if (refusal := overlay_refusal(settings.home)) is not None:
        pytest.skip(f"The kernel refuses overlays here: {refusal}")


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with so many files that git is told which of them were written instead of looking."""
    return made(tmp_path_factory.mktemp("large") / "project", MONITORED // 50 + 1)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with so few files that git is told only where at the root something was written."""
    return made(tmp_path_factory.mktemp("small") / "project", 3)


def made(path: Path, folders: int) -> Path:
    for number in range(folders):
        folder = path / "src" / f"part{number}"
        folder.mkdir(parents=True)
        for name in range(50):
            (folder / f"{name}.txt").write_text(f"{number} {name}\n")
    (path / ".gitignore").write_text("out/\n")
    git(path, "init", "-q", "-b", "main")
    git(path, "add", "-A")
    git(path, "-c", "user.name=Ada", "-c", "user.email=ada@example.com", "commit", "-qm", "First")
    return path


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, can_sandbox: None) -> Workspaces:
    """Trees of a home that several tests share, because the large repository is laid out there once."""
    return Workspaces(read_settings(home=tmp_path_factory.mktemp("shared")))


def do(workspace: Workspace, line: str) -> str:
    done = workspace.run(shell(f"set -e; {line}"))
    assert done.exit_code == 0, done.output
    return done.output


def bases(settings: Settings) -> list[Path]:
    return sorted(facts.parent for facts in (settings.home / "bases").glob("*/*/facts.json"))


def has_files(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and ".git" not in path.parts
    )


NAMES = '?? *\n?? -e\n?? ..odd\n?? .hidden\n?? "with space"\n'
CHANGES = {
    "an edit": ("echo more >> src/part1/1.txt", " M src/part1/1.txt\n"),
    "an edit of the same length": ("printf '1 X\\n' > src/part1/1.txt", " M src/part1/1.txt\n"),
    "a mode": ("chmod +x src/part1/1.txt", " M src/part1/1.txt\n"),
    "a new file": ("echo new > src/part1/new.txt", "?? src/part1/new.txt\n"),
    "a new folder": ("mkdir -p a/b; echo new > a/b/c", "?? a/\n"),
    "a deletion": ("rm src/part1/1.txt", " D src/part1/1.txt\n"),
    "a file where a folder was": ("rm -r src/part1; echo x > src/part1", "{deleted}?? src/part1\n"),
    "a folder where a file was": (
        "rm src/part1/1.txt; mkdir src/part1/1.txt; echo x > src/part1/1.txt/in",
        " D src/part1/1.txt\n",
    ),
    "a folder deleted and made anew": (
        "git status -s; rm -r src/part1; mkdir src/part1; echo '1 1' > src/part1/1.txt",
        "{all but 1}",
    ),
    "a folder moved": ("mv src/part1 src/moved", "{deleted}?? src/moved/\n"),
    "a link": ("ln -sf /etc/passwd src/part1/1.txt", " T src/part1/1.txt\n"),
    "an ignored file": ("mkdir out; echo built > out/app", ""),
    "names at the root": ("touch -- -e '*' 'with space' .hidden ..odd", NAMES),
    "an edit undone": ("echo more >> src/part1/1.txt; git checkout -q src/part1/1.txt", ""),
}


@pytest.mark.parametrize("change", CHANGES)
def test_git_sees_every_kind_of_change_in_a_large_repository(change: str, shared: Workspaces, large: Path) -> None:
    sees(change, shared, replace(repository_at(large), name="large"), "fsmonitor.py")


FEWER = (
    "an edit of the same length",
    "a new file",
    "a deletion",
    "a folder deleted and made anew",
    "names at the root",
)


@pytest.mark.parametrize("change", FEWER)
def test_git_sees_changes_in_a_small_repository(change: str, shared: Workspaces, small: Path) -> None:
    sees(change, shared, replace(repository_at(small), name="small"), "/honk/upper")


def sees(change: str, shared: Workspaces, repository: Repository, monitor: str) -> None:
    line, told = CHANGES[change]
    all_deleted = sorted(f" D src/part1/{name}.txt\n" for name in range(50))
    told = told.replace("{deleted}", "".join(all_deleted))
    told = told.replace("{all but 1}", "".join(one for one in all_deleted if "/1.txt" not in one))
    task = replace(task_on(shared.fetch(repository)), id=f"{repository.name}-{change.replace(' ', '-')}")
    with shared.open(task, repository) as workspace:
        assert monitor in do(workspace, "git config core.fsmonitor")
        assert do(workspace, "git status -s") == ""
        do(workspace, line)
        assert do(workspace, "git status -s") == told
        assert do(workspace, "git -c core.fsmonitor=false -c core.untrackedCache=false status -s") == told
        sha = workspace.snapshot("Change", ADA)
        assert (sha is not None) == bool(told)
        if sha:
            in_tree = do(workspace, "git add -A; git write-tree").strip()
            assert git(shared.change_git_dir(task), "rev-parse", f"{sha}^{{tree}}") == in_tree


def test_what_one_workspace_writes_no_other_sees(workspaces: Workspaces, make_repository: Make) -> None:
    repository = repository_at(make_repository({"a": "1\n", "b": "2\n"}))
    base = workspaces.fetch(repository)
    with (
        workspaces.open(task_on(base), repository) as one,
        workspaces.open(replace(task_on(base), id="t2"), repository) as two,
    ):
        do(one, "echo 9 > a; rm b; echo new > c")
        assert do(two, "cat a b; ls") == "1\n2\na\nb\n"
        with workspaces.checkout(repository, base) as checkout:
            assert checkout.run(shell("cat a b; ls")).output == "1\n2\na\nb\n"
        assert do(one, "cat a; ls") == "9\na\nc\n"


def test_git_beside_a_checkout_sees_what_was_written_in_it_before(
    workspaces: Workspaces, make_repository: Make
) -> None:
    repository = repository_at(make_repository({"a": "1\n", "b": "2\n"}))
    with workspaces.checkout(repository, workspaces.fetch(repository)) as checkout:
        assert checkout.run(shell("git status -s; echo 9 > a; echo new > c; git status -s")).exit_code == 0
        with checkout.apart() as beside:
            assert beside.run(shell("git status -s; rm b; git status -s")).output == " M a\n?? c\n M a\n D b\n?? c\n"


def test_a_workspace_is_a_few_small_files(shared: Workspaces, large: Path) -> None:
    repository = replace(repository_at(large), name="large")
    task = task_on(shared.fetch(repository))
    with shared.open(task, repository):
        folder = shared.change_git_dir(task).parent
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert len(files) < 12
        assert sum(path.stat().st_size for path in files) < 10_000


def test_the_next_base_has_only_what_differs(workspaces: Workspaces, make_repository: Make, settings: Settings) -> None:
    path = make_repository({f"dir{number}/file": "same\n" for number in range(20)} | {"gone/deep/file": "x\n"})
    repository = repository_at(path)
    first = workspaces.fetch(repository)
    with workspaces.checkout(repository, first):
        pass
    (path / "dir3" / "file").write_text("other\n")
    git(path, "rm", "-q", "gone/deep/file")
    git(path, "commit", "-qam", "Second")
    second = workspaces.fetch(repository)
    with workspaces.open(task_on(second), repository) as workspace:
        assert do(workspace, "git status -s; git log --format=%s; cat dir3/file dir4/file; ls -d gone || true") == (
            "Second\nFirst\nother\nsame\nls: cannot access 'gone': No such file or directory\n"
        )
    assert has_files(settings.home / "bases" / "project" / second / "tree") == ["dir3/file"]


def test_a_session_keeps_the_base_it_started_on(workspaces: Workspaces, make_repository: Make) -> None:
    path = make_repository({"a": "1\n"})
    repository = repository_at(path)
    task = task_on(workspaces.fetch(repository))
    with workspaces.open(task, repository) as workspace:
        do(workspace, "echo mine > b")
    (path / "a").write_text("2\n")
    git(path, "commit", "-qam", "Second")
    with workspaces.open(replace(task_on(workspaces.fetch(repository)), id="t2"), repository) as other:
        assert do(other, "cat a") == "2\n"
    with workspaces.open(task, repository) as workspace:
        assert do(workspace, "cat a b") == "1\nmine\n"


def test_a_base_that_nobody_stands_on_is_collected_and_made_again_when_it_is_wanted(
    workspaces: Workspaces, make_repository: Make, settings: Settings
) -> None:
    path = make_repository({"a": "1\n"})
    repository = repository_at(path)
    first = workspaces.fetch(repository)
    task = task_on(first)
    with workspaces.open(task, repository):
        pass
    (path / "a").write_text("2\n")
    git(path, "commit", "-qam", "Second")
    second = workspaces.fetch(repository)
    with workspaces.open(replace(task_on(second), id="t2"), repository) as workspace:
        do(workspace, "true")
    workspaces.remove(replace(task, id="t2"))
    assert [base.name for base in bases(settings)] == sorted([first, second])
    workspaces.collect(limit=0)
    assert [base.name for base in bases(settings)] == [first]
    with workspaces.open(task, repository) as workspace:
        assert do(workspace, "cat a") == "1\n"
    workspaces.remove(task)
    workspaces.collect(limit=0)
    assert bases(settings) == []
    with workspaces.checkout(repository, second) as checkout:
        assert checkout.run(shell("cat a")).output == "2\n"
        workspaces.collect(limit=0)
        assert checkout.run(shell("cat a")).output == "2\n"


def test_a_base_in_use_by_another_process_is_not_collected_and_one_of_a_killed_process_is(
    workspaces: Workspaces, make_repository: Make, settings: Settings
) -> None:
    repository = repository_at(make_repository({"a": "1\n"}))
    sha = workspaces.fetch(repository)
    code = (
        "import sys; from honk.model import Repository; from honk.settings import read_settings\n"
        "from honk.workspace import Workspaces\n"
        f"repository = Repository('project', {repository.git_url!r}, {repository.git_url!r}, 'main')\n"
        f"with Workspaces(read_settings()).checkout(repository, {sha!r}): print('in', flush=True); sys.stdin.read()\n"
    )
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout is not None
    assert other.stdout.readline() == b"in\n"
    workspaces.collect(limit=0)
    assert len(bases(settings)) == 1
    other.kill()
    other.communicate()
    workspaces.collect(limit=0)
    assert bases(settings) == []


def test_a_base_that_was_half_made_by_a_killed_process_is_made_anew(
    workspaces: Workspaces, make_repository: Make, settings: Settings
) -> None:
    repository = repository_at(make_repository({"a": "1\n"}))
    sha = workspaces.fetch(repository)
    left = settings.home / "bases" / "project" / ".new-dead" / "tree"
    left.mkdir(parents=True)
    (left / "a").write_text("half")
    with workspaces.checkout(repository, sha) as checkout:
        assert checkout.run(shell("cat a")).output == "1\n"
    assert not left.exists()


def test_a_command_that_reads_only_runs_beside_one_that_writes(
    workspaces: Workspaces, make_repository: Make, tmp_path: Path
) -> None:
    repository = repository_at(make_repository({"a": "1\n"}))
    with workspaces.open(task_on(workspaces.fetch(repository)), repository) as workspace:
        seen: list[str] = []

        def look(text: str) -> None:
            if "written" in text:
                seen.append(workspace.run(replace(shell("cat a b; touch c"), reads_only=True)).output)
                (tmp_path / "go-on").touch()

        line = "echo 2 > a; echo new > b; echo written; while [ ! -e /signal/go-on ]; do sleep 0.02; done"
        writes = replace(shell(line), writable={"/signal": tmp_path})
        assert workspace.run(writes, on_output=look).exit_code == 0
        assert seen == ["2\nnew\ntouch: cannot touch 'c': Read-only file system\n"]


def without_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("workspaces", "bases"):
        monkeypatch.setattr(f"honk.workspace.{module}.overlays_work", lambda _: False)


def test_where_overlays_are_refused_a_tree_is_copied_and_all_else_is_the_same(
    workspaces: Workspaces, make_repository: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    repository = repository_at(make_repository({"a": "1\n", "dir/b": "2\n"}))
    base = workspaces.fetch(repository)
    told: list[list[str]] = []
    for number in range(2):
        if number:
            without_layers(monkeypatch)
        task = replace(task_on(base), id=f"t{number}")
        with workspaces.open(task, repository) as workspace:
            output = do(workspace, "git status -s; rm -r dir; echo 2 > a; git status -s; git branch --show-current")
            sha = str(workspace.snapshot("Change", ADA))
            tree = git(workspaces.change_git_dir(task), "rev-parse", f"{sha}^{{tree}}")
        with workspaces.checkout(repository, sha, source=workspaces.change_git_dir(task)) as checkout:
            checkout.run(shell("mkdir out; echo built > out/app"))
            exported = checkout.export("out", tmp_path / str(number))
            listing = checkout.run(shell("ls; git status -s; git rev-parse HEAD^{tree}")).output
        told.append([output.replace(task.id, "ID"), tree, listing, *(path.name for path in exported)])
    assert told[0] == told[1]


def test_a_repository_named_like_a_part_of_a_base_is_no_trouble(workspaces: Workspaces, make_repository: Make) -> None:
    path = make_repository({"upper": "u\n", "work": "w\n", "lowers.json": "[]\n"})
    repository = Repository("project", str(path), str(path), "main")
    with workspaces.open(task_on(workspaces.fetch(repository)), repository) as workspace:
        assert do(workspace, "cat upper work lowers.json; git status -s") == "u\nw\n[]\n"


def test_an_agent_finds_what_the_set_up_made_and_it_is_no_part_of_its_change(
    workspaces: Workspaces, make_repository: Make
) -> None:
    repository = repository_at(make_repository({"a": "1\n", "src/b": "2\n"}))
    base = workspaces.fetch(repository)
    runs: list[str] = []

    def set_up(checkout: Checkout) -> str:
        def run() -> bool:
            runs.append("run")
            line = "mkdir -p modules 'src/odd [name]' ~/tools/bin; echo dep > modules/dep; touch src/b2;"
            tool = "printf '#!/bin/sh\\necho from the tool\\n' > ~/tools/bin/tool; chmod +x ~/tools/bin/tool"
            return checkout.run(shell(line + tool)).exit_code == 0

        checkout.set_up("key", run)
        return "$HOME/tools/bin"

    workspaces.ready(repository, base, set_up)
    workspaces.ready(repository, base, set_up)
    assert runs == ["run"]
    task = task_on(base)
    with workspaces.open(task, repository) as workspace:
        assert do(workspace, "tool; cat modules/dep; git status -s") == "from the tool\ndep\n"
        do(workspace, "echo mine > mine; echo changed > modules/dep; echo x > ~/tools/mine")
        sha = str(workspace.snapshot("Change", ADA))
        assert git(workspaces.change_git_dir(task), "diff", "--name-only", base, sha) == "mine"
    workspaces.bring_in(task, repository, sha, "Again")
    with workspaces.open(replace(task, id="t2"), repository) as other:
        assert do(other, "cat modules/dep; ls ~/tools") == "dep\nbin\n"
    workspaces.collect(limit=0)
    with workspaces.open(task, repository) as workspace:
        assert do(workspace, "tool; cat modules/dep ~/tools/mine") == "from the tool\nchanged\nx\n"


def test_a_set_up_that_failed_keeps_nobody_from_working(workspaces: Workspaces, make_repository: Make) -> None:
    repository = repository_at(make_repository({"a": "1\n"}))
    base = workspaces.fetch(repository)
    tried: list[str] = []

    def set_up(checkout: Checkout) -> None:
        checkout.set_up("key", lambda: checkout.run(shell("echo half > half; exit 3")).exit_code == 0)
        tried.append("tried")

    workspaces.ready(repository, base, set_up)
    workspaces.ready(repository, base, set_up)
    assert tried == ["tried"]
    with workspaces.open(task_on(base), repository) as workspace:
        assert do(workspace, "ls") == "a\n"


def test_what_only_looks_at_a_tree_reaches_nothing_that_others_may(
    workspaces: Workspaces, make_repository: Make
) -> None:
    repository = repository_at(make_repository({"a": "1\n"}))
    refused: list[str] = []
    reach = Reach(lambda host, port: True, lambda host, port, why: refused.append(host), egress=["example.com"])
    with workspaces.checkout(repository, workspaces.fetch(repository), reach=reach) as checkout:
        asked = shell("echo ${HTTPS_PROXY:-none}")
        assert checkout.run(asked).output.startswith("http://127.0.0.1:")
        assert checkout.run(replace(asked, reads_only=True)).output == "none\n"
