"""`honk setup slack`, against a Slack on loopback."""

from __future__ import annotations

import json
import os
import pty
import select
import sys
import termios
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from honk.cli.setup import setup_slack
from honk.model import UsageError
from honk.settings import read_settings
from honk.setup import slack_rows
from honk.setup.slack_app import EVENTS, SCOPES, creation_link, manifest
from tests.setup.played import PlayedSlack

Typed = Callable[[str], None]
Answered = Callable[[], dict[str, Any]]


def set_up(**wanted: bool) -> int:
    return setup_slack(
        **{"print_manifest": False, "check": False, "events_api": False, "open_browser": False, "as_json": True}
        | wanted
    )


def remedies(shown: dict[str, Any]) -> dict[str, str]:
    return {row["name"]: row["remedy"] for row in shown["promises"] if not row["holds"]}


def test_working_tokens_are_kept_and_only_their_owner_can_read_them(
    slack: PlayedSlack, home: Path, typed: Typed, answered: Answered
) -> None:
    typed(f"{slack.bot_token}\n{slack.app_token}\n")
    assert set_up() == 0
    shown = answered()
    assert shown["written"] == str(home / "honk.toml")
    assert [row["holds"] for row in shown["promises"]] == [True] * 4
    assert (home / "honk.toml").stat().st_mode & 0o777 == 0o600
    settings = read_settings()
    assert settings.slack_bot_token and settings.slack_bot_token.get_secret_value() == slack.bot_token
    assert settings.slack_app_token and settings.slack_app_token.get_secret_value() == slack.app_token
    assert all(holds for _, holds, _ in slack_rows(settings))


