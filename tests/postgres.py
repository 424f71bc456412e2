"""A PostgreSQL server of a test's own, reached by a Unix socket only."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_NOBODY = 65534


def _program(name: str) -> str:
    found = [*Path("/usr/lib/postgresql").glob(f"*/bin/{name}")]
    if program := shutil.which(name) or next(map(str, sorted(found, reverse=True)), None):
        return os.path.realpath(program)
    pytest.skip(f"no PostgreSQL on this machine: {name} is missing")


@contextmanager
def postgres() -> Iterator[str]:
    """The address of an empty database. Skips where there is no PostgreSQL."""
    initdb, server = _program("initdb"), _program("postgres")
    # PostgreSQL refuses to run as root.
    user = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if os.getuid() == 0 else {}
    with tempfile.TemporaryDirectory(prefix="honk-pg-", dir="/tmp") as name:
        if user:
            os.chown(name, _NOBODY, _NOBODY)
        data = str(Path(name, "data"))
        made = subprocess.run(
            [initdb, "-D", data, "-U", "honk", "-A", "trust", "-E", "UTF8", "--no-sync"],
            capture_output=True, text=True, check=False, cwd=name, **user,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        running = subprocess.Popen(
            [server, "-D", data, "-k", name, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "shared_buffers=16MB"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=name, **user,
        )  # fmt: skip
        try:
            address = f"postgresql://honk@/postgres?host={name}"
            _wait(address, running)
            yield address
        finally:
            # The fast way, which does not wait for clients to leave.
            running.send_signal(signal.SIGINT)
            running.wait()


def _wait(address: str, running: subprocess.Popen[bytes]) -> None:
    import psycopg

    deadline = time.monotonic() + 30
    while True:
        try:
            psycopg.connect(address).close()
            return
        except psycopg.OperationalError:
            assert running.poll() is None, "PostgreSQL did not start"
            assert time.monotonic() < deadline
            time.sleep(0.02)
