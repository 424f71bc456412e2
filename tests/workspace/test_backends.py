"""What every sandbox does, whatever it is made of. Those that this machine has not are skipped with the reason."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from honk.model import Command, HonkError, Interactive, Limits, UsageError
from honk.settings import Settings, read_settings
from honk.workspace import Sandbox, Workspaces, probe
from honk.workspace.attacks import attack_here
from honk.workspace.attacks.trying import SHOWN_BY_CONTAINERS
from honk.workspace.sandbox import backend

from .conftest import ADA, Make, Upstream, repository_at, shell, task_on
from .played_cluster import Cluster
from .test_sandbox import alive

IMAGE = os.environ.get("HONK_TEST_IMAGE")
"""An image with python3 and git that Docker or Podman has."""
REAL_CLUSTER = os.environ.get("HONK_TEST_KUBECONFIG")
"""The cluster to run on instead of the played one."""
PERSON = Path.home()
RUNTIME = os.environ.get("HONK_TEST_RUNTIME")


@pytest.fixture(params=["local", "docker", "podman", "kubernetes"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    pytest.importorskip("kubernetes", reason="the client for Kubernetes is not installed: honk[kubernetes]")
    pytest.importorskip("kubernetes_validate", reason="Kubernetes' schemas are not installed: kubernetes-validate")
    return Cluster(tmp_path_factory.mktemp("cluster"))


@pytest.fixture(scope="module")
def cluster_configuration(cluster: Cluster) -> Iterator[Path]:
    with cluster.running() as configuration:
        yield configuration


@cache
def engine_refusal(kind: str) -> str | None:
    settings = read_settings(sandbox=kind)
    image = IMAGE or settings.sandbox_image
    if (refusal := backend(settings).refusal(settings)) is not None:
        return refusal
    if subprocess.run([kind, "image", "inspect", image], capture_output=True, check=False).returncode:
        return f"it has no image {image}: pull it, or name another by HONK_TEST_IMAGE"
    return None


@pytest.fixture
def settings(
    kind: str, home: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Settings]:
    monkeypatch.setenv("HONK_SANDBOX", kind)
    if IMAGE:
        monkeypatch.setenv("HONK_SANDBOX_IMAGE", IMAGE)
    if RUNTIME and kind == "podman":
        monkeypatch.setenv("HONK_SANDBOX_RUNTIME", RUNTIME)
    if kind == "kubernetes" and not REAL_CLUSTER:
        if (refusal := probe()) is not None:
            pytest.skip(f"the played cluster's containers are bubblewrap's: {refusal}")
        kubeconfig = request.getfixturevalue("cluster_configuration")
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    settings = read_settings()
    for name, folder in (("XDG_DATA_HOME", ".local/share"), ("DOCKER_CONFIG", ".docker")):
        # The engines keep their images and contexts in the home of the person who runs the tests.
        if (PERSON / folder).is_dir() and name not in os.environ:
            monkeypatch.setenv(name, str(PERSON / folder))
    if refusal := engine_refusal(kind) if kind in ("docker", "podman") else backend(settings).refusal(settings):
        pytest.skip(f"no sandboxes of {kind} on this machine: {refusal}")
    yield settings
    if kind == "kubernetes" and not REAL_CLUSTER:
        cluster: Cluster = request.getfixturevalue("cluster")
        assert cluster.faults == []
        assert list(cluster.pods) == []


@pytest.fixture
def sandbox(settings: Settings, tmp_path: Path) -> Sandbox:
    for name in ("tree", "own"):
        (tmp_path / name).mkdir()
    return Sandbox(settings, tmp_path / "tree", tmp_path / "own")


@pytest.fixture
def workspaces(settings: Settings) -> Workspaces:
    return Workspaces(settings)


def until(holds: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, what
        threading.Event().wait(0.02)


def talk(entry: Interactive, given: bytes, *more: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*entry.argv, *more], env=dict(entry.environment), input=given, capture_output=True, timeout=60, check=False
    )


def test_output_comes_as_it_is_written_and_the_exit_code_is_told(sandbox: Sandbox) -> None:
    done = sandbox.run(shell("echo first; echo second >&2; exit 7"))
    assert (done.exit_code, done.output, done.ended_by) == (7, "first\nsecond\n", "itself")
    assert sandbox.run(Command(("no-such-program",))).exit_code == 127
    pieces: list[str] = []
    done = sandbox.run(shell("echo first; sleep 600"), on_output=pieces.append, stop=lambda: bool(pieces))
    assert (done.exit_code, pieces, done.ended_by) == (130, ["first\n"], "cancel")


def test_a_program_with_standard_input_is_talked_to(sandbox: Sandbox) -> None:
    with contextlib.ExitStack() as entered:
        line = 'read one; echo "out $one $2"; echo err >&2; cat | wc -c; exit 9'
        entry = sandbox.interactive(Command(("sh", "-c", line, "sh", "given")), {}, entered)
        done = talk(entry, b"said\n" + bytes(1_000_000), "added")
    assert done.returncode == 9
    assert done.stdout.split() == [b"out", b"said", b"added", b"1000000"]
    assert done.stderr.strip() == b"err"


def test_a_program_ends_when_whoever_talks_to_it_is_killed(sandbox: Sandbox, tmp_path: Path) -> None:
    marker = f": {tmp_path.name}-spoken-to"
    with contextlib.ExitStack() as entered:
        entry = sandbox.interactive(shell(f"echo there; sleep 600 {marker}"), {}, entered)
        process = subprocess.Popen(
            entry.argv, env=dict(entry.environment), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdout and process.stdin
        assert process.stdout.readline() == b"there\n"
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
        until(lambda: not alive(marker), "it goes on")


DAEMON = """
import os, signal, sys, time
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT): signal.signal(number, signal.SIG_IGN)
told, tell = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork(): os._exit(0)
    os.close(0); os.close(1); os.close(2)
    os.write(tell, b"x")
    time.sleep(600)
