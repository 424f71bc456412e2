"""A Kubernetes cluster, played: its interface over HTTPS and WebSockets, and a node whose containers are bubblewrap's.

It is as strict as a cluster whose namespace enforces the restricted Pod Security Standard, and whose Honk has the Role
of docs/sandboxes.md and no other right. What it is asked for is held to Kubernetes' own published schemas.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import os
import re
import ssl
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Iterator
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from ruamel.yaml import YAML
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from honk.workspace.bubblewrap import bwrap, isolation
from honk.workspace.system import system

VERSION = "1.32"
NAMESPACE = "sandboxes"
_MOST_FRAME = 1 << 15
_QUERY = {
    "create": {"dryRun", "fieldManager", "fieldValidation", "pretty"},
    "get": {"pretty"},
    "delete": {"gracePeriodSeconds", "propagationPolicy", "pretty", "dryRun"},
    "list": {"labelSelector", "fieldSelector", "limit", "pretty"},
    "attach": {"container", "stdin", "stdout", "stderr", "tty"},
}


@cache
def documented_rules() -> list[dict[str, Any]]:
    """The rights that the documentation tells people to give."""
    page = Path(__file__).parents[2] / "docs" / "sandboxes.md"
    for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL):
        for document in YAML(typ="safe").load_all(block):
            if isinstance(document, dict) and document.get("kind") == "Role":
                rules: list[dict[str, Any]] = document["rules"]
                return rules
    raise AssertionError("docs/sandboxes.md has no Role")


class Refused(Exception):
    """An answer that is a Status."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.answer = JSONResponse(
            {
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
                "reason": reason, "code": code,
            },
            status_code=code,
        )  # fmt: skip


