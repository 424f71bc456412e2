"""What a task has beyond its commits outlives its folder and its machine, bit by bit."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from honk.model import Checkout, HonkError, Repository, Task, Workspace
from honk.settings import Settings, read_settings
from honk.store import KeptWorkspaces, open_database
from honk.workspace import Workspaces
from honk.workspace.overlays import overlay_refusal
from tests.conftest import git

from .conftest import ADA, Make, repository_at, shell, task_on

KINDS = ("layers", "a plain tree")
WAYS = [("layers", "layers"), ("layers", "a plain tree"), ("a plain tree", "layers"), ("no sandbox", "no sandbox")]

FILES = {
    "a": "1\n",
    "same": "same\n",
    "run.sh": "#!/bin/sh\n",
    "gone": "x\n",
    "dir/b": "2\n",
    "dir/c": "3\n",
    "old/deep/one": "1\n",
    "old/deep/two": "2\n",
    "turned/file": "f\n",
    "flat": "f\n",
    ".gitignore": "out/\n*.log\n",
}

LOOK = """
import hashlib, json, os, stat
found, first = {}, {}
for name, root in (("", "."), ("~/", os.environ["HOME"])):
    os.chdir(root)
    for here, folders, files in os.walk("."):
        if here == "." and ".git" in folders:
            folders.remove(".git")
        for entry in [*folders, *files]:
            path = os.path.join(here, entry)
            status = os.lstat(path)
            facts = [oct(status.st_mode)]
            if stat.S_ISLNK(status.st_mode):
                facts += [ascii(os.readlink(path))]
            elif stat.S_ISREG(status.st_mode):
                if status.st_size < 1 << 30:
                    readable = os.access(path, os.R_OK)
                    if not readable:
                        os.chmod(path, 0o600)
                    with open(path, "rb") as file:
                        facts += [hashlib.sha256(file.read()).hexdigest()]
                    if not readable:
                        os.chmod(path, stat.S_IMODE(status.st_mode))
                facts += [status.st_size]
                if status.st_nlink > 1:
                    facts += [first.setdefault((status.st_dev, status.st_ino), path)]
            found[ascii(name + path[2:])] = facts
