"""What happens when a command takes more than it may: it ends with a reason, nothing of it is left, others go on."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from honk.model import Command, Completed, Limits
from honk.settings import Settings
from honk.workspace import Sandbox, Workspaces, cgroups

from .conftest import Make, repository_at, task_on
from .test_sandbox import alive

MB = 1024**2
SECONDS = 60.0
"""Long enough for a busy machine; no test waits for it."""


@pytest.fixture
def sandbox(settings: Settings, tmp_path: Path) -> Sandbox:
    for name in ("tree", "own"):
        (tmp_path / name).mkdir()
    return Sandbox(settings, tmp_path / "tree", tmp_path / "own")


@pytest.fixture(params=["control group", "watcher"])
def kept_by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Who keeps the limits of memory and processes."""
    if request.param == "watcher":
        monkeypatch.setattr(cgroups, "places", dict)
    elif set(cgroups.places()) != set(cgroups.CONTROLLERS):
        pytest.skip("this process may not make control groups for memory and processes")
    return str(request.param)


@pytest.fixture
def marker(tmp_path: Path) -> Iterator[str]:
    """In the command line of everything a test starts; nothing of it is left in the end."""
    name = f"marker-{tmp_path.name}-{os.getpid()}"
    yield name
    assert alive(name) == []


def python(code: str, marker: str, **limits: object) -> Command:
    return Command(("python3", "-c", f"{code}\n# {marker}"), limits=Limits(**({"seconds": SECONDS} | limits)))  # type: ignore[arg-type]


def beside(sandbox: Sandbox, tmp_path: Path) -> Callable[[], Completed]:
    """Start another task's command, which asks for processes and memory again and again until it is told to end."""
    for name in ("other", "other-own"):
        (tmp_path / name).mkdir()
    other = Sandbox(sandbox.settings, tmp_path / "other", tmp_path / "other-own")
    line = "until test -e enough; do date >> ran; head -c 1000000 /dev/zero > /tmp/x; sleep 0.02; done; echo went on"
    done: list[Completed] = []
    thread = threading.Thread(
        target=lambda: done.append(other.run(Command(("sh", "-c", line), limits=Limits(seconds=SECONDS))))
    )
    thread.start()
    wait_for(other.tree / "ran")

    def end() -> Completed:
        before = (other.tree / "ran").stat().st_size
        deadline = time.monotonic() + SECONDS
        while (other.tree / "ran").stat().st_size == before and time.monotonic() < deadline:
            threading.Event().wait(0.02)
        (other.tree / "enough").touch()
        thread.join()
        return done[0]

    return end


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while not path.exists():
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)


@pytest.mark.parametrize(
    "bomb",
    [
        "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
        "import threading, time\nwhile True:\n"
        "    try: threading.Thread(target=time.sleep, args=(60,)).start()\n    except RuntimeError: pass",
    ],
    ids=["processes", "threads"],
)
def test_a_bomb_of_processes_or_threads_ends_alone(
    sandbox: Sandbox, kept_by: str, marker: str, tmp_path: Path, bomb: str
) -> None:
    end = beside(sandbox, tmp_path)
    done = sandbox.run(python(bomb, marker, processes=60))
    assert done.ended_by == "process limit"
    assert done.excess is not None
    assert "more than 60 processes" in done.excess.sentence
    assert "HONK_SANDBOX_PROCESSES" in done.excess.sentence
    assert end().output == "went on\n"


HOGS = {
    "one process": "held = []\nwhile True: held.append(bytearray(1 << 20))",
    "several processes": (
        "import os, time\nfor _ in range(8):\n    if not os.fork(): break\nheld = bytearray(20 << 20)\ntime.sleep(60)"
    ),
    "/tmp": "f = open('/tmp/hog', 'wb')\nwhile True: f.write(bytes(1 << 20))",
    "/dev/shm": "f = open('/dev/shm/hog', 'wb')\nwhile True: f.write(bytes(1 << 20))",
    "files without a name": (
        "import os\nf = os.memfd_create('hog')\nfor _ in range(160): os.write(f, bytes(1 << 20))\n"
        "import time; time.sleep(60)"
    ),
}


