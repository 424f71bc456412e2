"""The Slack app that Honk needs, as data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from honk.model import UsageError
from honk.settings import Settings
from honk.setup.addresses import domain_of, public_address
from honk.setup.rows import listed, missing

SCOPES = (
    "app_mentions:read", "channels:history", "groups:history", "im:history", "mpim:history",
    "channels:read", "groups:read", "im:read", "im:write", "mpim:read",
    "chat:write", "commands", "files:read", "files:write", "links:read", "links:write",
    "reactions:write", "users:read", "users:read.email", "assistant:write",
)  # fmt: skip
EVENTS = (
    "app_mention", "message.channels", "message.groups", "message.im", "message.mpim",
    "app_home_opened", "link_shared", "app_uninstalled", "tokens_revoked",
)  # fmt: skip
APPS = "https://api.slack.com/apps"
_LONGEST_LINK = 8000
"""Characters. What servers and proxies commonly take as the first line of a request."""


def manifest(settings: Settings, *, events_api: bool = False) -> dict[str, Any]:
    """The app's manifest, as in Slack's "App manifest reference": Socket Mode, or request URLs under HONK_PUBLIC_URL.

    Raises `UsageError` if request URLs are wanted and there is no public address with https.
    """
    address = ""
    if events_api:
        address = f"{public_address(settings)}/slack/events"
        if not public_address(settings):
            raise UsageError(
                "Slack sends events only to a public https address: set HONK_PUBLIC_URL to yours, or leave "
                "--events-api out and use Socket Mode, which needs none."
            )
    command = {"command": "/honk", "description": "Ask Honk for a change", "usage_hint": "what should change, in words"}
    features: dict[str, Any] = {
        "app_home": {
            "home_tab_enabled": True,
            "messages_tab_enabled": True,
            "messages_tab_read_only_enabled": False,
        },
        "bot_user": {"display_name": "honk", "always_online": True},
        "shortcuts": [
            {
                "name": "Ask Honk",
                "type": "message",
                "callback_id": "ask_honk",
                "description": "Start a task from this message",
            }
        ],
        "slash_commands": [command | ({"url": address} if address else {})],
        # New apps get the agent view only; `assistant_view` is for those that had it before.
        "agent_view": {"agent_description": "Says what should change, and merges it when you have tried it."},
    }
    if settings.public_url and (domain := domain_of(settings.public_url)):
        features["unfurl_domains"] = [domain]
    request_url = {"request_url": address} if address else {}
    return {
        "display_information": {
            "name": "Honk",
            "description": "Say what should change, try it on your phone, tap merge.",
            "background_color": "#1f2937",
        },
        "features": features,
        "oauth_config": {"scopes": {"bot": list(SCOPES)}},
        "settings": {
            "event_subscriptions": request_url | {"bot_events": list(EVENTS)},
            "interactivity": {"is_enabled": True} | request_url,
            "org_deploy_enabled": False,
            "socket_mode_enabled": not events_api,
            "token_rotation_enabled": False,
        },
    }


def creation_link(made: Mapping[str, Any]) -> str | None:
    """The page that makes the app with everything filled in; None if the manifest is too long for a link."""
    compact = json.dumps(made, separators=(",", ":"), ensure_ascii=False)
    link = f"{APPS}?new_app=1&manifest_json={quote(compact, safe='')}"
    return link if len(link) <= _LONGEST_LINK else None


def differences(exported: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """What an app's own manifest, as Slack exports it, lacks: each as a few words with the page to see to it on."""
    found: list[str] = []

    def part(manifest: Mapping[str, Any], *path: str) -> Any:
        inner: Any = manifest
        for name in path:
            inner = inner.get(name) if isinstance(inner, Mapping) else None
        return inner

    for what, page, *path in (
        ("event", "Event Subscriptions", "settings", "event_subscriptions", "bot_events"),
        ("scope", "OAuth & Permissions", "oauth_config", "scopes", "bot"),
    ):
        gone = missing(part(exported, *path) or [], part(wanted, *path))
        if gone:
            found.append(f"the {what}{'s' * (len(gone) > 1)} {listed(gone)} (page {page})")
    for what, name, page in (
        ("shortcuts", "callback_id", "Interactivity & Shortcuts"),
        ("slash_commands", "command", "Slash Commands"),
    ):
        have = [each.get(name, "") for each in part(exported, "features", what) or []]
        gone = missing(have, [each[name] for each in wanted["features"][what]])
        found += [f"the {what.removesuffix('s').replace('_', ' ')} {each} (page {page})" for each in gone]
    if not part(exported, "settings", "interactivity", "is_enabled"):
        found.append("interactivity (page Interactivity & Shortcuts)")
    if wanted["settings"]["socket_mode_enabled"] and not part(exported, "settings", "socket_mode_enabled"):
        found.append("Socket Mode (page Socket Mode)")
    if not part(exported, "features", "app_home", "home_tab_enabled"):
        found.append("the Home tab (page App Home)")
    return found
