"""The kinds of finding the tamper guard makes: what each means, and what follows where honk.yaml does not say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from honk.model import Finding, Severity

Treatment = Literal["protect", "show", "allow"]
"""What a finding leads to: a person has to confirm it, it is shown, or it is not even that."""


@dataclass(frozen=True)
class Kind:
    """One kind of finding. `severity` is its highest: what speaks for an honest change lowers it."""

    severity: Severity
    about: str
    """What is found, for the documentation."""
    treatment: Treatment
    """What it leads to where `tamper` in honk.yaml does not name it."""


KINDS: Mapping[str, Kind] = {
    "test-deleted": Kind("serious", "A test that was there is gone, commented out, or no longer collected", "protect"),
    "test-skipped": Kind(
        "serious", "A test that ran is skipped, expected to fail, or left out by an `only`", "protect"
    ),
    "fewer-tests-run": Kind(
        "serious", "Fewer tests passed than on the base, whatever the change does to the tests themselves", "protect"
    ),
    "test-emptied": Kind("serious", "A test's body is gone", "protect"),
    "test-cases-removed": Kind("serious", "A test runs with fewer rows of its table", "protect"),
    "assertion-removed": Kind("serious", "A test asserts less than it did", "protect"),
    "assertion-loosened": Kind("serious", "An assertion accepts more than it did, or anything", "protect"),
    "expected-value-changed": Kind(
        "warning", "An assertion, a test's table, or a recorded snapshot expects another value", "show"
    ),
    "sleep-in-test": Kind("warning", "A test waits for a fixed time", "show"),
    "coverage-lowered": Kind("serious", "A coverage threshold is lower or gone, or less is measured", "protect"),
    "linter-silenced": Kind(
        "serious", "A comment or attribute switches a linter, a type checker or coverage off", "show"
    ),
    "rule-switched-off": Kind("serious", "A configuration file switches rules off or leaves files out", "protect"),
    "checks-changed": Kind(
        "serious",
        "What runs the checks is changed: test configuration, scripts, hooks, or what lies in their way",
        "protect",
    ),
    "ci-changed": Kind("serious", "The CI's configuration is changed", "protect"),
    "failure-ignored": Kind(
        "serious", "A command's failure no longer counts (`|| true`, `continue-on-error`)", "protect"
    ),
    "version-downgraded": Kind("warning", "A language or dependency is older than it was", "show"),
    "secret-committed": Kind("serious", "A key, token or password is in the change", "protect"),
    "merge-marker": Kind("serious", "The marker of an unresolved merge is in a file", "protect"),
    "huge-file": Kind("serious", "A file is larger than a person reviews", "show"),
    "binary-file": Kind("serious", "A file that is not text", "show"),
    "generated-file": Kind("warning", "A file that a tool makes, or that was edited although a tool makes it", "show"),
    "file-mode-changed": Kind("serious", "A file became executable, a link, or another repository", "show"),
    "not-read": Kind("serious", "The guard could not read a file, or read only a part of it", "protect"),
}


def usual_treatment(finding: Finding) -> Treatment:
    """What a finding leads to where honk.yaml does not say: a serious one to what is usual for its kind."""
    usual = KINDS[finding.kind].treatment
    return usual if finding.severity == "serious" or usual == "allow" else "show"
