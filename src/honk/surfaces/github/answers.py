"""What Honk says on GitHub: short answers on the pull request, each once."""

from __future__ import annotations

import logging

from honk.flow.view import blocked, lacking
from honk.model import WHY, Event, HonkError, Repository, Task
from honk.settings import Settings
from honk.store import Store
from honk.surfaces.github.calls import NAME, Calls, Repositories
from honk.surfaces.github.said import Said
from honk.untrusted import for_markdown

log = logging.getLogger("honk.github")


def _sentence(event: Event) -> str | None:
    """What an event of a task's log is worth saying on its pull request."""
    data = event.data
    told: str | None = None
    match event.kind:
        case "answered":
            told = for_markdown(str(data.get("text") or ""), 8000)
        case "ready" if data.get("unconfirmed"):
            held = "\n".join(f"- {for_markdown(str(one), 500)}" for one in data["unconfirmed"][:10])
            told = f"Before Honk merges this version, somebody who may write here has to override this:\n\n{held}"
        case "failed" | "limit":
            told = for_markdown(str(data.get("error") or ""), 4000)
        case "merge.refused" | "rollback.refused":
            told = for_markdown(str(data.get("reason") or ""), 4000)
        case "deploy.ill":
            told = f"The deployment is ill, it is being rolled back: {for_markdown(str(data.get('reason')), 2000)}"
        case "rolled_back":
            told = f"Rolled back to {str(data.get('to') or 'the version before')[:12]}."
        case "deploy.healthy":
            told = f"In production and healthy: {str(data.get('sha'))[:12]}."
    return told


_SETTLED = frozenset({"ready", "answered", "failed", "limit"})
_NAMED = 10
"""Hosts, and folders, that a comment names."""


def _missing(store: Store, task: Task, url: str) -> str | None:
    """What a turn was refused or did not have, if anything: whoever looks only at the pull request would not know."""
    hosts, told = blocked(store, task), []
    for one in hosts[:_NAMED]:
        why = f"; {WHY[one['why']]}" if WHY[one["why"]] else ""
        told.append(f"- Blocked: {for_markdown(one['host'], 120)}:{one['port']}, asked for by the {one['by']}{why}")
    if len(hosts) > _NAMED:
        told.append(f"- {len(hosts) - _NAMED} more hosts were blocked")
    told += [f"- {for_markdown(sentence, 600)}" for sentence in lacking(store, task)[:_NAMED]]
    if any(one["allow"] for one in hosts):
        told += ["", f"Whoever may write allows a host with one tap: {url}/tasks/{task.id}"]
    return "\n".join(["Not everything could be had while this was made:", "", *told]) if told else None


class Answers:
    """Tails the log with a cursor of its own."""

    def __init__(self, store: Store, settings: Settings, calls: Calls, repositories: Repositories) -> None:
        self._store = store
        self._settings = settings
        self._calls = calls
        self._repositories = repositories

    def catch_up(self) -> None:
        """Say what the log has that was not said yet. Raises `HonkError` if GitHub does not answer."""
        kept = self._store.recall(NAME, "cursor", "log")
        if kept is None:
            self._store.remember(NAME, "cursor", "log", {"event": self._store.newest_event()})
            return
        events = self._store.events(after=int(kept["event"]))
        for event in events:
            sentence = self._told(event)
            if sentence and event.task_id:
                try:
                    self._say(event, sentence)
                except HonkError as error:
                    if error.passing:
                        raise
                    log.info("an answer is left out: %s", error)
            if sentence or event is events[-1]:
                self._store.remember(NAME, "cursor", "log", {"event": event.id})

    def _told(self, event: Event) -> str | None:
        missing = None
        if event.kind in _SETTLED and (task := self._store.find_task(event.task_id)):
            missing = _missing(self._store, task, self._settings.url)
        return "\n\n".join(part for part in (_sentence(event), missing) if part) or None

    def _say(self, event: Event, sentence: str) -> None:
        task = self._store.find_task(event.task_id)
        repository = self._store.repository(task.repository) if task else None
        if task and task.pull_request and repository and self._repositories.owns(repository.git_url):
            self._comment(repository, task.pull_request, sentence, f"event:{event.id}:{event.hash[:12]}")

    def reply(self, repository: Repository, number: int, said: Said, sentence: str) -> None:
        """Answer somebody's words. Raises `HonkError` if GitHub does not answer."""
        self._comment(repository, number, for_markdown(sentence, 4000), said.key)

    def _comment(self, repository: Repository, number: int, text: str, key: str) -> None:
        """Comment once per key: an earlier life may have done it and died before it could note that."""
        place = self._repositories.place(repository)
        mark = f"<!-- honk {key} -->"
        for found in self._calls.pages(f"/issues/{number}/comments", place, to="read what was said"):
            if mark in str(found.get("body") or ""):
                return
        body = f"{text}\n\n{mark}"
        self._calls.call("POST", f"/issues/{number}/comments", place, to="comment", json={"body": body})
