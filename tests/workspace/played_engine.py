"""`docker`, played: as strict about what it is told as the real program, with bubblewrap for containers.

It is for machines that have no daemon. Put as `docker` into a folder on PATH by `install`; what it was told is kept.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

IMAGE = "played/image:1"
_NOT_HERE = "played/elsewhere:1"
"""It can be pulled."""


def install(folder: Path) -> Path:
    """The program in a new folder, which goes in front of PATH; beside it, each call is a line of `calls`."""
    from honk.workspace.bubblewrap import bwrap, isolation
    from honk.workspace.system import system

    folder.mkdir()
    program = folder / "docker"
    source = Path(__file__).parents[2]
    program.write_text(
        f"#!{sys.executable} -IS\nimport sys\nsys.path.insert(0, {str(source)!r})\n"
        f"from tests.workspace.played_engine import main\nmain({str(folder)!r})\n"
    )
    program.chmod(0o755)
    (folder / "images").write_text(IMAGE)
    machine = system()
    container = [str(bwrap()), *isolation(), *machine.arguments, "--as-pid-1"]
    for name, value in machine.environment.items():
        container += ["--setenv", name, value]
    (folder / "container").write_text(json.dumps(container))
    return folder


def calls(folder: Path) -> list[list[str]]:
    """What the program was told, call by call."""
    return [json.loads(line) for line in (folder / "calls").read_text().splitlines()]


def main(folder: str) -> None:
    told = sys.argv[1:]
    with Path(folder, "calls").open("a") as kept:
        kept.write(json.dumps(told) + "\n")
    secret = [name for name in os.environ if name.startswith(("HONK_", "ANTHROPIC_", "MY_"))]
    if secret:
        _fail(f"Honk's environment came along: {secret}")
    images = Path(folder, "images").read_text().split()
    match told:
        case ["version", *_]:
            print("28.0.0")
        case ["info", "--format", form]:
            print({"{{.SecurityOptions}}": "[name=seccomp,profile=builtin]"}.get(form, ""))
        case ["image", "inspect", "--format", "{{.Id}}", name]:
            _fail(f"Error response from daemon: No such image: {name}") if name not in images else print("sha256:0")
        case ["pull", "--quiet", name]:
            if name != _NOT_HERE:
                _fail(f"Error response from daemon: pull access denied for {name}, repository does not exist")
            Path(folder, "images").write_text(" ".join([*images, name]))
        case ["build", "--quiet", "--tag", name, "--file", dockerfile, *_, context]:
            if not Path(dockerfile).is_file() or not Path(context).is_dir() or Path(context, ".git").exists():
                _fail("unable to prepare context")
            Path(folder, "images").write_text(" ".join([*images, name]))
        case ["rm", "--force", name]:
            print(name)
        case ["run", *rest]:
            _run(rest, images, json.loads(Path(folder, "container").read_text()))
        case _:
            _fail(f"docker: {told[:2]} is not a docker command")


def _fail(words: str, code: int = 1) -> None:
    print(f"docker: {words}", file=sys.stderr)
    sys.exit(code)


def _options() -> argparse.ArgumentParser:
    """What Honk has a use for of docker-run(1); the real program refuses any other as this does."""
    known = argparse.ArgumentParser("docker run", allow_abbrev=False)
    for flag in ("--rm", "--interactive", "--read-only"):
        known.add_argument(flag, action="store_true")
    for name in (
        *("--name", "--hostname", "--pull", "--network", "--log-driver", "--memory", "--memory-swap", "--pids-limit"),
        *("--workdir", "--entrypoint", "--user", "--runtime"),
    ):
        known.add_argument(name)
    for name in ("--label", "--cap-drop", "--security-opt", "--ulimit", "--env", "--tmpfs", "--mount"):
        known.add_argument(name, action="append", default=[])
    known.add_argument("image")
    known.add_argument("command", nargs=argparse.REMAINDER)
    return known


def _run(told: list[str], images: list[str], container: list[str]) -> None:
    asked = _options().parse_args(told)
    if asked.image not in images:
        _fail(f"Error response from daemon: No such image: {asked.image}", 125)
    loose = [
        words
        for holds, words in (
            (asked.network == "none", "it has a network"),
            (asked.cap_drop == ["ALL"], "it has capabilities"),
            ("no-new-privileges" in asked.security_opt, "it may gain privileges"),
            (asked.read_only, "its system can be written"),
            (asked.memory and asked.memory == asked.memory_swap, "its memory has no limit"),
            (asked.pids_limit, "its processes have no limit"),
            (asked.user and not (os.geteuid() == 0 and asked.user.startswith("0")), "it is root"),
            (asked.log_driver == "none", "what it says is kept"),
        )
        if not holds
    ]
    if loose:
        _fail(f"this container is not what it should be: {', '.join(loose)}", 125)
    user, group = asked.user.split(":")
    argv = [*container, "--uid", user, "--gid", group]
    for place in asked.tmpfs:
        argv += ["--tmpfs", place.partition(":")[0]]
    for mount in asked.mount:
        facts = dict(part.partition("=")[::2] for part in mount.split(","))
        if facts.pop("type") != "bind" or not set(facts) <= {"source", "target", "readonly"}:
            _fail(f"invalid argument {mount!r} for --mount", 125)
        if not Path(facts["source"]).exists():
            words = f"bind source path does not exist: {facts['source']}"
            _fail(f'Error response from daemon: invalid mount config for type "bind": {words}', 125)
        if os.geteuid() == 0 and "readonly" not in facts:
            if Path(facts["source"]).stat().st_uid != int(user):
                _fail(f"{facts['source']} cannot be written by {asked.user}", 125)
            # Bubblewrap's user 1000 is whoever starts it.
            subprocess.run(["chown", "-R", "-h", "0:0", facts["source"]], check=True)
        argv += ["--ro-bind" if "readonly" in facts else "--bind", facts["source"], facts["target"]]
    for name, value in (one.split("=", 1) for one in asked.env):
        argv += ["--setenv", name, value]
    argv += ["--remount-ro", "/", "--chdir", asked.workdir, "--", asked.entrypoint, *asked.command]
    os.execv(argv[0], argv)
