"""How things stand on GitHub: pull requests pushed to, merged or closed, checks gone red, and words nobody told of."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from honk.flow.inbox import Inbox
from honk.model import HonkError, Repository, State, Task
from honk.store import Store
from honk.surfaces.github.calls import NAME, Calls, Repositories
from honk.surfaces.github.checks import red_of_pull
from honk.surfaces.github.listening import Listener
from honk.surfaces.github.said import comment, mentions, person_of, review, review_comment

log = logging.getLogger("honk.github")

_ENDED = frozenset({State.CANCELLED, State.MERGED, State.DEPLOYING, State.DEPLOYED, State.ROLLED_BACK})
_SETTLED = timedelta(seconds=1)
"""How long a change is looked at, at least: GitHub tells of whole seconds, and more may change in the same one."""
_BEFORE = timedelta(days=1)
"""How far back the first look at a repository goes."""
_CHECKS = timedelta(hours=6)
"""How long after a change is offered its checks are looked at without being told of."""


class Looker:
    """Asks GitHub. Everything here raises `HonkError`."""

    def __init__(
        self, store: Store, inbox: Inbox, calls: Calls, repositories: Repositories, listener: Listener
    ) -> None:
        self._store = store
        self._inbox = inbox
        self._calls = calls
        self._repositories = repositories
        self._listener = listener

    def look(self, task: Task, repository: Repository) -> None:
        """See what the task's pull request is now: pushed to, closed, merged."""
        place = self._repositories.place(repository)
        pull = self._calls.call("GET", f"/pulls/{task.pull_request}", place, to="look at a pull request")
        task = self._store.task(task.id)
        home = str((pull["head"].get("repo") or {}).get("full_name", ""))
        if pull["head"]["ref"] != task.branch or home.lower() != str(place).lower():
            return
        if pull.get("merged"):
            person = person_of(pull.get("merged_by"))
            self._inbox.ended_elsewhere(task.id, pull["merge_commit_sha"], person, f"merged:{pull['number']}")
        elif pull["state"] == "closed":
            key = f"closed:{pull['number']}:{pull.get('closed_at')}"
            self._inbox.ended_elsewhere(task.id, None, task.person, key)
        elif pull["head"]["sha"] not in (task.head_sha, task.pushed_sha):
            commit = self._calls.call("GET", f"/commits/{pull['head']['sha']}", place, to="read a commit")
            self._inbox.pushed(task.id, pull["head"]["sha"], person_of(commit.get("author") or pull.get("user")))

    def red(self, repository: Repository, sha: str) -> None:
        """See which checks are red on a commit that a task offers."""
        task = self._store.task_at(repository.name, sha)
        if task is None or task.state is not State.READY:
            return
        place = self._repositories.place(repository)
        for red in red_of_pull(self._calls, place, sha, self._calls.app().get("id")):
            self._inbox.red_elsewhere(task.id, red.name, red.sha, red.log(self._calls, place), red.key)

    def look_around(self) -> int:
        """Look at what has changed in every repository since the last time; how many repositories there are.

        One that fails does not keep the others from being looked at.
        """
        trouble: HonkError | None = None
        known = self._repositories.register_all()
        for repository in known:
            try:
                self._changed(repository)
                self._red(repository)
            except HonkError as error:
                log.info("%s was not looked at: %s", repository.name, error)
                trouble = trouble or error
            except Exception:
                log.exception("looking at %s failed", repository.name)
        if trouble:
            raise trouble
        return len(known)

    def _red(self, repository: Repository) -> None:
        newest = datetime.now(UTC) - _CHECKS
        for task in self._store.tasks(limit=500):
            if task.repository == repository.name and task.state is State.READY and task.updated_at > newest:
                self.red(repository, task.head_sha or "")

    def _changed(self, repository: Repository) -> None:
        """Issues and pull requests, which GitHub lists together, by when something last happened to them."""
        kept = self._store.recall(NAME, "looked", repository.name)
        first = (datetime.now(UTC) - _BEFORE).strftime("%Y-%m-%dT%H:%M:%SZ")
        kept = kept or {"since": first, "first": first, "seen": {}}
        since, seen = str(kept["since"]), dict(kept["seen"])
        place = self._repositories.place(repository)
        wanted = {"state": "all", "sort": "updated", "direction": "asc", "since": since}
        open_ends: list[str] = []
        for item in self._calls.pages("/issues", place, to="list what changed", params=wanted):
            number, at = str(item["number"]), str(item["updated_at"])
            now = datetime.now(UTC).timestamp()
            first_look = seen[number][1] if number in seen and seen[number][0] == at else now
            if first_look is not None:
                settled = self._item(repository, item, since, str(kept["first"]))
                over = settled and now - first_look > _SETTLED.total_seconds()
                seen[number] = (at, None if over else first_look)
                if not settled:
                    open_ends.append(at)
            kept["since"] = max(str(kept["since"]), at)
        kept["since"] = min([str(kept["since"]), *open_ends])
        kept["seen"] = {number: looked for number, looked in seen.items() if looked[0] >= kept["since"]}
        self._store.remember(NAME, "looked", repository.name, kept)

    def _item(self, repository: Repository, item: Mapping[str, Any], since: str, first: str) -> bool:
        """Look at one of them; False if it is to be looked at again, because a merge was on its way."""
        if "pull_request" not in item:
            if item.get("state") == "open":
                self._issue(repository, item, since, first)
            return True
        task = self._store.task_of_pull_request(repository.name, int(item["number"]))
        if task is None or task.state in _ENDED:
            return True
        self._pull(task, repository)
        return self._store.task(task.id).state is not State.MERGING

    def _pull(self, task: Task, repository: Repository) -> None:
        place, number = self._repositories.place(repository), task.pull_request
        for path, read in (
            (f"/issues/{number}/comments", comment),
            (f"/pulls/{number}/comments", review_comment),
            (f"/pulls/{number}/reviews", review),
        ):
            for found in self._calls.pages(path, place, to="read what was said"):
                self._listener.heard(task, repository, read(found))
        self.look(task, repository)

    def _issue(self, repository: Repository, issue: Mapping[str, Any], since: str, first: str) -> None:
        """What a webhook would have told of an open issue."""
        place = self._repositories.place(repository)
        if str(issue["created_at"]) >= first and issue.get("user"):
            self._listener.issue(repository, {"action": "opened", "issue": issue, "sender": issue["user"]})
        labelled = any(self._listener.is_label(str(label.get("name"))) for label in issue.get("labels") or ())
        if labelled or any(self._listener.is_honk(user) for user in issue.get("assignees") or ()):
            for event in self._calls.pages(f"/issues/{issue['number']}/events", place, to="read an issue's events"):
                if event.get("event") in ("labeled", "assigned") and str(event.get("created_at")) >= first:
                    told = {"action": event["event"], "issue": issue, "sender": event.get("actor")}
                    self._listener.issue(repository, told | {name: event.get(name) for name in ("label", "assignee")})
        path = f"/issues/{issue['number']}/comments"
        for found in self._calls.pages(path, place, to="read an issue", params={"since": since}):
            if mentions(str(found.get("body") or ""), str(self._calls.app().get("slug") or "honk")):
                self._listener.issue_comment(repository, issue, comment(found))
