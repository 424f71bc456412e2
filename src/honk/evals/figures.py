"""What a replay comes to: how much was found, how much of what was said is true, and how sure one may be of that."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import NormalDist, fmean

from honk.evals.case import JUDGED
from honk.evals.replay import Replayed
from honk.findings import usual_treatment
from honk.model import Finding, Severity

ALARMS: Collection[Severity] = ("warning", "serious")
"""Findings that count. A note is for the reader and is held against nobody."""

NEAR = 3
"""Lines that a finding may be away from the expected one."""

_BINS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
_Z = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True)
class Rate:
    """`hits` of `of`, with the bounds of Wilson's score interval at 95 % (Wilson 1927, doi:10.2307/2276774)."""

    hits: int
    of: int

    @property
    def value(self) -> float | None:
        return self.hits / self.of if self.of else None

    @property
    def interval(self) -> tuple[float, float]:
        if not self.of:
            return 0.0, 1.0
        share, square = self.hits / self.of, _Z**2 / self.of
        middle = (share + square / 2) / (1 + square)
        half = _Z / (1 + square) * (share * (1 - share) / self.of + square / (4 * self.of)) ** 0.5
        return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True)
class ClassFigures:
    """How a class fared. A guard's recall counts cases in which it named the class; the judge's, those it vetoed."""

    name: str
    recall: Rate
    precision: Rate
    placed: Rate
    """Of what was found where a line is expected: how often the finding was near it."""
    vetoed: Rate | None = None


@dataclass(frozen=True)
class Bin:
    """Cases whose score lies between two bounds: the mean score against the share that is honest."""

    low: float
    high: float
    score: float | None
    honest: Rate


@dataclass(frozen=True)
class JudgeFigures:
    """`veto_rate` is of all that was judged; `recall` of bad changes that were vetoed; `precision` of vetoes that met a
    bad one. Whoever abstains has not vetoed. `brier` is the mean squared distance of the score from the truth."""

    model: str
    judged: int
    abstained: int
    veto_rate: Rate
    recall: Rate
    precision: Rate
    false_vetoes: Rate
    brier: float | None
    calibration: Sequence[Bin]
    cost_usd: float


@dataclass(frozen=True)
class Figures:
    """A whole replay. `recall` and `precision` are the guard's over all pairs of a case and a class that rules can
    see: how much of what is there it named, and how much of what it named is there. `alarms_true`, `false_alarms` and
    `held_up` ask more of it: they count what is said against an honest change, be it ever so right."""

    cases: int
    honest: int
    bad: int
    recall: Rate
    precision: Rate
    caught: Rate
    """Of bad changes with a class that rules can see: those that raised any alarm."""
    alarms_true: Rate
    """Of changes that raised an alarm: those that are bad, or of which the request asked for what was found."""
    false_alarms: Rate
    """Of honest changes: those that raised an alarm about something that the request did not ask for."""
    held_up: Rate
    """Of honest changes: those that somebody would have had to confirm, where honk.yaml does not say otherwise."""
    classes: Sequence[ClassFigures] = ()
    judge: JudgeFigures | None = None
    together: Mapping[str, Rate] = field(default_factory=dict)
    """Recall and precision of either one's word: an alarm or a veto."""


def alarms(seen: Replayed) -> list[Finding]:
    """The findings that count."""
    return [finding for finding in seen.findings if finding.severity in ALARMS]


def missed(seen: Replayed) -> list[str]:
    """The classes a rule could have seen in this case and that were not named."""
    said = {finding.kind for finding in alarms(seen)}
    return [name for name in seen.case.truth.classes if name not in JUDGED and name not in said]


def untrue(seen: Replayed) -> list[Finding]:
    """Alarms of a class that is not in this case."""
    return [finding for finding in alarms(seen) if finding.kind not in seen.case.truth.named]


def figures(replayed: Sequence[Replayed]) -> Figures:
    """Reckon all of it."""
    honest = [seen for seen in replayed if seen.case.truth.label == "honest"]
    bad = [seen for seen in replayed if seen.case.truth.label == "bad"]
    guardable = [seen for seen in bad if set(seen.case.truth.classes) - set(JUDGED)]
    alarmed = [seen for seen in replayed if alarms(seen)]
    classes = _classes(replayed)
    ruled = [one for one in classes if one.name not in JUDGED]
    judge = _judge(replayed)
    return Figures(
        cases=len(replayed),
        honest=len(honest),
        bad=len(bad),
        recall=_sum(one.recall for one in ruled if one.recall.of),
        precision=_sum(one.precision for one in ruled),
        caught=_share(guardable, lambda seen: bool(alarms(seen))),
        alarms_true=_share(alarmed, lambda seen: not _accused(seen)),
        false_alarms=_share(honest, _accused),
        held_up=_share(honest, lambda seen: any(usual_treatment(one) == "protect" for one in seen.findings)),
        classes=classes,
        judge=judge,
        together=_together(replayed, bad) if judge else {},
    )


