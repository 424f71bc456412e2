"""What this machine can and cannot do for workspaces, each with its remedy. Everything is tried, nothing assumed."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from pydantic import SecretStr

from honk.git import git
from honk.model import HonkError
from honk.settings import Settings
from honk.workspace.sandbox import bwrap, probe

_GIT = (2, 38)


def promises(settings: Settings) -> list[tuple[str, bool, str]]:
    """Rows of name, whether it holds here, and what to do or know if it does not."""
    checks: dict[str, Callable[[Settings], str]] = {
        "sandbox": lambda _: probe() or "",
        "git": lambda _: _git(),
        "gateway": _gateway,
        "overlay": lambda _: _overlay(),
        "cgroups": lambda _: "Memory and process limits hold for each process, not for a command as a whole.",
    }
    remedies = {name: check(settings) for name, check in checks.items()}
    return [(name, not remedy, remedy) for name, remedy in remedies.items()]


def _git() -> str:
    try:
        words = git("--version")
    except HonkError as error:
        return str(error)
    found = re.search(r"(\d+)\.(\d+)", words)
    if found and (int(found[1]), int(found[2])) >= _GIT:
        return ""
    return f"Git {_GIT[0]}.{_GIT[1]} or newer is needed and this is {words.removeprefix('git version ')}: update it."


def _gateway(settings: Settings) -> str:
    from honk.workspace.egress import Egress
    from honk.workspace.gateway import ModelGateway

    key = settings.anthropic_api_key or SecretStr("none-yet")
    try:
        with ModelGateway(settings.model_copy(update={"anthropic_api_key": key})), Egress(()):
            return ""
    except (HonkError, OSError, ImportError) as error:
        return f"The gateway cannot start ({error}): see that the folder for temporary files can be written."


def _overlay() -> str:
    try:
        program = bwrap()
        with tempfile.TemporaryDirectory() as folder:
            lower, upper, work = (Path(folder, name) for name in ("lower", "upper", "work"))
            for path in (lower, upper, work):
                path.mkdir()
            options = ("--unshare-all", "--ro-bind", "/", "/", "--overlay-src", lower, "--overlay", upper, work, "/mnt")
            tried = subprocess.run(
                [str(program), *map(str, options), "--", "/bin/sh", "-c", "true"],
                env={},
                capture_output=True,
                timeout=30,
                check=False,
            )
            subprocess.run(["rm", "-rf", str(work / "work")], capture_output=True, check=False)
    except (HonkError, OSError, subprocess.TimeoutExpired) as error:
        return f"Overlays cannot be tried here ({error}); trees are checked out instead, and nothing else changes."
    if tried.returncode == 0:
        return ""
    return "The kernel refuses overlays to ordinary users; trees are checked out instead, and nothing else changes."
