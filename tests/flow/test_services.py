"""Production without a deploy script: Honk keeps the service of the merged commit running."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from honk.app import assemble
from honk.certificates import trusted
from honk.settings import read_settings
from tests.flow.stories import Server, Thread, free_port, merged, offered
from tests.processes import start_up
from tests.service import SERVICE

ILL = "echo ill > words.txt; sed -i 's/ready: 20s/ready: 4s/' honk.yaml"

pytestmark = pytest.mark.usefixtures("sandbox")


def _honk_yaml(port: int, run: str = "python3 serve.py") -> str:
    return (
        "verify: {}\nbuilds: {}\n"
        f"deploy: {{service: {{run: '{run}', port: 3000, ready: 20s}}, listen: '127.0.0.1:{port}', revert: false,"
        f" health: {{url: 'http://127.0.0.1:{port}/health', for: 0.2s, every: 0.05s}}}}\n"
    )


def _get(port: int, path: str = "version") -> httpx.Response:
    return httpx.get(f"http://127.0.0.1:{port}/{path}", trust_env=False, verify=trusted(), timeout=60)


def _until(holds: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.02)


def _answers(port: int, words: str) -> bool:
    try:
        return _get(port).text == words
    except httpx.TransportError:
        return False


@contextmanager
def _hammered(port: int) -> Iterator[list[str]]:
    """A client that asks all the time, one request after the other; the answers that it should not have got."""
    wrong: list[str] = []
    over = threading.Event()

    def ask() -> None:
        for _ in range(20_000):
            if over.is_set():
                return
            try:
                answer = _get(port)
            except httpx.HTTPError as error:
                wrong.append(repr(error))
            else:
                if answer.status_code != 200 or answer.text not in ("one", "two"):
                    wrong.append(f"{answer.status_code} {answer.text}")

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield wrong
    finally:
        over.set()
        thread.join()


def test_a_switch_loses_no_request_and_the_version_before_ends_in_peace(
    tmp_path: Path, home: Path, make_repository: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HONK_DEPLOY_ENVIRONMENT", '["GREETING"]')
    monkeypatch.setenv("GREETING", "hello")
    port = free_port()
    repo = make_repository({"serve.py": SERVICE, "words.txt": "zero", "honk.yaml": _honk_yaml(port)})
    with Server(tmp_path / "server") as server:
        thread = Thread(assemble(read_settings(home=home)), server)
        first = merged(thread, repo, "echo one > words.txt", "first")
        assert first.task.state.value == "deployed", first.task.error
        assert first.task.deploy_url == f"http://127.0.0.1:{port}/"
        (data,) = home.glob("production/*/data")
        environment = _get(port, "environment").json()
        assert (environment["GREETING"], environment["HONK_SHA"]) == ("hello", first.task.merged_sha)
        assert "ANTHROPIC_API_KEY" not in environment
        told = httpx.get(f"http://127.0.0.1:{port}/told", headers={"host": "a.example", "x-forwarded-for": "192.0.2.7"})
        assert (told.json()["host"], told.json()["x-forwarded-for"]) == ("a.example", "192.0.2.7")
        assert told.headers["strict-transport-security"] == "max-age=9"
        with connect(f"ws://127.0.0.1:{port}/words", proxy=None) as talk:
            talk.send("me")
            assert talk.recv() == "heard me"

        slow: list[httpx.Response] = []
        waiting = threading.Thread(target=lambda: slow.append(_get(port, "slow")))
        waiting.start()
        with _hammered(port) as wrong:
            second = merged(thread, repo, "echo two > words.txt", "second")
            assert _get(port).text == "two"
            assert not (data / "left-one").exists(), "it left before it had answered"
            (data / "go").touch()
            waiting.join(60)
            _until((data / "left-one").exists, "the version before was not asked to end")
        assert wrong == []
        assert [answer.text for answer in slow] == ["one"], "what it had begun to answer was answered by it"

        third = merged(thread, repo, ILL, "third")
        assert third.task.state.value == "rolled_back"
        assert "/health answered 503" in (third.task.error or "")
        assert _get(port).text == "two"
        with _hammered(port) as wrong:
            second.tap("rollback")
            second.until("rolled_back")
            assert _get(port).text == "one"
        assert wrong == []
    (data / "left-one").unlink()
    process, *_ = start_up("127.0.0.1:0", tmp_path / "next-life.log")
    try:
        _until(lambda: _answers(port, "one"), "a restart runs what was released")
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(60) == 0
        assert (data / "left-one").exists(), "it was not asked to end"
    finally:
        process.kill()


def test_a_version_that_turns_ill_or_dies_in_production_makes_way_for_the_one_before(
    tmp_path: Path, home: Path, make_repository: Callable[..., Path]
) -> None:
    port = free_port()
    repo = make_repository({"serve.py": SERVICE, "words.txt": "zero", "honk.yaml": _honk_yaml(port)})
    with Server(tmp_path / "server") as server:
        thread = Thread(assemble(read_settings(home=home)), server)
        first = merged(thread, repo, "echo one > words.txt", "first")
        second = merged(thread, repo, "echo mortal > words.txt", "second")
        assert second.task.state.value == "rolled_back"
        died, *_ = [event.data for event in second.events if event.kind == "service.ended"]
        assert "ended with exit code 4" in died["error"]
        assert "the heart stopped" in died["error"]
        assert _get(port).text == "one"

        with pytest.raises(httpx.HTTPStatusError):
            _get(port, "die").raise_for_status()
        ended = first.until("service.ended")
        assert "exit code 3" in ended.data["error"]
        assert "the pump is broken" in ended.data["error"]
        first.until("service.restarted")
        assert _get(port).text == "one"


def test_two_repositories_stand_side_by_side(tmp_path: Path, home: Path, make_repository: Callable[..., Path]) -> None:
    ports = {name: free_port() for name in ("left", "right")}
    with Server(tmp_path / "server") as server:
        thread = Thread(assemble(read_settings(home=home)), server)
        for name, port in ports.items():
            files = {"serve.py": SERVICE, "words.txt": "old", "honk.yaml": _honk_yaml(port)}
            merged(thread, make_repository(files, name), f"echo {name} > words.txt", name)
        assert {name: _get(port).text for name, port in ports.items()} == {name: name for name in ports}


def test_a_server_killed_while_it_deploys_or_goes_back_ends_with_the_version_that_is_well(
    tmp_path: Path, home: Path, make_repository: Callable[..., Path]
) -> None:
    port = free_port()
    run = "[ -e /data/begun ] || { touch /data/begun; sleep 1000; }; python3 serve.py"
    repo = make_repository({"serve.py": SERVICE, "words.txt": "zero", "honk.yaml": _honk_yaml(port, run)})
    steps = ("run_deploy:acted", "watch:acted", "run_rollback:acted")
    with Server(tmp_path / "server", steps) as server:
        thread = Thread(assemble(read_settings(home=home)), server)
        first = offered(thread, repo, "echo one > words.txt", "first")
        first.tap("merge")
        _until(lambda: any(home.glob("production/*/data/begun")), "it was not started")
        server.die()
        first.until("deploy.healthy", "failed")
        assert first.task.state.value == "deployed", first.task.error
        second = merged(thread, repo, ILL, "second")
        assert second.task.state.value == "rolled_back"
        assert server.deaths == len(steps) + 1
        _until(lambda: _answers(port, "one"), "the version before is not back")
        kinds = [event.kind for event in first.events + second.events]
        assert (kinds.count("deploy.healthy"), kinds.count("rolled_back")) == (1, 1)


def test_pages_make_way_for_a_service_at_the_same_address_and_come_back(
    tmp_path: Path, home: Path, make_repository: Callable[..., Path]
) -> None:
    port = free_port()
    builds = "verify: {}\nbuilds: {web: {run: 'true', output: site}}\n"
    pages = f"{builds}deploy: {{site: web, listen: '127.0.0.1:{port}'}}\n"
    files = {"serve.py": SERVICE, "words.txt": "words", "honk.yaml": pages, "next.yaml": _honk_yaml(port)}
    repo = make_repository(files | {"site/index.html": "old"})
    with Server(tmp_path / "server") as server:
        thread = Thread(assemble(read_settings(home=home)), server)
        merged(thread, repo, "echo pages > site/index.html", "first")
        assert _get(port, "").text == "pages\n"
        second = merged(thread, repo, "cp next.yaml honk.yaml", "second")
        assert second.task.state.value == "deployed", second.task.error
        assert _get(port).text == "words"
        second.tap("rollback")
        second.until("rolled_back")
        assert _get(port, "").text == "pages\n"
