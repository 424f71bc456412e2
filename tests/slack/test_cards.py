"""What a task's card shows and what is said once, and what a tap does."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from honk.model import Artifact, Check, Making, State, Task, Trial
from honk.settings import Settings
from honk.ship.installs import make_install_key, read_packages
from tests.ship.made_android import apk_files, zipped
from tests.slack.conftest import HEAD, NEXT_HEAD, Team
from tests.slack.played import BOT, buttons, texts


def test_the_card_follows_the_work_in_place(team: Team) -> None:
    team.up()
    task, _ = team.asked()
    first = team.card("Queued")
    team.happens(task, "turn.started", state=State.PREPARING.value)
    team.happens(task, "agent.started", {"agent": "claude"}, state=State.WORKING.value)
    team.happens(task, "agent.tool", {"id": "1", "name": "Bash", "input": {"command": "npm test"}})
    team.card("Working", "now: Bash npm test", "since")
    team.happens(task, "check.started", {"name": "lint", "command": "ruff"}, state=State.VERIFYING.value)
    team.card("Verifying", "now: checking lint")
    team.becomes_ready(task)
    ready = team.card("Ready to try", "2 files changed, 8 insertions(+)", "✓ test 1.2 s", "$0.42", f"`{HEAD[:8]}`")
    assert ready["ts"] == first["ts"]
    assert list(buttons(ready)) == ["Merge", "Details", "Cancel"]
    assert team.said("is ready to try").startswith("<@UADA> ")


def test_a_busy_card_is_changed_at_most_every_three_seconds_and_what_matters_at_once(team: Team) -> None:
    team.up()
    task, _ = team.asked()
    team.happens(task, "agent.started", {"agent": "claude"}, state=State.WORKING.value)
    for number in range(60):
        team.happens(task, "agent.tool", {"id": str(number), "name": "Read", "input": {"path": f"file{number}"}})
    team.becomes_ready(task)
    team.card("Ready to try")
    assert len(team.slack.called("chat.update")) <= 3
    team.happens(task, "merge.refused", {"reason": "Not merged: the branch is protected."}, error="Not merged: no.")
    team.card("Not merged: no.")
    team.said("the branch is protected")


def test_the_merge_button_says_what_will_happen_and_merges_the_commit_it_names(team: Team) -> None:
    team.up()
    task, _ = team.asked()
    team.becomes_ready(task)
    card = team.card("Ready to try")
    question = texts(buttons(card)["Merge"]["confirm"])
    for word in ("encore", HEAD[:8], "into main", "1 of 1 checks are green", "./deploy.sh"):
        assert word in question
    team.slack.tap(card, "honk:merge", user="UBOB")
    team.until(lambda: any(name == "merge" for name, _ in team.engine.started))
    assert [key for name, key in team.engine.started if name == "merge"] == [f"merge:{task.id}:{HEAD}:0"]


def test_a_tap_on_a_stale_card_gets_its_sentence_and_does_nothing(team: Team) -> None:
    team.up()
    task, _ = team.asked()
    team.becomes_ready(task)
    stale = team.card("Ready to try")
    team.becomes_ready(task, NEXT_HEAD)
    team.card(NEXT_HEAD[:8])
    team.slack.tap(stale, "honk:merge", user="UBOB")
    told = team.whisper("The change has moved on from a1b2c3d4 to b1b2c3d4")
    assert (told["user"], told["thread_ts"]) == ("UBOB", stale["thread_ts"])
    assert not any(name == "merge" for name, _ in team.engine.started)


def test_a_button_of_a_stranger_does_nothing(team: Team) -> None:
    team.slack.add_user("USTRANGER", "Mallory", is_stranger=True, team_id="T9")
    team.slack.channels["CDEV"].members.add("USTRANGER")
    team.up()
    task, _ = team.asked()
    team.becomes_ready(task)
    team.slack.tap(team.card("Ready to try"), "honk:merge", user="USTRANGER")
    assert team.whisper("members of this workspace")["user"] == "USTRANGER"
    assert not any(name == "merge" for name, _ in team.engine.started)


def test_each_end_of_a_story_is_said_once_in_the_thread(team: Team) -> None:
    team.up()
    task, ts = team.asked()
    team.becomes_ready(task)
    landed = {"sha": NEXT_HEAD, "branch": "main", "deploys": True, "trouble": None}
    team.happens(task, "merge.landed", landed, state=State.MERGED.value, merged_sha=NEXT_HEAD)
    team.happens(task, "deploy.started", {"command": "./deploy.sh", "sha": NEXT_HEAD}, state=State.DEPLOYING.value)
    team.happens(task, "deploy.ill", {"reason": "HTTP 503", "sha": NEXT_HEAD}, error="HTTP 503")
    rolled = {"to": HEAD, "reason": "HTTP 503", "sha": NEXT_HEAD}
    team.happens(task, "rolled_back", rolled, state=State.ROLLED_BACK.value, error="Rolled back: HTTP 503")
    team.said("Rolled back to `a1b2c3d4`: HTTP 503")
    team.card("Rolled back")
    told = [each["text"].removeprefix("<@UADA> ").split("\n")[0] for each in team.slack.thread("CDEV", ts)[2:]]
    assert told == [
        "`a1b2c3d4` is ready to try.",
        "Merged as `b1b2c3d4` on main; it is being deployed.",
        "Production is ill: HTTP 503",
        "Rolled back to `a1b2c3d4`: HTTP 503",
    ]


def test_a_question_of_the_agent_becomes_one_in_the_thread(team: Team) -> None:
    team.up()
    task, ts = team.asked()
    team.store.take_messages(task.id, "turn")
    answer = "Which queue do you mean, **jobs** or `mail`?"
    team.happens(task, "answered", {"text": answer}, state=State.READY.value, summary=answer, next_action="Reply")
    team.said("Which queue do you mean, *jobs* or `mail`?")
    team.card("Answered")
    team.slack.say("jobs", thread=ts)
    team.until(lambda: ("Ada", "jobs") in team.messages(task))


def test_flaky_already_red_and_unchanged_checks_are_told_as_such(team: Team) -> None:
    team.up()
    task, _ = team.asked()
    team.becomes_ready(task)
    for key in ("one", "two"):
        team.store.note_flaky(task.repository, "test", key)
    checks = [
        Check("lint", "passed", 1.0, "passed", unchanged_since=NEXT_HEAD),
        Check("test", "flaky", 2.0, "Flaky (2 times in this repository). Failed, then passed"),
        Check("types", "already_red", 3.0, "Already red on main", against=NEXT_HEAD),
    ]
    team.store.save_checks(task.repository, HEAD, "", checks)
    team.happens(task, "check.already_red", {"name": "types"})
    card = team.card(
        f"✓ lint 1.0 s (unchanged since {NEXT_HEAD[:8]})",
        "✓ test 2.0 s (flaky, 2 times so far)",
        f"✗ types 3.0 s (already red on {NEXT_HEAD[:8]})",
    )
    assert "2 of 3 checks are green" in texts(buttons(card)["Merge"]["confirm"])


def test_a_failure_offers_to_go_on(team: Team) -> None:
    team.up()
    task, _ = team.asked()
    error = "No pull request: test still fails after 3 rounds."
    team.store.save_checks(task.repository, HEAD, "", [Check("test", "failed", 2.0, "assert 1 == 2")])
    team.happens(
        task, "limit", {"error": error, "next": "Continue"}, state=State.FAILED.value, error=error,
        next_action="Continue", head_sha=HEAD,
    )  # fmt: skip
    card = team.card("Stopped", error, "assert 1 == 2", "✗ test")
    assert list(buttons(card)) == ["Continue", "Details", "Cancel"]
    team.said(error, "Next: Continue")
    team.slack.tap(card, "honk:retry")
    team.until(lambda: any(name == "retry" for name, _ in team.engine.started))


def test_what_was_built_is_told_with_its_size_its_growth_and_its_time(team: Team) -> None:
    team.up()
    task, _ = team.asked()
    made = Making(datetime(2026, 11, 23, tzinfo=UTC), "vm", "npm run build", 5.14)
    team.store.save_artifact(task.id, Artifact("web", HEAD, "0" * 64, 94_000, making=made))
    team.happens(task, "build.finished", {"kind": "web", "commit": HEAD, "size": 94_000, "size_before": 92_400})
    team.becomes_ready(task)
    team.card("web 94.0 kB (+1.6 kB), built in 5.1 s")


def test_previews_open_where_a_phone_can_reach_them(team: Team) -> None:
    team.up(public_url="https://honk.example.com", preview_host="previews.example.com")
    task, _ = team.asked()
    team.store.save_artifact(task.id, Artifact("web", HEAD, "0" * 64, 10))
    team.store.offer(task.id, HEAD, "web", "t" * 26, 8123)
    team.becomes_ready(task)
    card = team.card("Ready to try", "Try web")
    assert buttons(card)["Try web"]["url"] == f"http://previews.example.com:8123/.honk/open/{'t' * 26}"


def test_a_preview_that_only_the_server_can_reach_is_opened_on_the_tasks_page(team: Team) -> None:
    team.up(public_url="https://honk.example.com", preview_host="127.0.0.1")
    task, _ = team.asked()
    team.store.save_artifact(task.id, Artifact("web", HEAD, "0" * 64, 10))
    team.store.offer(task.id, HEAD, "web", "t" * 26, 8123)
    team.becomes_ready(task)
    card = team.card("Ready to try", "Try web")
    assert buttons(card)["Try web"]["url"] == f"https://honk.example.com/tasks/{task.id}"


def test_the_page_before_and_after_comes_into_the_thread(team: Team) -> None:
    team.images["comparison"] = b"\x89PNG before and after"
    team.up()
    task, ts = team.asked()
    team.becomes_ready(task)
    alike = {"kind": "web", "commit": HEAD, "before": "1" * 64, "after": "2" * 64, "changed": 0.0, "places": 0}
    team.happens(task, "build.compared", alike)
    team.happens(task, "build.compared", alike | {"changed": 0.1, "places": 2})

    def pictured() -> list[str]:
        return [file["name"] for each in team.slack.thread("CDEV", ts) for file in each.get("files", ())]

    assert team.until(pictured) == [f"honk-{task.id}-{HEAD[:8]}-compared-comparison.png"]


def test_a_picture_of_the_preview_comes_into_the_thread(team: Team) -> None:
    team.images["screenshot"] = b"\x89PNG a phone"
    team.up()
    task, ts = team.asked()
    team.becomes_ready(task)

    def pictured() -> list[str]:
        return [file["name"] for each in team.slack.thread("CDEV", ts) for file in each.get("files", ())]

    (name,) = team.until(pictured)
    assert name == f"honk-{task.id}-{HEAD[:8]}-screenshot.png"
    assert b"\x89PNG a phone" in team.slack.contents.values()


def test_where_an_approval_is_asked_for_the_card_says_whose(team: Team) -> None:
    team.up()
    task, _ = team.asked()
    team.becomes_ready(task, approval_wanted=True)
    card = team.card("Somebody other than Ada has to approve")
    team.slack.tap(card, "honk:approve", user="UADA")
    team.whisper("cannot approve it")
    team.slack.tap(card, "honk:approve", user="UBOB")
    team.card("Approved by Bob")


def test_an_app_is_installed_from_the_card_and_tried_before_it_is_merged_where_that_is_asked(
    team: Team, tmp_path: Path
) -> None:
    make_install_key(team.settings.home)
    team.images["qr"] = b"\x89PNG a code"
    team.up()
    task, ts = team.asked()
    (tmp_path / "app.apk").write_bytes(zipped(apk_files(label="<!channel> *Encore*")))
    team.store.save_packages("0" * 64, read_packages(tmp_path))
    team.store.save_artifact(task.id, Artifact("android", HEAD, "0" * 64, 10))
    team.becomes_ready(task, trial_wanted=True)

    card = team.card("Try it first", "1.2.3 (7)", "✗ The APK is not signed", "next: Try it first, then merge")
    assert "<!channel>" not in texts(card)
    assert "Merge" not in buttons(card)
    install = buttons(card)["Install android"]
    assert install["style"] == "primary"
    assert install["url"].startswith(f"https://honk.example.com/install/{task.id}/{HEAD[:12]}/android/")
    names = team.until(
        lambda: [file["name"] for each in team.slack.thread("CDEV", ts) for file in each.get("files", ())]
    )
    assert names == [f"honk-{task.id}-{HEAD[:8]}-qr.png"], "there is no preview to be pictured"

    team.inbox.tried(task.id, HEAD, "android", Trial("Pixel 8, Android 16", "android"))
    tried = team.card("Tried on Pixel 8, Android 16", "next: Try it, then merge")
    assert "Merge" in buttons(tried) and "Try it first" not in texts(tried)
    assert buttons(tried)["Install android"]["url"] == install["url"], "the same link as long as it is the same version"


def test_what_others_wrote_cannot_ping_or_forge(team: Team) -> None:
    team.up()
    evil = "<!channel> @here <@UBOB> <https://evil.example|Merge> *Ready to try* :white_check_mark:\u202e"
    task, ts = team.asked(f"fix &lt;!channel&gt; {evil}")
    team.becomes_ready(task, summary=f"Done. {evil}\n\n[Merge](https://evil.example/x) <!-- hidden -->")
    card = team.card("Ready to try", "Done.")
    everything = json.dumps(
        [card["text"], card["blocks"], *(each["text"] for each in team.slack.thread("CDEV", ts)[1:])],
        ensure_ascii=False,
    )
    for active in ("<!channel>", "<@UBOB>", "<https://evil.example|", "@here", "\u202e", "hidden"):
        assert active not in everything, active
    assert [block["type"] for block in card["blocks"]].count("actions") == 1


def test_a_huge_summary_still_makes_a_card(team: Team) -> None:
    team.up()
    task, _ = team.asked("x" * 9000)
    checks = [Check(f"check-{number}" * 5, "passed", 1.0, "ok " * 500) for number in range(80)]
    team.store.save_checks(task.repository, HEAD, "", checks)
    team.becomes_ready(task, summary="& < > ``` " * 5000)
    team.card("Ready to try")
    assert team.slack.refusals == [("assistant.threads.setStatus", "feature_not_enabled", "")]


def test_the_status_line_of_slacks_own_is_used_where_there_is_one(team: Team) -> None:
    team.slack.assistant = True
    team.slack.add_channel("DADA", "UADA", BOT, direct=True)
    team.up()
    team.slack.say("fix the crash", channel="DADA")
    task = team.task()
    team.until(lambda: team.slack.statuses == ["is queued…"])
    team.happens(task, "agent.started", {"agent": "claude"}, state=State.WORKING.value)
    team.until(lambda: team.slack.statuses[-1] == "is working…")
    team.becomes_ready(task)
    team.until(lambda: team.slack.statuses[-1] == "")


def test_settings_say_where_slack_is(team: Team) -> None:
    assert Settings().slack_api_url == "https://slack.com/api/"
    team.up()
    assert {method for method, _, _ in team.slack.calls} >= {"auth.test", "apps.connections.open"}


def _is_blocked(team: Team, task: Task, host: str, why: str = "not on the list") -> None:
    team.happens(task, "egress.refused", {"host": host, "port": 443, "by": "agent", "why": why})


def test_a_blocked_host_is_on_the_card_with_a_button_that_allows_it(team: Team) -> None:
    team.up()
    task, _ = team.asked()
    team.happens(task, "agent.started", {"agent": "claude"}, state=State.WORKING.value)
    _is_blocked(team, task, "maps.example.com")
    _is_blocked(team, task, "10.0.0.1", "private address")
    card = team.card("Blocked: `maps.example.com:443`, asked for by the agent", "it leads into a private network")
    allow = buttons(card)["Allow"]
    assert "encore reach `maps.example.com:443` from now on" in texts(allow["confirm"])
    team.slack.tap(card, "honk:allow:0", user="UBOB")
    team.until(lambda: team.store.events_of(task.id, "egress.allowed"))
    (told,) = team.store.events_of(task.id, "egress.allowed")
    assert (told.data["name"], told.person) == ("Bob", "slack:T0TEAM/UBOB")
    gone = team.until(lambda: "maps.example.com" not in texts(team.slack.cards()[0]))
    assert gone


def test_a_blocked_host_cannot_write_into_the_card(team: Team) -> None:
    team.up()
    task, _ = team.asked()
    _is_blocked(team, task, "<!channel>`*x*`.example")
    card = team.card("Blocked")
    assert "<!channel>" not in texts(card)
    for number in range(20):
        _is_blocked(team, task, f"h{number}.example")
    team.card("16 more hosts were blocked")
    assert {method for method, *_ in team.slack.refusals} <= {"assistant.threads.setStatus"}


def test_what_a_tree_does_not_have_is_on_the_card(team: Team) -> None:
    team.up()
    task, _ = team.asked()
    reason = "The submodule `lib` is at another host: name it in `egress`, and use its https address."
    team.happens(task, "submodule.missing", {"path": "lib", "reason": reason})
    team.happens(task, "workspace.left_out", {"paths": ["big"], "count": 1, "bytes": 300_000_000})
    team.card("is at another host: name it in", "Too large to be kept while the task rested (300.0 MB): big")


def test_a_veto_is_on_the_card_and_is_overridden_by_whoever_may_write(team: Team) -> None:
    team.up()
    task, _ = team.asked()
    doubt = {"kind": "scope", "message": "Nobody asked for <!channel>.", "path": "src/`a`.py", "line": 7}
    said = {"decision": "veto", "score": 0.2, "summary": "It does *more* than asked.", "doubts": [doubt]}
    said |= {"model": "m", "mode": "veto", "threshold": 0.5, "commit": HEAD, "cost_usd": 0.01}
    finding = {"kind": "test-deleted", "severity": "serious", "path": "tests/test_a.py", "line": None}
    finding |= {"message": "A test was deleted.", "evidence": "", "wants_tap": True}
    team.happens(task, "tamper.found", {"commit": HEAD, "findings": [finding], "more": 0})
    team.happens(task, "judge.finished", said)
    team.becomes_ready(task)
    card = team.card("Ready to try", "The judge vetoes this", "0.20", "Nobody asked for", "Tamper guard", "A test was")
    assert "<!channel>" not in json.dumps(card["blocks"])
    assert list(buttons(card)) == ["Override", "Details", "Cancel"]
    team.slack.tap(card, "honk:override", user="UBOB")
    overridden = team.card("Overridden by")
    assert list(buttons(overridden)) == ["Merge", "Details", "Cancel"]
    (event,) = team.store.events_of(task.id, "overridden")
    assert event.data["head_sha"] == HEAD
    assert event.data["reasons"] == [
        "The judge vetoes it: It does *more* than asked.", "tests/test_a.py: A test was deleted.",
    ]  # fmt: skip


def test_good_advice_is_small_print(team: Team) -> None:
    team.up()
    task, _ = team.asked()
    said = {"decision": "approve", "score": 0.9, "summary": "It does what was asked.", "doubts": [], "model": "m"}
    team.happens(task, "judge.finished", said | {"mode": "advise", "threshold": 0.5, "commit": HEAD, "cost_usd": 0.0})
    team.becomes_ready(task)
    card = team.card("The judge approves (0.90): It does what was asked.")
    assert list(buttons(card)) == ["Merge", "Details", "Cancel"]
