"""From words to a page, from a tap to production, and back: seconds, against the same done by hand in a shell."""

from __future__ import annotations

import socket
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

ROUNDS = 5
IDENTITY = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
WINDOW = 0.2
"""Seconds for which a deployment is watched."""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _repository(folder: Path, port: int) -> Path:
    (folder / "site").mkdir(parents=True)
    (folder / "site" / "index.html").write_text("<p>version 0")
    (folder / "site" / "health.txt").write_text("ok")
    (folder / "honk.yaml").write_text(
        "verify: {test: grep -q version site/index.html}\nbuilds: {web: {run: 'true', output: site}}\n"
        f"deploy: {{site: web, listen: '127.0.0.1:{port}', revert: false,"
        f" health: {{url: 'http://127.0.0.1:{port}/health.txt', for: {WINDOW}s, every: 0.05s}}}}\n"
    )
    for command in (["init", "-qb", "main"], ["add", "-A"], ["commit", "-qm", "First"], ["checkout", "-qb", "other"]):
        subprocess.run(["git", *IDENTITY, *command], cwd=folder, check=True)
    return folder


def _since(begun: float, good: Callable[[], bool]) -> float:
    while not good():
        if time.perf_counter() - begun > 60:
            raise SystemExit("that did not come to be within a minute")
        time.sleep(0.005)
    return time.perf_counter() - begun


def _page(port: int) -> str:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/", trust_env=False).text
    except httpx.TransportError:
        return ""


def words_to_production(client: httpx.Client, scratch: Path) -> dict[str, float]:
    """The median of rounds, each a change that is asked for, tried, merged and live; then an ill one that goes back."""
    port = _free_port()
    repo = _repository(scratch / "shipping", port)
    shown: dict[str, list[float]] = {"message → preview answers": [], "tap → production answers with it": []}
    for number in range(1, ROUNDS + 1):
        begun = time.perf_counter()
        task = _ask(client, repo, f"echo '<p>version {number}' > site/index.html", str(number))
        shown["message → preview answers"].append(_previewed(client, task, begun))
        begun = _tap(client, task)
        shown["tap → production answers with it"].append(_live(port, f"version {number}", begun))
        _until(client, task, "deployed", begun)
    ill = _ask(client, repo, "echo '<p>version ill' > site/index.html; rm site/health.txt", "ill")
    _previewed(client, ill, time.perf_counter())
    _tap(client, ill)
    begun = time.perf_counter()
    _live(port, "version ill", begun)
    back = _live(port, f"version {ROUNDS}", time.perf_counter())
    figures = {name: statistics.median(values) for name, values in shown.items()}
    return figures | {"ill version live → the one before answers": back, "by hand: all of that": _by_hand(scratch)}


def _live(port: int, words: str, begun: float) -> float:
    return _since(begun, lambda: words in _page(port))


def _until(client: httpx.Client, task: str, state: str, begun: float) -> None:
    _since(begun, lambda: client.get(f"/api/v1/tasks/{task}").json()["state"] == state)


def _ask(client: httpx.Client, repo: Path, command: str, key: str) -> str:
    body = {"repo": f"{repo}#main", "text": "Another version", "key": f"ship-{key}", "agent": f"script:{command}"}
    return str(client.post("/api/v1/tasks", json=body).raise_for_status().json()["id"])


def _previewed(client: httpx.Client, task: str, begun: float) -> float:
    def answers() -> bool:
        found: dict[str, Any] = client.get(f"/api/v1/tasks/{task}").json()
        urls = [artifact["url"] for artifact in found["artifacts"] if artifact["url"]]
        if not urls:
            return False
        url = httpx.URL(urls[0])
        answer = httpx.get(url.copy_with(host="127.0.0.1"), headers={"host": url.netloc.decode()}, trust_env=False)
        return answer.status_code == 200

    seconds = _since(begun, answers)
    _until(client, task, "ready", begun)
    return seconds


def _tap(client: httpx.Client, task: str) -> float:
    head = client.get(f"/api/v1/tasks/{task}").json()["head_sha"]
    begun = time.perf_counter()
    body = {"action": "merge", "head_sha": head, "key": "tap"}
    client.post(f"/api/v1/tasks/{task}/actions", json=body).raise_for_status()
    return begun


def _by_hand(scratch: Path) -> float:
    """Branch, change, check, build, merge and switch in one shell, without a sandbox, a record or a watch."""
    repo = _repository(scratch / "by-hand", 1)
    script = """\
set -e
git worktree add -q ../tree -b change main; cd ../tree
echo '<p>version 1' > site/index.html
grep -q version site/index.html
git -c user.name=Ada -c user.email=ada@example.com commit -qam Change
git clone -q . ../check; (cd ../check && grep -q version site/index.html)
cp -r site ../release; ln -sfn ../release ../current
cd ../by-hand; git checkout -q main; git -c user.name=Ada -c user.email=ada@example.com merge -q --squash change
git -c user.name=Ada -c user.email=ada@example.com commit -qm Change
"""
    begun = time.perf_counter()
    subprocess.run(["sh", "-c", script], cwd=repo, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun
