"""What is special about containers: their image, what comes back out of them, and who does not keep to the rules."""

from __future__ import annotations

import importlib.util
import io
import os
import re
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from honk.model import HonkError, Limits, UsageError
from honk.settings import read_settings
from honk.workspace import Sandbox, Workspaces, probe
from honk.workspace.allowance import allowance
from honk.workspace.containers.give_back import lay_out, remove
from honk.workspace.containers.images import Recipe, image_of
from honk.workspace.containers.linux_programs import for_linux
from honk.workspace.containers.session import Link, Session, Start, follow

from . import played_engine
from .conftest import ADA, Make, repository_at, shell, task_on
from .played_cluster import Cluster

# -- the image ---------------------------------------------------------------------------------------------------------

DEVCONTAINER = """
// what people work in
{
  "name": "a // b", /* that is no comment */
  "build": {"dockerfile": "Dockerfile", "context": "..", "args": {"VARIANT": "3.12",},},
}
"""


def wanted(make: Make, files: dict[str, str]) -> str | Recipe | None:
    return image_of(make(files) / ".git", "main")


def test_the_base_names_its_image_by_honk_yaml_before_its_devcontainer(make_repository: Make) -> None:
    files = {
        "honk.yaml": "sandbox: {image: 'docker.io/library/python:3.12'}",
        ".devcontainer.json": '{"image": "other"}',
    }
    assert wanted(make_repository, files) == "docker.io/library/python:3.12"


def test_a_devcontainer_names_an_image_or_how_it_is_built(make_repository: Make) -> None:
    assert (
        image_of(make_repository({".devcontainer.json": '{"image": "debian:12"}'}, "a") / ".git", "main") == "debian:12"
    )
    files = {".devcontainer/devcontainer.json": DEVCONTAINER, ".devcontainer/Dockerfile": "FROM debian", "a": "a"}
    recipe = image_of(make_repository(files, "b") / ".git", "main")
    assert isinstance(recipe, Recipe)
    assert (recipe.dockerfile, recipe.context, recipe.arguments) == (
        ".devcontainer/Dockerfile",
        ".",
        {"VARIANT": "3.12"},
    )
    assert image_of(make_repository({"a": "a"}, "c") / ".git", "main") is None
    composed = {".devcontainer.json": '{"dockerComposeFile": "compose.yaml"}'}
    assert image_of(make_repository(composed, "d") / ".git", "main") is None


def test_an_image_is_named_by_what_it_is_made_of(make_repository: Make) -> None:
    files = {"honk.yaml": "sandbox: {dockerfile: tools/Dockerfile}", "tools/Dockerfile": "FROM debian", "a": "a"}
    repository = make_repository(files)
    first = image_of(repository / ".git", "main")
    assert isinstance(first, Recipe)
    assert first.name.startswith("localhost/honk-made:")
    (repository / "a").write_text("b")
    subprocess.run(
        ["git", "-c", "user.name=A", "-c", "user.email=a@b", "commit", "-qam", "More"], cwd=repository, check=True
    )
    second = image_of(repository / ".git", "main")
    assert isinstance(second, Recipe)
    assert second.name != first.name


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({".devcontainer.json": '{"image": "${localEnv:IMAGE}"}'}, "depends on a machine"),
        ({".devcontainer.json": '{"image": "--privileged"}'}, "depends on a machine"),
        ({".devcontainer.json": '{"image": '}, "is not JSON with comments"),
        ({".devcontainer.json": '{"build": {"dockerfile": "../../etc/passwd"}}'}, "outside of the repository"),
        ({".devcontainer.json": '{"build": {"dockerfile": "Dockerfile"}}'}, "not in the base commit"),
        ({"honk.yaml": "sandbox: {image: a, dockerfile: b}"}, "not both"),
        ({"honk.yaml": "sandbox: {image: '--privileged'}"}, "must be the name of a container image"),
    ],
)
def test_an_image_that_cannot_be_meant_is_refused_with_a_sentence(
    files: dict[str, str], told: str, make_repository: Make
) -> None:
    with pytest.raises(UsageError, match=told):
        wanted(make_repository, files)


# -- programs ----------------------------------------------------------------------------------------------------------


