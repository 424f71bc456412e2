"""Running a repository's checks on a clean checkout: side by side, each on a tree of its own."""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

from honk import __version__
from honk.model import Cancelled, Check, Checkout, CheckStatus, Completed
from honk.repository_file import RepositoryFile
from honk.verify.counting import passed_tests
from honk.verify.distil import distil, green_line
from honk.verify.failures import failures
from honk.verify.plan import Plan, Verifier
from honk.verify.reasons import reason
from honk.verify.remedies import remedy
from honk.verify.report_files import Told, told_of, without_earlier, written_reports
from honk.verify.room import ALONE, Conditions, Room, Trouble, concerning, missing_programs, prefix, untouched

_RAN = re.compile(r"^Ran (\d+) tests?\b", re.MULTILINE)
_STEADY = ("format", "lint", "types")
"""Kinds of checks that say the same each time: what they found is not tried again."""
_TELLING = frozenset(("unittest", "go test", "cargo test", "mvn", "gradle", "swift test", "bazel"))
"""Runners that always tell how many tests passed, as Honk calls them: saying nothing, none did."""
_MOST_THREADS = 32
_CHECK_BYTES = 2 * 1024**3
"""Memory that is reckoned with for each check that runs beside others."""
_LOOK = 0.1
"""Seconds between two looks at whether somebody wants to stop, while a check waits for its turn."""


def checks_at_once() -> int:
    """How many checks this machine runs side by side where nobody says: one for each processor, as far as there are
    2 GiB of memory for each."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(1, min(processors, memory // _CHECK_BYTES))


class Earlier(Protocol):
    """What is known from earlier runs, and where this one's results and logs are kept."""

    def find(self, verifier: str) -> Check | None:
        """What the verifier with this digest found on the same tree, if that may be reused."""
        ...

    def keep(self, check: Check) -> None:
        """Keep what `check.verifier` found."""
        ...

    def keep_log(self, output: str) -> str:
        """Keep what a check printed; the SHA-256 of that."""
        ...


def verify(
    checkout: Checkout,
    file: RepositoryFile,
    conditions: Conditions = ALONE,
    *,
    changed: Collection[str] | None = None,
    on_plan: Callable[[Plan], None] = lambda _: None,
    on_start: Callable[[Verifier], None] = lambda _: None,
    on_finish: Callable[[Check], None] = lambda _: None,
    earlier: Earlier | None = None,
    only: Collection[str] | None = None,
    turns: threading.Semaphore | None = None,
) -> list[Check]:
    """Set up, then run every check, or `only` those named; a red one does not keep the others from running.

    `changed` are the paths that the change touches; projects that it has nothing to do with are left out, and told as
    one skipped check.

    They run side by side, as many at once as `turns` lets, each on a tree of its own over what the set-up left and what
    the checks left that it comes after. One that fails is run once more: passing then, it is flaky. The results come in
    the order of the plan; `on_start` and `on_finish` are told of them as they come, in threads of their own. Raises
    `Cancelled` when `conditions.stop()` turns true; then nothing runs any longer.
    """
    room = Room.of(checkout, file, conditions, changed)
    on_plan(room.plan)
    verifiers = _wanted(room.plan.verifiers, only)
    results = [untouched(room.plan)] if room.plan.untouched and only is None else []
    for check in results:
        on_finish(check)
    if not verifiers:
        return results
    run = _Run(room, on_start, on_finish, earlier, turns or threading.Semaphore(checks_at_once()))
    digests = _digests(room, verifiers) if earlier else {}
    found = {one.name: known for one in verifiers if (known := earlier and earlier.find(digests[one.name]))}
    # What others stand on has to be there, known or not.
    needed = {name for one in verifiers if one.name not in found for name in one.after}
    found = {name: check for name, check in found.items() if name not in needed}
    for check in found.values():
        on_finish(check)
    left = [one for one in verifiers if one.name not in found]
    if not left:
        return [*results, *(found[one.name] for one in verifiers)]
    trouble = room.set_up(on_start)
    for one in trouble:
        on_finish(one.check)
        results.append(one.check)
    if not all(one.check.green for one in trouble):
        made = {one.name: _skipped(one, "Not run, because the set-up failed.") for one in left}
        for check in made.values():
            on_finish(check)
    else:
        made = run.all(left, digests, trouble)
    return [*results, *((found | made)[one.name] for one in verifiers)]