print(json.dumps(found, sort_keys=True))
"""


class Machine:
    """A home of Honk's on a machine of its own; all have one database."""

    def __init__(self, settings: Settings, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
        if kind == "layers" and (refusal := overlay_refusal(settings.home)) is not None:
            pytest.skip(f"The kernel refuses overlays here: {refusal}")
        self.settings = settings
        self.store = KeptWorkspaces(open_database(settings.database))
        self.workspaces = Workspaces(settings, kept=self.store)
        monkeypatch.setattr(self.workspaces, "_layered", lambda unsafe: kind == "layers" and not unsafe)

    @property
    def folders(self) -> list[str]:
        return [path.name for path in (self.settings.home / "workspaces").iterdir() if path.is_dir()]

    @contextmanager
    def at_work(self, task: Task, repository: Repository) -> Iterator[Workspace]:
        self.workspaces.fetch(repository)
        with self.workspaces.open(task, repository) as workspace:
            yield workspace

    def do(self, task: Task, repository: Repository, line: str) -> str:
        with self.at_work(task, repository) as workspace:
            done = workspace.run(shell(f"set -e; {line}"))
            assert done.exit_code == 0, done.output
            return done.output

    def look(self, task: Task, repository: Repository) -> dict[str, list[object]]:
        """All there is in the tree and the home, but git's own."""
        with self.at_work(task, repository) as workspace:
            done = workspace.run(shell(f"python3 - <<'END'\n{LOOK}\nEND"))
            assert done.exit_code == 0, done.output
            found: dict[str, list[object]] = json.loads(done.output)
            return found

    def put_down(self, task: Task, repository: Repository) -> list[str]:
        return list(self.workspaces.put_down(task, repository, remove=True))


@pytest.fixture
def machine(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Machine]:
    def make(kind: str = "layers", name: str = "one", **given: object) -> Machine:
        shared = f"sqlite:///{tmp_path / 'shared.db'}"
        return Machine(read_settings(home=tmp_path / name, database_url=shared, **given), kind, monkeypatch)

    return make


@pytest.fixture
def repository(make_repository: Make) -> Repository:
    path = make_repository(FILES)
    (path / "link").symlink_to("a")
    git(path, "add", "-A")
    git(path, "commit", "-qm", "Link")
    return repository_at(path)


def head(repository: Repository) -> str:
    return git(Path(repository.git_url), "rev-parse", "HEAD")


EVERY_KIND = r"""
echo 2 > a; chmod 755 a; chmod 644 run.sh; rm gone dir/c; rm -r old; mkdir old; echo new > old/new
rm -r turned; echo file > turned; rm flat; mkdir flat; echo in > flat/in
ln -sfn nowhere link; ln -s ../../../etc/passwd dir/passwd; ln -s /proc/self loop
mkdir -p out/cache/empty never; echo built > out/app; echo log > x.log; echo untracked > untracked
echo twice > first; ln first second; ln first out/third
mkdir -m 711 private; echo s > private/s; chmod 600 private/s
mkdir closed; echo in > closed/in; chmod 000 closed; echo hidden > unread; chmod 000 unread
mkdir shut; echo in > shut/in; chmod 500 shut
chmod 4755 run.sh; mkfifo pipe
truncate -s 12G huge.log; echo end >> sparse; truncate -s 1M sparse; echo tail >> sparse
printf x > "$(printf 'odd \n \\ \377 name')"; printf x > ' .'; mkdir "$(printf '\303\244')"; printf x > -- -rf
printf x > "$(printf '%0200d' 7)"
deep=$(printf 'd%.0s' $(seq 100)); mkdir -p $deep/$deep/$deep/$deep; echo x > $deep/$deep/$deep/$deep/x
mkdir -p ~/.claude/projects ~/.cache; echo memory > ~/.claude/projects/m; echo c > ~/.cache/c; ln -s / ~/root
chmod 600 ~/.claude/projects/m
touch -d 2020-01-02 untracked
git add -A . 2>/dev/null || true; git stash list; git config user.name Agent
"""


@pytest.mark.parametrize(("here", "there"), WAYS)
def test_every_kind_of_file_comes_back_as_it_was_on_another_machine(
    here: str, there: str, machine: Callable[..., Machine], repository: Repository
) -> None:
    one, two = machine(here), machine(there, "two")
    task = task_on(head(repository), unsafe=here == "no sandbox")
    one.do(task, repository, EVERY_KIND)
    before, status = one.look(task, repository), one.do(task, repository, "git status -s; stat -c %Y untracked")
    one.workspaces.put_down(task, repository, remove=False)
    assert one.look(task, repository) == before, "reading it has changed it"
    assert one.put_down(task, repository) == []
    assert one.folders == []
    assert two.look(task, repository) == before
    assert two.do(task, repository, "git status -s; stat -c %Y untracked; git config user.name") == f"{status}Agent\n"
    assert "12884901888" in two.do(task, repository, "stat -c %s huge.log")
    assert two.do(task, repository, "cat same; cat dir/b") == "same\n2\n"


@pytest.mark.parametrize("kind", KINDS)
def test_commits_that_are_not_pushed_and_what_came_after_them_come_back(
    kind: str, machine: Callable[..., Machine], repository: Repository
) -> None:
    one, two, task = machine(kind), machine(kind, "two"), task_on(head(repository))
    one.do(task, repository, "echo committed > a; rm dir/b")
    with one.at_work(task, repository) as workspace:
        sha = workspace.snapshot("Change", ADA)
        workspace.run(shell("echo later > a"))
    one.put_down(task, repository)
    change = two.workspaces.change_git_dir(task)
    assert git(change, "rev-parse", "honk/t1") == sha
    task = replace(task, head_sha=sha)
    assert two.do(task, repository, "cat a; ls dir") == "later\nc\n"
    with two.at_work(task, repository) as workspace:
        second = str(workspace.snapshot("Again", ADA))
    assert git(change, "rev-parse", f"{second}^") == sha
    assert git(change, "show", f"{second}:a") == "later"


@pytest.mark.parametrize("kind", KINDS)
def test_a_merge_that_is_still_to_be_mended_waits_on_the_other_machine_too(
    kind: str, machine: Callable[..., Machine], repository: Repository
) -> None:
    one, two, task = machine(kind), machine("layers", "two"), task_on(head(repository))
    one.do(task, repository, "echo mine > a")
    with one.at_work(task, repository) as workspace:
        sha = workspace.snapshot("Mine", ADA)
    path = Path(repository.git_url)
    (path / "a").write_text("theirs\n")
    git(path, "commit", "-qam", "Theirs")
    newest = one.workspaces.fetch(repository)
    task = replace(task, head_sha=sha)
    assert one.workspaces.bring_in(task, repository, newest, "Merge")[1] == ["a"]
    one.put_down(task, repository)
    with two.at_work(task, repository) as workspace:
        assert workspace.unmerged() == ["a"]
        workspace.run(shell("echo both > a"))
        merge = workspace.snapshot("Mend", ADA)
    change = two.workspaces.change_git_dir(task)
    assert git(change, "log", "-1", "--format=%P", str(merge)) == f"{sha} {newest}"


def test_the_machine_that_had_it_before_takes_up_what_the_other_one_did(
    machine: Callable[..., Machine], repository: Repository
) -> None:
    one, two, task = machine(), machine("a plain tree", "two"), task_on(head(repository))
    one.do(task, repository, "echo 1 > a")
    one.workspaces.put_down(task, repository, remove=False)
    assert one.folders == ["t1"]
    two.do(task, repository, "echo 2 > a; rm gone")
    two.put_down(task, repository)
    assert one.do(task, repository, "cat a; ls gone || true").startswith("2\n")
    one.workspaces.put_down(task, repository, remove=False)
    assert one.do(task, repository, "cat a").startswith("2\n")


def test_a_machine_does_not_go_on_without_what_another_one_still_holds(
    machine: Callable[..., Machine], repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, task = machine(), machine("layers", "two"), task_on(head(repository))
    one.do(task, repository, "echo 1 > a")
    monkeypatch.setattr("honk.workspace.keeping._PATIENCE", 0.0)
    with pytest.raises(HonkError, match=r"on another machine .* has not handed them over"):
        two.do(task, repository, "cat a")
    one.put_down(task, repository)
    assert two.do(task, repository, "cat a") == "1\n"


def test_what_is_in_use_is_not_put_down(machine: Callable[..., Machine], repository: Repository) -> None:
    one, task = machine(), task_on(head(repository))
    with one.at_work(task, repository) as workspace:
        one.put_down(task, repository)
        assert one.folders == ["t1"]
        assert workspace.run(shell("echo 1 > a; cat a")).output == "1\n"
    one.put_down(task, repository)
    assert one.folders == []


@pytest.mark.parametrize("kind", KINDS)
def test_over_the_limit_the_biggest_ignored_folders_are_left_out_and_never_a_change(
    kind: str, machine: Callable[..., Machine], repository: Repository
) -> None:
    one, two, task = machine(kind, delta_bytes=1_500_000), machine(kind, "two"), task_on(head(repository))
    one.do(
        task,
        repository,
        "some() { head -c $1 /dev/urandom; }; mkdir -p out/big ~/.cache ~/.claude; some 700000 > out/big/1;"
        "some 500000 > out/big/2; some 900000 > ~/.cache/c; some 300000 > small.log; some 500000 > work;"
        "some 400000 > ~/.claude/memory; echo 9 > a",
    )
    assert one.put_down(task, repository) == ["out", "~/.cache"]
    kept = two.look(task, repository)
    assert {"'work'", "'small.log'", "'a'", "'~/.claude/memory'"} <= kept.keys()
    assert not [path for path in kept if "out" in path or ".cache" in path]


def test_a_change_over_the_limit_is_kept_all_the_same(machine: Callable[..., Machine], repository: Repository) -> None:
    one, two, task = machine(delta_bytes=1000), machine("layers", "two"), task_on(head(repository))
    one.do(task, repository, "head -c 100000 /dev/urandom > work; cp work lib; rm gone")
    assert one.put_down(task, repository) == []
    assert two.do(task, repository, "cmp work lib; stat -c %s work; ls gone || true").startswith("100000\n")


@pytest.mark.parametrize("kind", KINDS)
def test_links_that_lead_out_and_devices_bring_nothing_of_the_machine_along(
    kind: str, machine: Callable[..., Machine], repository: Repository, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("canary-4c1f")
    secret.chmod(0o644)
    one, task = machine(kind), task_on(head(repository))
    one.do(
        task,
        repository,
        f"ln -s {secret} a-secret; ln -sfn {tmp_path} dir/all; rm -r old; ln -s {tmp_path} old; rm a; ln -s {secret} a;"
        f"mkdir -p ~/x; ln -s {secret} ~/x/s; ln -sfn {tmp_path} ~/.claude; mknod ~/device c 0 0 2>/dev/null || true",
    )
    one.put_down(task, repository)
    archive = tmp_path / "archive"
    kept = one.store.find("t1")
    assert kept is not None
    one.store.fetch("t1", kept, archive)
    unpacked = subprocess.run(["gzip", "-dc", str(archive)], capture_output=True, check=True).stdout
    assert b"canary-4c1f" not in unpacked
    assert str(secret).encode() in unpacked
    before = {path: path.lstat().st_mtime_ns for path in tmp_path.iterdir()}
    two = machine(kind, "two")
    two.do(task, repository, "test -L old; test -L ~/.claude; test ! -e ~/device")
    after = {path: path.lstat().st_mtime_ns for path in tmp_path.iterdir() if path.name != "two"}
    assert {path: at for path, at in before.items() if "shared.db" not in path.name} == {
        path: at for path, at in after.items() if "shared.db" not in path.name
    }


HOSTILE = {
    "a name that climbs": ("change/../../escaped", "the archive names"),
    "an absolute name": ("/change/escaped", "the archive names"),
    "a way through a link": ("change/link/escaped", "the archive leads through"),
}


@pytest.mark.parametrize("trick", HOSTILE)
@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_that_lies_writes_nowhere_else(
    trick: str, kind: str, machine: Callable[..., Machine], repository: Repository, tmp_path: Path
) -> None:
    name, told = HOSTILE[trick]
    one, task = machine(kind), task_on(head(repository))
    one.do(task, repository, "true")
    one.put_down(task, repository)
    known = one.store.find("t1")
    assert known is not None
    archive = tmp_path / "archive"
    with gzip.open(archive, "wb") as packed, tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        link = tarfile.TarInfo("change/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/tmp"
        link.pax_headers = {"HONK.op": "replace", "HONK.mtime": "0"}
        tar.addfile(link)
        file = tarfile.TarInfo(name)
        file.size = 4
        file.pax_headers = {"HONK.op": "add", "HONK.mtime": "0"}
        tar.addfile(file, io.BytesIO(b"evil"))
    one.store.claim("t1", "x")
    one.store.keep("t1", "x", archive, known.facts)
    with pytest.raises(HonkError, match=told):
        one.do(task, repository, "true")
    assert not [*tmp_path.rglob("*escaped*")]
    assert one.folders == []


def test_what_is_kept_damaged_is_not_used(machine: Callable[..., Machine], repository: Repository) -> None:
    one, task = machine(), task_on(head(repository))
    one.do(task, repository, "echo 1 > a")
    one.put_down(task, repository)
    with one.store.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE kept_chunks SET data = x'00'")
    with pytest.raises(HonkError, match="is damaged: start the task anew"):
        one.do(task, repository, "cat a")


def test_a_file_that_git_lays_out_otherwise_than_it_keeps_it_comes_back_as_it_was(
    machine: Callable[..., Machine], make_repository: Make
) -> None:
    path = make_repository({"a.txt": "one\ntwo\n", "b.txt": "x\n", ".gitattributes": "*.txt text eol=crlf\n"})
    repository = repository_at(path)
    one, two, task = machine("a plain tree"), machine("layers", "two"), task_on(head(repository))
    assert one.do(task, repository, "cat a.txt") == "one\r\ntwo\r\n"
    one.do(task, repository, "printf 'one\\ntwo\\n' > a.txt")
    one.put_down(task, repository)
    assert two.do(task, repository, "cat a.txt b.txt") == "one\ntwo\nx\r\n"


def test_an_idle_workspace_costs_next_to_nothing(
    machine: Callable[..., Machine], repository: Repository, tmp_path: Path
) -> None:
    one = machine()
    for number in range(5):
        task = replace(task_on(head(repository)), id=f"t{number}")
        with one.at_work(task, repository) as workspace:
            workspace.run(shell("echo 9 > a; git status; mkdir out; head -c 1000000 /dev/zero > out/app"))
            workspace.snapshot("Change", ADA)
        one.put_down(task, repository)
    assert one.folders == []
    with one.store.engine.connect() as connection:
        size = connection.exec_driver_sql("SELECT sum(length(data)) FROM kept_chunks").scalar_one()
    assert size < 5 * 50_000
    one.workspaces.remove(replace(task_on(head(repository)), id="t0"))
    assert one.store.find("t0") is None


def test_what_a_set_up_made_is_not_kept_and_stands_below_again(settings: Settings, make_repository: Make) -> None:
    if (refusal := overlay_refusal(settings.home)) is not None:
        pytest.skip(f"The kernel refuses overlays here: {refusal}")
    store = KeptWorkspaces(open_database(settings.database))
    workspaces = Workspaces(settings, kept=store)
    repository = repository_at(make_repository({"a": "1\n"}))
    base = workspaces.fetch(repository)

    def set_up(checkout: Checkout) -> str:
        line = "mkdir modules ~/tools; head -c 3000000 /dev/urandom > modules/dep; echo t > ~/tools/t; echo g > ~/gone"
        checkout.set_up("key", lambda: checkout.run(shell(line)).exit_code == 0)
        return "$HOME/tools"

    workspaces.ready(repository, base, set_up)
    task = task_on(base)
    with workspaces.open(task, repository) as workspace:
        done = workspace.run(shell("echo mine > modules/mine; echo mine > ~/tools/mine; rm ~/gone; cksum modules/dep"))
        assert done.exit_code == 0
    assert workspaces.put_down(task, repository, remove=True) == {}
    assert not workspaces.exists(task)
    with workspaces.open(task, repository) as workspace:
        look = "cksum modules/dep; cat modules/mine ~/tools/mine ~/tools/t; ls ~; git status -s"
        again = workspace.run(shell(look)).output
    assert again == f"{done.output}mine\nmine\nt\ntools\n"
