"""Every example webhook that GitHub publishes, signed, at our door."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from unittest.mock import create_autospec

import pytest

from honk.app import Installation, assemble
from honk.flow.inbox import Inbox
from honk.model import HonkError, Person, State, Task
from honk.settings import read_settings
from honk.surfaces.github import GitHubSurface
from honk.surfaces.github.signature import Delivery
from tests.conftest import git
from tests.github.conftest import PLACE
from tests.github.description import WEBHOOKS, published
from tests.github.played import PlayedGitHub

WORK = "honk/work"
TASK = Task(
    id="work",
    repository="encore",
    text="Greet",
    agent="claude",
    state=State.READY,
    person=Person("github:ada", "ada"),
    created_at=datetime.now(UTC),
    updated_at=datetime.now(UTC),
    branch=WORK,
)


@pytest.fixture
def honk(environment: dict[str, str]) -> Installation:
    return assemble(read_settings())


@pytest.fixture
def surface(honk: Installation) -> GitHubSurface:
    assert honk.github and honk.forges.github
    return GitHubSurface(honk.store, honk.inbox, honk.settings, honk.github, honk.forges.github)


@pytest.fixture
def desk() -> Any:
    """Notes what reaches the inbox."""
    noted = create_autospec(Inbox, instance=True)
    noted.submit.return_value = TASK
    return noted


@pytest.fixture
def overheard(honk: Installation, desk: Any) -> GitHubSurface:
    """The surface with the noting inbox behind it."""
    assert honk.github and honk.forges.github
    return GitHubSurface(honk.store, desk, honk.settings, honk.github, honk.forges.github)


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
    for number, (event, payload) in enumerate(_examples()):
        _about_ours(payload)
        try:
            surface.handle(Delivery(f"delivery-{number}", event, payload))
        except HonkError as error:
            # The examples speak of pull requests and commits that are not there.
            assert "does not find" in str(error) or "not installed" in str(error), (event, str(error))
    assert honk.store.tasks() == []
    assert {event.kind for event in honk.store.events()} == {"refused"}
    assert github.violations == []


def _about_ours(payload: dict[str, Any]) -> None:
    """Put the example into our repository, and let its people speak to Honk."""
    if isinstance(payload.get("repository"), dict):
        payload["repository"]["full_name"] = PLACE
    if payload.get("label"):
        payload["label"]["name"] = "honk"
    for part in ("issue", "comment"):
        if payload.get(part):
            payload[part]["body"] = f"@honk {payload[part].get('body') or ''}"


@pytest.fixture
def at_work(honk: Installation, github: PlayedGitHub) -> Callable[[dict[str, Any]], None]:
    """Makes whatever pull request or commit an example is about the one of Honk's only task."""
    assert honk.forges.lookup(PLACE)
    honk.store.create_task(TASK, "k")
    head = github.push(PLACE, "main", {"app.txt": "two\n"}, as_="Codertocat")
    git(github.directory(PLACE), "branch", WORK, head)

    def make(payload: dict[str, Any]) -> None:
        number = (payload.get("pull_request") or payload.get("issue") or {}).get("number")
        sha = payload.get("sha") or (payload.get("check_run") or {}).get("head_sha")
        honk.store.update_task(TASK.id, pull_request=number, head_sha=sha or head)
        if (payload.get("check_run") or {}).get("status") == "completed":
            github.add_run(PLACE, payload["check_run"])
        pull: dict[str, Any] = {
            "number": number, "title": "", "body": "", "branch": WORK, "base": "main", "state": "open",
            "draft": False, "by": "ada", "labels": [],
        }  # fmt: skip
        github.repositories[PLACE].pulls = {number: pull} if number else {}

    return make


def test_examples_about_work_of_ours_are_heard_once_each_however_often_they_come(
    overheard: GitHubSurface,
    github: PlayedGitHub,
    desk: Any,
    at_work: Callable[[dict[str, Any]], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "honk.github")
    github.add_user("Codertocat", acme__encore="write")
    for number, (event, payload) in enumerate(_examples()):
        _about_ours(payload)
        at_work(payload)
        body = json.dumps(payload).encode()
        for _ in range(2):
            assert overheard.http(body, _signed(body, github, event, f"delivery-{number}"))[0] == 202
            assert overheard.work_off()
    heard = [call.kwargs["key"] for call in desk.submit.mock_calls] + [call.args[2] for call in desk.say.mock_calls]
    assert sorted(heard) == ["github:comment:492700400", "github:issue:444500041", "github:review-comment:284312630"]
    assert {call.args[4] for call in desk.red_elsewhere.mock_calls} == {"run:128620228"}
    for nothing in (desk.pushed, desk.ended_elsewhere, desk.refuse):
        nothing.assert_not_called()
    assert len(github.repositories[PLACE].reactions) == len(heard)
    assert len([said for said in github.said(PLACE, 1) if said.startswith("On it: ")]) == 2
    # Nothing was unreadable, and nothing that GitHub was asked for was missing.
    assert caplog.messages == []
    assert github.violations == []


@pytest.mark.parametrize(
    ("body", "event", "status"),
    [(b"payload=%7B%7D", "push", 400), (b"[1]", "push", 400), (b"{}", "", 400), (b"{" * 5_000_001, "push", 413)],
    ids=["a form", "no object", "no event", "too large"],
)
def test_what_cannot_be_read_is_refused_with_a_sentence(
    surface: GitHubSurface, github: PlayedGitHub, body: bytes, event: str, status: int
) -> None:
    answer = surface.http(body, _signed(body, github, event, "d"))
    assert answer[0] == status
    assert answer[1].endswith((b".", b"json."))
