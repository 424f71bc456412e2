"""Verification as the flow asks for it: on a clean checkout, bound to the commit, run once for what has not changed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from honk.flow.ports import rooms
from honk.flow.reach import reach_of
from honk.flow.view import check_view
from honk.gate import red
from honk.git import changed_paths, git
from honk.model import Check, Checkout, CheckStatus, Repository, Task
from honk.repository_file import RepositoryFile, parse_repository_file
from honk.store import Store
from honk.verify import names, new_failures

NO_CHECKS = Check(
    name="checks",
    status="skipped",
    seconds=0.0,
    summary="No checks were found in this repository: nothing but the diff speaks for this change. "
    "Name some under `verify:` in honk.yaml.",
    why="no verifier fits what the repository contains",
)
_COUNTS = ("verify", "tests")
"""Where the store remembers how many tests passed on the base."""
_MOST_FAILURES = 20
"""Names of failures that an event tells."""


def base_file(repository: Repository, commit: str) -> RepositoryFile:
    """`honk.yaml` as it stands on the base branch, never the change's own. Raises `UsageError` naming line and key."""
    return parse_repository_file(rooms().workspaces.read(repository, commit, "honk.yaml") or "")


def configuration_digest(repository: Repository, base: str, changed: Sequence[str]) -> str:
    """Names everything besides the commit that decides what the checks are. `changed` are the paths that differ from
    the base: what has nothing to do with them is not checked."""
    text = rooms().workspaces.read(repository, base, "honk.yaml") or ""
    facts = [
        "2",
        text,
        "\0".join([*rooms().settings.egress, *allowed_hosts(rooms().store, repository)]),
        "\0".join(changed),
    ]
    return hashlib.sha256("\0\0".join(facts).encode("utf-8", "surrogateescape")).hexdigest()


def allowed_hosts(store: Store, repository: Repository) -> list[str]:
    """The hosts that people have let the repository's commands reach."""
    return [f"{one.host}:{one.port}" for one in store.allowances(repository.name)]


def accepted_base(repository: Repository, base: str) -> str | None:
    """The base, where its honk.yaml lets land what fails there already; else None. For `red`."""
    return base if base_file(repository, base).merge.already_red == "allow" else None


def in_the_way(task: Task, checks: Sequence[Check], base: str | None = None) -> list[Check]:
    """Those of the results that keep the task's change from going on."""
    repository = _repository(task)
    return red(checks, accepted_base(repository, base or task.base_sha or ""))


def _repository(task: Task) -> Repository:
    repository = rooms().store.repository(task.repository)
    if repository is None:
        raise LookupError(task.repository)
    return repository


def verify_commit(
    task: Task, commit: str, *, stop: Callable[[], bool], source: Path | None = None, base: str | None = None
) -> list[Check]:
    """The checks' results on `commit`, from the store if they are there, run now if not. Those that fail are tried on
    the base, too."""
    room = rooms()
    repository = _repository(task)
    base = base or task.base_sha or ""
    source = source or room.workspaces.change_git_dir(task)
    changed = changed_paths(source, base, commit)
    configuration = configuration_digest(repository, base, changed)
    known = room.store.checks(repository.name, commit, configuration)
    if known and all(check.against in (None, base) for check in known):
        return known
    one = _Verification(task, repository, commit, base, source, changed, stop)
    place = one.place(configuration)
    checks = one.run(place)
    tree = git("rev-parse", f"{commit}^{{tree}}", directory=source)
    room.store.save_checks(repository.name, commit, configuration, checks, tree)
    green = not in_the_way(task, checks, base)
    room.store.record(task.id, "verify.finished", {"commit": commit, "green": green}, key=f"{place}:finished")
    return checks


def landed_with(repository: Repository, checks: Sequence[Check]) -> None:
    """Remember of checks on what the default branch has now how many tests pass."""
    for check in checks:
        if check.tests is not None and check.status in ("passed", "flaky"):
            _remember_count(repository, check, check.tests)


