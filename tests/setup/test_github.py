"""`honk setup github`, against a GitHub on loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from html import unescape
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from honk.certificates import trusted
from honk.cli.setup import setup_github
from honk.model import HonkError, UsageError
from honk.settings import read_settings
from honk.setup import github_rows
from honk.setup.github_app import EVENTS, PERMISSIONS, app_name
from tests.setup.played import PlayedGitHub

Typed = Callable[[str], None]
Answered = Callable[[], dict[str, Any]]


def set_up(**wanted: Any) -> int:
    usual = {"print_manifest": False, "check": False, "organisation": None, "name": None, "app_id": None,
             "private_key": None, "port": 0, "wait": 20.0, "open_browser": True, "as_json": True}  # fmt: skip
    return setup_github(**usual | wanted)


def remedies(shown: dict[str, Any]) -> list[str]:
    return [f"{row['name']}: {row['remedy']}" for row in shown["promises"] if not row["holds"]]


@pytest.fixture
def key_file(tmp_path: Path, keys: tuple[str, str]) -> Path:
    path = tmp_path / "honk.private-key.pem"
    path.write_text(keys[0])
    return path


class Browser:
    """A person's browser that sends the form it is shown and follows where it is led."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ended: list[httpx.Response] = []
        self.threads: list[Thread] = []
        self.way: Callable[[str], None] = self.go
        monkeypatch.setattr("webbrowser.open", self._open)

    def _open(self, address: str) -> bool:
        self.threads.append(Thread(target=self.way, args=(address,)))
        self.threads[-1].start()
        return True

    def go(self, address: str) -> None:
        page = httpx.get(address, verify=trusted()).raise_for_status().text
        action, value = (unescape(page.partition(f'{name}="')[2].partition('"')[0]) for name in ("action", "value"))
        there = httpx.post(action, data={"manifest": value}, verify=trusted())
        if there.status_code != 302:
            self.ended.append(there)
            return
        self.ended.append(httpx.get(there.headers["location"], verify=trusted()))

    def close(self) -> httpx.Response:
        for thread in self.threads:
            thread.join(10)
        return self.ended[-1]


@pytest.fixture
def browser_of_a_person(monkeypatch: pytest.MonkeyPatch) -> Browser:
    return Browser(monkeypatch)


def test_a_new_app_is_made_in_the_browser_and_its_key_kept(
    github: PlayedGitHub, home: Path, typed: Typed, answered: Answered, browser_of_a_person: Browser
) -> None:
    assert set_up(organisation="acme") == 0
    assert answered()["written"] == str(home / "honk.toml")
    last = browser_of_a_person.close()
    assert (last.status_code, last.headers["location"]) == (303, f"{github.address}/apps/honk-acme/installations/new")
    (made,) = github.manifests
    assert made["name"] == "Honk acme"
    assert made["default_permissions"] == PERMISSIONS
    assert made["hook_attributes"] == {"url": "https://example.com/github/webhook", "active": False}
    assert github.owner == {"login": "acme", "type": "Organization"}
    kept = tomllib.loads((home / "honk.toml").read_text())
    assert kept == {
        "github_app_id": "4665",
        "github_private_key": github.private_key,
        "github_webhook_secret": "w" * 40,
    }
    assert (home / "honk.toml").stat().st_mode & 0o777 == 0o600
    assert all(holds for _, holds, _ in github_rows(read_settings()))


