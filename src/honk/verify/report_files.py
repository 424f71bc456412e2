"""The reports for machines that a check has left in its checkout."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from honk.model import Checkout, Command, Completed, HonkError, Limits
from honk.verify.counting import reported_tests
from honk.verify.distil import Report
from honk.verify.plan import Verifier

_BYTES = 8_000_000
"""Of all of a check's reports together."""
_MARK = "\x1e"
_WRITES = re.compile(r"test|mvn|maven|gradle|dotnet|junit|verify|check|bazel|sarif|trx", re.IGNORECASE)
_FAILED = r"<(failure|error)[ />]|outcome=.(Failed|Error|Timeout|Aborted)|sarif"
_ASKED_FOR = re.compile(r"--junitxml=(\S+)")
_COUNT = re.compile(r"\b(errors|failures|tests)=\"(\d+)\"")
_SILENT = re.compile(r"gradle", re.IGNORECASE)
"""What tells how many tests ran in its reports alone."""
_HEAD = 4_000
"""Characters at the beginning of a report in which its counts are looked for."""
NONE_RAN = "There are test files, but no test ran: say in honk.yaml how to run them (`verify`)."


def written_reports(checkout: Checkout, verifier: Verifier, done: Completed, began: float) -> list[Report]:
    """JUnit XML, TRX and SARIF that tell of a failure and are newer than `began` (seconds since the epoch): those that
    are committed or that another check left say nothing of this one. Empty where there are none or none can be read."""
    if done.ended_by not in ("itself", "time limit") or not _WRITES.search(f"{verifier.name} {verifier.command}"):
        return []
    line = (
        f"{_newer(began, '*.xml', '*.trx', '*.sarif')} -exec grep -lE {shlex.quote(_FAILED)} {{}} + "
        "| sort | head -50 | "
        f'while read -r file; do printf \'{_MARK}%s\\n\' "$file"; cat "$file"; done'
    )
    parts = (part.partition("\n") for part in _read(checkout, verifier, line).split(_MARK)[1:])
    return [Report(path.removeprefix("./"), text) for path, _, text in parts]


def _newer(began: float, *names: str) -> str:
    """The beginning of a line that finds files with such names that are newer than `began`."""
    named = " -o ".join(f"-name {shlex.quote(name)}" for name in names)
    return (
        "find . -xdev -type d \\( -name node_modules -o -name .git \\) -prune -o -type f "
        f"\\( {named} \\) -newermt {shlex.quote(f'@{began:.3f}')} -size -8000k"
    )


def _read(checkout: Checkout, verifier: Verifier, line: str) -> str:
    command = Command(
        ("sh", "-c", line),
        directory=verifier.directory,
        reads_only=True,
        limits=Limits(seconds=60.0, output=_BYTES),
    )
    try:
        return checkout.run(command).output
    except HonkError:
        return ""


def without_earlier(verifier: Verifier) -> str:
    """What goes in front of a check's line, so that a report that is committed cannot be taken for its own."""
    asked = _asked_for(verifier)
    return f"rm -f {asked}; " if asked else ""


@dataclass(frozen=True)
class Told:
    """What reports say of a check that ended with 0."""

    doubt: str | None = None
    """Why it is not green all the same."""
    tests: int | None = None
    """How many tests ran."""


def told_of(checkout: Checkout, verifier: Verifier, began: float) -> Told:
    """What the reports say of a check that ended with 0, and was begun at `began`.

    Of pytest Honk asks for a report, which may contradict that end: code under test runs in pytest's own process, and
    what lies in the repository is imported before what is installed, so either can end it early, stand in for it, or
    change how it ends.
    """
    asked = _asked_for(verifier)
    if not asked:
        if not _SILENT.search(f"{verifier.name} {verifier.command}"):
            return Told()
        line = f"{_newer(began, '*.xml')} -exec grep -hoE '<testsuite [^>]*>' {{}} + | head -20000"
        return Told(tests=reported_tests(_read(checkout, verifier, line)))
    line, limits = f"head -c {_HEAD} {asked} 2>/dev/null", Limits(seconds=60.0, output=_HEAD)
    read = checkout.run(Command(("sh", "-c", line), directory=verifier.directory, reads_only=True, limits=limits))
    _, found, suite = read.output.partition("<testsuite ")
    if not found:
        return Told(
            "It ended with 0 and without pytest's report: something in the repository ended it before its tests were "
            "done, or ran in its place. If that is meant, say in honk.yaml how to run them (`verify`)."
        )
    counts = {name: int(number) for name, number in _COUNT.findall(suite.partition(">")[0])}
    if failed := counts.get("failures", 0) + counts.get("errors", 0):
        return Told(f"It ended with 0, but its report tells of {failed} failed: something here changes how it ends.")
    return Told(None if counts.get("tests") else NONE_RAN, reported_tests(found + suite.partition(">")[0] + ">"))


def _asked_for(verifier: Verifier) -> str | None:
    """The report that Honk's own line asks for."""
    asked = None if verifier.configured else _ASKED_FOR.search(verifier.command)
    return shlex.quote(asked[1]) if asked else None
