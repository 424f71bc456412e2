"""Stories told to a real server from outside, and what must be true at their ends however often the server died."""

from __future__ import annotations

import http.server
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dbos import DBOSClient

from honk.app import Installation, assemble
from honk.model import Event, Person, State, Task, Trial
from honk.settings import read_settings
from tests.conftest import git
from tests.processes import Process

ADA = Person("local:ada", "Ada", "ada@example.com")
DOOMED = Path(__file__).with_name("doomed.py")


def honk_yaml(
    port: int, rollback: str = "cp $HONK_DEPLOY_DIR/$HONK_PREVIOUS_SHA $HONK_DEPLOY_DIR/app.txt", on: str = ""
) -> str:
    """Checks, a build and a deploy whose every run leaves a line in `runs`."""
    return f"""\
verify:
  test: "! grep -q broken app.txt"
builds:
  web: {{run: "mkdir -p dist && cp app.txt dist/index.html", output: dist{on and f", on: {on}"}}}
deploy:
  run: "cd $HONK_DEPLOY_DIR; cp $OLDPWD/app.txt $HONK_SHA; cp $HONK_SHA app.txt; echo $HONK_SHA >> runs"
  rollback: "{rollback}"
  health: {{url: "http://127.0.0.1:{port}/", for: 0.2s, every: 0.1s}}
"""


