"""Sandboxes as containers of Docker or Podman, one for each command, by their command-line program.

The container has no network and mounts nothing but the command's own folders: everything else goes through the standard
streams of its first process (`session`). It ends with them, so none outlives the process of Honk that started it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import IO, cast

from honk.model import Command, Completed, Excess, HonkError, Interactive
from honk.scratch import scratch
from honk.settings import Settings
from honk.workspace.allowance import Allowance, disk_full
from honk.workspace.containers.door import Door
from honk.workspace.containers.images import Recipe
from honk.workspace.containers.linux_programs import for_linux
from honk.workspace.containers.locks import left_behind, locked_name
from honk.workspace.containers.session import Session, Start, follow, program
from honk.workspace.layers import Layers
from honk.workspace.sandbox import (
    EGRESS_PORT,
    INSIDE_TREE,
    TEMPORARY_BYTES,
    Sandbox,
    below,
    home_environment,
    limited,
    proxy_environment,
)
from honk.workspace.system import INSIDE_HOME, interpreter
from honk.workspace.trees import make_tree
from honk.workspace.usage import Folders

USER = 1000
"""Who commands are where Honk itself is root."""
_OWN_PROCESSES = 64
"""Threads that `init` may need besides what the command has."""
_IMAGE_SECONDS = 1800.0
_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy")
_CLIENT = ("PATH", "HOME", "USER", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "TMPDIR")


def start_of(
    sandbox: Sandbox, command: Command, sockets: Mapping[int, Path], *, more: Sequence[str] = (), interactive: bool
) -> Start:
    """What `init` is told of a command, with `more` arguments."""
    argv = [*command.argv, *more]
    if argv[0] == interpreter():
        argv[0] = "python3"  # the image's own
    allowed = sandbox.allowed(command)
    ways = dict(sockets)
    environment = home_environment(INSIDE_HOME) | {"USER": "honk", "LOGNAME": "honk", "LANG": "C.UTF-8", "TERM": "dumb"}
    if EGRESS_PORT in ways:
        environment |= proxy_environment(EGRESS_PORT, command.egress)
    return Start(
        argv=limited(argv, allowed, counting=False),
        environment=environment | dict(command.environment),
        directory=str(Path(INSIDE_TREE, below(command.directory))),
        allowed=allowed,
        path=sandbox.path.replace("$HOME", INSIDE_HOME),
        sockets=ways,
        serves=command.serves,
        interactive=interactive,
    )


def folder_of(place: Path | Layers) -> Path:
    """The tree or home as a folder. Raises `HonkError` for one in layers."""
    if isinstance(place, Path):
        return place
    raise HonkError(
        "This workspace was made in layers, which containers cannot put together: set HONK_SANDBOX=local for it, or "
        "start the task anew."
    )


class Containers:
    """Implements `sandbox.Backend` with the program `docker` or `podman`."""

    layered = False

    def __init__(self, name: str) -> None:
        self.name = name
        self._images: set[str] = set()
        self._pulling = threading.Lock()

    def refusal(self, settings: Settings) -> str | None:
        """See `sandbox.Backend`."""
        if shutil.which(self.name) is None:
            return f"There is no `{self.name}` here: install {self.name.capitalize()}."
        try:
            self._told("version", "--format", "{{.Server.Version}}" if self.name == "docker" else "{{.Client.Version}}")
            if self.name == "podman":
                self._told("info", "--format", "{{.Host.OS}}")
        except HonkError as error:
            return f"{self.name.capitalize()} does not answer: start it, or let this user use it ({error})"
        return None

    def run(
        self,
        sandbox: Sandbox,
        command: Command,
        sockets: Mapping[int, Path],
        on_output: Callable[[str], None] | None,
        stop: Callable[[], bool] | None,
    ) -> Completed:
        """See `sandbox.Backend`."""
        start = start_of(sandbox, command, sockets, interactive=False)
        with self._container(sandbox, command, start.allowed) as link:
            watcher = _Disk(sandbox.written(command), start.allowed)
            session = Session(link, start)
            return follow(session, command.limits, on_output=on_output, stop=stop, watcher=watcher)

    def interactive(
        self, sandbox: Sandbox, command: Command, sockets: Mapping[int, Path], entered: contextlib.ExitStack
    ) -> Interactive:
        """See `sandbox.Backend`."""
        self._ready(sandbox)

        @contextlib.contextmanager
        def begin(arguments: Sequence[str]) -> Iterator[tuple[Session, _Disk]]:
            start = start_of(sandbox, command, sockets, more=arguments, interactive=True)
            with self._container(sandbox, command, start.allowed) as link:
                yield Session(link, start), _Disk(sandbox.written(command), start.allowed)

        door = entered.enter_context(Door(begin))
        return Interactive(door.argv(), {}, door.excess)

    def remove_leftovers(self, settings: Settings) -> None:
        """See `sandbox.Backend`. A container ends with the process that reads from it; this is for one that hangs."""
        for name, lock in left_behind(settings, self.name):
            with contextlib.suppress(HonkError):
                self._told("rm", "--force", name)
            lock.unlink(missing_ok=True)

    # -- one container -----------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _container(self, sandbox: Sandbox, command: Command, allowed: Allowance) -> Iterator[_Client]:
        """A container that runs, for as long as the context lasts."""
        image = self._ready(sandbox)
        with locked_name(sandbox.settings, self.name) as (name, lock):
            argv = ["run", *self._options(sandbox, command, allowed, name), image, *program()]
            client = _Client(subprocess.Popen(
                [self.name, *argv],
                env=_environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            ), lambda: self._remove(name))  # fmt: skip
            try:
                yield client
            finally:
                client.end()
                lock.unlink(missing_ok=True)

    def _options(self, sandbox: Sandbox, command: Command, allowed: Allowance, name: str) -> Iterator[str]:
        settings = sandbox.settings
        yield from ("--rm", "--interactive", "--name", name, "--hostname", "honk", "--pull", "never")
        yield from ("--label", f"honk.home={hashlib.sha256(os.fsencode(settings.home)).hexdigest()[:16]}")
        yield from ("--network", "host" if command.full_network else "none", "--log-driver", "none")
        yield from ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
        yield from ("--memory", str(allowed.memory), "--memory-swap", str(allowed.memory))
        yield from ("--pids-limit", str(allowed.processes + _OWN_PROCESSES))
        yield from ("--ulimit", "core=0:0", "--ulimit", f"nofile={allowed.open_files}:{allowed.open_files}")
        if settings.sandbox_runtime:
            yield from ("--runtime", settings.sandbox_runtime)
        if self.name == "podman":
            # Podman's own defaults ask for more than this process may give away.
            most = 2 * (allowed.processes + _OWN_PROCESSES)
            yield from ("--ulimit", f"nproc={most}:{most}", "--http-proxy=false", "--read-only-tmpfs=false")
            if os.geteuid() != 0:
                yield from ("--userns", "keep-id")
        for variable in _PROXIES:
            # What the person's own configuration has for containers may hold a password.
            yield from ("--env", f"{variable}=", "--env", f"{variable.upper()}=")
        for folder in ("/tmp", "/var/tmp", "/run"):  # noqa: S108
            yield from ("--tmpfs", f"{folder}:rw,exec,nosuid,nodev,mode=1777,size={TEMPORARY_BYTES}")
        yield from ("--workdir", "/", "--entrypoint", "python3", "--user", self._user)
        yield from self._mounts(sandbox, command)

    def _mounts(self, sandbox: Sandbox, command: Command) -> Iterator[str]:
        settings, tree = sandbox.settings, folder_of(sandbox.tree)
        readable = {**sandbox.readable, **command.readable}
        readable |= {str(path): path for path in settings.sandbox_readable if path.exists()}
        readable |= {"/etc/gitconfig": git_configuration(settings.home)}
        writable = dict(command.writable)
        if command.reads_only:
            readable[INSIDE_TREE] = tree
            yield from ("--tmpfs", f"{INSIDE_HOME}:rw,exec,nosuid,nodev,mode=1777,size={TEMPORARY_BYTES}")
        else:
            writable |= {INSIDE_TREE: tree, INSIDE_HOME: folder_of(sandbox.home)}
        for folder in writable.values():
            self._hand_over(folder)
        readable = {inside: self._runnable(outside, settings.home) for inside, outside in readable.items()}
        # Those further up first, whoever is mounted in them.
        for inside, outside in sorted({**readable, **writable}.items()):
            only = "" if inside in writable else ",readonly"
            if any(sign in f"{outside}{inside}" for sign in ',"\n'):
                raise HonkError(f"Containers cannot mount a folder with such a name: {outside}")
            yield from ("--mount", f"type=bind,source={outside},target={inside}{only}")

    def _runnable(self, outside: Path, home: Path) -> Path:
        if sys.platform != "darwin":
            return outside
        form = "{{.Architecture}}" if self.name == "docker" else "{{.Host.Arch}}"
        return for_linux(outside, home, self._told("info", "--format", form))

    @cached_property
    def _user(self) -> str:
        """Who commands are, by numbers: never the machine's root."""
        if os.geteuid() == 0:
            return f"{USER}:{USER}"
        # A daemon without root maps its own root to the person who runs it.
        rootless = self.name == "docker" and "rootless" in self._told("info", "--format", "{{.SecurityOptions}}")
        return "0:0" if rootless else f"{os.geteuid()}:{os.getegid()}"

    def _hand_over(self, folder: Path) -> None:
        """Let the commands' user write the folder, where that is not Honk's own."""
        if os.geteuid() == 0 and sys.platform == "linux" and folder.stat().st_uid != USER:
            owner = f"{USER}:{USER}"
            subprocess.run(["chown", "-R", "--no-dereference", owner, "--", str(folder)], check=True)

    # -- the engine --------------------------------------------------------------------------------------------------

    def _ready(self, sandbox: Sandbox) -> str:
        """The sandbox's image, which is here then. Raises `HonkError` if it cannot be had."""
        wanted = sandbox.image or sandbox.settings.sandbox_image
        image = wanted if isinstance(wanted, str) else wanted.name
        with self._pulling:
            if image not in self._images:
                try:
                    self._told("image", "inspect", "--format", "{{.Id}}", image)
                except HonkError:
                    self._get(wanted, image)
                self._images.add(image)
        return image

    def _get(self, wanted: str | Recipe, image: str) -> None:
        if isinstance(wanted, str):
            self._told("pull", "--quiet", image, seconds=_IMAGE_SECONDS)
            return
        with scratch() as folder:
            tree = folder / "tree"
            make_tree(wanted.source, wanted.commit, tree, inside=False)
            shutil.rmtree(tree / ".git")
            arguments = [f"--build-arg={name}={value}" for name, value in wanted.arguments.items()]
            target = ["--target", wanted.target] if wanted.target else []
            self._told(
                *("build", "--quiet", "--tag", image, "--file", str(tree / wanted.dockerfile), *arguments, *target),
                str(tree / wanted.context),
                seconds=_IMAGE_SECONDS,
            )

    def _remove(self, name: str) -> None:
        with contextlib.suppress(HonkError):
            self._told("rm", "--force", name)

    def _told(self, *arguments: str, seconds: float = 60.0) -> str:
        """What the program says. Raises `HonkError` with what to do if it fails."""
        try:
            done = subprocess.run(
                [self.name, *arguments], env=_environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                timeout=seconds, check=False,
            )  # fmt: skip
        except FileNotFoundError as error:
            raise HonkError(f"There is no `{self.name}` here: install {self.name.capitalize()}.") from error
        except subprocess.TimeoutExpired as error:
            raise HonkError(f"`{self.name} {arguments[0]}` did not answer in {seconds:.0f} s.") from error
        if done.returncode:
            words = (done.stderr.strip() or done.stdout.strip() or "no reason given").splitlines()[-1]
            raise HonkError(f"`{self.name} {arguments[0]}` failed: {words.rstrip('.')}.")
        return done.stdout.strip()


