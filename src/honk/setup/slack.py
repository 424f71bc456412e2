"""What Slack itself says about the tokens: do they work, what do they grant, is the app installed and invited."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from honk.model import HonkError
from honk.settings import Settings
from honk.setup.calls import send
from honk.setup.rows import Row, listed, missing
from honk.setup.slack_app import APPS, SCOPES, differences, manifest

BOT, SCOPE, SOCKET, SECRET = "Slack bot token", "Slack scopes", "Slack Socket Mode", "Slack signing secret"
NEEDED = frozenset({BOT, SCOPE, SOCKET, SECRET})
"""Without these nothing works; without the others something is missed."""

_GONE = ("token_revoked", "account_inactive", "token_expired", "user_removed_from_team")


def slack_rows(settings: Settings) -> list[tuple[str, bool, str]]:
    """Rows of name, whether it holds, and remedy, asked of Slack now; none if Slack is not set up. Never raises."""
    if not (settings.slack_bot_token or settings.slack_app_token):
        return []
    try:
        return [(row.name, row.holds, row.remedy) for row in examine(settings)]
    except Exception as error:  # a doctor that falls ill helps nobody
        return [
            ("Slack", False, f"It could not be looked at ({type(error).__name__}): run `honk setup slack --check`.")
        ]


def examine(settings: Settings, *, configuration_token: str | None = None) -> list[Row]:
    """Ask Slack about the tokens in `settings`. With a configuration token, the app's events are compared as well."""
    bot = settings.slack_bot_token.get_secret_value() if settings.slack_bot_token else ""
    app = settings.slack_app_token.get_secret_value() if settings.slack_app_token else ""
    try:
        row, identity, granted = _bot(settings, bot, _page(app))
        rows = [row]
        app_id = _app_id(settings, bot, identity) if row.holds else ""
        if granted is not None:
            rows.append(_scopes(granted, app_id))
        rows.append(_way_in(settings, app, app_id))
        if configuration_token and app_id:
            rows.append(_events(settings, configuration_token, app_id))
        if row.holds and (invited := _invited(settings, bot, str(identity.get("user", "honk")))):
            rows.append(invited)
    except HonkError as error:
        return [Row("Slack", False, str(error))]
    return rows


def _ask(settings: Settings, method: str, token: str, **given: str) -> tuple[dict[str, Any], Mapping[str, str]]:
    address = f"{settings.slack_api_url.rstrip('/')}/{method}"
    headers = {"authorization": f"Bearer {token}"}
    _, found, answered = send("Slack", "HONK_SLACK_API_URL", "POST", address, headers=headers, data=given)
    return found, answered


def _why(found: Mapping[str, Any]) -> str:
    return re.sub(r"[^a-z0-9_]", "", str(found.get("error", "")))[:60] or "no reason given"


def _page(app_token: str, app_id: str = "") -> str:
    """The app's own page at Slack, as far as a token tells which app it is."""
    known = re.match(r"xapp-\d+-(A[A-Z0-9]{5,20})-", app_token)
    app_id = app_id or (known[1] if known else "")
    return f"{APPS}/{app_id}" if app_id else APPS


def _bot(settings: Settings, token: str, page: str) -> tuple[Row, dict[str, Any], list[str] | None]:
    copy = f"copy the Bot User OAuth Token (xoxb-…) from the page OAuth & Permissions at {page}"
    if not token:
        return Row(BOT, False, f"There is none: install the app to your workspace, then {copy}."), {}, None
    if not re.fullmatch(r"[!-~]+", token) or token.startswith(("xapp-", "xoxp-", "xoxe", "xoxc-", "xoxd-")):
        return Row(BOT, False, f"What was given is another sort of token: {copy}."), {}, None
    found, headers = _ask(settings, "auth.test", token)
    if not found.get("ok"):
        why = _why(found)
        if why in _GONE:
            remedy = f"The app is not installed any more ({why}): install it again on the page Install App, and {copy}."
        else:
            remedy = f"Slack does not accept it ({why}): {copy}."
        return Row(BOT, False, remedy), {}, None
    if not found.get("bot_id"):
        return Row(BOT, False, f"It is a person's token, not the bot's: {copy}."), found, None
    scopes = headers.get("x-oauth-scopes")
    return Row(BOT, True), found, None if scopes is None else [each.strip() for each in scopes.split(",")]


