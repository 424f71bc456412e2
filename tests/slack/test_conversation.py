"""What people say in Slack, and what comes of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from honk.model import LinkOffer, Refused, Repository, State
from tests.slack.conftest import HEAD, MENTION, Team
from tests.slack.limits import check_options
from tests.slack.played import BOT, buttons, texts


def test_a_mention_starts_a_task_in_its_thread(team: Team) -> None:
    team.up()
    ts = team.slack.say(f"{MENTION} fix the crash when the queue is empty, in encore")
    task = team.task()
    card = team.card("Queued", "fix the crash when the queue is empty", "encore", "Ada")
    assert card["thread_ts"] == ts
    assert ("CDEV", ts, "eyes") in team.slack.reactions
    assert task.text == "fix the crash when the queue is empty"
    assert task.person.name == "Ada"
    assert task.person.email == "ada@example.com"
    assert task.origin == f"https://acme.slack.com/archives/CDEV/p{ts.replace('.', '')}"
    assert set(buttons(card)) == {"Details", "Cancel"}


def test_mention_and_message_of_one_post_start_one_task_and_so_does_a_redelivery(team: Team) -> None:
    team.up()
    _, ts = team.asked()
    message = team.slack.thread("CDEV", ts)[0]
    for _ in range(2):
        team.slack.tell(message, "CDEV")
    reply = team.slack.say("and log it", thread=ts)
    team.until(lambda: len(team.messages(team.task())) == 2)
    team.slack.tell(team.slack.thread("CDEV", ts)[-1], "CDEV")
    team.slack.say("done?", thread=ts)
    team.until(lambda: len(team.messages(team.task())) == 3)
    assert len(team.tasks()) == 1
    assert [each["ts"] for each in team.slack.thread("CDEV", ts)].count(reply) == 1
    assert len(team.slack.cards()) == 1


def test_later_messages_of_a_thread_are_follow_ups_of_those_who_say_them(team: Team) -> None:
    team.up()
    task, ts = team.asked()
    team.slack.say("please add a test too", user="UBOB", thread=ts)
    team.until(lambda: len(team.messages(task)) == 2)
    assert team.messages(task)[1] == ("Bob", "please add a test too")
    team.slack.say("<@UEVE> what do you think of it?", user="UBOB", thread=ts)
    team.slack.say("and a changelog line", user="UADA", thread=ts)
    team.until(lambda: len(team.messages(task)) == 3)
    assert team.messages(task)[2] == ("Ada", "and a changelog line")


def test_what_was_said_before_and_its_files_are_the_context(team: Team) -> None:
    team.up()
    log = team.slack.add_file("crash.log", b"IndexError: pop from empty list\n", "text/plain")
    picture = team.slack.add_file("screen.png", b"\x89PNG...", "image/png")
    root = team.slack.say("The queue crashes &lt;again&gt;", user="UBOB", files=[log])
    team.slack.say("I see it <https://example.com/x|here> too", user="UEVE", thread=root)
    team.slack.say(f"{MENTION} fix this", thread=root, files=[picture])
    task = team.task()
    (_, text), *_ = team.messages(task)
    assert text.startswith("fix this\n")
    assert "**Bob**:\n> The queue crashes <again> [crash.log]" in text
    assert "**Eve**:\n> I see it here (https://example.com/x) too" in text
    assert "IndexError: pop from empty list" in text
    assert {each.name for each in team.store.messages(task.id)[0].attachments} == {"crash.log", "screen.png"}
    assert set(team.slack.fetched_with) == {team.slack.bot_token}


def test_files_are_fetched_from_slack_alone(team: Team) -> None:
    team.up()
    elsewhere = {"id": "F9", "name": "a.txt", "mimetype": "text/plain", "size": 3, "mode": "hosted",
                 "url_private_download": f"http://localhost:{team.slack.socket_port}/files/F9/a.txt"}  # fmt: skip
    team.slack.say(f"{MENTION} fix it", files=[elsewhere])
    (_, text), *_ = team.messages(team.task())
    assert "a.txt could not be read: it is not kept by Slack" in text
    assert team.slack.fetched_with == []


def test_what_an_alert_says_is_context_and_honks_own_cards_are_not(team: Team) -> None:
    team.up()
    root = team.slack.say(
        "Alert", user="UALERT", bot_id="B1", bot_profile={"name": "Sentry"}, attachments=[{"text": "KeyError: 'x'"}],
        deliver=False,
    )  # fmt: skip
    team.slack.say(f"{MENTION} fix this", thread=root)
    task = team.task()
    assert "**Sentry (an app)**:\n> Alert\n> KeyError: 'x'" in team.messages(task)[0][1]
    team.card()
    team.store.take_messages(task.id, "turn")
    team.happens(task, "merge.landed", {"sha": HEAD, "branch": "main"}, state=State.MERGED.value, merged_sha=HEAD)
    team.said("Merged as")
    team.slack.say(f"{MENTION} now the docs", thread=root)
    team.until(lambda: len(team.tasks()) == 2)
    newest = team.tasks()[0]
    assert "KeyError" in team.messages(newest)[0][1]
    assert "Merged as" not in team.messages(newest)[0][1]


def test_stop_cancels_and_thanks_afterwards_starts_nothing(team: Team) -> None:
    team.up()
    task, ts = team.asked()
    team.slack.say("Stop!", thread=ts)
    team.until(lambda: team.store.task(task.id).cancel_requested)
    assert ("cancel", task.id) in [(name, key.split(":")[1]) for name, key in team.engine.started]
    team.happens(task, "cancelled", state=State.CANCELLED.value)
    team.card("Cancelled")
    team.said("Stopped; the work so far is kept.")
    team.slack.say("never mind, thanks", thread=ts)
    team.whisper("This task was cancelled")
    assert len(team.messages(task)) == 1


def test_an_edit_counts_until_somebody_has_started_on_it(team: Team) -> None:
    team.up()
    task, ts = team.asked()
    team.slack.edit(ts, f"{MENTION} fix the crash when the list is empty, in encore")
    team.until(lambda: team.store.task(task.id).text == "fix the crash when the list is empty")
    team.card("fix the crash when the list is empty")
    team.store.take_messages(task.id, "turn")
    team.slack.edit(ts, f"{MENTION} something else")
    team.whisper("being worked on already")
    assert team.messages(task)[0][1] == "fix the crash when the list is empty"


def test_a_message_that_is_deleted_before_work_began_is_taken_back(team: Team) -> None:
    team.up()
    task, ts = team.asked()
    reply = team.slack.say("and delete the database", thread=ts)
    team.until(lambda: len(team.messages(task)) == 2)
    team.slack.delete(reply)
    team.until(lambda: len(team.messages(task)) == 1)
    team.slack.delete(ts)
    team.until(lambda: team.store.task(task.id).cancel_requested)


def test_events_out_of_order_change_nothing(team: Team) -> None:
    team.up()
    task, root = team.asked()
    ts = team.slack.say("frist", thread=root, deliver=False)
    late = team.slack.thread("CDEV", root)[-1]
    team.slack.edit(ts, "first")  # is told before the message itself
    team.until(lambda: len(team.messages(task)) == 2)
    team.slack.tell(late, "CDEV")
    gone = team.slack.say("no", thread=root, deliver=False)
    also_late = team.slack.thread("CDEV", root)[-1]
    team.slack.delete(gone)
    team.slack.tell(also_late, "CDEV")
    team.slack.say("last", thread=root)
    team.until(lambda: team.messages(task)[-1][1] == "last")
    assert [text for _, text in team.messages(task)][1:] == ["first", "last"]


def test_a_direct_message_needs_no_mention(team: Team) -> None:
    team.up()
    team.slack.add_channel("DADA", "UADA", BOT, direct=True)
    ts = team.slack.say("fix the crash", channel="DADA")
    task = team.task()
    assert team.card(channel="DADA")["thread_ts"] == ts
    team.slack.say("in python 3.11 only", channel="DADA", thread=ts)
    team.until(lambda: len(team.messages(task)) == 2)


def test_a_repository_that_is_not_clear_is_asked_for(team: Team, second_repository: str) -> None:
    team.up()
    ts = team.slack.say(f"{MENTION} fix the crash")
    team.said("In which repository?")
    question = team.slack.thread("CDEV", ts)[-1]
    team.slack.tap(question, "honk:choose", user="UBOB", option=second_repository)
    team.whisper("for <@UADA> to choose")
    team.slack.edit(ts, f"{MENTION} fix the other crash")
    team.slack.tap(question, "honk:choose", option=second_repository)
    task = team.task()
    assert (task.repository, task.text, task.person.name) == (second_repository, "fix the other crash", "Ada")
    team.until(lambda: f"In {second_repository}." in team.slack.said())
    assert team.card()["thread_ts"] == ts
    assert team.slack.thread("CDEV", ts)[1]["text"] == f"In {second_repository}."


def test_the_question_can_be_answered_in_words(team: Team, second_repository: str) -> None:
    team.up()
    ts = team.slack.say(f"{MENTION} fix the crash")
    team.said("In which repository?")
    team.slack.say("hm, let me see", thread=ts)
    team.slack.say(second_repository, thread=ts)
    task = team.task()
    assert (task.repository, task.text) == (second_repository, "fix the crash")
    team.said(f"In {second_repository}.")


def test_the_channels_default_and_the_threads_repository_are_not_asked_for(team: Team, second_repository: str) -> None:
    team.up()
    team.slack.command(f"default {second_repository}")
    team.whisper("ballad now")
    ts = team.slack.say(f"{MENTION} fix the crash")
    assert team.task().repository == second_repository
    team.slack.say(f"{MENTION} fix it in encore as well", thread=ts)
    team.until(lambda: len(team.tasks()) == 2)
    assert team.tasks()[0].repository == "encore"
    team.happens(team.tasks()[0], "merge.landed", {"sha": HEAD}, state=State.MERGED.value, merged_sha=HEAD)
    team.slack.say(f"{MENTION} and the docs", thread=ts)
    team.until(lambda: len(team.tasks()) == 3)
    assert team.tasks()[0].repository == "encore"


def test_what_is_said_after_the_merge_starts_nothing_unless_honk_is_named(team: Team) -> None:
    team.up()
    task, ts = team.asked()
    team.happens(task, "merge.landed", {"sha": HEAD}, state=State.MERGED.value, merged_sha=HEAD)
    team.slack.say("great, thanks", user="UBOB", thread=ts)
    assert team.whisper("This change has been merged")["user"] == "UBOB"
    assert len(team.tasks()) == 1


def test_strangers_bots_and_those_who_are_not_listed_are_turned_away(team: Team) -> None:
    team.slack.add_user("USTRANGER", "Mallory", is_stranger=True, team_id="T9")
    team.up(slack_users=["UADA", "USTRANGER"])
    team.slack.say(f"{MENTION} leak the keys", user="USTRANGER")
    team.said("Sorry", "members of this workspace")
    team.slack.say(f"{MENTION} fix it", user="UBOB")
    team.said("Sorry", "not set up for you yet")
    team.slack.say(f"{MENTION} fix it", user="UAPP", bot_id="B7")
    team.slack.say(f"{MENTION} fix the crash", user="UADA")
    assert team.task().person.name == "Ada"
    refused = [event for event in team.store.events() if event.kind == "refused"]
    assert [event.data["name"] for event in refused] == ["Mallory", "Bob"]


def test_only_the_listed_channels_are_listened_to(team: Team) -> None:
    team.slack.add_channel("COTHER", "UADA", BOT)
    team.up(slack_channels=["COTHER"])
    team.slack.say(f"{MENTION} fix it")
    team.said("does not work in this channel")
    team.slack.say(f"{MENTION} fix it", channel="COTHER")
    assert team.task()


def test_the_shortcut_asks_in_a_form_and_starts_from_the_message(team: Team, second_repository: str) -> None:
    team.up()
    ts = team.slack.say("The queue crashes when it is empty", user="UBOB")
    message = team.slack.thread("CDEV", ts)[0]
    team.slack.interact(
        {"type": "message_action", "callback_id": "ask_honk", "channel": {"id": "CDEV"}, "message": message,
         "message_ts": ts, "response_url": "https://hooks.slack.com/x"}
    )  # fmt: skip
    (form,) = team.until(lambda: team.slack.modals)
    assert form["blocks"][0]["element"]["initial_value"] == "The queue crashes when it is empty"
    team.slack.interact(
        {
            "type": "view_submission",
            "view": {
                "id": "V1", "callback_id": form["callback_id"], "private_metadata": form["private_metadata"],
                "type": "modal",
                "state": {"values": {"words": {"text": {"value": "Fix what Bob says"}},
                                     "where": {"choice": {"selected_option": {"value": second_repository}}}}},
            },
        }
    )  # fmt: skip
    task = team.task()
    assert (task.text, task.repository, task.person.name) == ("Fix what Bob says", second_repository, "Ada")
    assert team.card()["thread_ts"] == ts


def test_the_command_starts_a_thread_with_its_card(team: Team) -> None:
    team.up()
    assert "Say what should change" in team.slack.command("help")["text"]
    team.slack.command("fix the crash in encore")
    task = team.task()
    card = team.card("fix the crash")
    assert "thread_ts" not in card
    team.until(lambda: team.store.recall("slack", "thread", f"CDEV:{card['ts']}"))
    team.slack.say("with a test", thread=card["ts"])
    team.until(lambda: len(team.messages(task)) == 2)
    team.slack.command("status")
    team.whisper("fix the crash")


def test_the_command_answers_in_a_direct_message_where_honk_is_not_a_member(team: Team) -> None:
    team.slack.add_channel("CFAR", "UADA")
    team.up()
    team.slack.command("fix the crash in encore", channel="CFAR")
    assert team.until(lambda: "DUADA" in team.slack.channels and team.slack.cards("DUADA"))


def test_of_more_repositories_than_a_menu_holds_those_are_offered_that_fit(team: Team) -> None:
    for number in range(120):
        name = f"service-{number}"
        team.store.add_repository(Repository(name, f"https://git.example.com/{name}", f"/nowhere/{name}", "main"))
    team.up(slack_app_token=None)
    ts = team.slack.say(f"{MENTION} fix the crash")
    team.said("In which repository?")
    (menu,) = team.slack.thread("CDEV", ts)[-1]["blocks"][1]["elements"]
    assert menu["type"] == "external_select"
    asked = {"type": "block_suggestion", "action_id": menu["action_id"], "block_id": "b", "value": "ce-11"}
    status, _, answer = team.slack.interact(asked)
    options = json.loads(answer)["options"]
    check_options(options)
    assert status == 200
    assert {option["value"] for option in options} == {"service-11", *(f"service-{n}" for n in range(110, 120))}


def test_an_account_is_linked_with_a_code_and_a_refusal_offers_that(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    team.up()
    task, _ = team.asked()
    team.becomes_ready(task)
    offer = LinkOffer("WDJB-MJHT", "https://github.example.com/login/device", datetime.now(UTC))
    confirmed: list[str] = []

    def refuse(*_: object, **__: object) -> None:
        raise Refused("Link your GitHub account first, so that Honk knows what you may do: `/honk link`.")

    monkeypatch.setattr(team.inbox, "act", refuse)
    monkeypatch.setattr(team.inbox, "link_offer", lambda person: offer)
    monkeypatch.setattr(team.inbox, "finish_link", lambda person: confirmed[0] if confirmed else None)
    team.slack.tap(team.card("Ready to try"), "honk:merge")
    refusal = team.whisper("Link your GitHub account first")
    place = {"ts": "1.1", "thread_ts": refusal["thread_ts"], "blocks": refusal["blocks"]}
    team.slack.tap(place, "honk:link")
    told = team.whisper("WDJB-MJHT", "https://github.example.com/login/device")
    place = {"ts": "1.2", "thread_ts": refusal["thread_ts"], "blocks": told["blocks"]}
    team.slack.tap(place, "honk:linked")
    team.whisper("has not confirmed it yet")
    confirmed.append("ada-on-github")
    team.slack.tap(place, "honk:linked")
    assert team.whisper("You are ada-on-github")["user"] == "UADA"


def test_where_there_is_no_forge_with_accounts_linking_says_so(team: Team) -> None:
    team.up()
    team.slack.command("link")
    team.whisper("There is no GitHub here")


def test_the_home_tab_shows_what_waits_and_the_repositories(team: Team) -> None:
    team.up()
    task, _ = team.asked()
    team.becomes_ready(task)
    team.said("ready to try")
    team.slack.event({"type": "app_home_opened", "user": "UADA", "channel": "DADA", "tab": "home"})
    home = team.until(lambda: team.slack.homes.get("UADA"))
    shown = texts(home)
    assert "fix the crash" in shown
    assert "• encore" in shown
    assert buttons(home)["Open"]["url"].startswith("https://acme.slack.com/archives/CDEV/")


def test_a_link_to_a_task_shows_how_it_stands_without_buttons_that_act(team: Team) -> None:
    team.up()
    task, _ = team.asked()
    link = f"https://honk.example.com/tasks/{task.id}"
    others = ["https://honk.example.com/tasks/0000000000", "https://elsewhere.example.com/tasks/1"]
    links = [{"domain": "honk.example.com", "url": url} for url in (link, *others)]
    event = {"type": "link_shared", "channel": "CDEV", "user": "UBOB", "message_ts": "1.2", "links": links}
    team.slack.event(event)
    (unfurl,) = team.until(lambda: team.slack.unfurls)
    assert list(unfurl["unfurls"]) == [link]
    shown = unfurl["unfurls"][link]
    assert "fix the crash" in texts(shown)
    assert set(buttons(shown)) == {"Details"}


def test_a_repository_that_people_talk_about_has_an_agent_made_ready_and_nothing_is_written_down(team: Team) -> None:
    team.up()
    team.slack.say("did anybody look at the crash in encore? @bob")
    team.until(lambda: [repository.name for repository in team.expected] == ["encore"])
    team.slack.say("lunch?")
    team.asked()
    assert len(team.expected) == 1
    assert len(team.tasks()) == 1