@pytest.mark.parametrize("hog", HOGS)
def test_memory_is_counted_wherever_it_is_taken(sandbox: Sandbox, kept_by: str, marker: str, hog: str) -> None:
    done = sandbox.run(python(HOGS[hog], marker, memory=128 * MB))
    assert (done.ended_by, done.exit_code) == ("memory limit", 137)
    assert done.excess is not None
    assert "more than 128 MiB of memory" in done.excess.sentence
    assert "HONK_SANDBOX_MEMORY" in done.excess.sentence


def test_what_a_command_that_reads_only_writes_in_its_home_is_memory(
    sandbox: Sandbox, kept_by: str, marker: str
) -> None:
    code = "import os; f = open(os.environ['HOME'] + '/hog', 'wb')\nwhile True: f.write(bytes(1 << 20))"
    done = sandbox.run(replace(python(code, marker, memory=128 * MB), reads_only=True))
    assert done.ended_by == "memory limit"


def test_memory_that_processes_share_is_counted_once(sandbox: Sandbox, kept_by: str, marker: str) -> None:
    code = (
        "import os, time\nheld = bytearray(60 << 20)\n"
        "children = [os.fork() or time.sleep(1) or os._exit(0) for _ in range(5)]\n"
        "for child in children: os.waitpid(child, 0)\nprint('done')"
    )
    assert sandbox.run(python(code, marker, memory=160 * MB)).output == "done\n"


FILLERS = {
    "one file": "f = open('hog', 'wb')\nwhile True: f.write(bytes(1 << 20)); f.flush()",
    "its home": (
        "import os; f = open(os.environ['HOME'] + '/hog', 'wb')\nwhile True: f.write(bytes(1 << 20)); f.flush()"
    ),
    "a deleted file": (
        "import os, time; f = open('hog', 'wb'); os.unlink('hog')\nfor _ in range(64): f.write(bytes(1 << 20))\n"
        "f.flush(); time.sleep(60)"
    ),
    "many empty files": (
        "import os, time; os.mkdir('d')\nfor n in range(100_000): os.close(os.open(f'd/{n}', 65))\ntime.sleep(60)"
    ),
}


@pytest.mark.parametrize("filler", FILLERS)
def test_a_filler_of_the_disk_is_ended(sandbox: Sandbox, marker: str, tmp_path: Path, filler: str) -> None:
    end = beside(sandbox, tmp_path)
    done = sandbox.run(python(FILLERS[filler], marker, disk=24 * MB))
    assert done.ended_by == "disk limit"
    assert done.excess is not None
    assert "more than 24 MiB" in done.excess.sentence
    assert "HONK_SANDBOX_DISK" in done.excess.sentence
    assert end().output == "went on\n"


def test_holes_in_files_fill_nothing(sandbox: Sandbox, marker: str) -> None:
    code = "import os\nfor n in range(50): os.truncate(os.open(f'f{n}', 66), 1 << 30)\nprint('done')"
    assert sandbox.run(python(code, marker, disk=24 * MB)).output == "done\n"


def test_processor_time_is_added_up_over_processes(sandbox: Sandbox, marker: str, tmp_path: Path) -> None:
    end = beside(sandbox, tmp_path)
    code = "import os\nfor _ in range(3): os.fork()\nwhile True: pass"
    done = sandbox.run(python(code, marker, cpu_seconds=0.8))
    assert done.ended_by == "cpu limit"
    assert done.excess is not None
    assert "more than 0.8 s of processor time" in done.excess.sentence
    assert end().output == "went on\n"


def test_a_process_has_so_many_files_open_and_no_more(sandbox: Sandbox, settings: Settings, marker: str) -> None:
    narrow = Sandbox(settings.model_copy(update={"sandbox_open_files": 64}), sandbox.tree, sandbox.home)
    code = (
        "held = []\ntry:\n    while True: held.append(open('/dev/null'))\n"
        "except OSError as error: print(len(held), error)"
    )
    done = narrow.run(python(code, marker))
    assert done.output.startswith("6")
    assert "Too many open files" in done.output
    raising = python("import resource as r; r.setrlimit(r.RLIMIT_NOFILE, (65, 65))", marker)
    assert "not allowed to raise" in narrow.run(raising).output


