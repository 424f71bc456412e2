"""How many tests passed in a run, by what their runners print in the end: a change after which fewer run is suspect."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from honk.verify.distil import clean


@dataclass(frozen=True)
class _Runner:
    """A runner of tests: `line` finds where it says how many passed, `less` how many of them did not really run.
    Several such lines are put together by `of_many`."""

    line: re.Pattern[str]
    less: re.Pattern[str] | None = None
    of_many: Callable[[Sequence[int]], int] = sum


_RUNNERS = (
    _Runner(re.compile(r"^=*[ ]?(?:\d+ [a-z ]+, )*?(\d+) passed\b.* in [\d.]+ ?m?s\b")),  # pytest
    _Runner(re.compile(r"^Ran (\d+) tests? in "), re.compile(r"^(?:OK|FAILED) \(.*?skipped=(\d+)")),  # unittest
    _Runner(re.compile(r"^\s*(?:---|===) PASS: ()\S")),  # go test -v
    _Runner(re.compile(r"^test result: \w+\. (\d+) passed;")),  # cargo test
    _Runner(re.compile(r"^Tests:\s+(?:\d+ \w+, )*?(\d+) passed\b.* total$")),  # jest
    _Runner(re.compile(r"^\s*Tests\s+(?:\d+ \w+ \| )*?(\d+) passed\b.*\(\d+\)$")),  # vitest
    _Runner(re.compile(r"^\s+(\d+) passing \(")),  # mocha
    _Runner(re.compile(r"^\s*(\d+) tests? passed$")),  # ava
    _Runner(re.compile(r"^(\d+) specs?, 0 failures")),  # jasmine
    _Runner(re.compile(r"^(?:\[\w+\] )?Tests run: (\d+), .*Skipped: \d+$"), re.compile(r"Skipped: (\d+)$")),  # surefire
    _Runner(re.compile(r"^Passed!.* Passed: +(\d+),")),  # dotnet test
    _Runner(
        re.compile(r"^\s*Executed (\d+) tests?, with .* failures?"), of_many=max
    ),  # XCTest tells each suite in each
    _Runner(re.compile(r"^\S* ?Test run with (\d+) tests? .*passed")),  # swift-testing
    _Runner(re.compile(r"^Executed \d+ out of \d+ tests?: (\d+) tests? pass")),  # bazel
    _Runner(re.compile(r"^100% tests passed, 0 tests failed out of (\d+)$")),  # ctest
)
_NODE = _Runner(re.compile(r"^[#ℹ] pass (\d+)$"))
_TAP = _Runner(re.compile(r"^ok ()\d+(?!.*# (?:SKIP|TODO))", re.IGNORECASE))
_TELLING = ("pass", "PASS", "Ran ", "OK (", "FAILED (", "Tests", "Executed", "Test run", "specs", "ok ")
_SUITE = re.compile(r"<testsuite\b[^>]*>")
_ATTRIBUTE = re.compile(r'\b(tests|skipped|disabled)="(\d+)"')


def passed_tests(output: str) -> int | None:
    """How many tests passed by the output of a check; None where no runner that is known says it."""
    lines = clean("\n".join(line for line in output.split("\n") if any(word in line for word in _TELLING)))
    # What comes as TAP may say the sum, too.
    found = [count for runner in _RUNNERS if (count := _count(runner, lines)) is not None]
    summed = _count(_NODE, lines)
    found += [one for one in [_count(_TAP, lines) if summed is None else summed] if one is not None]
    return sum(found) if found else None


def _count(runner: _Runner, lines: Sequence[str]) -> int | None:
    told = [int(match[1] or 1) for line in lines if (match := runner.line.search(line))]
    if not told:
        return None
    less = sum(int(match[1]) for line in lines if runner.less and (match := runner.less.search(line)))
    return max(0, runner.of_many(told) - less)


def reported_tests(suites: str) -> int | None:
    """How many tests ran by the opening tags of JUnit's suites; None where there are none."""
    found = [dict(_ATTRIBUTE.findall(tag)) for tag in _SUITE.findall(suites)]
    if not found:
        return None
    return sum(int(one.get("tests", 0)) - int(one.get("skipped", 0)) - int(one.get("disabled", 0)) for one in found)
