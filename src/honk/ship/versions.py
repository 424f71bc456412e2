"""A commit's service in production: started, kept running, made to leave when its visitors are done."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from starlette.types import Receive, Scope, Send

from honk.model import Cancelled, Checkout, HonkError
from honk.repository_file import Service
from honk.ship.health import ask
from honk.ship.previews.pages import away
from honk.ship.previews.proxy import AS_IT_IS, Unreachable, forward, forward_websocket
from honk.ship.services import ForGood, Readiness, Running, running

log = logging.getLogger("honk.ship")

_LOOK_SECONDS = 0.1
_LEAVING = 30.0
"""Seconds that a version which was replaced has for the requests it has begun to answer."""
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
"""Seconds before one that ended is started again: the first time, and when it has ended again and again."""
_STEADY = 60.0
"""Seconds after which one that runs is thought well again."""


DATA = "/data"
"""The folder of a service's own, as it sees it. Each version finds what the one before has left there."""


@dataclass(frozen=True)
class Prepared:
    """A checkout that is set up, and how its service is run."""

    checkout: Checkout
    service: Service
    ready: Readiness
    answers: str | None = None
    """The path at which it has to answer before it counts as started."""
    within: float = 5.0
    """Seconds that such an answer may take."""


Prepare = Callable[[Callable[[], bool], Callable[[str], None]], AbstractContextManager[Prepared]]
"""Checks the commit out and sets it up, until `stop()`, with its output as it comes."""
Run = Callable[[Prepared, Callable[[], bool]], AbstractContextManager[Running]]
Tell = Callable[[str, Mapping[str, Any]], None]
"""Puts down what became of a version in production: the event and what it tells."""


