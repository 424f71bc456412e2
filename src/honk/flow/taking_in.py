"""What others made meanwhile comes into a change: pushes to its branch, and the newest base."""

from __future__ import annotations

from pathlib import Path

from honk.flow.brief import commit_message
from honk.flow.engine import step
from honk.flow.ports import known_repository, rooms
from honk.git import succeeds
from honk.model import HonkError, Task


@step
def has(task_id: str, sha: str) -> bool:
    """Whether the change has a commit already: the turn before may have taken it in."""
    return contains(rooms().store.task(task_id), sha)


@step
def take_in(task_id: str, turn_id: str, number: int) -> list[str]:
    """Merge what somebody else pushed to the task's branch into its change; the paths with conflicts to mend."""
    room = rooms()
    task, repository = known_repository(task_id)
    branch = task.branch or ""
    found = room.forges.of(repository).pull_request(repository, branch) if task.pull_request else None
    if found is None or found.state != "open" or found.head_sha == task.head_sha:
        return []
    if found.head_sha == task.pushed_sha and contains(task, found.head_sha):
        return []
    room.forges.of(repository).hold(repository, branch, held=True)
    conflicts = _bring_in(
        task_id, found.head_sha, f"Merge what was pushed to {branch}", room.forges.of(repository).git_dir(repository)
    )
    room.store.record(
        task_id,
        "branch.taken_in",
        {"sha": found.head_sha, "conflicts": conflicts},
        key=f"{turn_id}:taken-in:{number}",
        changes={"pushed_sha": found.head_sha},
    )
    return conflicts


def contains(task: Task, commit: str) -> bool:
    """Whether the task's change has a commit already."""
    change = rooms().workspaces.change_git_dir(task)
    return succeeds("merge-base", "--is-ancestor", commit, task.head_sha or "", directory=change)


@step
def renew_base(task_id: str, turn_id: str) -> list[str]:
    """Merge the newest base into the task's change; the paths with conflicts to mend."""
    room = rooms()
    _, repository = known_repository(task_id)
    base = room.workspaces.fetch(repository)
    conflicts = _bring_in(task_id, base, f"Merge the newest {repository.default_branch}", None)
    told = {"base": base, "branch": repository.default_branch, "conflicts": conflicts}
    room.store.record(task_id, "base.renewed", told, key=f"{turn_id}:base", changes={"base_sha": base})
    return conflicts


def _bring_in(task_id: str, commit: str, message: str, source: Path | None) -> list[str]:
    """Merge a commit into the change; what it becomes is the task's head unless there is something to mend."""
    room = rooms()
    task, repository = known_repository(task_id)
    with room.workspaces.open(task, repository) as workspace:
        # What was left uncommitted is kept, but never the markers of a merge that is still to be mended.
        if not workspace.unmerged():
            workspace.snapshot(commit_message(task), task.person)
    head, conflicts = room.workspaces.bring_in(task, repository, commit, message, source=source)
    if not conflicts and head != task.head_sha:
        void(task_id, head)
        room.store.update_task(task_id, head_sha=head)
    return list(conflicts)


def void(task_id: str, head: str) -> None:
    """What was offered is replaced by a newer commit."""
    room = rooms()
    task = room.store.task(task_id)
    if task.head_sha:
        room.store.record(task_id, "card.void", {"commit": task.head_sha}, key=f"void:{task.head_sha}")
        room.store.void_artifacts(task_id, keep_commit=head)
        if room.previews:
            room.previews.withdraw(task_id)


def find_again(task_id: str, head: str) -> None:
    """Take the change's commits from the forge: the workspace that they were made in is gone for good."""
    room = rooms()
    task, repository = known_repository(task_id)
    forge = room.forges.of(repository)
    if task.pull_request:
        forge.pull_request(repository, task.branch or "")
    try:
        room.workspaces.bring_in(task, repository, head, "Take up the change", source=forge.git_dir(repository))
    except HonkError as error:
        raise HonkError(
            f"The commits of this task are neither here nor on its branch any more ({error}): start the task anew."
        ) from error
