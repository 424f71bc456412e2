"""Sandboxes as pods of a Kubernetes cluster, one for each command, by the cluster's own interface.

A pod shares no disk with Honk: it is given the folders as they are, and what was written in it comes back. It has no
network either: everything goes through the standard streams of its first process, over the connection that the cluster
calls attaching. The pod ends with that connection, so none outlives the process of Honk that made it.
"""

from __future__ import annotations

import contextlib
import posixpath
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from honk.model import Command, Completed, HonkError, Interactive
from honk.settings import Settings
from honk.workspace.allowance import Allowance
from honk.workspace.containers.cluster import LABELS, Attached, Cluster, home_label
from honk.workspace.containers.door import Door
from honk.workspace.containers.engine import USER, folder_of, git_configuration, start_of
from honk.workspace.containers.locks import left_behind, locked_name
from honk.workspace.containers.session import Folder, Session, Start, follow, program
from honk.workspace.sandbox import INSIDE_TREE, Sandbox
from honk.workspace.system import INSIDE_HOME

_MORE_SECONDS = 900
"""How much longer than its command a pod may live."""
_TEMPORARY = ("/tmp", "/var/tmp", "/run", "/dev/shm")  # noqa: S108
_REACH = """
import os, socket
try: socket.create_connection(os.environ["KUBERNETES"].split(), 3).close(); print("reached")
except OSError: print("closed")
"""


class Pods:
    """Implements `sandbox.Backend`."""

    name = "kubernetes"
    layered = False

    def __init__(self) -> None:
        self._closed: list[str] = []
        """Clusters whose network was seen to keep pods apart."""
        self._opening = threading.Lock()
        self._live: dict[Path, list[Session]] = {}
        """Whose tree may be newer than the folder outside."""

    def refusal(self, settings: Settings) -> str | None:
        """See `sandbox.Backend`."""
        try:
            cluster = Cluster(settings)
            cluster.close_network()
        except HonkError as error:
            return str(error)
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
        self._ready(sandbox.settings)
        start = _start(sandbox, command, sockets, interactive=False)
        with self._pod(sandbox, command, start) as session:
            return follow(session, command.limits, on_output=on_output, stop=stop, watcher=None)

    def interactive(
        self, sandbox: Sandbox, command: Command, sockets: Mapping[int, Path], entered: contextlib.ExitStack
    ) -> Interactive:
        """See `sandbox.Backend`."""
        self._ready(sandbox.settings)

        @contextlib.contextmanager
        def begin(arguments: Sequence[str]) -> Iterator[tuple[Session, None]]:
            start = _start(sandbox, command, sockets, more=arguments, interactive=True)
            with self._pod(sandbox, command, start) as session, self._newer(sandbox, session):
                yield session, None

        door = entered.enter_context(Door(begin))
        return Interactive(door.argv(), {}, door.excess)

    def remove_leftovers(self, settings: Settings) -> None:
        """See `sandbox.Backend`. Pods end by themselves; what is removed is what the cluster still knows of them."""
        for name, lock in left_behind(settings, self.name):
            with contextlib.suppress(HonkError):
                Cluster(settings).remove(name)
                lock.unlink(missing_ok=True)
        with contextlib.suppress(HonkError):
            Cluster(settings).remove_ended()

    def _ready(self, settings: Settings) -> None:
        """Raises `HonkError` unless the cluster keeps pods away from the network, which is tried once."""
        cluster = Cluster(settings)
        with self._opening:
            if cluster.address in self._closed:
                return
            cluster.close_network()
            environment = {"KUBERNETES": cluster.host}
            start = Start(("python3", "-c", _REACH), environment, "/", _least(settings))
            with self._pod_of(cluster, settings, settings.sandbox_image, start, 60.0, ()) as session:
                told = follow(session, Command(()).limits, on_output=None, stop=None, watcher=None)
            if told.output.strip() != "closed":
                raise HonkError(
                    "The cluster's network does not keep pods apart as the NetworkPolicy `honk-sandboxes` says: use a "
                    "network plug-in that does, such as Calico or Cilium."
                )
            self._closed.append(cluster.address)

    @contextlib.contextmanager
    def _pod(self, sandbox: Sandbox, command: Command, start: Start) -> Iterator[Session]:
        image = sandbox.image or sandbox.settings.sandbox_image
        if not isinstance(image, str):
            raise HonkError(
                "The repository's image is to be built from a Dockerfile, which Kubernetes does not do: build and push "
                "it, and name it in honk.yaml by `sandbox: {image: …}`."
            )
        if command.full_network:
            raise HonkError(
                "A deploy needs the network of Honk's machine, which a pod has not: set HONK_SANDBOX=local."
            )
        for session in self._live.get(folder_of(sandbox.tree), []):
            session.fetch()
        cluster = Cluster(sandbox.settings)
        seconds = command.limits.seconds
        if start.interactive:
            seconds = max(seconds, sandbox.settings.agent_seconds)
        places = [
            folder.inside if folder.outside.is_dir() else posixpath.dirname(folder.inside) for folder in start.folders
        ]
        with self._pod_of(cluster, sandbox.settings, image, start, seconds, places) as session:
            yield session

    @contextlib.contextmanager
    def _pod_of(
        self, cluster: Cluster, settings: Settings, image: str, start: Start, seconds: float, places: Sequence[str]
    ) -> Iterator[Session]:
        with locked_name(settings, self.name) as (name, lock):
            try:
                cluster.make(pod(name, image, settings, start.allowed, seconds, places, cluster.owner()))
                cluster.wait_for(name)
                link = Attached(cluster.attach(name), lambda: cluster.remove(name))
                session = Session(link, start)
                try:
                    yield session
                finally:
                    session.close()
            finally:
                cluster.remove(name)
                lock.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _newer(self, sandbox: Sandbox, session: Session) -> Iterator[None]:
        sessions = self._live.setdefault(folder_of(sandbox.tree), [])
        sessions.append(session)
        try:
            yield
        finally:
            sessions.remove(session)


