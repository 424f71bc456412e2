"""`honk setup slack` and `honk setup github`: make the app, take its keys, see that they work, only then keep them."""

from __future__ import annotations

import os
import re
import sys
import webbrowser
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from honk.model import UsageError
from honk.surfaces.terminal import print_json, progress, results

if TYPE_CHECKING:
    from honk.settings import Settings
    from honk.setup.rows import Row

_LONGEST_INPUT = 100_000


def setup_slack(*, print_manifest: bool, check: bool, events_api: bool, open_browser: bool, as_json: bool) -> int:
    """Set Slack up. 0 if all that is needed holds, 1 if not. Tokens come from the prompt, from standard input where
    that is no terminal, or from the settings."""
    from honk.settings import read_settings
    from honk.setup.slack import NEEDED, examine
    from honk.setup.slack_app import APPS, creation_link, manifest

    settings = read_settings()
    made = manifest(settings, events_api=events_api)
    if print_manifest:
        print_json(made)
        return 0
    if check:
        return _shown(examine(settings, configuration_token=_configuration_token()), None, as_json=as_json)
    link = creation_link(made)
    progress.print("[bold]1[/] Make the app; everything is filled in:" if link else "[bold]1[/] Make the app:")
    if link is None:
        progress.print(f"  {APPS}?new_app=1, From a manifest, with what `honk setup slack --print-manifest` prints")
    else:
        progress.print(f"  [link={link}]{escape(link)}[/link]")
        _offer(link, open_browser=open_browser)
    progress.print("[bold]2[/] Choose the workspace, press Create, then Install to Workspace and Allow.")
    if events_api:
        progress.print("[bold]3[/] Under Basic Information: copy the Signing Secret.")
    else:
        progress.print(
            "[bold]3[/] Under Basic Information, App-Level Tokens: Generate, with the scope [bold]connections:write[/]."
        )
    wanted = ["slack_bot_token", "slack_signing_secret" if events_api else "slack_app_token"]
    trial = settings.model_copy(update={"slack_app_token": None} if events_api else {})
    while True:
        given = _slack_tokens(trial, wanted)
        trial = _with(trial, given)
        rows = examine(trial, configuration_token=_configuration_token())
        if all(row.holds for row in rows if row.name in NEEDED or row.name == "Slack"):
            from honk.setup.settings_file import write_settings

            written = write_settings(settings.home, given)
            return _shown(rows, written, as_json=as_json, then="Start `honk up`, and write to @honk in Slack.")
        if not _again(rows):
            return _shown(rows, None, as_json=as_json, link=link)


def setup_github(
    *,
    print_manifest: bool,
    check: bool,
    organisation: str | None,
    name: str | None,
    app_id: str | None,
    private_key: str | None,
    port: int,
    wait: float,
    open_browser: bool,
    as_json: bool,
) -> int:
    """Set GitHub up: by a new app (its maker comes back to a page on loopback), or with the id and key of one there is.

    0 if all that is needed holds, 1 if not. `private_key` names a file, `-` is standard input; `wait` is in seconds.
    """
    from honk.settings import read_settings
    from honk.setup.github import NEEDED, examine
    from honk.setup.github_app import manifest
    from honk.setup.settings_file import write_settings

    settings = read_settings()
    if organisation and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{0,38}", organisation):
        raise UsageError("--organisation takes the name in GitHub's address, such as acme in github.com/acme.")
    if print_manifest:
        print_json(manifest(settings, name=name, organisation=organisation, redirect_url="http://127.0.0.1/callback"))
        return 0
    if check:
        return _shown(examine(settings), None, as_json=as_json)
    if app_id or private_key:
        given = _by_hand(settings, app_id, private_key)
        rows = examine(_with(settings, given))
        if not all(row.holds for row in rows if row.name in NEEDED):
            return _shown(rows, None, as_json=as_json)
        written = write_settings(settings.home, given)
    else:
        given = _registered(settings, name, organisation, port, wait, open_browser=open_browser)
        # GitHub hands the key out once: it is kept before anything else can go wrong.
        written = write_settings(settings.home, given)
        rows = examine(_with(settings, given))
    while _again(rows):
        rows = examine(_with(settings, given))
    return _shown(rows, written, as_json=as_json, then="Start `honk up`, and name a repository in a task.")


def _registered(
    settings: Settings, name: str | None, organisation: str | None, port: int, wait: float, *, open_browser: bool
) -> dict[str, str]:
    from honk.setup.registration import register

    def announce(address: str) -> None:
        progress.print("[bold]1[/] Open this on this machine, and press Create GitHub App on the page you get to:")
        progress.print(f"  {address}")
        _offer(address, open_browser=open_browser)
        progress.print("[bold]2[/] Install it on your repositories, on the page that follows.")

    app = register(settings, name=name, organisation=organisation, port=port, announce=announce, seconds=wait)
    given = {"github_app_id": str(app["id"]), "github_private_key": str(app["pem"])}
    if app.get("webhook_secret"):
        given["github_webhook_secret"] = str(app["webhook_secret"])
    progress.print(f"The app {escape(str(app.get('slug', '')))} is made.")
    return given


