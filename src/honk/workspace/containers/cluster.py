"""A Kubernetes cluster as sandboxes need it, by its official client: pods, their streams, a policy for the network."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import select
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from honk.model import HonkError
from honk.settings import Settings

if TYPE_CHECKING:
    from kubernetes.client import CoreV1Api
    from kubernetes.stream.ws_client import WSClient

_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_POLICY = "honk-sandboxes"
LABELS = {"app.kubernetes.io/managed-by": "honk", "app.kubernetes.io/component": "sandbox"}
_STARTING_SECONDS = 600.0
"""For a node to be found, or made, and the image to be there."""
_CALL_SECONDS = 60
_TICK = 0.2
_STDIN = 0
_STDOUT = b"\x01"
_HOPELESS = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError", "CreateContainerError"}
)


def home_label(settings: Settings) -> str:
    """What the pods of this home are told from others' by."""
    return hashlib.sha256(os.fsencode(settings.home)).hexdigest()[:16]


def policy() -> Any:
    """Nothing comes into sandboxes by the network, and nothing goes out."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": _POLICY, "labels": dict(LABELS)},
        "spec": {"podSelector": {"matchLabels": dict(LABELS)}, "policyTypes": ["Ingress", "Egress"]},
    }


class Cluster:
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
        selector = ",".join(
            f"{key}={value}" for key, value in {**LABELS, "honk/home": home_label(self._settings)}.items()
        )
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


class Attached:
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
