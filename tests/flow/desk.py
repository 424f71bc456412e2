"""A repository whose commits are verified on behalf of tasks, without a server."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from honk.app import Installation, assemble
from honk.flow.judging import judged_at
from honk.flow.ports import furnish
from honk.flow.verification import base_file, verify_commit
from honk.gate import Judged
from honk.model import Check, Repository, State, Task
from honk.settings import read_settings
from tests.conftest import git
from tests.flow.stories import ADA


class Desk:
    """A repository whose commits are verified on behalf of tasks."""

    def __init__(self, home: Path, path: Path) -> None:
        self.path = path
        self.honk: Installation = assemble(read_settings(home=home))
        furnish(self.honk.rooms())
        self.repository: Repository = self.honk.store.add_repository(
            Repository("project", str(path), str(path), "main")
        )
        self.base = self.honk.workspaces.fetch(self.repository)
        self._number = 0

    def commit(self, files: dict[str, str], branch: str = "change", message: str = "Change") -> str:
        """A commit on the base, or on the newest of the branch."""
        git(self.path, "checkout", "-q", *(["-B", branch, self.base] if branch != "main" else ["main"]))
        for name, text in files.items():
            (self.path / name).write_text(text)
        git(self.path, "add", "-A")
        git(self.path, "commit", "-qm", message, "--allow-empty")
        sha = git(self.path, "rev-parse", "HEAD")
        git(self.path, "checkout", "-q", "main")
        if branch == "main":
            self.base = self.honk.workspaces.fetch(self.repository)
        return sha

    def task(self, head: str) -> Task:
        """A new task that is made from the base and has that commit."""
        self._number += 1
        at = datetime.now(UTC)
        task = Task(f"task-{self._number}", "project", "x", "script:x", State.VERIFYING, ADA, at, at, self.base, head)
        self.honk.store.create_task(task, "message")
        return task

    def verify(self, task: Task, commit: str | None = None) -> Check:
        """The result of the one check there is."""
        (check,) = verify_commit(task, commit or task.head_sha or "", stop=lambda: False, source=self.path / ".git")
        return check

    def judged(self, task: Task) -> Judged:
        """What guard and rules say of its commit; no model is asked."""
        change = self.honk.workspaces.change_git_dir(task)
        git(self.path, "clone", "-q", "--bare", str(self.path), str(change))
        return judged_at(task, task.head_sha or "", base_file(self.repository, task.base_sha or ""), left=0.0)

    def runs(self, task: Task) -> int:
        """How often a check was begun for the task."""
        return self.honk.store.count_events(task.id, "check.started")
