"""GitHub lost, late, busy, or saying no: nothing is lost or done twice, and people see what is going on."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest

from honk.certificates import trusted
from honk.model import HonkError, State
from tests.conftest import git
from tests.github.conftest import PLACE, Team
from tests.github.played import Fault

pytestmark = pytest.mark.usefixtures("sandbox")


def _landings(team: Team) -> int:
    return int(git(team.github.directory(PLACE), "rev-list", "--count", "main")) - 1


def test_a_merge_whose_answer_is_lost_is_made_once(team: Team) -> None:
    task = team.ask()
    team.until("ready")
    team.github.fail_next("PUT", "/merge$", status=502, after=True)
    team.tap(task, "merge")
    landed = team.until("merge.landed").data["sha"]
    assert landed == team.pull["merge_commit_sha"]
    assert _landings(team) == 1


def test_a_pull_request_whose_answer_is_lost_is_opened_once(team: Team) -> None:
    team.github.fail_next("POST", "/pulls$", status=502, after=True)
    team.ask()
    team.until("ready")
    assert len(team.github.repositories[PLACE].pulls) == 1


def test_a_merge_that_github_could_not_make_is_offered_again(team: Team) -> None:
    task = team.ask()
    team.until("ready")
    team.github.fail_next("PUT", "/merge$", status=502)
    team.tap(task, "merge")
    assert "try again; nothing is lost" in team.until("merge.refused").data["reason"]
    team.tap(task, "merge", key="again")
    team.until("merge.landed")
    assert _landings(team) == 1


def test_a_short_limit_is_waited_for(team: Team) -> None:
    limited = {"retry-after": "1", "x-ratelimit-remaining": "10"}
    team.github.fail_next(
        "POST", "/pulls$", status=403, headers=limited, message="You have exceeded a secondary rate limit"
    )
    team.ask()
    team.until("ready")
    assert len(team.github.repositories[PLACE].pulls) == 1


def test_a_limit_that_lasts_is_told_with_its_end_and_retry_goes_on(team: Team) -> None:
    until = time.time() + 1800
    used_up = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(until)), "x-ratelimit-limit": "5000"}
    team.github.fail_next("POST", "/pulls$", status=403, headers=used_up, message="API rate limit exceeded")
    task = team.ask()
    error = team.until("failed").data["error"]
    assert f"used up until {time.strftime('%H:', time.localtime(until))}" in error
    team.tap(task, "retry")
    team.until("ready")


def test_webhooks_with_a_wrong_signature_or_none_are_refused(team: Team) -> None:
    address = team.github.webhook_url or ""
    payload = {"action": "created"}
    assert team.github.deliver("issue_comment", payload, secret="another") == 401
    assert httpx.post(address, content=b"{}", headers={"x-github-event": "ping"}, verify=trusted()).status_code == 401
    assert httpx.post(address, content=b"x" * 7_000_000, verify=trusted()).status_code == 413
    assert team.github.deliver("ping", {"zen": "Keep it logically awesome."}) == 202


def test_repeated_and_late_webhooks_do_nothing_twice(team: Team) -> None:
    task = team.ask()
    team.until("ready")
    first = team.task(task.id).head_sha
    made = team.github.comment(PLACE, 1, "@honk once more", "bob")
    team.until("ready")
    pull = team.github._pull(PLACE, team.pull)
    repository, bob = team.github._repository(PLACE), team.github.user("bob")
    again = {"action": "created", "issue": {"number": 1, "pull_request": {}}, "comment": made}
    late = {"action": "synchronize", "pull_request": pull | {"head": pull["head"] | {"sha": first}}}
    for event, payload in (("issue_comment", again), ("pull_request", late), ("issue_comment", again)):
        assert team.github.deliver(event, payload | {"repository": repository, "sender": bob}) == 202
    team.until_true(lambda: not team.honk.store.recall_all("github", "inbox"))
    assert len(team.honk.store.messages(task.id)) == 2
    assert team.task(task.id).state is State.READY
    assert team.honk.store.count_events(task.id, "turn.started") == 2


@pytest.mark.parametrize("environment", [{"HONK_GITHUB_POLL_SECONDS": "0.3"}], indirect=True)
def test_without_webhooks_everything_is_found_by_looking(team: Team) -> None:
    team.github.webhook_url = None
    number = team.github.open_issue(PLACE, "It is silent", "Make it greet.", "mallory")
    team.github.label_issue(PLACE, number, "honk", "ada")
    task = team.task(team.until("task.created").task_id)
    team.until("ready")
    pull = team.task(task.id).pull_request or 0
    team.github.comment(PLACE, pull, "@honk once more", "bob")
    team.github.comment(PLACE, pull, "@honk and this", "mallory")
    team.until("ready")
    team.github.review(PLACE, pull, "COMMENTED", "A third time, please", "ada")
    team.until("ready")
    team.github.push(PLACE, task.branch or "", {"more.txt": "by hand\n"}, as_="bob")
    team.until("branch.taken_in")
    team.until("ready")
    team.github.check(PLACE, team.task(task.id).head_sha or "", "integration", "failure", "Error: too quiet")
    team.until("ci.failed")
    team.until("ready")
    team.github.merge_by_hand(PLACE, pull, "bob")
    team.until("merge.elsewhere")
    people = [message.person.id for message in team.honk.store.messages(task.id)]
    assert people == ["github:ada", "github:bob", "github:ada", "github:ci"]


NO_WEBHOOKS = {"HONK_GITHUB_WEBHOOK_SECRET": "", "HONK_GITHUB_POLL_SECONDS": "0.3"}


@pytest.mark.parametrize("environment", [NO_WEBHOOKS], indirect=True)
def test_words_on_issues_and_assignments_are_found_by_looking_too(team: Team) -> None:
    team.github.webhook_url = None
    spoken = team.github.open_issue(PLACE, "It is silent", "Nothing is said.", "mallory")
    team.github.comment(PLACE, spoken, "@honk see to it", "mallory")
    assert team.until("refused").person == "github:mallory"
    team.github.comment(PLACE, spoken, "@honk see to it", "bob")
    first = team.until("task.created")
    assert first.person == "github:bob"
    team.until("ready")
    assigned = team.github.open_issue(PLACE, "It is loud", "Too much is said.", "ada")
    team.github.assign_issue(PLACE, assigned, "honk-test[bot]", "ada")
    assert team.until("task.created").person == "github:ada"
    team.until("ready")
    team.github.close_pull(PLACE, team.task(first.task_id).pull_request or 0, "bob")
    assert team.until("cancelled").task_id == first.task_id
    assert httpx.post(f"{team.url}/github/webhook", content=b"{}", verify=trusted()).status_code == 404


def test_a_merge_of_which_nothing_was_heard_is_followed_up_when_github_is_back(team: Team) -> None:
    task = team.ask()
    team.until("ready")
    away = Fault("GET", r"/pulls/\d+$", 502, {}, "Server Error", after=False, times=8)
    team.github.fail_next("PUT", "/merge$", status=502, after=True, then=away)
    team.tap(task, "merge")
    assert team.until("merge.refused").data["unknown"]
    team.github.faults.clear()
    closed = {"action": "closed", "repository": {"full_name": PLACE}, "pull_request": {"number": 1}}
    team.github.deliver("pull_request", closed)
    landed = team.until("merge.landed", "merge.elsewhere")
    assert landed.kind == "merge.landed"
    assert landed.person == "github:ada"
    assert _landings(team) == 1


def test_somebody_elses_merge_in_the_same_moment_is_not_taken_for_honks_own(team: Team) -> None:
    task = team.ask()
    team.until("ready")
    team.github.webhook_url = None
    team.github.merge_by_hand(PLACE, 1, "bob")
    team.tap(task, "merge")
    assert "Somebody merged it on the forge" in team.until("merge.refused").data["reason"]
    assert team.honk.store.count_events(task.id, "merge.landed") == 0


def test_an_app_that_is_not_installed_is_said_with_where_to_install_it(team: Team) -> None:
    team.github.repositories[PLACE].installed = False
    with pytest.raises(HonkError, match=r"not installed on acme/encore.*/apps/honk-test/installations/new"):
        team.ask()


def test_a_pull_request_closed_while_the_agent_works_cancels_the_task(team: Team) -> None:
    task = team.ask(agent="script:echo hello >> app.txt; test -e second && sleep 30; touch second")
    team.until("ready")
    team.honk.inbox.say(task.id, "Again", "again", team.task(task.id).person)
    team.until("agent.started")
    team.github.close_pull(PLACE, 1, "bob")
    team.until("cancelled")
    assert team.task(task.id).state is State.CANCELLED


@pytest.mark.parametrize("environment", [{"HONK_GITHUB_POLL_SECONDS": "0.3"}], indirect=True)
def test_a_github_that_is_away_is_said_on_the_page_and_forgotten_when_it_is_back(team: Team, home: Path) -> None:
    token = (home / "token").read_text().strip()
    client = httpx.Client(base_url=team.url, headers={"authorization": f"Bearer {token}"}, trust_env=False)
    team.github.fail_next("GET", ".*", status=503, times=10_000)
    team.until_true(lambda: "GitHub answered 503" in client.get("/").text)
    team.github.faults.clear()
    team.until_true(lambda: "GitHub answered" not in client.get("/").text)
    team.ask()
    team.until("ready")
