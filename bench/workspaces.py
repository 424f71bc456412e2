"""How soon a task has a tree to work in, for a small and a large repository, against what git and others would do."""

from __future__ import annotations

import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from honk.model import Command, Person, Repository, State, Task
from honk.settings import read_settings
from honk.workspace import Workspaces
from honk.workspace.bubblewrap import bwrap

FILES = {"small": 600, "large": 60_000}
BYTES = 7_500
ROUNDS = 15
_STATUS = """
import subprocess, time
begun = time.perf_counter()
told = subprocess.run(["git", "status", "--porcelain"], capture_output=True, check=True).stdout
print(time.perf_counter() - begun)
assert not told, told
"""
"""Times git itself, in a sandbox or out of it."""
SLOW_ROUNDS = 3


def generate(path: Path, files: int) -> Path:
    """A repository with so many source files of 7.5 kB in three levels of folders."""
    chance = random.Random(7)  # noqa: S311
    words = [f"w{chance.randrange(10**9):x}" for _ in range(4000)]
    for number in range(files):
        file = path / f"package{number // 600:03d}" / f"module{number // 20 % 30:02d}" / f"file{number % 20:02d}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        lines: list[str] = []
        size = 0
        while size < BYTES:
            lines.append(" ".join(chance.choices(words, k=9)))
            size += len(lines[-1]) + 1
        file.write_text("\n".join(lines) + "\n")
    (path / ".gitignore").write_text("out/\n")
    identity = [
        "-c",
        "user.name=Ada",
        "-c",
        "user.email=ada@example.com",
        "-c",
        "core.compression=1",
        "-c",
        "gc.auto=0",
    ]
    for command in (["init", "-qb", "main"], ["add", "-A"], ["commit", "-qm", "First"], ["repack", "-adq"]):
        subprocess.run(["git", *identity, *command], cwd=path, check=True)
    return path


def _median(rounds: int, act: Callable[[int], None]) -> float:
    times = []
    for number in range(rounds):
        begun = time.perf_counter()
        act(number)
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def task_on(number: int, base: str) -> Task:
    """A task that stands on a commit."""
    now = datetime.now(UTC)
    ada = Person("local:ada", "Ada", "ada@example.com")
    return Task(f"t{number}", "project", "Do it", "script:true", State.WORKING, ada, now, now, base_sha=base)


def _ours(repo: Path, scratch: Path) -> dict[str, float]:
    """From a task's row to the end of its first command in the sandbox, and git's first look at the tree."""
    home = scratch / f"home-{repo.name}"
    repository = Repository("project", str(repo), str(repo), "main")
    workspaces = Workspaces(read_settings(home=home))
    begun = time.perf_counter()
    base = workspaces.fetch(repository)
    with workspaces.open(task_on(999, base), repository) as workspace:
        workspace.run(Command(("true",)))
    first = time.perf_counter() - begun
    fetched: list[float] = []
    status: list[float] = []
    again: list[float] = []
    alone: list[float] = []

    def use(number: int) -> None:
        begun = time.perf_counter()
        task = task_on(number, workspaces.fetch(repository))
        fetched.append(time.perf_counter() - begun)
        with workspaces.open(task, repository) as workspace:
            workspace.run(Command(("true",)))

    usable = _median(ROUNDS, use)
    for number in range(5):
        with workspaces.open(task_on(100 + number, base), repository) as workspace:
            begun = time.perf_counter()
            workspace.run(Command(("true",)))
            alone.append(time.perf_counter() - begun)
            for figures in (status, again):
                figures.append(float(workspace.run(Command(("python3", "-c", _STATUS))).output))
    usage = subprocess.run(["du", "-sk", home / "workspaces" / "t100"], capture_output=True, text=True, check=True)
    return {
        "first of all (mirror, base)": first,
        "accepted → usable": usable,
        "of that, looking for newer commits": statistics.median(fetched),
        "a command in the sandbox": statistics.median(alone),
        "first git status": statistics.median(status),
        "second git status": statistics.median(again),
        "disk of a workspace after git status, MB": int(usage.stdout.split()[0]) / 1000,
    }


def _peers(repo: Path, scratch: Path) -> dict[str, float]:
    place = scratch / "peers"
    place.mkdir()
    shutil.rmtree(place / "x", ignore_errors=True)

    def run(*command: str | Path) -> None:
        subprocess.run([str(word) for word in command], check=True, capture_output=True)

    figures = {
        "git clone --shared": _median(
            SLOW_ROUNDS, lambda n: run("git", "clone", "-q", "--shared", repo, place / f"c{n}")
        ),
        "git worktree add": _median(
            SLOW_ROUNDS, lambda n: run("git", "-C", repo, "worktree", "add", "-q", "--detach", place / f"w{n}")
        ),
        "cp -a": _median(SLOW_ROUNDS, lambda n: run("cp", "-a", repo, place / f"p{n}")),
    }
    figures |= _other_agents(repo, place)
    # What git's look at a plain checkout costs, the first time and when it has been looked at.
    base = place / "c0"
    looked = [
        float(subprocess.run(["python3", "-c", _STATUS], cwd=base, capture_output=True, check=True).stdout)
        for _ in range(6)
    ]
    figures["base's git status"] = statistics.median(looked[1:])
    shutil.rmtree(place)
    run("git", "-C", repo, "worktree", "prune")
    return figures


