"""What is built is kept by its content, comes back as it was or not at all, and goes when nobody needs it."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fsspec
import pytest

from honk.model import Artifact, Checkout, HonkError, Person, Repository, State, Task, UsageError
from honk.repository_file import Build, RepositoryFile
from honk.settings import read_settings
from honk.ship import ArtifactStore
from honk.store import Store, open_database
from honk.verify import Conditions, Prepared, prepare
from honk.workspace import Workspaces
from tests.conftest import git

pytestmark = pytest.mark.usefixtures("sandbox")

WEB = Build(run="mkdir -p dist/assets; echo made; cp app.txt dist/index.html; echo 1 > dist/assets/a.js", output="dist")


def _prepared(
    checkout: Checkout, file: RepositoryFile, stop: Callable[[], bool], log: Callable[[str], None]
) -> Prepared:
    return prepare(checkout, file, Conditions(stop=stop, log=lambda _, text: log(text)))


@dataclass
class Shop:
    """A home that builds one repository."""

    home: Path
    repo: Path
    given: dict[str, Any]

    def __post_init__(self) -> None:
        self.settings = read_settings(home=self.home, **self.given)
        self.store = Store(open_database(self.settings.database), lambda text: text.replace("hunter22", "•••"))
        self.artifacts = ArtifactStore(self.settings, self.store, lambda text: text, _prepared)

    def build(self, build: Build = WEB) -> Artifact:
        sha = git(self.repo, "rev-parse", "HEAD")
        repository = Repository("project", str(self.repo), str(self.repo), "main")
        with Workspaces(self.settings).checkout(repository, sha, source=self.repo / ".git") as checkout:
            return self.artifacts.build(
                checkout, "web", build, file=RepositoryFile(), stop=lambda: False, on_output=lambda _: None
            )

    def task(self, task_id: str, state: State, **given: Any) -> None:
        now = datetime.now(UTC)
        person = Person("local:ada", "Ada")
        task = Task(task_id, "project", "Please", "script:true", state, person, now, now, **given)
        self.store.create_task(task, "m")

    def kept(self, task_id: str, commit: str, content: str, *, days: float) -> Path:
        """An artifact that was built so many days ago."""
        (self.repo / "app.txt").write_text(content)
        git(self.repo, "commit", "-qam", content)
        built = self.build()
        assert built.making
        making = replace(built.making, at=built.making.at - timedelta(days=days))
        self.store.save_artifact(task_id, replace(built, commit=commit, making=making))
        path = self.artifacts.path(built)
        _aged(path, days)
        return path


def _aged(path: Path, days: float) -> None:
    at = (datetime.now(UTC) - timedelta(days=days)).timestamp()
    os.utime(path, (at, at))


Open = Callable[..., Shop]


@pytest.fixture
def shop(home: Path, make_repository: Callable[..., Path]) -> Open:
    repo = make_repository({"app.txt": "app\n"})

    def begin(name: str = "honk", **given: Any) -> Shop:
        folder = home.with_name(name)
        folder.mkdir(exist_ok=True)
        return Shop(folder, repo, given)

    return begin


def test_the_same_files_are_one_artifact_that_tells_how_it_was_made(shop: Open) -> None:
    here = shop()
    one, again = here.build(web_after("echo pass hunter22")), here.build()
    assert one.sha256 == again.sha256
    folder = here.artifacts.path(one)
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*")) == [
        "assets", "assets/a.js", "index.html",
    ]  # fmt: skip
    here.task("t1", State.READY)
    here.store.save_artifact("t1", one)
    row = here.store.artifact_row("t1", one.commit, "web")
    assert row
    assert row["command"].startswith("echo pass")
    assert row["machine"]
    assert row["seconds"] > 0
    assert row["built_at"]
    assert row["log"] == "pass •••\nmade\n"


def web_after(before: str) -> Build:
    return WEB.model_copy(update={"run": f"{before}; {WEB.run}"})


def test_a_single_file_is_kept_too(shop: Open) -> None:
    here = shop()
    built = here.build(Build(run="mkdir out; echo apk > out/app.apk", output="out/*.apk"))
    assert (here.artifacts.path(built) / "app.apk").read_text() == "apk\n"
    assert built.size == 4


def test_many_who_build_the_same_at_once_keep_it_once(shop: Open) -> None:
    here = shop()
    lives = [shop() for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        built = list(pool.map(lambda life: life.build(), lives))
    assert len({one.sha256 for one in built}) == 1
    assert [path.name for path in (here.home / "artifacts").iterdir() if path.is_dir()] == [built[0].sha256]


def test_damaged_files_are_never_given_out_and_a_new_build_mends_them(shop: Open) -> None:
    here = shop()
    built = here.build()
    (here.artifacts.path(built) / "index.html").write_text("changed")
    with pytest.raises(HonkError, match="are damaged; they have to be built again"):
        here.artifacts.path(built)
    assert here.build().sha256 == built.sha256
    assert (here.artifacts.path(built) / "index.html").read_text() == "app\n"


def test_files_that_are_gone_are_told_as_such(shop: Open) -> None:
    with pytest.raises(HonkError, match="are not kept any more"):
        shop().artifacts.path(Artifact("web", "c" * 40, "0" * 64, 1))


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_another_place_gives_back_what_this_machine_lost(shop: Open, tmp_path: Path, kind: str) -> None:
    url = f"file://{tmp_path}/shelf" if kind == "file" else f"memory://shelf-{tmp_path.name}"
    built = shop(artifacts_url=url).build(web_after("mkdir dist; echo '#!/bin/sh' > dist/run; chmod +x dist/run"))
    elsewhere = shop("elsewhere", artifacts_url=url)
    folder = elsewhere.artifacts.path(built)
    assert (folder / "index.html").read_text() == "app\n"
    assert os.access(folder / "run", os.X_OK)
    (folder / "index.html").write_text("changed")
    assert (elsewhere.artifacts.path(built) / "index.html").read_text() == "app\n"


def test_what_comes_back_changed_is_refused_and_can_be_built_again(shop: Open, tmp_path: Path) -> None:
    url = f"file://{tmp_path}/shelf"
    here = shop(artifacts_url=url)
    built = here.build()
    archive = tmp_path / "shelf" / f"{built.sha256}.tar"
    archive.write_bytes(archive.read_bytes().replace(b"app\n", b"bad\n"))
    elsewhere = shop("elsewhere", artifacts_url=url)
    with pytest.raises(HonkError, match="another SHA-256"):
        elsewhere.artifacts.path(built)
    assert not (elsewhere.home / "artifacts" / built.sha256).exists()
    with pytest.raises(HonkError, match="does not have what was built any more"):
        elsewhere.artifacts.path(built)
    here.build()
    assert (elsewhere.artifacts.path(built) / "index.html").read_text() == "app\n"


def test_an_archive_that_reaches_outside_is_refused(shop: Open, tmp_path: Path) -> None:
    import io
    import tarfile

    url = f"file://{tmp_path}/shelf"
    here = shop(artifacts_url=url)
    (tmp_path / "shelf").mkdir()
    link = tarfile.TarInfo("link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc"
    for number, member in enumerate((tarfile.TarInfo("../out"), tarfile.TarInfo("/tmp/out"), link)):
        with tarfile.open(tmp_path / "shelf" / f"{number}.tar", "w") as archive:
            archive.addfile(member, io.BytesIO())
        with pytest.raises(HonkError, match="holds more than files"):
            here.artifacts.path(Artifact("web", "c" * 40, str(number), 1))
    assert not (here.home / "artifacts" / "out").exists()


def test_a_place_that_cannot_be_reached_is_told_in_a_sentence(shop: Open, tmp_path: Path) -> None:
    (tmp_path / "shelf").write_text("a file")
    with pytest.raises(HonkError, match=r"The artifact store \(file\) failed: .*HONK_ARTIFACTS_URL"):
        shop(artifacts_url=f"file://{tmp_path}/shelf/below").build()
    with pytest.raises(UsageError, match="HONK_ARTIFACTS_URL cannot be used"):
        shop(artifacts_url="nowhere://x")


def test_old_artifacts_go_unless_an_open_card_offers_them(shop: Open, tmp_path: Path) -> None:
    url = f"file://{tmp_path}/shelf"
    here = shop(artifacts_days=30, artifacts_url=url)
    here.task("open", State.READY)
    here.task("ended", State.MERGED, merged_sha="m")
    offered = here.kept("open", "new", "offered", days=100)
    void = here.kept("open", "old", "void", days=31)
    here.store.void_artifacts("open", keep_commit="new")
    done = here.kept("ended", "c", "done", days=31)
    young = here.kept("ended", "d", "young", days=29)
    assert set(here.artifacts.collect()) == {"open", "ended"}
    assert [path.exists() for path in (offered, void, done, young)] == [True, False, False, True]
    left = {path.rpartition("/")[2] for path in fsspec.filesystem("file").ls(tmp_path / "shelf", detail=False)}
    assert left == {f"{offered.name}.tar", f"{young.name}.tar"}
    assert here.artifacts.collect() == set()


def test_what_production_runs_and_would_go_back_to_stays(shop: Open) -> None:
    here = shop(artifacts_days=1)
    paths = []
    for number, status in enumerate(("healthy", "healthy", "healthy", "ill")):
        here.task(f"t{number}", State.DEPLOYED, merged_sha=f"c{number}")
        paths.append(here.kept(f"t{number}", f"c{number}", f"release {number}", days=9))
        here.store.save_deployment("project", f"c{number}", f"t{number}", status)
    here.artifacts.collect()
    assert [path.exists() for path in paths] == [False, True, True, False]


def test_the_newest_versions_of_a_task_stay_and_the_oldest_of_too_much_goes(shop: Open) -> None:
    here = shop(artifacts_per_task=2)
    here.task("t", State.CANCELLED)
    paths = [here.kept("t", f"c{days}", f"v{days}", days=days) for days in (4, 3, 2)]
    here.artifacts.collect()
    assert [path.exists() for path in paths] == [False, True, True]
    small = shop(artifacts_bytes=sum(file.stat().st_size for file in paths[2].rglob("*") if file.is_file()))
    small.artifacts.collect()
    assert [path.exists() for path in paths] == [False, False, True]


def test_content_stays_as_long_as_one_of_its_versions_does(shop: Open) -> None:
    here = shop(artifacts_days=1)
    here.task("ended", State.MERGED, merged_sha="m")
    here.task("open", State.READY)
    path = here.kept("ended", "c", "same", days=9)
    row = here.store.artifact_row("ended", "c", "web")
    assert row
    here.store.save_artifact("open", Artifact("web", "d", row["sha256"], row["size"]))
    assert set(here.artifacts.collect()) == {"ended"}
    assert path.exists()


def test_what_a_dead_process_left_goes_and_what_was_just_built_stays(shop: Open) -> None:
    here = shop()
    built = here.artifacts.path(here.build())
    left = here.home / "artifacts" / ".new-left"
    left.mkdir()
    _aged(left, 2)
    here.artifacts.collect()
    assert built.exists()
    assert not left.exists()
    _aged(built, 2)
    here.artifacts.collect()
    assert not built.exists()
