"""From a message to a change that is ready to try.

take → prepare → equip → take_in → work → collect → verify → judge → propose → build … → present

A turn is started by a message, a retry or a cancel, and ends when the next move is a person's. It also starts when
somebody pushes to the task's branch (adopt) or the newest base contradicts the change (update). Each step below reads
what it needs from the store, does one thing that can be done again without harm, and puts down what happened.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from honk.flow.approvals import approval_wanted, takes_back
from honk.flow.at_work import Gate, asker, emitter, inbox, with_files
from honk.flow.brief import brief, change_title, commit_message, judging_notes, pull_request_body
from honk.flow.building import describe_built, make, plan
from honk.flow.engine import TASKS, follow, step, workflow
from honk.flow.equipping import equip
from honk.flow.judging import judge, judged_cost
from honk.flow.lacking import tell_lacking
from honk.flow.ports import known_repository, rooms
from honk.flow.reach import agents_reach, make_ready, thinks
from honk.flow.taking_in import contains, find_again, has, renew_base, take_in, void
from honk.flow.verification import base_file, in_the_way, verify_commit
from honk.flow.view import findings_of, unconfirmed, verdict_of
from honk.flow.warming import budget_of, entered
from honk.model import (
    Cancelled,
    Check,
    Conflict,
    HonkError,
    LimitReached,
    State,
    Task,
    Turn,
)
from honk.verify import explain

_SESSIONS = uuid.UUID("6b1f9c1e-6f0e-4f0e-9d55-0a4f2f1d7c55")
_TRIES = 3
"""How often a turn starts over because somebody pushed to the branch meanwhile."""


@workflow
def turn(task_id: str, turn_id: str) -> None:
    """A message's turn."""
    if take(task_id, turn_id):
        _story(task_id, turn_id)


@workflow
def retry(task_id: str, key: str) -> None:
    """The last words again, on the work so far."""
    turn_id = f"retry:{task_id}:{key}"
    take_again(task_id, turn_id)
    _story(task_id, turn_id)


@workflow
def adopt(task_id: str, sha: str, number: int) -> None:
    """Somebody's own commit on the task's branch: verified and offered like any other."""
    turn_id = f"adopt:{task_id}:{sha}:{number}"
    if not has(task_id, sha) and take_over(task_id, turn_id):
        _story(task_id, turn_id, asked=False)


@workflow
def update(task_id: str, key: str) -> None:
    """The change on the newest base, after the two turned out to contradict each other."""
    turn_id = f"update:{task_id}:{key}"
    if take_over(task_id, turn_id):
        _story(task_id, turn_id, asked=False, newest=True)


@workflow
def cancel(task_id: str, key: str, person: str) -> None:
    """Put the task to rest once nothing of it runs any longer."""
    put_to_rest(task_id, key, person)


def _story(task_id: str, turn_id: str, *, asked: bool = True, newest: bool = False) -> None:
    try:
        prepare(task_id, turn_id)
        equip(task_id, turn_id)
        for number in range(_TRIES):
            conflicts = take_in(task_id, turn_id, number)
            if newest and not conflicts:
                conflicts, newest = renew_base(task_id, turn_id), False
            if asked or conflicts:
                try:
                    work(task_id, turn_id, conflicts)
                except (Cancelled, LimitReached):
                    collect(task_id, turn_id)
                    raise
            if not collect(task_id, turn_id) or asked_back(task_id, turn_id):
                break
            verify(task_id, turn_id)
            judge(task_id, turn_id)
            if propose(task_id, turn_id):
                for kind in plan(task_id, turn_id):
                    make(task_id, turn_id, kind)
                break
            asked = False
        else:
            raise HonkError("The branch kept moving while this was being made: try again when it rests.")
        if head := present(task_id, turn_id):
            follow("compare", f"compare:{task_id}:{head}", TASKS, f"{task_id}:pictures", task_id, head)
    except Cancelled:
        stop_cancelled(task_id, turn_id)
    except LimitReached as limit:
        stop_failed(task_id, turn_id, str(limit), "Continue")
    except HonkError as error:
        stop_failed(task_id, turn_id, str(error), "Retry")


