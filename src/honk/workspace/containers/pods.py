"""Sandboxes as pods of a Kubernetes cluster, one for each command, by the cluster's own interface.

A pod shares no disk with Honk: it is given the folders as they are, and what was written in it comes back. It has no
network either: everything goes through the standard streams of its first process, over the connection that the cluster
calls attaching. The pod ends with that connection, so none outlives the process of Honk that made it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import posixpath
import secrets
import select
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from honk.model import Command, Completed, HonkError, Interactive
from honk.settings import Settings
from honk.workspace.allowance import Allowance
from honk.workspace.containers.engine import USER, folder_of, git_configuration, lock_folder, start_of
from honk.workspace.containers.session import Door, Folder, Session, Start, follow, program
from honk.workspace.sandbox import INSIDE_TREE, Sandbox
from honk.workspace.system import INSIDE_HOME

if TYPE_CHECKING:
    from kubernetes.client import CoreV1Api
    from kubernetes.stream.ws_client import WSClient

_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_POLICY = "honk-sandboxes"
_LABELS = {"app.kubernetes.io/managed-by": "honk", "app.kubernetes.io/component": "sandbox"}
_STARTING_SECONDS = 600.0
"""For a node to be found, or made, and the image to be there."""
_MORE_SECONDS = 900
"""How much longer than its command a pod may live."""
_CALL_SECONDS = 60
_TICK = 0.2
_TEMPORARY = ("/tmp", "/var/tmp", "/run", "/dev/shm")  # noqa: S108
_STDIN = 0
_STDOUT = b"\x01"
_HOPELESS = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError", "CreateContainerError"}
)
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
            cluster = _Cluster(settings)
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
        for lock in lock_folder(settings).glob(f"{self.name}-*"):
            with lock.open("a") as owner:
                try:
                    fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                with contextlib.suppress(HonkError):
                    _Cluster(settings).remove(lock.name.removeprefix(f"{self.name}-"))
                    lock.unlink(missing_ok=True)
        with contextlib.suppress(HonkError):
            _Cluster(settings).remove_ended()

    def _ready(self, settings: Settings) -> None:
        """Raises `HonkError` unless the cluster keeps pods away from the network, which is tried once."""
        cluster = _Cluster(settings)
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
        cluster = _Cluster(sandbox.settings)
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
        self, cluster: _Cluster, settings: Settings, image: str, start: Start, seconds: float, places: Sequence[str]
    ) -> Iterator[Session]:
        name = f"honk-{secrets.token_hex(8)}"
        lock = lock_folder(settings) / f"{self.name}-{name}"
        with lock.open("a") as owner:
            fcntl.flock(owner, fcntl.LOCK_EX)
            try:
                cluster.make(pod(name, image, settings, start.allowed, seconds, places, cluster.owner()))
                cluster.wait_for(name)
                link = _Attached(cluster.attach(name), lambda: cluster.remove(name))
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
    metadata: dict[str, Any] = {"name": name, "labels": {**_LABELS, "honk/home": _home(settings)}}
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


def policy() -> Any:
    """Nothing comes into sandboxes by the network, and nothing goes out."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": _POLICY, "labels": dict(_LABELS)},
        "spec": {"podSelector": {"matchLabels": dict(_LABELS)}, "policyTypes": ["Ingress", "Egress"]},
    }


def _mount(place: str) -> str:
    """The folder that has to be there for it: all of Honk's own in one."""
    return "/honk" if f"{place}/".startswith("/honk/") else place


def _home(settings: Settings) -> str:
    return hashlib.sha256(os.fsencode(settings.home)).hexdigest()[:16]