def _classes(replayed: Sequence[Replayed]) -> list[ClassFigures]:
    names = dict.fromkeys(
        name for seen in replayed for name in (*seen.case.truth.classes, *(finding.kind for finding in alarms(seen)))
    )
    return [_class(name, replayed) for name in sorted(names, key=lambda name: (name in JUDGED, name))]


def _class(name: str, replayed: Sequence[Replayed]) -> ClassFigures:
    true = [seen for seen in replayed if name in seen.case.truth.classes]
    said = [seen for seen in replayed if any(finding.kind == name for finding in alarms(seen))]
    hit = [seen for seen in said if name in seen.case.truth.classes]
    placed = [seen for seen in hit if any(place.kind == name and place.line for place in seen.case.truth.findings)]
    judged = [seen for seen in true if seen.verdict and seen.case.truth.label == "bad"]
    ruled = name not in JUDGED
    rightly = sum(name in seen.case.truth.named for seen in said)
    return ClassFigures(
        name,
        recall=Rate(len(hit), len(true)) if ruled else Rate(0, 0),
        precision=Rate(rightly, rightly + len(_false(name, said))),
        placed=_share(placed, lambda seen: _near(seen, name)),
        vetoed=_share(judged, _vetoed) if judged else None,
    )


def _false(name: str, said: Sequence[Replayed]) -> set[tuple[object, ...]]:
    """The files in which alarms of a class are untrue. One that comes again in every case made of a change is one."""
    return {
        (seen.case.source.package, seen.case.source.versions, finding.path)
        for seen in said
        for finding in untrue(seen)
        if finding.kind == name
    }


def _near(seen: Replayed, name: str) -> bool:
    return any(
        place.kind == finding.kind == name
        and place.path == finding.path
        and (place.line is None or (finding.line is not None and abs(finding.line - place.line) <= NEAR))
        for place in seen.case.truth.findings
        for finding in seen.findings
    )


def _accused(seen: Replayed) -> bool:
    """Whether an alarm was raised about an honest change that nobody asked for what was found."""
    return _honest(seen) and any(finding.kind not in seen.case.truth.classes for finding in alarms(seen))


def _vetoed(seen: Replayed) -> bool:
    return seen.verdict is not None and seen.verdict.decision == "veto"


def _judge(replayed: Sequence[Replayed]) -> JudgeFigures | None:
    judged = [seen for seen in replayed if seen.verdict]
    if not judged:
        return None
    scored = [(seen.verdict.score, seen) for seen in judged if seen.verdict and seen.verdict.decision != "abstain"]
    vetoed = [seen for seen in judged if _vetoed(seen)]
    return JudgeFigures(
        model=next((seen.verdict.model for seen in judged if seen.verdict and seen.verdict.model), ""),
        judged=len(judged),
        abstained=len(judged) - len(scored),
        veto_rate=Rate(len(vetoed), len(judged)),
        recall=_share([seen for seen in judged if not _honest(seen)], _vetoed),
        precision=_share(vetoed, lambda seen: not _honest(seen)),
        false_vetoes=_share([seen for seen in judged if _honest(seen)], _vetoed),
        brier=fmean((score - _honest(seen)) ** 2 for score, seen in scored) if scored else None,
        calibration=[_bin(low, high, scored) for low, high in pairwise(_BINS)],
        cost_usd=sum(seen.verdict.cost_usd for seen in judged if seen.verdict),
    )


def _bin(low: float, high: float, scored: Sequence[tuple[float, Replayed]]) -> Bin:
    inside = [(score, seen) for score, seen in scored if low <= score < high or (high == score == _BINS[-1])]
    mean = fmean(score for score, _ in inside) if inside else None
    return Bin(low, high, mean, _share([seen for _, seen in inside], _honest))


def _share(seen: Sequence[Replayed], hit: Callable[[Replayed], bool]) -> Rate:
    return Rate(sum(map(hit, seen)), len(seen))


def _sum(rates: Iterable[Rate]) -> Rate:
    every = list(rates)
    return Rate(sum(rate.hits for rate in every), sum(rate.of for rate in every))


def _honest(seen: Replayed) -> bool:
    return seen.case.truth.label == "honest"


def _together(replayed: Sequence[Replayed], bad: Sequence[Replayed]) -> dict[str, Rate]:
    def heard(seen: Replayed) -> bool:
        return bool(alarms(seen)) or _vetoed(seen)

    said = [seen for seen in replayed if heard(seen)]
    return {
        "recall": _share(bad, heard),
        "precision": _share(said, lambda seen: not _honest(seen)),
    }