@step
def take(task_id: str, turn_id: str) -> bool:
    """Take the messages nobody has taken yet; without any, or once a merge has begun, there is nothing to do."""
    store = rooms().store
    if store.task(task_id).merged_sha or not (store.waiting_messages(task_id) or _begun(task_id, turn_id)):
        return False
    if not _begin(task_id, turn_id):
        return False
    store.take_messages(task_id, turn_id)
    return True


def _begin(task_id: str, turn_id: str) -> bool:
    """Put down that the turn runs, unless a merge was asked for; true also if it was put down before."""
    changes = {"state": State.PREPARING.value, "error": None, "next_action": None}
    begun = rooms().store.record(
        task_id, "turn.started", {}, key=f"{turn_id}:started", changes=changes, unless=[State.MERGING]
    )
    return begun or _begun(task_id, turn_id)


def _begun(task_id: str, turn_id: str) -> bool:
    return rooms().store.count_events(task_id, "turn.started", f"{turn_id}:started") > 0


@step
def take_again(task_id: str, turn_id: str) -> None:
    """Begin again with the words so far, and forget what the checks found."""
    task = rooms().store.task(task_id)
    if task.head_sha:
        rooms().store.forget_results(task.repository, task.head_sha)
    rooms().store.record(
        task_id,
        "turn.started",
        {"again": True},
        key=f"{turn_id}:started",
        changes={"state": State.PREPARING.value, "error": None, "next_action": None},
    )


@step
def take_over(task_id: str, turn_id: str) -> bool:
    """Begin without new words; once a merge has begun there is nothing to do."""
    task = rooms().store.task(task_id)
    return not task.merged_sha and task.state is not State.CANCELLED and _begin(task_id, turn_id)


@step
def prepare(task_id: str, turn_id: str) -> None:
    """Bring the mirror up to date, fix the base commit and lay out the workspace."""
    room = rooms()
    task, repository = known_repository(task_id)
    _stop_if_cancelled(task_id)
    if thinks(task):
        make_ready(room.settings.registries)
    base = task.base_sha or room.workspaces.fetch(repository)
    base_file(repository, base)
    if task.head_sha and not contains(task, task.head_sha):
        find_again(task_id, task.head_sha)
    if task.unsafe:
        room.store.record(task_id, "unsafe", {}, key="unsafe")
    changes = {"base_sha": base, "state": State.WORKING.value}
    room.store.record(task_id, "workspace.ready", {"base": base}, key=f"{turn_id}:workspace", changes=changes)


@step
def work(task_id: str, turn_id: str, conflicts: Sequence[str]) -> None:
    """Let the agent work in its sandbox until it is done, with verification at its gate."""
    room = rooms()
    task, repository = known_repository(task_id)
    file = base_file(repository, task.base_sha or "")
    _stop_if_cancelled(task_id)
    begun = f"{turn_id}:work"
    resume = room.store.count_events(task_id, "agent.started") > 0
    interrupted = not room.store.record(task_id, "agent.started", {"agent": task.agent}, key=begun)
    words = [with_files(message) for message in room.store.messages(task_id)]
    fresh = [with_files(message) for message in room.store.take_messages(task_id, turn_id)]
    budget, judged_before = budget_of(task, file), judged_cost(task_id)
    reach, files = agents_reach(task, turn_id, file), room.attachments.folder(task_id)
    session = task.session if task.agent == "claude" and task.session else str(uuid.uuid5(_SESSIONS, task_id))
    with entered(task, repository, files, reach, budget, session, first=not resume, nested=file.sandbox.nested) as at:
        lacking = tell_lacking(task, repository)
        result = at.run(
            Turn(
                task=task,
                prompt=brief(task, words, fresh, file, again=resume, interrupted=interrupted, conflicts=conflicts)
                + lacking,
                workspace=at.workspace,
                session=at.session,
                resume=resume,
                max_cost_usd=budget.cost_usd,
                max_turns=budget.requests,
                emit=emitter(task_id, turn_id, task),
                gate=Gate(task, turn_id, at.workspace, file).ask,
                ask=asker(task_id, turn_id),
                inbox=inbox(task_id, turn_id),
                stop=lambda: room.store.task(task_id).cancel_requested,
                nested=file.sandbox.nested,
                transcript=room.store.transcript(task_id),
            )
        )
    if room.spares and task.agent == "claude":
        room.spares.want(repository)
    cost = task.cost_usd + result.cost_usd + judged_cost(task_id) - judged_before
    room.store.record(
        task_id,
        "agent.finished",
        {
            "summary": result.summary,
            "cost_usd": cost,
            "turns": task.turns + result.turns,
            "harness": result.harness,
            "models": list(result.models),
        },
        key=f"{turn_id}:worked",
        changes={
            "summary": result.summary,
            "session": result.session,
            "cost_usd": cost,
            "turns": task.turns + result.turns,
        },
    )


