"""How soon a repository with a long history, far away, can be worked on: its files first, against all of it."""

from __future__ import annotations

import random
import subprocess
import time
from pathlib import Path

from tests.git_server import GitServer

from bench.workspaces import task_on
from honk.model import Command, Repository
from honk.settings import read_settings
from honk.workspace import Workspaces
from honk.workspace.history import WORTH_BYTES

LINE = 12_500_000
"""Bytes a second: 100 Mbit/s."""
FILES, COMMITS, CHANGED, LINES = 2_000, 3_000, 6, 80


def generate(path: Path) -> Path:
    """A bare repository of 2,000 files of 7 kB, of which each of 3,000 commits changes some lines of six."""
    chance = random.Random(7)  # noqa: S311
    words = [f"w{chance.randrange(10**9):x}" for _ in range(4000)]
    names = [f"package{n // 400:03d}/module{n // 20 % 20:02d}/file{n % 20:02d}.py" for n in range(FILES)]
    texts = {name: [" ".join(chance.choices(words, k=9)) for _ in range(LINES)] for name in names}
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", path], check=True)
    told = []
    for number in range(COMMITS):
        message = f"Change {number}"
        told.append(
            f"commit refs/heads/main\ncommitter Ada <ada@example.com> {1_700_000_000 + number} +0000\n"
            f"data {len(message)}\n{message}\n".encode()
        )
        for name in chance.sample(names, CHANGED) if number else names:
            for line in chance.sample(range(LINES), 4):
                texts[name][line] = " ".join(chance.choices(words, k=9))
            text = ("\n".join(texts[name]) + "\n").encode()
            told.append(b"M 100644 inline %s\ndata %d\n%s\n" % (name.encode(), len(text), text))
    subprocess.run(["git", "-C", path, "fast-import", "--quiet"], input=b"".join(told), check=True)
    subprocess.run(["git", "-C", path, "repack", "-adq"], check=True)
    return path


def files_before_history(scratch: Path) -> dict[str, float]:
    """From nothing to a command in an agent's workspace, on a line of 100 Mbit/s, and what came over it."""
    far = generate(scratch / "served" / "far.git")
    figures = {}
    for way, size in (("whole", WORTH_BYTES - 1), ("files first", WORTH_BYTES)):
        with GitServer(far.parent, bytes_per_second=LINE) as server:
            repository = Repository("far", "far", f"{server.url}/far.git", "main")
            workspaces = Workspaces(read_settings(home=scratch / way), size=lambda _, size=size: size)  # type: ignore[misc]
            begun = time.perf_counter()
            base = workspaces.fetch(repository)
            figures[f"history, {way}: fetched"] = time.perf_counter() - begun
            figures[f"history, {way}: MB until then"] = server.bytes_sent / 1e6
            with workspaces.open(task_on(1, base), repository) as workspace:
                workspace.run(Command(("git", "status")))
            figures[f"history, {way}: a command in the workspace"] = time.perf_counter() - begun
            workspaces.need_history(repository)
            figures[f"history, {way}: all is there"] = time.perf_counter() - begun
            figures[f"history, {way}: MB in all"] = server.bytes_sent / 1e6
    return figures


def ratios(figures: dict[str, float]) -> dict[str, float]:
    """What the figures say."""
    names = ("fetched", "MB until then", "a command in the workspace", "all is there", "MB in all")
    return {
        f"whole ÷ files first: {name}": figures[f"history, whole: {name}"] / figures[f"history, files first: {name}"]
        for name in names
        if f"history, whole: {name}" in figures
    }
