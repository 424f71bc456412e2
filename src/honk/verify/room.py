"""Where a repository's commands run: in a checkout, after its set-up, under conditions that are the same for all."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from honk.model import Cancelled, Check, Checkout, CheckStatus, Command, Completed, HonkError, Limits
from honk.repository_file import RepositoryFile
from honk.settings import Settings
from honk.verify.detect import detect
from honk.verify.distil import BUDGET, distil
from honk.verify.plan import Plan, SetUp, Verifier, named
from honk.verify.reasons import reason
from honk.verify.registries import registry_environment, registry_hosts
from honk.verify.set_up_key import set_up_key
from honk.verify.tree import probe, within

_SET_UP_SECONDS = 1_200.0
_NAMED = 12
"""Projects that are named in one line."""


@dataclass(frozen=True)
class Conditions:
    """Under what a repository's commands run.

    `egress` are hosts that they may reach besides those that honk.yaml names, `registries` what `registry_hosts` is
    asked with. `log` gets a command's name and its output as it comes, whole and unmasked. Once `stop()` turns true,
    whatever runs is ended and `Cancelled` raised.
    """

    egress: Sequence[str] = ()
    registries: Sequence[str] | None = None
    stop: Callable[[], bool] = lambda: False
    log: Callable[[str, str], None] | None = None
    fresh: bool = False
    """Whether set-ups are made again that are there from before."""
    characters: int = BUDGET
    """What is told of a failure, at most."""

    @classmethod
    def of(
        cls,
        settings: Settings,
        stop: Callable[[], bool] = lambda: False,
        log: Callable[[str, str], None] | None = None,
        *,
        fresh: bool = False,
    ) -> Conditions:
        """Those that the installation's settings ask for."""
        return cls(settings.egress, settings.registries, stop, log, fresh, settings.distilled_characters)


ALONE = Conditions()
"""Nothing but what honk.yaml says."""