os.read(told, 1)
print("ready", flush=True)
time.sleep(float(sys.argv[1]))
"""


@pytest.mark.parametrize("end", ["cancel", "time limit", "itself"])
def test_daemons_that_ignore_signals_are_gone_with_their_command(end: str, sandbox: Sandbox, tmp_path: Path) -> None:
    marker = f"marker-{tmp_path.name}"
    heard: list[str] = []
    command = Command(
        ("python3", "-c", DAEMON, "0" if end == "itself" else "600", marker),
        limits=Limits(seconds=4 if end == "time limit" else 60),
    )
    done = sandbox.run(command, on_output=heard.append, stop=lambda: end == "cancel" and bool(heard))
    assert (heard, done.ended_by) == (["ready\n"], end)
    assert alive(marker) == []


def test_everything_ends_with_the_process_of_honk_that_is_killed(sandbox: Sandbox, tmp_path: Path) -> None:
    marker = f": marker-{tmp_path.name}-orphan"
    code = (
        "from pathlib import Path; from honk.model import Command; from honk.settings import read_settings\n"
        "from honk.workspace import Sandbox\n"
        "def say(text): print(text, end='', flush=True)\n"
        f"Sandbox(read_settings(), Path({str(sandbox.tree)!r}), Path({str(sandbox.home)!r})).run("
        f"Command(('sh', '-c', 'echo ready; sleep 600; {marker}')), on_output=say)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline() == b"ready\n"
        process.kill()
    until(lambda: not alive(marker), "it goes on")
    # What the one that was killed could not remove, the next one does.
    Workspaces(sandbox.settings)


@pytest.mark.parametrize(
    ("line", "limits", "ended_by"),
    [
        ("python3 -c 'x = bytearray(400 << 20)'; sleep 60", Limits(memory=128 << 20), "memory limit"),
        ("for i in $(seq 200); do sleep 60 & done; sleep 60", Limits(processes=40), "process limit"),
        ("while :; do :; done", Limits(cpu_seconds=1), "cpu limit"),
        ("head -c 300000000 /dev/zero >big; sleep 60", Limits(disk=20 << 20), "disk limit"),
    ],
)
def test_whoever_uses_more_than_it_may_is_ended_and_told_so(
    line: str, limits: Limits, ended_by: str, sandbox: Sandbox, kind: str
) -> None:
    if kind == "kubernetes" and not REAL_CLUSTER and ended_by in ("memory limit", "cpu limit"):
        pytest.skip("the played cluster's node has no control groups")
    done = sandbox.run(Command(("sh", "-c", line), limits=replace(limits, seconds=50)))
    assert (done.ended_by, done.exit_code) == (ended_by, 137)
    assert done.excess and done.excess.sentence.startswith("It ")


def test_files_go_in_and_what_has_changed_comes_out(sandbox: Sandbox, tmp_path: Path) -> None:
    tree = sandbox.tree
    assert isinstance(tree, Path) and isinstance(sandbox.home, Path)
    (tree / "folder").mkdir()
    (tree / "folder" / "old").write_text("old")
    (tree / "gone").write_text("gone")
    (tree / "program").write_text("#!/bin/sh\necho ran\n")
    (tree / "program").chmod(0o755)
    (tmp_path / "given").write_text("given")
    (tmp_path / "kept").mkdir()
    command = Command(
        (
            *("sh", "-ec"),
            "./program; rm gone; echo new >folder/new; ln -s folder/old link; chmod 700 folder/new; echo home >~/made;"
            "cat /extra/given >/kept/copy; pwd; if echo x >>/extra/given; then exit 5; fi",
        ),
        readable={"/extra/given": tmp_path / "given"},
        writable={"/kept": tmp_path / "kept"},
    )
    done = sandbox.run(command)
    assert (done.exit_code, done.output.splitlines()[:2]) == (0, ["ran", "/workspace"])
    assert sorted(path.relative_to(tree).as_posix() for path in tree.rglob("*")) == [
        "folder", "folder/new", "folder/old", "link", "program",
    ]  # fmt: skip
    assert (tree / "folder" / "new").read_text() == "new\n"
    assert (tree / "folder" / "new").stat().st_mode & 0o777 == 0o700
    assert (tree / "link").readlink() == Path("folder/old")
    assert (sandbox.home / "made").read_text() == "home\n"
    assert (tmp_path / "kept" / "copy").read_text() == "given"
    assert (tmp_path / "given").read_text() == "given"
    assert sandbox.run(replace(shell("cat new"), directory="folder")).output == "new\n"
    with pytest.raises(UsageError, match="below the repository's root"):
        sandbox.run(Command(("true",), directory="../etc"))


def test_one_that_only_reads_changes_nothing_and_has_an_empty_home(sandbox: Sandbox, tmp_path: Path) -> None:
    assert isinstance(sandbox.tree, Path) and isinstance(sandbox.home, Path)
    (sandbox.tree / "file").write_text("file")
    (sandbox.home / "secret").write_text("hunter2")
    (tmp_path / "kept").mkdir()
    done = sandbox.run(
        Command(
            ("sh", "-c", "cat file; ls -A ~; echo x >>file; echo x >new; echo home >~/made && echo out >/kept/out"),
            writable={"/kept": tmp_path / "kept"},
            reads_only=True,
        )
    )
    assert done.output.startswith("file")
    assert "secret" not in done.output
    assert [path.name for path in sandbox.tree.iterdir()] == ["file"]
    assert (sandbox.tree / "file").read_text() == "file"
    assert not (sandbox.home / "made").exists()
    assert (tmp_path / "kept" / "out").read_text() == "out\n"


def test_nothing_of_this_machine_or_of_honk_is_to_be_seen(
    sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_SECRET", "hunter2")
    monkeypatch.setenv("DOCKER_AUTH_CONFIG", "hunter2")
    settings.home.mkdir(parents=True, exist_ok=True)
    (settings.home / "honk.db").write_text("hunter2")
    (Path.home() / "secret").write_text("hunter2")
    hidden = [settings.home / "honk.db", Path.home() / "secret", Path("/var/run/docker.sock"), Path("/etc/gshadow")]
    places = " ".join(map(str, hidden))
    line = (
        f"env; cat /proc/*/environ | tr '\\0' '\\n'; cat {places}; ls -d {places} | sed 's/^/seen: /';"
        f"test -e /proc/{os.getpid()}/cwd/pyproject.toml && echo seen: honk; find / -type s | sed 's,^,seen: ,'"
    )
    done = sandbox.run(shell(line))
    assert "HOME=/home/honk" in done.output
    assert "hunter2" not in done.output
    seen = [told for told in done.output.splitlines() if told.startswith("seen: ")]
    # An image has an account file of its own.
    assert [told for told in seen if "gshadow" not in told] == []


def test_what_a_command_is_given_is_on_no_command_line(sandbox: Sandbox) -> None:
    seen: list[bytes] = []

    def look(_: str) -> None:
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                seen.append((folder / "cmdline").read_bytes())

    command = replace(shell("echo $TOKEN | tr a-z A-Z; sleep 0.2"), environment={"TOKEN": "swordfish"})
    assert "SWORDFISH" in sandbox.run(command, on_output=look).output
    assert seen and not any(b"swordfish" in line for line in seen)


def test_a_command_is_nobody_in_particular_and_can_change_nothing_of_its_system(sandbox: Sandbox) -> None:
    done = sandbox.run(
        shell(
            "id -u; grep -hE '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status;"
            "touch /made /usr/made /etc/made 2>&1; unshare --user true || echo no namespaces;"
            "echo x >/tmp/made && cat /tmp/made"
        )
    )
    words = done.output.split()
    assert words[0] != "0"
    assert done.output.count("Read-only file system") == 3
    assert "no namespaces" in done.output
    facts = dict(line.split(":\t") for line in done.output.splitlines() if ":\t" in line)
    assert int(facts["CapEff"], 16) == int(facts["CapBnd"], 16) == 0
    assert (facts["NoNewPrivs"], facts["Seccomp"]) == ("1", "2")
    assert words[-1] == "x"


KEYRING = (
    "import ctypes; print(ctypes.CDLL(None).syscall(250 if __import__('os').uname().machine == 'x86_64' else 219, 0))"
)


def test_calls_that_no_build_needs_are_refused(sandbox: Sandbox) -> None:
    assert sandbox.run(Command(("python3", "-c", KEYRING))).output == "-1\n"


FETCH = """
import sys, urllib.request, urllib.error
for url in sys.argv[1:]:
    try: print(urllib.request.urlopen(url, timeout=20).read().decode())
    except urllib.error.HTTPError as error: print(error.code, error.read().decode())
    except OSError as error: print('failed', error)
