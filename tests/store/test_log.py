"""The log: once per key, chained, masked."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import delete, update

from honk.model import NotFound, Person, Repository, State, Task
from honk.store import Store, open_database, tables

ADA = Person("local:ada", "Ada")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(open_database(f"sqlite:///{tmp_path / 'honk.db'}"), lambda text: text.replace("hunter2", "•••"))


def _task(task_id: str) -> Task:
    now = datetime.now(UTC)
    return Task(task_id, "encore", "Change it", "claude", State.QUEUED, ADA, now, now)


def test_an_event_with_a_known_key_changes_nothing(store: Store) -> None:
    store.create_task(_task("a1"), "k")
    assert store.record("a1", "ready", {}, key="x", changes={"state": "ready"})
    assert not store.record("a1", "failed", {}, key="x", changes={"state": "failed"})
    assert store.task("a1").state is State.READY
    assert [event.kind for event in store.events(task_id="a1")] == ["task.created", "message.received", "ready"]


def test_appends_from_many_threads_make_one_whole_chain(store: Store) -> None:
    store.create_task(_task("a1"), "k")

    def append(number: int) -> None:
        for step in range(20):
            store.record("a1", "agent.text", {"text": str(step)}, key=f"{number}:{step}")

    threads = [threading.Thread(target=append, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [event.id for event in store.events()] == list(range(1, 163))
    assert store.broken_link() is None


@pytest.mark.parametrize(
    ("meddle", "shows_at"),
    [
        (lambda events: update(events).where(events.c.id == 4).values(data='{"text": "other"}'), 4),
        (lambda events: update(events).where(events.c.id == 4).values(person="local:mallory"), 4),
        (lambda events: delete(events).where(events.c.id == 3), 3),
        (lambda events: delete(events).where(events.c.id == 6), 6),
    ],
    ids=["a changed text", "a changed person", "a row missing in the middle", "the newest row missing"],
)
def test_a_log_that_was_meddled_with_shows_where(store: Store, meddle: Callable[..., object], shows_at: int) -> None:
    store.create_task(_task("a1"), "k")
    for number in range(4):
        store.record("a1", "agent.text", {"text": "mine"}, key=str(number))
    assert store.broken_link() is None
    with store.engine.begin() as connection:
        connection.execute(meddle(tables.events))  # type: ignore[arg-type]
    assert store.broken_link() == shows_at


def test_known_secrets_are_masked_in_events_and_rows(store: Store) -> None:
    store.create_task(_task("a1"), "k")
    store.record("a1", "failed", {"error": "the key hunter2 was refused"}, key="x", changes={"error": "hunter2!"})
    assert "hunter2" not in str(store.events(task_id="a1")[-1].data)
    assert store.task("a1").error == "•••!"


def test_a_message_sent_twice_is_there_once_and_taken_once(store: Store) -> None:
    store.create_task(_task("a1"), "first")
    assert store.add_message("a1", "second", "and more", ADA)
    assert not store.add_message("a1", "second", "and more", ADA)
    assert [message.key for message in store.take_messages("a1", "turn:1")] == ["first", "second"]
    assert store.take_messages("a1", "turn:2") == []
    assert [message.key for message in store.take_messages("a1", "turn:1")] == ["first", "second"]


def test_a_task_is_found_by_the_beginning_of_its_id(store: Store) -> None:
    store.create_task(_task("abcdef"), "k")
    store.create_task(_task("abcxyz"), "k")
    assert store.task("abcd").id == "abcdef"
    with pytest.raises(NotFound, match="There is no task"):
        store.task("zzzz")


def test_two_who_register_a_repository_at_once_get_one_name(store: Store) -> None:
    first = store.add_repository(
        Repository("encore", "https://example.com/acme/encore", "https://x/encore.git", "main")
    )
    late = Repository("acme-encore", first.address, first.git_url, "trunk")
    assert store.add_repository(late) == Repository("encore", first.address, first.git_url, "trunk")
    assert store.repository("encore") == store.repository(first.address)
    assert store.repository("acme-encore") is None
