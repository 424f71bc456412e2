from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from honk.setup.github_app import EVENTS, PERMISSIONS
from honk.setup.slack_app import SCOPES
from tests.setup.played import PlayedGitHub, PlayedSlack, serving


@pytest.fixture(scope="session")
def databases() -> None:
    """None: whoever is here comes to a machine on which Honk has never run."""


@pytest.fixture
def slack(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PlayedSlack]:
    """A Slack in which the app is made, installed and invited, as the manifest says."""
    played = PlayedSlack()
    played.scopes = list(SCOPES)
    with serving(played):
        monkeypatch.setenv("HONK_SLACK_API_URL", f"{played.address}/api/")
        yield played


@pytest.fixture(scope="session")
def keys() -> tuple[str, str]:
    """A private and its public key, as PEM."""
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = made.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = made.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


@pytest.fixture
def github(home: Path, monkeypatch: pytest.MonkeyPatch, keys: tuple[str, str]) -> Iterator[PlayedGitHub]:
    """A GitHub in which the app is made and installed on `acme`."""
    played = PlayedGitHub(*keys)
    played.permissions, played.events = dict(PERMISSIONS), list(EVENTS)
    played.installations = [
        {
            "id": 1,
            "account": {"login": "acme", "type": "Organization"},
            "permissions": dict(PERMISSIONS),
            "html_url": "https://github.example/organizations/acme/settings/installations/1",
            "suspended_at": None,
        }
    ]
    with serving(played):
        monkeypatch.setenv("HONK_GITHUB_API_URL", f"{played.address}/api")
        monkeypatch.setenv("HONK_GITHUB_GIT_URL", played.address)
        yield played


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """What arrives on standard input, which is no terminal."""

    def give(text: str) -> None:
        monkeypatch.setattr("sys.stdin", io.StringIO(text))

    give("")
    return give


@pytest.fixture
def answered(capsys: pytest.CaptureFixture[str]) -> Callable[[], dict[str, Any]]:
    """The one JSON object that a command left on standard output."""

    def read() -> dict[str, Any]:
        shown: dict[str, Any] = json.loads(capsys.readouterr().out)
        return shown

    return read
