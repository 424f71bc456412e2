"""Nothing that Honk or the person keeps comes out of a sandbox, whoever looks for it there and however it is sent.

Secrets are planted in the environment and the homes of a real `honk up`. A hostile program (`thief.py`), in a hostile
repository, looks for them and sends what it finds by every way it knows. One word lies in the repository itself, for
everybody to find: by it every way out is seen to be watched.
"""

from __future__ import annotations

import base64
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import git, visit
from tests.processes import start_up
from tests.slack.conftest import MENTION
from tests.slack.played import APP_TOKEN, PlayedSlack, texts

THIEF = Path(__file__).with_name("thief.py")
DECOY = "CANARY-decoy-in-the-repository"
HONK_YAML = """\
setup: python3 thief.py setup {port}
verify: {{test: "python3 thief.py check {port}"}}
builds: {{web: {{run: python3 thief.py build {port}, output: dist}}}}
"""


def _canary(name: str) -> str:
    return f"CANARY-{name}-{os.urandom(6).hex()}"


@dataclass(frozen=True)
class Planted:
    """What must never be seen, by the name of its place."""

    environment: dict[str, str]
    files: dict[str, str]
    repository: dict[str, str]

    @property
    def all(self) -> dict[str, str]:
        return self.environment | self.files | self.repository


def plant() -> Planted:
    settings = {
        "ANTHROPIC_API_KEY": f"sk-ant-api03-{_canary('model')}",
        "HONK_SLACK_BOT_TOKEN": f"xoxb-{_canary('slack')}",
        "HONK_SLACK_APP_TOKEN": APP_TOKEN,
        "HONK_SLACK_SIGNING_SECRET": _canary("signing"),
        "HONK_GITHUB_PRIVATE_KEY": "-----BEGIN {0}-----\n{1}\n-----END {0}-----".format(
            "PRIVATE KEY", _canary("app-key")
        ),
        "HONK_GITHUB_WEBHOOK_SECRET": _canary("webhook"),
        "DATABASE_URL": f"postgresql://app:{_canary('database')}@127.0.0.1/app",
        "GITHUB_TOKEN": f"ghp_{_canary('token')}",
        "AWS_SECRET_ACCESS_KEY": _canary("aws"),
        "MY_SECRET": _canary("of-no-known-shape"),
    }
    places = (".ssh/id_ed25519", ".aws/credentials", ".netrc", ".config/gh/hosts.yml", ".npmrc", ".git-credentials")
    more = (".docker/config.json", ".kube/config", ".pypirc", ".bash_history", ".claude/.credentials.json", "notes.txt")
    files = {name: _canary(f"file-{number}") for number, name in enumerate((*places, *more))}
    return Planted(settings, files, {"the repository's own .git/config": _canary("remote")})


class Collector:
    """A server of the thief's on this machine."""

    def __init__(self) -> None:
        self.received: list[str] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                collector.received.append(f"{self.command} {self.path} {body!r}")
                self.send_response(200)
                self.end_headers()

            do_POST = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@dataclass
class Outputs:
    """All that came out, by where it was to be seen."""

    planted: Planted
    seen: dict[str, str] = field(default_factory=dict)

    def add(self, place: str, *parts: object) -> None:
        told = [part.decode("utf-8", "replace") if isinstance(part, bytes) else str(part) for part in parts]
        self.seen[place] = "\n".join([self.seen.get(place, ""), *told])


def forms(secret: str) -> list[str]:
    """A secret as it is, and as the thief and others write it."""
    core = secret[secret.index("CANARY") :].splitlines()[0] if "CANARY" in secret else secret
    data = core.encode()
    return [core, core[::-1], data.hex(), *(_base64(data, before) for before in range(3))]


