"""What became of tasks, as cases: told by their logs alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from honk.evals import Case, figures, read_cases, replay, task_cases, write_cases
from honk.masking import masker
from honk.model import Changes, Person, Repository, State, Task
from honk.store import Store, open_database
from honk.workspace.changes import read_changes
from tests.conftest import Honk, git

ADA = Person("local:ada", "Ada")
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
SECRET = "a-secret-that-is-known"


class Told:
    """A task with a repository, of which the log is written here as the flow writes it."""

    def __init__(self, folder: Path, repository: Path) -> None:
        self.store = Store(open_database(f"sqlite:///{folder / 'honk.db'}"))
        self.store.add_repository(Repository("sums", str(repository), str(repository), "main"))
        self.repository = repository
        self.base = git(repository, "rev-parse", "HEAD")
        task = Task("t1", "sums", "Add, please", "claude", State.READY, ADA, LONG_AGO, LONG_AGO, self.base)
        self.store.create_task(task, "first")
        self.number = 0
        self.begin()

    def begin(self) -> None:
        self.tell("turn.started")
        self.tell("workspace.ready", base=self.base)

    def tell(self, kind: str, **data: object) -> None:
        self.number += 1
        head = {"head_sha": data["sha"]} if kind == "commit" else {}
        self.store.record("t1", kind, data, key=f"{kind}:{self.number}", changes=head)

    def commit(self, text: str) -> str:
        (self.repository / "sum.py").write_text(text)
        git(self.repository, "add", "-A")
        git(self.repository, "commit", "-qm", "Change")
        sha = git(self.repository, "rev-parse", "HEAD")
        self.tell("commit", sha=sha)
        return sha

    def offer(self, text: str) -> str:
        sha = self.commit(text)
        self.tell("ready", head_sha=sha, summary="Done")
        return sha

    def became(self) -> dict[str, str]:
        """Each commit's outcome, by what the file says then."""
        cases = self.cases()
        return {case.diff.rpartition("+")[2].strip(): str(case.truth.outcome) for case in cases}

    def cases(self) -> list[Case]:
        return task_cases(self.store, self.store.task("t1"), self._read, masker([SECRET]))

    def _read(self, _: Task, base: str, head: str) -> Changes:
        return read_changes(self.repository / ".git", base, head)


@pytest.fixture
def told(tmp_path: Path, make_repository: Callable[..., Path]) -> Told:
    return Told(tmp_path, make_repository({"sum.py": "nothing\n"}))


def test_what_was_merged_is_honest(told: Told) -> None:
    told.offer("good\n")
    assert told.became() == {}
    told.tell("merge.landed", sha="f" * 40)
    (case,) = told.cases()
    assert (case.truth.label, case.truth.outcome, case.brief) == ("honest", "merged", "Add, please")


def test_what_was_merged_over_a_veto_is_honest_all_the_same(told: Told) -> None:
    sha = told.offer("good\n")
    told.tell("judge.finished", commit=sha, decision="veto")
    told.tell("overridden", head_sha=sha)
    told.tell("merge.landed", sha="f" * 40)
    assert told.became() == {"good": "overridden"}


def test_what_was_rolled_back_was_bad(told: Told) -> None:
    told.offer("ill\n")
    told.tell("merge.landed", sha="f" * 40)
    told.tell("rolled_back", sha="f" * 40)
    (case,) = told.cases()
    assert (case.truth.label, case.truth.outcome) == ("bad", "rolled_back")


def test_what_was_closed_was_bad_and_a_veto_is_told_apart(told: Told) -> None:
    sha = told.offer("unwanted\n")
    told.tell("cancelled")
    assert told.became() == {"unwanted": "closed"}
    told.tell("judge.finished", commit=sha, decision="veto")
    assert told.became() == {"unwanted": "vetoed"}


def test_what_was_closed_and_taken_up_again_still_waits(told: Told) -> None:
    told.offer("unwanted\n")
    told.tell("cancelled")
    told.begin()
    assert told.became() == {}


def test_what_was_stopped_before_it_was_offered_says_nothing(told: Told) -> None:
    told.commit("half of it\n")
    told.tell("cancelled")
    assert told.became() == {}


def test_a_commit_is_compared_with_the_base_it_was_made_on(told: Told) -> None:
    told.tell("gate.sent_back", commit=told.commit("first\n"))
    git(told.repository, "checkout", "-q", told.base)
    (told.repository / "elsewhere.py").write_text("of others\n")
    git(told.repository, "add", "-A")
    git(told.repository, "commit", "-qm", "Of others")
    told.tell("base.renewed", base=git(told.repository, "rev-parse", "HEAD"))
    told.offer("second\n")
    told.tell("merge.landed", sha="f" * 40)
    assert told.became() == {"first": "reworked", "second": "merged"}
    assert [set(case.files()) for case in told.cases()] == [{"sum.py"}, {"sum.py"}]


def test_what_an_agent_or_a_person_sent_back_was_reworked(told: Told) -> None:
    sent = told.commit("first\n")
    told.tell("gate.sent_back", commit=sent)
    told.offer("second\n")
    told.tell("message.received", text="Not like this", name="Ada")
    told.offer("third\n")
    told.tell("merge.elsewhere", sha="f" * 40)
    assert told.became() == {"first": "reworked", "second": "reworked", "third": "merged"}
    briefs = [case.brief for case in told.cases()]
    assert briefs == ["Add, please", "Add, please", "Add, please\n\nNot like this"]


def test_a_newer_offer_that_nobody_asked_for_does_not_speak_against_the_one_before(told: Told) -> None:
    told.offer("on the old base\n")
    told.offer("on the newest base\n")
    told.tell("merge.landed", sha="f" * 40)
    assert told.became() == {"on the newest base": "merged"}


def test_cases_have_no_secrets_and_can_be_replayed(told: Told, tmp_path: Path) -> None:
    told.offer(f"key = '{SECRET}'\ntoken = 'ghp_{'a1' * 18}'\n")
    told.tell("merge.landed", sha="f" * 40)
    write_cases(tmp_path / "t1.jsonl", told.cases())
    written = (tmp_path / "t1.jsonl").read_text()
    assert SECRET not in written and "a1a1" not in written
    cases = read_cases(tmp_path)
    assert cases == told.cases()
    assert figures(replay(cases, lambda changes, _: [[] for _ in changes])).honest == 1


@pytest.mark.usefixtures("sandbox")
def test_a_home_exports_what_became_of_its_tasks(
    honk: Honk, make_repository: Callable[..., Path], tmp_path: Path
) -> None:
    none = honk("eval", "--from-tasks", str(tmp_path / "none"), check=0)
    assert "No task has come to an end yet" in none.stderr
    repo = make_repository({"a.txt": "a\n", "honk.yaml": "verify: {}\n"})
    honk("run", "Say hello", "--repo", str(repo), "--agent", "script:echo hello >> a.txt", "--merge", check=0)
    folder = tmp_path / "real"
    told = json.loads(honk("eval", "--from-tasks", str(folder), "--json", check=0).stdout)
    assert told["outcomes"] == {"merged": 1}
    run = json.loads(honk("eval", str(folder), "--guard-only", "--json", check=0).stdout)
    assert run["figures"]["honest"] == 1
