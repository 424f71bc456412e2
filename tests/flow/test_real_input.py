"""Any existing repository will do, and the person's own checkout is left alone."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Honk, git

pytestmark = pytest.mark.usefixtures("sandbox")


def _state_of(repo: Path) -> dict[str, str]:
    """Everything of a checkout that must not change under the person."""
    return {
        "status": git(repo, "status", "--porcelain", "--ignored"),
        "head": git(repo, "rev-parse", "HEAD"),
        "branches": git(repo, "for-each-ref"),
        "stash": git(repo, "stash", "list"),
        "index": git(repo, "ls-files", "--stage"),
        "config": (repo / ".git/config").read_text(),
    }


def _run(honk: Honk, repo: Path | str, command: str, *more: str) -> dict[str, Any]:
    done = honk("run", "Change it", "--repo", str(repo), "--agent", f"script:{command}", "--json", *more, check=0)
    task: dict[str, Any] = json.loads(done.stdout)
    return task


def test_a_repository_with_everything_awkward_in_it(
    honk: Honk, make_repository: Callable[..., Path], tmp_path: Path
) -> None:
    library = make_repository({"lib.txt": "lib"}, name="library")
    repo = make_repository(
        {"with space.txt": "a\n", "grüße/日本.txt": "b\n", "run.sh": "#!/bin/sh\necho hi\n"}, branch="trunk/ünïcode"
    )
    (repo / "binary").write_bytes(bytes(range(256)) * 40)
    (repo / "crlf.txt").write_bytes(b"one\r\ntwo\r\n")
    (repo / "link").symlink_to("with space.txt")
    (repo / "dangling").symlink_to("/etc/shadow")
    git(repo, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(library), "sub module")
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "Awkward")
    (repo / "with space.txt").write_text("dirty\n")
    (repo / "staged.txt").write_text("staged")
    git(repo, "add", "staged.txt")
    (repo / "untracked.txt").write_text("untracked")
    before = _state_of(repo)

    task = _run(honk, repo, "echo more >> 'grüße/日本.txt'; echo new > 'ein neuer name.txt'")

    assert task["state"] == "ready"
    assert task["pull_request"]["number"] == 1
    assert _state_of(repo) == before
    assert "No checks were found" in task["checks"][0]["summary"]

    honk("task", "show", str(task["id"]), "--apply", check=0)
    assert git(repo, "diff", "--name-status", "-z", f"trunk/ünïcode..{task['branch']}").split("\0")[:-1] == [
        "A", "ein neuer name.txt", "M", "grüße/日本.txt",
    ]  # fmt: skip
    assert {**_state_of(repo), "branches": ""} == {**before, "branches": ""}
    trailers = git(repo, "log", "-1", "--format=%(trailers:only)", str(task["branch"]))
    assert "Assisted-by: script" in trailers
    assert "Signed-off-by" not in trailers


def test_a_bare_repository_is_merged_into(honk: Honk, make_repository: Callable[..., Path], tmp_path: Path) -> None:
    repo = make_repository({"a.txt": "a\n"}, branch="develop")
    git(tmp_path, "clone", "-q", "--bare", str(repo), "bare.git")
    task = _run(honk, tmp_path / "bare.git", "echo b >> a.txt", "--merge")
    assert task["state"] == "merged"
    assert git(tmp_path / "bare.git", "show", "develop:a.txt") == "a\nb"
    assert git(tmp_path / "bare.git", "rev-parse", "develop") == task["merged_sha"]
    assert git(tmp_path / "bare.git", "branch", "--list").split() == ["*", "develop"]


def test_a_repository_at_a_url_is_merged_into(honk: Honk, make_repository: Callable[..., Path], tmp_path: Path) -> None:
    repo = make_repository({"a.txt": "a\n"})
    git(tmp_path, "clone", "-q", "--bare", str(repo), "bare.git")
    task = _run(honk, f"file://{tmp_path}/bare.git", "echo b >> a.txt", "--merge")
    assert task["state"] == "merged"
    assert git(tmp_path / "bare.git", "show", "main:a.txt") == "a\nb"


def test_a_checked_out_branch_follows_the_merge_and_another_branch_is_left_alone(
    honk: Honk, make_repository: Callable[..., Path]
) -> None:
    repo = make_repository({"a.txt": "a\n"})
    _run(honk, repo, "echo b >> a.txt", "--merge")
    assert (repo / "a.txt").read_text() == "a\nb\n"
    task = _run(honk, repo, "echo c >> a.txt")
    git(repo, "switch", "-q", "-c", "other")
    (repo / "a.txt").write_text("my own work\n")
    honk("task", "merge", str(task["id"]), check=0)
    assert (repo / "a.txt").read_text() == "my own work\n"
    assert git(repo, "show", "main:a.txt") == "a\nb\nc"


def test_a_base_that_has_moved_is_merged_with_and_checked_again(
    honk: Honk, make_repository: Callable[..., Path]
) -> None:
    checks = "verify: {test: 'test ! -e one || test ! -e two'}\n"
    repo = make_repository({"honk.yaml": checks})
    first = _run(honk, repo, "echo 1 > one")
    second = _run(honk, repo, "echo 2 > two")
    third = _run(honk, repo, "echo 3 > three")
    honk("task", "merge", str(first["id"]), check=0)
    honk("task", "merge", str(third["id"]), check=0)
    done = honk("task", "merge", str(second["id"]), check=1)
    assert "on the newest main the checks fail" in done.stderr
    assert git(repo, "ls-tree", "--name-only", "main").split() == ["honk.yaml", "one", "three"]


def test_a_red_check_opens_no_pull_request_and_says_why(honk: Honk, make_repository: Callable[..., Path]) -> None:
    repo = make_repository(
        {"honk.yaml": "verify: {test: 'cat result; ! grep -q AssertionError result'}\n", "result": ""}
    )
    done = honk(
        "run",
        "x",
        "--repo",
        str(repo),
        "--agent",
        "script:echo 'AssertionError: 2 is not 3' > result",
        "--json",
        check=1,
    )
    task = json.loads(done.stdout)
    assert task["state"] == "failed"
    assert task["pull_request"] is None
    assert "AssertionError: 2 is not 3" in task["error"]
    assert task["checks"][0]["status"] == "failed"


def test_a_change_cannot_loosen_the_checks_it_is_judged_by(honk: Honk, make_repository: Callable[..., Path]) -> None:
    repo = make_repository({"honk.yaml": "verify: {test: 'test ! -e bad'}\n"})
    command = "touch bad; echo 'verify: {}' > honk.yaml"
    done = honk("run", "x", "--repo", str(repo), "--agent", f"script:{command}", check=1)
    assert "No pull request" in done.stderr


def test_the_same_key_is_the_same_task(honk: Honk, make_repository: Callable[..., Path]) -> None:
    repo = make_repository({"a.txt": "a\n"})
    one = _run(honk, repo, "echo b >> a.txt", "--key", "mine")
    count = len(json.loads(honk("audit", "--json", check=0).stdout)["events"])
    again = _run(honk, repo, "echo b >> a.txt", "--key", "mine")
    assert again["id"] == one["id"]
    assert again["head_sha"] == one["head_sha"]
    assert count == len(json.loads(honk("audit", "--json", check=0).stdout)["events"])


def test_nothing_of_the_person_is_visible_to_a_script(
    honk: Honk, make_repository: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_SECRET", "canary-in-the-environment")
    Path(os.environ["HOME"], "secret.txt").write_text("canary-in-the-home")
    repo = make_repository({"a.txt": "a\n", "honk.yaml": "verify: {}\n"})
    task = _run(
        honk, repo, f"env > seen.txt; cat {os.environ['HOME']}/secret.txt >> seen.txt 2>&1; ls -la ~ >> seen.txt; true"
    )
    assert "canary" not in honk("task", "show", str(task["id"]), "--diff", check=0).stdout


@pytest.mark.parametrize("moved", [False, True], ids=["on the base it was made on", "on a base that has moved"])
@pytest.mark.parametrize(
    ("method", "subjects", "parents"),
    [
        ("squash", ["Change it"], 1),
        ("merge", ["Change it", "Change it", "Change it"], 2),
        ("rebase", ["Change it", "Change it"], 1),
    ],
)
def test_a_change_of_two_turns_lands_as_the_repository_wants(
    honk: Honk, make_repository: Callable[..., Path], method: str, subjects: list[str], parents: int, moved: bool
) -> None:
    repo = make_repository({"a.txt": "a\n", "honk.yaml": f"verify: {{}}\nmerge: {{method: {method}}}\n"})
    task = _run(honk, repo, "echo b >> a.txt")
    honk("task", "say", str(task["id"]), "And again", check=0)
    if moved:
        (repo / "other.txt").write_text("theirs\n")
        git(repo, "add", "-A")
        git(repo, "commit", "-qm", "Theirs")
    base = git(repo, "rev-parse", "main")
    honk("task", "merge", str(task["id"]), check=0)
    assert git(repo, "log", "--format=%s", f"{base}..main").splitlines() == subjects
    assert len(git(repo, "log", "-1", "--format=%P", "main").split()) == parents
    assert git(repo, "show", "main:a.txt") == "a\nb\nb"
    assert git(repo, "status", "--porcelain") == ""
