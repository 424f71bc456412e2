"""The reports for machines that a check has left in its checkout."""

from __future__ import annotations

import re
import shlex

from honk.model import Checkout, Command, Completed, HonkError, Limits
from honk.verify.distil import Report
from honk.verify.plan import Verifier

_BYTES = 8_000_000
"""Of all of a check's reports together."""
_MARK = "\x1e"
_WRITES = re.compile(r"test|mvn|maven|gradle|dotnet|junit|verify|check|bazel|sarif|trx", re.IGNORECASE)
_FAILED = r"<(failure|error)[ />]|outcome=.(Failed|Error|Timeout|Aborted)|sarif"
_ASKED_FOR = re.compile(r"--junitxml=(\S+)")
_COUNT = re.compile(r"\b(errors|failures|tests)=\"(\d+)\"")
_HEAD = 4_000
"""Characters at the beginning of a report in which its counts are looked for."""
NONE_RAN = "There are test files, but no test ran: say in honk.yaml how to run them (`verify`)."


def written_reports(checkout: Checkout, verifier: Verifier, done: Completed, began: float) -> list[Report]:
    """JUnit XML, TRX and SARIF that tell of a failure and are newer than `began` (seconds since the epoch): those that
    are committed or that another check left say nothing of this one. Empty where there are none or none can be read."""
    if done.ended_by not in ("itself", "time limit") or not _WRITES.search(f"{verifier.name} {verifier.command}"):
        return []
    line = (
        "find . -xdev -type d \\( -name node_modules -o -name .git \\) -prune -o -type f "
        "\\( -name '*.xml' -o -name '*.trx' -o -name '*.sarif' \\) "
        f"-newermt {shlex.quote(f'@{began:.3f}')} -size -8000k -exec grep -lE {shlex.quote(_FAILED)} {{}} + "
        "| sort | head -50 | "
        f'while read -r file; do printf \'{_MARK}%s\\n\' "$file"; cat "$file"; done'
    )
    try:
        found = checkout.run(
            Command(
                ("sh", "-c", line),
                directory=verifier.directory,
                reads_only=True,
                limits=Limits(seconds=60.0, output=_BYTES),
            )
        )
    except HonkError:
        return []
    parts = (part.partition("\n") for part in found.output.split(_MARK)[1:])
    return [Report(path.removeprefix("./"), text) for path, _, text in parts]


def without_earlier(verifier: Verifier) -> str:
    """What goes in front of a check's line, so that a report that is committed cannot be taken for its own."""
    asked = _asked_for(verifier)
    return f"rm -f {asked}; " if asked else ""


def contradicted(checkout: Checkout, verifier: Verifier) -> str | None:
    """Why a check that ended with 0 is not green all the same: the report that Honk asks of pytest says otherwise.

    Code under test runs in pytest's own process, and what lies in the repository is imported before what is installed,
    so either can end it early, stand in for it, or change how it ends. None where no report was asked for.
    """
    asked = _asked_for(verifier)
    if not asked:
        return None
    line, limits = f"head -c {_HEAD} {asked} 2>/dev/null", Limits(seconds=60.0, output=_HEAD)
    read = checkout.run(Command(("sh", "-c", line), directory=verifier.directory, reads_only=True, limits=limits))
    _, found, suite = read.output.partition("<testsuite ")
    if not found:
        return (
            "It ended with 0 and without pytest's report: something in the repository ended it before its tests were "
            "done, or ran in its place. If that is meant, say in honk.yaml how to run them (`verify`)."
        )
    counts = {name: int(number) for name, number in _COUNT.findall(suite.partition(">")[0])}
    if failed := counts.get("failures", 0) + counts.get("errors", 0):
        return f"It ended with 0, but its report tells of {failed} failed: something here changes how it ends."
    return None if counts.get("tests") else NONE_RAN


def _asked_for(verifier: Verifier) -> str | None:
    """The report that Honk's own line asks for."""
    asked = None if verifier.configured else _ASKED_FOR.search(verifier.command)
    return shlex.quote(asked[1]) if asked else None