def test_a_file_has_so_many_bytes_and_no_more(sandbox: Sandbox, settings: Settings, marker: str) -> None:
    narrow = Sandbox(settings.model_copy(update={"sandbox_file_size": 4 * MB}), sandbox.tree, sandbox.home)
    assert narrow.run(Command(("sh", "-c", f"head -c 9000000 /dev/zero > hog; : {marker}"))).exit_code in (0, 128 + 25)
    assert (sandbox.tree / "hog").stat().st_size == 4 * MB


def test_what_ignores_signals_and_goes_to_the_background_is_ended_for_its_memory(
    sandbox: Sandbox, kept_by: str, marker: str
) -> None:
    code = (
        "import os, signal, time\n"
        "for s in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT): signal.signal(s, signal.SIG_IGN)\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork(): os._exit(0)\n"
        "    os.close(0); os.close(1); os.close(2)\n"
        "    held = bytearray(200 << 20)\n"
        "time.sleep(60)"
    )
    assert sandbox.run(python(code, marker, memory=96 * MB)).ended_by == "memory limit"


def test_a_long_lived_process_is_watched_like_a_command(
    workspaces: Workspaces, make_repository: Make, tmp_path: Path, kept_by: str, marker: str
) -> None:
    origin = make_repository({"a.txt": "a\n"})
    repository = repository_at(origin)
    base = workspaces.fetch(repository)
    with workspaces.open(task_on(base), repository) as workspace:
        entry = workspace.interactive(
            python(
                "print(input(), flush=True)\nheld = []\nwhile True: held.append(bytearray(1 << 20))",
                marker,
                memory=96 * MB,
            ),
            model=False,
        )
        assert entry.excess() is None
        done = subprocess.run(entry.argv, env=entry.environment, input=b"hello\n", capture_output=True, check=False)
        assert done.stdout == b"hello\n"
        assert done.returncode != 0
        excess = entry.excess()
        assert excess is not None
        assert excess.limit == "memory limit"


def test_the_groups_of_sandboxes_go_with_them(sandbox: Sandbox, marker: str) -> None:
    places = cgroups.places()
    if not places:
        pytest.skip("this process may not make control groups")
    seen: list[str] = []

    def groups() -> list[str]:
        return [str(path) for place in places.values() for path in place.folder.glob(f"honk-{os.getpid()}-*")]

    sandbox.run(python("print('hello', flush=True)", marker), on_output=lambda _: seen.extend(groups()))
    assert len(seen) == len(places)
    assert groups() == []


def test_groups_that_a_killed_process_left_behind_are_removed(sandbox: Sandbox) -> None:
    places = cgroups.places()
    if not places:
        pytest.skip("this process may not make control groups")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left = [place.folder / f"honk-{ended.pid}-0123456789ab" for place in places.values()]
    for folder in left:
        folder.mkdir(exist_ok=True)
    code = "from honk.workspace import cgroups; cgroups.places()"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert not any(folder.exists() for folder in left)


def test_what_runs_in_a_sandbox_lets_others_go_first(sandbox: Sandbox, marker: str) -> None:
    told = sandbox.run(python("import os; print(os.nice(0), flush=True); os.nice(-1)", marker)).output
    assert int(told.split()[0]) > os.nice(0)
    assert "not permitted" in told


def test_where_the_machine_runs_out_of_memory_sandboxes_end_before_honk(sandbox: Sandbox, marker: str) -> None:
    told = sandbox.run(python("print(open('/proc/self/oom_score_adj').read())", marker)).output
    assert int(told) > int(Path("/proc/self/oom_score_adj").read_text())


def test_the_upper_layer_of_a_workspace_is_what_a_filler_fills(
    workspaces: Workspaces, make_repository: Make, marker: str
) -> None:
    repository = repository_at(make_repository({"a.txt": "a\n"}))
    with workspaces.open(task_on(workspaces.fetch(repository)), repository) as workspace:
        done = workspace.run(python(FILLERS["one file"], marker, disk=24 * MB))
        assert done.ended_by == "disk limit"
        assert "HONK_SANDBOX_DISK" in (done.excess.sentence if done.excess else "")
