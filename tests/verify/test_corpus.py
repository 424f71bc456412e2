"""What real tools printed on broken projects: the culprit is always told, in a small share of the characters."""

from __future__ import annotations

import pytest

from tests.verify.corpus.held_out import PROJECTS
from tests.verify.corpus.make import CASES
from tests.verify.corpus.measure import HERE, LONG, Log, Told, logs, tell

ALL = [*logs(HERE / "logs"), *logs(HERE / "held_out")]


@pytest.mark.parametrize("log", ALL, ids=lambda log: log.name)
def test_what_matters_is_told_and_noise_is_not(log: Log) -> None:
    told = tell(log)
    assert not told.lost, told.text
    assert not told.noise, told.text
    assert len(told.text) <= 2_000
    assert not any(sign in told.text for sign in ("\x1b", "\r", "/workspace/"))
    assert len(log.output) <= LONG or told.ratio >= 20


def test_the_corpus_is_large_and_of_many_tools() -> None:
    assert len(ALL) >= 100
    assert len({log.tool for log in ALL}) >= 30
    assert sum(len(log.output) > LONG for log in ALL) >= 50


def test_a_budget_keeps_the_culprit_at_a_quarter_of_the_usual_room() -> None:
    kept = [Told(log, tell(log, budget=500).text) for log in ALL]
    assert all(len(one.text) <= 500 for one in kept)
    lost = [one.log.name for one in kept if one.log.must[0] in one.lost]
    assert not lost


def test_every_log_can_be_made_again() -> None:
    assert {log.name for log in logs(HERE / "logs")} <= {case.name for case in CASES}
    assert {log.name.rpartition("-")[0] for log in logs(HERE / "held_out")} <= {project.name for project in PROJECTS}
