"""The sandbox: no view of the machine, no network but through the gateway, and no secret inside.

What keeps a sandbox apart is a backend's affair: bubblewrap here, or a container of Docker, Podman or Kubernetes. All
of them fulfil `Backend`, and nothing else of Honk knows which it is.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from honk.model import Command, Completed, HonkError, Interactive, Reach, UsageError
from honk.settings import Settings
from honk.workspace.allowance import Allowance, allowance, ulimits
from honk.workspace.layers import Layers
from honk.workspace.processes import end_family, follow, start
from honk.workspace.system import System, system

if TYPE_CHECKING:
    from honk.workspace.containers.images import Recipe
    from honk.workspace.egress import Egress

INSIDE_TREE = "/workspace"
MODEL_PORT = 4001
EGRESS_PORT = 4002
TEMPORARY_BYTES = 4 * 1024**3
_BRIDGE = Path(__file__).with_name("bridge.py")


class Backend(Protocol):
    """What runs the commands of sandboxes, and keeps every promise of `SECURITY.md` that it is named under.

    For a command it makes a place in which there is the sandbox's tree at `INSIDE_TREE`, its home at `INSIDE_HOME`,
    what is readable and writable besides by the paths they have inside, and nothing else of this machine; and where
    each of `sockets`, by its port of the loopback, and the command's own `serves` are the only ways out and in. What
    the command has written is in the folders outside when it has ended, and of the place nothing is left.
    """

    @property
    def name(self) -> str: ...

    @property
    def layered(self) -> bool:
        """Whether trees may be layers, where the kernel puts those together."""
        ...

    def refusal(self, settings: Settings) -> str | None:
        """None if sandboxes can be made of it, else one sentence that says what to do. Tried for real."""
        ...

    def run(
        self,
        sandbox: Sandbox,
        command: Command,
        sockets: Mapping[int, Path],
        on_output: Callable[[str], None] | None,
        stop: Callable[[], bool] | None,
    ) -> Completed:
        """As `Sandbox.run`."""
        ...

    def interactive(
        self, sandbox: Sandbox, command: Command, sockets: Mapping[int, Path], entered: contextlib.ExitStack
    ) -> Interactive:
        """As `Sandbox.interactive`."""
        ...

    def remove_leftovers(self, settings: Settings) -> None:
        """Destroy what processes of Honk that no longer live have left running."""
        ...


def backend(settings: Settings) -> Backend:
    """What the settings choose. Raises `HonkError` where a part of it is not installed."""
    return _chosen(settings, settings.sandbox if settings.sandbox != "auto" else _found(settings))


def backends(settings: Settings) -> list[Backend]:
    """All there are, the usual one of this kind of machine first."""
    usual = ("docker", "podman", "kubernetes") if sys.platform == "darwin" else _NAMES
    return [_chosen(settings, name) for name in usual]


_NAMES = ("local", "docker", "podman", "kubernetes")
_made: dict[str, Backend] = {}
_first: list[str] = []


def _chosen(settings: Settings, name: str) -> Backend:
    if name not in _made:
        if name == "local":
            from honk.workspace.bubblewrap import Bubblewrap

            _made[name] = Bubblewrap()
        elif name == "kubernetes":
            from honk.workspace.containers.pods import Pods

            _made[name] = Pods()
        else:
            from honk.workspace.containers.engine import Containers

            _made[name] = Containers(name)
    return _made[name]


def _found(settings: Settings) -> str:
    """The first that works here; Kubernetes is only used where somebody says so."""
    if not _first:
        usual = ("docker", "podman") if sys.platform == "darwin" else ("local", "docker", "podman")
        working = (name for name in usual if _chosen(settings, name).refusal(settings) is None)
        _first.append(next(working, usual[0]))
    return _first[0]


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
    image: str | Recipe | None = None
    """What containers are made of, where sandboxes are such; None: what the settings say."""
    reach: Reach | None = None
    """What commands may reach besides what each names itself; without it, those that name nothing have no way out."""

    @property
    def inside(self) -> str:
        """The tree's path as commands see it."""
        return str(self.tree) if self.unsafe else INSIDE_TREE

    @property
    def made_of(self) -> str:
        """The image that its programs come from, with what runs it; empty where they are this machine's."""
        chosen = backend(self.settings).name
        if self.unsafe or chosen == "local":
            return ""
        image = self.image or self.settings.sandbox_image
        return f"{chosen} {self.settings.sandbox_runtime or ''} {image if isinstance(image, str) else image.name}"

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
            return backend(self.settings).run(self, command, command.reaches, on_output, stop)
        with egress:
            sockets = {**command.reaches, EGRESS_PORT: egress.socket}
            completed = backend(self.settings).run(self, command, sockets, on_output, stop)
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
            folder = self._folder / below(command.directory)
            argv = ["env", "-C", str(folder), *command.argv]
            return Interactive(argv, self._unsafe_environment(command))
        return backend(self.settings).interactive(self, command, sockets, entered)

    def written(self, command: Command) -> list[Path]:
        """The folders on disk that the command can fill."""
        own = () if command.reads_only else (self.tree, self.home)
        folders = [place if isinstance(place, Path) else place.upper for place in own]
        return [*folders, *command.writable.values()]

    def allowed(self, command: Command) -> Allowance:
        """What the command may use."""
        return allowance(self.settings, command.limits)

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
            [*_bridged_unsafe(command), *limited(command.argv, self.allowed(command))],
            env=environment,
            pass_fds=tuple(command.serves.values()),
            cwd=self._folder / below(command.directory),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        return follow(process, command.limits, end=lambda: end_family(process, mark), on_output=on_output, stop=stop)

    def _unsafe_environment(self, command: Command) -> dict[str, str]:
        seen = machine(self.settings)
        path = {"PATH": os.environ.get("PATH", seen.environment["PATH"])}
        return seen.environment | path | home_environment(str(self.home)) | dict(command.environment)


