"""Bad input gets one clear sentence and a sensible exit code, and leaves nothing half-made."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Honk, git

SCRIPT = ("--agent", "script:echo hello >> hello.txt")


def _only_sentence(done: subprocess.CompletedProcess[str]) -> str:
    assert "Traceback" not in done.stderr, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, lines
    return lines[0]


def _tasks(honk: Honk) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(honk("task", "list", "--json", check=0).stdout)["tasks"]
    return found


def test_no_repository_there(honk: Honk, tmp_path: Path) -> None:
    done = honk("run", "x", "--repo", str(tmp_path / "nowhere"), *SCRIPT, check=2)
    assert "There is no repository at" in _only_sentence(done)
    assert _tasks(honk) == []


def test_not_a_git_repository(honk: Honk, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    done = honk("run", "x", "--repo", str(tmp_path / "plain"), *SCRIPT, check=2)
    assert "is not a git repository" in _only_sentence(done)
    assert _tasks(honk) == []


def test_an_empty_repository(honk: Honk, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    git(tmp_path / "empty", "init", "-q")
    done = honk("run", "x", "--repo", str(tmp_path / "empty"), *SCRIPT, check=2)
    assert "is empty" in _only_sentence(done)
    assert _tasks(honk) == []


def test_a_detached_head(honk: Honk, make_repository: Callable[..., Path]) -> None:
    repo = make_repository({"a": "a"})
    git(repo, "checkout", "-q", "--detach")
    done = honk("run", "x", "--repo", str(repo), *SCRIPT, check=2)
    assert "detached" in _only_sentence(done)


def test_no_such_branch(honk: Honk, make_repository: Callable[..., Path]) -> None:
    repo = make_repository({"a": "a"})
    done = honk("run", "x", "--repo", str(repo), "--branch", "nope", *SCRIPT, check=2)
    assert "There is no branch 'nope'" in _only_sentence(done)
    assert _tasks(honk) == []


@pytest.mark.parametrize("text", ["", "   \n\t "])
def test_an_empty_text(honk: Honk, make_repository: Callable[..., Path], text: str) -> None:
    done = honk("run", text, "--repo", str(make_repository({"a": "a"})), *SCRIPT, check=2)
    assert "the text is empty" in _only_sentence(done)
    assert _tasks(honk) == []


def test_a_megabyte_of_text(honk: Honk, make_repository: Callable[..., Path]) -> None:
    repo = make_repository({"a": "a"})
    done = honk("run", "-", "--repo", str(repo), *SCRIPT, given="long " * 210_000, check=2)
    assert "1,049,999 characters" in _only_sentence(done)
    assert _tasks(honk) == []


def test_no_key_for_the_model(honk: Honk, make_repository: Callable[..., Path]) -> None:
    done = honk("run", "x", "--repo", str(make_repository({"a": "a"})), check=2)
    assert "ANTHROPIC_API_KEY" in _only_sentence(done)
    assert _tasks(honk) == []


def test_an_agent_that_is_not_known(honk: Honk, make_repository: Callable[..., Path]) -> None:
    done = honk("run", "x", "--repo", str(make_repository({"a": "a"})), "--agent", "hal", check=2)
    assert "hal" in _only_sentence(done)


def test_an_invalid_honk_yaml_names_line_and_key(honk: Honk, make_repository: Callable[..., Path]) -> None:
    repo = make_repository({"a": "a", "honk.yaml": "setup: true-ish\nbuilds:\n  web: {run: make, outptu: dist}\n"})
    sentence = _only_sentence(honk("run", "x", "--repo", str(repo), *SCRIPT, check=2))
    assert "line 3" in sentence
    assert "builds.web.outptu" in sentence
    assert "did you mean `output`?" in sentence
    assert _tasks(honk) == []


def test_an_unknown_task(honk: Honk) -> None:
    for command in (("show",), ("merge",), ("cancel",), ("retry",), ("rollback",)):
        done = honk("task", *command, "deadbeef00", check=2)
        assert "there is no task 'deadbeef00'" in _only_sentence(done).lower()
    assert "there is no task" in _only_sentence(honk("task", "say", "deadbeef00", "hi", check=2)).lower()


def test_json_errors_are_one_object(honk: Honk) -> None:
    done = honk("task", "show", "deadbeef00", "--json", check=2)
    assert "deadbeef00" in json.loads(done.stdout)["error"]


def test_a_setting_that_is_wrong(honk: Honk) -> None:
    assert "HONK_LISTEN must be HOST:PORT" in _only_sentence(honk("up", HONK_LISTEN="nonsense", check=2))
    assert "max_cost_usd" in _only_sentence(honk("task", "list", HONK_MAX_COST_USD="-1", check=2))


def test_a_home_that_cannot_be_written(honk: Honk, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = honk("task", "list", HONK_HOME=str(tmp_path / "file"), check=2)
    assert "set HONK_HOME" in _only_sentence(done)


def test_a_port_that_is_taken(honk: Honk) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = honk("up", "--listen", f"127.0.0.1:{taken.getsockname()[1]}", check=2)
    assert "cannot be listened on" in _only_sentence(done)


def test_two_servers_on_one_home(honk: Honk, home: Path) -> None:
    first = subprocess.Popen(
        [sys.executable, "-m", "honk", "up", "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert first.stdout is not None
        assert "Honk is up" in first.stdout.readline()
        sentence = _only_sentence(honk("up", "--listen", "127.0.0.1:0", check=2))
        assert str(first.pid) in sentence
        assert "HONK_HOME" in sentence
    finally:
        first.kill()
        first.wait()


@pytest.mark.usefixtures("sandbox")
class TestAtWork:
    """What goes wrong after a task has begun."""

    def test_a_build_that_makes_nothing(self, honk: Honk, make_repository: Callable[..., Path]) -> None:
        text = "verify: {}\nbuilds: {web: {run: 'true', output: dist}}\n"
        repo = make_repository({"a": "a", "honk.yaml": text})
        done = honk("run", "x", "--repo", str(repo), *SCRIPT, "--json", check=1)
        task = json.loads(done.stdout)
        assert task["state"] == "failed"
        assert "made nothing at dist" in task["error"]
        assert task["artifacts"] == []

    def test_a_deploy_that_hangs(self, honk: Honk, make_repository: Callable[..., Path]) -> None:
        text = "verify: {}\ndeploy: {run: 'sleep 1000', timeout: 1s, rollback: 'true'}\n"
        repo = make_repository({"a": "a", "honk.yaml": text})
        done = honk("run", "x", "--repo", str(repo), *SCRIPT, "--merge", "--json", check=1)
        task = json.loads(done.stdout)
        assert task["state"] == "failed"
        assert "took longer than 1 s" in task["error"]
        assert "no healthy deployment before" in task["error"]

    @pytest.mark.parametrize("place", ["agent", "check", "build", "deploy"])
    def test_a_command_that_takes_too_much_memory(
        self, honk: Honk, make_repository: Callable[..., Path], place: str
    ) -> None:
        files = {
            "agent": "verify: {}",
            "check": "verify: {memory: python3 hog.py}",
            "build": "verify: {}\nbuilds: {web: {run: python3 hog.py, output: dist}}",
            "deploy": "verify: {}\ndeploy: {run: python3 hog.py, rollback: 'true'}",
        }
        hog = "held = []\nwhile True: held.append(bytearray(1 << 20))\n"
        repo = make_repository({"hog.py": hog, "a": "a", "honk.yaml": f"{files[place]}\n"})
        agent = ["--agent", "script:python3 hog.py"] if place == "agent" else SCRIPT
        merge = ["--merge"] if place == "deploy" else []
        limit = str(100 << 20)
        done = honk("run", "x", "--repo", str(repo), *agent, *merge, "--json", check=1, HONK_SANDBOX_MEMORY=limit)
        task = json.loads(done.stdout)
        assert task["state"] == "failed"
        told = task["checks"][0]["summary"] if place == "check" else task["error"]
        assert "used more than 100 MiB of memory" in told
        assert "raise HONK_SANDBOX_MEMORY" in told

    def test_a_stale_merge_tap(self, honk: Honk, make_repository: Callable[..., Path]) -> None:
        repo = make_repository({"a": "a", "honk.yaml": "verify: {}\n"})
        first = json.loads(honk("run", "x", "--repo", str(repo), *SCRIPT, "--json", check=0).stdout)
        second = json.loads(honk("task", "say", str(first["id"]), "more", "--json", check=0).stdout)
        assert second["head_sha"] != first["head_sha"]
        before = git(repo, "rev-parse", "main")
        sentence = _only_sentence(honk("task", "merge", str(first["id"]), "--head", str(first["head_sha"]), check=1))
        assert "has moved on" in sentence
        assert git(repo, "rev-parse", "main") == before

    def test_a_second_merge_tap(self, honk: Honk, make_repository: Callable[..., Path]) -> None:
        repo = make_repository({"a": "a", "honk.yaml": "verify: {}\n"})
        task = json.loads(honk("run", "x", "--repo", str(repo), *SCRIPT, "--merge", "--json", check=0).stdout)
        assert task["state"] == "merged"
        after = git(repo, "rev-parse", "main")
        assert "was merged already" in _only_sentence(honk("task", "merge", str(task["id"]), check=1))
        assert git(repo, "rev-parse", "main") == after

    def test_merging_into_a_checkout_with_uncommitted_changes(
        self, honk: Honk, make_repository: Callable[..., Path]
    ) -> None:
        repo = make_repository({"a": "a", "honk.yaml": "verify: {}\n"})
        task = json.loads(honk("run", "x", "--repo", str(repo), *SCRIPT, "--json", check=0).stdout)
        (repo / "a").write_text("mine")
        done = honk("task", "merge", str(task["id"]), check=1)
        assert "uncommitted changes" in done.stderr
        assert (repo / "a").read_text() == "mine"
        assert git(repo, "log", "--oneline").count("\n") == 0
        git(repo, "stash")
        assert "Merged as" in honk("task", "merge", str(task["id"]), check=0).stderr
        assert (repo / "hello.txt").read_text() == "hello\n"

    def test_a_protected_path_wants_a_second_person(self, honk: Honk, make_repository: Callable[..., Path]) -> None:
        repo = make_repository({"a": "a", "honk.yaml": "verify: {}\nprotect: ['*.txt']\n"})
        done = honk("run", "x", "--repo", str(repo), *SCRIPT, "--merge", check=1)
        assert "hello.txt is protected by honk.yaml" in done.stderr

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
    def test_a_full_disk(self, honk: Honk, make_repository: Callable[..., Path], tmp_path: Path) -> None:
        repo = make_repository({"a": "a" * 3_000_000, "honk.yaml": "verify: {}\n"})
        small = tmp_path / "small"
        small.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(small)], check=False)
        if mounted.returncode:
            pytest.skip("a small disk cannot be mounted here")
        try:
            done = honk("run", "x", "--repo", str(repo), *SCRIPT, HONK_HOME=str(small))
            assert done.returncode in (1, 2)
            assert "Traceback" not in done.stderr
            assert "full" in done.stderr or "No space left" in done.stderr
        finally:
            subprocess.run(["umount", "-l", str(small)], check=True)