def _base64(data: bytes, before: int) -> str:
    text = base64.b64encode(b"\0" * before + data).decode().rstrip("=")
    return text[(before * 8 + 5) // 6 : (before + len(data)) * 8 // 6]


@pytest.fixture(scope="module")
def outputs(can_sandbox: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outputs]:
    base = tmp_path_factory.mktemp("secrets")
    planted, collector, slack = plant(), Collector(), PlayedSlack()
    slack.bot_token = planted.environment["HONK_SLACK_BOT_TOKEN"]
    person, home, repo = base / "person", base / "honk", base / "encore"
    for name, secret in planted.files.items():
        path = person / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"secret = {secret}\n")
    make_repository(repo, collector.port, *planted.repository.values())
    environment = {
        **{name: os.environ[name] for name in ("PATH", "TMPDIR", "PYTHONPATH") if name in os.environ},
        **{"HOME": str(person), "HONK_HOME": str(home), "HONK_SCREENSHOTS": "false"},
        **{"HONK_SLACK_API_URL": slack.api_url, "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{collector.port}"},
        **{"HONK_LISTEN": "127.0.0.1:0", "HONK_AGENT": f"script:python3 thief.py agent {collector.port}"},
        **planted.environment,
    }
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(environment)
    try:
        found = Outputs(planted)
        yield watch(found, base, home, repo, slack, collector)
    finally:
        os.environ.clear()
        os.environ.update(before)
        slack.close()
        collector.server.shutdown()
        collector.server.server_close()


def make_repository(repo: Path, port: int, secret: str) -> None:
    repo.mkdir()
    git(repo, "init", "-q", "-b", "main")
    (repo / "thief.py").write_text(THIEF.read_text())
    (repo / "decoy.txt").write_text(f"{DECOY}\n")
    (repo / "honk.yaml").write_text(HONK_YAML.format(port=port))
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "First")
    git(repo, "config", "remote.origin.url", f"https://x:{secret}@127.0.0.1/encore.git")
    git(repo, "config", "http.extraHeader", f"Authorization: Bearer {secret}")


def watch(found: Outputs, base: Path, home: Path, repo: Path, slack: PlayedSlack, collector: Collector) -> Outputs:
    """Run both agents and keep all that is to be seen of them."""
    name = "from honk.app import assemble; from honk.settings import read_settings; import sys; "
    register = [sys.executable, "-c", f"{name}assemble(read_settings()).forges.resolve(sys.argv[1])", str(repo)]
    subprocess.run(register, check=True, timeout=60)
    log = base / "up.log"
    process, url, token = start_up("127.0.0.1:0", log)
    try:
        until(lambda: slack.connected)
        slack.say(f"{MENTION} look around, in encore")
        card = until(lambda: next((each for each in slack.cards() if _settled(texts(each))), None), 120)
        assert "Ready to try" in texts(card), texts(card)
        client = httpx.Client(base_url=url, headers={"authorization": f"Bearer {token}"}, timeout=60, trust_env=False)
        asked = {"repo": str(repo), "text": "look", "agent": f"acp:python3 thief.py model {collector.port}", "key": "2"}
        second = client.post("/api/v1/tasks", json=asked).json()["id"]
        until(lambda: client.get(f"/api/v1/tasks/{second}").json()["state"] in ("failed", "ready"), 120)
        first = next(task["id"] for task in client.get("/api/v1/tasks").json()["tasks"] if task["id"] != second)
        see_pages(found, client, [first, second])
        found.add("Slack", texts(card), *(given for _, given, _ in slack.calls), *slack.said(), slack.contents)
        found.add("the shell", told(home, first, second))
    finally:
        process.kill()
        process.wait()
    found.add("Honk's own output", log.read_text())
    see_files(found, home, repo)
    # It stands for the model as well: Honk asks it what models there are, and what its judge wants to know.
    received = [line for line in collector.received if not line.startswith("GET /v1/models")]
    judged = [line for line in received if line.startswith("POST /v1/messages") and '"name":"verdict"' in line]
    found.add("the judge's questions", *judged)
    found.add("the thief's server", *(line for line in received if line not in judged))
    return found