"""


def test_hosts_on_the_list_are_reached_through_the_gateway_and_nothing_else_is(
    sandbox: Sandbox, upstream: Upstream
) -> None:
    address = f"127.0.0.1:{upstream.port}"
    urls = (f"http://{address}/a", "http://other.example/")
    done = sandbox.run(Command(("python3", "-c", FETCH, *urls), egress=[address]))
    assert done.output.startswith("hello from outside")
    assert tuple(done.refused_hosts) == ("other.example:80",)
    line = f'unset HTTP_PROXY http_proxy; python3 -c "{FETCH}" http://{address}/b http://192.0.2.1/'
    assert sandbox.run(Command(("sh", "-c", line), egress=[address])).output.count("failed") == 2
    assert upstream.paths == ["/a"]


def test_a_large_answer_and_a_large_question_go_through_a_way_out(sandbox: Sandbox, tmp_path: Path) -> None:
    place = Path("/tmp") / f"honk-{os.getpid()}-{tmp_path.name}"
    heard: list[int] = []

    def answer(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            count = 0
            while data := connection.recv(1 << 16):
                count += len(data)
            heard.append(count)
            connection.sendall(bytes(5_000_000))

    code = (
        "import socket\n"
        "c = socket.create_connection(('127.0.0.1', 4242)); c.sendall(bytes(3000000)); c.shutdown(socket.SHUT_WR)\n"
        "n = 0\n"
        "while d := c.recv(65536): n += len(d)\n"
        "print(n)"
    )
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place))
        listener.listen()
        thread = threading.Thread(target=answer, args=(listener,))
        thread.start()
        done = sandbox.run(Command(("python3", "-c", code), reaches={4242: place}, limits=Limits(seconds=60)))
        thread.join()
    place.unlink()
    assert (done.output, heard) == ("5000000\n", [3_000_000])


def test_a_port_that_a_command_serves_is_reached_from_outside(sandbox: Sandbox, tmp_path: Path) -> None:
    assert isinstance(sandbox.tree, Path)
    (sandbox.tree / "page").write_text("a page\n")
    place = Path("/tmp") / f"honk-{os.getpid()}-{tmp_path.name}"
    answers: list[bytes] = []
    over = threading.Event()

    def ask(words: bytes) -> bytes:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(place))
            connection.sendall(words)
            return b"".join(iter(lambda: connection.recv(1 << 16), b""))

    def visit() -> None:
        answers.append(ask(b""))
        answers.append(ask(b"GET /page HTTP/1.0\r\n\r\n"))
        over.set()

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place))
        listener.listen()
        visitor = threading.Thread(target=visit)
        visitor.start()
        command = Command(
            ("python3", "-m", "http.server", "--bind", "127.0.0.1", "8123"), serves={8123: listener.fileno()},
            limits=Limits(seconds=60),
        )  # fmt: skip
        done = sandbox.run(command, stop=over.is_set)
        visitor.join()
    place.unlink()
    assert done.ended_by == "cancel"
    assert answers[0] == b"ready"
    assert answers[1].endswith(b"a page\n")


def test_a_sandbox_that_cannot_be_set_up_says_so(sandbox: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(HonkError, match=r"could not start|cannot be read"):
        sandbox.run(Command(("true",), readable={"/x": tmp_path / "missing"}))


def test_an_agents_work_is_committed_and_its_files_are_exported(
    workspaces: Workspaces, make_repository: Make, tmp_path: Path
) -> None:
    """The whole of a workspace: laid out, worked in, told to a model's gateway, committed, checked out clean."""
    repository = repository_at(make_repository({"a.txt": "one\n", "keep.txt": "k\n"}))
    base = workspaces.fetch(repository)
    task = task_on(base)
    with workspaces.open(task, repository) as workspace:
        done = workspace.run(
            shell("cat a.txt; echo two >>a.txt; rm keep.txt; git status --short; mkdir d; echo n >d/n")
        )
        assert done.output.splitlines() == ["one", " M a.txt", " D keep.txt"]
        commit = workspace.snapshot("Work", ADA)
        assert workspace.snapshot("Work", ADA) == commit
        assert workspace.diff_stat() == "3 files changed, 2 insertions(+), 1 deletion(-)"
    with workspaces.open(task, repository) as workspace:
        assert workspace.run(shell("cat a.txt")).output == "one\ntwo\n"
    assert commit
    with workspaces.checkout(repository, commit, source=workspaces.change_git_dir(task)) as checkout:
        assert checkout.files() == ["a.txt", "d/n"]
        assert checkout.run(shell("mkdir dist; cp a.txt dist/")).exit_code == 0
        assert [path.name for path in checkout.export("dist", tmp_path / "out")] == ["a.txt"]