@step
def collect(task_id: str, turn_id: str) -> bool:
    """Commit what the agent left in its tree; true if the task has a change now."""
    room = rooms()
    task, repository = known_repository(task_id)
    with room.workspaces.open(task, repository) as workspace:
        if unmerged := workspace.unmerged():
            raise HonkError(f"The merge is not mended yet: conflict markers are left in {', '.join(unmerged)}.")
        sha = workspace.snapshot(commit_message(task), task.person)
        stat = workspace.diff_stat()
    if sha is None or sha == task.head_sha:
        return task.head_sha is not None
    void(task_id, sha)
    room.store.record(
        task_id, "commit", {"sha": sha, "stat": stat}, key=f"commit:{turn_id}:{sha}", changes={"head_sha": sha}
    )
    return True


@step
def asked_back(task_id: str, turn_id: str) -> bool:
    """Whether the agent waits for an answer of the person."""
    return rooms().store.count_events(task_id, "question", f"{turn_id}:") > 0


@step
def verify(task_id: str, turn_id: str) -> None:
    """Run the checks on a clean checkout of the commit; a red one ends the turn here."""
    room = rooms()
    task = room.store.task(task_id)
    _stop_if_cancelled(task_id)
    room.store.record(
        task_id, "state", {"state": "verifying"}, key=f"{turn_id}:verifying", changes={"state": "verifying"}
    )
    checks = verify_commit(task, task.head_sha or "", stop=lambda: room.store.task(task_id).cancel_requested)
    if failed := in_the_way(task, checks):
        raise HonkError(f"No pull request: {_failed(failed, task)}\n{explain(failed)}")


def _failed(failed: Sequence[Check], task: Task) -> str:
    """What keeps the change from being proposed, and whose fault that is."""
    mine = [check.name for check in failed if check.status != "already_red"]
    if mine:
        return f"{', '.join(mine)} failed on {(task.head_sha or '')[:8]}."
    names, verb = ", ".join(check.name for check in failed), "is" if len(failed) == 1 else "are"
    return (
        f"{names} {verb} red already on {(task.base_sha or '')[:8]}, which the change is made from. Mend that first, "
        "or let it pass by `merge: {already_red: allow}` in honk.yaml."
    )


@step
def propose(task_id: str, turn_id: str) -> bool:
    """Push the branch and open its pull request, or bring both up to date; false if somebody pushed meanwhile."""
    room = rooms()
    task, repository = known_repository(task_id)
    _stop_if_cancelled(task_id)
    head, branch = task.head_sha or "", task.branch or f"honk/{task_id}"
    # What is pushed is told apart from what is there by its history.
    room.workspaces.need_history(repository)
    try:
        room.forges.of(repository).push(repository, room.workspaces.change_git_dir(task), head, branch)
    except Conflict:
        return False
    url = f"{room.settings.url}/tasks/{task_id}"
    checks = room.store.checks(task.repository, head)
    notes = judging_notes(verdict_of(room.store, task), findings_of(room.store, task))
    body = pull_request_body(task, checks, [], url, notes=notes)
    pull_request = room.forges.of(repository).open_change(
        repository, branch=branch, title=change_title(task), body=body, head_sha=head, person=task.person
    )
    room.forges.of(repository).hold(repository, branch, held=False)
    held = bool(unconfirmed(room.store, task))
    room.forges.of(repository).report(repository, head, checks, url, notes=notes, held=held)
    shown = pull_request.url or url
    told = {"number": pull_request.number, "url": shown, "branch": branch, "title": pull_request.title}
    room.store.record(
        task_id,
        "change.updated" if task.pull_request else "change.opened",
        told | {"head_sha": head},
        key=f"change:{head}",
        changes={
            "pull_request": pull_request.number,
            "pull_request_url": pull_request.url or None,
            "pushed_sha": head,
            "state": State.BUILDING.value,
        },
    )
    return True


