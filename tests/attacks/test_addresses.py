"""Where submodules and large files come from: never from where the rules for everything else do not lead."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from honk.model import Repository
from honk.settings import Settings
from honk.workspace import Workspaces
from tests.conftest import git
from tests.workspace.conftest import shell

from .conftest import own_homes

WORD = "library-of-somebody"


class GitServer:
    """A folder of repositories, served over HTTP as plain files, and who asked for what."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(self.path)
                done = subprocess.run(
                    ["git", "http-backend"],
                    env={
                        "PATH": "/usr/bin:/bin", "GIT_PROJECT_ROOT": str(folder), "GIT_HTTP_EXPORT_ALL": "1",
                        "PATH_INFO": self.path.partition("?")[0], "QUERY_STRING": self.path.partition("?")[2],
                        "REQUEST_METHOD": self.command, "CONTENT_TYPE": self.headers.get("content-type", ""),
                        "CONTENT_LENGTH": self.headers.get("content-length", "0"),
                        "GIT_PROTOCOL": self.headers.get("git-protocol", ""),
                        "HTTP_CONTENT_ENCODING": self.headers.get("content-encoding", ""),
                        "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*",
                    },
                    input=self.rfile.read(int(self.headers.get("content-length", "0"))),
                    capture_output=True,
                    check=False,
                )  # fmt: skip
                head, _, body = done.stdout.partition(b"\r\n\r\n")
                headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
                self.send_response(int(headers.pop("Status", "200").split()[0]))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@dataclass(frozen=True)
class Place:
    settings: Settings
    folder: Path
    server: GitServer
    library: str
    """The commit that submodules want."""

    def made(self, name: str, url: str, git_url: str | None = None, egress: str = "", own: str = "") -> Repository:
        """A repository with a submodule at `url`, of which Honk knows the address `git_url` and has a mirror."""
        folder = self.folder / name
        folder.mkdir()
        git(folder, "init", "-q", "-b", "main")
        (folder / "honk.yaml").write_text(f"egress: [{egress}]\n")
        (folder / ".gitmodules").write_text(f'[submodule "{own or "library"}"]\n\tpath = library\n\turl = {url}\n')
        git(folder, "add", "-A")
        git(folder, "update-index", "--add", "--cacheinfo", f"160000,{self.library},library")
        git(folder, "commit", "-qm", "First")
        repository = Repository(name, str(folder), git_url or str(folder), "main")
        mirror = Workspaces(self.settings).mirrors.path(repository)
        git(self.folder, "clone", "-q", "--bare", str(folder), str(mirror))
        return repository

    def got(self, repository: Repository) -> bool:
        """Whether a checkout of it has the submodule's files."""
        sha = git(Path(repository.address), "rev-parse", "HEAD")
        with Workspaces(self.settings).checkout(repository, sha) as checkout:
            return WORD in checkout.run(shell("cat library/*")).output


@pytest.fixture(scope="module")
def place(can_sandbox: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("addresses")
    library = folder / "served" / "library"
    library.mkdir(parents=True)
    git(library, "init", "-q", "-b", "main")
    (library / "lib.txt").write_text(WORD)
    git(library, "add", "-A")
    git(library, "commit", "-qm", "Library")
    git(library, "config", "uploadpack.allowAnySHA1InWant", "true")
    server = GitServer(folder / "served")
    with own_homes(folder) as settings:
        yield Place(settings, folder, server, git(library, "rev-parse", "HEAD"))
    server.server.shutdown()
    server.server.server_close()


REMOTE = "https://git.example.com/team/project.git"


def test_a_submodule_at_an_address_of_this_machine_is_not_asked_for(place: Place) -> None:
    url = f"http://127.0.0.1:{place.server.port}/library/.git"
    before = len(place.server.asked)
    assert not place.got(place.made("private", url, REMOTE))
    assert not place.got(place.made("allowing-others", url, REMOTE, egress="example.com"))
    assert len(place.server.asked) == before


def test_a_submodule_at_a_host_that_may_be_reached_is_fetched(place: Place) -> None:
    url = f"http://127.0.0.1:{place.server.port}/library/.git"
    assert place.got(place.made("allowed", url, REMOTE, egress=f'"127.0.0.1:{place.server.port}"'))
    everywhere = place.settings.model_copy(update={"egress": [f"127.0.0.1:{place.server.port}"]})
    assert replace(place, settings=everywhere).got(place.made("allowed-to-all", url, REMOTE))


def test_a_submodule_beside_its_repository_is_fetched(place: Place) -> None:
    beside = f"http://127.0.0.1:{place.server.port}/project/.git"
    assert place.got(place.made("beside", "../../library/.git", beside))
    assert place.got(place.made("beside-here", str(place.folder / "served" / "library")))


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("a folder of this machine", "{folder}/served/library"),
        ("a folder of this machine as an address", "file://{folder}/served/library"),
        ("a command", "ext::git upload-pack {folder}/served/library"),
        ("an option of git's", "--upload-pack=git-upload-pack {folder}/served/library"),
        ("a way up to another host", "../../../../127.0.0.1:{port}/library/.git"),
        ("the repository's name as another's user", "http://git.example.com@127.0.0.1:{port}/library/.git"),
        ("a host that begins alike", "http://git.example.com.127.0.0.1.nip.invalid/library/.git"),
    ],
    ids=lambda value: None if "/" in value or ":" in value else value,
)
def test_a_submodule_of_a_repository_elsewhere_may_not_be(place: Place, name: str, url: str) -> None:
    before = len(place.server.asked)
    address = url.format(folder=place.folder, port=place.server.port)
    assert not place.got(place.made(name.replace(" ", "-").replace("'", ""), address, REMOTE))
    assert len(place.server.asked) == before


def test_a_submodule_that_lies_in_honks_own_home_is_not_read(place: Place) -> None:
    kept = place.settings.home / "workspaces" / "task" / "tree"
    git(place.folder, "clone", "-q", str(place.folder / "served" / "library"), str(kept))
    assert not place.got(place.made("of-a-task", str(kept)))
    way = place.folder / "way-in"
    way.symlink_to(kept)
    assert not place.got(place.made("of-a-task-by-a-link", str(way)))


def test_a_name_of_a_submodule_that_leads_out_of_the_git_directory_makes_nothing_there(place: Place) -> None:
    repository = place.made("climbing", str(place.folder / "served" / "library"), own="../../../../escaped")
    before = {path.name for path in place.settings.home.rglob("escaped")}
    place.got(repository)
    assert {path.name for path in place.settings.home.rglob("escaped")} == before == set()


def test_a_large_file_stays_the_pointer_it_is(place: Place) -> None:
    folder = place.folder / "large"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 5\n"
    (folder / "big.bin").write_text(pointer)
    (folder / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    (folder / ".lfsconfig").write_text(f"[lfs]\n\turl = http://127.0.0.1:{place.server.port}/lfs\n")
    git(folder, "-c", "filter.lfs.clean=cat", "-c", "filter.lfs.process=", "add", "-A")
    git(folder, "commit", "-qm", "First")
    repository = Repository("large", str(folder), str(folder), "main")
    workspaces = Workspaces(place.settings)
    before = len(place.server.asked)
    with workspaces.checkout(repository, workspaces.fetch(repository)) as checkout:
        assert checkout.run(shell("cat big.bin")).output == pointer
    assert len(place.server.asked) == before
