"""Pushes that come while a fetch is under way are one more fetch, and never none."""

from __future__ import annotations

import threading

from honk.flow.freshening import Freshening
from honk.model import HonkError, Repository

PROJECT = Repository("project", "far", "https://git.example.com/far.git", "main")


def test_pushes_that_come_during_a_fetch_are_fetched_together_afterwards() -> None:
    begun, go_on, twice = threading.Event(), threading.Event(), threading.Event()
    fetched: list[str] = []
    renewed: list[str] = []

    def fetch(repository: Repository) -> str:
        fetched.append(repository.name)
        begun.set()
        assert go_on.wait(60)
        return f"commit {len(fetched)}"

    def then(_: Repository, newest: str) -> None:
        renewed.append(newest)
        if len(renewed) == 2:
            twice.set()

    freshening = Freshening(fetch, then)
    freshening.want(PROJECT)
    assert begun.wait(60)
    for _ in range(20):
        freshening.want(PROJECT)
    go_on.set()
    assert twice.wait(60)
    freshening.close()
    assert (fetched, renewed) == (["project"] * 2, ["commit 1", "commit 2"])


def test_a_forge_that_is_down_keeps_no_later_push_from_being_fetched() -> None:
    done = threading.Event()
    answers: list[str | HonkError] = [HonkError("down"), "commit"]

    def fetch(_: Repository) -> str:
        answer = answers.pop(0)
        if isinstance(answer, HonkError):
            tried.set()
            raise answer
        return answer

    tried = threading.Event()
    freshening = Freshening(fetch, lambda _, __: done.set())
    freshening.want(PROJECT)
    assert tried.wait(60)
    freshening.want(PROJECT)
    assert done.wait(60)
    freshening.close()