class _Client:
    """Implements `session.Link` by the engine's program, attached to a container."""

    def __init__(self, process: subprocess.Popen[bytes], remove: Callable[[], None]) -> None:
        self._process = process
        self._remove = remove
        self._input, self._output = cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout)
        self._ended = threading.Lock()
        self._errors = b""
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self.read = self._output.read

    def write(self, data: bytes) -> None:
        self._input.write(data)
        self._input.flush()

    def end(self) -> None:
        with self._ended:
            if self._process.poll() is not None:
                return
            # Its first process ends with its input, and with that everything in it.
            with contextlib.suppress(OSError, ValueError):
                self._input.close()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._remove()
                self._process.kill()
                self._process.wait()

    def words(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        self._listener.join(5)
        lines = [line for line in self._errors.decode("utf-8", "replace").splitlines() if line.strip()]
        told = [line for line in lines if "--help" not in line]
        return told[-1].strip() if told else ""

    def _listen(self) -> None:
        errors = cast(IO[bytes], self._process.stderr)
        while data := errors.read1(1 << 12):  # type: ignore[attr-defined]
            self._errors = (self._errors + data)[-(1 << 14) :]


class _Disk:
    """Whether the folders that a command writes keep within their limit."""

    def __init__(self, folders: Sequence[Path], allowed: Allowance) -> None:
        self._folders = Folders(folders, allowed.disk)
        self._allowed = allowed

    def look(self) -> Excess | None:
        with contextlib.suppress(OSError):
            if (left := self._folders.room()) is not None:
                return disk_full(left)
            if (used := self._folders.count()) is not None and used > self._allowed.disk:
                return self._allowed.exceeded("disk limit", used)
        return None

    def last(self) -> Excess | None:
        return None


def _environment() -> dict[str, str]:
    """What the engine's program needs to find its daemon; nothing of it gets into a container."""
    kept = (*_CLIENT, "DOCKER_", "CONTAINER_", "CONTAINERS_", "SSH_AUTH_SOCK")
    return {name: value for name, value in os.environ.items() if name.startswith(kept)}


def git_configuration(home: Path) -> Path:
    """A file in Honk's home: who commits in a container."""
    path = home / "sandbox" / "gitconfig"
    text = "[user]\n\tname = Honk\n\temail = honk@localhost\n[init]\n\tdefaultBranch = main\n"
    if not path.is_file() or path.read_text() != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".gitconfig.{secrets.token_hex(4)}")
        draft.write_text(text)
        draft.replace(path)
    return path
