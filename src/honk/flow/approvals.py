"""Who let a change through: whose approval counts as somebody else's, and who merged with the gate's permit."""

from __future__ import annotations

from collections.abc import Iterable

from honk.flow.ports import Forge
from honk.flow.verification import base_file
from honk.flow.view import artifacts, devices, not_built, trials
from honk.freeze import frozen
from honk.gate import protected_paths, trial_missing
from honk.model import HonkError, Repository, Task
from honk.repository_file import RepositoryFile
from honk.settings import Settings
from honk.ship.installs import install_links
from honk.store import Store


def askers(store: Store, task: Task) -> list[str]:
    """Every id of the person who asked: theirs, and the account they had on the forge when they asked."""
    created = store.events_of(task.id, "task.created")
    login = created[0].data.get("login") if created else None
    return [task.person.id, *([f"github:{login}"] if login else [])]


def takes_back(store: Store, task: Task) -> bool:
    """Whether the task undoes what was rolled back."""
    return bool(store.events_of(task.id, "reverts"))


def frozen_for(store: Store, task: Task, file: RepositoryFile) -> str | None:
    """Why this change is not merged now, in a sentence. What takes an ill version back never waits."""
    return None if takes_back(store, task) else frozen(file.merge.windows)


def untried(store: Store, settings: Settings, task: Task, file: RepositoryFile) -> str | None:
    """Why this version has to be tried before it is merged, in a sentence; None if it was, or need not be. What takes
    an ill version back never waits."""
    if not file.merge.require_trial or takes_back(store, task):
        return None
    built = [
        one
        for one in artifacts(store, task, settings.previews_at, install_links(settings))
        if one.commit == task.head_sha and not one.void
    ]
    offered = [f"install its `{one.kind}` build" for one in built if one.install_url]
    offered += [f"open its `{one.kind}` preview" for one in built if one.url and not one.install_url]
    return trial_missing(devices(trials(store, task)), offered, [one["kind"] for one in not_built(store, task)])


def approval_wanted(forge: Forge, repository: Repository, task: Task) -> bool:
    """Whether somebody else's approval is asked for before this change may be merged, as far as is known now."""
    file = base_file(repository, task.base_sha or "")
    changed = forge.changed_paths(repository, task.base_sha or "", task.head_sha or "")
    try:
        by_forge = forge.wanted_approvals(repository)
    except HonkError:
        by_forge = 0
    return bool(max(file.merge.approvals, by_forge) or protected_paths(changed, file.protect))


def may_approve(store: Store, task: Task, person: str) -> bool:
    """Whether the person's approval is an independent one: they did not ask for the change, and where it is known on
    the forge who asked, it is known of them too."""
    asked = askers(store, task)
    if any(store.same_person(person, one) for one in asked):
        return False
    known = any(store.account(one) for one in asked)
    return not known or store.account(person) is not None


def independent(store: Store, task: Task, approved_by: Iterable[str]) -> list[str]:
    """Those whose approval counts, each human being once."""
    counted: list[str] = []
    for person in approved_by:
        if may_approve(store, task, person) and not any(store.same_person(person, one) for one in counted):
            counted.append(person)
    return counted


def permitted_by(store: Store, task_id: str, head_sha: str) -> str | None:
    """Who merged this commit with the gate's permit, if it is not known that nothing came of that."""
    permits = [event for event in store.events_of(task_id, "merge.permitted") if event.data["head_sha"] == head_sha]
    if not permits:
        return None
    since = [event for event in store.events_of(task_id, "merge.refused") if event.id > permits[-1].id]
    return permits[-1].person if all(event.data.get("unknown") for event in since) else None
