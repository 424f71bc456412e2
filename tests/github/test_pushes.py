"""What is pushed on GitHub is on Honk's machine before anybody asks for something."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator

import pytest

from honk.app import Installation, assemble
from honk.model import Repository
from honk.settings import read_settings
from honk.surfaces.github import GitHubSurface
from tests.conftest import git
from tests.github.conftest import PLACE
from tests.github.played import PlayedGitHub


@pytest.fixture
def honk(environment: dict[str, str]) -> Iterator[Installation]:
    installation = assemble(read_settings())
    yield installation
    installation.freshening.close()


@pytest.fixture
def told(honk: Installation, github: PlayedGitHub) -> Callable[..., None]:
    """Tells Honk of a push as GitHub does."""
    assert honk.github and honk.forges.github
    surface = GitHubSurface(honk.store, honk.inbox, honk.settings, honk.github, honk.forges.github)

    def tell(number: int, ref: str = "refs/heads/main") -> None:
        body = json.dumps({"ref": ref, "repository": {"full_name": PLACE}, "commits": []}).encode()
        signature = hmac.new(github.secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {"X-GitHub-Event": "push", "X-GitHub-Delivery": f"push-{number}"}
        assert surface.http(body, headers | {"X-Hub-Signature-256": f"sha256={signature}"})[0] == 202
        surface.work_off()

    return tell


def _known(honk: Installation) -> Repository:
    found = honk.forges.lookup(PLACE)
    assert found
    return found


def _fetches(github: PlayedGitHub) -> int:
    return sum(line.startswith("GET") and "git-upload-pack" in line for line in github.git_asked)


def test_what_is_pushed_is_fetched_once_for_many_pushes_and_before_anybody_asks(
    honk: Installation, github: PlayedGitHub, told: Callable[..., None]
) -> None:
    repository = _known(honk)
    mirror = honk.workspaces.mirrors.path(repository)
    honk.workspaces.fetch(repository)
    before = _fetches(github)
    told(0, "refs/heads/other")
    newest = github.push(PLACE, "main", {"app.txt": "two\n"}, as_="bob")
    for number in range(1, 21):
        told(number)
    deadline = time.monotonic() + 30
    while git(mirror, "rev-parse", "main") != newest:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    # One, or a few where this machine is slow to tell of them.
    assert 1 <= _fetches(github) - before < 10


def test_a_repository_that_nobody_works_on_is_not_fetched(honk: Installation, github: PlayedGitHub) -> None:
    repository = _known(honk)
    assert honk.workspaces.refresh(repository) is None
    assert not honk.workspaces.mirrors.path(repository).exists()
    assert _fetches(github) == 0