def _settled(words: str) -> bool:
    return "Ready to try" in words or "Retry" in words


def told(home: Path, *tasks: str) -> str:
    from tests import processes

    lines = [["task", "list"], ["audit"], *(["task", "show", task] for task in tasks)]
    lines += [["task", "show", task, "--json"] for task in tasks]
    done = [processes.run(["-m", "honk", *line]) for line in lines]
    return "\n".join(one.stdout + one.stderr for one in done)


def see_pages(found: Outputs, client: httpx.Client, tasks: list[str]) -> None:
    pages = ["/", "/metrics", "/api/v1/tasks", *(f"/tasks/{task}" for task in tasks)]
    pages += [f"/tasks/{task}/diff" for task in tasks] + [f"/api/v1/tasks/{task}" for task in tasks]
    for page in pages:
        found.add("pages", client.get(page).text)
    for task in tasks:
        view: dict[str, Any] = client.get(f"/api/v1/tasks/{task}").json()
        for one in view["artifacts"]:
            found.add("the preview", visit(one["url"]).text)
            log = client.get(f"/api/v1/tasks/{task}/artifacts/{view['head_sha']}/{one['kind']}/log")
            found.add("the log of a build", log.text)
        found.add("errors", view["error"])


def see_files(found: Outputs, home: Path, repo: Path) -> None:
    for path in home.glob("*.db"):
        with sqlite3.connect(path) as database:
            names = [row[0] for row in database.execute("select name from sqlite_master where type = 'table'")]
            for name in names:
                rows = database.execute(f'select * from "{name}"').fetchall()
                found.add("the log" if name == "events" else "the database", *(repr(row) for row in rows))
    for path in [path for path in (home / "artifacts").rglob("*") if path.is_file()]:
        found.add("artifacts", path.relative_to(home), path.read_bytes())
    stores = [
        repo / ".git",
        *home.glob("forge/*.git"),
        *home.glob("mirrors/*.git"),
        *home.glob("workspaces/*/change.git"),
    ]
    for store in stores:
        objects = git_bytes(store, "cat-file", "--batch-all-objects", "--batch", "--buffer")
        found.add("git", objects, git(store, "for-each-ref"))
    for tree in home.glob("workspaces/*"):
        for path in (path for part in ("tree", "home") for path in (tree / part).rglob("*") if path.is_file()):
            if ".git" not in path.parts:
                found.add("the workspace", path, path.read_bytes())


def git_bytes(store: Path, *arguments: str) -> bytes:
    return subprocess.run(["git", "-C", str(store), *arguments], capture_output=True, check=True).stdout


def until(what: Callable[[], Any], seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


SECRETS = list(plant().all)


@pytest.mark.parametrize("name", SECRETS)
def test_it_does_not_come_out(outputs: Outputs, name: str) -> None:
    for form in forms(outputs.planted.all[name]):
        assert [place for place, seen in outputs.seen.items() if form in seen] == []


@pytest.mark.parametrize(
    "place",
    [
        *(
            "the judge's questions",
            "Slack",
            "pages",
            "the preview",
            "the log of a build",
            "errors",
            "the log",
            "the database",
            "artifacts",
        ),
        *("git", "the shell"),
    ],
)
def test_what_lies_in_the_repository_does_come_out_there_so_the_place_is_watched(outputs: Outputs, place: str) -> None:
    assert DECOY in outputs.seen[place]


def test_every_part_that_runs_what_is_not_honks_own_has_run_the_thief(outputs: Outputs) -> None:
    told = " ".join(outputs.seen.values())
    for role in ("agent", "model", "build"):
        assert f"{role} found {DECOY}" in told, role


def test_nothing_at_all_reached_the_thiefs_server(outputs: Outputs) -> None:
    assert outputs.seen["the thief's server"].strip() == ""
