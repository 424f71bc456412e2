"""Webhooks in, a look at what has changed now and then, and short answers out.

A webhook is a hint. It is written down before it is acknowledged, and what it is about is then looked at as it stands:
so a lost, repeated, late or reordered one changes nothing, and a place without a public address works by looking alone.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from honk.flow.inbox import Inbox
from honk.model import HonkError, Repository
from honk.settings import Settings
from honk.store import Store
from honk.surfaces.github.answers import Answers
from honk.surfaces.github.calls import NAME, Calls, Repositories
from honk.surfaces.github.listening import Listener
from honk.surfaces.github.looking import Looker
from honk.surfaces.github.said import Said, comment, review, review_comment
from honk.surfaces.github.signature import BadDelivery, Delivery, read_delivery

log = logging.getLogger("honk.github")

_AT_ONCE = 50
"""How many webhooks are held in memory at once; the others wait in the store."""
_LONGEST_PAUSE = 60.0
_SPARED = 30
"""Repositories that are looked at without slowing down; each further one makes the pause a second longer, so that the
looking stays within GitHub's hourly limit."""


class GitHubSurface:
    """People's side of GitHub. `http` is the webhook's door; `start` begins to look and to answer."""

    def __init__(
        self, store: Store, inbox: Inbox, settings: Settings, calls: Calls, repositories: Repositories
    ) -> None:
        self._store = store
        self._inbox = inbox
        self._settings = settings
        self._repositories = repositories
        self._answers = Answers(store, settings, calls, repositories)
        self._listener = Listener(store, inbox, settings, calls, repositories, self._answers)
        self._looker = Looker(store, inbox, calls, repositories, self._listener)
        self._over = threading.Event()
        self._arrived = threading.Event()
        self._threads: list[threading.Thread] = []
        self._troubles: dict[str, str] = {}

    def http(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Answer a webhook: 202 once it is written down, 4xx with a sentence for what is not to be believed."""
        secret = self._settings.github_webhook_secret
        if secret is None:
            return 404, b"Webhooks are not set up here: set HONK_GITHUB_WEBHOOK_SECRET."
        try:
            delivery = read_delivery(body, headers, secret.get_secret_value())
        except BadDelivery as bad:
            return bad.status, str(bad).encode()
        if delivery.event in _HANDLED:
            kept = {"event": delivery.event, "payload": _hint(delivery.payload)}
            self._store.remember(NAME, "inbox", delivery.id, kept)
            self._arrived.set()
        return 202, b"Taken."

    def start(self) -> None:
        """Begin: work off what came in, look at what changed, answer. Returns at once, however GitHub is."""
        for name, work in (("inbox", self._work_off), ("look", self._look_around), ("answers", self._answer)):
            thread = threading.Thread(target=self._again, args=(name, work), name=f"github-{name}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def close(self) -> None:
        """Stop; what was written down is worked off in the next life."""
        self._over.set()
        self._arrived.set()

    def status(self) -> str:
        """One sentence on how it goes."""
        return next(iter(list(self._troubles.values())), "connected")

    def work_off(self) -> bool:
        """Handle what was written down, the oldest first; False if GitHub could not be asked about all of it."""
        whole = True
        while whole and (batch := self._store.recall_all(NAME, "inbox", _AT_ONCE)):
            for key, kept in batch.items():
                if self._handled(Delivery(key, kept["event"], kept["payload"])):
                    self._store.forget(NAME, "inbox", key)
                else:
                    whole = False
        return whole

    def _handled(self, delivery: Delivery) -> bool:
        """Handle a webhook; False if it has to be tried again."""
        try:
            self.handle(delivery)
        except HonkError as error:
            if error.passing:
                self._troubles["inbox"] = str(error)
                return False
            log.info("a %s webhook led to nothing: %s", delivery.event, error)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            log.warning("a %s webhook cannot be read: %r", delivery.event, error)
        return True

    def handle(self, delivery: Delivery) -> None:
        """Do what a webhook is a hint to. Raises `HonkError` if GitHub does not answer."""
        payload = delivery.payload
        if delivery.event in ("installation", "installation_repositories"):
            self._repositories.register_all()
            return
        repository = self._repository(payload)
        if repository is None:
            return
        if delivery.event == "issues":
            self._listener.issue(repository, payload)
        elif delivery.event == "issue_comment" and "pull_request" not in payload["issue"]:
            if payload.get("action") == "created":
                self._listener.issue_comment(repository, payload["issue"], comment(payload["comment"]))
        elif delivery.event == "push":
            if payload.get("ref") == f"refs/heads/{repository.default_branch}":
                self._inbox.moved(repository)
        elif delivery.event in ("check_run", "status"):
            self._looker.red(repository, str(payload.get("sha") or payload["check_run"]["head_sha"]))
        else:
            number = (payload.get("pull_request") or payload.get("issue") or {}).get("number")
            task = self._store.task_of_pull_request(repository.name, int(number)) if number else None
            if task:
                self._listener.heard(task, repository, _words(delivery))
                self._looker.look(task, repository)

    def _repository(self, payload: Mapping[str, Any]) -> Repository | None:
        name = (payload.get("repository") or {}).get("full_name")
        return self._repositories.lookup(str(name)) if name else None

    # -- what goes on by itself --------------------------------------------------------------------------------------

    def _again(self, name: str, work: Callable[[], float]) -> None:
        """Do it again and again, after as many seconds as it returns; after longer and longer while it fails."""
        pause = 1.0
        while not self._over.is_set():
            try:
                wait = work()
                self._troubles.pop(name, None)
                pause = 1.0
            except Exception as error:
                if not isinstance(error, HonkError):
                    log.exception("working with GitHub failed")
                self._troubles[name] = str(error) if isinstance(error, HonkError) else "See the server's log."
                wait, pause = pause, min(pause * 2, _LONGEST_PAUSE)
            (self._arrived if name == "inbox" and pause == 1.0 else self._over).wait(wait)

    def _work_off(self) -> float:
        self._arrived.clear()
        if not self.work_off():
            raise HonkError(self._troubles["inbox"])
        return 5.0

    def _look_around(self) -> float:
        repositories = self._looker.look_around()
        asked = self._settings.github_poll_seconds
        if asked is None:
            asked = 300.0 if self._settings.github_webhook_secret else 60.0
        return max(asked or 3600.0, float(repositories - _SPARED))

    def _answer(self) -> float:
        self._answers.catch_up()
        return 0.5


_HANDLED = frozenset(
    {
        "issues", "issue_comment", "pull_request", "pull_request_review", "pull_request_review_comment", "check_run",
        "status", "push", "installation", "installation_repositories",
    }
)  # fmt: skip


def _hint(payload: Mapping[str, Any]) -> dict[str, Any]:
    """What of a webhook is used: who did what to what. A payload may be megabytes long."""
    kept = {name: payload[name] for name in _WORDS if name in payload}
    for name, parts in _PARTS.items():
        if isinstance(payload.get(name), dict):
            kept[name] = {part: payload[name][part] for part in parts if part in payload[name]}
    return kept


_WORDS = ("action", "sha", "ref", "sender", "label", "assignee", "issue", "comment", "review")
_PARTS = {"repository": ("full_name",), "pull_request": ("number",), "check_run": ("head_sha",)}


def _words(delivery: Delivery) -> Said | None:
    """What was said, if a webhook about a pull request tells of words."""
    payload, action = delivery.payload, delivery.payload.get("action")
    if delivery.event == "issue_comment" and action == "created":
        return comment(payload["comment"])
    if delivery.event == "pull_request_review" and action == "submitted":
        return review(payload["review"])
    if delivery.event == "pull_request_review_comment" and action == "created":
        return review_comment(payload["comment"])
    return None
