"""Slack slow, busy, broken, gone; events twice, late and forged; Honk killed in between."""

from __future__ import annotations

import json
import time

import pytest

from honk.model import State
from tests.slack.conftest import HEAD, MENTION, Team
from tests.slack.played import BOT, SIGNING_SECRET, Fault, buttons, signed


def test_a_post_that_was_not_answered_is_looked_for_before_it_is_sent_again(team: Team) -> None:
    team.up()
    team.slack.fault("chat.postMessage", Fault(silent=True, after=True), Fault(status=503, after=True))
    task, ts = team.asked()
    team.becomes_ready(task)
    team.card("Ready to try")
    team.said("is ready to try")
    team.until(lambda: team.store.recall("slack", "card", task.id).get("settled"))  # type: ignore[union-attr]
    assert len(team.slack.cards()) == 1
    assert len([text for text in team.slack.said() if "is ready to try" in text]) == 1
    assert len(team.slack.thread("CDEV", ts)) == 3


def test_retry_after_is_obeyed_and_later_content_wins(team: Team) -> None:
    team.up()
    task, _ = team.asked()
    team.slack.fault("chat.update", Fault(status=429, retry_after=2))
    before = time.monotonic()
    team.happens(task, "agent.started", {"agent": "claude"}, state=State.WORKING.value)
    team.until(lambda: team.slack.called("chat.update"))
    team.becomes_ready(task)
    team.card("Ready to try")
    sent = [at for method, _, at in team.slack.calls if method == "chat.update"]
    assert len(sent) == 2
    assert sent[1] - sent[0] >= 2
    assert sent[0] >= before


def test_a_slack_that_is_down_for_a_while_loses_nothing(team: Team) -> None:
    team.up()
    task, ts = team.asked()
    team.slack.down = True
    team.becomes_ready(task)
    landed = {"sha": HEAD, "branch": "main"}
    team.happens(task, "merge.landed", landed, state=State.MERGED.value, merged_sha=HEAD)
    team.until(lambda: "has not answered since" in team.surface.status())
    team.slack.down = False
    team.card("Merged")
    team.said("Merged as")
    team.until(lambda: team.surface.status() == "connected")
    assert len(team.slack.thread("CDEV", ts)) == 4


@pytest.mark.parametrize("code", ["msg_too_long", "invalid_blocks", "msg_blocks_too_long"])
def test_a_card_that_slack_does_not_take_becomes_a_plainer_one(team: Team, code: str) -> None:
    team.up()
    team.slack.fault("chat.postMessage", Fault(error=code))
    team.asked()
    assert "Details" in buttons(team.card("Queued"))


@pytest.mark.parametrize("how", ["archived", "gone", "left"])
def test_a_card_in_a_channel_that_is_gone_is_given_up_and_the_others_go_on(team: Team, how: str) -> None:
    team.slack.add_channel("COLD", "UADA", BOT)
    team.up()
    team.slack.say(f"{MENTION} fix this", channel="COLD")
    lost = team.task()
    team.card(channel="COLD")
    if how == "archived":
        team.slack.channels["COLD"].archived = True
    elif how == "gone":
        del team.slack.channels["COLD"]
    else:
        team.slack.channels["COLD"].members.clear()
    team.slack.say(f"{MENTION} fix that")
    team.until(lambda: len(team.tasks()) == 2)
    team.becomes_ready(lost)
    told = {"archived": "is_archived", "gone": "channel_not_found", "left": "not_in_channel"}[how]
    team.until(lambda: f"1 card cannot be shown any more (Slack says {told})" in team.surface.status())
    other = next(task for task in team.tasks() if task.id != lost.id)
    team.becomes_ready(other)
    team.card("Ready to try")
    (row,) = [event for event in team.store.events() if event.kind == "refused"]
    assert "can no longer be shown" in row.data["reason"]


def test_a_revoked_token_is_said_and_work_goes_on(team: Team) -> None:
    team.up()
    _, ts = team.asked()
    team.slack.bot_token = "xoxb-another"
    team.slack.say("with a test", thread=ts)
    team.until(lambda: team.surface.status() == "Slack says token_revoked: run `honk setup slack`")
    team.until(lambda: len(team.messages(team.task())) == 2)


def test_a_removed_app_is_said(team: Team) -> None:
    team.up()
    team.slack.event({"type": "tokens_revoked", "tokens": {"oauth": ["UADA"], "bot": []}})
    team.asked()
    team.slack.event({"type": "app_uninstalled"})
    team.until(lambda: team.surface.status() == "Slack says app_uninstalled: run `honk setup slack`")


def test_a_server_that_lacks_a_method_does_not_hold_up_what_it_has(team: Team) -> None:
    team.up()
    _, ts = team.asked()
    team.slack.fault("chat.postEphemeral", Fault(error="unknown_method"))
    team.slack.say(f"{MENTION} status", thread=ts)
    team.said("fix the crash")
    assert team.surface.status() == "connected"


