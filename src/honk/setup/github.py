"""What GitHub itself says about the app: does the key work, what may it do and hear, where is it installed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from honk.model import HonkError, UsageError
from honk.settings import Settings
from honk.setup.addresses import public_address
from honk.setup.calls import send, told
from honk.setup.github_app import EVENTS, accounts, in_words, installation_page, lacking, settings_page
from honk.setup.rows import Row, listed, missing

APP, PERMISSION, INSTALLED = "GitHub App", "GitHub permissions", "GitHub installation"
NEEDED = frozenset({APP})
"""Without it nothing works; the others are mended on GitHub's pages, and nothing has to be given again."""


def github_rows(settings: Settings) -> list[tuple[str, bool, str]]:
    """Rows of name, whether it holds, and remedy, asked of GitHub now; none if GitHub is not set up. Never raises."""
    if not (settings.github_app_id or settings.github_private_key):
        return []
    try:
        return [(row.name, row.holds, row.remedy) for row in examine(settings)]
    except Exception as error:  # a doctor that falls ill helps nobody
        failed = f"It could not be looked at ({type(error).__name__}): run `honk setup github --check`."
        return [("GitHub", False, failed)]


def examine(settings: Settings) -> list[Row]:
    """Ask GitHub about the app in `settings`."""
    secret = settings.github_private_key.get_secret_value() if settings.github_private_key else ""
    if not (settings.github_app_id and secret):
        gone = "private key (HONK_GITHUB_PRIVATE_KEY)" if settings.github_app_id else "app id (HONK_GITHUB_APP_ID)"
        return [Row(APP, False, f"There is no {gone}: run `honk setup github`.")]
    try:
        token = app_token(settings.github_app_id, read_key(secret))
        status, app, _ = _ask(settings, "GET", "/app", token)
        if status != 200:
            return [Row(APP, False, _refused(settings, status, app))]
        rows = [Row(APP, True), _permissions(settings, app), _events(settings, app)]
        rows.append(_device_flow(settings, app))
        if public_address(settings):
            rows.append(_webhook(settings, app, token))
        status, found, _ = _ask(settings, "GET", "/app/installations?per_page=100", token)
        installations = found.get("items", []) if status == 200 else []
        rows += _installations(settings, app, [each for each in installations if isinstance(each, dict)])
    except HonkError as error:
        return [Row(APP, False, str(error))]
    return rows


def read_key(given: str) -> str:
    """The private key as PEM text, from the text itself (line ends may be written `\\n`) or the file it names.

    Raises `UsageError` if it is no RSA key without a passphrase.
    """
    text = given.strip()
    if not text.startswith("-----"):
        try:
            text = Path(text).expanduser().read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise UsageError(
                "The private key is neither a file that can be read nor the key itself (-----BEGIN …): generate one "
                "under Private keys on the app's page and name the file you get."
            ) from error
    text = text.replace("\\n", "\n").strip() + "\n"
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(text.encode(), password=None)
    except Exception as error:
        # The text of these errors is about bytes of the key.
        raise UsageError(
            f"The private key cannot be read ({type(error).__name__}): generate one under Private keys on the app's "
            "page and give the whole file, as it is."
        ) from None
    if not isinstance(key, RSAPrivateKey):
        raise UsageError("The private key is not the app's (GitHub's are RSA keys): generate one on the app's page.")
    return text


def app_token(app_id: str, key: str) -> str:
    """What the app shows to GitHub for the next nine minutes."""
    import jwt

    now = int(time.time())
    return jwt.encode({"iat": now - 60, "exp": now + 480, "iss": app_id}, key, algorithm="RS256")


def convert(settings: Settings, code: str) -> dict[str, Any]:
    """Exchange the code of GitHub's redirect for the new app: `id`, `slug`, `pem`, `webhook_secret`, `html_url` …

    Raises `HonkError` if the code is not taken. It works once, within an hour.
    """
    from urllib.parse import quote

    status, found, _ = _ask(settings, "POST", f"/app-manifests/{quote(code, safe='')}/conversions", None)
    if status != 201 or not (found.get("id") and found.get("pem")):
        raise HonkError(
            f"GitHub did not hand out the new app ({status}: {told(found.get('message', ''))}): delete the app if it "
            "is listed under your GitHub Apps, and run `honk setup github` again."
        )
    return found


