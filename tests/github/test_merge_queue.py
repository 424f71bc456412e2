"""A branch that takes changes by GitHub's own merge queue only."""

from __future__ import annotations

from honk.model import State
from tests.conftest import git
from tests.github.conftest import PLACE, Team


def test_the_tapped_head_goes_through_githubs_own_queue_and_what_it_waits_for_is_told(team: Team) -> None:
    team.github.require_queue(PLACE, "main")
    task = team.ask()
    team.until("ready")
    team.tap(task, "merge")
    waits = team.until("merge.progress").data["line"]
    assert waits == "is being checked in GitHub's merge queue, at place 1"
    assert team.task(task.id).state is State.MERGING
    team.github.run_queue(PLACE, team.pull["number"])
    landed = team.until("merge.landed").data["sha"]
    assert team.pull["merge_commit_sha"] == landed
    assert git(team.github.directory(PLACE), "show", "main:app.txt") == "one\nhello"
    lined_up = [body for _, path, body, _ in team.github.calls if path == "/graphql" and "enqueue" in body["query"]]
    assert [body["variables"]["head"] for body in lined_up] == [team.task(task.id).head_sha]


def test_what_the_queue_takes_out_is_offered_again_with_the_reason(team: Team) -> None:
    team.github.require_queue(PLACE, "main")
    task = team.ask()
    team.until("ready")
    team.tap(task, "merge")
    team.until("merge.progress")
    team.github.run_queue(PLACE, team.pull["number"], passes=False)
    assert "merge queue took it out" in team.until("merge.refused").data["reason"]
    assert team.until_state(task, State.READY).head_sha
    assert team.pull["state"] == "open"