def wheel(folder: Path, platform: str, content: bytes) -> None:
    with zipfile.ZipFile(folder / f"tool-1.0-py3-none-{platform}.whl", "w") as made:
        made.writestr("tool/_bundled/tool", content)
        made.writestr("tool-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tool\nVersion: 1.0\n")
        made.writestr("tool-1.0.dist-info/WHEEL", f"Wheel-Version: 1.0\nTag: py3-none-{platform}\n")
        made.writestr("tool-1.0.dist-info/RECORD", "tool/_bundled/tool,,\n")


def test_a_program_of_macos_is_had_for_linux_from_its_package(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if importlib.util.find_spec("pip") is None:
        pytest.skip("there is no pip in this environment to fetch a package with")
    for platform, content in (("macosx_11_0_arm64", bytes.fromhex("cffaedfe")), ("manylinux_2_17_aarch64", b"\x7fELF")):
        (tmp_path / platform).mkdir()
        wheel(tmp_path / platform, platform, content)
    installed = tmp_path / "site"
    zipfile.ZipFile(next((tmp_path / "macosx_11_0_arm64").iterdir())).extractall(installed)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "manylinux_2_17_aarch64"))
    program = installed / "tool" / "_bundled" / "tool"
    found = for_linux(program, home, "arm64")
    assert found.read_bytes() == b"\x7fELF"
    assert os.access(found, os.X_OK) and found.is_relative_to(home)
    assert for_linux(found, home, "arm64") == found


# -- what comes back ---------------------------------------------------------------------------------------------------


@pytest.fixture
def inside(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A tree with links that lead out of it, beside a file that nobody may touch."""
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "outside").mkdir()
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "out").symlink_to(tmp_path / "outside")
    (tree / "file-link").symlink_to(tmp_path / "precious")
    root = os.open(tree, os.O_RDONLY | os.O_DIRECTORY)
    yield tree, root
    os.close(root)


def archive(*members: tuple[str, bytes, str]) -> io.BytesIO:
    """Of (name, kind, content or target)."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as target:
        for name, kind, content in members:
            member = tarfile.TarInfo(name)
            member.type, member.mode = kind, 0o6755
            if kind == tarfile.REGTYPE:
                member.size = len(content)
            else:
                member.linkname = content
            target.addfile(member, io.BytesIO(content.encode()) if kind == tarfile.REGTYPE else None)
    made.seek(0)
    return made


FILE, LINK, HARD, FOLDER, FIFO = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE


def test_files_land_in_the_tree_whatever_links_were_in_the_way(inside: tuple[Path, int], tmp_path: Path) -> None:
    tree, root = inside
    lay_out(
        root,
        archive(
            ("out/through", FILE, "x"),
            ("file-link", FILE, "y"),
            ("new", LINK, str(tmp_path / "outside")),
            ("new/through", FILE, "z"),
            ("hard", HARD, "../precious"),
            ("pipe", FIFO, ""),
        ),
        1 << 20,
    )
    assert list((tmp_path / "outside").iterdir()) == []
    assert (tmp_path / "precious").read_text() == "precious"
    assert (tree / "out" / "through").read_text() == "x"
    assert not (tree / "out").is_symlink()
    assert (tree / "file-link").read_text() == "y"
    assert (tree / "new" / "through").read_text() == "z"
    assert not (tree / "hard").exists() and not (tree / "pipe").exists()
    assert (tree / "out" / "through").stat().st_mode & 0o7000 == 0


@pytest.mark.parametrize("name", ["../escaped", "/tmp/escaped", "a/../../escaped", "a//b", "."])
def test_a_path_that_leads_out_of_the_tree_is_refused(name: str, inside: tuple[Path, int], tmp_path: Path) -> None:
    with pytest.raises(HonkError, match="cannot be read"):
        lay_out(inside[1], archive((name, FILE, "x")), 1 << 20)
    assert not (tmp_path / "escaped").exists()


def test_what_is_removed_is_removed_in_the_tree_only(inside: tuple[Path, int], tmp_path: Path) -> None:
    tree, root = inside
    (tmp_path / "outside" / "kept").touch()
    (tree / "folder").mkdir()
    (tree / "folder" / "link").symlink_to(tmp_path / "outside")
    remove(root, ["out/kept", "../precious", "/etc/hostname", "folder", "file-link", "missing/one"])
    assert (tmp_path / "outside" / "kept").exists()
    assert (tmp_path / "precious").exists()
    assert sorted(path.name for path in tree.iterdir()) == ["out"]


def test_more_than_the_disk_limit_does_not_come_back(inside: tuple[Path, int]) -> None:
    with pytest.raises(HonkError, match="disk limit"):
        lay_out(inside[1], archive(("big", FILE, "x" * 5000)), 1000)


# -- whoever is inside and lies ----------------------------------------------------------------------------------------


class Liar:
    """A container that says what it likes."""

    def __init__(self, said: bytes) -> None:
        self._said = io.BytesIO(said)
        self.heard = b""
        self.ended = False
        self.read = self._said.read

    def write(self, data: bytes) -> None:
        self.heard += data

    def end(self) -> None:
        self.ended = True

    def words(self) -> str:
        return "no words"


def frame(kind: bytes, number: int, payload: bytes) -> bytes:
    return kind + number.to_bytes(4, "big") + len(payload).to_bytes(4, "big") + payload


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\n\r\n" * 3,
        frame(b"Q", 0, b"{}"),
        frame(b"Q", 0, b'{"code": "zero", "excess": null}'),
        frame(b"Q", 0, b'{"code": 0, "excess": ["wishes", 1]}'),
        frame(b"Q", 0, b"no json"),
        frame(b"D", 1, b"x" * 65536) * 5,
        frame(b"D", 1, b"") + b"D\0\0\0\1\xff\xff\xff\xff",
        frame(b"A", 1, b"x"),
        b"",
    ],
)
def test_a_container_that_makes_no_sense_is_ended_with_a_sentence(said: bytes, home: Path) -> None:
    link: Link = Liar(said)
    session = Session(link, Start(("true",), {}, "/", allowance(read_settings(), Limits())))
    with pytest.raises(HonkError, match="The container"):
        follow(session, Limits(seconds=20), on_output=None, stop=None, watcher=None)
    assert link.ended  # type: ignore[attr-defined]


