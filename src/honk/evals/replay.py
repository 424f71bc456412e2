"""Cases put before the tamper guard and the judge, as a change is before it may be merged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from honk.evals.applying import changed_files
from honk.evals.case import Case
from honk.model import ChangedFile, Finding, Standing, Verdict

Guard = Callable[[Sequence[Sequence[ChangedFile]], Sequence[Standing | None]], Sequence[Sequence[Finding]]]
"""Given several changes and what stands around each, it says what it finds in each."""
Judge = Callable[[str, str, Sequence[Finding]], Verdict]
"""Asked with the brief, the diff and the guard's findings."""

AT_ONCE = 4
"""How many verdicts are waited for at the same time."""


@dataclass(frozen=True)
class Replayed:
    """What guard and judge said of a case."""

    case: Case
    findings: Sequence[Finding] = ()
    verdict: Verdict | None = None


def replay(
    cases: Sequence[Case],
    guard: Guard,
    judge: Judge | None = None,
    *,
    on_verdict: Callable[[Replayed], None] = lambda _: None,
) -> list[Replayed]:
    """Every case before the guard and, if there is one, the judge; `on_verdict` is told of each that was judged.

    Raises `UsageError` for a diff that does not apply to its base.
    """
    changes = changed_files(cases)
    found = guard([one.files for one in changes], [one.standing for one in changes])
    guarded = [Replayed(case, tuple(findings)) for case, findings in zip(cases, found, strict=True)]
    if judge is None:
        return guarded
    asked = judge

    def judged(seen: Replayed) -> Replayed:
        done = replace(seen, verdict=asked(seen.case.brief, seen.case.diff, seen.findings))
        on_verdict(done)
        return done

    with ThreadPoolExecutor(AT_ONCE, "judge") as judges:
        return list(judges.map(judged, guarded))
