"""The two ways out of a sandbox: to the hosts on the list, and to the model without its key."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from honk.model import Command, UsageError
from honk.settings import Settings, read_settings
from honk.workspace import Sandbox, Workspaces, bridge
from honk.workspace.addresses import acceptable, allows, parse_entry

from .conftest import Make, Upstream, repository_at, shell, task_on

FETCH = """
import sys, urllib.request, urllib.error
for url in sys.argv[1:]:
    try: print(urllib.request.urlopen(url, timeout=20).read().decode())
    except urllib.error.HTTPError as error: print(error.code, error.read().decode())
    except OSError as error: print('failed', error)
"""


@pytest.fixture
def sandbox(settings: Settings, tmp_path: Path) -> Iterator[Sandbox]:
    for name in ("tree", "own"):
        (tmp_path / name).mkdir()
    yield Sandbox(settings, tmp_path / "tree", tmp_path / "own")


def test_a_host_on_the_list_is_reached_and_any_other_refused_and_recorded(sandbox: Sandbox, upstream: Upstream) -> None:
    urls = (f"http://127.0.0.1:{upstream.port}/a", "http://other.example/", "https://other.example/")
    done = sandbox.run(Command(("python3", "-c", FETCH, *urls), egress=[f"127.0.0.1:{upstream.port}"]))
    assert done.output.startswith("hello from outside")
    assert "add it to `egress`" in done.output
    assert sorted(done.refused_hosts) == ["other.example:443", "other.example:80"]
    assert upstream.paths == ["/a"]


def test_a_tunnel_reaches_a_host_on_the_list(sandbox: Sandbox, upstream: Upstream) -> None:
    code = (
        "import http.client\n"
        "c = http.client.HTTPConnection('127.0.0.1', 4002); c.set_tunnel('127.0.0.1', %d)\n"
        "c.request('GET', '/tunnelled'); print(c.getresponse().read())"
    )
    sandbox.run(Command(("python3", "-c", code % upstream.port), egress=[f"127.0.0.1:{upstream.port}"]))
    assert upstream.paths == ["/tunnelled"]


def test_going_round_the_proxy_leads_nowhere(sandbox: Sandbox, upstream: Upstream) -> None:
    line = f'unset HTTP_PROXY http_proxy; python3 -c "{FETCH}" http://127.0.0.1:{upstream.port}/'
    done = sandbox.run(Command(("sh", "-c", line), egress=[f"127.0.0.1:{upstream.port}"]))
    assert "failed" in done.output
    assert upstream.paths == []


def test_a_name_that_leads_into_a_private_network_is_refused(sandbox: Sandbox, upstream: Upstream) -> None:
    hosts = Path("/etc/hosts").read_text().split()
    own = next((name for name in hosts if name not in ("localhost", "127.0.0.1") and name[0].isalpha()), None)
    if own is None or not any(
        line.split()[:1] == ["127.0.0.1"] for line in Path("/etc/hosts").read_text().splitlines()
    ):
        pytest.skip("this machine has no second name for an address of its own")
    url = f"http://{own}:{upstream.port}/"
    done = sandbox.run(Command(("python3", "-c", FETCH, url), egress=[f"{own}:{upstream.port}"]))
    assert "private network" in done.output
    assert done.refused_hosts == (f"{own}:{upstream.port}",)
    assert upstream.paths == []


@pytest.mark.parametrize(
    ("host", "address", "expected"),
    [
        ("example.com", "93.184.215.14", True),
        ("example.com", "10.0.0.1", False),
        ("example.com", "169.254.169.254", False),
        ("example.com", "127.0.0.1", False),
        ("example.com", "::1", False),
        ("example.com", "::ffff:10.0.0.1", False),
        ("example.com", "fe80::1", False),
        ("example.com", "224.0.0.1", False),
        ("10.0.0.1", "10.0.0.1", True),
        ("localhost", "127.0.0.1", True),
        ("localhost", "10.0.0.1", False),
    ],
)
def test_only_public_addresses_are_connected_to(host: str, address: str, expected: bool) -> None:
    assert acceptable(host, address) is expected


def test_an_entry_names_a_host_a_port_or_a_domain() -> None:
    entries = [parse_entry(entry) for entry in ("a.example", "b.example:8080", "*.c.example", "[::1]:80")]
    assert allows(entries, "a.example", 443)
    assert allows(entries, "A.Example.", 443)
    assert not allows(entries, "a.example", 80)
    assert not allows(entries, "sub.a.example", 443)
    assert allows(entries, "b.example", 8080)
    assert allows(entries, "x.y.c.example", 443)
    assert not allows(entries, "c.example", 443)
    assert not allows(entries, "evilc.example", 443)
    assert allows(entries, "::1", 80)
    for wrong in ("", "a*b", "https://a.example", "a.example:x"):
        with pytest.raises(UsageError, match="egress entry"):
            parse_entry(wrong)


@pytest.fixture
def with_model(settings: Settings, upstream: Upstream) -> Workspaces:
    address = f"http://127.0.0.1:{upstream.port}"
    return Workspaces(read_settings(anthropic_base_url=address, anthropic_api_key="sk-real-key"))


ASK = """
import sys, urllib.request, urllib.error
url, token, path = sys.argv[1:]
body, headers = b'{"model": "claude-sonnet-4-5"}', {'x-api-key': token, 'anthropic-version': '2023-06-01'}
request = urllib.request.Request(url + path, body, headers)
try:
    for line in urllib.request.urlopen(request): print(line.decode(), end='', flush=True)
