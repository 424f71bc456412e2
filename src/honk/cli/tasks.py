"""`honk task list|show` and `honk audit`: reading only, but for `--apply`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from honk.cli.run import open_installation
from honk.model import NotFound, Refused, Task, UsageError
from honk.surfaces.terminal import line, print_json, progress, results

if TYPE_CHECKING:
    from honk.app import Installation


def list_tasks(*, as_json: bool) -> None:
    """See `honk task list`."""
    installation = open_installation()
    tasks = installation.store.tasks()
    if as_json:
        print_json({"tasks": [installation.view(task) for task in tasks]})
        return
    if not tasks:
        progress.print('No tasks yet: start one with `honk run "what should change" --repo PATH`.')
        return
    table = Table(box=None, pad_edge=False)
    for name in ("id", "state", "repository", "request", "next"):
        table.add_column(name, overflow="fold")
    for task in tasks:
        first = task.text.strip().splitlines()[0][:60]
        table.add_row(task.id, task.state.value, task.repository, escape(first), escape(task.next_action or ""))
    results.print(table)


def show_task(task_id: str, *, apply: bool, diff: bool, log: str | None, as_json: bool) -> None:
    """See `honk task show`."""
    installation = open_installation()
    task = installation.store.task(task_id)
    if apply:
        _apply(installation, task)
    if log:
        results.print(_log(installation, task, log), markup=False)
        return
    if as_json:
        print_json(installation.view(task))
        return
    if diff:
        results.print(installation.inbox.diff(task.id), markup=False)
        return
    for event in installation.store.events(task_id=task.id, limit=1_000_000):
        if text := line(event):
            results.print(text)
    results.print(f"[bold]{task.state.value}[/] {escape(task.next_action or '')}")


def _log(installation: Installation, task: Task, name: str) -> str:
    """What the task's check of that name printed."""
    checks = {check["name"]: check for check in installation.view(task)["checks"]}
    if name not in checks:
        known = f"there are {', '.join(checks)}" if checks else "nothing was checked yet"
        raise UsageError(f"The task has no check {name!r}: {known}.")
    text = installation.store.log(checks[name]["log"])
    if text is None:
        raise NotFound(f"What {name} printed is not kept (any more).")
    return text


def _apply(installation: Installation, task: Task) -> None:
    from honk.git import GitError, git

    repository = installation.store.repository(task.repository)
    if repository is None or task.branch is None or task.head_sha is None:
        raise Refused("The task has no change to apply yet.")
    path = Path(repository.git_url)
    forge = installation.forges.of(repository).git_dir(repository)
    if not path.is_dir() or path == forge:
        raise UsageError(f"{repository.address} is not a folder of yours: fetch {task.branch} from {forge} instead.")
    try:
        git(
            "fetch",
            "-q",
            "--no-tags",
            "--no-write-fetch-head",
            forge,
            f"+refs/heads/{task.branch}:refs/heads/{task.branch}",
            directory=path,
            person=True,
        )
    except GitError as error:
        raise Refused(f"{task.branch} cannot be fetched into {path}: {error}.") from error
    progress.print(
        f"[green]✓[/] {task.branch} is in {path} now: `git switch {task.branch}` or `git diff ...{task.branch}`."
    )


def audit_log(task_id: str | None, *, as_json: bool) -> int:
    """See `honk audit`. Returns 1 if the chain is broken."""
    installation = open_installation()
    task = installation.store.task(task_id).id if task_id else None
    broken = installation.store.broken_link()
    events = installation.store.events(task_id=task, limit=1_000_000)
    if as_json:
        rows = [
            {
                "id": event.id,
                "task": event.task_id,
                "at": event.at.isoformat(),
                "person": event.person,
                "kind": event.kind,
            }
            for event in events
        ]
        print_json({"intact": broken is None, "broken_at": broken, "events": rows})
        return 0 if broken is None else 1
    for event in events:
        if not event.kind.startswith("agent.t"):
            results.print(
                f"{event.id:>6}  {event.at:%Y-%m-%d %H:%M:%S}  {event.task_id}  {escape(event.person):<16} {event.kind}"
            )
    if broken is None:
        results.print(f"[green]✓[/] The chain of {len(installation.store.events(limit=10_000_000))} events is whole.")
        return 0
    results.print(f"[bold red]✗[/] The chain breaks at event {broken}: it, or one before it, was changed or removed.")
    return 1
