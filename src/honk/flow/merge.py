"""From the tap to the default branch: exactly the commit that was tried, on the newest base, verified as it will land.

line_up → admit → compose → recheck → land … → confirm → announce …

Those who wait for the same repository go together as a train: each is put on the one before it, and the last, which
carries them all, is verified. If it is red, the first half is tried by itself, and so on, until what lands is green
or the one that is at fault is alone. The default branch only ever moves to what was verified.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from honk.flow.approvals import frozen_for, independent, permitted_by, untried
from honk.flow.attesting import attest_merge
from honk.flow.brief import change_title, commit_message
from honk.flow.engine import LANDINGS, TASKS, follow, step, workflow
from honk.flow.judging import judged_at, override_of
from honk.flow.ports import known_repository, rooms
from honk.flow.verification import accepted_base, base_file, in_the_way, landed_with, verify_commit
from honk.flow.warming import left_to
from honk.gate import (
    Judged,
    MergePermit,
    approvals_missing,
    check_access,
    check_tap,
    permit_merge,
    protected_paths,
)
from honk.git import git
from honk.model import Access, Conflict, HonkError, Landing, Person, Refused, Repository, State, Task
from honk.repository_file import RepositoryFile
from honk.verify import explain

TOGETHER = 32
"""How many changes are verified together at most."""
_TRIES = 3
"""How often a train is put together anew because the default branch moved meanwhile."""

Car = Mapping[str, Any]
"""One change of a train: `task_id`, `head_sha`, `attempt`, `person`, and once it is put together `base`, `sha` and
`unchanged` as in `Landing`, and the commit that the whole train is put `onto`."""


@workflow
def merge(repository: str) -> None:
    """A tap on Merge: everything that waits for the repository by now goes."""
    size, moved = TOGETHER, 0
    while train := line_up(repository, size):
        try:
            cars, failed = _assemble(repository, train)
        except HonkError as error:
            for car in train:
                _refuse(car, str(error))
            continue
        if failed and len(cars) == 1:
            _refuse(cars[0], failed)
        if failed or not cars:
            size = len(cars) // 2 or TOGETHER
            continue
        landed, moving = _land(cars)
        size, moved = min(2 * size, TOGETHER), moved + moving
        if landed:
            _announce(repository, cars, landed)
        if moved >= _TRIES:
            _refuse(cars[len(landed)], "Not merged: the default branch kept moving meanwhile. Tap Merge again.")
            moved = 0


def _assemble(repository: str, train: Sequence[Car]) -> tuple[Sequence[Car], str | None]:
    """Those who can go together, and why they may not, if the checks say so."""
    refused = dict(admit(train))
    for number, reason in refused.items():
        _refuse(train[number], reason)
    admitted = [car for number, car in enumerate(train) if number not in refused]
    if not admitted:
        return (), None
    made = compose(repository, admitted)
    for number, reason in made["conflicts"]:
        _refuse(admitted[number], reason, mend=True)
    cars = made["cars"]
    if not cars:
        return (), None
    failed, held = recheck(cars)
    for number, reason in held:
        _refuse(cars[number], reason)
    return () if held else cars, failed


def _land(cars: Sequence[Car]) -> tuple[list[str], bool]:
    """Let them land one after the other; the commits of those that did, and whether somebody else came between."""
    landed: list[str] = []
    for car in cars:
        try:
            sha = land(car, cars[-1]["sha"])
        except HonkError as error:
            _refuse(car, str(error), unknown=not isinstance(error, Refused), mend=isinstance(error, Conflict))
            return landed, False
        if sha is None:
            return landed, True
        landed.append(sha)
    return landed, False


def _announce(repository: str, cars: Sequence[Car], landed: Sequence[str]) -> None:
    """Say what landed, and deploy the last of it: it carries the others."""
    last = len(landed) - 1
    try:
        sound = confirm(cars[last], landed[last], cars[-1]["sha"])
    except HonkError:
        sound = False
    task_id, deploys = str(cars[last]["task_id"]), False
    for number, sha in enumerate(landed):
        base = landed[number - 1] if number else str(cars[0]["onto"])
        deploys = announce(cars[number], sha, sound, {"task": task_id, "sha": landed[last], "base": base})
    if (spares := rooms().spares) and (known := rooms().store.repository(repository)):
        spares.renew(known)
    if deploys:
        name, sha = repository, landed[last]
        follow("deploy", f"deploy:{name}:{sha}", LANDINGS, name, task_id, sha)


def _refuse(car: Car, reason: str, *, mend: bool = False, unknown: bool = False) -> None:
    """Take one out of the train, have it mended where that helps, and go on with the words that came meanwhile."""
    refuse(car, reason, mend, unknown)
    task_id, key = car["task_id"], f"{car['head_sha']}:{car['attempt']}"
    if mend:
        follow("update", f"update:{task_id}:{key}", TASKS, task_id, task_id, key)
    turn_id = f"turn:{task_id}:after:{key}"
    follow("turn", turn_id, TASKS, task_id, task_id, turn_id)


@step
def line_up(repository: str, size: int) -> list[Car]:
    """Those who wait for the repository, the first to tap first."""
    store = rooms().store
    waiting: list[Car] = []
    for task, tapped in store.merging(repository)[:size]:
        attempt = store.count_events(task.id, "merge.refused")
        waiting.append(
            {"task_id": task.id, "head_sha": tapped.data["head_sha"], "attempt": attempt, "person": tapped.person}
        )
    return waiting


@step
def admit(train: Sequence[Car]) -> list[tuple[int, str]]:
    """Who may not go as things stand, before anything is spent on them: their places in the train, and why."""
    refused: list[tuple[int, str]] = []
    for number, car in enumerate(train):
        task, repository = known_repository(car["task_id"])
        try:
            if not _has_landed(task, repository, car["head_sha"]):
                check_tap(task, car["head_sha"], State.MERGING)
                access = rooms().forges.of(repository).access(repository, Person(car["person"], car["person"]))
                check_access(access, "write", repository.name)
        except HonkError as error:
            refused.append((number, str(error)))
    return refused


@step
def compose(repository: str, train: Sequence[Car]) -> dict[str, Any]:
    """Put each change on the one before it, the first on the newest base. Those that contradict the base are left out
    as `conflicts`; those that contradict one before them wait for the next train."""
    room = rooms()
    known = known_repository(train[0]["task_id"])[1]
    base = room.workspaces.fetch(known)
    file = base_file(known, base)
    forge = room.forges.of(known)
    cars: list[Car] = []
    conflicts: list[tuple[int, str]] = []
    for number, car in enumerate(train):
        task = room.store.task(car["task_id"])

        def put_on(tip: str | None, task: Task = task, car: Car = car) -> Landing:
            return forge.compose(
                known,
                base=tip,
                head_sha=car["head_sha"],
                method=_method(task, known, file),
                message=commit_message(task),
                person=task.person,
                at=task.created_at.isoformat(),
            )

        try:
            landing = put_on(cars[-1]["sha"] if cars else None)
        except Conflict as conflict:
            try:
                put_on(None)
            except Conflict:
                conflicts.append((number, str(conflict)))
            continue
        cars.append({**car, **asdict(landing), "onto": base})
        if "honk.yaml" in forge.changed_paths(known, landing.base, landing.sha):
            # Whoever comes after it goes by what it says.
            break
    return {"cars": cars, "conflicts": conflicts}


@step
def recheck(cars: Sequence[Car]) -> tuple[str | None, list[tuple[int, str]]]:
    """Verify the commit that carries them all, as it will land, unless its tree is the tried one on the tried base; why
    they may not land, and if they may, whom the gate holds back all the same."""
    room = rooms()
    last = cars[-1]
    task, repository = known_repository(last["task_id"])
    if _as_tried(cars, task):
        return None, []
    for car in cars:
        told = {"sha": last["sha"], "together": len(cars)}
        room.store.record(car["task_id"], "merge.verifying", told, key=f"verifying:{last['sha']}:{car['attempt']}")
    checks = verify_commit(
        task,
        last["sha"],
        stop=lambda: False,
        source=room.forges.of(repository).git_dir(repository),
        base=last["onto"],
    )
    if failed := in_the_way(task, checks, last["onto"]):
        return f"Not merged: on the newest {repository.default_branch} the checks fail.\n{explain(failed)}", []
    return None, _held_back(cars) if len(cars) > 1 else []


@step
def land(car: Car, verified: str) -> str | None:
    """Advance the default branch, if nobody else has meanwhile; the commit that landed."""
    room = rooms()
    task, repository = known_repository(car["task_id"])
    file = base_file(repository, car["onto"])
    permit = _permit(car, task, repository, file, verified)
    told = {"head_sha": car["head_sha"], "sha": car["sha"]}
    key = f"permitted:{car['sha']}:{car['attempt']}"
    room.store.record(task.id, "merge.permitted", told, key=key, person=car["person"])
    return room.forges.of(repository).land(
        repository,
        permit,
        _landing(car),
        branch=task.branch or "",
        method=_method(task, repository, file),
        message=commit_message(task),
        tell=lambda words: _tell_waiting(car, words.strip()),
    )


def _tell_waiting(car: Car, words: str) -> None:
    key = f"land:{car['head_sha']}:{car['attempt']}:{words}"
    rooms().store.record(car["task_id"], "merge.progress", {"line": words[:200]}, key=key)


def _held_back(cars: Sequence[Car]) -> list[tuple[int, str]]:
    """Whom the gate would not let through now, asked of all before the first of them lands: a train that stops on its
    way leaves the default branch at a commit that nobody verified."""
    held: list[tuple[int, str]] = []
    for number, car in enumerate(cars):
        task, repository = known_repository(car["task_id"])
        try:
            _permit(car, task, repository, base_file(repository, car["onto"]), cars[-1]["sha"])
        except Refused as refused:
            held.append((number, str(refused)))
    return held


def _permit(car: Car, task: Task, repository: Repository, file: RepositoryFile, verified: str) -> MergePermit:
    """Ask everything that has to be so at this moment. `verified` is the commit whose checks speak for it."""
    room = rooms()
    forge, branch, head_sha = room.forges.of(repository), task.branch or "", str(car["head_sha"])
    pull_request = forge.pull_request(repository, branch)
    access: Access = "write"
    missing, obstacle, judged = None, None, Judged(head_sha)
    # Once it has landed, what let it through was asked before; somebody else's merge was never let through by Honk.
    if not (pull_request and pull_request.state == "merged" and permitted_by(room.store, task.id, head_sha)):
        if pull_request and pull_request.state == "merged":
            raise Refused("Somebody merged it on the forge meanwhile: Honk did not, and deploys nothing of it.")
        access = forge.access(repository, Person(car["person"], car["person"]))
        missing = (
            frozen_for(room.store, task, file)
            or untried(room.store, room.settings, task, file)
            or _missing_approvals(task, head_sha, file, _landing(car))
        )
        judged = judged_at(task, head_sha, file, left=left_to(task, file), only_if_binding=True)
        obstacle = forge.obstacle(repository, branch, head_sha)
    speaks = head_sha if verified == car["sha"] and _as_tried([car], task) else verified
    checks = room.store.checks(repository.name, speaks)
    return permit_merge(
        task,
        pull_request,
        checks,
        car["sha"],
        head_sha,
        access=access,
        judged=judged,
        override=override_of(task, head_sha),
        missing=missing,
        obstacle=obstacle,
        already_red_on=accepted_base(repository, car["onto"]),
    )


@step
def confirm(car: Car, sha: str, verified: str) -> bool:
    """Whether what landed is what was verified: a forge that makes the commit itself may have put more under it, and of
    a train that was stopped on the way only a part landed."""
    room = rooms()
    task, repository = known_repository(car["task_id"])
    directory = room.forges.of(repository).git_dir(repository)
    trees = [git("rev-parse", f"{commit}^{{tree}}", directory=directory) for commit in (verified, sha)]
    if trees[0] == trees[1]:
        return True
    room.workspaces.fetch(repository)
    checks = verify_commit(task, sha, stop=lambda: False, source=directory, base=car["onto"])
    return not in_the_way(task, checks, car["onto"])


@step
def announce(car: Car, sha: str, sound: bool, newest: Mapping[str, str]) -> bool:
    """Put down that it landed; true if it is deployed now. `newest` is what landed last, together with it,
    and the commit that this one landed on."""
    room = rooms()
    task, repository = known_repository(car["task_id"])
    room.workspaces.fetch(repository)
    deploys = sound and base_file(repository, newest["sha"]).deploy is not None
    leads = newest["task"] == task.id
    if sound and leads:
        verified = room.store.checks(repository.name, car["sha"])
        landed_with(repository, verified or room.store.checks(repository.name, task.head_sha))
    trouble = None
    if not sound:
        trouble = (
            f"What {repository.default_branch} has now is not what was verified, because something else landed in the "
            "same moment, and the checks are not green on it: nothing was deployed. Ask for a fix."
        )
    if deploys and not leads:
        told = {"task": newest["task"], "sha": newest["sha"]}
        room.store.record(task.id, "deploy.joined", told, key=f"joined:{newest['sha']}")
    room.store.close_pull_request(repository.name, task.branch or "", "merged")
    room.store.record(
        task.id,
        "merge.landed",
        {
            "sha": sha,
            "base": newest["base"],
            "branch": repository.default_branch,
            "title": change_title(task),
            "deploys": deploys,
            "leads": leads,
            "trouble": trouble,
        },
        key=f"landed:{sha}",
        person=car["person"],
        changes={"state": State.MERGED.value, "merged_sha": sha, "next_action": None, "error": trouble},
    )
    attest_merge(task.id, sha)
    return deploys


@step
def refuse(car: Car, reason: str, mend: bool, unknown: bool) -> None:
    """Say why it was not merged, and offer it again as it was."""
    store = rooms().store
    task = store.task(car["task_id"])
    if mend:
        reason += " The two are being put together now: a new version to try comes here."
    changes = {"error": reason}
    if task.state is State.MERGING:
        changes |= {"state": State.READY.value, "next_action": "Wait" if mend else "Reply or merge again"}
    told = {"reason": reason, "unknown": unknown}
    key = f"refused:{car['head_sha']}:{car['attempt']}"
    store.record(task.id, "merge.refused", told, key=key, changes=changes)


def _has_landed(task: Task, repository: Repository, head_sha: str) -> bool:
    """Whether Honk merged it before and its own note of that was lost."""
    if permitted_by(rooms().store, task.id, head_sha) is None:
        return False
    found = rooms().forges.of(repository).pull_request(repository, task.branch or "")
    return found is not None and found.state == "merged"


def _as_tried(cars: Sequence[Car], task: Task) -> bool:
    """Whether what would land is the tried commit's tree on the base that was tried: its checks are green."""
    return len(cars) == 1 and bool(cars[0]["unchanged"]) and cars[0]["base"] == task.base_sha


def _method(task: Task, repository: Repository, file: RepositoryFile) -> str:
    """How it lands. What was merged into the change cannot be rebased, so that is squashed."""
    change = rooms().forges.of(repository).git_dir(repository)
    between = f"{task.base_sha}..{task.head_sha}"
    if file.merge.method == "rebase" and git("rev-list", "--merges", "-n", "1", between, directory=change):
        return "squash"
    return file.merge.method


def _missing_approvals(task: Task, head_sha: str, file: RepositoryFile, landing: Landing) -> str | None:
    room = rooms()
    _, repository = known_repository(task.id)
    forge = room.forges.of(repository)
    approved = [
        event.person for event in room.store.events_of(task.id, "approved") if event.data["head_sha"] == head_sha
    ]
    approved += forge.approvals(repository, task.branch or "", head_sha)
    wanted = max(file.merge.approvals, forge.wanted_approvals(repository))
    changed = forge.changed_paths(repository, landing.base, landing.sha)
    others = independent(room.store, task, approved)
    return approvals_missing(wanted, protected_paths(changed, file.protect), others)


def _landing(car: Car) -> Landing:
    return Landing(car["base"], car["sha"], car["unchanged"])
