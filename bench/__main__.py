"""Runs the benchmarks and prints a table. Absolute times are this machine's; the ratios are what to look at."""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from bench.agents import first_requests, many_at_once
from bench.example import story_of_the_example
from bench.history import files_before_history
from bench.history import ratios as history_ratios
from bench.previews import previews_against_starlette
from bench.queue import CHANGES, queue_against_one_by_one
from bench.shipping import words_to_production
from bench.workspaces import ratios as workspace_ratios
from bench.workspaces import workspaces_against_git
from honk.rehearsal import Rehearsal, Scene, say, use

ROUNDS = 5


def _repository(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "app.txt").write_text("one\n")
    (folder / "honk.yaml").write_text("verify: {test: 'grep -q hello app.txt'}\n")
    for command in (["init", "-qb", "main"], ["add", "-A"], ["commit", "-qm", "First"]):
        identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
        subprocess.run(["git", *identity, *command], cwd=folder, check=True)
    return folder


def _scene(path: str) -> Scene:
    return Scene(
        "greet",
        [
            use("Bash", command="ls", description="look"),
            use("Read", file_path=f"{path}/app.txt"),
            use("Edit", file_path=f"{path}/app.txt", old_string="one", new_string="hello"),
            say("It greets now."),
        ],
    )


def _timed(*command: str, **environment: str) -> float:
    begun = time.perf_counter()
    subprocess.run(
        command, env=os.environ | environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return time.perf_counter() - begun


def help_against_python() -> dict[str, float]:
    """`honk --help` against an empty Python process, seconds."""
    empty = statistics.median(_timed(sys.executable, "-c", "pass") for _ in range(ROUNDS))
    told = statistics.median(_timed(sys.executable, "-m", "honk", "--help") for _ in range(ROUNDS))
    return {"python -c pass": empty, "honk --help": told}


def bare_session(scratch: Path) -> dict[str, float]:
    """The SDK's script as a process: to the first request, and in all, seconds."""
    first, whole = [], []
    for number in range(ROUNDS):
        repo = _repository(scratch / f"bare-{number}")
        with Rehearsal([_scene(str(repo))]) as model:
            begun = time.time()
            environment = {"ANTHROPIC_BASE_URL": model.base_url, "ANTHROPIC_API_KEY": "x", "IS_SANDBOX": "1"}
            whole.append(
                _timed(sys.executable, "-m", "bench.bare", str(repo), str(scratch / f"c{number}"), **environment)
            )
            first.append(model.requests[0].at - begun)
    return {"bare: start → first request": statistics.median(first), "bare: whole": statistics.median(whole)}


@contextmanager
def _server(home: Path, model: Rehearsal, **settings: str) -> Iterator[tuple[httpx.Client, int]]:
    environment = {"HONK_HOME": str(home), "ANTHROPIC_BASE_URL": model.base_url, "ANTHROPIC_API_KEY": "x"}
    environment |= {"HONK_JUDGE": "off"} | settings
    process = subprocess.Popen(
        [sys.executable, "-m", "honk", "up", "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE, text=True, env=os.environ | environment,
    )  # fmt: skip
    line = process.stdout.readline() if process.stdout else ""
    url, token = re.findall(r"(http://\S+)/\?token=(\S+)", line)[0]
    headers = {"authorization": f"Bearer {token}"}
    try:
        with httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=60) as client:
            yield client, process.pid
    finally:
        process.kill()
        process.wait()


def honk_session(scratch: Path) -> dict[str, float]:
    """The same session through Honk: message to first request with its parts, and to a verified pull request."""
    parts: dict[str, list[float]] = {}
    with Rehearsal([_scene("/workspace")]) as model, _server(scratch / "home", model) as (client, pid):
        for number in range(ROUNDS):
            repo = _repository(scratch / f"honk-{number}")
            model.requests.clear()
            begun = time.time()
            body = {"repo": str(repo), "text": "Please greet", "key": str(number)}
            task = client.post("/api/v1/tasks", json=body).raise_for_status().json()["id"]
            at = _times(client, task)
            marks = {
                "message → turn begins": at["turn.started"] - begun,
                "mirror and base": at["agent.started"] - at["turn.started"],
                "workspace, sandbox, CLI → first request": model.requests[0].at - at["agent.started"],
                "message → first request": model.requests[0].at - begun,
                "agent's work": at["agent.finished"] - model.requests[0].at,
                "after the agent (commit, checks known, pull request)": at["ready"] - at["agent.finished"],
                "message → ready": at["ready"] - begun,
            }
            for name, value in marks.items():
                parts.setdefault(name, []).append(value)
        peak = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return {name: statistics.median(values) for name, values in parts.items()} | {
        "server's peak memory, MB": int(peak[1]) / 1000 if peak else 0.0
    }


def _times(client: httpx.Client, task: str) -> dict[str, float]:
    """When each kind of event came first, on the system's clock."""
    from datetime import datetime

    at: dict[str, float] = {}
    with client.stream("GET", f"/api/v1/tasks/{task}/events") as stream:
        for line in stream.iter_lines():
            if line.startswith("data: "):
                event = json.loads(line[6:])
                at.setdefault(event["kind"], datetime.fromisoformat(event["at"]).timestamp())
                if event["kind"] in ("ready", "failed"):
                    return at
    raise SystemExit("the server ended the stream")


def _from_the_outside(scratch: Path) -> dict[str, float]:
    return help_against_python() | bare_session(scratch) | honk_session(scratch)


def _shipping(scratch: Path) -> dict[str, float]:
    with Rehearsal([]) as model, _server(scratch / "queue-home", model) as (client, _):
        return queue_against_one_by_one(client, scratch) | words_to_production(client, scratch)


def _agents(scratch: Path) -> dict[str, float]:
    first = first_requests(_server, _scene("/workspace"), _repository, scratch)
    return first | many_at_once(_server, _repository, scratch)


PARTS: dict[str, Callable[[Path], dict[str, float]]] = {
    "session": _from_the_outside,
    "agents": _agents,
    "workspaces": workspaces_against_git,
    "history": files_before_history,
    "previews": previews_against_starlette,
    "shipping": _shipping,
    "example": story_of_the_example,
}


def _ratios(figures: dict[str, float]) -> dict[str, float]:
    """The ratios of the parts that were measured."""

    def ratio(name: str, above: Sequence[str], below: str) -> dict[str, float]:
        if below not in figures:
            return {}
        return {name: sum(figures[one] for one in above) / figures[below]}

    return {
        **ratio("honk --help ÷ python -c pass", ["honk --help"], "python -c pass"),
        **ratio("message → first request ÷ bare", ["message → first request"], "bare: start → first request"),
        **ratio("message → verified pull request ÷ bare session", ["message → ready"], "bare: whole"),
        **ratio(
            "preview ÷ Starlette's static files, requests/s",
            ["preview, identity: requests/s"],
            "static files, identity: requests/s",
        ),
        **ratio(
            "the same, with the coding that browsers ask for",
            ["preview, gzip: requests/s"],
            "static files, gzip: requests/s",
        ),
        **ratio(
            "merges one by one ÷ all at once",
            [f"{CHANGES} merges, one by one"],
            f"{CHANGES} merges, all at once",
        ),
        **ratio(
            "words and tap to production ÷ by hand",
            ["message → preview answers", "tap → production answers with it"],
            "by hand: all of that",
        ),
        **workspace_ratios(figures),
        **history_ratios(figures),
    }


def main() -> None:
    """Run the parts that are named on the command line, or all of them, and print their figures and ratios."""
    chosen = sys.argv[1:] or list(PARTS)
    if unknown := [name for name in chosen if name not in PARTS]:
        raise SystemExit(f"There is no {', '.join(unknown)} to measure: {', '.join(PARTS)} are.")
    figures: dict[str, float] = {}
    for name in chosen:
        with tempfile.TemporaryDirectory(prefix="honk-bench-", ignore_cleanup_errors=True) as folder:
            figures |= PARTS[name](Path(folder))
    for name, value in figures.items():
        print(f"{name:<62} {value:9.3f}")
    print()
    for name, value in _ratios(figures).items():
        print(f"{name:<62} {value:9.2f}")


if __name__ == "__main__":
    main()
