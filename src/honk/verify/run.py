"""Running a repository's checks on a clean checkout."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from honk.model import Cancelled, Check, Checkout, CheckStatus, Command, Completed, HonkError, Limits
from honk.repository_file import RepositoryFile
from honk.verify.detect import detect
from honk.verify.distil import BUDGET, distil, green_line, naming
from honk.verify.plan import PROBES, Plan, SetUp, Verifier
from honk.verify.registries import registry_environment, registry_hosts
from honk.verify.report_files import written_reports
from honk.verify.set_up_key import set_up_key

_SET_UP_SECONDS = 1_200.0
_END = 4_000
"""Characters at the end of an output in which its last words are looked for."""
_RAN = re.compile(r"^Ran (\d+) tests?\b", re.MULTILINE)
_NOT_FOUND = re.compile(r"(?:^|[\s:])([^\s:]+): (?:command )?not found\s*$", re.MULTILINE)
_NO_NETWORK = re.compile(
    r"could not resolve host|name resolution|name or service not known|nodename nor servname|\bENOTFOUND\b|EAI_AGAIN|"
    r"UnknownHostException|network is unreachable|\bENETUNREACH\b|no such host",
    re.IGNORECASE,
)

_SIGNALS = {
    137: "It was killed by the system, most likely because memory ran out.",
    153: "It wrote a file longer than one may be: let it write less, or raise HONK_SANDBOX_FILE_SIZE.",
    159: "It made a system call that a sandbox does not have, as programs for another kind of processor do.",
}
"""What to say of a command that a signal ended, by 128 + the signal."""


@dataclass(frozen=True)
class _Room:
    """What every command of one verification has in common. `prefix` goes in front of its shell line."""

    checkout: Checkout
    egress: Sequence[str]
    stop: Callable[[], bool]
    log: Callable[[str, str], None] | None
    nested: bool
    prefix: str = ""
    registries: Sequence[str] | None = None
    characters: int = BUDGET

    def run(
        self,
        name: str,
        line: str,
        seconds: float,
        *,
        directory: str = ".",
        registries: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> Completed:
        """Run a shell line. Raises `Cancelled` when `stop()` is or turns true."""
        if self.stop():
            raise Cancelled("Cancelled.")
        log = self.log
        fetching = registry_environment() if registries else {}
        command = Command(
            ("sh", "-c", self.prefix + line),
            environment={"CI": "true"} | fetching | dict(environment or {}),
            directory=directory,
            egress=tuple(dict.fromkeys([*self.egress, *(registry_hosts(self.registries) if registries else ())])),
            limits=Limits(seconds=seconds),
            nested=self.nested,
        )
        on_output = (lambda chunk: log(name, chunk)) if log else None
        done = self.checkout.run(command, on_output=on_output, stop=self.stop)
        if done.ended_by == "cancel":
            raise Cancelled("Cancelled.")
        return done


def verify(
    checkout: Checkout,
    file: RepositoryFile,
    *,
    settings_egress: Sequence[str] = (),
    registries: Sequence[str] | None = None,
    on_start: Callable[[Verifier], None] = lambda _: None,
    on_finish: Callable[[Check], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
    log: Callable[[str, str], None] | None = None,
    characters: int = BUDGET,
) -> list[Check]:
    """Set up, then run every check, one after the other; a red one does not keep the next from running.

    `settings_egress` are hosts that every repository's commands may reach, `registries` what `registry_hosts` is asked
    with. `log` gets a check's name and its output
    as it comes, whole and unmasked. `characters` of a failure are told. Raises `Cancelled` when `stop()` turns true.
    """
    plan = detect(checkout, file)
    if not plan.verifiers:
        return []
    results: list[Check] = []

    def tell(check: Check) -> None:
        on_finish(check)
        results.append(check)

    room = _Room(
        checkout,
        [*file.egress, *settings_egress],
        stop,
        log,
        file.sandbox.nested,
        registries=registries,
        characters=characters,
    )
    trouble = _set_up(room, plan, on_start)
    if trouble:
        tell(trouble)
    room = replace(room, prefix=_prefix(plan))
    blocked = trouble is not None and not trouble.green
    present = set() if blocked else _present(checkout, plan, room.prefix)
    for verifier in plan.verifiers:
        on_start(verifier)
        if blocked:
            tell(_skipped(verifier, "Not run, because the set-up failed."))
        else:
            tell(_missing(verifier, present, trouble) or _run(room, verifier, trouble))
    return results


@dataclass(frozen=True)
class Prepared:
    """What a shell line needs after the set-up: what goes in front of it, hosts it may reach, its environment, and
    whether it may make user namespaces."""

    prefix: str
    egress: Sequence[str]
    environment: Mapping[str, str]
    nested: bool


def prepare(
    checkout: Checkout,
    file: RepositoryFile,
    *,
    settings_egress: Sequence[str] = (),
    registries: Sequence[str] | None = None,
    stop: Callable[[], bool] = lambda: False,
    log: Callable[[str], None] = lambda _: None,
) -> Prepared:
    """Do for a build the set-up that the repository's checks get; dependencies, mostly.

    Raises `HonkError` when a set-up that honk.yaml names fails. Without one that was only detected, the build is tried.
    """
    plan = detect(checkout, file)
    nested = file.sandbox.nested
    room = _Room(
        checkout, [*file.egress, *settings_egress], stop, lambda _, chunk: log(chunk), nested, registries=registries
    )
    trouble = _set_up(room, plan, lambda _: None)
    if trouble and not trouble.green:
        raise HonkError(f"The set-up before the build failed (`{trouble.command}`):\n{trouble.summary}")
    hosts = tuple(dict.fromkeys([*room.egress, *registry_hosts(registries)]))
    return Prepared(_prefix(plan), hosts, registry_environment(), nested)


def equip(
    checkout: Checkout,
    file: RepositoryFile,
    *,
    settings_egress: Sequence[str] = (),
    on_start: Callable[[Verifier], None] = lambda _: None,
    on_trouble: Callable[[Check], None] = lambda _: None,
    registries: Sequence[str] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> str | None:
    """Do the set-up of a repository's checks where an agent will work: what goes in front of PATH then, or None if it
    failed, which is told and keeps nobody from working. Raises `Cancelled` when `stop()` turns true."""
    plan = detect(checkout, file)
    room = _Room(checkout, [*file.egress, *settings_egress], stop, None, file.sandbox.nested, registries=registries)
    if trouble := _set_up(room, plan, on_start):
        on_trouble(trouble)
        return None
    return _in_front_of_path(plan)


def _set_up(room: _Room, plan: Plan, on_start: Callable[[Verifier], None]) -> Check | None:
    """Run the set-up steps, unless what they leave is there from before; a check only if one failed.

    One that honk.yaml names is red then. One that was only detected is told, and what can run without it still runs.
    """
    if not plan.set_up:
        return None
    trouble: list[Check] = []

    def run() -> bool:
        trouble.extend(_run_set_up(room, plan, on_start))
        return not trouble

    room.checkout.set_up(set_up_key(plan.set_up, room.checkout, room.egress), run)
    return trouble[0] if trouble else None


def _run_set_up(room: _Room, plan: Plan, on_start: Callable[[Verifier], None]) -> Iterator[Check]:
    """The first step's trouble, if one has any."""
    for number, step in enumerate(plan.set_up):
        name = "set-up" if number == 0 else f"set-up {number + 1}"
        on_start(Verifier(name, step.command, step.why, timeout=_SET_UP_SECONDS, configured=step.configured))
        done = room.run(name, step.command, _SET_UP_SECONDS, registries=True)
        if done.exit_code == 0 and done.ended_by == "itself":
            continue
        yield _set_up_trouble(room, name, step, done)
        return


