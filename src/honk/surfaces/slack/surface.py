"""Puts the Slack surface together: the app that listens, those who work off what it heard, and the cards."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from slack_bolt import Ack, App, BoltRequest
from slack_bolt.authorization import AuthorizeResult

from honk.flow.inbox import Inbox
from honk.model import Task
from honk.settings import Settings
from honk.store import Store
from honk.surfaces.slack.answers import HELP, Answers
from honk.surfaces.slack.calls import Calls, SlackError, Unavailable
from honk.surfaces.slack.cards import Cards
from honk.surfaces.slack.connection import Connection
from honk.surfaces.slack.conversation import Conversation
from honk.surfaces.slack.deliveries import Deliveries, Delivery
from honk.surfaces.slack.earlier import Earlier
from honk.surfaces.slack.home import Home
from honk.surfaces.slack.people import SURFACE, People
from honk.surfaces.slack.repositories import Repositories
from honk.surfaces.slack.taps import Taps

log = logging.getLogger("honk.slack")

_MAX_BODY = 1_000_000
"""Bytes of a request of the Events API."""
_REMEMBERED = 30 * 24 * 3600.0
"""Seconds. How long it is known which messages were handled."""
_ANY = re.compile(".*", re.DOTALL)
_MESSAGES = ("message", "app_mention")
_FAILED = "Something went wrong inside Honk; the server's log has the details. Say it again to try again."


def _no_image(kind: str, task: Task) -> bytes | None:
    return None


class SlackSurface:
    """People's side of Slack. `start` begins to listen (Socket Mode, with an app token) and to speak; `http` is the
    Events API's door (with a signing secret)."""

    def __init__(
        self,
        store: Store,
        inbox: Inbox,
        settings: Settings,
        *,
        image: Callable[[str, Task], bytes | None] = _no_image,
        timeout: int = 15,
        ping: float = 10.0,
    ) -> None:
        """`image` gives a task's `screenshot` or `qr` as PNG. `timeout` of a call and `ping` in seconds."""
        self._store = store
        self._settings = settings
        self._calls = Calls(settings, timeout)
        self._people = People(store, settings, self._calls)
        self._cards = Cards(store, inbox, settings, self._calls, image)
        self._repositories = Repositories(store, inbox, self._calls)
        self._answers = Answers(store, inbox, self._calls, self._people)
        earlier = Earlier(inbox, settings, self._calls, self._people)
        self._conversation = Conversation(
            store, inbox, self._calls, self._people, self._cards, earlier, self._repositories, self._answers
        )
        self._taps = Taps(
            store, inbox, self._calls, self._people, self._cards, earlier, self._repositories, self._answers,
            self._conversation,
        )  # fmt: skip
        self._home = Home(store, inbox, settings, self._calls, self._people, self._cards)
        self._deliveries = Deliveries(store, self._work, self._failed)
        self._connection = Connection(store, settings, self._calls, self._people, self._missed, ping)
        self._app = self._listen()

    # -- the door ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin; returns at once, however Slack is."""
        self._deliveries.start()
        self._cards.start()
        self._connection.start(self._app)
        threading.Thread(target=self._tidy, name="slack-tidy", daemon=True).start()

    def close(self) -> None:
        """Stop; what is not done yet is done in the next life."""
        self._connection.close()
        self._deliveries.close()
        self._cards.close()

    def http(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, Mapping[str, str], bytes]:
        """Answer `POST /slack/events`: events, taps, commands and menus, signed by Slack at most five minutes ago."""
        plain = {"content-type": "text/plain; charset=utf-8"}
        if self._settings.slack_signing_secret is None:
            return 404, plain, b"The Events API is not set up here: set HONK_SLACK_SIGNING_SECRET."
        if len(body) > _MAX_BODY:
            return 413, plain, b"This is larger than Honk reads."
        try:
            text = body.decode()
        except UnicodeDecodeError:
            return 400, plain, b"This is not UTF-8."
        given: dict[str, str | Sequence[str]] = {name.lower(): [value] for name, value in headers.items()}
        if not ("x-slack-signature" in given and "x-slack-request-timestamp" in given):
            return 401, plain, b"Requests have to be signed by Slack."
        answer = self._app.dispatch(BoltRequest(body=text, headers=given))
        shown = {name: str(values[0]) for name, values in answer.headers.items() if values}
        return answer.status, shown, str(answer.body or "").encode()

    def status(self) -> str:
        """One sentence on the connection."""
        told = self._connection.status()
        if told == "connected" and (gone := self._cards.given_up):
            cards = "1 card" if len(gone) == 1 else f"{len(gone)} cards"
            codes = ", ".join(sorted(set(gone.values())))
            return f"connected; {cards} cannot be shown any more (Slack says {codes}): invite Honk there again"
        return told

    # -- listening ---------------------------------------------------------------------------------------------------

    def _listen(self) -> App:
        quiet = logging.getLogger("honk.slack.bolt")
        quiet.setLevel(logging.ERROR)
        secret = self._settings.slack_signing_secret
        token = self._calls.client.token or ""

        def authorize() -> AuthorizeResult:
            # Who may use the app is asked when it is worked off; nothing here may depend on Slack's answering.
            return AuthorizeResult(
                enterprise_id=None, team_id=self._people.team or None, bot_token=token,
                bot_user_id=self._people.bot, bot_id=self._people.bot_id,
            )  # fmt: skip

        app = App(
            logger=quiet,
            name="honk",
            client=self._calls.client,
            signing_secret=secret.get_secret_value() if secret else "",
            authorize=authorize,
            # So that what came is written down before Slack is told that it was taken.
            process_before_response=True,
            attaching_conversation_kwargs_enabled=False,
        )
        app.event(_ANY)(self._on_event)
        app.action(_ANY)(self._on_action)
        app.options(_ANY)(self._on_options)
        app.view(_ANY)(self._on_view)
        app.view_closed(_ANY)(_take)
        app.command(_ANY)(self._on_command)
        app.shortcut(_ANY)(self._on_shortcut)
        return app

    def _on_event(self, body: dict[str, Any]) -> None:
        event = body.get("event") or {}
        if event.get("type") in _HANDLED and (event["type"] != "message" or self._conversation.concerns(event)):
            kept = {"event": event, "team_id": body.get("team_id")}
            self._deliveries.keep("event", kept, _place(event), body.get("event_id"))

    def _on_action(self, ack: Ack, body: dict[str, Any]) -> None:
        names = [str(action.get("action_id") or "") for action in body.get("actions") or ()]
        if any(not name.startswith(("honk:open", "honk:details")) for name in names):
            message = body.get("message") or {}
            channel = (body.get("channel") or {}).get("id")
            self._deliveries.keep("action", body, f"{channel}:{message.get('thread_ts') or message.get('ts')}")
        ack()

    def _on_options(self, ack: Ack, payload: dict[str, Any]) -> None:
        ack(options=self._repositories.matching(str(payload.get("value") or "")))

    def _on_view(self, ack: Ack, body: dict[str, Any]) -> None:
        self._deliveries.keep("view", body, str((body.get("view") or {}).get("id")))
        ack()

    def _on_command(self, ack: Ack, body: dict[str, Any]) -> None:
        if str(body.get("text") or "").strip().lower() in ("", "help"):
            ack(text=HELP, response_type="ephemeral")
            return
        self._deliveries.keep("command", body, str(body.get("trigger_id")))
        ack()

    def _on_shortcut(self, ack: Ack, body: dict[str, Any]) -> None:
        self._deliveries.keep("shortcut", body, str(body.get("trigger_id")))
        ack()

    def _missed(self, event: dict[str, Any]) -> None:
        """A message that is found in a channel's or thread's history after the connection was lost."""
        if self._conversation.concerns(event):
            kept = {"event": event, "team_id": self._people.team}
            self._deliveries.keep("event", kept, _place(event), f"missed:{event['channel']}:{event['ts']}")

    # -- working off -------------------------------------------------------------------------------------------------

    def _work(self, delivery: Delivery, attempt: int) -> None:
        body = delivery["body"]
        try:
            if delivery["kind"] == "event":
                self._event(body["event"], str(body.get("team_id") or ""), attempt)
            elif delivery["kind"] == "action":
                self._taps.tapped(body)
            elif delivery["kind"] == "view":
                self._taps.submitted(body, attempt)
            elif delivery["kind"] == "command":
                self._taps.command(body, attempt)
            elif delivery["kind"] == "shortcut":
                self._taps.shortcut(body, attempt)
        except Unavailable:
            raise
        except SlackError as error:
            log.warning("an answer could not be given: %s", error)

    def _event(self, event: dict[str, Any], team: str, attempt: int) -> None:
        kind = event.get("type")
        if kind in _MESSAGES:
            if event.get("channel"):
                self._know_channel(str(event["channel"]))
            self._conversation.heard(event, team, attempt)
        elif kind == "app_home_opened":
            self._home.opened(event, team)
        elif kind == "link_shared":
            self._home.shared(event, team)
        elif kind == "app_uninstalled" or (kind == "tokens_revoked" and (event.get("tokens") or {}).get("bot")):
            self._calls.revoked(str(kind))

    def _know_channel(self, channel: str) -> None:
        """Remembered, so that it can be looked into after the connection was lost."""
        if self._store.recall(SURFACE, "channel", channel) is None:
            self._store.remember(SURFACE, "channel", channel, {})

    def _failed(self, delivery: Delivery) -> None:
        """Tell whoever is concerned that it did not work for a reason of Honk's own."""
        body = delivery["body"]
        event = body.get("event") or {}
        channel = event.get("channel") or (body.get("channel") or {}).get("id") or body.get("channel_id")
        user = event.get("user") or (body.get("user") or {}).get("id") or body.get("user_id")
        if user:
            thread = event.get("thread_ts") or event.get("ts")
            self._answers.privately(str(channel or user), str(user), _FAILED, thread)

    def _tidy(self) -> None:
        """Forget messages so old that nobody delivers them again."""
        oldest = time.time() - _REMEMBERED
        for key in self._store.recall_all(SURFACE, "seen"):
            ts = key.rpartition(":")[2].partition(".")[0]
            if ts.isdigit() and float(ts) < oldest:
                self._store.forget(SURFACE, "seen", key)


_HANDLED = frozenset({*_MESSAGES, "app_home_opened", "link_shared", "app_uninstalled", "tokens_revoked"})


def _place(event: Mapping[str, Any]) -> str:
    """The thread, in which order matters."""
    inner = event.get("message") or event.get("previous_message") or event
    return f"{event.get('channel')}:{inner.get('thread_ts') or inner.get('ts') or event.get('user')}"


def _take(ack: Ack) -> None:
    ack()
