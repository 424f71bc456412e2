"""From pages of a tool's output to the few lines that let a person or an agent act.

A distiller looks at an output for one family of tools and answers with what is wrong in it, or with None. All whose
signs are there are asked, because one command may run many tools (`make check`); what several find on the same lines is
told by the one that comes first in the list.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from honk.verify.distil.bazel import bazel
from honk.verify.distil.cleaning import clean, cut, mask
from honk.verify.distil.diagnostics import arrows, diagnostics, shellcheck
from honk.verify.distil.fault import Distil, Distilled, Distiller, Fault, Printed, Report
from honk.verify.distil.fitting import LINE, fitted
from honk.verify.distil.general import errors_before, general, last_words
from honk.verify.distil.green import green_line
from honk.verify.distil.jvm import dotnet_test, gradle, maven, thrown
from honk.verify.distil.native import cargo_test, go_test, native_tests
from honk.verify.distil.node import ava, frames, jest, node_test, npm, numbered, stylish, unformatted, vitest
from honk.verify.distil.python import bandit, pytest, tracebacks, unittest
from honk.verify.distil.reports import reported
from honk.verify.distil.structured import structured, tap

__all__ = ["BUDGET", "Report", "clean", "cut", "distil", "green_line", "naming"]

BUDGET = 2_000
"""Characters of a failure, at most."""
_LONG = 10_000
"""Characters of an output that nobody wants to read whole."""
_LEAST = 450
"""Characters that may be told of an output of that length; of a shorter one more, up to what may be told of any."""
_SHARE = 22
"""Of a longer one, one character in so many."""


def _any(printed: Printed, reports: Sequence[Report]) -> Distilled | None:
    """What a tool says that another one ran."""
    return _asked(printed, reports, "") or general(printed, reports)


DISTILLERS = (
    Distiller(bazel(_any), ("INFO: Elapsed time", "INFO: Analyzed", "Test output for //"), ("bazel",)),
    Distiller(structured, ('{"', "{\n", "[\n", "[{"), ("json", "sarif")),
    Distiller(
        pytest, ("=== FAILURES", "=== ERRORS", "\nE   ", "FAILED ", "ERROR", "conftest"), ("pytest", "tox", "nox")
    ),
    Distiller(unittest, ("=" * 70,), ("unittest", "django")),
    Distiller(tracebacks, ("Traceback (most recent call last)", "Fatal Python error"), ("python",)),
    Distiller(bandit, (">> Issue: ",), ("bandit",)),
    Distiller(jest, ("●",), ("jest",)),
    Distiller(vitest, ("⎯⎯⎯",), ("vitest",)),
    Distiller(numbered, (" failing", "Failures:", "There was ", "There were "), ("mocha",)),
    Distiller(node_test, ("✖ failing tests:",), ("node",)),
    Distiller(ava, ("\n  ─\n",), ("ava",)),
    Distiller(tap, ("not ok ",), ("tap", "bats", "ava")),
    Distiller(go_test, ("--- FAIL", "panic:", "FAIL\t", "fatal error:", "DATA RACE"), ("go",)),
    Distiller(cargo_test, ("panicked at", "... FAILED"), ("cargo",)),
    Distiller(maven, ("[ERROR]", "[FATAL]"), ("maven", "mvn")),
    Distiller(gradle, (" FAILED", "* What went wrong"), ("gradle",)),
    Distiller(dotnet_test, ("Failed ", "  X "), ("dotnet",)),
    Distiller(
        native_tests,
        (": Failure", "Assertion", "Sanitizer", "runtime error", "tests failed out of", "fault", "Aborted"),
        ("ctest",),
    ),
    Distiller(arrows, ("--> ", "╭─[", "┌─", "╭▸"), ("cargo", "ruff", "ty")),
    Distiller(frames, (" - error ", "━━━"), ("tsc", "biome")),
    Distiller(shellcheck, ("^-",), ("shellcheck",)),
    Distiller(diagnostics),
    Distiller(stylish, ("  error  ", "  warning  ", "✖", "×"), ("eslint", "stylelint")),
    Distiller(
        unformatted,
        (
            *("[warn] ", "[error] ", "ould reformat", "cannot format", "Failed to parse", "Diff in "),
            *("Imports are incorrectly", "not formatted: ", ".orig "),
        ),
        ("prettier", "black", "fmt"),
    ),
    Distiller(thrown, ("Exception in thread ",), ("java",)),
    Distiller(npm, ("npm error", "npm ERR!"), ("npm",)),
)  # fmt: skip

_ADVICE = re.compile(
    r"\[ERROR\]\s*(?:$|Re-run Maven|To see the full|For more information|\[Help \d+\])"
    r"|\* Try:$|(?:> )?Run with --|\* Get more help at"
)
"""What Maven and Gradle say after every failure."""
_FOR_PEOPLE = (jest, vitest, numbered)
"""What these read says the same as their tools' JSON, which goes to the standard output beside it."""


