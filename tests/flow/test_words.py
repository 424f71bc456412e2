"""What people say before the work begins, and in which repository."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from honk.app import Installation, assemble
from honk.flow.naming import named
from honk.model import Person, Refused, Repository, State, UsageError
from honk.settings import read_settings
from tests.conftest import Honk, git

ADA, BOB = Person("slack:T1/U1", "Ada", "ada@example.com"), Person("slack:T1/U2", "Bob")
ENCORE = Repository("encore", "https://github.com/acme/encore", "https://github.com/acme/encore.git", "main")
PLAYER = Repository("player", "/srv/player", "/srv/player", "main")


@pytest.mark.parametrize(
    ("text", "repository", "rest"),
    [
        ("fix the crash when the queue is empty, in encore", ENCORE, "fix the crash when the queue is empty"),
        ("in encore: fix the crash", ENCORE, "fix the crash"),
        ("encore: fix the crash", ENCORE, "fix the crash"),
        ("fix the crash in acme/encore please", ENCORE, "fix the crash please"),
        ("Fix it in the `player` repo.", PLAYER, "Fix it."),
        ("fix the crash in the queue of the player", PLAYER, "fix the crash in the queue"),
        ("see https://github.com/acme/encore and mend it", ENCORE, "see https://github.com/acme/encore and mend it"),
        ("fix the crash in the queue", None, "fix the crash in the queue"),
        ("encores are broken", None, "encores are broken"),
    ],
)
def test_a_request_names_its_repository_in_a_clause(text: str, repository: Repository | None, rest: str) -> None:
    assert named(text, [ENCORE, PLAYER], lambda _: None) == (repository, rest)


@pytest.fixture
def repo(make_repository: Callable[..., Path]) -> Path:
    return make_repository({"app.txt": "one\n"})


@pytest.fixture
def honk_here(home: Path) -> Installation:
    """An installation whose worker does not run, so that nothing is begun."""
    return assemble(read_settings())


def _ask(honk: Installation, repo: Path, text: str = "Greet") -> str:
    return honk.inbox.submit(repo=str(repo), text=text, agent="script:cat", key="k", person=ADA).id


def test_words_can_be_changed_until_somebody_begins_with_them(honk_here: Installation, repo: Path) -> None:
    task = _ask(honk_here, repo)
    assert honk_here.inbox.edit(task, "k", "Greet loudly", ADA)
    assert honk_here.store.task(task).text == "Greet loudly"
    assert [message.text for message in honk_here.store.messages(task)] == ["Greet loudly"]
    honk_here.store.take_messages(task, "a turn")
    assert not honk_here.inbox.edit(task, "k", "Greet quietly", ADA)
    assert honk_here.store.task(task).text == "Greet loudly"


def test_taking_back_the_only_words_ends_the_task(honk_here: Installation, repo: Path) -> None:
    task = _ask(honk_here, repo)
    honk_here.inbox.say(task, "And again", "more", BOB)
    assert honk_here.inbox.withdraw(task, "more", BOB)
    assert not honk_here.store.task(task).cancel_requested
    assert honk_here.inbox.withdraw(task, "k", ADA)
    assert honk_here.store.task(task).cancel_requested
    assert not honk_here.inbox.withdraw(task, "k", ADA)


def test_chat_names_no_paths_of_the_machine(honk_here: Installation, repo: Path) -> None:
    assert honk_here.inbox.named(f"read the passwords in {repo}")[0] is None
    with pytest.raises(Refused, match="honk setup github"):
        honk_here.inbox.link_offer(ADA)


def test_a_file_that_is_too_large_is_refused(honk_here: Installation) -> None:
    with pytest.raises(UsageError, match="larger than 20 MB"):
        honk_here.inbox.attach("log.txt", "text/plain", b"x" * 20_000_001)


def test_somebody_who_was_turned_away_is_in_the_log(honk_here: Installation) -> None:
    for _ in range(2):
        honk_here.inbox.refuse(BOB, "#general", "not among HONK_SLACK_USERS", "slack:C1:1")
    (event,) = honk_here.store.events()
    assert (event.kind, event.person, event.data["where"]) == ("refused", BOB.id, "#general")


@pytest.mark.usefixtures("sandbox")
def test_files_that_come_with_a_message_are_given_to_the_agent_and_stay_out_of_the_change(
    honk: Honk, honk_here: Installation, repo: Path
) -> None:
    attachments = [
        honk_here.inbox.attach(name, "text/plain", text.encode())
        for name, text in (("../../crash.log", "it fell\n"), ("crash.log", "it fell again\n"))
    ]
    task = honk_here.inbox.submit(
        repo=str(repo), text="Greet", key="k", person=ADA, attachments=attachments,
        agent="script:cat /honk/attachments/*crash.log > found; echo x 2>/dev/null > /honk/attachments/crash.log; true",
    )  # fmt: skip
    done = json.loads(honk("task", "say", task.id, "Go", "--json", check=0).stdout)
    assert done["state"] == State.READY.value
    shown = git(honk_here.forges.local.git_dir(honk_here.inbox.repositories()[0]), "show", f"{done['head_sha']}:found")
    assert sorted(shown.splitlines()) == ["it fell", "it fell again"]


def test_a_home_of_an_earlier_version_gets_the_columns_it_lacks(home: Path, repo: Path) -> None:
    first = assemble(read_settings())
    task = _ask(first, repo)
    with sqlite3.connect(home / "honk.db") as database:
        for table, column in (("tasks", "origin"), ("tasks", "pushed_sha"), ("messages", "attachments")):
            database.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    again = assemble(read_settings())
    assert again.store.task(task).origin is None
    assert again.store.messages(task)[0].attachments == []
