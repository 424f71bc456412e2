"""Coverage that is asked for no longer, or not as much of it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from honk.model import Finding
from honk.verify.tamper.facts import Mark
from honk.verify.tamper.flattening import Configured, NotFlat, flat, is_configuration, number_of, place
from honk.verify.tamper.reporting import finding

_TEXTS = re.compile(
    r"(pom\.xml|build\.xml|\.gradle(\.kts)?|checkstyle[^/]*\.xml|pmd[^/]*\.xml|phpunit[^/]*\.xml[^/]*|akefile|\.sh|\.ya?ml|\.toml|\.cfg|\.ini|package\.json|noxfile\.py|\.mk|\.json|Justfile|justfile)$"
)
_COVERAGE_KEY = re.compile(
    r"(fail[_-]under|cov-fail-under|(coverage)?thresholds?(\.[^.]+)*\.(lines|branches|functions|statements)|coverageThreshold\b.*\.(lines|branches|functions|statements)"
    r"|(nyc|c8|tap)\.(lines|branches|functions|statements)|^(lines|branches|functions|statements)$|check\.(global|each)\.(lines|branches|functions|statements)"
    r"|coverage\.(status\.)?(project|patch)\b.*target|min(imum)?[-_]?coverage|coverage[-_]?min\w*|fail-under|interrogate\.fail-under|minimum_coverage|autoUpdate\.min)$",
    re.IGNORECASE,
)
_COVERAGE_TEXT = re.compile(
    r"(?P<key>--cov-fail-under|--fail-under|--min-coverage|--threshold-coverage|--check-coverage[^\n]*?--(?:lines|branches|functions|statements)"
    r"|--(?:lines|branches|functions|statements)|<minimum>|\bminimum\b(?:\.set)?|minimumCoverage|COVERAGE_MIN\w*|MIN_COVERAGE|--cov-min|-coverage-threshold|--fail-under-lines|fail_under|COVERAGE_THRESHOLD"
    r"|minimum_coverage|coverage_threshold|--thresholds?\.\w+)"
    r"[\s=:(\"']{0,4}(?P<number>\d+(?:\.\d+)?)"
)


@dataclass(frozen=True)
class _Threshold:
    path: str
    key: str
    number: float
    line: int
    text: str


def is_threshold(path: str) -> bool:
    """Whether a setting says how much coverage is asked for."""
    return bool(_COVERAGE_KEY.search(path))


def lowered(files: Iterable[Configured]) -> Iterator[Finding]:
    """Findings about thresholds that are lower than they were, or gone; those that moved to another file are not."""
    before: dict[str, list[_Threshold]] = defaultdict(list)
    after: dict[str, list[_Threshold]] = defaultdict(list)
    paths: dict[str, Configured] = {}
    for one in files:
        for threshold in _thresholds(one.old_path, one.before):
            before[f"{one.path}\0{threshold.key}"].append(threshold)
            paths[one.path] = one
        for threshold in _thresholds(one.path, one.after):
            after[f"{one.path}\0{threshold.key}"].append(threshold)
    spare = [threshold for key, found in after.items() for threshold in found[len(before.get(key, ())) :]]
    for key, old in before.items():
        new = after.get(key, [])
        path = key.split("\0")[0]
        for at, was in enumerate(old):
            if at < len(new):
                if new[at].number < was.number:
                    message = (
                        f"The coverage that is asked for is {_shown(new[at].number)} now; it was {_shown(was.number)}."
                    )
                    yield finding("coverage-lowered", "serious", path, Mark(new[at].line, new[at].text), message)
                continue
            stands = next((other for other in spare if other.number >= was.number), None)
            if stands is not None:
                spare.remove(stands)
                continue
            message = f"Coverage of {_shown(was.number)} is asked for no longer."
            yield finding("coverage-lowered", "serious", path, Mark(was.line, was.text), message)


def _thresholds(path: str, text: str | None) -> Iterator[_Threshold]:
    if not text or not (_TEXTS.search(path) or is_configuration(path)):
        return
    seen: set[int] = set()
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > 1000 or line.lstrip().startswith(("#", "//")):
            continue
        for found in _COVERAGE_TEXT.finditer(line):
            if "minimum" in found["key"].lower() and not re.search(
                r"jacoco|coverage|kover|COVEREDRATIO|<minimum>", text, re.IGNORECASE
            ):
                continue
            seen.add(number)
            yield _Threshold(path, found["key"].split()[-1], float(found["number"]), number, line.strip())
    try:
        settings = flat(path, text) if is_configuration(path) else None
    except NotFlat:
        return
    for key, value in (settings.values if settings else {}).items():
        amount = number_of(value)
        if _COVERAGE_KEY.search(key) and amount is not None:
            mark = place(text, key, value)
            if mark.line not in seen:
                yield _Threshold(path, key, amount, mark.line, mark.text)


def _shown(number: float) -> str:
    return f"{number:g}" + (" %" if number > 1 else "")