def _bridged_unsafe(command: Command) -> list[str]:
    pairs = [f"{port}={socket}" for port, socket in command.reaches.items()]
    pairs += [f"{port}<{descriptor}" for port, descriptor in command.serves.items()]
    return [sys.executable, "-I", "-S", str(_BRIDGE), *pairs, "--"] if pairs else []


def limited(argv: Sequence[str], allowed: Allowance, *, counting: bool = True) -> list[str]:
    """The argv that becomes this one under the limits for each process; `counting` as in `ulimits`."""
    return ["/bin/sh", "-c", f'{ulimits(allowed, counting=counting)}exec "$@"', "sh", *argv]


def below(directory: str) -> Path:
    """The directory as a path below the tree. Raises `UsageError` if it is none."""
    path = Path(directory)
    if path.is_absolute() or ".." in path.parts:
        raise UsageError(f"The directory {directory} must be a folder below the repository's root.")
    return path


def home_environment(home: str) -> dict[str, str]:
    """The variables that say where the home is."""
    return {"HOME": home, "CARGO_HOME": f"{home}/.cargo", "GOPATH": f"{home}/go"}


def proxy_environment(port: int, egress: Sequence[str]) -> dict[str, str]:
    """The variables that lead programs to the proxy at this port of the loopback."""
    address = f"http://127.0.0.1:{port}"
    names = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "npm_config_proxy", "npm_config_https_proxy")
    java = "".join(
        f" -D{scheme}.proxyHost=127.0.0.1 -D{scheme}.proxyPort={port}" for scheme in ("http", "https")
    ).strip()
    # A server the command starts itself is reached directly; one on the host, if it is allowed, by the proxy.
    direct = [name for name in ("localhost", "127.0.0.1", "::1") if not any(name in entry for entry in egress)]
    exempt = dict.fromkeys(("NO_PROXY", "no_proxy"), ",".join(direct))
    if len(direct) < 3:
        # Java goes straight to all names of the loopback, whatever else it is told; only with an empty list to none.
        java += " -Dhttp.nonProxyHosts="
    return dict.fromkeys(names, address) | exempt | {"MAVEN_OPTS": java, "GRADLE_OPTS": java}


def machine(settings: Settings) -> System:
    """What sandboxes that are not containers see of this machine."""
    return _machine(tuple(settings.sandbox_readable))


@cache
def _machine(readable: tuple[Path, ...]) -> System:
    return system(readable)
