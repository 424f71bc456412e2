"""System calls that no build needs, each tried in the sandbox."""

from __future__ import annotations

import json
import platform
import re
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from honk.model import Command
from honk.settings import Settings
from honk.workspace import Sandbox, seccomp

from .conftest import shell

NEW_USER, NEW_MOUNTS = 0x10000000, 0x00020000
KILLED, DENIED, UNKNOWN, ALLOWED = 0x80000000, 0x50001, 0x50026, 0x7FFF0000
AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7, "i386": 0x40000003}
HEADERS = {
    "x86_64": ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", r"#define __NR_(\w+)\s+(\d+)"),
    "aarch64": ("/usr/include/asm-generic/unistd.h", r"#define __NR(?:3264)?_(\w+)\s+(\d+)"),
}

TRY = """
import ctypes, errno, json, sys
libc = ctypes.CDLL(None, use_errno=True)
def attempt(number, *given):
    ctypes.set_errno(0)
    done = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(one) for one in given])
    return errno.errorcode.get(ctypes.get_errno(), 'well') if done == -1 else 'well'
print(json.dumps([attempt(*one) for one in json.loads(sys.argv[1])]))
"""


@pytest.fixture
def sandbox(settings: Settings, tmp_path: Path) -> Sandbox:
    if not seccomp.supported():
        pytest.skip(f"there is no system-call filter for {platform.machine()}")
    for name in ("tree", "own"):
        (tmp_path / name).mkdir()
    return Sandbox(settings, tmp_path / "tree", tmp_path / "own")


def number(call: tuple[int | None, int | None]) -> int:
    found = call[0 if platform.machine() == "x86_64" else 1]
    return -1 if found is None else found


def tried(sandbox: Sandbox, *calls: tuple[int, ...], nested: bool = False) -> list[str]:
    done = sandbox.run(Command(("python3", "-c", TRY, json.dumps(calls)), nested=nested))
    assert done.exit_code == 0, done.output
    told: list[str] = json.loads(done.output)
    return told


def filtered(machine: str, call: int, *arguments: int, audit: int | None = None, nested: bool = False) -> int:
    """What the kernel would make of the call: the filter's program, run here."""
    data = struct.pack("<IIQ6Q", call, audit or AUDIT[machine], 0, *arguments, *[0] * (6 - len(arguments)))
    program = list(struct.iter_unpack("<HBBI", seccomp.program(nested=nested, machine=machine)))
    held = place = 0
    while True:
        code, hit, miss, value = program[place]
        place += 1
        if code == 0x06:
            return value
        if code == 0x20:
            held = struct.unpack_from("<I", data, value)[0]
        elif code == 0x05:
            place += value
        else:
            holds = {0x15: held == value, 0x25: held > value, 0x35: held >= value, 0x45: bool(held & value)}[code]
            place += hit if holds else miss


def test_what_no_build_needs_is_denied(sandbox: Sandbox) -> None:
    calls = {name: number(call) for name, call in (seccomp.DENIED | seccomp.OWN_NAMESPACES).items()}
    here = {name: call for name, call in calls.items() if call >= 0}
    told = dict(zip(here, tried(sandbox, *((call, -1, -1, -1, -1, -1) for call in here.values())), strict=True))
    assert len(here) > 45
    assert {name: answer for name, answer in told.items() if answer != "EPERM"} == {}


def test_namespaces_of_ones_own_are_denied_and_clone3_is_not_there(sandbox: Sandbox) -> None:
    unshare, clone = number(seccomp._UNSHARE), number(seccomp._CLONE)
    told = tried(
        sandbox, (unshare, NEW_USER), (unshare, NEW_MOUNTS), (clone, NEW_USER | 17), (number(seccomp._CLONE3), 0, 0)
    )
    assert told == ["EPERM", "EPERM", "EPERM", "ENOSYS"]
    assert sandbox.run(shell("unshare --user true")).exit_code != 0


def test_the_keys_of_a_terminal_cannot_be_played(sandbox: Sandbox) -> None:
    """Also not by a number that differs in the half which the kernel does not read."""
    ioctl = number(seccomp._IOCTL)
    numbers = (0x5412, 0x541C, 0x5412 | 1 << 32, 0x541C | 7 << 40)
    assert tried(sandbox, *((ioctl, 0, one, 0) for one in numbers)) == ["EPERM"] * 4
    assert tried(sandbox, (ioctl, 0, 0x5401, 0)) == ["ENOTTY"]


def test_only_ordinary_personalities_and_families_of_sockets_are_to_be_had(sandbox: Sandbox) -> None:
    personality, socket = number(seccomp._PERSONALITY), number(seccomp._SOCKET)
    told = tried(sandbox, (personality, 0x0400000), (personality, 0xFFFFFFFF), (personality, 0x40000))
    assert told == ["EPERM", "well", "well"]
    told = tried(sandbox, *((socket, family, 1, 0) for family in (40, 38, 17, 31, 1, 2)))
    assert told == ["EAFNOSUPPORT"] * 4 + ["well"] * 2