def _remember_count(repository: Repository, check: Check, tests: int) -> None:
    rooms().store.remember(*_COUNTS, _count_key(repository, check), {"tests": tests})


def _known_count(repository: Repository, check: Check) -> int | None:
    known = rooms().store.recall(*_COUNTS, _count_key(repository, check))
    return int(known["tests"]) if known else None


def _may_be_fewer(check: Check, known: int | None) -> bool:
    """Whether the base has to be tried to know."""
    return check.tests is not None if known is None else known > (check.tests or 0)


def _count_key(repository: Repository, check: Check) -> str:
    return hashlib.sha256("\0".join([repository.name, check.name, check.command]).encode()).hexdigest()


@dataclass(frozen=True)
class _Verification:
    """One commit's, on behalf of a task."""

    task: Task
    repository: Repository
    commit: str
    base: str
    source: Path
    changed: Sequence[str]
    stop: Callable[[], bool]

    def place(self, configuration: str) -> str:
        """Where its events are told, each once. A commit may be verified again: after a retry, or on another base."""
        prefix = f"check:{self.commit[:12]}:{configuration[:8]}:"
        return f"{prefix}{rooms().store.count_events(self.task.id, 'verify.finished', prefix)}"

    def run(self, place: str) -> list[Check]:
        room, task = rooms(), self.task
        told: dict[str, Check] = {}

        def on_start(name: str, command: str, why: str) -> None:
            data = {"name": name, "command": command, "why": why, "commit": self.commit}
            room.store.record(task.id, "check.started", data, key=f"{place}:{name}:started")

        def on_finish(check: Check) -> None:
            if check.status == "flaky":
                check = self._counted(check, f"{self.commit}:{place}")
            told[check.name] = check
            room.store.record(task.id, "check.finished", self._told(check), key=f"{place}:{check.name}:finished")

        found = self._checks(self.commit, self.source, place, ["passed"], on_start, on_finish)
        checks = [told[check.name] for check in found]
        if not checks:
            on_finish(NO_CHECKS)
            return [NO_CHECKS]
        return self._counted_against_base(self._against_base(checks, place), place)

    def _checks(
        self,
        commit: str,
        source: Path | None,
        place: str,
        reused: Collection[CheckStatus],
        on_start: Callable[[str, str, str], None] = lambda *_: None,
        on_finish: Callable[[Check], None] = lambda _: None,
        only: Collection[str] | None = None,
    ) -> Sequence[Check]:
        room, task = rooms(), self.task
        reach = reach_of(task, "checks", place)
        with room.workspaces.checkout(
            self.repository, commit, source=source, unsafe=task.unsafe, reach=reach
        ) as checkout:
            return room.verification(
                checkout,
                base_file(self.repository, self.base),
                changed=self.changed,
                on_start=on_start,
                on_finish=on_finish,
                stop=self.stop,
                earlier=EarlierResults(
                    room.store,
                    self.repository.name,
                    checkout,
                    [*allowed_hosts(room.store, self.repository), *(["no sandbox"] if task.unsafe else [])],
                    reused,
                    room.settings.checks_cache_hours,
                ),
                only=only,
            )

    def _counted(self, check: Check, key: str) -> Check:
        """A flaky check with how often it was so in this repository."""
        times = rooms().store.note_flaky(self.repository.name, check.name, key)
        often = "" if times == 1 else f" ({times} times in this repository)"
        return replace(check, summary=f"Flaky{often}. {check.summary}")

    def _told(self, check: Check) -> dict[str, object]:
        return check_view(check) | {"commit": self.commit, "failures": list(check.failures[:_MOST_FAILURES])}

    # -- red before? -------------------------------------------------------------------------------------------------

    def _against_base(self, checks: Sequence[Check], place: str) -> list[Check]:
        """The results, of which those that fail in the same way on the base are not the change's."""
        failed = [check.name for check in checks if check.status == "failed" and check.failures]
        if not failed or self.commit == self.base:
            return list(checks)
        before = self._on_base(failed, f"{place}:on-base", f"{place}:base")
        compared = [
            self._compared(check, before.get(check.name)) if check.name in failed else check for check in checks
        ]
        for check in compared:
            if check.status == "already_red":
                rooms().store.record(
                    self.task.id, "check.already_red", self._told(check), key=f"{place}:{check.name}:already-red"
                )
        return compared

    def _compared(self, check: Check, before: Check | None) -> Check:
        where = f"{self.repository.default_branch} ({self.base[:8]})"
        if before is None or before.status != "failed":
            return check
        if added := new_failures(check.failures, before.failures):
            what = names(added)
            new = f"new here: {what}" if what else "but not in the same way"
            return replace(check, summary=f"Red on {where}, too; {new}.\n{check.summary}")
        what = names(check.failures)
        failing = f": {what}" if what else ""
        summary = f"Already red on {where}, in the same way{failing}.\n{check.summary}"
        return replace(check, status="already_red", against=self.base, summary=summary)

    # -- fewer tests than before? ------------------------------------------------------------------------------------

    def _counted_against_base(self, checks: Sequence[Check], place: str) -> list[Check]:
        """The results, of which those say so in which fewer tests passed than on the base: code under test can keep
        tests from running. The base is tried where it is not known that as many passed as ever did there."""
        if self.base != self.task.base_sha or self.commit == self.base:
            return list(checks)
        known = {
            check.name: _known_count(self.repository, check) for check in checks if check.status in ("passed", "flaky")
        }
        fewer = [check for check in checks if check.name in known and _may_be_fewer(check, known[check.name])]
        if not fewer:
            return list(checks)
        names = [check.name for check in fewer]
        below = self._on_base(names, f"{place}:counted-on-base", f"{place}:counted", counted=True)
        before = {name: check.tests or 0 for name, check in below.items()}
        for check in fewer:
            if known[check.name] is None and (check.name not in below or below[check.name].green):
                _remember_count(self.repository, check, before.get(check.name, 0))
        return [
            replace(check, tests_on_base=before[check.name])
            if check in fewer and before.get(check.name, 0) > (check.tests or 0)
            else check
            for check in checks
        ]

    def _on_base(self, names: Sequence[str], key: str, place: str, **more: bool) -> dict[str, Check]:
        """What these checks find on the base, by name. That they are tried there is told under `key`."""
        told = {"names": names, "base": self.base, "branch": self.repository.default_branch, "commit": self.commit}
        rooms().store.record(self.task.id, "check.on_base", told | more, key=key)
        found = self._checks(self.base, None, place, ["passed", "failed"], only=names)
        return {check.name: check for check in found}


@dataclass(frozen=True)
class EarlierResults:
    """Implements `verify.Earlier` on the store: for a checkout's tree, where what was `allowed` besides is the same. A
    result is taken over if its status is among `reused` and it is not older than so many `hours`."""

    store: Store
    repository: str
    checkout: Checkout
    allowed: Sequence[str] = ()
    reused: Collection[CheckStatus] = ()
    hours: float = 0.0

    def find(self, verifier: str) -> Check | None:
        """See `Earlier.find`."""
        if not self.reused or not self.hours:
            return None
        found = self.store.result(self.repository, self.checkout.tree, self._key(verifier), self.hours)
        return replace(found, verifier=verifier) if found and found.status in self.reused else None

    def keep(self, check: Check) -> None:
        """See `Earlier.keep`."""
        kept = replace(check, verifier=self._key(check.verifier))
        self.store.keep_result(self.repository, self.checkout.tree, self.checkout.commit, kept)

    def keep_log(self, output: str) -> str:
        """See `Earlier.keep_log`."""
        return self.store.keep_log(output)

    def _key(self, verifier: str) -> str:
        return hashlib.sha256("\0".join([verifier, *self.allowed]).encode()).hexdigest()
