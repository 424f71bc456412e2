"""Who speaks in Slack, who Honk is there, and whom it listens to."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from honk.model import Person
from honk.settings import Settings
from honk.store import Store
from honk.surfaces.slack.calls import Calls, SlackError, Unavailable
from honk.untrusted import clean

SURFACE = "slack"
_FRESH = 24 * 3600.0
"""Seconds. How long a name is believed."""


class People:
    """The users of the workspace, as `users.info` tells of them, remembered for a day."""

    def __init__(self, store: Store, settings: Settings, calls: Calls) -> None:
        self._store = store
        self._settings = settings
        self._calls = calls
        self._lock = threading.Lock()
        self._self: dict[str, Any] = store.recall(SURFACE, "identity", "self") or {}

    # -- Honk itself -------------------------------------------------------------------------------------------------

    def introduce(self) -> None:
        """Ask Slack who Honk is there. Raises `SlackError`."""
        answer = self._calls("auth.test")
        known = {name: answer.get(name) for name in ("user_id", "bot_id", "team_id", "team", "url", "enterprise_id")}
        with self._lock:
            changed, self._self = known != self._self, known
        if changed:
            self._store.remember(SURFACE, "identity", "self", known)

    @property
    def bot(self) -> str | None:
        """Honk's own user id; None while it is not known."""
        return self._self.get("user_id")

    @property
    def bot_id(self) -> str | None:
        return self._self.get("bot_id")

    @property
    def team(self) -> str:
        """The workspace in which Honk is installed; empty while it is not known."""
        return self._self.get("team_id") or ""

    def permalink(self, channel: str, ts: str, thread: str | None = None) -> str | None:
        """A message's address, made as Slack makes it."""
        base = (self._self.get("url") or "").rstrip("/")
        if not base:
            return None
        inside = f"?thread_ts={thread}&cid={channel}" if thread and thread != ts else ""
        return f"{base}/archives/{channel}/p{ts.replace('.', '')}{inside}"

    # -- others ------------------------------------------------------------------------------------------------------

    def person(self, user: str, team: str = "") -> Person:
        """The person with their display name; with their id as the name while Slack does not tell."""
        known = self._known(user)
        return Person(
            f"slack:{known.get('team') or team or self.team}/{user}", known.get("name") or user, known.get("email")
        )

    def name(self, user: str) -> str:
        """Their display name, or their id."""
        return str(self._known(user).get("name") or user)

    def admission(self, user: str, team: str, channel: str, *, direct: bool = False) -> str | None:
        """Why Honk does not listen to them there, as a sentence; None if it does."""
        settings = self._settings
        known = self._known(user)
        if known.get("bot"):
            return "Honk does not take orders from other apps."
        home = known.get("team") or team or self.team
        if settings.slack_workspaces and home not in settings.slack_workspaces:
            return "Honk is not set up for people of your workspace: ask whoever runs it here."
        if not settings.slack_workspaces and self._stranger(known, home):
            return "Honk works for members of this workspace only: ask one of them."
        if settings.slack_users and user not in settings.slack_users:
            return "Honk is not set up for you yet: ask whoever runs it here to add you."
        if settings.slack_channels and channel not in settings.slack_channels and not direct:
            return "Honk does not work in this channel: ask whoever runs it here to add it, or use another one."
        return None

    def _stranger(self, known: Mapping[str, Any], home: str) -> bool:
        if known.get("stranger"):
            return True
        same_company = known.get("enterprise") and known["enterprise"] == self._self.get("enterprise_id")
        return bool(self.team and home and home != self.team and not same_company)

    def _known(self, user: str) -> dict[str, Any]:
        known = self._store.recall(SURFACE, "user", user)
        if known and time.time() - float(known.get("at", 0)) < _FRESH:
            return known
        try:
            told = self._calls("users.info", user=user).get("user") or {}
        except Unavailable:
            return known or {}
        except SlackError:
            return known or {"stranger": True}
        profile = told.get("profile") or {}
        name = profile.get("display_name") or profile.get("real_name") or told.get("real_name") or told.get("name")
        fresh = {
            "name": " ".join(clean(str(name or user)).split())[:80],
            "email": profile.get("email"),
            "team": told.get("team_id"),
            "enterprise": (told.get("enterprise_user") or {}).get("enterprise_id"),
            "stranger": bool(told.get("is_stranger")),
            "bot": bool(told.get("is_bot")),
            "at": time.time(),
        }
        self._store.remember(SURFACE, "user", user, fresh)
        return fresh
