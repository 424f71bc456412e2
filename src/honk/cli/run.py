"""`honk run` and the taps: put something in, follow the log to where the next move is a person's."""

from __future__ import annotations

import getpass
import os
import signal
import sys
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, cast

from honk.model import Event, Person, State, Task, UsageError
from honk.surfaces.terminal import line, print_json, progress, results

if TYPE_CHECKING:
    from honk.app import Installation

_DONE = frozenset({State.READY, State.MERGED, State.DEPLOYED})
_PATIENCE = 20.0
"""Seconds that a step which is under way has to come to its end, before the process leaves it to the next one."""


def local_person() -> Person:
    """The person at this shell, as git knows them."""
    from honk.git import GitError, git

    def asked(name: str) -> str | None:
        try:
            return git("config", "--get", name, person=True) or None
        except GitError:
            return None

    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return Person(f"local:{user}", asked("user.name") or user, asked("user.email"))


def read_text(text: str) -> str:
    """The text itself, or standard input for `-`."""
    return sys.stdin.read() if text == "-" else text


def open_installation() -> Installation:
    """Assemble Honk and become its worker unless another process is."""
    from honk.app import assemble
    from honk.settings import read_settings

    return assemble(read_settings())


def _leave_on_interrupt(installation: Installation, task_id: str) -> None:
    """Ctrl-C leaves the task where it is; the signal also reaches what runs, so nothing more is recorded first."""

    def leave(_: int, __: object) -> None:
        installation.engine.close()
        progress.print(
            f"\nLeft. `honk worker` or `honk up` goes on with the task; `honk task cancel {task_id}` ends it."
        )
        os._exit(130)

    signal.signal(signal.SIGINT, leave)


def follow(installation: Installation, task_id: str, ends: Callable[[Event], bool], after: int = 0) -> Task:
    """Print the task's log from after that event on, until one `ends` it."""
    _leave_on_interrupt(installation, task_id)
    seen = after
    while True:
        events = installation.store.events(after=seen, task_id=task_id)
        for event in events:
            seen = event.id
            if text := line(event):
                progress.print(text)
            if ends(event):
                return installation.store.task(task_id)
        if not events:
            time.sleep(0.05)


def run_task(text: str, *, repo: str, agent: str, merge: bool, key: str | None, unsafe: bool, as_json: bool) -> int:
    """See `honk run`. Returns the exit code."""
    from honk.agents import agent_ready
    from honk.flow.view import settles
    from honk.settings import read_settings

    text = read_text(text)
    if not text.strip():
        raise UsageError("Say what should change: the text is empty.")
    agent_ready(agent, read_settings())
    installation = open_installation()
    if unsafe:
        progress.print("[bold red]! --unsafe-no-sandbox: the agent and the checks can reach everything you can.[/]")
    _work(installation)
    task = installation.inbox.submit(
        repo=repo, text=text, agent=agent, key=key or uuid.uuid4().hex, person=local_person(), unsafe=unsafe
    )
    task = follow(installation, task.id, settles)
    if merge and task.state is State.READY and task.head_sha:
        after = installation.store.events(task_id=task.id, limit=1_000_000)[-1].id
        installation.inbox.act(task.id, "merge", task.head_sha, uuid.uuid4().hex, local_person())
        task = follow(installation, task.id, settles, after)
    return _conclude(installation, task, as_json=as_json, merged=merge)


def say(task_id: str, text: str, *, key: str | None, as_json: bool) -> int:
    """See `honk task say`. Returns the exit code."""
    from honk.flow.view import settles

    installation = open_installation()
    task = installation.store.task(task_id)
    after = installation.store.events(task_id=task.id, limit=1_000_000)[-1].id
    _work(installation)
    installation.inbox.say(task.id, read_text(text), key or uuid.uuid4().hex, local_person())
    return _conclude(installation, follow(installation, task.id, settles, after), as_json=as_json)


def act(task_id: str, action: str, *, head_sha: str | None, as_json: bool) -> int:
    """See `honk task merge|cancel|retry|rollback|override`. Returns the exit code."""
    from honk.flow.view import settles

    installation = open_installation()
    task = installation.store.task(task_id)
    after = installation.store.events(task_id=task.id, limit=1_000_000)[-1].id
    known = cast(Literal["merge", "cancel", "retry", "rollback", "override"], action)
    before = task.state
    if action == "override":
        # Nothing runs because of it.
        installation.inbox.act(task.id, "override", _whole(task, head_sha), uuid.uuid4().hex, local_person())
        return _conclude(installation, installation.store.task(task.id), as_json=as_json)
    _work(installation)
    installation.inbox.act(task.id, known, _whole(task, head_sha), uuid.uuid4().hex, local_person())
    if action == "cancel" and before is State.CANCELLED:
        return _conclude(installation, task, as_json=as_json, cancelled=True)
    task = follow(installation, task.id, settles, after)
    return _conclude(
        installation,
        task,
        as_json=as_json,
        merged=action == "merge",
        cancelled=action == "cancel",
        rolled_back=action == "rollback",
    )


def _whole(task: Task, head_sha: str | None) -> str | None:
    """A shortened commit that fits the task's is that commit."""
    if head_sha and task.head_sha and len(head_sha) >= 7 and task.head_sha.startswith(head_sha):
        return task.head_sha
    return head_sha


def _work(installation: Installation) -> None:
    if not installation.work():
        progress.print(f"[dim]Process {installation.lock.holder()} works on this home; following it.[/]")


def _conclude(
    installation: Installation,
    task: Task,
    *,
    as_json: bool,
    merged: bool = False,
    cancelled: bool = False,
    rolled_back: bool = False,
) -> int:
    good = (
        task.state in _DONE - ({State.READY} if merged else set()) - ({State.DEPLOYED} if rolled_back else set())
        or (cancelled and task.state is State.CANCELLED)
        or (rolled_back and task.state is State.ROLLED_BACK)
        or (merged and task.state is State.READY and task.head_sha is None)
    )
    if as_json:
        print_json(installation.view(task))
    elif task.state is State.READY and task.head_sha:
        results.print(f"{task.branch} {task.head_sha}")
        progress.print(
            f"   [bold]Next:[/] honk task show {task.id} --diff, honk task show {task.id} --apply, "
            f"honk task merge {task.id}"
        )
    # What is told last is told before the statement about it is signed.
    installation.close(_PATIENCE)
    return 0 if good else 1