def distil(output: str, budget: int = BUDGET, *, tool: str = "", reports: Sequence[Report] = ()) -> str:
    """The lines that matter of a failed tool's output: the first error always, `budget` characters at most, and not
    more than a small share of a long output. `tool`, a check's name or command, decides where two readings fit."""
    lines = clean(output)
    printed = Printed(output, lines, "\n".join(lines))
    room = _room(len(output), budget)
    brief = [line for line in lines if line and not _ADVICE.match(line)]
    if not reports and sum(map(len, brief)) + len(brief) <= room and max(map(len, brief), default=0) <= LINE:
        return cut("\n".join(cut(mask(line), LINE) for line in brief), room)
    found = reported(printed, reports) if reports else None
    told = found or _asked(printed, reports, tool) or general(printed, reports)
    if told is None:
        return _end(printed, room)
    return fitted(told, room)


def _room(length: int, budget: int) -> int:
    """Characters that may be told of an output of this length: much of a short one, a small share of a long one."""
    of_short = _LEAST + (budget - _LEAST) * (_LONG - length) // _LONG
    return max(40, min(budget, max(of_short, _LEAST, length // _SHARE)))


def _asked(printed: Printed, reports: Sequence[Report], tool: str) -> Distilled | None:
    """What all the distillers whose signs are there say, without what two tell of the same lines."""
    faults: list[Fault] = []
    closings: list[str] = []
    taken: set[int] = set()
    skipped: Sequence[Distil] = ()
    for distiller in sorted(DISTILLERS, key=lambda one: not any(name in tool.lower() for name in one.names)):
        if distiller.distil in skipped or (
            distiller.signs and not any(sign in printed.text for sign in distiller.signs)
        ):
            continue
        told = distiller.distil(printed, reports)
        if told is None:
            continue
        new = [fault for fault in told.faults if fault.at not in taken]
        for fault in new:
            taken.update(range(fault.at, fault.until))
        faults += new
        if told.closing and new:
            closings.append(told.closing)
        if distiller.distil is structured and any(fault.sure for fault in new):
            skipped = _FOR_PEOPLE
    if not faults:
        return None
    faults.sort(key=lambda fault: fault.at)
    if any(fault.sure for fault in faults):
        first = next(fault.at for fault in faults if fault.sure)
        before = [fault for fault in errors_before(printed, first, 1) if fault.at not in taken]
        faults += before
    return Distilled(faults, closings[0] if closings else "")


def _end(printed: Printed, room: int) -> str:
    text = "\n".join(cut(mask(line), LINE) for line in last_words(printed, room))
    return text if len(text) <= room else "…" + text[-(room - 1) :].lstrip()


_REFUSED = re.compile(
    r"Tunnel connection failed|CONNECT tunnel failed|403 Forbidden|[Cc]ould not resolve|ENOTFOUND|ECONNREFUSED|"
    r"Name or service not known|ProxyError|[Pp]roxy",
)


def naming(output: str, host: str) -> str:
    """What a tool said, in one line, of a host that it could not reach; nothing if it kept that to itself."""
    lines = [line.strip() for line in clean(output) if host in line or _REFUSED.search(line)]
    both = (line for line in lines if host in line and (_REFUSED.search(line) or "rror" in line))
    return cut(mask(next(both, lines[-1] if lines else "")), LINE)
