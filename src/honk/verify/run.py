"""Running a repository's checks on a clean checkout."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence

from honk.model import Cancelled, Check, Checkout, Command, Completed, Limits
from honk.repository_file import RepositoryFile
from honk.verify.detect import detect
from honk.verify.distil import distil, green_line
from honk.verify.plan import Plan, SetUp, Verifier
from honk.verify.registries import registry_hosts

_SET_UP_SECONDS = 1_200.0


def verify(
    checkout: Checkout,
    file: RepositoryFile,
    *,
    settings_egress: Sequence[str] = (),
    on_start: Callable[[Verifier], None] = lambda _: None,
    on_finish: Callable[[Check], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> list[Check]:
    """Set up, then run every check, one after the other; a red one does not keep the next from running.

    `settings_egress` are hosts that every repository's commands may reach. Raises `Cancelled` when `stop()` turns true.
    """
    plan = detect(checkout, file)
    if not plan.verifiers:
        return []
    egress = [*file.egress, *settings_egress]
    results: list[Check] = []
    trouble: str | None = None
    for number, set_up in enumerate(plan.set_up):
        check = _set_up(checkout, set_up, [*egress, *registry_hosts()], on_start, stop, number)
        if check:
            on_finish(check)
            results.append(check)
            trouble = check.summary
    prefix = _path(plan)
    present = _present(checkout, plan, prefix)
    for verifier in plan.verifiers:
        on_start(verifier)
        check = _missing(verifier, present, trouble) or _run(checkout, verifier, egress, prefix, stop)
        on_finish(check)
        results.append(check)
    return results


def explain(checks: Sequence[Check]) -> str:
    """What the agent and the person get to read: a line when all is green, else the reasons and nothing more."""
    red = [check for check in checks if not check.green]
    if not red:
        names = ", ".join(
            f"{check.name} ({check.summary.splitlines()[0]})" if check.summary else check.name for check in checks
        )
        return f"All checks are green: {names}." if checks else "There are no checks in this repository."
    return "\n\n".join(f"{check.name} is red (`{check.command}`):\n{check.summary}" for check in red)


def _set_up(
    checkout: Checkout,
    set_up: SetUp,
    egress: Sequence[str],
    on_start: Callable[[Verifier], None],
    stop: Callable[[], bool],
    number: int,
) -> Check | None:
    """Run a set-up step; a check only if it failed. A detected step that fails is told, but what can run still runs."""
    name = "set-up" if number == 0 else f"set-up {number + 1}"
    on_start(Verifier(name, set_up.command, set_up.why))
    command = Command(("sh", "-c", set_up.command), egress=egress, limits=Limits(seconds=_SET_UP_SECONDS))
    done = checkout.run(command, stop=stop)
    _raise_if_cancelled(done)
    if done.exit_code == 0 and done.ended_by == "itself":
        return None
    status = "failed" if set_up.configured else "skipped"
    summary = _reason(done, _SET_UP_SECONDS)
    if not set_up.configured:
        summary = f"The dependencies could not be set up; name `setup` in honk.yaml to do it your way.\n{summary}"
    return Check(name, status, done.seconds, summary, set_up.command, set_up.why)  # type: ignore[arg-type]


def _path(plan: Plan) -> str:
    """What goes in front of every check's shell line."""
    folders = [step.path for step in plan.set_up if step.path]
    return f'export PATH="{":".join(folders)}:$PATH"; ' if folders else ""


def _present(checkout: Checkout, plan: Plan, prefix: str) -> set[str]:
    """Which of the needed programs are there."""
    wanted = sorted({program for verifier in plan.verifiers for program in verifier.needs})
    if not wanted:
        return set()
    asked = "; ".join(f"command -v {shlex.quote(name)} >/dev/null 2>&1 && echo {shlex.quote(name)}" for name in wanted)
    module = "python3 -m pytest --version >/dev/null 2>&1 && echo pytest"
    line = f"{prefix}{asked}; {module}; true"
    return set(checkout.run(Command(("sh", "-c", line))).output.split())


def _missing(verifier: Verifier, present: set[str], trouble: str | None) -> Check | None:
    missing = [program for program in verifier.needs if program not in present]
    if not missing:
        return None
    reason = f"{', '.join(missing)} is not installed on this machine, so this was not checked"
    remedy = "install it here, or say in honk.yaml how to check (`setup`, `verify`)."
    if trouble:
        remedy = "see what the set-up says."
    return Check(verifier.name, "skipped", 0.0, f"{reason}: {remedy}", verifier.command, verifier.why)


def _run(
    checkout: Checkout,
    verifier: Verifier,
    egress: Sequence[str],
    prefix: str,
    stop: Callable[[], bool],
) -> Check:
    command = Command(
        ("sh", "-c", prefix + verifier.command),
        environment={"CI": "true"},
        directory=verifier.directory,
        egress=egress,
        limits=Limits(seconds=verifier.timeout),
    )
    done = checkout.run(command, stop=stop)
    _raise_if_cancelled(done)
    if done.exit_code == 0 and done.ended_by == "itself":
        summary = green_line(done.output)
        return Check(verifier.name, "passed", done.seconds, summary, verifier.command, verifier.why)
    status = "error" if done.ended_by == "time limit" else "failed"
    summary = _reason(done, verifier.timeout)
    return Check(verifier.name, status, done.seconds, summary, verifier.command, verifier.why)  # type: ignore[arg-type]


def _reason(done: Completed, seconds: float) -> str:
    parts = []
    if done.ended_by == "time limit":
        parts.append(f"It took longer than {seconds:.0f} s and was ended.")
    elif done.exit_code == 127:
        parts.append("A program is missing on this machine: install it, or have `setup` in honk.yaml do so.")
    for host in done.refused_hosts:
        parts.append(f"It tried to reach {host}, which is not in `egress` of honk.yaml.")
    parts.append(distil(done.output) or f"It ended with {done.exit_code} and printed nothing.")
    return "\n".join(parts)


def _raise_if_cancelled(done: Completed) -> None:
    if done.ended_by == "cancel":
        raise Cancelled("Cancelled.")
