"""What people say to Honk on GitHub: on a task's pull request, and on issues."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from honk.flow.inbox import Inbox
from honk.model import HonkError, Repository, Task
from honk.settings import Settings
from honk.store import Store
from honk.surfaces.github.answers import Answers
from honk.surfaces.github.calls import NAME, Calls, Repositories
from honk.surfaces.github.said import NO_INSTRUCTION, Said, comment, issue_request, mentions, person_of, request

log = logging.getLogger("honk.github")


class Listener:
    """Takes each word once, whichever way and however often it comes. Everything here raises `HonkError`."""

    def __init__(
        self,
        store: Store,
        inbox: Inbox,
        settings: Settings,
        calls: Calls,
        repositories: Repositories,
        answers: Answers,
    ) -> None:
        self._store = store
        self._inbox = inbox
        self._settings = settings
        self._calls = calls
        self._repositories = repositories
        self._answers = answers

    def heard(self, task: Task, repository: Repository, said: Said | None) -> None:
        """Somebody's words on a task's pull request."""
        if said is None or said.bot or self._known(said):
            return
        if said.key.startswith("github:comment") and not mentions(said.text, self._slug):
            return
        if not self._may_write(repository, said, f"pull request {task.pull_request} of {repository.name}"):
            return
        self._react(repository, said)
        try:
            self._inbox.say(task.id, request(said.text, self._slug), said.key, said.person)
        except HonkError as refused:
            if refused.passing:
                raise
            self._answers.reply(repository, task.pull_request or 0, said, str(refused))
        self._note(said.key)

    def issue(self, repository: Repository, payload: Mapping[str, Any]) -> None:
        """An issue got Honk's label, was assigned to Honk, or speaks to it."""
        issue, action = payload["issue"], payload.get("action")
        label = str((payload.get("label") or {}).get("name") or "")
        labelled = action == "labeled" and self.is_label(label)
        assigned = action == "assigned" and self.is_honk(payload.get("assignee"))
        spoken = action == "opened" and mentions(f"{issue.get('title')}\n{issue.get('body')}", self._slug)
        sender = payload.get("sender")
        if "pull_request" in issue or not sender or not (labelled or assigned or spoken):
            return
        key = f"github:issue:{issue['id']}"
        asked = Said(key, sender["login"], person_of(sender), "", issue["html_url"], sender.get("type") == "Bot")
        self._begin(repository, issue, asked, self._request(repository, issue))

    def issue_comment(self, repository: Repository, issue: Mapping[str, Any], said: Said | None) -> None:
        """Somebody's words on an issue."""
        if said is None or said.bot or not mentions(said.text, self._slug):
            return
        asked_on = self._request(repository, issue)
        words = f"{request(said.text, self._slug)}\n\nThis was asked on an issue: {asked_on}"
        self._begin(repository, issue, said, words)

    def is_label(self, name: str) -> bool:
        """Whether a label is the one that starts a task. GitHub takes labels that differ in case for one."""
        return name.lower() == self._settings.github_label.lower()

    def is_honk(self, user: Mapping[str, Any] | None) -> bool:
        """Whether a user is the app."""
        return str((user or {}).get("login") or "") in (self._slug, f"{self._slug}[bot]")

    @property
    def _slug(self) -> str:
        return str(self._calls.app().get("slug") or "honk")

    def _begin(self, repository: Repository, issue: Mapping[str, Any], asked: Said, text: str) -> None:
        if asked.bot or self._known(asked):
            return
        if not self._may_write(repository, asked, f"issue {issue['number']} of {repository.name}"):
            return
        self._react(repository, asked, issue)
        try:
            task = self._inbox.submit(
                repo=repository.name,
                text=text,
                context=self._discussion(repository, issue, asked),
                key=asked.key,
                person=asked.person,
                origin=issue["html_url"],
            )
            sentence = f"On it: {self._settings.url}/tasks/{task.id}"
        except HonkError as refused:
            if refused.passing:
                raise
            sentence = str(refused)
        self._answers.reply(repository, int(issue["number"]), asked, sentence)
        self._note(asked.key)

    def _request(self, repository: Repository, issue: Mapping[str, Any]) -> str:
        author = str((issue.get("user") or {}).get("login") or "")
        return issue_request(issue, self._slug, trusted=bool(author) and self._writes(repository, author))

    def _discussion(self, repository: Repository, issue: Mapping[str, Any], asked: Said) -> str:
        """What was said on the issue before, by people who may write; by others only where the settings want it."""
        place = self._repositories.place(repository)
        told = []
        for found in self._calls.pages(f"/issues/{issue['number']}/comments", place, to="read an issue"):
            said = comment(found)
            if said is None or said.bot or said.key == asked.key:
                continue
            writes = self._writes(repository, said.login)
            if writes or self._settings.github_strangers == "quote":
                mark = "" if writes else f" ({NO_INSTRUCTION})"
                told.append(f"{said.login}{mark}:\n{request(said.text, '')}")
        return "## What was said on the issue before\n\n" + "\n\n".join(told[-30:]) if told else ""

    def _may_write(self, repository: Repository, said: Said, where: str) -> bool:
        """Only people who may write steer an agent; others are noted."""
        users = [user.lower() for user in self._settings.github_users]
        reason = ""
        if users and said.login.lower() not in users:
            reason = "not among HONK_GITHUB_USERS"
        elif not self._writes(repository, said.login):
            reason = f"may not write to {repository.name}"
        if reason:
            self._inbox.refuse(said.person, where, reason, f"{said.key}:{said.login}")
            self._note(f"{said.key}:{said.login}")
        return not reason

    def _writes(self, repository: Repository, login: str) -> bool:
        return self._repositories.access_of(self._repositories.place(repository), login) == "write"

    def _react(self, repository: Repository, said: Said, issue: Mapping[str, Any] | None = None) -> None:
        path = said.reaction or (f"/issues/{issue['number']}/reactions" if issue else None)
        if path is None:
            return
        try:
            place = self._repositories.place(repository)
            self._calls.call("POST", path, place, to="react", json={"content": "eyes"})
        except HonkError as error:
            log.info("no reaction to %s: %s", said.url, error)

    def _known(self, said: Said) -> bool:
        """Whether it was taken before, or this person was turned away with it."""
        return any(self._store.recall(NAME, "seen", key) is not None for key in (said.key, f"{said.key}:{said.login}"))

    def _note(self, key: str) -> None:
        self._store.remember(NAME, "seen", key, {})
