"""A change whose code keeps tests from running is green by its checks, and held up by their count."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Honk
from tests.flow.desk import Desk

pytestmark = pytest.mark.usefixtures("sandbox")

TESTS = """\
import unittest

import prices


class Prices(unittest.TestCase):
    def test_total(self):
        self.assertEqual(prices.total([1, 2]), 3)

    def test_none(self):
        self.assertEqual(prices.total([]), 0)
"""
SUM = "def total(items):\n    return sum(items)\n"
SKIPS = "import unittest\n\n\ndef total(items):\n    raise unittest.SkipTest('later')\n"


@pytest.fixture
def desk(home: Path, make_repository: Callable[..., Path]) -> Desk:
    return Desk(home, make_repository({"prices.py": SUM, "test_prices.py": TESTS}))


def test_code_that_skips_the_tests_of_itself_waits_for_a_person_who_hears_how_many_ran(desk: Desk) -> None:
    task = desk.task(desk.commit({"prices.py": SKIPS}))
    check = desk.verify(task)
    assert (check.status, check.tests, check.tests_on_base) == ("passed", 0, 2)
    (reason,) = desk.judged(task).reasons
    assert reason == f"unittest: No tests passed, 2 did on {desk.base[:8]}, which the change is made from."
    (told,) = desk.honk.store.events_of(task.id, "check.on_base")
    assert told.data["names"] == ["unittest"]


def test_as_many_tests_as_before_are_nothing_to_speak_of_and_the_base_is_counted_once(desk: Desk) -> None:
    first = desk.task(desk.commit({"prices.py": SUM + "\n\nMOST = 3\n"}))
    second = desk.task(desk.commit({"prices.py": SUM + "\n\nMOST = 4\n"}))
    for task in (first, second):
        check = desk.verify(task)
        assert (check.tests, check.tests_on_base) == (2, None)
        assert desk.judged(task).findings == []
    assert desk.honk.store.count_events(first.id, "check.on_base") == 1
    assert desk.honk.store.count_events(second.id, "check.on_base") == 0


def test_what_landed_is_what_later_changes_are_counted_against(
    honk: Honk, make_repository: Callable[..., Path]
) -> None:
    repo = str(make_repository({"prices.py": SUM, "test_prices.py": TESTS}))
    one = "\n    def test_one(self):\n        self.assertEqual(prices.total([7]), 7)\n"
    skips = SUM.replace("    return", "    if items == [7]:\n        raise unittest.SkipTest\n    return")

    def run(agent: str, *more: str) -> dict[str, Any]:
        done = honk("run", "Go on", "--repo", repo, "--agent", f"script:{agent}", "--json", *more, check=0)
        task: dict[str, Any] = json.loads(done.stdout)
        return task

    landed = run(f"printf %s {shlex.quote(one)} >> test_prices.py", "--merge")
    assert (landed["state"], landed["checks"][0]["tests"]) == ("merged", 3)
    held = run(f"printf %s {shlex.quote('import unittest' + chr(10) * 3 + skips)} > prices.py")
    assert (held["state"], held["checks"][0]["tests"], held["checks"][0]["tests_on_base"]) == ("ready", 2, 3)
    (reason,) = held["unconfirmed"]
    assert reason.startswith("unittest: 2 tests passed, 3 did on ")
    assert "wants a tap" in honk("task", "show", held["id"], check=0).stdout


def test_tests_that_go_with_their_code_are_shown_and_hold_nobody_up(desk: Desk) -> None:
    more = SUM + "\n\ndef most(items):\n    return max(items)\n"
    tests = TESTS + "\n    def test_most(self):\n        self.assertEqual(prices.most([1, 2]), 2)\n"
    desk.commit({"prices.py": more, "test_prices.py": tests}, branch="main")
    task = desk.task(desk.commit({"prices.py": SUM, "test_prices.py": TESTS}))
    check = desk.verify(task)
    assert (check.tests, check.tests_on_base) == (2, 3)
    found = desk.judged(task)
    assert {finding.kind for finding in found.findings} == {"fewer-tests-run", "test-deleted"}
    assert found.reasons == []


def test_a_count_that_the_repository_does_not_mind_is_allowed_by_its_own_rules(desk: Desk) -> None:
    desk.commit({"honk.yaml": "tamper: {fewer-tests-run: allow}\n"}, branch="main")
    task = desk.task(desk.commit({"prices.py": SKIPS}))
    assert desk.verify(task).tests_on_base == 2
    assert desk.judged(task).findings == []