@contextmanager
def production(home: Path) -> Iterator[int]:
    """A server that is ill as soon as the deployed text says so."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            texts = [path.read_text() for path in home.glob("production/*/app.txt")]
            self.send_response(503 if any("ill" in text for text in texts) else 200)
            self.end_headers()
            self.wfile.write("\n".join(texts).encode())

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()


@dataclass
class Server:
    """`honk up` in a process of its own that is started again whenever it dies of SIGKILL."""

    folder: Path
    points: tuple[str, ...] = ()
    deaths: int = 0
    _process: Process | None = None
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Server:
        self._start()
        self._thread = threading.Thread(target=self._revive, daemon=True)
        self._thread.start()
        return self

    def _start(self) -> None:
        log = self.folder.with_suffix(".log")
        self._process = Process([str(DOOMED), str(self.folder), *self.points], stdout=log, stderr=log)

    def _revive(self) -> None:
        while not self._over.is_set():
            assert self._process is not None
            code = self._process.wait()
            if self._over.is_set():
                return
            assert code == -9, f"the server ended by itself with {code}: {self.folder.with_suffix('.log').read_text()}"
            self.deaths += 1
            self._start()

    def die(self) -> None:
        """Kill it where it is; it is started again."""
        assert self._process is not None
        self._process.kill()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    @property
    def trace(self) -> set[str]:
        """The steps that acted."""
        path = self.folder / "trace"
        return {line.partition(":")[0] for line in path.read_text().splitlines()} if path.exists() else set()

    @property
    def alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()


@dataclass
class Thread:
    """A person's side of one task."""

    honk: Installation
    server: Server
    id: str = ""
    seen: int = 0

    def ask(self, repo: Path, command: str) -> None:
        task = self.honk.inbox.submit(repo=str(repo), text="Change it", agent=f"script:{command}", key="k", person=ADA)
        self.id = task.id

    @property
    def task(self) -> Task:
        return self.honk.store.task(self.id)

    @property
    def events(self) -> list[Event]:
        return self.honk.store.events(task_id=self.id, limit=100_000)

    def until(self, *kinds: str, seconds: float = 120) -> Event:
        """The next event of one of these kinds."""
        deadline = time.monotonic() + seconds
        while True:
            for event in self.honk.store.events(after=self.seen, task_id=self.id):
                self.seen = event.id
                if event.kind in kinds:
                    return event
            assert self.server.alive, "the server is gone"
            assert time.monotonic() < deadline, (
                f"no {kinds} came: {[event.kind for event in self.events]}\n"
                + self.server.folder.with_suffix(".log").read_text()[-3000:]
            )
            time.sleep(0.1)

    def tap(self, action: str, key: str = "tap") -> None:
        self.honk.inbox.act(self.id, action, self.task.head_sha, key, ADA)  # type: ignore[arg-type]

    def until_state(self, state: State, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while self.task.state is not state:
            assert time.monotonic() < deadline, f"{self.task.state} instead of {state}"
            time.sleep(0.1)


def _good_then_follow_up(thread: Thread, repo: Path) -> None:
    thread.ask(repo, "echo good >> app.txt")
    thread.until("ready")
    thread.honk.inbox.tried(thread.id, thread.task.head_sha or "", "web", Trial("iPhone, iOS 18", "ios"))
    until_nothing_runs(thread.honk.settings.home)
    thread.honk.inbox.say(thread.id, "And again", "more", ADA)
    thread.until("ready")
    thread.tap("merge")
    thread.until("deploy.healthy")


def _good_then_rolled_back_by_hand(thread: Thread, repo: Path) -> None:
    _deploy_first(thread, repo)
    thread.ask(repo, "echo better >> app.txt")
    thread.until("ready")
    thread.tap("merge")
    thread.until("deploy.healthy")
    thread.tap("rollback")
    thread.until("rolled_back")


def _ill(thread: Thread, repo: Path) -> None:
    _deploy_first(thread, repo)
    thread.ask(repo, "echo ill >> app.txt")
    thread.until("ready")
    thread.tap("merge")
    thread.until("rolled_back", "failed")


def _deploy_first(thread: Thread, repo: Path) -> None:
    other = Thread(thread.honk, thread.server)
    task = other.honk.inbox.submit(
        repo=str(repo), text="First", agent="script:echo first >> app.txt", key="first", person=ADA
    )
    other.id = task.id
    other.until("ready")
    other.tap("merge")
    other.until("deploy.healthy")


def _red_then_retried_then_cancelled(thread: Thread, repo: Path) -> None:
    thread.ask(repo, "echo broken >> app.txt")
    thread.until("failed")
    thread.tap("retry", "again")
    thread.until("failed")
    thread.tap("cancel", "enough")
    thread.until("cancelled")


def _cancelled_at_work(thread: Thread, repo: Path) -> None:
    thread.ask(repo, "echo begun > app.txt; sleep 1000")
    thread.until("agent.started")
    thread.tap("cancel")
    thread.until("cancelled")


def _conflicting(thread: Thread, repo: Path) -> None:
    thread.ask(repo, "if grep -q '<<<<' app.txt; then echo both > app.txt; else echo mine > app.txt; fi")
    thread.until("ready")
    (repo / "app.txt").write_text("theirs\n")
    git(repo, "commit", "-qam", "Somebody else's")
    thread.tap("merge")
    thread.until("merge.refused")
    thread.until("ready")
    thread.tap("merge", "once more")
    thread.until("deploy.healthy")
    assert (repo / "app.txt").read_text() == "both\n"


def _pushed_by_hand(thread: Thread, repo: Path) -> None:
    thread.ask(repo, "echo good >> app.txt")
    thread.until("ready")
    work = repo.parent / "by-hand"
    forge = thread.honk.forges.local.git_dir(thread.honk.forges.resolve(str(repo)))
    git(repo.parent, "clone", "-q", "-b", f"honk/{thread.id}", str(forge), str(work))
    (work / "more.txt").write_text("by hand\n")
    git(work, "add", "-A")
    git(work, "commit", "-qm", "By hand")
    git(work, "push", "-q", "origin", f"HEAD:honk/{thread.id}")
    thread.honk.inbox.pushed(thread.id, git(work, "rev-parse", "HEAD"), ADA)
    thread.until("branch.taken_in")
    thread.until("ready")
    thread.tap("merge")
    thread.until("deploy.healthy")
    assert (repo / "more.txt").read_text() == "by hand\n"


def built_elsewhere(thread: Thread, repo: Path) -> None:
    thread.ask(repo, "echo good >> app.txt")
    thread.until("build.finished")
    until_nothing_runs(thread.honk.settings.home)
    thread.tap("merge")
    thread.until("deploy.healthy")


Story = Callable[[Thread, Path], None]

HAPPY: Story = _good_then_follow_up
STORY_OF_STEP: dict[str, Story] = {
    "take_again": _red_then_retried_then_cancelled,
    "stop_failed": _red_then_retried_then_cancelled,
    "put_to_rest": _red_then_retried_then_cancelled,
    "stop_cancelled": _cancelled_at_work,
    "refuse": _conflicting,
    "has": _pushed_by_hand,
    "take_in": _pushed_by_hand,
    "take_over": _pushed_by_hand,
    "renew_base": _conflicting,
    "declare_ill": _ill,
    "run_rollback": _ill,
    "settle_rolled_back": _ill,
    "prepare_revert": _ill,
    "stop_ill": _ill,
    "build_there": built_elsewhere,
    "offer": built_elsewhere,
    "ask_rollback": _good_then_rolled_back_by_hand,
}
"""Which story comes by a step. Every other step is in the happy one."""


def tell(home: Path, repo: Path, story: Story, server: Server) -> Thread:
    """Tell the story from outside the server."""
    thread = Thread(assemble(read_settings(home=home)), server)
    story(thread, repo)
    return thread


def until_nothing_runs(home: Path, seconds: float = 60) -> None:
    """Waits until every workflow that was ever started has ended."""
    client = DBOSClient(system_database_url=f"sqlite:///{home / 'flow.db'}", application_name="honk")
    deadline = time.monotonic() + seconds
    try:
        while running := client.list_workflows(status=["PENDING", "ENQUEUED"]):
            assert time.monotonic() < deadline, f"still running: {[row.workflow_id for row in running]}"
            time.sleep(0.2)
    finally:
        client.destroy()


def repeated(events: list[Event]) -> list[str]:
    """Keys that stand in the log more than once."""
    return [key for key, count in Counter(event.key for event in events).items() if count > 1]


def free_port() -> int:
    """A port of 127.0.0.1 where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def offered(thread: Thread, repo: Path, command: str, key: str) -> Thread:
    """A task of its own, up to its card."""
    asked = Thread(thread.honk, thread.server)
    asked.id = thread.honk.inbox.submit(
        repo=str(repo), text=f"Please {key}", agent=f"script:{command}", key=key, person=ADA
    ).id
    asked.until("ready")
    return asked


def merged(thread: Thread, repo: Path, command: str, key: str) -> Thread:
    """A task of its own, up to the end of its deploy."""
    asked = offered(thread, repo, command, key)
    asked.tap("merge")
    asked.until("deploy.healthy", "rolled_back", "failed")
    return asked