def test_a_container_opens_no_port_that_its_command_has_not(home: Path) -> None:
    opened = b"".join(frame(b"O", 4 + 2 * number, port) for number, port in enumerate((b"22", b'"/run/x"', b"-1")))
    link = Liar(opened + frame(b"E", 1, b"") + frame(b"Q", 0, b'{"code": 0, "excess": null}'))
    session = Session(link, Start(("true",), {}, "/", allowance(read_settings(), Limits())))
    assert follow(session, Limits(seconds=20), on_output=None, stop=None, watcher=None).exit_code == 0
    assert [link.heard.count(frame(b"X", number, b"")) for number in (4, 6, 8)] == [1, 1, 1]


# -- a cluster ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def cluster(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    pytest.importorskip("kubernetes", reason="the client for Kubernetes is not installed: honk[kubernetes]")
    pytest.importorskip("kubernetes_validate", reason="Kubernetes' schemas are not installed: kubernetes-validate")
    if (refusal := probe()) is not None:
        pytest.skip(f"the played cluster's containers are bubblewrap's: {refusal}")
    played = Cluster(tmp_path)
    with played.running() as configuration:
        monkeypatch.setenv("KUBECONFIG", str(configuration))
        monkeypatch.setenv("HONK_SANDBOX", "kubernetes")
        yield played


@pytest.fixture
def sandbox(cluster: Cluster, tmp_path: Path) -> Sandbox:
    for name in ("tree", "own"):
        (tmp_path / name).mkdir()
    return Sandbox(read_settings(), tmp_path / "tree", tmp_path / "own")


def test_a_pod_is_asked_for_with_nothing_secret_and_no_way_to_the_cluster(cluster: Cluster, sandbox: Sandbox) -> None:
    settings = sandbox.settings.model_copy(update={"sandbox_runtime": "gvisor"})
    sandbox = replace(sandbox, settings=settings, image="registry.example/tools:1")
    sandbox.run(replace(shell("true"), environment={"TOKEN": "swordfish"}, limits=Limits(seconds=30)))
    made = cluster.made[-1]
    assert "swordfish" not in str(made)
    assert made["spec"]["automountServiceAccountToken"] is False
    assert made["spec"]["runtimeClassName"] == "gvisor"
    assert made["spec"]["activeDeadlineSeconds"] == 930
    assert made["spec"]["containers"][0]["image"] == "registry.example/tools:1"
    assert cluster.policies["honk-sandboxes"]["spec"]["podSelector"]["matchLabels"].items() <= (
        made["metadata"]["labels"].items()
    )
    assert cluster.faults == [] and cluster.pods == {}