@dataclass(frozen=True)
class Room:
    """A checkout with what its repository asks for."""

    checkout: Checkout
    file: RepositoryFile
    conditions: Conditions
    plan: Plan

    @classmethod
    def of(
        cls,
        checkout: Checkout,
        file: RepositoryFile,
        conditions: Conditions,
        changed: Collection[str] | None = None,
    ) -> Room:
        """Look at what the checkout holds, and at what of it has to do with the paths that are `changed`."""
        plan = detect(checkout, file, changed=changed, egress=conditions.egress)
        if not checkout.layered:
            plan = replace(plan, set_up=[step for step in plan.set_up if not step.ahead])
        return cls(checkout, file, conditions, plan)

    @property
    def egress(self) -> Sequence[str]:
        return [*self.file.egress, *self.conditions.egress]

    @property
    def set_up_key(self) -> str:
        return set_up_key(self.plan.set_up, self.checkout, self.egress)

    def apart(self, checkout: Checkout, stop: Callable[[], bool]) -> Room:
        """The same in another checkout of the commit, with another reason to stop."""
        return replace(self, checkout=checkout, conditions=replace(self.conditions, stop=stop))

    def run(
        self,
        name: str,
        line: str,
        seconds: float,
        *,
        directory: str = ".",
        registries: bool = False,
        environment: Mapping[str, str] | None = None,
        readable: Mapping[str, Path] | None = None,
    ) -> Completed:
        """Run a shell line. Raises `Cancelled` when `stop()` is or turns true."""
        stop, log = self.conditions.stop, self.conditions.log
        if stop():
            raise Cancelled("Cancelled.")
        named = self.conditions.registries if registries else ()
        fetching, hosts = registry_environment(named), registry_hosts(named)
        command = Command(
            ("sh", "-c", line),
            environment={"CI": "true"} | fetching | dict(environment or {}),
            readable=readable or {},
            directory=directory,
            egress=tuple(dict.fromkeys([*self.egress, *hosts])),
            limits=Limits(seconds=seconds),
            nested=self.file.sandbox.nested,
        )
        done = self.checkout.run(command, on_output=(lambda chunk: log(name, chunk)) if log else None, stop=stop)
        if done.ended_by == "cancel":
            raise Cancelled("Cancelled.")
        return done

    def set_up(
        self, on_start: Callable[[Verifier], None] = lambda _: None, *, as_one: bool = False
    ) -> Sequence[Trouble]:
        """Run the set-up of each project, unless what it leaves is there from before; what failed.

        One that honk.yaml names is red then. One that was only detected is told, and what can run without it still
        runs. `as_one` keeps what all projects' set-ups leave together, for one that can stand on one only.
        """
        steps = sorted(self.plan.set_up, key=lambda step: step.ahead)
        groups: dict[object, list[SetUp]] = {}
        for step in steps:
            groups.setdefault(as_one or (step.directory, step.ahead), []).append(step)
        return [one for group in groups.values() for one in self._set_up(group, on_start)]

    def _set_up(self, steps: Sequence[SetUp], on_start: Callable[[Verifier], None]) -> Sequence[Trouble]:
        trouble: list[Trouble] = []

        def run() -> bool:
            trouble.extend(self._run_set_up(steps, on_start))
            return not spoils(trouble, steps)

        if self.conditions.fresh:
            run()
        else:
            self.checkout.set_up(set_up_key(steps, self.checkout, self.egress), run)
        return trouble

    def _run_set_up(self, steps: Sequence[SetUp], on_start: Callable[[Verifier], None]) -> Iterator[Trouble]:
        """What goes wrong. Nothing comes after that but what is fetched ahead, which needs no other step."""
        for step in steps:
            number = [one for one in self.plan.set_up if one.directory == step.directory].index(step)
            name = named("set-up" if number == 0 else f"set-up {number + 1}", step.directory)
            on_start(
                Verifier(name, step.command, step.why, step.directory, _SET_UP_SECONDS, configured=step.configured)
            )
            done = self._run_step(name, step)
            if done.exit_code or done.ended_by != "itself":
                told = distil(done.output, self.conditions.characters, tool=step.command)
                late = step.ahead and done.ended_by == "time limit"
                yield Trouble(step, _trouble(name, step, done, told), late)
                if not step.ahead:
                    return

    def _run_step(self, name: str, step: SetUp) -> Completed:
        with ExitStack() as stack:
            room = self
            if step.ahead:
                # What it builds on the way is of this commit, and nothing for others to stand on.
                checkout = stack.enter_context(self.checkout.apart(own_home=False))
                room = self.apart(checkout, self.conditions.stop)
            return room.run(
                name,
                step.command,
                _SET_UP_SECONDS,
                registries=True,
                directory=step.directory,
                readable=step.readable,
            )


@dataclass(frozen=True)
class Trouble:
    """A step of a set-up that failed, and what is told of it."""

    step: SetUp
    check: Check
    late: bool = False
    """True when it fetched ahead until its time was up: what it has fetched by then is as good."""


def concerning(trouble: Sequence[Trouble], directory: str) -> Check | None:
    """What is wrong with the set-up that a folder stands on. What could not be fetched ahead the checks fetch."""
    found = (one for one in trouble if not one.step.ahead and within(directory, one.step.directory))
    return next((one.check for one in found), None)


def spoils(trouble: Sequence[Trouble], steps: Sequence[SetUp]) -> bool:
    """Whether what these steps have left is not worth standing on: something failed, and not only what was fetched
    ahead beside what others did."""
    ahead = all(step.ahead for step in steps)
    return any(ahead or not one.step.ahead for one in trouble if not one.late)


def _trouble(name: str, step: SetUp, done: Completed, told: str) -> Check:
    summary = reason(done, _SET_UP_SECONDS, told)
    if step.ahead:
        summary = f"The dependencies could not be fetched ahead: the checks try it themselves.\n{summary}"
    elif not step.configured:
        summary = f"The dependencies could not be set up; name `setup` in honk.yaml to do it your way.\n{summary}"
    status: CheckStatus = "skipped"
    if step.configured:
        status = "failed" if done.ended_by == "itself" else "error"
    return Check(name, status, done.seconds, summary, step.command, step.why)


