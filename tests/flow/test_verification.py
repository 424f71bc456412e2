"""Evidence: what is known of a commit, taken over where nothing has changed, and whose fault a red check is."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from honk.flow.turn import take_again
from honk.flow.verification import in_the_way, verify_commit
from honk.gate import Judged, permit_merge, red
from honk.model import Check, PullRequest, Refused, State, Task
from tests.conftest import Honk, git
from tests.flow.desk import Desk
from tests.flow.stories import ADA

pytestmark = pytest.mark.usefixtures("sandbox")

TESTS = """\
for name in *.test; do
  grep -q good $name || { echo "FAILED tests.py::$name"; bad=1; }
done
exit $bad
"""
"""A runner of tests: a file is one, and passes if it says so."""


@pytest.fixture
def desk(home: Path, make_repository: Callable[..., Path]) -> Desk:
    files = {"honk.yaml": "verify: {test: sh tests.sh}\n", "tests.sh": TESTS, "a.test": "good\n", "b.test": "good\n"}
    return Desk(home, make_repository(files))


ALLOWING = "verify: {test: sh tests.sh}\nmerge: {already_red: allow}\n"


def test_the_same_files_are_checked_once_whatever_commit_and_task_they_belong_to(desk: Desk) -> None:
    first, second = (
        desk.task(desk.commit({"c.test": "good\n"})),
        desk.task(desk.commit({"c.test": "good\n"}, message="2")),
    )
    ran, taken_over = desk.verify(first), desk.verify(second)
    assert (ran.status, ran.unchanged_since) == ("passed", None)
    assert (taken_over.status, taken_over.unchanged_since) == ("passed", first.head_sha)
    assert (desk.runs(first), desk.runs(second)) == (1, 0)
    # The row is the second commit's own, with all that speaks for it.
    (row,) = desk.honk.store.checks("project", second.head_sha)
    assert (row.verifier, row.log) == (ran.verifier, ran.log)
    assert row.remark == f"unchanged since {(first.head_sha or '')[:8]}"
    (told,) = desk.honk.store.events_of(second.id, "check.finished")
    assert told.data["unchanged_since"] == first.head_sha


def test_what_decides_a_result_has_it_made_again(desk: Desk) -> None:
    desk.verify(desk.task(desk.commit({"c.test": "good\n"})))
    desk.commit({"honk.yaml": "verify: {test: sh tests.sh -v}\n"}, branch="main")
    other = desk.task(desk.commit({"c.test": "good\n", "honk.yaml": "verify: {test: sh tests.sh}\n"}))
    assert desk.verify(other).unchanged_since is None
    assert desk.runs(other) == 1


def test_a_retry_and_the_setting_for_none_run_everything_afresh(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    first, task = (
        desk.task(desk.commit({"c.test": "good\n"})),
        desk.task(desk.commit({"c.test": "good\n"}, message="2")),
    )
    desk.verify(first)
    assert desk.verify(task) == desk.verify(task)
    assert desk.runs(task) == 0
    take_again(task.id, "retry:1")
    assert desk.verify(task).unchanged_since is None
    assert desk.runs(task) == 1
    monkeypatch.setattr(desk.honk.settings, "checks_cache_hours", 0.0)
    other = desk.task(desk.commit({"c.test": "good\n"}, message="2"))
    assert desk.verify(other).unchanged_since is None


def test_a_test_that_the_change_broke_is_the_changes(desk: Desk) -> None:
    task = desk.task(desk.commit({"a.test": "bad\n"}))
    check = desk.verify(task)
    assert check.status == "failed"
    assert check.summary == "FAILED tests.py::a.test"
    assert in_the_way(task, [check]) == [check]


def test_a_test_that_fails_on_main_in_the_same_way_is_not_the_changes_and_blocks_all_the_same(desk: Desk) -> None:
    desk.commit({"a.test": "bad\n"}, branch="main")
    task = desk.task(desk.commit({"c.test": "good\n"}))
    check = desk.verify(task)
    assert (check.status, check.against) == ("already_red", desk.base)
    assert check.summary.startswith(
        f"Already red on main ({desk.base[:8]}), in the same way: FAILED tests.py::a.test.\n"
    )
    assert in_the_way(task, [check]) == [check]
    assert [event.data["names"] for event in desk.honk.store.events_of(task.id, "check.on_base")] == [["test"]]
    assert desk.honk.store.count_events(task.id, "check.already_red") == 1


def test_honk_yaml_of_the_base_lets_what_is_already_red_pass_and_nothing_more(desk: Desk) -> None:
    desk.commit({"a.test": "bad\n", "honk.yaml": ALLOWING}, branch="main")
    same = desk.task(desk.commit({"c.test": "good\n"}))
    assert in_the_way(same, [desk.verify(same)]) == []
    worse = desk.task(desk.commit({"b.test": "bad\n"}))
    check = desk.verify(worse)
    assert check.status == "failed"
    assert check.summary.startswith(f"Red on main ({desk.base[:8]}), too; new here: FAILED tests.py::b.test.\n")
    assert in_the_way(worse, [check]) == [check]


def test_a_program_that_is_missing_on_the_machine_is_never_already_red(desk: Desk) -> None:
    desk.commit({"honk.yaml": ALLOWING.replace("sh tests.sh", "no-such-program")}, branch="main")
    task = desk.task(desk.commit({"c.test": "good\n"}))
    check = desk.verify(task)
    assert check.status == "failed"
    assert "A program is missing on this machine, no-such-program" in check.summary
    assert in_the_way(task, [check]) == [check]


def test_a_change_cannot_allow_itself_what_the_base_does_not(desk: Desk) -> None:
    desk.commit({"a.test": "bad\n"}, branch="main")
    task = desk.task(desk.commit({"honk.yaml": ALLOWING}))
    check = desk.verify(task)
    assert check.status == "already_red"
    assert in_the_way(task, [check]) == [check]


def test_what_was_red_on_an_older_base_is_looked_at_again_on_the_newer(desk: Desk) -> None:
    desk.commit({"a.test": "bad\n", "honk.yaml": ALLOWING}, branch="main")
    task = desk.task(desk.commit({"c.test": "good\n"}))
    assert desk.verify(task).status == "already_red"
    newer = desk.commit({"a.test": "good\n"}, branch="main")
    (check,) = verify_commit(task, task.head_sha or "", stop=lambda: False, source=desk.path / ".git", base=newer)
    assert check.status == "failed"
    assert in_the_way(task, [check], newer) == [check]


def test_the_base_is_tried_once_for_all_who_are_red(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[str] = []
    keep = desk.honk.store.keep_result

    def counted(repository: str, tree: str, commit: str, check: Check) -> None:
        kept.append(commit)
        keep(repository, tree, commit, check)

    monkeypatch.setattr(desk.honk.store, "keep_result", counted)
    desk.commit({"a.test": "bad\n"}, branch="main")
    first, second = desk.task(desk.commit({"c.test": "good\n"})), desk.task(desk.commit({"d.test": "good\n"}))
    assert desk.verify(first).status == desk.verify(second).status == "already_red"
    assert kept == [first.head_sha, desk.base, second.head_sha]


def test_red_results_of_a_change_are_never_taken_over(desk: Desk) -> None:
    first, second = (
        desk.task(desk.commit({"a.test": "bad\n"})),
        desk.task(desk.commit({"a.test": "bad\n"}, message="2")),
    )
    desk.verify(first)
    assert desk.verify(second).unchanged_since is None
    assert desk.runs(second) == 1


class Moody(http.server.BaseHTTPRequestHandler):
    """A service that refuses every other request."""

    asked = 0

    def do_GET(self) -> None:
        type(self).asked += 1
        self.send_response(503 if self.asked % 2 else 200)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        pass


def test_flaky_checks_are_told_and_counted_for_each_repository(desk: Desk) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Moody) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        place = f"localhost:{server.server_address[1]}"
        line = f"python3 -c 'import urllib.request as r; r.urlopen(\"http://{place}/\")'"
        desk.commit({"honk.yaml": f"verify:\n  test: {line}\negress: ['{place}']\n"}, branch="main")
        for number in (1, 2):
            task = desk.task(desk.commit({f"{number}.txt": "x"}))
            check = desk.verify(task)
            assert check.status == "flaky", check
            assert in_the_way(task, [check]) == []
        server.shutdown()
    assert check.summary.startswith("Flaky (2 times in this repository). Failed, then passed")
    assert "503" in check.summary
    assert desk.honk.store.flaky("project") == {"test": 2}
    assert desk.honk.store.flaky("other") == {}
    (shown,) = desk.honk.view(desk.honk.store.task(task.id))["checks"]
    assert (shown["remark"], shown["flaky_times"]) == ("flaky", 2)
    # What passed by luck is no evidence for anybody else.
    again = desk.task(desk.commit({"2.txt": "x"}, message="Again"))
    assert desk.verify(again).unchanged_since is None


def _permitted(task: Task, checks: list[Check], already_red_on: str | None) -> bool:
    head = task.head_sha or ""
    pull_request = PullRequest(1, "", "honk/x", "x", "open", head)
    try:
        permit_merge(
            *(task, pull_request, checks, head, head),
            access="write",
            judged=Judged(head),
            already_red_on=already_red_on,
        )
    except Refused:
        return False
    return True


def test_the_gate_takes_already_red_for_an_answer_on_that_very_base_alone() -> None:
    at = datetime.now(UTC)
    task = Task("t", "project", "x", "claude", State.MERGING, ADA, at, at, "base", "head")
    before = Check("test", "already_red", 1.0, "", against="base")
    assert _permitted(task, [before], "base")
    assert not _permitted(task, [before], None)
    assert not _permitted(task, [before], "newer")
    assert not _permitted(task, [before, Check("lint", "failed", 1.0, "")], "base")
    assert not _permitted(task, [replace(before, status="failed")], "base")
    assert _permitted(task, [Check("test", "flaky", 1.0, ""), Check("lint", "skipped", 0.0, "")], None)
    assert [check.name for check in red([before])] == ["test"]


def test_a_change_lands_on_a_red_main_that_allows_it_and_its_log_is_there_to_read(
    honk: Honk, make_repository: Callable[..., Path]
) -> None:
    files = {"honk.yaml": ALLOWING, "tests.sh": TESTS, "a.test": "bad\n", "b.test": "good\n"}
    repo = make_repository(files)
    agent = "script:echo good > c.test"
    done = honk("run", "More", "--repo", str(repo), "--merge", "--json", "--agent", agent, check=0)
    task = json.loads(done.stdout)
    assert task["state"] == "merged"
    assert git(repo, "show", "main:c.test") == "good"
    (check,) = task["checks"]
    assert (check["status"], check["remark"]) == ("already_red", f"already red on {task['base_sha'][:8]}")
    assert "trying test on main, too" in done.stderr
    assert f"already red on {task['base_sha'][:8]}" in done.stderr
    assert "FAILED tests.py::a.test" in honk("task", "show", task["id"], "--log", "test", check=0).stdout


def test_of_several_projects_only_those_are_checked_that_the_change_touches(
    home: Path, make_repository: Callable[..., Path]
) -> None:
    test = "import unittest\n\nclass T(unittest.TestCase):\n    def test_it(self):\n        self.assertTrue({})\n"
    files = {f"{name}/test_it.py": test.format("True") for name in ("one", "two")}
    projects = {f"{name}/setup.cfg": f"[metadata]\nname = {name}\n" for name in ("one", "two")}
    desk = Desk(home, make_repository(files | projects))
    task = desk.task(desk.commit({"two/test_it.py": test.format("False")}))
    told = verify_commit(task, task.head_sha or "", stop=lambda: False, source=desk.path / ".git")
    assert {check.name: check.status for check in told} == {"other projects": "skipped", "unittest (two)": "failed"}
    assert "one" in told[0].summary


def test_a_script_by_which_a_tool_looks_at_less_waits_for_a_person(
    home: Path, make_repository: Callable[..., Path]
) -> None:
    desk = Desk(home, make_repository({"pyproject.toml": "[tool.ruff]\n", "a.py": "x = 1\n", "b.py": "x = 1\n"}))
    (reason,) = desk.judged(desk.task(desk.commit({"lint.sh": "ruff check a.py\n"}))).reasons
    assert reason.startswith("ruff: It runs `ruff check --output-format=concise a.py`; before the change it was `")


def test_nothing_that_the_agent_leaves_behind_is_there_when_its_work_is_checked(
    honk: Honk, make_repository: Callable[..., Path]
) -> None:
    leaves = (
        "echo 1 > left.txt; echo 1 > ~/.pythonrc; git config core.hooksPath hooks; setsid sleep 4321 & echo x > new"
    )
    clean = (
        "test -e new && test ! -e left.txt && test ! -e ~/.pythonrc && ! git config core.hooksPath "
        "&& ! grep -l [4]321 /proc/*/cmdline"
    )
    files = {"honk.yaml": f"verify:\n  test: {clean}\n", ".gitignore": "left.txt\n"}
    repo = str(make_repository(files))
    done = honk("run", "x", "--repo", repo, "--agent", f"script:{leaves}", "--json", check=0)
    assert [check["status"] for check in json.loads(done.stdout)["checks"]] == ["passed"]
