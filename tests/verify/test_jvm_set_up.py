"""What Maven and Gradle depend on is fetched once for the same declarations, and the checks stand on it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from pwd import getpwuid
from shutil import which

import pytest

from honk.model import Check, Command, Repository
from honk.repository_file import parse_repository_file
from honk.settings import read_settings
from honk.verify import Conditions, Verifier, equip, verify
from honk.workspace import Workspaces
from honk.workspace.overlays import overlay_refusal
from tests.conftest import git

pytestmark = pytest.mark.usefixtures("sandbox")

POM = "<project><modelVersion>4.0.0</modelVersion><groupId>a</groupId><artifactId>b</artifactId></project>"
MVN = """#!/bin/sh
case "$*" in
*'-Dtest=*#none'*)
    mkdir -p target ~/.m2 && touch target/classes && date +%N > ~/.m2/made
    [ ! -e trick.sh ] || sh trick.sh ;;
*) cat ~/.m2/made; ls ;;
esac
"""
"""Stands for Maven, which would fetch: what it fetched is a number that no other run of it makes."""


class Project:
    """A repository, and its checks run on one of its commits, with what they printed."""

    def __init__(self, home: Path, path: Path) -> None:
        self.path = path
        self.repository = Repository("project", str(path), str(path), "main")
        self.workspaces = Workspaces(read_settings(home=home))
        self.said: dict[str, str] = {}
        self.on_start: Callable[[Verifier], None] = lambda _: None

    def verify(self, commit: str | None = None) -> dict[str, Check]:
        self.said = {}
        newest = self.workspaces.fetch(self.repository)
        file = parse_repository_file(self.workspaces.read(self.repository, newest, "honk.yaml") or "")
        source = self.path / ".git" if commit else None
        with self.workspaces.checkout(self.repository, commit or newest, source=source) as checkout:
            results = verify(checkout, file, Conditions(log=self._hear), on_start=self.on_start)
        return {result.name: result for result in results}

    def _hear(self, check: str, text: str) -> None:
        self.said[check] = self.said.get(check, "") + text

    def fetched(self, commit: str | None = None) -> str:
        """What the check was given, which tells one run of the set-up from another."""
        results = self.verify(commit)
        assert {name: result.status for name, result in results.items()} == {"maven test": "passed"}, results
        return self.said["maven test"]

    def commit(self, files: dict[str, str]) -> str:
        for name, text in files.items():
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            (self.path / name).write_text(text)
        git(self.path, "add", "-A")
        git(self.path, "commit", "-qm", "Next")
        return git(self.path, "rev-parse", "HEAD")


@pytest.fixture
def make_project(home: Path, make_repository: Callable[..., Path]) -> Callable[[dict[str, str]], Project]:
    if (refusal := overlay_refusal(home)) is not None:
        pytest.skip(f"The kernel refuses overlays here: {refusal}")
    return lambda files: Project(home, make_repository(files))


@pytest.fixture
def project(
    make_project: Callable[[dict[str, str]], Project], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Project:
    """A Maven project on a machine whose Maven needs no registry."""
    folder = tmp_path / "tools"
    folder.mkdir()
    (folder / "mvn").write_text(MVN)
    (folder / "mvn").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/local/bin:/usr/bin:/bin")
    monkeypatch.setenv("HONK_SANDBOX_READABLE", f'["{folder}"]')
    whole = POM.replace("</project>", "<modules><module>core</module></modules></project>")
    return make_project({"pom.xml": whole, "app.java": "1", "core/pom.xml": POM, ".mvn/maven.config": "-T1"})


def test_it_is_fetched_once_for_the_same_poms(project: Project) -> None:
    first = project.fetched()
    # What was built to fetch it is of one commit.
    assert "target" not in first
    project.commit({"app.java": "2"})
    assert project.fetched() == first
    project.commit({"core/pom.xml": POM.replace("</groupId>", "</groupId><version>2</version>")})
    second = project.fetched()
    assert second != first
    project.commit({".mvn/maven.config": "-T2"})
    assert project.fetched() != second


def test_what_a_change_had_fetched_serves_that_change_alone(project: Project) -> None:
    git(project.path, "checkout", "-qb", "change")
    hostile = project.commit({"trick.sh": "echo planted > ~/.m2/made"})
    assert project.fetched(hostile).startswith("planted")
    git(project.path, "checkout", "-qb", "other", "main")
    assert not project.fetched(project.commit({"app.java": "2"})).startswith("planted")
    base = project.fetched()
    assert not base.startswith("planted")
    # What the default branch has fetched is there for all with the same poms.
    assert project.fetched(hostile).splitlines()[0] == base.splitlines()[0]


def test_what_could_not_be_fetched_is_told_and_tried_again_and_the_checks_run(project: Project) -> None:
    project.commit({"trick.sh": "echo '[ERROR] no such artifact'; exit 1"})
    for _ in range(2):
        results = project.verify()
        assert {name: result.status for name, result in results.items()} == {
            "set-up": "skipped",
            "maven test": "passed",
        }
        assert "could not be fetched ahead: the checks try it themselves.\n[ERROR] no such" in results["set-up"].summary


def test_what_was_fetched_before_the_time_was_up_is_kept(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("honk.verify.room._SET_UP_SECONDS", 0.3)
    project.commit({"trick.sh": "sleep 600"})
    results = project.verify()
    assert "It took longer than 0.3 s and was ended." in results["set-up"].summary
    first = project.said["maven test"]
    assert project.fetched() == first


def test_it_spoils_no_other_set_up_for_an_agent_if_it_fails(project: Project, tmp_path: Path) -> None:
    npm = tmp_path / "tools/npm"
    npm.write_text("#!/bin/sh\nmkdir -p node_modules && date +%N > node_modules/made\n")
    npm.chmod(0o755)
    (tmp_path / "tools/node").write_text("#!/bin/sh\n")
    (tmp_path / "tools/node").chmod(0o755)
    package = '{"scripts": {"test": "x"}, "dependencies": {"a": "1"}}'
    base = project.commit({"package.json": package, "package-lock.json": "{}", "trick.sh": "exit 1"})
    told: list[str] = []
    project.workspaces.fetch(project.repository)
    for _ in range(2):
        with project.workspaces.checkout(project.repository, base) as checkout:
            path = equip(checkout, parse_repository_file(""), on_trouble=lambda check: told.append(check.name))
        assert path == ""
    assert told == ["set-up 2"]


def test_where_nothing_can_be_kept_nothing_is_fetched_ahead(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("honk.workspace.workspaces.overlays_work", lambda _: False)
    started: list[str] = []
    project.on_start = lambda verifier: started.append(verifier.name)
    project.verify()
    assert set(started) == {"maven test"}


class Registry:
    """A repository of packages on the loopback that notes what it is asked for."""

    def __init__(self, server: ThreadingHTTPServer, asked: list[str]) -> None:
        self.host = f"127.0.0.1:{server.server_port}"
        self.asked = asked


@contextmanager
def _serve(folder: Path) -> Iterator[Registry]:
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            asked.append(self.path)

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield Registry(server, asked)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _asked_by_the_check(project: Project, registry: Registry) -> tuple[int, int]:
    """How often the registry was asked by the set-up, and how often by the check after it."""
    before: dict[str, int] = {}

    def note(verifier: Verifier) -> None:
        before.setdefault(verifier.name, len(registry.asked))

    project.on_start = note
    results = project.verify()
    assert {name: result.status for name, result in results.items()} == {"maven test": "passed"}, results
    return before["maven test"] - before["set-up"], len(registry.asked) - before["maven test"]


def _pom(registry: Registry) -> str:
    """With plugins in versions whose files a machine has that has built anything like it before."""
    place = f"<id>central</id><url>http://{registry.host}/</url>"
    plugins = (("surefire", "3.2.5"), ("compiler", "3.13.0"), ("resources", "3.3.1"))
    named = "".join(
        f"<plugin><artifactId>maven-{name}-plugin</artifactId><version>{version}</version></plugin>"
        for name, version in plugins
    )
    return (
        "<project><modelVersion>4.0.0</modelVersion><groupId>shop</groupId><artifactId>shop</artifactId>"
        "<version>1</version><properties><maven.compiler.release>17</maven.compiler.release></properties>"
        f"<repositories><repository>{place}</repository></repositories>"
        f"<pluginRepositories><pluginRepository>{place}</pluginRepository></pluginRepositories>"
        "<dependencies><dependency><groupId>org.junit.jupiter</groupId><artifactId>junit-jupiter</artifactId>"
        "<version>5.10.2</version><scope>test</scope></dependency></dependencies>"
        f"<build><plugins>{named}</plugins></build></project>"
    )


def test_the_real_maven_asks_for_nothing_more_in_its_check(
    make_project: Callable[[dict[str, str]], Project],
) -> None:
    stored = Path(getpwuid(os.getuid()).pw_dir, ".m2/repository")
    runner = stored / "org/apache/maven/surefire/surefire-junit-platform/3.2.5/surefire-junit-platform-3.2.5.jar"
    if which("mvn") is None or not runner.exists():
        pytest.skip("Maven, or what Surefire 3.2.5 runs tests with, is not on this machine")
    with _serve(stored) as registry:
        project = make_project(
            {
                "pom.xml": _pom(registry),
                "honk.yaml": f'egress: ["{registry.host}"]\n',
                "src/test/java/shop/SumsTest.java": "package shop;\nclass SumsTest {\n"
                "    @org.junit.jupiter.api.Test\n    void two() { if (1 + 1 != 2) throw new Error(); }\n}\n",
                ".gitignore": "target/\n",
                ".mvn/jvm.config": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC\n",
            }
        )
        by_set_up, by_check = _asked_by_the_check(project, registry)
    assert by_set_up > 100
    assert by_check == 0


def test_the_real_gradle_fetches_what_only_runs_too(make_project: Callable[[dict[str, str]], Project]) -> None:
    stored = Path("/usr/share/maven-repo")
    if which("gradle") is None or not (stored / "junit/junit/4.13.2/junit-4.13.2.jar").exists():
        pytest.skip("Gradle, or a repository with JUnit 4.13.2, is not on this machine")
    with _serve(stored) as registry:
        project = make_project(
            {
                "settings.gradle": "include 'core'\n",
                "core/build.gradle": "apply plugin: 'java'\n"
                f"repositories {{ maven {{ url 'http://{registry.host}' }} }}\n"
                "dependencies { testRuntime 'junit:junit:4.13.2' }\n",
                ".gitignore": ".gradle/\n",
            }
        )
        newest = project.workspaces.fetch(project.repository)
        file = parse_repository_file(f'egress: ["{registry.host}"]')
        told: list[str] = []
        with project.workspaces.checkout(project.repository, newest) as checkout:
            equip(checkout, file, on_trouble=lambda check: told.append(check.summary))
            kept = checkout.run(Command(("sh", "-c", "find ~/.gradle -name 'junit-*.jar'; ls -A"))).output
    assert not told
    assert kept.splitlines()[0].endswith("/junit-4.13.2.jar")
    assert ".gradle" not in kept.splitlines()