@dataclass(frozen=True)
class Prepared:
    """What a shell line needs after the set-up: what goes in front of it, hosts it may reach, its environment, and
    whether it may make user namespaces."""

    prefix: str
    egress: Sequence[str]
    environment: Mapping[str, str]
    nested: bool


def prepare(checkout: Checkout, file: RepositoryFile, conditions: Conditions = ALONE) -> Prepared:
    """Do for a build the set-up that the repository's checks get; dependencies, mostly.

    Raises `HonkError` when a set-up that honk.yaml names fails. Without one that was only detected, the build is tried.
    """
    room = Room.of(checkout, file, conditions)
    for check in (one.check for one in room.set_up()):
        if not check.green:
            raise HonkError(f"The set-up before the build failed (`{check.command}`):\n{check.summary}")
    hosts = tuple(dict.fromkeys([*room.egress, *registry_hosts(conditions.registries)]))
    return Prepared(prefix(room.plan), hosts, registry_environment(conditions.registries), file.sandbox.nested)


def equip(
    checkout: Checkout,
    file: RepositoryFile,
    conditions: Conditions = ALONE,
    *,
    on_start: Callable[[Verifier], None] = lambda _: None,
    on_trouble: Callable[[Check], None] = lambda _: None,
) -> str | None:
    """Do the set-up of a repository's checks where an agent will work: what goes in front of PATH then, or None if it
    failed, which is told and keeps nobody from working."""
    room = Room.of(checkout, file, conditions)
    trouble = room.set_up(on_start, as_one=True)
    for one in trouble:
        on_trouble(one.check)
    return None if spoils(trouble, room.plan.set_up) else in_front_of_path(room.plan)


def in_front_of_path(plan: Plan, directory: str | None = None) -> str:
    """What the set-ups of a folder and of those around it put there, the nearest first; of all where none is named."""
    steps = [step for step in plan.set_up if step.path and (directory is None or within(directory, step.directory))]
    if directory is not None:
        steps.sort(key=lambda step: -len(step.directory) if step.directory != "." else 0)
    return ":".join(dict.fromkeys(step.path for step in steps if step.path))


def prefix(plan: Plan, directory: str | None = None) -> str:
    """What goes in front of a shell line in a folder once the set-up is done."""
    folders = in_front_of_path(plan, directory)
    return f'export PATH="{folders}:$PATH"; ' if folders else ""


def missing_programs(checkout: Checkout, plan: Plan, *, set_up: bool = False) -> dict[str, list[str]]:
    """The programs that are needed and not there, by the name of the check. `set_up` tells that the set-up has run;
    before that, what it will bring counts as there."""
    needed: dict[str, set[str]] = {}
    for verifier in plan.verifiers:
        needed.setdefault(prefix(plan, verifier.directory), set()).update(verifier.needs)
    present = {
        first: set(checkout.run(Command(("sh", "-c", f"{first}{probe(sorted(names))}; true"))).output.split())
        for first, names in needed.items()
        if names
    }
    found: dict[str, list[str]] = {}
    for verifier in plan.verifiers:
        steps = [] if set_up else [step for step in plan.set_up if within(verifier.directory, step.directory)]
        there = {*present.get(prefix(plan, verifier.directory), ()), *(name for step in steps for name in step.brings)}
        if missing := [name for name in verifier.needs if name not in there]:
            found[verifier.name] = missing
    return found


def untouched(plan: Plan) -> Check:
    """What tells of the projects that a change has nothing to do with."""
    told = ", ".join(plan.untouched[:_NAMED])
    left = f" and {len(plan.untouched) - _NAMED} more" if plan.untouched[_NAMED:] else ""
    summary = f"Not checked, because neither they nor what they use is touched: {told}{left}."
    return Check("other projects", "skipped", 0.0, summary, why="the change does not touch them")