def test_a_lost_socket_is_said_and_what_was_missed_is_fetched_once(team: Team) -> None:
    team.up()
    task, ts = team.asked()
    team.until(lambda: team.store.recall("slack", "heard", "all"))
    team.slack.fault("apps.connections.open", *[Fault(status=503)] * 3)
    team.slack.cut()
    team.until(lambda: "the socket has been lost since" in team.surface.status())
    team.slack.say("with a test", thread=ts, deliver=False)
    missed = team.slack.say(f"{MENTION} and fix the mail queue in encore", deliver=False)
    team.until(lambda: len(team.messages(task)) == 2)
    team.until(lambda: len(team.tasks()) == 2)
    team.until(lambda: team.surface.status() == "connected" and team.slack.connected)
    for message in team.slack.thread("CDEV", missed)[:1]:
        team.slack.tell(message, "CDEV")  # late, after it was fetched
    team.slack.say("done?", thread=ts)
    team.until(lambda: len(team.messages(task)) == 3)
    assert len(team.tasks()) == 2


def test_a_life_that_ended_is_taken_up_by_the_next(team: Team) -> None:
    team.up()
    task, ts = team.asked()
    team.down()
    team.becomes_ready(task)
    team.slack.say("with a test", thread=ts, deliver=False)
    team.up()
    team.card("Ready to try")
    team.said("is ready to try")
    team.until(lambda: len(team.messages(task)) == 2)
    assert len(team.slack.cards()) == 1


def test_what_was_written_down_and_not_worked_off_is_worked_off_at_the_start(team: Team) -> None:
    event = {"type": "app_mention", "channel": "CDEV", "user": "UADA", "text": f"{MENTION} fix it", "ts": "1.000001"}
    team.slack.channels["CDEV"].messages.append({**event, "type": "message"})
    body = {"event": event, "team_id": "T0TEAM"}
    team.store.remember("slack", "arrived", "Ev1", {"kind": "event", "body": body, "place": "CDEV:1.000001"})
    team.up()
    assert team.task().text == "fix it"
    team.card()


def test_slack_unreachable_at_the_start_holds_nothing_up(team: Team) -> None:
    team.slack.down = True
    team.up(wait=False)
    team.until(lambda: team.surface.status() not in ("connected", "connecting"))
    team.slack.down = False
    team.until(lambda: team.surface.status() == "connected" and team.slack.connected)
    team.asked()


def test_a_thread_that_cannot_be_read_does_not_hold_the_request_up_for_ever(team: Team) -> None:
    team.up()
    root = team.slack.say("It crashes")
    team.slack.fault("conversations.replies", *[Fault(status=503)] * 5)
    team.slack.say(f"{MENTION} fix this", thread=root)
    team.until(team.tasks, seconds=30)
    assert "could not be read" in team.messages(team.task())[0][1]


def test_a_name_that_slack_does_not_tell_is_an_id(team: Team) -> None:
    team.up()
    team.slack.fault("users.info", *[Fault(status=503)] * 20)
    team.slack.say(f"{MENTION} fix it")
    assert team.task().person.name == "UADA"


# -- the Events API --------------------------------------------------------------------------------------------------


def test_signed_events_do_the_same_without_a_socket(team: Team) -> None:
    team.up(slack_app_token=None)
    task, ts = team.asked()
    team.slack.say("with a test", thread=ts)
    team.until(lambda: len(team.messages(task)) == 2)
    team.becomes_ready(task)
    team.slack.tap(team.card("Ready to try"), "honk:merge")
    team.until(lambda: any(name == "merge" for name, _ in team.engine.started))
    status, _, body = team.slack.command("help")
    assert (status, "Say what should change" in json.loads(body)["text"]) == (200, True)


def test_the_address_is_verified_as_slack_asks(team: Team) -> None:
    team.up(slack_app_token=None)
    body = json.dumps({"type": "url_verification", "challenge": "3eZbrw1aB"})
    status, _, answer = team.surface.http(body.encode(), {"content-type": "application/json", **signed(body)})
    assert status == 200
    assert b"3eZbrw1aB" in answer


@pytest.mark.parametrize(
    ("wrong", "status"),
    [("signature", 401), ("old", 401), ("future", 401), ("unsigned", 401), ("large", 413), ("binary", 400)],
)
def test_what_is_not_signed_by_slack_now_is_refused(team: Team, wrong: str, status: int) -> None:
    team.up(slack_app_token=None)
    event = {"type": "app_mention", "channel": "CDEV", "user": "UADA", "text": f"{MENTION} fix", "ts": "1.1"}
    body = json.dumps({"type": "event_callback", "event_id": "Ev1", "team_id": "T0TEAM", "event": event})
    headers = signed(body)
    if wrong == "signature":
        headers = signed(body, secret="another")
    elif wrong == "old":
        headers = signed(body, at=time.time() - 301)
    elif wrong == "future":
        headers = signed(body, at=time.time() + 400)
    elif wrong == "unsigned":
        headers = {}
    raw = b"x" * 1_000_001 if wrong == "large" else b"\xff\xfe" if wrong == "binary" else body.encode()
    answer = team.surface.http(raw, {"content-type": "application/json", **headers})
    assert answer[0] == status
    assert team.tasks() == []
    assert SIGNING_SECRET.encode() not in answer[2]


def test_without_a_signing_secret_there_is_no_door(team: Team) -> None:
    team.up(slack_signing_secret=None)
    assert team.surface.http(b"{}", {})[0] == 404
