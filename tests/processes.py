"""Honk's own processes, each forked from one that has everything imported: a start costs what Honk does, not what
Python reads. What runs is what `python -m honk` runs."""

from __future__ import annotations

import multiprocessing
import os
import re
import runpy
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import cache
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path


class Process:
    """A process of `python ARGUMENTS`, where these are `-m MODULE …` or `SCRIPT …`. Its output goes to files."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        stdin: Path | None = None,
        stdout: Path,
        stderr: Path,
    ) -> None:
        given = dict(os.environ if environment is None else environment)
        self._process: ForkServerProcess = _server().Process(
            target=_become,
            args=(list(arguments), given, str(Path.cwd()), str(stdin or os.devnull), str(stdout), str(stderr)),
        )
        self._process.daemon = True
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid
        return self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def kill(self) -> None:
        self._process.kill()

    def wait(self, seconds: float | None = None) -> int:
        """Its exit code, -N after signal N; raises `TimeoutError`."""
        self._process.join(seconds)
        code = self._process.exitcode
        if code is None:
            raise TimeoutError(f"the process did not end within {seconds} s")
        return code


def run(
    arguments: Sequence[str], *, given: str = "", environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run to the end, at most 200 seconds."""
    with tempfile.TemporaryDirectory(prefix="honk-run-") as name:
        folder = Path(name)
        (folder / "in").write_text(given)
        process = Process(
            arguments, environment=environment, stdin=folder / "in", stdout=folder / "out", stderr=folder / "err"
        )
        try:
            code = process.wait(200)
        finally:
            process.kill()
        told = [(folder / one).read_text(errors="replace") for one in ("out", "err")]
        return subprocess.CompletedProcess(arguments, code, *told)


def start_up(listen: str, log: Path, **environment: str) -> tuple[Process, str, str]:
    """`honk up`, as soon as it is reached: the process, its address and its token. What it says goes to `log`."""
    told = log.with_suffix(".told")
    told.unlink(missing_ok=True)
    process = Process(
        ["-m", "honk", "up", "--listen", listen], environment=os.environ | environment, stdout=told, stderr=log
    )
    deadline = time.monotonic() + 60
    while not (found := re.search(r"(https?://\S+)/\?token=(\S+)", told.read_text() if told.exists() else "")):
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
    return process, found[1], found[2]


@cache
def _server() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.forked"])
    return context


def _become(
    arguments: list[str], environment: dict[str, str], folder: str, stdin: str, stdout: str, stderr: str
) -> None:
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, path, flags in (
        (0, stdin, os.O_RDONLY),
        (1, stdout, os.O_WRONLY | os.O_CREAT | os.O_APPEND),
        (2, stderr, os.O_WRONLY | os.O_CREAT | os.O_APPEND),
    ):
        descriptor = os.open(path, flags, 0o644)
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115  they are the process's own
    sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    if arguments[0] == "-m":
        sys.argv = [arguments[1], *arguments[2:]]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = list(arguments)
        runpy.run_path(arguments[0], run_name="__main__")