def _by_hand(settings: Settings, app_id: str | None, private_key: str | None) -> dict[str, str]:
    from honk.setup.github import read_key

    app_id = (app_id or settings.github_app_id or "").strip()
    if not re.fullmatch(r"\d{1,12}|Iv[\w.]{4,40}", app_id):
        raise UsageError("--app-id takes the number that the app's page calls App ID.")
    if private_key is None:
        if not settings.github_private_key:
            raise UsageError("Name the file with the app's private key with --private-key, or give `-` and pipe it in.")
        private_key = settings.github_private_key.get_secret_value()
    key = sys.stdin.read(_LONGEST_INPUT) if private_key == "-" else private_key
    return {"github_app_id": app_id, "github_private_key": read_key(key)}


def _slack_tokens(settings: Settings, wanted: Iterable[str]) -> dict[str, str]:
    """What was given for each setting; what is set already where nothing was."""
    given = {name: secret.get_secret_value() for name in wanted if (secret := getattr(settings, name))}
    if sys.stdin is None:
        return given
    if sys.stdin.isatty():
        import typer

        for name in wanted:
            label = _LABELS[name]
            kept = " (Enter keeps the one there is)" if name in given else ""
            typed = typer.prompt(f"{label}{kept}", hide_input=True, default="", show_default=False, err=True).strip()
            if typed:
                given[name] = typed
        return given
    if all(name in given for name in wanted):
        return given
    for word in sys.stdin.read(_LONGEST_INPUT).split():
        meant = next((name for name in wanted if re.fullmatch(_LOOKS[name], word)), None)
        if meant is None:
            raise UsageError(
                "Standard input has a word that is none of the tokens: give the bot token (xoxb-…) and the app-level "
                "token (xapp-…), or with --events-api the signing secret."
            )
        given[meant] = word
    return given


_LABELS = {
    "slack_bot_token": "Bot User OAuth Token, xoxb-…",
    "slack_app_token": "App-level token, xapp-…",
    "slack_signing_secret": "Signing Secret",
}
_LOOKS = {
    "slack_bot_token": r"xoxb-[!-~]+",
    "slack_app_token": r"xapp-[!-~]+",
    "slack_signing_secret": r"[0-9a-f]{20,64}",
}


def _with(settings: Settings, given: dict[str, str]) -> Settings:
    from pydantic import SecretStr

    plain = {"github_app_id"}
    return settings.model_copy(
        update={name: value if name in plain else SecretStr(value) for name, value in given.items()}
    )


def _configuration_token() -> str | None:
    """Slack tells an app's events only to a token of the person who owns it; it lasts twelve hours and is not kept."""
    return os.environ.get("HONK_SLACK_CONFIGURATION_TOKEN") or None


def _offer(link: str, *, open_browser: bool) -> None:
    if open_browser:
        webbrowser.open(link)
    else:
        progress.print("  [dim](--open opens it in your browser)[/]")


def _again(rows: list[Row]) -> bool:
    """Whether a person at a terminal has mended what is missing and wants it looked at again."""
    if all(row.holds for row in rows) or sys.stdin is None or not sys.stdin.isatty():
        return False
    import typer

    _tell(rows, progress.print)
    return typer.confirm("Look again?", default=True, err=True)


def _shown(rows: list[Row], written: Path | None, *, as_json: bool, then: str = "", link: str | None = None) -> int:
    holds = all(row.holds for row in rows)
    if as_json:
        print_json(
            {
                "written": str(written) if written else None,
                "link": link,
                "promises": [{"name": row.name, "holds": row.holds, "remedy": row.remedy} for row in rows],
            }
        )
    else:
        _tell(rows, results.print)
        if written:
            results.print(f"Kept in {escape(str(written))}. {then if holds else ''}".rstrip())
    if written:
        _warn_of_environment(written)
    return 0 if holds else 1


def _warn_of_environment(written: Path) -> None:
    """The environment wins over the file: what is set in both, and differently, would not be used."""
    import tomllib

    for name, value in tomllib.loads(written.read_text(encoding="utf-8")).items():
        variable = f"HONK_{name.upper()}"
        if name.startswith(("slack_", "github_")) and os.environ.get(variable) not in (None, "", value):
            progress.print(
                f"[yellow]![/] {variable} in the environment wins over this file: unset it to use what is kept."
            )


def _tell(rows: list[Row], say: Callable[..., Any]) -> None:
    for row in rows:
        mark = "[green]✓[/]" if row.holds else "[red]✗[/]"
        say(f"{mark} {row.name}" + (f": {escape(row.remedy)}" if row.remedy else ""))