def _wanted(verifiers: Sequence[Verifier], only: Collection[str] | None) -> list[Verifier]:
    """Those that are asked for and those they come after. Where nobody said so, whatever may read what a build makes
    comes after the builds above it in the same folder."""
    ordered: list[Verifier] = []
    for one in verifiers:
        above = [other.name for other in ordered if other.name in one.after]
        if not one.after and _kind(one) not in _STEADY:
            above = [other.name for other in ordered if _kind(other) == "build" and other.directory == one.directory]
        ordered.append(replace(one, after=tuple(above)))
    if only is None:
        return ordered
    wanted = set(only)
    for one in reversed(ordered):
        if one.name in wanted:
            wanted.update(one.after)
    return [one for one in ordered if one.name in wanted]


def _kind(verifier: Verifier) -> str:
    """What it is for, by its name where nobody said."""
    return verifier.kind or verifier.name.rpartition(" ")[2]


def _digests(room: Room, verifiers: Sequence[Verifier]) -> dict[str, str]:
    """Of each verifier, a name for all that decides its result besides the tree."""
    ground = {
        "honk": __version__,
        "set_up": room.set_up_key,
        "egress": sorted(room.egress),
        "nested": room.file.sandbox.nested,
    }
    found: dict[str, str] = {}
    for one in verifiers:
        own = [one.name, one.command, one.directory, one.timeout, one.registries, one.configured]
        facts = ground | {
            "verifier": own,
            "path": prefix(room.plan, one.directory),
            "after": [found[name] for name in one.after],
        }
        found[one.name] = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return found