def test_with_a_public_address_webhooks_are_on(
    github: PlayedGitHub,
    home: Path,
    typed: Typed,
    answered: Answered,
    browser_of_a_person: Browser,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HONK_PUBLIC_URL", "https://honk.acme.example")
    assert set_up() == 0
    browser_of_a_person.close()
    (made,) = github.manifests
    assert made["hook_attributes"] == {"url": "https://honk.acme.example/github/webhook", "active": True}
    answered()
    github.hook = {"url": "https://old.acme.example/github/webhook", "secret": "********"}
    assert set_up(check=True) == 1
    (remedy,) = remedies(answered())
    assert "set the Webhook URL to https://honk.acme.example/github/webhook" in remedy


def test_an_app_that_is_installed_nowhere_is_kept_and_the_page_is_named(
    github: PlayedGitHub, home: Path, typed: Typed, answered: Answered, browser_of_a_person: Browser
) -> None:
    github.installations = []
    assert set_up() == 1
    browser_of_a_person.close()
    shown = answered()
    assert shown["written"]
    where = f"{github.address}/apps/honk-acme/installations/new"
    assert remedies(shown) == [
        f"GitHub installation: It is installed nowhere: install it on your repositories at {where}."
    ]


def test_who_comes_back_with_another_state_or_from_another_site_gets_nothing(
    github: PlayedGitHub, home: Path, typed: Typed, browser_of_a_person: Browser
) -> None:
    seen: list[int] = []

    def way(address: str) -> None:
        parts = urlsplit(address)
        base = f"http://{parts.netloc}"
        seen.append(httpx.get(f"{base}/callback?code=stolen&state=guessed", verify=trusted()).status_code)
        seen.append(httpx.get(f"{base}/callback", verify=trusted()).status_code)
        seen.append(httpx.get(base, verify=trusted()).status_code)
        seen.append(httpx.get(address, headers={"host": "evil.example"}, verify=trusted()).status_code)
        browser_of_a_person.go(address)

    browser_of_a_person.way = way
    assert set_up() == 0
    browser_of_a_person.close()
    assert seen == [400, 400, 404, 403]


def test_a_code_that_github_does_not_take_is_said_in_the_shell_and_in_the_browser(
    github: PlayedGitHub, home: Path, typed: Typed, browser_of_a_person: Browser
) -> None:
    github.refusal = (404, {}, {"message": "Not Found"})
    with pytest.raises(HonkError, match="did not hand out the new app"):
        set_up()
    last = browser_of_a_person.close()
    assert last.status_code == 502
    assert "did not hand out the new app" in last.text
    assert not (home / "honk.toml").exists()


def test_who_never_comes_back_is_not_waited_for_forever(
    github: PlayedGitHub, home: Path, typed: Typed, browser_of_a_person: Browser
) -> None:
    browser_of_a_person.way = lambda _: None
    with pytest.raises(HonkError, match="Nobody came back from GitHub"):
        set_up(wait=0.1)


def test_an_app_there_is_needs_its_id_and_key(
    github: PlayedGitHub, home: Path, typed: Typed, answered: Answered, key_file: Path
) -> None:
    home.mkdir()
    (home / "honk.toml").write_text("# mine\nmax_cost_usd = 3.0  # enough\n")
    assert set_up(app_id="4665", private_key=str(key_file)) == 0
    text = (home / "honk.toml").read_text()
    assert text.startswith("# mine\nmax_cost_usd = 3.0  # enough\n")
    assert tomllib.loads(text)["github_private_key"] == key_file.read_text()


def test_the_key_comes_by_standard_input_too(github: PlayedGitHub, home: Path, typed: Typed, key_file: Path) -> None:
    typed(key_file.read_text())
    assert set_up(app_id="4665", private_key="-") == 0


def test_the_key_of_the_environment_is_taken_with_written_out_line_ends(
    github: PlayedGitHub, home: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch, keys: tuple[str, str]
) -> None:
    monkeypatch.setenv("HONK_GITHUB_PRIVATE_KEY", keys[0].replace("\n", "\\n"))
    assert set_up(app_id="4665") == 0
    assert tomllib.loads((home / "honk.toml").read_text())["github_private_key"] == keys[0]


def _other_key(kind: str) -> str:
    if kind == "curve":
        made: Any = ec.generate_private_key(ec.SECP256R1())
    else:
        made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    sealed = serialization.BestAvailableEncryption(b"passphrase") if kind == "sealed" else serialization.NoEncryption()
    text: bytes = made.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, sealed)
    return text.decode()


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("nothing", "neither a file that can be read nor the key itself"),
        ("torn", "cannot be read"),
        ("sealed", "cannot be read"),
        ("curve", "is not the app's"),
    ],
)
def test_a_bad_private_key_is_refused_before_anything_is_asked(
    github: PlayedGitHub, home: Path, typed: Typed, tmp_path: Path, key_file: Path, kind: str, sentence: str
) -> None:
    path = tmp_path / "bad.pem"
    if kind == "torn":
        path.write_text(key_file.read_text()[:300])
    elif kind != "nothing":
        path.write_text(_other_key(kind))
    with pytest.raises(UsageError, match=sentence) as refused:
        set_up(app_id="4665", private_key=str(path))
    assert "MII" not in str(refused.value)
    assert not (home / "honk.toml").exists()


def test_the_key_of_another_app_is_not_kept(
    github: PlayedGitHub, home: Path, typed: Typed, answered: Answered, tmp_path: Path
) -> None:
    (tmp_path / "other.pem").write_text(_other_key("other"))
    assert set_up(app_id="4665", private_key=str(tmp_path / "other.pem")) == 1
    (remedy,) = remedies(answered())
    assert "does not accept the key for app 4665" in remedy
    assert not (home / "honk.toml").exists()