def _set_up_trouble(room: _Room, name: str, step: SetUp, done: Completed) -> Check:
    summary = _reason(done, _SET_UP_SECONDS, distil(done.output, room.characters, tool=step.command))
    if not step.configured:
        summary = f"The dependencies could not be set up; name `setup` in honk.yaml to do it your way.\n{summary}"
    status: CheckStatus = "skipped"
    if step.configured:
        status = "failed" if done.ended_by == "itself" else "error"
    return Check(name, status, done.seconds, summary, step.command, step.why)


def _prefix(plan: Plan) -> str:
    folders = _in_front_of_path(plan)
    return f'export PATH="{folders}:$PATH"; ' if folders else ""


def _in_front_of_path(plan: Plan) -> str:
    return ":".join(step.path for step in plan.set_up if step.path)


def _present(checkout: Checkout, plan: Plan, prefix: str) -> set[str]:
    """Which of the needed programs are there."""
    wanted = sorted({program for verifier in plan.verifiers for program in verifier.needs})
    if not wanted:
        return set()
    asked = "; ".join(
        f"{PROBES.get(name, f'command -v {shlex.quote(name)}')} >/dev/null 2>&1 && echo {shlex.quote(name)}"
        for name in wanted
    )
    return set(checkout.run(Command(("sh", "-c", f"{prefix}{asked}; true"))).output.split())