@dataclass(frozen=True)
class _Run:
    """One verification under way."""

    room: Room
    on_start: Callable[[Verifier], None]
    on_finish: Callable[[Check], None]
    earlier: Earlier | None
    turns: threading.Semaphore
    halted: threading.Event = field(default_factory=threading.Event)
    """Set once something went wrong besides a red check: then the others are ended, too."""

    def all(
        self, verifiers: Sequence[Verifier], digests: Mapping[str, str], trouble: Sequence[Trouble]
    ) -> dict[str, Check]:
        """Run them, each once those are done that it comes after."""
        missing = missing_programs(self.room.checkout, replace(self.room.plan, verifiers=verifiers), set_up=True)
        stood_on = {name for one in verifiers for name in one.after}
        # Where trees have no layers they share one, so there they go one after the other.
        threads = min(len(verifiers), _MOST_THREADS) if self.room.checkout.layered else 1
        lanes: dict[str, Future[tuple[Check, Checkout]]] = {}
        with ExitStack() as lasting, ThreadPoolExecutor(threads, "honk-check") as pool:

            def one(verifier: Verifier) -> tuple[Check, Checkout]:
                before = [lanes[name].result()[1] for name in verifier.after]
                with ExitStack() as own:
                    stack = lasting if verifier.name in stood_on else own
                    try:
                        own_trouble = concerning(trouble, verifier.directory)
                        digest = digests.get(verifier.name, "")
                        return self._one(verifier, digest, missing, own_trouble, before, stack)
                    except BaseException:
                        self.halted.set()
                        raise

            try:
                for verifier in verifiers:
                    lanes[verifier.name] = pool.submit(one, verifier)
                wait(lanes.values())
            except BaseException:
                self.halted.set()
                raise
            faults = [fault for lane in lanes.values() if (fault := lane.exception())]
            # Whoever was ended because of another's fault has less to say than that one.
            for fault in sorted(faults, key=lambda fault: isinstance(fault, Cancelled)):
                raise fault
        return {name: lane.result()[0] for name, lane in lanes.items()}

    def _one(
        self,
        verifier: Verifier,
        digest: str,
        missing: Mapping[str, Sequence[str]],
        trouble: Check | None,
        before: Sequence[Checkout],
        stack: ExitStack,
    ) -> tuple[Check, Checkout]:
        if unable := _missing(verifier, missing, trouble):
            self.on_finish(unable)
            return unable, self.room.checkout
        with self._turn():
            self.on_start(verifier)
            tree = stack.enter_context(ExitStack())
            checkout, check, output = self._attempt(verifier, trouble, before, tree)
            if check.failures and _kind(verifier) not in _STEADY:
                tree.close()
                checkout, again, printed = self._attempt(verifier, trouble, before, stack)
                check = _flaky(check, again) if again.green else replace(check, seconds=check.seconds + again.seconds)
                output += f"\n\n--- run again ---\n\n{printed}"
        check = replace(check, verifier=digest)
        if self.earlier:
            check = replace(check, log=self.earlier.keep_log(output))
            if check.status in ("passed", "failed") and not trouble:
                self.earlier.keep(check)
        self.on_finish(check)
        return check, checkout

    def _attempt(
        self, verifier: Verifier, trouble: Check | None, before: Sequence[Checkout], stack: ExitStack
    ) -> tuple[Checkout, Check, str]:
        """Run it once, on a tree of its own that lasts as long as `stack`."""
        checkout = stack.enter_context(self.room.checkout.apart(before))
        began = time.time()
        done = self.room.apart(checkout, self._stop).run(
            verifier.name,
            prefix(self.room.plan, verifier.directory) + without_earlier(verifier) + verifier.command,
            verifier.timeout,
            directory=verifier.directory,
            registries=verifier.registries,
        )
        status = _status(verifier, done)
        told_so = told_of(checkout, verifier, began) if status == "passed" else Told()
        if status == "passed" and not told_so.doubt:
            tests = told_so.tests if told_so.tests is not None else passed_tests(done.output)
            if tests is None and not verifier.configured and _TELLING.intersection(verifier.tools):
                tests = 0
            green = replace(_result(verifier, done, status, green_line(done.output)), tests=tests)
            return checkout, green, done.output
        reports = written_reports(checkout, verifier, done, began)
        tool = f"{verifier.name} {verifier.command}"
        told = distil(done.output, self.room.conditions.characters, tool=tool, reports=reports)
        doubt = told_so.doubt
        summary = f"{doubt}\n{told}".rstrip() if doubt else reason(done, verifier.timeout, told)
        status = "failed" if doubt else status
        if trouble:
            summary = f"The set-up before it did not work, which may be why.\n{summary}"
        found = tuple(failures(done, reports)) if status == "failed" else ()
        return checkout, replace(_result(verifier, done, status, summary), failures=found), done.output

    def _stop(self) -> bool:
        return self.halted.is_set() or self.room.conditions.stop()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait until it may run beside what runs already. Raises `Cancelled` when there is no need to any more."""
        while not self.turns.acquire(timeout=_LOOK):
            if self._stop():
                raise Cancelled("Cancelled.")
        try:
            yield
        finally:
            self.turns.release()


def _status(verifier: Verifier, done: Completed) -> CheckStatus:
    if done.ended_by != "itself":
        return "error"
    return "failed" if done.exit_code != 0 or _ran_nothing(verifier, done) else "passed"


def _result(verifier: Verifier, done: Completed, status: CheckStatus, summary: str) -> Check:
    return Check(verifier.name, status, done.seconds, summary, verifier.command, verifier.why)


def _flaky(first: Check, again: Check) -> Check:
    """A check that failed and then passed on the same files."""
    return replace(
        again,
        status="flaky",
        seconds=first.seconds + again.seconds,
        failures=first.failures,
        summary=f"Failed, then passed when it was run again: {again.summary}\nThe first time:\n{first.summary}",
    )


def _skipped(verifier: Verifier, summary: str) -> Check:
    return Check(verifier.name, "skipped", 0.0, summary, verifier.command, verifier.why)


def _missing(verifier: Verifier, missing: Mapping[str, Sequence[str]], trouble: Check | None) -> Check | None:
    programs = missing.get(verifier.name)
    if not programs:
        return None
    told = "see what the set-up says." if trouble else remedy(programs)
    named = ", ".join(programs)
    verb = "is" if len(programs) == 1 else "are"
    return _skipped(verifier, f"{named} {verb} not installed on this machine, so this was not checked: {told}")


def _ran_nothing(verifier: Verifier, done: Completed) -> bool:
    """True for tests that were there but of which none ran: unittest calls that a success. What says nothing of how
    many ran was ended before they did, or was not unittest."""
    ran = _RAN.findall(done.output)
    return "unittest" in verifier.tools and not verifier.configured and not any(map(int, ran))