def _start(
    sandbox: Sandbox, command: Command, sockets: Mapping[int, Path], *, more: Sequence[str] = (), interactive: bool
) -> Start:
    settings = sandbox.settings
    writes = {} if command.reads_only else {INSIDE_TREE: sandbox.tree, INSIDE_HOME: sandbox.home}
    read = {**sandbox.readable, **command.readable, "/honk/gitconfig": git_configuration(settings.home)}
    if command.reads_only:
        read[INSIDE_TREE] = folder_of(sandbox.tree)
    written = {**command.writable, **{inside: folder_of(place) for inside, place in writes.items()}}
    folders = [Folder(outside, inside, inside in written) for inside, outside in sorted({**read, **written}.items())]
    start = start_of(sandbox, command, sockets, more=more, interactive=interactive)
    environment = {"GIT_CONFIG_SYSTEM": "/honk/gitconfig", **start.environment}
    return replace(start, folders=folders, environment=environment)


def _least(settings: Settings) -> Allowance:
    return Allowance(256 * 1024**2, 64, 64 * 1024**2, None, settings.sandbox_open_files, settings.sandbox_file_size)


def pod(
    name: str,
    image: str,
    settings: Settings,
    allowed: Allowance,
    seconds: float,
    places: Sequence[str],
    owner: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The pod as the cluster is asked for it: all that the restricted Pod Security Standard wants, and more. `places`
    are folders that are to be there, empty."""
    disk = str(allowed.disk)
    # Each has the place for what is put there, and all that is above it can then be written by nobody.
    mounts = sorted({_mount(place) for place in (*places, INSIDE_TREE, INSIDE_HOME)} | set(_TEMPORARY))
    volumes = [f"place-{number}" for number, _ in enumerate(mounts)]
    metadata: dict[str, Any] = {"name": name, "labels": {**LABELS, "honk/home": home_label(settings)}}
    if owner:
        metadata["ownerReferences"] = [dict(owner)]
    container = {
        "name": "command",
        "image": image,
        "command": ["python3", *program()],
        "stdin": True,
        "stdinOnce": True,
        "workingDir": "/",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": {
            "limits": {"memory": str(allowed.memory), "ephemeral-storage": disk},
            "requests": {"memory": str(min(allowed.memory, 256 * 1024**2)), "cpu": "100m"},
        },
        "volumeMounts": [{"name": volume, "mountPath": mount} for volume, mount in zip(volumes, mounts, strict=True)],
    }
    spec: dict[str, Any] = {
        "containers": [container],
        "volumes": [{"name": volume, "emptyDir": {"sizeLimit": disk}} for volume in volumes],
        "restartPolicy": "Never",
        "activeDeadlineSeconds": int(seconds) + _MORE_SECONDS,
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "hostname": "honk",
        # Without it a name that is looked up would leave the pod by the cluster's own server.
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["127.0.0.1"]},
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    if settings.sandbox_runtime:
        spec["runtimeClassName"] = settings.sandbox_runtime
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _mount(place: str) -> str:
    """The folder that has to be there for it: all of Honk's own in one."""
    return "/honk" if f"{place}/".startswith("/honk/") else place