@step
def present(task_id: str, turn_id: str) -> str | None:
    """Say that it is ready to be tried and merged, or that nothing had to change; the commit that is offered."""
    room = rooms()
    task, repository = known_repository(task_id)
    store = room.store
    questions = [event for event in store.events_of(task_id, "question") if event.key.startswith(f"{turn_id}:")]
    if questions:
        store.record(
            task_id,
            "answered",
            {"text": questions[0].data["text"], "question": True},
            key=f"{turn_id}:answered",
            changes={"state": State.READY.value, "next_action": "Answer the question"},
        )
        return None
    if task.head_sha is None:
        store.record(
            task_id,
            "answered",
            {"text": task.summary or "Nothing had to be changed."},
            key=f"{turn_id}:answered",
            changes={"state": State.READY.value, "next_action": "Reply"},
        )
        return None
    describe_built(task_id)
    held = unconfirmed(store, task)
    store.record(
        task_id,
        "ready",
        {
            "head_sha": task.head_sha,
            "summary": task.summary or "",
            "unconfirmed": held[:20],
            "approval_wanted": approval_wanted(room.forges.of(repository), repository, task),
            "trial_wanted": base_file(repository, task.base_sha or "").merge.require_trial
            and not takes_back(store, task),
        },
        key=f"{turn_id}:ready",
        changes={
            "state": State.READY.value,
            "next_action": "Say what to change, or override what is held against it" if held else "Try it, then merge",
        },
    )
    return task.head_sha


@step
def stop_failed(task_id: str, turn_id: str, error: str, next_action: str) -> None:
    """Put down why the turn could not go on, and what the person can do."""
    store = rooms().store
    kind = "limit" if next_action == "Continue" else "failed"
    store.record(
        task_id,
        kind,
        {"error": error, "text": error, "next": next_action},
        key=f"{turn_id}:failed",
        changes={"state": State.FAILED.value, "error": error, "next_action": next_action},
    )


@step
def stop_cancelled(task_id: str, turn_id: str) -> None:
    """Put the cancelled task to rest; its log and its work stay."""
    if rooms().store.task(task_id).merged_sha:
        # Somebody merged it by hand meanwhile: there was nothing to go on with.
        rooms().store.update_task(task_id, cancel_requested=False)
        return
    rooms().store.record(
        task_id,
        "cancelled",
        {},
        key=f"{turn_id}:cancelled",
        changes={"state": State.CANCELLED.value, "cancel_requested": False, "next_action": "Retry"},
    )


@step
def put_to_rest(task_id: str, key: str, person: str) -> None:
    """Close a cancelled task's pull request and put the task to rest."""
    room = rooms()
    task, repository = known_repository(task_id)
    if task.branch and task.pull_request:
        room.forges.of(repository).close_change(repository, task.branch)
    room.store.void_artifacts(task_id, keep_commit="")
    if room.previews:
        room.previews.withdraw(task_id)
    changes = {"state": State.CANCELLED.value, "cancel_requested": False, "next_action": "Retry", "error": None}
    if task.state is State.CANCELLED:
        room.store.update_task(task_id, cancel_requested=False)
        return
    room.store.record(task_id, "cancelled", {}, key=f"cancel:{key}", person=person, changes=changes)


def _stop_if_cancelled(task_id: str) -> None:
    if rooms().store.task(task_id).cancel_requested:
        raise Cancelled("Cancelled.")
