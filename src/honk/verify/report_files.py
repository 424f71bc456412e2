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
