"""Clean checkouts: what is in them, what comes out of them, and that nothing stays."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from honk.model import HonkError, UsageError
from honk.settings import Settings
from honk.workspace import Workspaces
from tests.conftest import git

from .conftest import ADA, Make, repository_at, shell, task_on


def leftovers(settings: Settings) -> list[Path]:
    return [path for path in (settings.home / "checkouts").iterdir() if path.is_dir()]


def test_a_checkout_has_the_commits_files_and_a_git_that_build_tools_can_use(
    workspaces: Workspaces, make_repository: Make
) -> None:
    repository = repository_at(make_repository({"a.txt": "one\n", "dir/ü b": "two", "run.sh": "#!/bin/sh\necho ran\n"}))
    sha = workspaces.fetch(repository)
    with workspaces.checkout(repository, sha) as checkout:
        assert checkout.commit == sha
        assert checkout.files() == ["a.txt", "dir/ü b", "run.sh"]
        assert checkout.read("a.txt") == "one\n"
        assert checkout.read("dir") is None
        assert checkout.read("missing") is None
        done = checkout.run(shell("git status --porcelain; git log --format=%s; git rev-parse HEAD; ./run.sh"))
        assert done.output == f"First\n{sha}\nran\n"


def test_changes_to_the_tree_and_the_home_are_kept_between_commands(
    workspaces: Workspaces, make_repository: Make
) -> None:
    repository = repository_at(make_repository({"a": "1"}))
    with workspaces.checkout(repository, workspaces.fetch(repository)) as checkout:
        checkout.run(shell("echo built > out; echo cached > ~/cache"))
        assert checkout.run(shell("cat out ~/cache")).output == "built\ncached\n"
        assert checkout.files() == ["a"]


def test_a_checkout_is_gone_afterwards_whatever_was_left_in_it(
    workspaces: Workspaces, make_repository: Make, settings: Settings
) -> None:
    repository = repository_at(make_repository({"a": "1"}))
    with workspaces.checkout(repository, workspaces.fetch(repository)) as checkout:
        checkout.run(shell("mkdir -p locked/in; touch locked/in/f; chmod 000 locked/in locked; ln -s / root"))
        deep = "import os\nfor _ in range(3000):\n    os.mkdir('d'); os.chdir('d')"
        assert checkout.run(shell(f'python3 -c "{deep}"')).exit_code == 0
    assert leftovers(settings) == []


def test_a_command_cannot_change_the_history_that_checkouts_share(
    workspaces: Workspaces, make_repository: Make
) -> None:
    repository = repository_at(make_repository({"a": "1"}))
    sha = workspaces.fetch(repository)
    with workspaces.checkout(repository, sha) as checkout:
        done = checkout.run(shell("find /honk/objects -type f | while read f; do chmod u+w $f; echo x > $f; done 2>&1"))
        assert "Read-only file system" in done.output
        links = checkout.run(shell("find .git -type f -links +1"))
        assert links.output == ""
    assert git(workspaces.mirrors.path(repository), "fsck", "--full") == ""


def test_checkouts_of_a_killed_process_are_removed_at_the_next_start(
    workspaces: Workspaces, make_repository: Make, settings: Settings
) -> None:
    repository = repository_at(make_repository({"a": "1"}))
    sha = workspaces.fetch(repository)
    code = (
        "import os; from honk.model import Repository; from honk.settings import read_settings\n"
        "from honk.workspace import Workspaces\n"
        f"repository = Repository('project', {repository.git_url!r}, {repository.git_url!r}, 'main')\n"
        f"with Workspaces(read_settings()).checkout(repository, {sha!r}): os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    with workspaces.checkout(repository, sha) as living:
        assert len(leftovers(settings)) == 2
        Workspaces(settings)
        assert len(leftovers(settings)) == 1
        assert living.run(shell("cat a")).output == "1"


def test_an_unknown_commit_is_refused(workspaces: Workspaces, make_repository: Make) -> None:
    repository = repository_at(make_repository({"a": "1"}))
    workspaces.fetch(repository)
    with pytest.raises(UsageError, match="fetch the repository first"), workspaces.checkout(repository, "0" * 40):
        pass


def test_filters_and_hooks_of_a_repository_do_not_run_outside(
    workspaces: Workspaces, make_repository: Make, tmp_path: Path
) -> None:
    path = make_repository({"a": "1", ".gitattributes": "* filter=evil\n"})
    git(path, "config", "filter.evil.smudge", f"touch {tmp_path}/ran; cat")
    hook = path / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    repository = repository_at(path)
    with workspaces.checkout(repository, workspaces.fetch(repository)) as checkout:
        assert checkout.run(shell("cat a")).output == "1"
    assert not (tmp_path / "ran").exists()


@pytest.fixture
def built(workspaces: Workspaces, make_repository: Make) -> object:
    repository = repository_at(make_repository({"a": "1"}))
    return workspaces.checkout(repository, workspaces.fetch(repository))


def test_an_export_takes_files_and_folders_and_leaves_links_behind(built: object, tmp_path: Path) -> None:
    with built as checkout:  # type: ignore[attr-defined]
        checkout.run(
            shell(
                "mkdir -p dist/js app/x/apk; echo i > dist/index.html; echo j > dist/js/app.js;"
                "echo k > app/x/apk/a.apk; ln -s /etc/passwd dist/passwd; ln -s / dist/root; mkfifo dist/pipe;"
                "ln -s dist linked; chmod +x dist/js/app.js"
            )
        )
        assert sorted(path.relative_to(tmp_path).as_posix() for path in checkout.export("dist", tmp_path / "web")) == [
            "web/index.html",
            "web/js/app.js",
        ]
        assert os.access(tmp_path / "web" / "js" / "app.js", os.X_OK)
        assert checkout.export("app/**/*.apk", tmp_path / "apk") == [tmp_path / "apk" / "a.apk"]
        assert checkout.export("linked", tmp_path / "none") == []
        assert checkout.export("linked/index.html", tmp_path / "none") == []
        assert checkout.export("missing/*", tmp_path / "none") == []
        assert not (tmp_path / "none").exists()


def test_an_export_stays_within_the_tree_and_says_when_names_clash(built: object, tmp_path: Path) -> None:
    with built as checkout:  # type: ignore[attr-defined]
        for pattern in ("/etc", "../tree", "a/../../home"):
            with pytest.raises(UsageError, match="below the repository's root"):
                checkout.export(pattern, tmp_path / "none")
        checkout.run(shell("mkdir x y; touch x/app.apk y/app.apk; truncate -s 9G huge"))
        with pytest.raises(UsageError, match=r"two files called app\.apk"):
            checkout.export("*/app.apk", tmp_path / "none")
        with pytest.raises(HonkError, match="GiB"):
            checkout.export("huge", tmp_path / "none")


def test_submodules_are_filled_in_where_they_can_be_had(
    workspaces: Workspaces, make_repository: Make, tmp_path: Path
) -> None:
    make_repository({"lib.txt": "library\n"}, name="library")
    path = make_repository({"a": "1"})
    allow = ("-c", "protocol.file.allow=always")
    git(path, *allow, "submodule", "--quiet", "add", "../library", "deps/library")
    git(path, *allow, "submodule", "--quiet", "add", str(tmp_path / "library"), "gone")
    git(path, "config", "-f", ".gitmodules", "submodule.gone.url", str(tmp_path / "nowhere"))
    git(path, "commit", "-qam", "Submodules")
    repository = repository_at(path)
    with workspaces.checkout(repository, workspaces.fetch(repository)) as checkout:
        done = checkout.run(shell("cat deps/library/lib.txt; git -C deps/library status --porcelain; ls gone"))
        assert done.output == "library\n"


def test_a_submodule_that_stays_empty_is_told_of_and_filled_once_it_can_be_had(
    workspaces: Workspaces, make_repository: Make, tmp_path: Path
) -> None:
    make_repository({"lib.txt": "library\n"}, name="library")
    path = make_repository({"a": "1"})
    git(path, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "../library", "deps/library")
    git(path, "config", "-f", ".gitmodules", "submodule.deps/library.url", "../nowhere")
    git(path, "commit", "-qam", "A submodule that is nowhere")
    repository = repository_at(path)
    first, second = task_on(workspaces.fetch(repository), id="first"), path / ".gitmodules"
    with workspaces.open(first, repository):
        (told,) = workspaces.lacking(first).values()
        assert told.startswith("The submodule deps/library cannot be fetched: ")
        assert "nowhere" in told
    (tmp_path / "library").rename(tmp_path / "nowhere")
    second.write_text(second.read_text() + "# it is there now\n")
    git(path, "commit", "-qam", "Another commit")
    later = task_on(workspaces.fetch(repository), id="later")
    with workspaces.open(later, repository) as workspace:
        assert workspaces.lacking(later) == {}
        assert workspace.run(shell("cat deps/library/lib.txt")).output == "library\n"


def test_addresses_of_submodules_that_an_agent_wrote_are_not_fetched(
    workspaces: Workspaces, make_repository: Make, tmp_path: Path
) -> None:
    private = make_repository({"secret.txt": "secret\n"}, name="private")
    head = git(private, "rev-parse", "HEAD")
    repository = repository_at(make_repository({"a": "1"}))
    task = task_on(workspaces.fetch(repository))
    with workspaces.open(task, repository) as workspace:
        done = workspace.run(
            shell(
                "git init -q stolen; git config -f .gitmodules submodule.stolen.path stolen;"
                f"git config -f .gitmodules submodule.stolen.url {private}; rm -rf stolen; echo 2 > a"
            )
        )
        assert done.exit_code == 0
        sha = str(workspace.snapshot("Steal", ADA))
    change = workspaces.change_git_dir(task)
    git(change, "read-tree", sha)
    git(change, "update-index", "--add", "--cacheinfo", f"160000,{head},stolen")
    linked = git(change, "commit-tree", git(change, "write-tree"), "-p", sha, "-m", "Link")
    with workspaces.checkout(repository, linked, source=change) as checkout:
        assert "stolen" in checkout.files()
        assert checkout.run(shell("ls -A stolen")).output == ""
