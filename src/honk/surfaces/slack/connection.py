"""Socket Mode and what is owed after it was lost: is Honk heard and does it hear, since when not, what was missed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from honk.settings import Settings
from honk.store import Store
from honk.surfaces.slack.calls import Calls, SlackError, Unavailable
from honk.surfaces.slack.people import SURFACE, People

if TYPE_CHECKING:
    from slack_bolt import App

log = logging.getLogger("honk.slack")

_LOOK = 0.5
_LONGEST_PAUSE = 60.0
_ASK_AGAIN = 3.0
"""Seconds between two questions who Honk is, while Slack does not say."""
_ALIVE = 20.0
"""Seconds between two notes that all is heard."""
_MARGIN = 300.0
"""Seconds before the loss from which on messages are asked for again; what is known already changes nothing."""
_OWED = timedelta(days=14)
_THREADS = 300
_REFUSALS = frozenset(
    {"invalid_auth", "not_authed", "token_revoked", "not_allowed_token_type", "account_inactive", "missing_scope"}
)


class Connection:
    """Keeps the connection, and says how it is."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        calls: Calls,
        people: People,
        missed: Callable[[dict[str, Any]], None],
        ping: float,
    ) -> None:
        self._store = store
        self._settings = settings
        self._calls = calls
        self._people = people
        self._missed = missed
        self._ping = ping
        self._handler: Any = None
        self._connected = False
        self._lost_since: datetime | None = None
        self._refused: str | None = None
        self._owed = True
        """Whether what may have been missed has still to be asked for."""
        self._left: list[tuple[str, str, dict[str, str]]] | None = None
        """Where has still to be asked; None: that has not been put together yet."""
        self._alive_at = self._ask_after = 0.0
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, app: App) -> None:
        """Begin to connect; returns at once."""
        self._thread = threading.Thread(target=self._run, args=(app,), name="slack-connection", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Hang up."""
        self._over.set()
        if self._thread:
            self._thread.join(5)
        if self._handler:
            _hang_up(self._handler)

    def status(self) -> str:
        """One sentence."""
        if self._refused:
            return f"Slack says {self._refused} to the app token: run `honk setup slack`"
        if trouble := self._calls.trouble:
            return trouble
        if self._lost_since:
            return f"the socket has been lost since {self._lost_since.astimezone():%H:%M}; retrying"
        if not (self._settings.slack_app_token or self._settings.slack_signing_secret):
            return (
                "Honk hears nothing: set HONK_SLACK_APP_TOKEN (Socket Mode) or HONK_SLACK_SIGNING_SECRET (Events API), "
                "or run `honk setup slack`"
            )
        if self._settings.slack_app_token and not self._connected:
            return "connecting"
        return "connected" if self._people.bot else "connecting"

    # -- the loop ----------------------------------------------------------------------------------------------------

    def _run(self, app: App) -> None:
        asked_at: float | None = None
        tries, pause_until = 0, 0.0
        while not self._over.is_set():
            try:
                now = time.monotonic()
                unknown = self._people.bot is None or self._calls.trouble is not None
                if asked_at is None or (unknown and now - asked_at > _ASK_AGAIN):
                    asked_at = now
                    self._introduce()
                if self._settings.slack_app_token and now >= pause_until:
                    if self._handler is None and not self._connect(app):
                        tries += 1
                        pause_until = time.monotonic() + min(0.5 * 2**tries, _LONGEST_PAUSE)
                    self._look()
                if self._hears:
                    self._settle_what_is_owed()
                    self._note_alive()
            except Exception:
                log.exception("the connection to Slack could not be looked after; trying again")
            self._over.wait(_LOOK)

    @property
    def _hears(self) -> bool:
        return self._people.bot is not None and (self._connected or not self._settings.slack_app_token)

    def _introduce(self) -> None:
        try:
            self._people.introduce()
        except SlackError as error:
            log.info("Slack does not say who Honk is: %s", error)

    def _connect(self, app: App) -> bool:
        from slack_bolt.adapter.socket_mode import SocketModeHandler

        token = self._settings.slack_app_token
        quiet = logging.getLogger("honk.slack.socket")
        quiet.setLevel(logging.CRITICAL)  # status() says what it would log every few seconds
        handler: Any = SocketModeHandler(
            app,
            token.get_secret_value() if token else "",
            logger=quiet,
            web_client=WebClient(
                base_url=self._settings.slack_api_url.rstrip("/") + "/", timeout=15, retry_handlers=[], logger=quiet
            ),
            ping_interval=self._ping,
            concurrency=1,  # what comes is only written down here, in the order in which it came
        )
        handler.client.on_close_listeners.append(self._missed_some)
        try:
            handler.connect()
        except Exception as error:
            code = str(error.response.get("error")) if isinstance(error, SlackApiError) else ""
            self._refused = code if code in _REFUSALS else None
            self._lose()
            log.info("the socket could not be opened: %s", type(error).__name__)
            _hang_up(handler)
            return False
        self._refused = None
        self._handler = handler
        return True

    def _look(self) -> None:
        connected = bool(self._handler and self._handler.client.is_connected())
        if connected and not self._connected:
            self._lost_since = None
        elif not connected:
            self._lose()
        self._connected = connected

    def _lose(self) -> None:
        if self._lost_since is None:
            self._lost_since = datetime.now(UTC)
            self._missed_some()

    def _missed_some(self, *_: object) -> None:
        self._owed, self._left = True, None

    def _note_alive(self) -> None:
        if not self._owed and time.monotonic() - self._alive_at > _ALIVE:
            self._alive_at = time.monotonic()
            self._store.remember(SURFACE, "heard", "all", {"until": time.time()})

    # -- what was missed ---------------------------------------------------------------------------------------------

    def _settle_what_is_owed(self) -> None:
        if not self._owed or time.monotonic() < self._ask_after:
            return
        kept = self._store.recall(SURFACE, "heard", "all")
        if kept:
            oldest = f"{float(kept['until']) - _MARGIN:.6f}"
            if self._left is None:
                self._left = self._places()
            try:
                while self._left:
                    method, channel, where = self._left[0]
                    self._hear(method, channel, oldest, **where)
                    self._left.pop(0)
            except Unavailable as error:
                self._ask_after = time.monotonic() + min(max(error.wait, 1.0), _LONGEST_PAUSE)
                return
        self._left = None
        self._owed = False

    def _places(self) -> list[tuple[str, str, dict[str, str]]]:
        """The channels Honk is spoken to in, and the threads with tasks that may go on."""
        places: list[tuple[str, str, dict[str, str]]] = [
            ("conversations.history", channel, {}) for channel in self._store.recall_all(SURFACE, "channel")
        ]
        for place, thread in list(self._store.recall_all(SURFACE, "thread").items())[-_THREADS:]:
            channel, _, ts = place.partition(":")
            if self._is_open(thread["tasks"]):
                places.append(("conversations.replies", channel, {"ts": ts}))
        return places

    def _is_open(self, tasks: list[str]) -> bool:
        newest = self._store.find_task(tasks[0]) if tasks else None
        return newest is not None and datetime.now(UTC) - newest.updated_at < _OWED

    def _hear(self, method: str, channel: str, oldest: str, **where: str) -> None:
        try:
            for message in self._calls.pages(method, "messages", channel=channel, oldest=oldest, limit=200, **where):
                if str(message.get("ts")) > oldest:
                    self._missed({**message, "type": "message", "channel": channel})
        except Unavailable:
            raise
        except SlackError as error:
            log.info("what was missed in %s cannot be read: %s", channel, error)


def _hang_up(handler: Any) -> None:
    """Close the socket; that its threads take seconds to notice is nobody's concern."""
    handler.client.closed = True
    handler.client.auto_reconnect_enabled = False
    threading.Thread(target=_close, args=(handler,), name="slack-hang-up", daemon=True).start()


def _close(handler: Any) -> None:
    try:
        handler.close()
    except Exception:
        log.debug("hanging up failed", exc_info=True)