_MINI_SWE_AGENT = """
import statistics, subprocess, sys, time
from minisweagent.environments.extra.bubblewrap import BubblewrapEnvironment
repo, place, program = sys.argv[1:]
times = []
for number in range(3):
    begun = time.perf_counter()
    tree = f"{place}/m{number}"
    subprocess.run(["git", "clone", "-q", "--shared", repo, tree], check=True)
    arguments = [*BubblewrapEnvironment(executable=program).config.wrapper_args, "--ro-bind", repo, repo]
    box = BubblewrapEnvironment(executable=program, cwd=tree, wrapper_args=arguments)
    done = box.execute({"command": "git status --porcelain"})
    assert done["returncode"] == 0, done
    times.append(time.perf_counter() - begun)
print(statistics.median(times))
"""

_OPENHANDS = """
import logging, statistics, subprocess, sys, time
from openhands.sdk.workspace import LocalWorkspace
logging.disable()
repo, place, _ = sys.argv[1:]
times = []
for number in range(3):
    begun = time.perf_counter()
    tree = f"{place}/o{number}"
    subprocess.run(["git", "clone", "-q", "--shared", repo, tree], check=True)
    with LocalWorkspace(working_dir=tree) as workspace:
        done = workspace.execute_command("git status --porcelain", timeout=120)
    assert done.exit_code == 0, done
    times.append(time.perf_counter() - begun)
print(statistics.median(times))
"""


def _other_agents(repo: Path, place: Path) -> dict[str, float]:
    """What the users of other agents wait for the same, where their packages can be had: they make no trees, so git
    does. OpenHands' environment on this machine is no sandbox; the one that is needs a container daemon."""
    wanted = {
        "git clone --shared, mini-swe-agent's bubblewrap, git status": ("mini-swe-agent", (3, 11), _MINI_SWE_AGENT),
        "git clone --shared, OpenHands' local workspace, git status": ("openhands-sdk", (3, 12), _OPENHANDS),
    }
    figures = {}
    for name, (package, oldest, code) in wanted.items():
        venv = Path(tempfile.gettempdir()) / f"honk-bench-{package}"
        python = venv / "bin" / "python"
        try:
            if not python.exists():
                subprocess.run([_python(oldest), "-m", "venv", venv], check=True, capture_output=True)
                subprocess.run([python, "-m", "pip", "install", "-q", package], check=True, capture_output=True)
            command = [python, "-c", code, repo, place, bwrap()]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            figures[name] = float(done.stdout.split()[-1])
        except (subprocess.CalledProcessError, OSError) as error:
            print(f"{package} is not measured: {getattr(error, 'stderr', None) or error}", file=sys.stderr)
    return figures


def _python(oldest: tuple[int, int]) -> str:
    """A Python of at least this version. Raises `OSError` where there is none."""
    if sys.version_info >= oldest:
        return sys.executable
    for minor in range(oldest[1], oldest[1] + 3):
        found = shutil.which(f"python3.{minor}")
        # What stands on PATH may be a version manager's stand-in for a Python that is not chosen.
        if found and not subprocess.run([found, "--version"], capture_output=True, check=False).returncode:
            return found
    raise OSError(f"it wants Python {oldest[0]}.{oldest[1]} or newer")


def workspaces_against_git(scratch: Path) -> dict[str, float]:
    """All figures, of both repositories."""
    figures = {}
    for name, files in FILES.items():
        repo = generate(scratch / name, files)
        for key, value in (_peers(repo, scratch) | _ours(repo, scratch)).items():
            figures[f"{name}: {key}"] = value
        shutil.rmtree(scratch / f"home-{name}")
    return figures


def ratios(figures: dict[str, float]) -> dict[str, float]:
    """What the figures say."""
    if "large: accepted → usable" not in figures:
        return {}
    told = {"usable, large ÷ small": figures["large: accepted → usable"] / figures["small: accepted → usable"]}
    for name in FILES:
        fastest = min(figures[f"{name}: {way}"] for way in ("git clone --shared", "git worktree add", "cp -a"))
        told[f"{name}: fastest of git's ways and cp ÷ usable"] = fastest / figures[f"{name}: accepted → usable"]
        told[f"{name}: first git status ÷ base's"] = (
            figures[f"{name}: first git status"] / figures[f"{name}: base's git status"]
        )
    return told
