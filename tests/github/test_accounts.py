"""Who people are on GitHub: linked once by the device flow, asked for at every start and merge."""

from __future__ import annotations

from pathlib import Path

import pytest

from honk.app import Installation, assemble
from honk.model import Person, Refused
from honk.settings import read_settings
from tests.github.conftest import PLACE, Team
from tests.github.played import PlayedGitHub

ADA, BOB = Person("slack:T1/U1", "Ada"), Person("slack:T1/U2", "Bob")


@pytest.fixture
def honk(environment: dict[str, str]) -> Installation:
    return assemble(read_settings())


def _link(honk: Installation, github: PlayedGitHub, person: Person, login: str) -> None:
    offer = honk.inbox.link_offer(person)
    github.confirm_device(offer.code, login)
    assert honk.inbox.finish_link(person) == login


def test_an_account_is_linked_when_its_owner_has_entered_the_code(honk: Installation, github: PlayedGitHub) -> None:
    offer = honk.inbox.link_offer(ADA)
    assert offer.url == f"{github.root}/login/device"
    assert honk.inbox.finish_link(ADA) is None
    assert honk.inbox.link_offer(ADA).code == offer.code
    github.confirm_device(offer.code, "ada")
    assert honk.inbox.finish_link(ADA) == "ada"
    assert honk.inbox.linked(ADA) == "ada"
    honk.inbox.unlink(ADA)
    assert honk.inbox.linked(ADA) is None


def test_nobody_works_on_github_before_it_is_known_who_they_are(honk: Installation, github: PlayedGitHub) -> None:
    with pytest.raises(Refused, match="/honk link"):
        honk.inbox.submit(repo=PLACE, text="Greet", key="k", person=ADA)
    _link(honk, github, ADA, "mallory")
    with pytest.raises(Refused, match="may not read"):
        honk.inbox.submit(repo=PLACE, text="Greet", key="k", person=ADA)
    assert honk.store.tasks() == []


def test_tokens_lie_sealed_in_the_database(honk: Installation, github: PlayedGitHub, home: Path) -> None:
    _link(honk, github, ADA, "ada")
    (token,) = [token for token, (who, _) in github.tokens.items() if who == "ada"]
    kept = b"".join(path.read_bytes() for path in home.glob("honk.db*"))
    assert token.encode() not in kept
    assert all(code.encode() not in kept for code in github.devices)
    assert (home / "seal.key").stat().st_mode & 0o077 == 0


@pytest.mark.usefixtures("sandbox")
def test_a_linked_person_opens_the_pull_request_in_their_own_name_and_cannot_approve_it_on_github(team: Team) -> None:
    team.github.push(PLACE, "main", {"honk.yaml": "merge: {approvals: 1}\n"}, as_="ada")
    _link(team.honk, team.github, ADA, "ada")
    task = team.honk.inbox.submit(repo=PLACE, text="Greet", key="k", person=ADA)
    team.until("ready")
    assert team.pull["by"] == "ada"
    head = team.task(task.id).head_sha
    with pytest.raises(Refused, match="cannot approve"):
        team.honk.inbox.act(task.id, "approve", head, "a", Person("github:ada", "ada"))
    _link(team.honk, team.github, BOB, "bob")
    team.honk.inbox.act(task.id, "approve", head, "b", BOB)
    team.honk.inbox.act(task.id, "merge", head, "m", ADA)
    team.until("merge.landed")
