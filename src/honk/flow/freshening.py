"""Mirrors follow what is pushed: fetched in the background, once for all pushes that come at about the same time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from honk.model import HonkError, Repository

log = logging.getLogger("honk.flow")

_SETTLE_SECONDS = 0.5
"""Pushes often come in a row. A task that is asked for meanwhile fetches by itself."""


class Freshening:
    """`fetch` brings the mirror of a repository that is in use here up to date and returns its newest commit, or None
    where it is not in use; `then` is called with that commit."""

    def __init__(
        self, fetch: Callable[[Repository], str | None], then: Callable[[Repository, str], None] = lambda _, __: None
    ) -> None:
        self._fetch = fetch
        self._then = then
        self._lock = threading.Lock()
        self._waiting: set[str] = set()
        self._over = threading.Event()
        self._workers = ThreadPoolExecutor(1, "honk-freshen")

    def want(self, repository: Repository) -> None:
        """Something was pushed to the default branch. Returns at once."""
        with self._lock:
            if self._over.is_set() or repository.name in self._waiting:
                return
            self._waiting.add(repository.name)
        self._workers.submit(self._freshen, repository)

    def close(self) -> None:
        """Begin nothing more."""
        self._over.set()
        self._workers.shutdown(wait=False, cancel_futures=True)

    def _freshen(self, repository: Repository) -> None:
        self._over.wait(_SETTLE_SECONDS)
        # What is pushed from here on may come too late for this fetch, so it asks for another.
        with self._lock:
            self._waiting.discard(repository.name)
        try:
            if newest := self._fetch(repository):
                self._then(repository, newest)
        except HonkError as error:
            log.info("%s was pushed to and could not be fetched: %s", repository.name, error)
        except Exception:
            log.exception("a mirror could not be brought up to date")
