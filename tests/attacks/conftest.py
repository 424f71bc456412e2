"""Attacks are tried together, because they can share a sandbox, and told one by one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from honk.settings import Settings
from honk.workspace import probe

NOBODY = 54_321
"""A user without an account."""


@pytest.fixture(scope="session")
def can_sandbox() -> None:
    if (refusal := probe()) is not None:
        pytest.skip(refusal)


@contextmanager
def own_homes(folder: Path) -> Iterator[Settings]:
    """A home of the person's with keys in it, and one of Honk's."""
    person = folder / "person"
    (person / ".ssh").mkdir(parents=True)
    (person / ".ssh" / "id_ed25519").write_text("key")
    before = os.environ["HOME"]
    os.environ["HOME"] = str(person)
    try:
        yield Settings(home=folder / "honk")
    finally:
        os.environ["HOME"] = before


@pytest.fixture(scope="session")
def as_an_ordinary_user() -> dict[str, dict[str, object]]:
    """What `honk doctor` says to a user without rights of the attacks it tried, by their names."""
    if os.geteuid() != 0:
        pytest.skip("these tests run as an ordinary user already")
    python = _python_for_everybody()
    # Not in a folder of pytest's, which is for its user alone.
    with tempfile.TemporaryDirectory(prefix="honk-nobody-") as name:
        person = Path(name)
        (person / ".ssh").mkdir()
        for path in (person, person / ".ssh"):
            os.chown(path, NOBODY, NOBODY)
        home = {"HOME": name, "HONK_HOME": str(person / "h")}
        done = subprocess.run(
            [*as_nobody(), *python, "-m", "honk", "doctor", "--json"],
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": _packages(), **home},
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.stdout.startswith("{"), done.stdout + done.stderr
    told = json.loads(done.stdout)
    refusal = next(row["remedy"] for row in told["promises"] if row["name"] == "sandbox")
    if refusal:
        pytest.skip(f"ordinary users have no sandbox here: {refusal}")
    assert told["attacks"], done.stderr
    return {one["name"]: one for one in told["attacks"]}


def as_nobody() -> list[str]:
    # `env` starts the program, because setpriv still has root's rights as it looks for what it starts.
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs", "/usr/bin/env"]


def _python_for_everybody() -> list[str]:
    """A Python that others than root can run, with the packages of this one."""
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is missing: it comes with util-linux")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    said = f"cannot be run by an ordinary user, and there is no python{version} in /usr that could instead"
    for program in (sys.executable, f"/usr/bin/python{version}", f"/usr/local/bin/python{version}"):
        tried = subprocess.run(
            [*as_nobody(), program, "-c", "import honk.cli.doctor, pydantic_core"],
            env={"PYTHONPATH": _packages()},
            cwd="/",
            capture_output=True,
            check=False,
        )
        if tried.returncode == 0:
            return [program]
    pytest.skip(f"{sys.executable} or its packages {said}")


def _packages() -> str:
    import honk

    return os.pathsep.join([str(Path(honk.__file__).parent.parent), sysconfig.get_paths()["purelib"]])
