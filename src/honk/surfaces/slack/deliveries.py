"""What came from Slack, written down before it is acknowledged and worked off afterwards."""

from __future__ import annotations

import hashlib
import json
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from honk.store import Store
from honk.surfaces.slack.calls import Unavailable
from honk.surfaces.slack.people import SURFACE

log = logging.getLogger("honk.slack")

_KIND = "arrived"
_HANDS = 4
_LONGEST_PAUSE = 60.0

Delivery = dict[str, Any]
"""`kind` (event, action, choice, command, shortcut, view), `body` as Slack sent it, `place` whose order matters."""


class Deliveries:
    """Keeps, then works off; in one place (a thread) one after the other, as they came."""

    def __init__(self, store: Store, work: Callable[[Delivery, int], None], failed: Callable[[Delivery], None]) -> None:
        self._store = store
        self._work = work
        self._failed = failed
        self._queues: list[queue.SimpleQueue[tuple[str, Delivery] | None]] = [
            queue.SimpleQueue() for _ in range(_HANDS)
        ]
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    def keep(self, kind: str, body: Mapping[str, Any], place: str, key: str | None = None) -> None:
        """Write it down; when this returns it is safe to tell Slack so."""
        key = key or hashlib.sha256(json.dumps([kind, body], sort_keys=True).encode()).hexdigest()
        delivery = {"kind": kind, "body": dict(body), "place": place}
        self._store.remember(SURFACE, _KIND, key, delivery)
        self._hand_on(key, delivery)

    def start(self) -> None:
        """Begin to work, with what an earlier life left."""
        for key, delivery in self._store.recall_all(SURFACE, _KIND).items():
            self._hand_on(key, delivery)
        for line in self._queues:
            thread = threading.Thread(target=self._run, args=(line,), name="slack-deliveries", daemon=True)
            thread.start()
            self._threads.append(thread)

    def close(self) -> None:
        """Stop after what is being worked on; the rest is for the next life."""
        self._over.set()
        for line in self._queues:
            line.put(None)
        for thread in self._threads:
            thread.join(5)

    def _hand_on(self, key: str, delivery: Delivery) -> None:
        hand = int(hashlib.sha256(str(delivery["place"]).encode()).hexdigest(), 16) % _HANDS
        self._queues[hand].put((key, delivery))

    def _run(self, line: queue.SimpleQueue[tuple[str, Delivery] | None]) -> None:
        while not self._over.is_set():
            next_one = line.get()
            if next_one is None:
                return
            key, delivery = next_one
            if self._store.recall(SURFACE, _KIND, key) is None:
                continue  # delivered twice, and worked off the first time
            if self._finish(delivery):
                self._store.forget(SURFACE, _KIND, key)

    def _finish(self, delivery: Delivery) -> bool:
        """Work on one until it is done; False if Honk closes before that."""
        attempt = 0
        while not self._over.is_set():
            try:
                self._work(delivery, attempt)
                return True
            except Unavailable as error:
                pause = min(max(error.wait, 0.5 * 2**attempt), _LONGEST_PAUSE)
                attempt += 1
                self._over.wait(pause)
            except Exception:
                log.exception("a delivery of Slack's could not be worked off (kind %s)", delivery["kind"])
                self._tell_failure(delivery)
                return True
        return False

    def _tell_failure(self, delivery: Delivery) -> None:
        deadline = time.monotonic() + 60
        while not self._over.is_set() and time.monotonic() < deadline:
            try:
                self._failed(delivery)
                return
            except Unavailable as error:
                self._over.wait(max(error.wait, 1.0))
            except Exception:
                log.exception("and whoever sent it could not be told")
                return