def test_a_cluster_whose_network_knows_no_policies_is_not_used(cluster: Cluster, sandbox: Sandbox) -> None:
    cluster.plug_in_knows_policies = False
    with pytest.raises(HonkError, match="does not keep pods apart"):
        sandbox.run(shell("echo ran > made"))
    assert list(sandbox.tree.iterdir()) == []  # type: ignore[union-attr]
    assert cluster.pods == {}


def test_rights_that_are_missing_are_named(cluster: Cluster, sandbox: Sandbox) -> None:
    cluster.rules = [{**rule, "verbs": ["get"]} for rule in cluster.rules]
    with pytest.raises(HonkError, match=r"does not let Honk make .*cannot create resource.*docs/sandboxes.md"):
        sandbox.run(shell("true"))


def test_an_image_that_is_not_to_be_had_is_named_and_its_pod_removed(cluster: Cluster, sandbox: Sandbox) -> None:
    cluster.missing_images.add("nowhere/none:1")
    with pytest.raises(HonkError, match=r'could not start: ErrImagePull \(failed to pull "nowhere/none:1"'):
        replace(sandbox, image="nowhere/none:1").run(shell("true"))
    assert cluster.pods == {}


def test_a_wrong_token_and_a_cluster_that_is_gone_get_a_sentence(
    cluster: Cluster, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cluster.token = "changed"
    with pytest.raises(HonkError, match=r"Kubernetes does not let Honk .*Unauthorized"):
        sandbox.run(shell("true"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "missing"))
    with pytest.raises(HonkError, match="No Kubernetes cluster is named here"):
        sandbox.run(shell("true"))


def test_the_tree_of_an_agent_that_runs_is_seen_as_it_is_now(cluster: Cluster, make_repository: Make) -> None:
    """Commits are made of what the agent has written so far, though its pod shares no disk with anybody."""
    workspaces = Workspaces(read_settings())
    repository = repository_at(make_repository({"a": "a\n"}))
    task = task_on(workspaces.fetch(repository))
    with workspaces.open(task, repository) as workspace:
        entry = workspace.interactive(shell("echo b >b; echo there; read go; echo c >c"), model=False)
        with subprocess.Popen(
            entry.argv, env=dict(entry.environment), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout and process.stdin
            assert process.stdout.readline() == b"there\n"
            assert workspace.run(replace(shell("cat b"), reads_only=True)).output == "b\n"
            process.communicate(b"go\n", timeout=60)
        assert process.returncode == 0
        assert workspace.run(shell("cat b c")).output == "b\nc\n"


def test_a_dockerfile_is_not_built_by_a_cluster(cluster: Cluster, sandbox: Sandbox, make_repository: Make) -> None:
    recipe = image_of(make_repository({"honk.yaml": "sandbox: {dockerfile: D}", "D": "FROM x"}) / ".git", "main")
    with pytest.raises(HonkError, match="which Kubernetes does not do"):
        replace(sandbox, image=recipe).run(shell("true"))


def test_pods_that_a_killed_honk_left_are_removed_by_the_next(cluster: Cluster, sandbox: Sandbox) -> None:
    sandbox.run(shell("true"))
    ended = cluster.made[-1] | {"metadata": cluster.made[-1]["metadata"] | {"name": "honk-left"}}
    cluster.leave(ended)
    Workspaces(sandbox.settings)
    assert cluster.pods == {}


# -- an engine ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def engine(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if (refusal := probe()) is not None:
        pytest.skip(f"the played engine's containers are bubblewrap's: {refusal}")
    folder = played_engine.install(tmp_path / "engine")
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("HONK_SANDBOX", "docker")
    monkeypatch.setenv("HONK_SANDBOX_IMAGE", played_engine.IMAGE)
    monkeypatch.setenv("MY_SECRET", "hunter2")
    monkeypatch.setattr("honk.workspace.sandbox._made", {})
    return folder


@pytest.fixture
def contained(engine: Path, tmp_path: Path) -> Sandbox:
    for name in ("tree", "own"):
        (tmp_path / name).mkdir()
    return Sandbox(read_settings(), tmp_path / "tree", tmp_path / "own")


def test_an_engine_is_told_to_keep_everything_out_and_nothing_that_is_secret(contained: Sandbox, engine: Path) -> None:
    settings = contained.settings.model_copy(update={"sandbox_runtime": "runsc"})
    line = "echo $TOKEN >made; ls /workspace; exit 3"
    command = replace(shell(line), environment={"TOKEN": "swordfish"}, limits=Limits(memory=1 << 28, processes=100))
    done = replace(contained, settings=settings).run(command)
    assert (done.exit_code, done.output) == (3, "made\n")
    assert (contained.tree / "made").read_text() == "swordfish\n"  # type: ignore[operator]
    told = played_engine.calls(engine)[-1]
    assert "swordfish" not in str(told) and "hunter2" not in str(told)
    assert told[told.index("--memory") + 1] == str(1 << 28)
    assert told[told.index("--runtime") + 1] == "runsc"
    assert {"HTTP_PROXY=", "https_proxy="} <= set(told)


def test_an_engine_says_why_it_makes_no_container(contained: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(HonkError, match=r"could not start: .*bind source path does not exist: .*/missing"):
        contained.run(replace(shell("true"), readable={"/x": tmp_path / "missing"}))
    with pytest.raises(HonkError, match="cannot mount a folder with such a name"):
        contained.run(replace(shell("true"), readable={"/x": tmp_path / "a,b"}))


def test_an_image_is_pulled_or_built_once(contained: Sandbox, engine: Path, make_repository: Make) -> None:
    for _ in range(2):
        assert replace(contained, image="played/elsewhere:1").run(shell("true")).exit_code == 0
    with pytest.raises(HonkError, match=r"`docker pull` failed: .*pull access denied"):
        replace(contained, image="played/nothing:1").run(shell("true"))
    repository = make_repository({"honk.yaml": "sandbox: {dockerfile: D}", "D": "FROM x"})
    recipe = image_of(repository / ".git", "main")
    assert replace(contained, image=recipe).run(shell("true")).exit_code == 0
    begun = [call[0] for call in played_engine.calls(engine)]
    assert (begun.count("pull"), begun.count("build")) == (2, 1)


def test_a_repositorys_own_image_is_that_of_its_base_whatever_a_change_says(
    engine: Path, make_repository: Make
) -> None:
    (engine / "images").write_text(f"{played_engine.IMAGE} base/image:1 change/image:1")
    workspaces = Workspaces(read_settings())
    repository = repository_at(make_repository({"honk.yaml": "sandbox: {image: 'base/image:1'}"}))
    task = task_on(workspaces.fetch(repository))
    with workspaces.open(task, repository) as workspace:
        workspace.run(shell("echo \"sandbox: {image: 'change/image:1'}\" > honk.yaml"))
        commit = workspace.snapshot("Mine", ADA)
    assert commit
    with workspaces.checkout(repository, commit, source=workspaces.change_git_dir(task)) as checkout:
        assert "change/image" in checkout.run(shell("cat honk.yaml")).output
        assert "base/image:1" in checkout.made_of  # so that no result of another image counts for it
    used = {image for call in played_engine.calls(engine) if call[0] == "run" for image in call if "/image:1" in image}
    assert used == {"base/image:1", played_engine.IMAGE}  # the latter for what is Honk's own


@pytest.mark.parametrize("program", ["docker", "podman"])
def test_every_option_is_one_that_the_real_program_knows(
    program: str, contained: Sandbox, engine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contained.run(shell("true"))
    monkeypatch.setenv("PATH", os.environ["PATH"].partition(":")[2])
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed, so nobody can be asked for its options")
    known = subprocess.run([program, "run", "--help"], capture_output=True, text=True, check=True).stdout
    used = {option for option in played_engine.calls(engine)[-1] if re.fullmatch(r"--[a-z-]+", option)}
    assert len(used) > 15
    assert {option for option in used if not re.search(rf"{option}\b", known)} == set()