def test_an_agent_reaches_the_model_and_never_its_key(
    workspaces: Workspaces, make_repository: Make, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-real-key")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", f"http://127.0.0.1:{upstream.port}")
    upstream.go_on.set()
    repository = repository_at(make_repository({"a": "a"}))
    task = task_on(workspaces.fetch(repository))
    ask = (
        "import os, urllib.request\n"
        "request = urllib.request.Request(os.environ['URL'] + '/v1/messages', b'{\"model\": \"m\", \"max_tokens\": 1}',"
        "{'x-api-key': os.environ['TOKEN'], 'content-type': 'application/json'})\n"
        "print(urllib.request.urlopen(request).read()); print(os.environ)"
    )
    with Workspaces(read_settings()).open(task, repository) as workspace:
        model = workspace.model
        environment = {"URL": model.base_url, "TOKEN": model.token}
        entry = workspace.interactive(Command(("python3", "-c", ask), environment=environment), model=True)
        done = talk(entry, b"")
    assert b"data: last" in done.stdout, done
    assert b"sk-real-key" not in done.stdout
    assert upstream.headers[0]["x-api-key"] == "sk-real-key"


def test_attacks_that_harm_nothing_are_held_off(settings: Settings, kind: str) -> None:
    if kind == "local":
        pytest.skip("tests/attacks tries them, and more, on the local sandbox")
    tried = list(attack_here(settings))
    assert [(one.attack.name, one.told) for one in tried if not (one.held or one.skipped)] == []
    assert {one.attack.name for one in tried if one.skipped} <= SHOWN_BY_CONTAINERS


def test_nothing_is_left_when_a_command_has_ended(sandbox: Sandbox, kind: str, settings: Settings) -> None:
    sandbox.run(shell("true"))
    sandbox.run(Command(("sleep", "60"), limits=Limits(seconds=0.2)))
    if kind in ("docker", "podman"):
        listed = subprocess.run([kind, "ps", "--all", "--quiet"], capture_output=True, text=True, check=True)
        named = subprocess.run(
            [kind, "ps", "--all", "--format", "{{.Names}} {{.Labels}}"], capture_output=True, text=True, check=True
        )
        assert str(settings.home) not in named.stdout, listed.stdout
        assert list((settings.home / "sandbox" / "containers").iterdir()) == []
