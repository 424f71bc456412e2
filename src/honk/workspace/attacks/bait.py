"""What is put out on the machine for attacks to find: each with a word in it that nothing else has."""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from honk.workspace.attacks.probe import key_call

_VARIABLE = "HONK_BAIT"


@dataclass(frozen=True)
class Bait:
    """Where it lies. Every field is known to the attacks, so that finding it is not what is tried."""

    word: str
    """In the environment, memory, open files and other files of a process outside."""
    home: str
    """The person's home."""
    honk_home: str
    honk_file: str
    """A file with the word in Honk's home."""
    file: str
    """A file with the word in the machine's folder for temporary files."""
    shared_memory: str
    """A file with the word in the machine's shared memory; empty if it has none."""
    pid: int
    """A process with the word in its environment and its command line."""
    socket: str
    """A Unix socket that is listened on."""
    abstract: str
    """The name of one without a path."""
    port: int
    """Listened on at 127.0.0.1."""
    port6: int
    """Listened on at ::1; 0 if the machine has none."""
    keyring: int
    """The number of the user's keyring, with a key in it; 0 if the machine has none."""
    descriptor: int
    """Of a file with the word in it, in the process that starts the sandbox, open to what that starts."""


@contextmanager
def planted(honk_home: Path) -> Iterator[Bait]:
    """Put the bait out on this machine, in this process too, for as long as the context lasts."""
    word = f"bait-{secrets.token_hex(8)}"
    with contextlib.ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="honk-bait-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        file = _written(folder / "file", word, stack)
        shelf = honk_home / "sandbox"
        shelf.mkdir(parents=True, exist_ok=True)
        kept = _written(shelf / word, word, stack)
        memory = Path("/dev/shm", word)  # noqa: S108
        shared = str(_written(memory, word, stack)) if os.access(memory.parent, os.W_OK) else ""
        stack.enter_context(_in_environment(word))
        descriptor = os.open(file, os.O_RDONLY)
        stack.callback(os.close, descriptor)
        os.set_inheritable(descriptor, True)
        path = str(folder / "socket")
        listening = stack.enter_context(_listening(socket.AF_UNIX, path))
        abstract = stack.enter_context(_listening(socket.AF_UNIX, f"\0{word}"))
        loopback = stack.enter_context(_listening(socket.AF_INET, ("127.0.0.1", 0)))
        port6 = 0
        with contextlib.suppress(OSError):
            port6 = stack.enter_context(_listening(socket.AF_INET6, ("::1", 0))).getsockname()[1]
        keyring = stack.enter_context(_in_keyring(word))
        process = stack.enter_context(_process(word))
        yield Bait(
            word=word,
            home=str(Path.home()),
            honk_home=str(honk_home),
            honk_file=str(kept),
            file=str(file),
            shared_memory=shared,
            pid=process.pid,
            socket=listening.getsockname(),
            abstract=abstract.getsockname()[1:].decode(),
            port=loopback.getsockname()[1],
            port6=port6,
            keyring=keyring,
            descriptor=descriptor,
        )


def _written(path: Path, word: str, stack: contextlib.ExitStack) -> Path:
    path.write_text(word)
    stack.callback(path.unlink, missing_ok=True)
    return path


@contextmanager
def _in_environment(word: str) -> Iterator[None]:
    os.environ[_VARIABLE] = word
    try:
        yield
    finally:
        del os.environ[_VARIABLE]


@contextmanager
def _listening(family: int, address: object) -> Iterator[socket.socket]:
    with socket.socket(family) as listener:
        listener.bind(address)  # type: ignore[arg-type]
        listener.listen(8)
        yield listener


@contextmanager
def _process(word: str) -> Iterator[subprocess.Popen[bytes]]:
    code = "import sys; sys.stdout.write('up'); sys.stdout.flush(); sys.stdin.read()"
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", code, word],
        env={_VARIABLE: word},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None  # noqa: S101  for the type checker
        process.stdout.read(2)
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def _in_keyring(word: str) -> Iterator[int]:
    """A key in the user's keyring, and that one's number."""
    ring, number_of, revoke, payload = -4, 0, 3, word.encode()
    try:
        keyring = key_call(2, number_of, ring, 1)
        key = key_call(0, b"user", b"honk-bait", ctypes.c_char_p(payload), len(payload), ring)
    except OSError:
        yield 0
        return
    try:
        yield keyring
    finally:
        with contextlib.suppress(OSError):
            key_call(2, revoke, key)
