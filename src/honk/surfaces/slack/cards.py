"""Tails the log: each task's card shows what stands now, and what is worth a message is said once, in order.

What is shown is made when it is sent, so content that could not be sent in time is never sent late. A row for each
card says what was sent, and, before a post, that one is under way: so the next life looks before it posts again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from honk.flow.inbox import Inbox
from honk.flow.view import settles, task_view
from honk.model import Event, HonkError, State, Task
from honk.settings import Settings
from honk.ship.installs import install_links
from honk.store import Store
from honk.surfaces.slack.calls import Calls, Gone, SlackError, Unavailable
from honk.surfaces.slack.card import STAGES, Facts, card
from honk.surfaces.slack.people import SURFACE
from honk.surfaces.slack.pictures import Pictures
from honk.surfaces.slack.posts import change, find, post
from honk.surfaces.slack.told import TOLD, told

log = logging.getLogger("honk.slack")

_LOOK = 0.25
"""Seconds between looks at the log."""
_GENTLE = 3.0
"""Seconds between two changes of a card while nothing that matters happens."""
_LONGEST_PAUSE = 60.0
_NEWEST = 200
_MATTERS = TOLD | {
    "merge.requested",
    "approved",
    "overridden",
    "judge.finished",
    "tamper.found",
    "tried",
    "package.compared",
    "card.void",
    "retry.requested",
    "rollback.requested",
    "deploy.started",
    "egress.refused",
    "egress.allowed",
}

Row = dict[str, Any]
"""channel, thread (None until the card itself has begun it), ts, posting, digest, told, telling, given_up."""


class Cards:
    """The cards of all tasks that were asked for in Slack."""

    def __init__(
        self,
        store: Store,
        inbox: Inbox,
        settings: Settings,
        calls: Calls,
        image: Callable[[str, Task], bytes | None] | None,
    ) -> None:
        self._store = store
        self._inbox = inbox
        self._settings = settings
        self._calls = calls
        self._pictures = Pictures(store, calls, image) if image else None
        self._lock = threading.Lock()
        self._waiting: dict[str, int] = {}
        """Tasks whose card may be out of date, with the event from which on it may be."""
        self._due: dict[str, float] = {}
        self._tries: dict[str, int] = {}
        self._cursor = 0
        self._lost: dict[str, str] = {}
        self._no_status: set[str] = set()
        self._over = threading.Event()
        self._nudged = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to tail, from where an earlier life came to."""
        kept = self._store.recall(SURFACE, "cursor", "log")
        self._cursor = int(kept["event"]) if kept else self._store.newest_event()
        for task_id, row in self._store.recall_all(SURFACE, "card").items():
            if row.get("given_up"):
                self._lost[task_id] = str(row["given_up"])
            elif not row.get("settled"):
                self._waiting[task_id] = self._cursor + 1
        if self._pictures:
            self._pictures.start()
        self._thread = threading.Thread(target=self._run, name="slack-cards", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop; what is not sent yet is sent in the next life."""
        self._over.set()
        self._nudged.set()
        if self._pictures:
            self._pictures.close()
        if self._thread:
            self._thread.join(5)

    def adopt(self, task: Task, channel: str, thread: str | None) -> None:
        """Show the task's card there from now on. Without a thread the card begins one."""
        with self._lock:
            if self._store.recall(SURFACE, "card", task.id) is None:
                row = {"channel": channel, "thread": thread, "ts": None, "told": 0}
                self._store.remember(SURFACE, "card", task.id, row)
        self.touch(task.id)

    def touch(self, task_id: str) -> None:
        """Look at the task's card now; one that was given up is worth another try where people speak again."""
        if self._lost.get(task_id):
            self._keep(task_id, given_up=None)
        with self._lock:
            self._lost.pop(task_id, None)
            self._waiting.setdefault(task_id, self._cursor + 1)
            self._due[task_id] = 0.0
        self._nudged.set()

    def place(self, task_id: str) -> tuple[str, str | None] | None:
        """The channel and thread in which the task is talked about."""
        row = self._store.recall(SURFACE, "card", task_id)
        return (str(row["channel"]), row.get("thread")) if row else None

    # -- the loop ----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        kept_at, kept = 0.0, -1
        while not self._over.is_set():
            try:
                self._read()
                self._show_what_is_due()
                low = self._low_water()
                if low != kept and time.monotonic() - kept_at > 1:
                    self._store.remember(SURFACE, "cursor", "log", {"event": low})
                    kept_at, kept = time.monotonic(), low
            except Exception:
                log.exception("the log could not be followed; trying again")
                self._over.wait(1)
            self._nudged.wait(_LOOK)
            self._nudged.clear()

    def _low_water(self) -> int:
        with self._lock:
            return min([self._cursor, *(first - 1 for first in self._waiting.values())])

    def _read(self) -> None:
        while events := self._store.events(self._cursor, limit=500):
            with self._lock:
                for event in events:
                    self._cursor = event.id
                    if event.kind == "revert.prepared":
                        self._adopt_beside(event)
                    if event.kind == "build.compared" and event.data["places"]:
                        self._show_beside(event)
                    if event.task_id:
                        self._waiting.setdefault(event.task_id, event.id)
                        if event.kind in _MATTERS and event.task_id not in self._tries:
                            self._due[event.task_id] = 0.0

    def _adopt_beside(self, event: Event) -> None:
        """Show the card of the task that undoes this one in the same thread. Called with the lock held."""
        row = self._store.recall(SURFACE, "card", event.task_id)
        revert_id = str(event.data["task"])
        if row is None or self._store.recall(SURFACE, "card", revert_id):
            return
        thread = row.get("thread") or row.get("ts")
        self._store.remember(
            SURFACE, "card", revert_id, {"channel": row["channel"], "thread": thread, "ts": None, "told": 0}
        )
        if thread:
            remember_task(self._store, str(row["channel"]), str(thread), revert_id, str(thread))

    def _show_beside(self, event: Event) -> None:
        """Put the page as it was and as it is now into the thread."""
        row = self._store.recall(SURFACE, "card", event.task_id)
        thread = (row.get("thread") or row.get("ts")) if row else None
        if row and thread and self._pictures and not row.get("given_up"):
            commit = str(event.data["commit"])
            self._pictures.want(event.task_id, commit, str(row["channel"]), str(thread), compared=True)

    def _show_what_is_due(self) -> None:
        now = time.monotonic()
        with self._lock:
            due = [task_id for task_id in self._waiting if self._due.get(task_id, 0.0) <= now]
            begun = {task_id: self._waiting.pop(task_id) for task_id in due}
        for task_id, first in begun.items():
            if self._over.is_set():
                break
            again = self._try(task_id)
            with self._lock:
                if again is None:
                    self._tries.pop(task_id, None)
                else:
                    self._waiting[task_id] = min(first, self._waiting.get(task_id, first))
                    self._due[task_id] = time.monotonic() + again

    def _try(self, task_id: str) -> float | None:
        """Bring one card up to date; the seconds to wait before trying again, or None if it is done."""
        row = self._store.recall(SURFACE, "card", task_id)
        task = self._store.find_task(task_id)
        if row is None or task is None or row.get("given_up"):
            return None
        try:
            self._bring_up(task, row)
        except Unavailable as error:
            tries = self._tries[task_id] = self._tries.get(task_id, 0) + 1
            return max(error.wait, min(0.5 * 2.0 ** min(tries, 10), _LONGEST_PAUSE))
        except Gone as error:
            self._give_up(task, error.code)
        except (SlackError, HonkError) as error:
            log.warning("the card of task %s cannot be shown: %s", task_id, error)
            tries = self._tries[task_id] = self._tries.get(task_id, 0) + 1
            if tries >= 5:
                self._give_up(task, getattr(error, "code", "refused"))
                return None
            return _GENTLE * tries
        return None

    def _give_up(self, task: Task, code: str) -> None:
        log.warning("the card of task %s is given up: Slack says %s", task.id, code)
        place = self.place(task.id)
        self._keep(task.id, given_up=code)
        with self._lock:
            self._lost[task.id] = code
        reason = f"Slack says {code}: the card of this task can no longer be shown there."
        self._inbox.refuse(task.person, place[0] if place else "slack", reason, f"slack:card:{task.id}:{code}")

    @property
    def given_up(self) -> dict[str, str]:
        """The tasks whose cards cannot be shown any more, with Slack's word for why."""
        with self._lock:
            return dict(self._lost)

    # -- one card ----------------------------------------------------------------------------------------------------

    def _bring_up(self, task: Task, row: Row) -> None:
        events = self._store.newest_events(task.id, _NEWEST)
        shown = card(self.facts(task, events))
        sign = ("honk_task", {"task": task.id})
        if row.get("ts") is None:
            row = self._post_card(task, row, sign)
        elif shown.digest != row.get("digest"):
            change(self._calls, row["channel"], row["ts"], shown, sign)
            self._keep(task.id, digest=shown.digest)
            with self._lock:
                self._due[task.id] = time.monotonic() + _GENTLE
        self._say_status(task, row)
        self._tell(task, row)
        newest = events[0] if events else None
        settled = task.state.resting and (newest is None or settles(newest) or task.state is not State.READY)
        self._keep(task.id, settled=bool(settled))

    def _post_card(self, task: Task, row: Row, sign: tuple[str, dict[str, str]]) -> Row:
        ts = find(self._calls, row["channel"], row.get("thread"), sign) if row.get("posting") else None
        if ts is None:
            self._keep(task.id, posting=True)
            shown = card(self.facts(task, self._store.newest_events(task.id, _NEWEST)))
            try:
                ts = post(self._calls, row["channel"], row.get("thread"), shown, sign)
            except Unavailable as error:
                if not error.unsure:
                    self._keep(task.id, posting=False)
                raise
            self._keep(task.id, digest=shown.digest)
        thread = row.get("thread") or ts
        if row.get("thread") is None:
            remember_task(self._store, str(row["channel"]), ts, task.id, ts)
        with self._lock:
            self._due[task.id] = time.monotonic() + _GENTLE
        return self._keep(task.id, ts=ts, thread=thread, posting=False)

    def facts(self, task: Task, events: list[Event] | None = None) -> Facts:
        """What the task's card is made of now."""
        events = events if events is not None else self._store.newest_events(task.id, _NEWEST)
        settings = self._settings
        view = task_view(self._store, task, settings.url, settings.previews_at, install_links(settings))
        repository = self._store.repository(task.repository)
        will_deploy, wanted = None, False
        if task.state is State.READY:
            try:
                will_deploy = self._inbox.will_deploy(task) if "merge" in view["actions"] else None
                wanted = self._inbox.wants_approval(task)
            except HonkError as error:
                log.info("what a merge of %s needs is not known now: %s", task.id, error)
        return Facts(
            task=task,
            view=view,
            events=events,
            url=self._settings.url,
            branch=repository.default_branch if repository else "the default branch",
            will_deploy=will_deploy,
            approval_wanted=wanted,
            approved_by=[
                str(event.data.get("name") or "somebody")
                for event in events
                if event.kind == "approved" and event.data.get("head_sha") == task.head_sha
            ],
        )

    def _tell(self, task: Task, row: Row) -> None:
        """Say what has not been said yet, the oldest first."""
        for event in self._store.events(int(row.get("told") or 0), task.id, limit=1_000_000):
            shown = told(event, task) if event.kind in TOLD else None
            if shown is None:
                continue
            sign = ("honk_said", {"task": task.id, "event": str(event.id)})
            thread = row.get("thread") or row["ts"]
            under_way = row.get("telling") == event.id
            if not (under_way and find(self._calls, row["channel"], thread, sign)):
                self._keep(task.id, telling=event.id)
                post(self._calls, row["channel"], thread, shown, sign)
            row = self._keep(task.id, told=event.id, telling=None)
            if event.kind == "ready" and self._pictures:
                self._pictures.want(task.id, str(event.data.get("head_sha") or ""), str(row["channel"]), str(thread))

    def _say_status(self, task: Task, row: Row) -> None:
        """Slack's own "is working" line, where there is such a thing."""
        channel, thread = str(row["channel"]), row.get("thread") or row.get("ts")
        words = "" if task.state.resting else f"is {STAGES[task.state][1].lower()}…"
        if channel in self._no_status or not thread or row.get("status", "") == words:
            return
        try:
            self._calls("assistant.threads.setStatus", channel_id=channel, thread_ts=thread, status=words)
        except Unavailable as error:
            if error.code != "ratelimited":
                self._no_status.add(channel)
            return
        except SlackError:
            self._no_status.add(channel)
            return
        self._keep(task.id, status=words)

    def _keep(self, task_id: str, **changes: Any) -> Row:
        with self._lock:
            row = self._store.recall(SURFACE, "card", task_id) or {}
            if any(name not in row or row[name] != value for name, value in changes.items()):
                row |= changes
                self._store.remember(SURFACE, "card", task_id, row)
        return row


def remember_task(store: Store, channel: str, thread: str, task_id: str, ts: str) -> None:
    """Note that what is said in the thread is for the task; the newest task of a thread comes first."""
    place = f"{channel}:{thread}"
    known = store.recall(SURFACE, "thread", place) or {"tasks": [], "since": ts, "heard": ts}
    if task_id not in known["tasks"]:
        store.remember(SURFACE, "thread", place, known | {"tasks": [task_id, *known["tasks"]][:20]})