class Pod:
    """A pod and, once the node has taken it, its container."""

    def __init__(self, cluster: Cluster, body: dict[str, Any]) -> None:
        self.body = body
        self.name: str = body["metadata"]["name"]
        body["metadata"] |= {"uid": str(uuid.uuid4()), "namespace": NAMESPACE}
        self.seen = 0
        self.waiting: tuple[str, str] | None = None
        self.process: subprocess.Popen[bytes] | None = None
        image = body["spec"]["containers"][0]["image"]
        if image in cluster.missing_images:
            self.waiting = ("ErrImagePull", f'failed to pull "{image}": not found')
            return
        self.folder = tempfile.TemporaryDirectory(prefix="played-pod-")
        self.process = subprocess.Popen(
            self._argv(open_network=not cluster.keeps_apart(body)),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={}, start_new_session=True,
        )  # fmt: skip

    def _argv(self, *, open_network: bool) -> list[str]:
        spec = self.body["spec"]
        container = spec["containers"][0]
        user = str(spec["securityContext"]["runAsUser"])
        confined = [*isolation(), *system().arguments, "--as-pid-1", "--uid", user, "--gid", user]
        if open_network:
            confined += ["--share-net"]
        volumes = {one["name"]: one for one in spec["volumes"]}
        for mount in container["volumeMounts"]:
            assert "emptyDir" in volumes[mount["name"]]
            place = Path(self.folder.name, mount["name"])
            place.mkdir()
            confined += ["--bind", str(place), mount["mountPath"]]
        for name, value in system().environment.items():
            confined += ["--setenv", name, value]
        return [str(bwrap()), *confined, "--remount-ro", "/", "--chdir", "/", "--", *container["command"]]

    def end(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            self.folder.cleanup()

    def shown(self) -> dict[str, Any]:
        """As the cluster tells of it: a moment without a node, then one without a container, then as it is."""
        self.seen += 1
        state: dict[str, Any]
        if self.waiting and self.seen > 1:
            phase, state = "Pending", {"waiting": {"reason": self.waiting[0], "message": self.waiting[1]}}
        elif self.process is None or self.seen == 1:
            phase, state = "Pending", {"waiting": {"reason": "ContainerCreating"}}
        elif (code := self.process.poll()) is None:
            phase, state = "Running", {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
        else:
            phase = "Failed" if code else "Succeeded"
            state = {"terminated": {"exitCode": code, "reason": "Error" if code else "Completed"}}
        image = self.body["spec"]["containers"][0]["image"]
        status = {
            "name": "command", "image": image, "imageID": "", "ready": phase == "Running", "restartCount": 0,
            "state": state,
        }  # fmt: skip
        return {**self.body, "status": {"phase": phase, "containerStatuses": [status]}}


class Cluster:
    """The whole. `faults` is what a real cluster would have refused or warned of."""

    def __init__(self, folder: Path) -> None:
        self.faults: list[str] = []
        self.pods: dict[str, Pod] = {}
        self.policies: dict[str, dict[str, Any]] = {}
        self.made: list[dict[str, Any]] = []
        self.missing_images: set[str] = set()
        self.rules = documented_rules()
        self.plug_in_knows_policies = True
        self.token = uuid.uuid4().hex
        self._folder = folder
        below = f"/api/v1/namespaces/{NAMESPACE}"
        network = f"/apis/networking.k8s.io/v1/namespaces/{NAMESPACE}/networkpolicies"
        self._application = Starlette(
            routes=[
                Route(f"{below}/pods", self._pods, methods=["GET", "POST"]),
                Route(f"{below}/pods/{{name}}", self._pod, methods=["GET", "DELETE"]),
                WebSocketRoute(f"{below}/pods/{{name}}/attach", self._attach),
                Route(network, self._make_policy, methods=["POST"]),
                Route(f"{network}/{{name}}", self._policy, methods=["GET", "DELETE"]),
                Route("/{rest:path}", self._unknown, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
            ],
            exception_handlers={Refused: lambda _, refused: refused.answer},  # type: ignore[dict-item]
        )

    @contextlib.contextmanager
    def running(self) -> Iterator[Path]:
        """The cluster for as long as the context lasts; gives its kubeconfig."""
        authority, key = _certificate(self._folder)
        configuration = uvicorn.Config(
            self._application, host="127.0.0.1", port=0, log_level="error", ssl_certfile=authority, ssl_keyfile=key,
            ws="websockets-sansio", lifespan="off",
        )  # fmt: skip
        server = uvicorn.Server(configuration)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive(), "the played cluster does not start"
            threading.Event().wait(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        try:
            yield self._configuration(port, authority)
        finally:
            server.should_exit = True
            thread.join()
            for pod in self.pods.values():
                pod.end()

    def leave(self, body: dict[str, Any]) -> None:
        """A pod whose container has ended, as one of a Honk that was killed."""
        pod = Pod(self, json.loads(json.dumps(body)))
        assert pod.process and pod.process.stdin
        pod.process.stdin.close()
        pod.process.wait()
        pod.seen = 1
        self.pods[pod.name] = pod

    def keeps_apart(self, pod: dict[str, Any]) -> bool:
        """Whether a policy that denies everything selects the pod."""
        labels = pod["metadata"].get("labels", {}).items()
        return self.plug_in_knows_policies and any(
            policy["spec"]["podSelector"].get("matchLabels", {}).items() <= labels
            and set(policy["spec"]["policyTypes"]) == {"Ingress", "Egress"}
            and not policy["spec"].get("egress")
            for policy in self.policies.values()
        )

    def _configuration(self, port: int, authority: str) -> Path:
        path = self._folder / "kubeconfig"
        path.write_text(
            json.dumps(
                {
                    "apiVersion": "v1", "kind": "Config", "current-context": "played",
                    "clusters": [
                        {
                            "name": "played",
                            "cluster": {"server": f"https://127.0.0.1:{port}", "certificate-authority": authority},
                        }
                    ],
                    "users": [{"name": "honk", "user": {"token": self.token}}],
                    "contexts": [
                        {"name": "played", "context": {"cluster": "played", "user": "honk", "namespace": NAMESPACE}}
                    ],
                }
            )
        )  # fmt: skip
        return path

    # -- what is asked -----------------------------------------------------------------------------------------------

    def _let_in(self, request: Request | WebSocket, verb: str, resource: str, group: str = "") -> None:
        if request.headers.get("authorization") != f"Bearer {self.token}":
            raise Refused(401, "Unauthorized", "Unauthorized")
        allowed = any(
            group in rule["apiGroups"] and resource in rule["resources"] and verb in rule["verbs"]
            for rule in self.rules
        )
        if not allowed:
            raise Refused(
                403,
                "Forbidden",
                f'{resource} is forbidden: User "honk" cannot {verb} resource "{resource}" in API group "{group}" in '
                f'the namespace "{NAMESPACE}"',
            )
        kind = "attach" if resource.endswith("/attach") else verb
        for name in set(request.query_params) - _QUERY[kind]:
            self.faults.append(f"{verb} {resource} has no parameter {name}")

    async def _body(self, request: Request) -> dict[str, Any]:
        import kubernetes_validate

        body: dict[str, Any] = await request.json()
        try:
            kubernetes_validate.validate(body, VERSION, strict=True)
        except kubernetes_validate.ValidationError as error:
            self.faults.append(str(error))
            raise Refused(422, "Invalid", str(error)) from error
        return body

    async def _pods(self, request: Request) -> JSONResponse:
        if request.method == "GET":
            self._let_in(request, "list", "pods")
            wanted = dict(one.split("=") for one in request.query_params.get("labelSelector", "").split(",") if one)
            phase = request.query_params.get("fieldSelector", "").removeprefix("status.phase=")
            shown = [pod.shown() for pod in self.pods.values()]
            items = [
                one
                for one in shown
                if wanted.items() <= one["metadata"].get("labels", {}).items() and phase in ("", one["status"]["phase"])
            ]
            return JSONResponse({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": items})
        self._let_in(request, "create", "pods")
        body = await self._body(request)
        self.made.append(json.loads(json.dumps(body)))
        if breaches := restricted(body["spec"]):
            name = body["metadata"]["name"]
            told = f'pods "{name}" is forbidden: violates PodSecurity "restricted:latest": {", ".join(breaches)}'
            raise Refused(403, "Forbidden", told)
        pod = Pod(self, body)
        self.pods[pod.name] = pod
        return JSONResponse(body, status_code=201)

    async def _pod(self, request: Request) -> JSONResponse:
        verb = "get" if request.method == "GET" else "delete"
        self._let_in(request, verb, "pods")
        pod = self._found(request.path_params["name"])
        if verb == "get":
            return JSONResponse(pod.shown())
        del self.pods[pod.name]
        await asyncio.to_thread(pod.end)
        return JSONResponse(pod.body)

    def _found(self, name: str) -> Pod:
        if name not in self.pods:
            raise Refused(404, "NotFound", f'pods "{name}" not found')
        return self.pods[name]

    async def _make_policy(self, request: Request) -> JSONResponse:
        self._let_in(request, "create", "networkpolicies", "networking.k8s.io")
        body = await self._body(request)
        self.policies[body["metadata"]["name"]] = body
        return JSONResponse(body, status_code=201)

    async def _policy(self, request: Request) -> JSONResponse:
        self._let_in(request, "get", "networkpolicies", "networking.k8s.io")
        name = request.path_params["name"]
        if name not in self.policies:
            raise Refused(404, "NotFound", f'networkpolicies.networking.k8s.io "{name}" not found')
        return JSONResponse(self.policies[name])

    async def _unknown(self, request: Request) -> JSONResponse:
        self.faults.append(f"{request.method} {request.url.path} is nothing that Honk needs")
        raise Refused(404, "NotFound", "the server could not find the requested resource")

    async def _attach(self, connection: WebSocket) -> None:
        """The protocol of the streaming subresources: a byte for the stream in front of what it carries."""
        self._let_in(connection, "get", "pods/attach")
        pod = self._found(connection.path_params["name"])
        asked = [one.strip() for one in connection.headers["sec-websocket-protocol"].split(",")]
        if pod.process is None or pod.process.poll() is not None or "v5.channel.k8s.io" not in asked:
            await connection.close()
            return
        await connection.accept("v5.channel.k8s.io")
        stdin, stdout = pod.process.stdin, pod.process.stdout
        assert stdin and stdout

        async def tell() -> None:
            while data := await asyncio.to_thread(os.read, stdout.fileno(), _MOST_FRAME):
                await connection.send_bytes(b"\x01" + data)
            await connection.send_bytes(b"\x03" + json.dumps({"metadata": {}, "status": "Success"}).encode())
            await connection.close()

        telling = asyncio.create_task(tell())
        try:
            while True:
                data = await connection.receive_bytes()
                assert data[0] == 0, "only standard input is written"
                await asyncio.to_thread(_write, stdin, data[1:])
        except (WebSocketDisconnect, RuntimeError, OSError):
            pass
        # `stdinOnce`: whoever attached is gone, and nobody can come again.
        with contextlib.suppress(OSError):
            stdin.close()
        with contextlib.suppress(Exception):
            await telling


def _write(stdin: Any, data: bytes) -> None:
    stdin.write(data)
    stdin.flush()


def restricted(spec: dict[str, Any]) -> list[str]:
    """What about a pod the Pod Security Standard "restricted" forbids (kubernetes.io, Pod Security Standards)."""
    breaches = []
    outer = spec.get("securityContext", {})
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(name):
            breaches.append(f"host namespaces ({name}=true)")
    for volume in spec.get("volumes", []):
        if not set(volume) - {"name"} <= {
            "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
        }:  # fmt: skip
            breaches.append(f'restricted volume types (volume "{volume["name"]}")')
    for container in spec["containers"]:
        own = container.get("securityContext", {})
        if own.get("privileged"):
            breaches.append("privileged")
        if own.get("allowPrivilegeEscalation") is not False:
            breaches.append("allowPrivilegeEscalation != false")
        if own.get("capabilities", {}).get("drop") != ["ALL"] or own.get("capabilities", {}).get("add"):
            breaches.append("unrestricted capabilities")
        if not (own.get("runAsNonRoot") or outer.get("runAsNonRoot")):
            breaches.append("runAsNonRoot != true")
        if 0 in (own.get("runAsUser"), outer.get("runAsUser")):
            breaches.append("runAsUser=0")
        if (own.get("seccompProfile") or outer.get("seccompProfile") or {}).get("type") not in (
            "RuntimeDefault", "Localhost",
        ):  # fmt: skip
            breaches.append("seccompProfile")
    return breaches


def _certificate(folder: Path) -> tuple[str, str]:
    """A certificate for the loopback and its key, as files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "played")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "cluster.pem", folder / "cluster.key"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    ssl.create_default_context(cafile=str(certificate))
    return str(certificate), str(private)
