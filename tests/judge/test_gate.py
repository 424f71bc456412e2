"""The gate asks for a verdict on the very commit that was tried, or for a person's word about it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from honk.gate import Judged, MergePermit, Override, permit_merge
from honk.model import Check, Finding, Person, PullRequest, Refused, State, Task, Verdict

HEAD, OTHER = "a" * 40, "b" * 40
NOW = datetime(2026, 11, 1, tzinfo=UTC)
TASK = Task("t1", "project", "Do it", "claude", State.MERGING, Person("local:ada", "Ada"), NOW, NOW, head_sha=HEAD)
VETO = Verdict("veto", 0.2, "It does more than was asked.")
FINDING = Finding("test-deleted", "serious", "tests/a.py", 4, "A test was deleted.")
CLEAR = Judged(HEAD)
VETOED = Judged(HEAD, VETO, vetoes=True)
TAMPERED = Judged(HEAD, None, [FINDING], [FINDING])


def permit(judged: Judged, override: Override | None = None) -> MergePermit:
    """Everything else being as it should be."""
    pull_request = PullRequest(1, "", "honk/t1", "Do it", "open", HEAD)
    checks = [Check("test", "passed", 1.0, "")]
    return permit_merge(TASK, pull_request, checks, HEAD, HEAD, access="write", judged=judged, override=override)


@pytest.mark.parametrize(
    "judged",
    [
        CLEAR,
        Judged(HEAD, Verdict("approve", 0.9, "Fine."), vetoes=True),
        Judged(HEAD, Verdict("abstain", 0.0, "No model."), vetoes=True),
        Judged(HEAD, VETO, vetoes=False),
        Judged(HEAD, None, [FINDING], []),
    ],
    ids=["nothing", "an approval", "an abstention", "advice", "a finding that is only shown"],
)
def test_what_is_not_held_against_a_commit_lets_it_pass(judged: Judged) -> None:
    assert permit(judged).head_sha == HEAD


@pytest.mark.parametrize(
    ("judged", "reason"),
    [(VETOED, "The judge vetoes it: It does more than was asked"), (TAMPERED, "tests/a.py:4: A test was deleted")],
    ids=["a veto", "a finding"],
)
def test_what_is_held_against_a_commit_wants_an_override_of_exactly_that_commit(judged: Judged, reason: str) -> None:
    for override in (None, Override(OTHER, "local:ada")):
        with pytest.raises(Refused) as refused:
            permit(judged, override)
        assert reason in str(refused.value)
        assert "Override" in str(refused.value)
    assert permit(judged, Override(HEAD, "local:ada")).head_sha == HEAD


def test_a_verdict_on_another_commit_is_none() -> None:
    with pytest.raises(Refused, match="What was judged is bbbbbbbb, not aaaaaaaa"):
        permit(replace(CLEAR, sha=OTHER), Override(OTHER, "local:ada"))


def test_of_many_reasons_the_first_are_told_and_the_others_counted() -> None:
    findings = [replace(FINDING, line=number) for number in range(1, 8)]
    with pytest.raises(Refused, match=r"tests/a.py:3: .* \(and 4 more\)"):
        permit(Judged(HEAD, None, findings, findings))
