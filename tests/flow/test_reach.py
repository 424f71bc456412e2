"""What an agent reaches by itself: what honk.yaml of the base branch, the organisation and the registries name."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.conftest import Honk

pytestmark = pytest.mark.usefixtures("sandbox")


@pytest.fixture
def port() -> Iterator[int]:
    """A server of the company's, on this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.headers["host"].encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


FETCH = """\
import http.client, sys
for host in ("localhost", "127.0.0.1", "127.0.0.2"):
    proxy = http.client.HTTPConnection("127.0.0.1", 4002)
    proxy.request("GET", f"http://{host}:%d/")
    answer = proxy.getresponse()
    print(host, answer.status, answer.read().decode(), file=open("reached.txt", "a"))
"""


@pytest.mark.parametrize("named_by", ["honk.yaml", "HONK_EGRESS", "HONK_REGISTRIES"])
def test_an_agent_reaches_what_is_named_and_nothing_else(
    honk: Honk, make_repository: Callable[..., Path], port: int, named_by: str
) -> None:
    hosts = [f"localhost:{port}", f"127.0.0.1:{port}"]
    file = {"verify": {}, "egress": hosts if named_by == "honk.yaml" else []}
    repo = make_repository({"fetch.py": FETCH % port, "honk.yaml": json.dumps(file)})
    environment = {"HONK_REGISTRIES": "[]"} | ({} if named_by == "honk.yaml" else {named_by: json.dumps(hosts)})
    told = ("run", "Fetch", "--repo", str(repo), "--agent", "script:python3 fetch.py", "--json")
    done = honk(*told, check=0, **environment)
    task = json.loads(done.stdout)
    lines = honk("task", "show", task["id"], "--diff", check=0).stdout
    assert f"+localhost 200 localhost:{port}" in lines
    assert f"+127.0.0.1 200 127.0.0.1:{port}" in lines
    assert "+127.0.0.2 403" in lines
    assert [(one["host"], one["why"]) for one in task["blocked"]] == [("127.0.0.2", "private address")]
    assert f"blocked: 127.0.0.2:{port} (agent)" in done.stderr


def test_a_change_cannot_open_the_way_for_its_own_agent(
    honk: Honk, make_repository: Callable[..., Path], port: int
) -> None:
    repo = make_repository({"fetch.py": FETCH % port, "honk.yaml": "verify: {}\n"})
    opened = json.dumps({"verify": {}, "egress": [f"localhost:{port}"]})
    script = f"echo '{opened}' > honk.yaml; python3 fetch.py"
    done = honk("run", "Fetch", "--repo", str(repo), "--agent", f"script:{script}", "--json", check=0)
    assert {one["host"] for one in json.loads(done.stdout)["blocked"]} == {"localhost", "127.0.0.1", "127.0.0.2"}
