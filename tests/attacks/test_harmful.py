"""Attacks that would do harm if they succeeded, so that nobody's `honk doctor` tries them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import stat
import subprocess
import termios
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from honk.model import Command
from honk.settings import Settings
from honk.workspace import Sandbox
from honk.workspace.bubblewrap import bwrap
from honk.workspace.system import system
from tests.workspace.conftest import shell

from .conftest import own_homes


@pytest.fixture
def settings(can_sandbox: None, tmp_path: Path) -> Iterator[Settings]:
    with own_homes(tmp_path) as found:
        yield found


def sandbox(settings: Settings, name: str) -> Sandbox:
    folder = settings.home.parent / name
    (folder / "tree").mkdir(parents=True)
    (folder / "home").mkdir()
    return Sandbox(settings, folder / "tree", folder / "home")


def test_taking_the_mode_of_the_program_that_starts_sandboxes_harms_no_other_and_no_later_one(
    settings: Settings,
) -> None:
    before = bwrap().stat()
    first, second = sandbox(settings, "first"), sandbox(settings, "second")
    seen: list[str] = []

    def look(_: str) -> None:
        seen.append(second.run(shell("echo still works")).output)

    first.run(shell("chmod 0 /proc/1/exe; echo taken; read wait"), on_output=look)
    first.run(shell("chmod 6777 /proc/1/exe; touch -d 1990-01-01 /proc/1/exe"))
    assert seen == ["still works\n"]
    assert second.run(shell("echo still works")).output == "still works\n"
    after = bwrap().stat()
    assert (after.st_mode, after.st_mtime_ns) == (before.st_mode, before.st_mtime_ns)
    kept = [path for path in (settings.home / "sandbox").rglob("bwrap*") if path.is_file()]
    assert [stat.S_IMODE(path.stat().st_mode) for path in kept] == [0o500]


def test_ending_every_process_it_can_ends_only_its_own(settings: Settings) -> None:
    attacker, other = sandbox(settings, "attacker"), sandbox(settings, "other")

    def attack(_: str) -> None:
        attacker.run(shell("kill -9 -1"))
        (other.tree / "go-on").touch()

    line = "echo ready; while [ ! -e go-on ]; do sleep 0.05; done; echo lives"
    done = other.run(shell(line), on_output=lambda text: attack(text) if "ready" in text else None)
    assert done.output == "ready\nlives\n"


def test_keys_are_not_pushed_into_a_terminal_that_it_was_given(settings: Settings) -> None:
    controller, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 80))
    script = (
        "import fcntl, os, termios\n"
        "for number in (0, os.open(os.ttyname(0), os.O_RDWR) if os.path.exists('/dev/console') else 0):\n"
        "    for byte in b'touch pushed\\n':\n"
        "        fcntl.ioctl(number, termios.TIOCSTI, bytes([byte]))\n"
        "print('pushed')\n"
    )
    with contextlib.ExitStack() as entered:
        start = sandbox(settings, "typing").interactive(Command(("python3", "-c", script)), {}, entered)
        given, environment = start.argv, dict(start.environment)
        done = subprocess.run(
            given, env=environment, stdin=terminal, capture_output=True, text=True, timeout=60, check=False
        )
    os.set_blocking(terminal, False)
    waiting = fcntl.ioctl(terminal, termios.FIONREAD, b"\0" * 4)
    os.close(controller)
    os.close(terminal)
    assert "pushed" not in done.stdout
    assert waiting == b"\0" * 4


def test_a_file_of_honks_that_was_left_open_to_heirs_is_not_inherited(settings: Settings, tmp_path: Path) -> None:
    secret = tmp_path / "kept-open"
    secret.write_text("word-in-an-open-file")
    descriptors = [os.open(secret, os.O_RDWR) for _ in range(30)]
    try:
        for descriptor in descriptors:
            os.set_inheritable(descriptor, True)
        look = "import os\nfor n in range(3, 300):\n    try: print(os.pread(n, 99, 0))\n    except OSError: pass\n"
        done = sandbox(settings, "heir").run(Command(("python3", "-c", look)))
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    assert "word-in-an-open-file" not in done.output


def test_a_file_put_in_the_way_of_a_sandbox_by_another_is_not_followed(settings: Settings) -> None:
    """Commands of one home run one after the other with the same tree: what the first leaves must not lead the next
    out of it."""
    box = sandbox(settings, "leaving")
    outside = settings.home.parent / "outside"
    outside.write_text("kept")
    box.run(shell(f"ln -s {outside} f; rm -rf ~/.config; ln -s {outside.parent} ~/.config; ln -s / root"))
    box.run(shell("echo x > f; echo x > ~/.config/outside; echo x > root/etc/hosts"))
    assert outside.read_text() == "kept"


def test_many_sandboxes_at_once_leave_no_process_behind(settings: Settings) -> None:
    boxes = [sandbox(settings, f"many{number}") for number in range(4)]
    line = "for i in 1 2 3 4 5; do (setsid sh -c 'trap \"\" TERM HUP; exec sleep 987654' &) ; done; exit 0"
    threads = [threading.Thread(target=box.run, args=(shell(line),)) for box in boxes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    left = [path for path in Path("/proc").glob("[0-9]*/cmdline") if b"sleep\x00987654" in _read(path)]
    assert left == []


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_a_python_that_was_installed_among_the_persons_own_files_does_not_show_them(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = Path.home() / ".local"
    for name in ("bin", "lib", "share/keyrings"):
        (local / name).mkdir(parents=True)
    for prefix in (local, Path.home(), Path.home().parent):
        monkeypatch.setattr("sys.base_prefix", str(prefix))
        shown = [Path(word) for word in system().arguments if word.startswith(str(Path.home().parent))]
        assert not [path for path in shown if (local / "share").is_relative_to(path)]
    assert local / "lib" in [Path(word) for word in _shown(monkeypatch, local)]


def _shown(monkeypatch: pytest.MonkeyPatch, prefix: Path) -> list[str]:
    monkeypatch.setattr("sys.base_prefix", str(prefix))
    return [*system().arguments]