except urllib.error.HTTPError as error: print(error.code, error.read().decode())
"""


def test_the_key_is_added_outside_and_answers_stream_through(
    with_model: Workspaces, make_repository: Make, upstream: Upstream
) -> None:
    repository = repository_at(make_repository({"a": "1"}))
    with with_model.open(task_on(with_model.fetch(repository)), repository) as workspace:
        model = workspace.model
        line = 'env; cat /proc/*/environ | tr "\\0" "\\n"; exec python3 -c "$@"'
        asked = (model.base_url, model.token, "/v1/messages?beta=true")
        entry = workspace.interactive(Command(("sh", "-c", line, "sh", ASK, *asked)), model=True)
        process = subprocess.Popen(entry.argv, env=entry.environment, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        seen = ""
        # The first part must arrive while the server still holds the second back.
        for line in process.stdout:
            seen += line
            if "first" in line:
                break
        assert "last" not in seen
        upstream.go_on.set()
        seen += process.stdout.read()
        assert process.wait() == 0
    assert "data: last" in seen
    assert "sk-real-key" not in seen
    assert upstream.paths == ["/v1/messages?beta=true"]
    assert upstream.headers[0]["x-api-key"] == "sk-real-key"
    assert upstream.headers[0]["anthropic-version"] == "2023-06-01"
    assert model.token not in str(upstream.headers)


def test_the_gateway_refuses_a_wrong_token_and_paths_that_are_not_the_models(
    with_model: Workspaces, make_repository: Make, upstream: Upstream
) -> None:
    repository = repository_at(make_repository({"a": "1"}))
    with with_model.open(task_on(with_model.fetch(repository)), repository) as workspace:
        model = workspace.model
        for token, path, status in (
            ("wrong", "/v1/messages", "401"),
            (model.token, "/admin", "404"),
            (model.token, "/v1/../admin", "404"),
            (model.token, "/v1/%2e%2e/admin", "404"),
        ):
            entry = workspace.interactive(Command(("python3", "-c", ASK, model.base_url, token, path)), model=True)
            done = subprocess.run(entry.argv, env=entry.environment, capture_output=True, text=True, check=True)
            assert done.stdout.startswith(status), done
    assert upstream.paths == []


EARLY = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as client:
    client.sendall(b"POST / HTTP/1.1\\r\\n\\r\\n" + bytes(8_000_000))
    client.shutdown(socket.SHUT_WR)
    print(client.makefile().read())
"""


def test_an_answer_that_comes_before_the_question_is_at_its_end_is_not_lost(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    path = tmp_path / "s"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def refuse() -> None:
        connection, _ = listener.accept()
        connection.recv(100)
        connection.sendall(b"HTTP/1.1 401 Unauthorized\r\n\r\n")
        connection.close()

    upstream = threading.Thread(target=refuse)
    upstream.start()
    program = [sys.executable, bridge.__file__, f"{port}={path}", "--", sys.executable, "-c", EARLY, port]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
    upstream.join()
    assert "401" in done.stdout, done.stderr


def test_the_model_is_out_of_reach_for_plain_commands(with_model: Workspaces, make_repository: Make) -> None:
    repository = repository_at(make_repository({"a": "1"}))
    with with_model.open(task_on(with_model.fetch(repository)), repository) as workspace:
        model = workspace.model
        done = workspace.run(Command(("python3", "-c", ASK, model.base_url, model.token, "/v1/messages")))
        assert "refused" in done.output
        assert workspace.run(shell("ls /honk")).output.count("socket") == 0


def test_without_a_key_the_model_is_said_to_be_missing(workspaces: Workspaces, make_repository: Make) -> None:
    repository = repository_at(make_repository({"a": "1"}))
    with (
        workspaces.open(task_on(workspaces.fetch(repository)), repository) as workspace,
        pytest.raises(UsageError, match="ANTHROPIC_API_KEY"),
    ):
        _ = workspace.model


def test_an_interactive_process_talks_through_its_streams_and_ends_with_its_own_status(
    workspaces: Workspaces, make_repository: Make
) -> None:
    repository = repository_at(make_repository({"a": "1"}))
    with workspaces.open(task_on(workspaces.fetch(repository)), repository) as workspace:
        entry = workspace.interactive(shell("read line; echo got $line; pwd; exit 9"), model=False)
        done = subprocess.run(
            entry.argv, env=entry.environment, input="words\n", capture_output=True, text=True, check=False
        )
    assert done.stdout == "got words\n/workspace\n"
    assert done.returncode == 9
