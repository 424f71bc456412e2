"""Many changes that wait for one repository: merged by Honk's trains, against one after the other."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

import httpx

CHANGES = 50
CHECK = "verify: {test: 'sleep 1'}\n"


def queue_against_one_by_one(client: httpx.Client, scratch: Path) -> dict[str, float]:
    """Seconds until all have landed, with checks that take a second."""
    figures = {}
    for name, at_once in (("one by one", False), ("all at once", True)):
        repo = _repository(scratch / name.replace(" ", "-"))
        tasks = [_ready(client, repo, number) for number in range(CHANGES)]
        for task in tasks:
            _until(client, task, "ready")
        begun = time.perf_counter()
        for task in tasks:
            body = {"action": "merge", "head_sha": _state(client, task)["head_sha"], "key": "tap"}
            client.post(f"/api/v1/tasks/{task}/actions", json=body).raise_for_status()
            if not at_once:
                _until(client, task, "merged")
        for task in tasks:
            _until(client, task, "merged")
        figures[f"{CHANGES} merges, {name}"] = time.perf_counter() - begun
    return figures


def _repository(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "honk.yaml").write_text(CHECK)
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
    for command in (["init", "-qb", "main"], ["add", "-A"], ["commit", "-qm", "First"], ["checkout", "-qb", "other"]):
        subprocess.run(["git", *identity, *command], cwd=folder, check=True)
    return folder


def _ready(client: httpx.Client, repo: Path, number: int) -> str:
    words = f"Add file {number}"
    body = {
        "repo": f"{repo}#main",
        "text": words,
        "key": f"{repo.name}-{number}",
        "agent": f"script:echo {number} > file-{number}",
    }
    task = client.post("/api/v1/tasks", json=body).raise_for_status().json()
    return str(task["id"])


def _state(client: httpx.Client, task: str) -> dict[str, str]:
    found: dict[str, str] = client.get(f"/api/v1/tasks/{task}").raise_for_status().json()
    if re.match("failed|cancelled", found["state"]):
        raise SystemExit(f"{task} failed: {found['error']}")
    return found


def _until(client: httpx.Client, task: str, state: str) -> None:
    while _state(client, task)["state"] != state:
        time.sleep(0.02)