class Version:
    """One commit's service. Safe to use from many threads.

    Its checkout and set-up stay until it is discarded, so one that was retired is back within its own start.
    """

    def __init__(self, prepare: Prepare, run: Run, tell: Tell) -> None:
        self._prepare, self._run, self._tell = prepare, run, tell
        self._changed = threading.Condition()
        self._on_output: Callable[[str], None] = lambda _: None
        self._prepared: Prepared | None = None
        self._stack = ExitStack()
        self._wanted = False
        self._discarded = False
        self._in_production = False
        self._leave_by = 0.0
        self._listens: Future[None] = Future()
        self._address: tuple[Path, int] | None = None
        self._visits = 0
        self._listened_at: float | None = None
        self._trouble: str | None = None
        self._owes_word = self._quiet = False
        self._thread = threading.Thread(target=self._live, name="version", daemon=True)
        self._thread.start()

    @property
    def trouble(self) -> str | None:
        """How it ended, if it ever has since it went into production."""
        return self._trouble

    def keep(self, on_output: Callable[[str], None] = lambda _: None) -> Future[None]:
        """Have it run from now on. The future is done when it listens and answers, or could not be made to."""
        with self._changed:
            self._on_output = on_output
            self._wanted = True
            self._changed.notify_all()
            return self._listens

    def enter_production(self) -> None:
        """From now on it is told when it ends."""
        with self._changed:
            self._in_production, self._trouble = True, None

    def retire(self) -> None:
        """Have it end when whoever it answers has their answer, or has waited long enough."""
        with self._changed:
            self._wanted = self._in_production = False
            self._leave_by = time.monotonic() + _LEAVING
            self._changed.notify_all()

    def discard(self, *, at_once: bool = False) -> threading.Thread:
        """Retire it for good; the thread ends when nothing is left of it."""
        with self._changed:
            if self._wanted or at_once:
                self.retire()
            if at_once:
                self._leave_by = 0.0
            self._discarded = True
            self._changed.notify_all()
        return self._thread

    async def respond(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Hand a request on; false if nothing listens here (any more)."""
        with self._visit() as address:
            if address is None:
                return False
            scope[AS_IT_IS] = True
            if scope["type"] == "websocket":
                await forward_websocket(*address, scope, receive, send)
                return True
            try:
                await forward(*address, scope, receive, send)
            except Unreachable:
                await away(502, "The service does not answer.", scope)(scope, receive, send)
            return True

    @contextmanager
    def _visit(self) -> Iterator[tuple[Path, int] | None]:
        with self._changed:
            address = self._address
            self._visits += 1
        try:
            yield address
        finally:
            with self._changed:
                self._visits -= 1

    def _live(self) -> None:
        pause = _FIRST_PAUSE
        try:
            while self._is_wanted():
                words = self._once()
                if words is None or self._listened_for(_STEADY):
                    pause = _FIRST_PAUSE
                if words is None:
                    continue
                self._ended(words, pause)
                with self._changed:
                    self._changed.wait_for(lambda: not self._wanted, pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
        finally:
            self._stack.close()

    def _is_wanted(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._wanted or self._discarded)
            return not self._discarded

    def _once(self) -> str | None:
        """Run it until it has left; how it ended instead, if it did so by itself."""
        self._listened_at = None
        try:
            if self._prepared is None:
                context = self._prepare(self._stops, self._on_output)
                self._prepared = self._stack.enter_context(context)
            with self._run(self._prepared, self._stops) as running:
                self._until_it_answers(running, self._prepared)
                self._listen(running.address, self._prepared.service.port)
                while running.alive:
                    if self._leaves():
                        return None
                    self._tell_that_it_is_back()
                    with self._changed:
                        self._changed.wait(_LOOK_SECONDS)
        except Cancelled:
            return None if self._wanted else self._close("The service was stopped before it listened.")
        except HonkError as error:
            return self._close(str(error))
        except Exception as error:
            log.exception("a service could not be run")
            return self._close(f"The service could not be run ({error}): see Honk's log.")
        if running.completed is None:
            return self._close(f"The service ended: {running.error}")
        return self._close(f"The service ended with exit code {running.completed.exit_code}.\n{running.said}".rstrip())

    def _until_it_answers(self, running: Running, prepared: Prepared) -> None:
        if prepared.answers is None:
            return
        deadline = time.monotonic() + prepared.service.ready
        address = f"http://localhost:{prepared.service.port}{prepared.answers}"
        while evidence := ask(address, prepared.within, running.address):
            if self._stops():
                raise Cancelled("Cancelled.")
            if not running.alive or time.monotonic() > deadline:
                running.end()
                raise HonkError(f"The service listens, but is not well: {evidence}\n{running.said}".rstrip())
            time.sleep(_LOOK_SECONDS)

    def _stops(self) -> bool:
        return not self._wanted

    def _listen(self, address: Path, port: int) -> None:
        with self._changed:
            self._address = (address, port)
            self._listened_at = time.monotonic()
            self._listens.set_result(None)

    def _leaves(self) -> bool:
        """Whether its time has come; nobody is let in from then on."""
        with self._changed:
            if self._wanted or (self._visits and time.monotonic() < self._leave_by):
                return False
            self._address = None
            self._listens = Future()
            return True

    def _close(self, words: str) -> str | None:
        """Let nobody in; the words, unless that was wanted."""
        with self._changed:
            self._address = None
            if self._in_production:
                self._trouble = words
            if not self._listens.done():
                self._listens.set_exception(HonkError(words))
            self._listens = Future()
            return words if self._wanted else None

    def _ended(self, words: str, pause: float) -> None:
        if not self._in_production:
            return
        if not self._quiet:
            self._put_down("service.ended", {"error": words, "again_in": pause})
            # One that ends again and again is told of until that is plain, and then only when it is over.
            self._owes_word, self._quiet = True, pause >= _LONGEST_PAUSE

    def _tell_that_it_is_back(self) -> None:
        if self._owes_word and self._listened_for(_STEADY if self._quiet else 0.0):
            self._put_down("service.restarted", {})
            self._owes_word = self._quiet = False

    def _listened_for(self, seconds: float) -> bool:
        return self._listened_at is not None and time.monotonic() - self._listened_at >= seconds

    def _put_down(self, kind: str, data: Mapping[str, Any]) -> None:
        try:
            self._tell(kind, data)
        except Exception:
            log.exception("what became of a service could not be put down")


def versions(
    prepare: Callable[[str, str, Callable[[], bool], Callable[[str], None]], AbstractContextManager[Prepared]],
    tell: Callable[[str, str, str, Mapping[str, Any]], None],
    distil: Callable[[str], str],
    environment: Mapping[str, str],
) -> Callable[[Path, str], Version]:
    """Makes the version of a repository, named as its folder in production is, and a commit. `prepare` and `tell` get
    both before what `Prepare` and `Tell` say."""

    def version(folder: Path, commit: str) -> Version:
        data = folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        how = ForGood({**environment, "HONK_DATA_DIR": DATA}, {DATA: data})

        def run(prepared: Prepared, stop: Callable[[], bool]) -> AbstractContextManager[Running]:
            return running(prepared.checkout, prepared.service, prepared.ready, distil=distil, stop=stop, for_good=how)

        return Version(partial(prepare, folder.name, commit), run, partial(tell, folder.name, commit))

    return version