def test_tokens_of_the_environment_are_taken_without_asking(
    slack: PlayedSlack, home: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed("")
    monkeypatch.setenv("HONK_SLACK_BOT_TOKEN", slack.bot_token)
    monkeypatch.setenv("HONK_SLACK_APP_TOKEN", slack.app_token)
    assert set_up() == 0
    assert tomllib.loads((home / "honk.toml").read_text())["slack_app_token"] == slack.app_token


def test_without_tokens_it_says_how_to_get_them(
    slack: PlayedSlack, home: Path, typed: Typed, capsys: pytest.CaptureFixture[str]
) -> None:
    assert set_up() == 1
    said = capsys.readouterr()
    shown = json.loads(said.out)
    assert shown["link"].startswith("https://api.slack.com/apps?new_app=1&manifest_json=")
    assert "connections:write" in said.err
    assert "xoxb-" in remedies(shown)["Slack bot token"]
    assert not (home / "honk.toml").exists()


@pytest.mark.parametrize(
    ("bot", "remedy"),
    [
        ("xoxb-wrong", "does not accept it (invalid_auth): copy the Bot User OAuth Token"),
        ("", "There is none"),
    ],
)
def test_a_wrong_bot_token_is_not_kept(
    slack: PlayedSlack, home: Path, typed: Typed, answered: Answered, bot: str, remedy: str
) -> None:
    typed(f"{bot} {slack.app_token}")
    assert set_up() == 1
    assert remedy in remedies(answered())["Slack bot token"]
    assert not (home / "honk.toml").exists()


def test_a_token_of_another_sort_is_told_apart(slack: PlayedSlack, typed: Typed, answered: Answered) -> None:
    typed(f"xoxp-1-person {slack.app_token}")
    with pytest.raises(UsageError, match="none of the tokens"):
        set_up()


@pytest.mark.parametrize("gone", ["token_revoked", "account_inactive"])
def test_an_app_that_is_not_installed_is_to_be_installed_again(
    slack: PlayedSlack, home: Path, typed: Typed, answered: Answered, gone: str
) -> None:
    slack.gone = gone
    typed(f"{slack.bot_token} {slack.app_token}")
    assert set_up() == 1
    assert f"not installed any more ({gone}): install it again" in remedies(answered())["Slack bot token"]
    assert not (home / "honk.toml").exists()


def test_a_missing_scope_is_named_with_the_page_to_add_it_on(
    slack: PlayedSlack, home: Path, typed: Typed, answered: Answered
) -> None:
    slack.scopes = [scope for scope in SCOPES if scope not in ("files:read", "links:write")]
    typed(f"{slack.bot_token} {slack.app_token}")
    assert set_up() == 1
    assert remedies(answered()) == {
        "Slack scopes": "Not granted: files:read and links:write. Add them under Bot Token Scopes at "
        "https://api.slack.com/apps/A0HONK1/oauth, then press Reinstall to Workspace there."
    }
    assert not (home / "honk.toml").exists()


def test_an_app_level_token_without_its_scope_opens_no_socket(
    slack: PlayedSlack, home: Path, typed: Typed, answered: Answered
) -> None:
    slack.app_scopes = []
    typed(f"{slack.bot_token} {slack.app_token}")
    assert set_up() == 1
    remedy = remedies(answered())["Slack Socket Mode"]
    assert "lacks the scope connections:write" in remedy
    assert "https://api.slack.com/apps/A0HONK1/general" in remedy
    assert not (home / "honk.toml").exists()


def test_tokens_of_two_apps_are_noticed(slack: PlayedSlack, typed: Typed, answered: Answered) -> None:
    slack.app_token = slack.app_token.replace("A0HONK1", "A0OTHER")
    typed(f"{slack.bot_token} {slack.app_token}")
    assert set_up() == 1
    assert "different apps" in remedies(answered())["Slack Socket Mode"]


def test_a_bot_in_no_channel_is_kept_and_asked_to_be_invited(
    slack: PlayedSlack, home: Path, typed: Typed, answered: Answered
) -> None:
    slack.channels = []
    typed(f"{slack.bot_token} {slack.app_token}")
    assert set_up() == 1
    shown = answered()
    assert "/invite @honk" in remedies(shown)["Slack channels"]
    assert shown["written"] == str(home / "honk.toml")


def test_events_are_compared_where_a_configuration_token_allows_it(
    slack: PlayedSlack, typed: Typed, answered: Answered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HONK_SLACK_BOT_TOKEN", slack.bot_token)
    monkeypatch.setenv("HONK_SLACK_APP_TOKEN", slack.app_token)
    monkeypatch.setenv("HONK_SLACK_CONFIGURATION_TOKEN", slack.configuration_token)
    slack.manifest = manifest(read_settings())
    assert set_up(check=True) == 0
    answered()
    slack.manifest["settings"]["event_subscriptions"]["bot_events"].remove("link_shared")
    slack.manifest["features"]["shortcuts"] = []
    slack.manifest["settings"]["socket_mode_enabled"] = False
    assert set_up(check=True) == 1
    remedy = remedies(answered())["Slack events"]
    assert "the event link_shared (page Event Subscriptions)" in remedy
    assert "the shortcut ask_honk" in remedy
    assert "Socket Mode" in remedy
    slack.configuration_token = "another"
    assert set_up(check=True) == 1
    assert "configuration token is not accepted (invalid_auth)" in remedies(answered())["Slack events"]


@pytest.mark.parametrize(
    ("trouble", "sentence"),
    [
        ((503, {}, "<h1>oops</h1>"), "is in trouble (503): try again"),
        ((200, {}, "<h1>a proxy</h1>"), "is not Slack (status 200): see to HONK_SLACK_API_URL"),
        ((429, {"retry-after": "7"}, {"ok": False}), "try again in 7 seconds"),
    ],
)
def test_trouble_at_slack_is_one_sentence_and_nothing_is_kept(
    slack: PlayedSlack, home: Path, typed: Typed, answered: Answered, trouble: Any, sentence: str
) -> None:
    slack.trouble = trouble
    typed(f"{slack.bot_token} {slack.app_token}")
    assert set_up() == 1
    assert sentence in remedies(answered())["Slack"]
    assert not (home / "honk.toml").exists()


def test_a_slack_that_cannot_be_reached_is_one_row_for_the_doctor(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert slack_rows(read_settings()) == []
    monkeypatch.setenv("HONK_SLACK_API_URL", "http://127.0.0.1:9/api/")
    monkeypatch.setenv("HONK_SLACK_BOT_TOKEN", "xoxb-very-secret")
    ((name, holds, remedy),) = slack_rows(read_settings())
    assert (name, holds) == ("Slack", False)
    assert "127.0.0.1:9 cannot be reached" in remedy
    assert "secret" not in remedy
    monkeypatch.setenv("HONK_SLACK_BOT_TOKEN", "xoxb-very secret\n")
    assert all("very" not in remedy for _, _, remedy in slack_rows(read_settings()))


def test_a_person_at_a_terminal_mends_it_and_has_it_looked_at_again(
    slack: PlayedSlack, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slack.scopes = [scope for scope in SCOPES if scope != "chat:write"]
    typed = iter([slack.bot_token, slack.app_token, "", ""])
    hidden: list[bool] = []

    def prompt(_: str, **options: Any) -> str:
        hidden.append(options["hide_input"])
        return next(typed)

    def confirm(*_: Any, **__: Any) -> bool:
        slack.scopes = list(SCOPES)
        return True

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.prompt", prompt)
    monkeypatch.setattr("typer.confirm", confirm)
    assert set_up(as_json=False) == 0
    said = capsys.readouterr()
    assert "chat:write" in said.err
    assert "Kept in" in said.out
    assert hidden == [True] * 4
    assert slack.bot_token not in said.out + said.err


def test_what_is_typed_at_a_terminal_is_not_shown(slack: PlayedSlack, home: Path) -> None:
    code = (
        "from honk.cli.setup import setup_slack; raise SystemExit(setup_slack(print_manifest=False, check=False, "
        "events_api=False, open_browser=False, as_json=False))"
    )
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, "-c", code])  # what a shell would do
    shown = _until(terminal, "xoxb-…:")
    _type_unseen(terminal, slack.bot_token)
    shown += _until(terminal, "xapp-…:")
    _type_unseen(terminal, slack.app_token)
    shown += _until(terminal, None)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, shown
    assert "Kept in" in shown
    assert slack.bot_token not in shown
    assert slack.app_token not in shown


def _type_unseen(terminal: int, words: str) -> None:
    """Types once the terminal shows nothing of it, as a person does who sees no letters appear."""
    deadline = time.monotonic() + 60
    while termios.tcgetattr(terminal)[3] & termios.ECHO:
        assert time.monotonic() < deadline, "what is typed would be shown"
        time.sleep(0.01)
    os.write(terminal, f"{words}\n".encode())


def _until(terminal: int, words: str | None) -> str:
    """What the terminal shows up to the words, or to its end."""
    shown = b""
    while words is None or words.encode() not in shown:
        ready, _, _ = select.select([terminal], [], [], 60)
        assert ready, shown
        try:
            more = os.read(terminal, 65536)
        except OSError:  # so a terminal ends on Linux
            more = b""
        if not more:
            break
        shown += more
    return shown.decode(errors="replace")


def test_an_environment_that_says_otherwise_is_pointed_out(
    slack: PlayedSlack, home: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HONK_SLACK_BOT_TOKEN", "xoxb-old")
    typed(f"{slack.bot_token} {slack.app_token}")
    assert set_up() == 0
    said = capsys.readouterr().err
    assert "HONK_SLACK_BOT_TOKEN in the environment wins" in said
    assert "HONK_SLACK_APP_TOKEN in" not in said


def test_the_manifest_has_all_that_the_surface_uses(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HONK_PUBLIC_URL", "https://honk.acme.example/")
    assert set_up(print_manifest=True) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["oauth_config"]["scopes"]["bot"] == list(SCOPES)
    assert made["settings"]["event_subscriptions"] == {"bot_events": list(EVENTS)}
    assert made["settings"]["socket_mode_enabled"] is True
    assert made["settings"]["interactivity"] == {"is_enabled": True}
    assert made["features"]["unfurl_domains"] == ["honk.acme.example"]
    assert made["features"]["shortcuts"][0]["callback_id"] == "ask_honk"
    assert made["features"]["slash_commands"][0]["command"] == "/honk"
    assert len(made["display_information"]["description"]) <= 140
    assert len(made["features"]["agent_view"]["agent_description"]) <= 300


def test_the_link_carries_the_whole_manifest_in_a_length_that_servers_take(home: Path) -> None:
    made = manifest(read_settings())
    link = creation_link(made)
    assert link and len(link) <= 8000
    assert json.loads(parse_qs(urlsplit(link).query)["manifest_json"][0]) == made
    assert creation_link(made | {"more": "x" * 8000}) is None


def test_the_events_api_needs_a_public_address_and_the_signing_secret(
    slack: PlayedSlack, home: Path, typed: Typed, answered: Answered, monkeypatch: pytest.MonkeyPatch
) -> None:
    for address in ("http://honk.acme.example", "https://192.0.2.1", "https://localhost"):
        monkeypatch.setenv("HONK_PUBLIC_URL", address)
        with pytest.raises(UsageError, match="HONK_PUBLIC_URL"):
            set_up(print_manifest=True, events_api=True)
    monkeypatch.setenv("HONK_PUBLIC_URL", "https://honk.acme.example")
    assert set_up(print_manifest=True, events_api=True) == 0
    made = answered()
    assert made["settings"]["socket_mode_enabled"] is False
    for part in (
        made["settings"]["event_subscriptions"]["request_url"],
        made["settings"]["interactivity"]["request_url"],
        made["features"]["slash_commands"][0]["url"],
    ):
        assert part == "https://honk.acme.example/slack/events"
    typed(f"{slack.bot_token} {'ab' * 16}")
    assert set_up(events_api=True) == 0
    kept = tomllib.loads((home / "honk.toml").read_text())
    assert kept == {"slack_bot_token": slack.bot_token, "slack_signing_secret": "ab" * 16}