def test_an_unknown_app_id_is_told_from_a_wrong_key(
    github: PlayedGitHub, home: Path, typed: Typed, answered: Answered, key_file: Path
) -> None:
    assert set_up(app_id="1", private_key=str(key_file)) == 1
    assert "There is no app with the id 1" in remedies(answered())[0]
    with pytest.raises(UsageError, match="App ID"):
        set_up(app_id="honk-acme", private_key=str(key_file))
    with pytest.raises(UsageError, match="--private-key"):
        set_up(app_id="1")


def test_a_wrong_clock_is_recognised(
    github: PlayedGitHub, home: Path, typed: Typed, answered: Answered, key_file: Path
) -> None:
    github.refusal = (401, {}, {"message": "'Expiration time' claim ('exp') is too far in the future"})
    assert set_up(app_id="4665", private_key=str(key_file)) == 1
    assert "clock is wrong" in remedies(answered())[0]


def test_missing_permissions_events_and_device_flow_are_named_with_their_pages(
    github: PlayedGitHub, home: Path, typed: Typed, answered: Answered, key_file: Path
) -> None:
    github.owner = {"login": "acme", "type": "Organization"}
    github.permissions |= {"contents": "read"}
    del github.permissions["checks"]
    github.events = [event for event in EVENTS if event != "status"]
    github.device_flow = False
    assert set_up(app_id="4665", private_key=str(key_file)) == 1
    shown = answered()
    page = f"{github.address}/organizations/acme/settings/apps/honk-acme"
    assert remedies(shown) == [
        f"GitHub permissions: Set Contents: Read and write and Checks: Read and write at {page}/permissions and save.",
        f"GitHub events: Tick status under Subscribe to events at {page}/permissions.",
        f"GitHub device flow: Tick Enable Device Flow at {page} and save: people link their accounts by it.",
    ]
    assert shown["written"], "what is missing is mended on GitHub, the key is right"


def test_permissions_that_an_organisation_has_yet_to_accept_are_named(
    github: PlayedGitHub, home: Path, typed: Typed, answered: Answered, key_file: Path
) -> None:
    github.installations[0]["permissions"] = dict(PERMISSIONS) | {"deployments": "read"}
    personal = {"id": 2, "account": {"login": "ada", "type": "User"}, "suspended_at": None,
                "permissions": {name: access for name, access in PERMISSIONS.items() if name != "members"}}  # fmt: skip
    github.installations.append(personal)
    assert set_up(app_id="4665", private_key=str(key_file)) == 1
    (remedy,) = remedies(answered())
    assert "acme has not accepted Deployments: Read and write" in remedy
    assert "/settings/installations/1" in remedy


def test_a_suspended_installation_and_an_absent_organisation_count_as_missing(
    github: PlayedGitHub,
    home: Path,
    typed: Typed,
    answered: Answered,
    key_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HONK_GITHUB_ORGANISATIONS", '["Acme", "umbrella"]')
    assert set_up(app_id="4665", private_key=str(key_file)) == 1
    assert "It is not installed on umbrella" in remedies(answered())[0]
    github.installations[0]["suspended_at"] = "2026-01-01T00:00:00Z"
    assert set_up(check=True) == 1
    assert "It is suspended on acme" in remedies(answered())[0]


def test_a_github_that_cannot_be_reached_is_one_row_for_the_doctor(
    home: Path, monkeypatch: pytest.MonkeyPatch, keys: tuple[str, str]
) -> None:
    assert github_rows(read_settings()) == []
    monkeypatch.setenv("HONK_GITHUB_API_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("HONK_GITHUB_APP_ID", "4665")
    ((_, _, remedy),) = github_rows(read_settings())
    assert "There is no private key" in remedy
    monkeypatch.setenv("HONK_GITHUB_PRIVATE_KEY", keys[0])
    ((name, holds, remedy),) = github_rows(read_settings())
    assert (name, holds) == ("GitHub App", False)
    assert "127.0.0.1:9 cannot be reached" in remedy


def test_the_manifest_is_printed_for_those_who_make_the_app_themselves(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert set_up(print_manifest=True, organisation="acme") == 0
    assert json.loads(capsys.readouterr().out)["default_events"] == list(EVENTS)
    with pytest.raises(UsageError, match="--organisation"):
        set_up(organisation="acme/encore")


def test_the_name_is_no_longer_than_github_takes() -> None:
    assert app_name(None, "a" * 39) == "Honk " + "a" * 29
    assert app_name(None, None) != app_name(None, None)
    assert app_name("Honk of Ada", "acme") == "Honk of Ada"


def test_help_stays_quick_because_nothing_heavy_is_imported_before_it_is_needed() -> None:
    code = "import sys, honk.cli.setup, honk.setup; print({'httpx', 'jwt', 'cryptography'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.strip() == "set()"