def _skipped(verifier: Verifier, summary: str) -> Check:
    return Check(verifier.name, "skipped", 0.0, summary, verifier.command, verifier.why)


def _missing(verifier: Verifier, present: set[str], trouble: Check | None) -> Check | None:
    missing = [program for program in verifier.needs if program not in present]
    if not missing:
        return None
    remedy = "install it here, or say in honk.yaml how to check (`setup`, `verify`)."
    if trouble:
        remedy = "see what the set-up says."
    named = ", ".join(missing)
    verb = "is" if len(missing) == 1 else "are"
    return _skipped(verifier, f"{named} {verb} not installed on this machine, so this was not checked: {remedy}")


def _run(room: _Room, verifier: Verifier, trouble: Check | None) -> Check:
    began = time.time()
    done = room.run(
        verifier.name,
        verifier.command,
        verifier.timeout,
        directory=verifier.directory,
        registries=verifier.registries,
    )
    status: CheckStatus = "passed"
    if done.ended_by != "itself":
        status = "error"
    elif done.exit_code != 0 or _ran_nothing(verifier, done):
        status = "failed"
    if status == "passed":
        summary = green_line(done.output)
    else:
        reports = written_reports(room.checkout, verifier, done, began)
        tool = f"{verifier.name} {verifier.command}"
        summary = _reason(done, verifier.timeout, distil(done.output, room.characters, tool=tool, reports=reports))
        if trouble:
            summary = f"The set-up before it did not work, which may be why.\n{summary}"
    return Check(verifier.name, status, done.seconds, summary, verifier.command, verifier.why)


def _ran_nothing(verifier: Verifier, done: Completed) -> bool:
    """True for tests that were there but of which none ran: unittest calls that a success."""
    ran = _RAN.findall(done.output)
    return verifier.name == "unittest" and not verifier.configured and bool(ran) and not any(map(int, ran))


def _reason(done: Completed, seconds: float, told: str) -> str:
    end = f"{told}\n{done.output[-_END:]}"
    parts = []
    if done.ended_by == "time limit":
        parts.append(f"It took longer than {seconds:g} s and was ended.")
    elif done.excess:
        parts.append(done.excess.sentence)
    elif done.exit_code == 127:
        found = _NOT_FOUND.search(end)
        named = f", {found[1]}" if found else ""
        parts.append(f"A program is missing on this machine{named}: install it, or have `setup` in honk.yaml do so.")
    elif done.exit_code == 126:
        parts.append(
            "A file may not be executed: mark it (`git update-index --chmod=+x FILE`) or name its interpreter."
        )
    elif done.exit_code == 0:
        parts.append("There are test files, but no test ran: say in honk.yaml how to run them (`verify`).")
    elif done.exit_code in _SIGNALS:
        parts.append(_SIGNALS[done.exit_code])
    for host in done.refused_hosts:
        said = naming(done.output, host.partition(":")[0])
        quoted = f" It said: {said}" if said and said not in told else ""
        parts.append(f"It tried to reach {host}, which is not in `egress` of honk.yaml.{quoted}")
    if not done.refused_hosts and _NO_NETWORK.search(end):
        parts.append("It has no network: name the hosts it needs under `egress` in honk.yaml.")
    parts.append(told or f"It ended with {done.exit_code} and printed nothing.")
    return "\n".join(parts)
