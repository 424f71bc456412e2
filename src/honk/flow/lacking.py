"""What a task's tree does not have, told to the person and to the agent."""

from __future__ import annotations

from honk.flow.ports import rooms
from honk.model import Repository, Task

_MOST = 50
"""Submodules that are told of one by one."""

_LATE = """
The contents of older commits are still being fetched. Until they have come, `git log -p`, `git blame` and `git show` of
older commits end with "unable to read", "Cannot read blob" or "bad object": try again a little later if you need them.
"""


def tell_lacking(task: Task, repository: Repository) -> str:
    """Tell the person of submodules that stayed empty, and of older commits whose files are still to come; each once a
    task. What the agent is to be told of them, which it was not yet."""
    room, told = rooms(), ""
    if not room.workspaces.has_history(repository) and room.store.record(task.id, "history.late", {}, key="late"):
        told += _LATE
    for path, reason in list(room.workspaces.lacking(task).items())[:_MOST]:
        said = {"path": path[:300], "reason": reason[:1000]}
        if room.store.record(task.id, "submodule.missing", said, key=f"submodule:{said['path']}"):
            told += f"\nThe folder {said['path']} is empty: it is a submodule that could not be fetched.\n"
    return told
