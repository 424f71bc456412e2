"""From a message to the model's first request, and many tasks at once."""

from __future__ import annotations

import re
import statistics
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import httpx

from honk.rehearsal import Rehearsal, Scene

ROUNDS = 7
TASKS = 20
Server = Callable[..., AbstractContextManager[tuple[httpx.Client, int]]]


def first_requests(server: Server, scene: Scene, repository: Callable[[Path], Path], scratch: Path) -> dict[str, float]:
    """Seconds from a message to the first request, on a repository in use: with an agent that waits, and without."""
    figures = {}
    for name, waiting in (("an agent waits", "1"), ("none waits", "0")):
        repo = repository(scratch / f"first-{waiting}")
        times = []
        with (
            Rehearsal([scene]) as model,
            server(scratch / f"home-{waiting}", model, HONK_WARM_AGENTS=waiting) as (client, pid),
        ):
            for number in range(ROUNDS + 1):
                model.requests.clear()
                begun = time.time()
                _until(client, _submit(client, repo, "Please greet", f"{waiting}-{number}"), "ready")
                times.append(model.requests[0].at - begun)
                if waiting == "1":
                    _wait_for_one(scratch / f"home-{waiting}", pid)
        # The first task finds nothing made: no mirror, no base.
        figures[f"message → first request, {name}"] = statistics.median(times[1:])
        figures[f"the same, {name}: the server's very first"] = times[0]
    return figures


def many_at_once(server: Server, repository: Callable[[Path], Path], scratch: Path) -> dict[str, float]:
    """Script tasks that are asked for at the same time, on as many cores as there are; raises if one fails."""
    repo = repository(scratch / "many")
    home = scratch / "home-many"
    with Rehearsal([]) as model, server(home, model, HONK_WARM_AGENTS="0") as (client, _):
        begun = time.perf_counter()
        script = "script:echo hello >> app.txt; git status --short"
        tasks = [_submit(client, repo, f"Greet {number}", f"many-{number}", agent=script) for number in range(TASKS)]
        for task in tasks:
            _until(client, task, "ready")
        whole = time.perf_counter() - begun
        used = subprocess.run(["du", "-sk", home / "workspaces"], capture_output=True, text=True, check=True)
        left = subprocess.run(["pgrep", "-fc", f"{home}/workspaces/"], capture_output=True, text=True, check=False)
    return {
        f"{TASKS} script tasks at once, all ready": whole,
        "their workspaces at rest, MB each": int(used.stdout.split()[0]) / 1000 / TASKS,
        "processes of theirs that are left": float(left.stdout or 0),
    }


def _submit(client: httpx.Client, repo: Path, text: str, key: str, **more: str) -> str:
    body = {"repo": str(repo), "text": text, "key": key} | more
    return str(client.post("/api/v1/tasks", json=body).raise_for_status().json()["id"])


def _until(client: httpx.Client, task: str, state: str) -> None:
    while (found := client.get(f"/api/v1/tasks/{task}").raise_for_status().json())["state"] != state:
        if found["state"] in ("failed", "cancelled"):
            raise SystemExit(f"task {task}: {found['error']}")
        time.sleep(0.02)


def _wait_for_one(home: Path, server: int) -> None:
    """Until an agent waits: its command line has begun to write into the home of a spare workspace."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if any((home / "checkouts").glob("*/spare/home/.claude/*")) and _quiet(server):
            return
        time.sleep(0.1)
    raise SystemExit("no agent came to wait")


def _quiet(pid: int) -> bool:
    """Whether the server has had next to nothing to do for half a second."""
    used = [_processor(pid), (time.sleep(0.5), _processor(pid))[1]]
    return used[1] - used[0] < 15


def _processor(pid: int) -> int:
    words = re.sub(r"\(.*\)", "", Path(f"/proc/{pid}/stat").read_text()).split()
    return int(words[12]) + int(words[13])