class _Cluster:
    """The cluster that the settings or the surroundings name, and the namespace for sandboxes in it."""

    def __init__(self, settings: Settings) -> None:
        try:
            from kubernetes import client, config
        except ImportError as error:
            raise HonkError("Sandboxes in Kubernetes need its client: `pip install 'honk[kubernetes]'`.") from error
        self._settings = settings
        configuration = client.Configuration()
        context, file = None, os.environ.get("KUBECONFIG")  # the client reads that only once
        try:
            if _NAMESPACE_FILE.is_file():
                config.load_incluster_config(configuration)  # type: ignore[no-untyped-call]
            else:
                config.load_kube_config(file, client_configuration=configuration)  # type: ignore[no-untyped-call]
                context = config.list_kube_config_contexts(file)[1]  # type: ignore[no-untyped-call]
        except (config.ConfigException, OSError) as error:
            raise HonkError(
                f"No Kubernetes cluster is named here ({error}): run Honk in one, or set KUBECONFIG."
            ) from error
        configuration.retries = 3
        self._configuration = configuration
        self.address = str(configuration.host)
        self.namespace = settings.sandbox_namespace or _namespace(context)

    @property
    def host(self) -> str:
        """Host and port of the cluster's own interface, as pods would reach it."""
        here = urlsplit(self.address)
        return f"{here.hostname} {here.port or 443}"

    def _core(self) -> CoreV1Api:
        from kubernetes import client

        return client.CoreV1Api(client.ApiClient(self._configuration))

    def _ask(self, what: str, call: Callable[[], Any], *, known: Sequence[int] = ()) -> Any:
        """What the call gives; the status where it is one of the `known`. Raises `HonkError` otherwise."""
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        try:
            return call()
        except ApiException as error:
            if error.status in known:
                return error.status
            raise HonkError(f"Kubernetes does not let Honk {what}: {_reason(error)}. {_RIGHTS}") from error
        except (HTTPError, OSError) as error:
            raise HonkError(f"The Kubernetes cluster at {self.address} does not answer: {error}.") from error

    def close_network(self) -> None:
        """See that the policy is there that gives sandboxes no network. Raises `HonkError`."""
        from kubernetes import client

        network = client.NetworkingV1Api(client.ApiClient(self._configuration))
        found = self._ask(
            "see its network policies",
            lambda: network.read_namespaced_network_policy(_POLICY, self.namespace, _request_timeout=_CALL_SECONDS),
            known=(404,),
        )
        if found == 404:
            self._ask(
                f"make the network policy `{_POLICY}`",
                lambda: network.create_namespaced_network_policy(
                    self.namespace, policy(), _request_timeout=_CALL_SECONDS
                ),
                known=(409,),
            )
        elif found.spec.egress or found.spec.ingress or set(found.spec.policy_types or ()) != {"Ingress", "Egress"}:
            raise HonkError(
                f"The network policy `{_POLICY}` lets something through: delete it, and Honk makes it anew."
            )

    def owner(self) -> dict[str, Any] | None:
        """The pod that Honk itself runs in, with which the cluster removes its sandboxes; None outside of a cluster."""
        if not _NAMESPACE_FILE.is_file() or _NAMESPACE_FILE.read_text().strip() != self.namespace:
            return None
        name = os.environ.get("HOSTNAME", "")
        own = self._ask(
            "see its own pod",
            lambda: self._core().read_namespaced_pod(name, self.namespace, _request_timeout=_CALL_SECONDS),
            known=(404,),
        )
        if own == 404:
            return None
        return {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": own.metadata.uid, "blockOwnerDeletion": False}

    def make(self, made: Any) -> None:
        self._ask(
            "make pods",
            lambda: self._core().create_namespaced_pod(self.namespace, made, _request_timeout=_CALL_SECONDS),
        )

    def wait_for(self, name: str) -> None:
        """Until the pod runs. Raises `HonkError` if it never will."""
        deadline = time.monotonic() + _STARTING_SECONDS
        told = "no node took it"
        while time.monotonic() < deadline:
            found = self._ask(
                "see pods",
                lambda: self._core().read_namespaced_pod(name, self.namespace, _request_timeout=_CALL_SECONDS),
            )
            states = [one.state for one in found.status.container_statuses or ()]
            waiting = [state.waiting for state in states if state and state.waiting]
            if found.status.phase == "Running" and any(state and state.running for state in states):
                return
            for one in waiting:
                told = f"{one.reason or 'it waits'}{f' ({one.message})' if one.message else ''}"
                if one.reason in _HOPELESS:
                    raise HonkError(f"The container could not start: {told}.")
            if found.status.phase in ("Failed", "Succeeded"):
                raise HonkError(f"The container could not start: {_ended(found)}.")
            time.sleep(_TICK)
        raise HonkError(f"The container could not start in {_STARTING_SECONDS:.0f} s: {told}.")

    def attach(self, name: str) -> WSClient:
        from kubernetes.stream import stream

        # The call changes its client for a moment, so it has one of its own.
        client: WSClient = self._ask(
            "attach to pods",
            lambda: stream(
                self._core().connect_get_namespaced_pod_attach,
                *(name, self.namespace),
                container="command",
                stdin=True,
                stdout=True,
                stderr=False,
                tty=False,
                _preload_content=False,
            ),
        )
        return client

    def remove(self, name: str) -> None:
        self._ask(
            "delete pods",
            lambda: self._core().delete_namespaced_pod(
                name, self.namespace, grace_period_seconds=0, _request_timeout=_CALL_SECONDS
            ),
            known=(404,),
        )

    def remove_ended(self) -> None:
        """Remove the pods of this home that are over."""
        selector = ",".join(f"{key}={value}" for key, value in {**_LABELS, "honk/home": _home(self._settings)}.items())
        for phase in ("Succeeded", "Failed"):
            found = self._ask(
                "list pods",
                partial(
                    self._core().list_namespaced_pod,
                    self.namespace,
                    label_selector=selector,
                    field_selector=f"status.phase={phase}",
                    _request_timeout=_CALL_SECONDS,
                ),
            )
            for one in found.items:
                self.remove(one.metadata.name)


_RIGHTS = "docs/sandboxes.md has the Role that Honk needs."


def _namespace(context: Any) -> str:
    if _NAMESPACE_FILE.is_file():
        return _NAMESPACE_FILE.read_text().strip()
    return str((context or {}).get("context", {}).get("namespace") or "default")


def _reason(error: Any) -> str:
    with contextlib.suppress(ValueError, TypeError, AttributeError):
        return str(json.loads(error.body)["message"]).rstrip(".")
    return f"{error.status} {error.reason}"


def _ended(found: Any) -> str:
    for one in found.status.container_statuses or ():
        if one.state and one.state.terminated:
            ended = one.state.terminated
            return str(ended.message or ended.reason or f"its first process ended with {ended.exit_code}").strip()
    return str(found.status.message or found.status.reason or "it ended")


class _Attached:
    """Implements `session.Link` over the connection to a pod's standard streams."""

    def __init__(self, client: WSClient, remove: Callable[[], None]) -> None:
        self._client = client
        self._remove = remove
        self._left = b""
        self._using = threading.Lock()
        """TLS is not to be read and written at once."""
        self._over = False

    def read(self, size: int) -> bytes:
        while len(self._left) < size and (data := self._receive()):
            self._left += data
        found, self._left = self._left[:size], self._left[size:]
        return found

    def write(self, data: bytes) -> None:
        import websocket

        with self._using:
            try:
                self._client.write_channel(_STDIN, data)  # type: ignore[no-untyped-call]
            except (websocket.WebSocketException, AttributeError) as error:
                raise OSError("the pod is gone") from error

    def end(self) -> None:
        self._over = True
        with contextlib.suppress(HonkError):
            self._remove()
        with contextlib.suppress(Exception):
            self._client.close()  # type: ignore[no-untyped-call]

    def words(self) -> str:
        return "the connection to its pod was lost"

    def _receive(self) -> bytes:
        """What the pod says next; empty at the end."""
        import websocket

        while not self._over:
            connection = self._client.sock
            try:
                if not (isinstance(connection.sock, ssl.SSLSocket) and connection.sock.pending()):
                    poll = select.poll()
                    poll.register(connection.sock, select.POLLIN)
                    if not poll.poll(int(_TICK * 1000)):
                        continue
                with self._using:
                    kind, frame = connection.recv_data_frame(True)
            except (websocket.WebSocketException, OSError, AttributeError, ValueError):
                return b""
            if kind == websocket.ABNF.OPCODE_CLOSE:
                return b""
            if kind in (websocket.ABNF.OPCODE_BINARY, websocket.ABNF.OPCODE_TEXT) and frame.data[:1] == _STDOUT:
                data = bytes(frame.data[1:])
                if data:
                    return data
        return b""