def test_disk_and_memory_that_nobody_could_watch_are_not_handed_out(sandbox: Sandbox) -> None:
    fallocate, shmget = number(seccomp._FALLOCATE), number(seccomp._SHMGET)
    told = tried(sandbox, (fallocate, 1, 0, 0, 1 << 40), (fallocate, 1, 1, 0, 1 << 40))
    assert told == ["ENOTSUP"] * 2
    told = tried(sandbox, (shmget, 0, 2 << 20, 0o600), (shmget, 0, 1 << 32, 0o600), (shmget, 0, 4096, 0o600))
    assert told == ["EPERM", "EPERM", "well"]
    done = sandbox.run(Command(("python3", "-c", "import os; os.posix_fallocate(os.open('f', 66), 0, 1 << 20)")))
    assert (done.exit_code, (sandbox.tree / "f").stat().st_size) == (0, 1 << 20)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="these are other ways into the kernel of x86_64")
def test_other_ways_into_the_kernel_are_closed(sandbox: Sandbox) -> None:
    assert tried(sandbox, (0x40000000 | 39,)) == ["ENOSYS"]
    # mov eax, 20 (getpid of 32-bit programs); int 0x80; ret
    code = (
        "import ctypes, mmap; m = mmap.mmap(-1, 4096, prot=7); m.write(bytes.fromhex('b814000000cd80c3'));"
        "ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m)))()"
    )
    assert sandbox.run(Command(("python3", "-c", code))).exit_code == 128 + 31


def test_nobody_in_a_sandbox_has_a_capability_or_can_get_one(sandbox: Sandbox) -> None:
    for nested in (False, True):
        command = replace(shell("cat /proc/self/status /proc/1/status"), nested=nested)
        lines = dict.fromkeys(line.replace("\t", " ") for line in sandbox.run(command).output.splitlines())
        kinds = ("Inh", "Prm", "Eff", "Bnd", "Amb")
        assert [line for line in lines if line.startswith("Cap")] == [f"Cap{kind}: {'0' * 16}" for kind in kinds]
        assert [line for line in lines if line.startswith("NoNew")] == ["NoNewPrivs: 1"]
        assert [line for line in lines if line.startswith("Seccomp:")] == ["Seccomp: 2"]


def test_a_repository_that_asks_for_it_gets_namespaces_of_its_own_and_nothing_else(sandbox: Sandbox) -> None:
    line = "unshare --user --map-root-user --mount sh -c 'mount -t tmpfs none /tmp && touch /tmp/in && echo mounted'"
    done = sandbox.run(replace(shell(line), nested=True))
    assert done.output == "mounted\n"
    assert sandbox.run(shell(line)).exit_code != 0
    names = [name for name, call in seccomp.DENIED.items() if number(call) >= 0]
    calls = [(number(seccomp.DENIED[name]), -1, -1, -1, -1, -1) for name in names]
    assert tried(sandbox, *calls, nested=True) == ["EPERM"] * len(names)


def test_debuggers_of_ones_own_children_work(sandbox: Sandbox) -> None:
    code = (
        "import ctypes, os, signal; libc = ctypes.CDLL(None, use_errno=True); child = os.fork()\n"
        "if not child: signal.pause()\n"
        "assert libc.ptrace(16, child, 0, 0) == 0, ctypes.get_errno()\n"
        "print(os.WIFSTOPPED(os.waitpid(child, 0)[1]))"
    )
    assert sandbox.run(Command(("python3", "-c", code))).output == "True\n"


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_of_each_machine_denies_what_it_lists_and_nothing_else(machine: str) -> None:
    column = list(HEADERS).index(machine)
    denied = {call[column] for call in (seccomp.DENIED | seccomp.OWN_NAMESPACES).values()} - {None}
    answers = {one: filtered(machine, one) for one in range(480)}
    assert {one for one, answer in answers.items() if answer == DENIED} == denied
    assert answers[seccomp._CLONE3[column]] == UNKNOWN
    assert filtered(machine, seccomp._CLONE[column], NEW_USER | 17) == DENIED
    assert filtered(machine, seccomp._CLONE[column], 17) == ALLOWED
    assert filtered(machine, seccomp._CLONE[column], NEW_USER | 17, nested=True) == ALLOWED
    assert filtered(machine, seccomp._IOCTL[column], 0, 0x5412 | 1 << 32) == DENIED
    assert filtered(machine, seccomp._SHMGET[column], 0, 1 << 32) == DENIED
    assert filtered(machine, 1, audit=AUDIT["i386"]) == KILLED


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_numbers_are_the_kernels_own(machine: str) -> None:
    path, pattern = HEADERS[machine]
    if not Path(path).exists():
        pytest.skip(f"the kernel's headers are not here: {path}")
    theirs = {name: int(found) for name, found in re.findall(pattern, Path(path).read_text())}
    column = list(HEADERS).index(machine)
    named = {
        name.lower().strip("_"): getattr(seccomp, name)
        for name in ("_CLONE", "_CLONE3", "_UNSHARE", "_IOCTL", "_PERSONALITY", "_SOCKET", "_FALLOCATE", "_SHMGET")
    }
    for name, call in (seccomp.DENIED | seccomp.OWN_NAMESPACES | named).items():
        # Headers may be older than a call, and 64-bit machines never had some.
        assert theirs.get(name, call[column]) == call[column], name