def _scopes(granted: list[str], app_id: str) -> Row:
    gone = missing(granted, SCOPES)
    if not gone:
        return Row(SCOPE, True)
    page = f"{_page('', app_id)}/oauth" if app_id else APPS
    return Row(
        SCOPE,
        False,
        f"Not granted: {listed(gone)}. Add {'it' if len(gone) == 1 else 'them'} under Bot Token Scopes at {page}, then "
        "press Reinstall to Workspace there.",
    )


def _way_in(settings: Settings, token: str, app_id: str) -> Row:
    """How events come: through a socket, or signed to a public address."""
    secret = settings.slack_signing_secret.get_secret_value() if settings.slack_signing_secret else ""
    page = _page(token, app_id)
    page = page if page == APPS else f"{page}/general"
    if token:
        return _socket(settings, token, app_id, page)
    if not secret:
        return Row(
            SOCKET, False, f"There is no app-level token: generate one with the scope connections:write at {page}."
        )
    if re.fullmatch(r"[0-9a-f]{20,64}", secret):
        return Row(SECRET, True)
    return Row(SECRET, False, f"It does not look like one: copy Signing Secret from {page}.")


def _socket(settings: Settings, token: str, app_id: str, page: str) -> Row:
    if not re.fullmatch(r"xapp-[!-~]+", token):
        return Row(
            SOCKET, False, f"What was given is another sort of token: copy the app-level one (xapp-…) from {page}."
        )
    found, _ = _ask(settings, "apps.connections.open", token)
    if not found.get("ok"):
        why = _why(found)
        remedy = {
            "missing_scope": "The app-level token lacks the scope connections:write: generate another with it",
            "invalid_auth": "Slack does not know the app-level token (invalid_auth): copy it, or generate another,",
        }.get(why, f"Slack opens no socket ({why}): turn on Socket Mode, and generate an app-level token again")
        return Row(SOCKET, False, f"{remedy} at {page}.")
    of = re.match(r"xapp-\d+-(A[A-Z0-9]{5,20})-", token)
    if of and app_id and of[1] != app_id:
        return Row(SOCKET, False, f"The two tokens belong to different apps: take both from {_page('', app_id)}.")
    return Row(SOCKET, True)


def _app_id(settings: Settings, token: str, identity: Mapping[str, Any]) -> str:
    found, _ = _ask(settings, "bots.info", token, bot=str(identity.get("bot_id", "")))
    given = found.get("bot", {}).get("app_id") if found.get("ok") and isinstance(found.get("bot"), dict) else ""
    return given if isinstance(given, str) and re.fullmatch(r"A[A-Z0-9]{1,20}", given) else ""


def _events(settings: Settings, token: str, app_id: str) -> Row:
    name = "Slack events"
    found, _ = _ask(settings, "apps.manifest.export", token, app_id=app_id)
    if not found.get("ok"):
        return Row(
            name, False, f"The configuration token is not accepted ({_why(found)}): generate one at {APPS} (12 hours)."
        )
    events_api = not settings.slack_app_token
    gone = differences(found.get("manifest") or {}, manifest(settings, events_api=events_api))
    if not gone:
        return Row(name, True)
    return Row(
        name,
        False,
        f"The app lacks {'; '.join(gone)}: paste what `honk setup slack --print-manifest` prints at {_page('', app_id)}"
        "/app-manifest, save, and reinstall.",
    )


def _invited(settings: Settings, token: str, user: str) -> Row | None:
    kinds = "public_channel,private_channel"
    found, _ = _ask(settings, "users.conversations", token, types=kinds, exclude_archived="true", limit="1")
    if not found.get("ok"):
        return None
    if found.get("channels"):
        return Row("Slack channels", True)
    name = re.sub(r"[^\w.-]", "", user) or "honk"
    return Row("Slack channels", False, f"It is in no channel yet: write `/invite @{name}` in the one you want it in.")
