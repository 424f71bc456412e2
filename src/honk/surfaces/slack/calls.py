"""Slack's Web API: each call once, with what went wrong told apart by what can be done about it."""

from __future__ import annotations

import http.client
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, cast

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError

from honk.settings import Settings

log = logging.getLogger("honk.slack")

_REVOKED = frozenset(
    {"token_revoked", "account_inactive", "invalid_auth", "not_authed", "token_expired", "team_access_not_granted"}
)
_GONE = frozenset(
    {
        "channel_not_found", "is_archived", "not_in_channel", "message_not_found", "thread_not_found",
        "cant_update_message", "edit_window_closed", "restricted_action", "restricted_action_thread_locked",
        "user_not_found", "channel_is_limited_access", "messages_tab_disabled", "user_not_in_channel",
    }
)  # fmt: skip
_UNFIT = frozenset(
    {
        "msg_too_long", "invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "no_text",
        "invalid_arguments", "metadata_too_large",
    }
)  # fmt: skip
_PASSING = frozenset(
    {
        "internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org",
        "external_channel_migrating",
    }
)  # fmt: skip
_REVOKED_PAUSE = 60.0


class SlackError(Exception):
    """Slack did not do what it was asked. `code` is its own word for why."""

    def __init__(self, method: str, code: str) -> None:
        super().__init__(f"Slack says {code} to {method}")
        self.method = method
        self.code = code


class Unavailable(SlackError):
    """It may work later: try again in `wait` seconds. With `unsure`, it may also have been done."""

    def __init__(self, method: str, code: str, wait: float = 0.0, *, unsure: bool = False) -> None:
        super().__init__(method, code)
        self.wait = wait
        self.unsure = unsure


class Gone(SlackError):
    """The channel, thread or message is not there for Honk (any more)."""


class Unfit(SlackError):
    """Slack does not take the message as it is made."""


class Calls:
    """The Web API with the app's own token. Safe to use from several threads."""

    def __init__(self, settings: Settings, timeout: int = 15) -> None:
        token = settings.slack_bot_token
        self.client = WebClient(
            token=token.get_secret_value() if token else None,
            base_url=settings.slack_api_url.rstrip("/") + "/",
            timeout=timeout,
            logger=_quiet(),
            # A post that is sent again after a broken connection would appear twice.
            retry_handlers=[],
        )
        self._lock = threading.Lock()
        self._until: dict[str, float] = {}
        self._revoked: tuple[str, float] | None = None
        self._silent_since: datetime | None = None

    def __call__(self, method: str, **arguments: Any) -> dict[str, Any]:
        """Call a method (`chat.postMessage`). Raises `Unavailable`, `Gone`, `Unfit` or another `SlackError`."""
        self._hold_back(method)
        begun = time.monotonic()
        try:
            # Every method takes a form by POST; only those that write also take JSON.
            rich = any(isinstance(value, dict | list) for value in arguments.values())
            if rich:
                response = self.client.api_call(method, json=arguments)
            else:
                form = {name: _formed(value) for name, value in arguments.items()}
                response = self.client.api_call(method, data=form)
            answer: dict[str, Any] = dict(cast(Mapping[str, Any], response.data))
        except SlackApiError as error:
            raise self._refused(method, error, begun) from None
        except (OSError, http.client.HTTPException, SlackClientError) as error:
            with self._lock:
                self._silent_since = self._silent_since or datetime.now(UTC)
            refused = isinstance(getattr(error, "reason", error), ConnectionRefusedError)
            raise Unavailable(method, type(error).__name__, unsure=not refused) from None
        self._heard(begun)
        return answer

    def pages(self, method: str, inside: str, **arguments: Any) -> Iterator[dict[str, Any]]:
        """What a method lists under `inside`, page after page, up to a thousand entries or so."""
        cursor, count = "", 0
        while True:
            answer = self(method, **arguments, **({"cursor": cursor} if cursor else {}))
            for entry in answer.get(inside) or []:
                count += 1
                yield entry
            cursor = (answer.get("response_metadata") or {}).get("next_cursor") or ""
            if not cursor or count >= 1000:
                return

    @property
    def trouble(self) -> str | None:
        """What keeps Honk from talking to Slack, as a sentence; None if nothing does."""
        with self._lock:
            if self._revoked:
                return f"Slack says {self._revoked[0]}: run `honk setup slack`"
            if self._silent_since:
                return f"Slack has not answered since {self._silent_since.astimezone():%H:%M}; retrying"
        return None

    def revoked(self, code: str) -> None:
        """Note that Slack took the token away."""
        with self._lock:
            self._revoked = (code, time.monotonic() + _REVOKED_PAUSE)

    def _hold_back(self, method: str) -> None:
        with self._lock:
            now = time.monotonic()
            if self._revoked and self._revoked[1] > now:
                raise Unavailable(method, self._revoked[0], self._revoked[1] - now)
            if self._revoked:
                # One call at a time finds out whether the token holds again.
                self._revoked = (self._revoked[0], now + _REVOKED_PAUSE)
            wait = self._until.get(method, 0.0) - now
        if wait > 0:
            raise Unavailable(method, "ratelimited", wait)

    def _heard(self, begun: float) -> None:
        """Slack answered a call that was begun then; one from before the token was taken away proves nothing."""
        with self._lock:
            self._silent_since = None
            if self._revoked and self._revoked[1] - _REVOKED_PAUSE <= begun:
                self._revoked = None

    def _refused(self, method: str, error: SlackApiError, begun: float) -> SlackError:
        response: Any = error.response
        status = getattr(response, "status_code", None) or _field(response, "status") or 0
        headers = getattr(response, "headers", None) or _field(response, "headers") or {}
        code = str(_field(response, "error") or f"status {status}")
        if status == 429 or code in ("ratelimited", "rate_limited", "message_limit_exceeded"):
            wait = _seconds(headers)
            with self._lock:
                self._until[method] = time.monotonic() + wait
            return Unavailable(method, "ratelimited", wait)
        # An answer that is no answer of Slack's (a proxy's page) passes; that there is no such method does not.
        if int(status) >= 500 or code in _PASSING or code in ("status 0", "status 200"):
            with self._lock:
                self._silent_since = self._silent_since or datetime.now(UTC)
            return Unavailable(method, code, unsure=True)
        if code in _REVOKED:
            self.revoked(code)
            log.warning("Slack says %s: run `honk setup slack`", code)
            return Unavailable(method, code, _REVOKED_PAUSE)
        self._heard(begun)
        kind = Gone if code in _GONE else Unfit if code in _UNFIT else SlackError
        return kind(method, code)


def _quiet() -> logging.Logger:
    """What goes wrong is told apart and said here; the client would say it again for every try."""
    logger = logging.getLogger("honk.slack.client")
    logger.setLevel(logging.CRITICAL)
    return logger


def _formed(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _field(response: Any, name: str) -> Any:
    data = getattr(response, "data", response)
    return data.get(name) if isinstance(data, Mapping) else None


def _seconds(headers: Mapping[str, Any]) -> float:
    given = next((value for name, value in headers.items() if name.lower() == "retry-after"), "1")
    try:
        return max(float(given[0] if isinstance(given, list) else given), 0.0)
    except ValueError:
        return 1.0
