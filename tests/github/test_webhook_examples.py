"""Every example webhook that GitHub publishes, signed, at our door."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest

from honk.app import Installation, assemble
from honk.model import HonkError
from honk.settings import read_settings
from honk.surfaces.github import GitHubSurface
from honk.surfaces.github.signature import Delivery
from tests.github.description import WEBHOOKS, published
from tests.github.played import PlayedGitHub


@pytest.fixture
def honk(environment: dict[str, str]) -> Installation:
    return assemble(read_settings())


@pytest.fixture
def surface(honk: Installation) -> GitHubSurface:
    assert honk.github and honk.forges.github
    return GitHubSurface(honk.store, honk.inbox, honk.settings, honk.github, honk.forges.github)


def _examples() -> list[tuple[str, dict[str, Any]]]:
    return [(event["name"], payload) for event in published(WEBHOOKS) for payload in event["examples"]]


def _signed(body: bytes, github: PlayedGitHub, event: str, delivery: str) -> dict[str, str]:
    signature = hmac.new(github.secret.encode(), body, hashlib.sha256).hexdigest()
    return {"X-GitHub-Event": event, "X-GitHub-Delivery": delivery, "X-Hub-Signature-256": f"sha256={signature}"}


def test_every_example_is_taken_when_it_is_signed_and_none_when_it_is_not(
    surface: GitHubSurface, github: PlayedGitHub, honk: Installation
) -> None:
    examples = _examples()
    assert len(examples) > 300
    for number, (event, payload) in enumerate(examples):
        body = json.dumps(payload).encode()
        headers = _signed(body, github, event, f"delivery-{number}")
        assert surface.http(body, headers)[0] == 202, event
        assert surface.http(body + b" ", headers)[0] == 401, event
        assert surface.http(body, {**headers, "X-Hub-Signature-256": ""})[0] == 401, event
    assert surface.work_off()
    assert honk.store.recall_all("github", "inbox") == {}
    assert honk.store.tasks() == []


def test_examples_about_a_repository_of_ours_start_nothing_by_people_who_may_not_write(
    surface: GitHubSurface, github: PlayedGitHub, honk: Installation
) -> None:
    honk.inbox.repositories()
    for number, (event, payload) in enumerate(_examples()):
        if isinstance(payload.get("repository"), dict):
            payload["repository"]["full_name"] = "acme/encore"
        if payload.get("label"):
            payload["label"]["name"] = "honk"
        try:
            surface.handle(Delivery(f"delivery-{number}", event, payload))
        except HonkError as error:
            # The examples speak of pull requests and commits that are not there.
            assert "does not find" in str(error) or "not installed" in str(error), (event, str(error))
    assert honk.store.tasks() == []
    assert {event.kind for event in honk.store.events()} <= {"refused"}


@pytest.mark.parametrize(
    ("body", "event", "status"),
    [(b"payload=%7B%7D", "push", 400), (b"[1]", "push", 400), (b"{}", "", 400), (b"{" * 5_000_001, "push", 413)],
    ids=["a form", "no object", "no event", "too large"],
)
def test_what_cannot_be_read_is_refused_with_a_sentence(
    surface: GitHubSurface, github: PlayedGitHub, body: bytes, event: str, status: int, tmp_path: Path
) -> None:
    answer = surface.http(body, _signed(body, github, event, "d"))
    assert answer[0] == status
    assert answer[1].endswith((b".", b"json."))
