"""Commits are signed outside of the sandbox, where a key is set."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Honk, git

pytestmark = pytest.mark.usefixtures("sandbox")


@pytest.fixture
def key(tmp_path: Path) -> Path:
    if shutil.which("ssh-keygen") is None:
        pytest.skip("no ssh-keygen on this machine: install OpenSSH's client to test signing")
    path = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


def test_commits_are_signed_and_the_sandbox_never_sees_the_key(
    honk: Honk, make_repository: Callable[..., Path], key: Path, tmp_path: Path
) -> None:
    repo = make_repository({"app.txt": "one\n"})
    search = f"echo hello >> app.txt; cat {key} > stolen 2>/dev/null; env | grep -c SIGNING >> stolen; true"
    done = honk(
        "run", "Greet", "--repo", str(repo), "--agent", f"script:{search}", "--json", check=0, HONK_SIGNING_KEY=str(key)
    )
    task = json.loads(done.stdout)
    honk("task", "show", task["id"], "--apply", check=0)
    allowed = tmp_path / "allowed"
    allowed.write_text(f"honk@localhost {key.with_suffix('.pub').read_text()}")
    shown = git(
        repo, "-c", f"gpg.ssh.allowedSignersFile={allowed}", "log", "-1", "--format=%G? %GS %an", task["head_sha"]
    )
    assert shown == "G honk@localhost Ada"
    assert git(repo, "show", f"{task['head_sha']}:stolen") == "0"


def test_a_key_that_cannot_sign_is_named(honk: Honk, make_repository: Callable[..., Path], tmp_path: Path) -> None:
    repo = make_repository({"app.txt": "one\n"})
    done = honk(
        "run", "Greet", "--repo", str(repo), "--agent", "script:echo hello >> app.txt", "--json", check=1,
        HONK_SIGNING_KEY=str(tmp_path / "none"),
    )  # fmt: skip
    assert "HONK_SIGNING_KEY must be an SSH key" in json.loads(done.stdout)["error"]
