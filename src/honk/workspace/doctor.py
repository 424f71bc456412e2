"""What this machine can and cannot do for workspaces, each with its remedy. Everything is tried, nothing assumed."""

from __future__ import annotations

import platform
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from pydantic import SecretStr

from honk.git import git
from honk.model import Command, Completed, HonkError, Limits
from honk.settings import Settings
from honk.workspace.cgroups import places
from honk.workspace.overlays import overlay_refusal, sharing_works
from honk.workspace.sandbox import Backend, Sandbox, backend, backends
from honk.workspace.seccomp import supported

_GIT = (2, 38)


def promises(settings: Settings) -> list[tuple[str, bool, str]]:
    """Rows of name, whether it holds here, and what to do or know if it does not."""
    checks: dict[str, Callable[[Settings], str]] = {
        "sandbox": _sandbox,
        "git": lambda _: _git(),
        "gateway": _gateway,
    }
    chosen = backend(settings)
    local: dict[str, Callable[[Settings], str]] = {
        "overlay": _overlay,
        "system-call filter": _filter,
        "limits by watching": _watching,
        "memory limit by control group": lambda _: _grouped("memory"),
        "process limit by control group": lambda _: _grouped("pids"),
    }
    remedies = {name: check(settings) for name, check in (checks | (local if chosen.name == "local" else {})).items()}
    rows = [(name, not remedy, remedy) for name, remedy in remedies.items()]
    # A cluster is only asked where somebody says so: it would be given a policy.
    others = [one for one in backends(settings) if one.name not in (chosen.name, "kubernetes")]
    return [*rows, *(_instead(one, settings) for one in others)]


def _sandbox(settings: Settings) -> str:
    chosen = backend(settings)
    if (refusal := chosen.refusal(settings)) is None:
        return ""
    if settings.sandbox == "auto":
        return f"{refusal} Docker or Podman would do instead: docs/sandboxes.md."
    return f"{refusal} (HONK_SANDBOX is {chosen.name}: docs/sandboxes.md.)"


def _instead(other: Backend, settings: Settings) -> tuple[str, bool, str]:
    """What else sandboxes could be made of here."""
    refusal = other.refusal(settings)
    found = f"Not needed: HONK_SANDBOX={other.name} would make sandboxes of it. {refusal}" if refusal else ""
    return f"sandboxes of {other.name}", refusal is None, found


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


def _filter(settings: Settings) -> str:
    if not supported():
        return f"There is no system-call filter for {platform.machine()}; the namespaces and limits hold without it."
    told = _tried(settings, "cat /proc/self/status", Limits(seconds=30.0))
    if isinstance(told, str) or "Seccomp:\t2" in told.output:
        return told if isinstance(told, str) else ""
    return "The kernel does not take the system-call filter: run Honk on one with CONFIG_SECCOMP_FILTER."


def _watching(settings: Settings) -> str:
    told = _tried(settings, "while :; do :; done", Limits(seconds=10.0, cpu_seconds=0.05))
    if isinstance(told, str) or told.ended_by == "cpu limit":
        return told if isinstance(told, str) else ""
    return (
        "A sandbox's processes cannot be counted from outside, so only time, single processes and what control groups "
        "keep are limited: run Honk on Linux 5.3 or newer, as a user who may see its own processes in /proc."
    )


def _grouped(controller: str) -> str:
    if controller in places():
        return ""
    return (
        "It is kept by watching, a moment later than the kernel would: run Honk as a systemd service with "
        "`Delegate=yes`, or with `systemd-run --user --scope -p Delegate=yes honk up`."
    )


def _tried(settings: Settings, line: str, limits: Limits) -> Completed | str:
    """How a command in a sandbox ended, or why there is none."""
    with tempfile.TemporaryDirectory() as folder:
        tree, own = Path(folder, "tree"), Path(folder, "home")
        tree.mkdir()
        own.mkdir()
        try:
            return Sandbox(settings, tree, own).run(Command(("sh", "-c", line), limits=limits))
        except (HonkError, OSError) as error:
            return f"It cannot be tried without a sandbox ({error})"


def _overlay(settings: Settings) -> str:
    if (refusal := overlay_refusal(settings.home)) is None:
        return ""
    instead = (
        "share their blocks with one that is kept" if sharing_works(settings.home) else "are checked out each time"
    )
    return (
        f"Trees cannot be put together in layers here ({refusal}), so they {instead} and nothing else changes: a "
        "home on a local disk and Linux 5.11 or newer have layers."
    )