def _ask(
    settings: Settings, method: str, path: str, token: str | None
) -> tuple[int, dict[str, Any], Mapping[str, str]]:
    headers = {"accept": "application/vnd.github+json", "x-github-api-version": "2022-11-28", "user-agent": "honk"}
    if token:
        headers["authorization"] = f"Bearer {token}"
    address = settings.github_api_url.rstrip("/") + path
    return send("GitHub", "HONK_GITHUB_API_URL", method, address, headers=headers)


def _refused(settings: Settings, status: int, found: Mapping[str, Any]) -> str:
    words = told(found.get("message", ""))
    page = f"{settings.github_git_url.rstrip('/')}/settings/apps"
    if "'exp'" in words or "'iat'" in words or "Issued at" in words or "Expiration time" in words:
        return f"This machine's clock is wrong, says GitHub ({words}): set it, then try again."
    if status == 404:
        return f"There is no app with the id {settings.github_app_id}: take App ID from the app's page at {page}."
    if status == 401:
        return (
            f"GitHub does not accept the key for app {settings.github_app_id} ({words}): check App ID, and generate a "
            f"key under Private keys on the app's page at {page}."
        )
    return f"GitHub refuses the app ({status}: {words}): see to it at {page}."


def _permissions(settings: Settings, app: Mapping[str, Any]) -> Row:
    gone = in_words(lacking(app.get("permissions") or {}))
    page = f"{settings_page(settings.github_git_url, app)}/permissions"
    return Row(PERMISSION, not gone, f"Set {listed(gone)} at {page} and save." if gone else "")


def _events(settings: Settings, app: Mapping[str, Any]) -> Row:
    gone = missing(app.get("events") or [], EVENTS)
    page = f"{settings_page(settings.github_git_url, app)}/permissions"
    return Row("GitHub events", not gone, f"Tick {listed(gone)} under Subscribe to events at {page}." if gone else "")


def _device_flow(settings: Settings, app: Mapping[str, Any]) -> Row:
    """GitHub has no way to ask whether it is on but to begin it; what is begun here ends by itself."""
    address = f"{settings.github_git_url.rstrip('/')}/login/device/code"
    _, found, _ = send(
        "GitHub", "HONK_GITHUB_GIT_URL", "POST", address,
        data={"client_id": str(app.get("client_id", ""))}, headers={"accept": "application/json"},
    )  # fmt: skip
    page = settings_page(settings.github_git_url, app)
    return Row(
        "GitHub device flow",
        "device_code" in found,
        ""
        if "device_code" in found
        else f"Tick Enable Device Flow at {page} and save: people link their accounts by it.",
    )


def _webhook(settings: Settings, app: Mapping[str, Any], token: str) -> Row:
    name, page = "GitHub webhooks", settings_page(settings.github_git_url, app)
    wanted = f"{public_address(settings)}/github/webhook"
    status, found, _ = _ask(settings, "GET", "/app/hook/config", token)
    if status != 200 or found.get("url") != wanted:
        return Row(name, False, f"Tick Active and set the Webhook URL to {wanted} at {page}.")
    if not (settings.github_webhook_secret and found.get("secret")):
        return Row(name, False, f"Set the same Webhook secret at {page} and as github_webhook_secret in honk.toml.")
    return Row(name, True)


def _installations(settings: Settings, app: Mapping[str, Any], found: Sequence[Mapping[str, Any]]) -> list[Row]:
    page = installation_page(settings.github_git_url, app)
    working = [each for each in found if not each.get("suspended_at")]
    if not working:
        why = f"It is suspended on {listed(accounts(found))}" if found else "It is installed nowhere"
        return [Row(INSTALLED, False, f"{why}: install it on your repositories at {page}.")]
    rows = []
    absent = missing([each.lower() for each in accounts(working)], [o.lower() for o in settings.github_organisations])
    if absent:
        rows.append(Row(INSTALLED, False, f"It is not installed on {listed(absent)}: install it at {page}."))
    for each in working:
        personal = (each.get("account") or {}).get("type") == "User"
        gone = in_words(lacking(each.get("permissions") or {}, personal=personal))
        # What the app itself lacks is told once, by the app's own row.
        if gone and not lacking(app.get("permissions") or {}):
            whose = accounts([each])[0]
            rows.append(
                Row(
                    INSTALLED,
                    False,
                    f"{whose} has not accepted {listed(gone)}: accept at {each.get('html_url', page)}.",
                )
            )
    return rows or [Row(INSTALLED, True)]
