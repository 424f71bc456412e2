"""Output that is a burden, by chance or by design: it is told all the same, and never more than there is room for."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from honk.verify.distil import Report, distil

CULPRIT = "src/app.ts(12,5): error TS2322: Type 'string' is not assignable to type 'number'."
# What goes wrong with these takes minutes, or for ever; the real ones are bounded at 16 MB.
MEGABYTE = 125_000
HOSTILE: dict[str, Callable[[], str]] = {
    "one endless line": lambda: "error: " + "x" * 16 * MEGABYTE,
    "nothing but line ends": lambda: "\n" * 8 * MEGABYTE,
    "carriage returns": lambda: "\r".join(str(n) for n in range(2 * MEGABYTE)),
    "escapes": lambda: "\x1b[" * 4 * MEGABYTE,
    "open escapes": lambda: "\x1b]" * 4 * MEGABYTE,
    "backspaces": lambda: ("a" * 4000 + "\b" * 4000 + "\n") * 1000,
    "short lines": lambda: "a:1\n" * 2 * MEGABYTE,
    "places": lambda: "a.py:1:1: error: no\n" * (8 * MEGABYTE // 20),
    "words and spaces": lambda: ("a b " * 500 + "\n") * 2000,
    "brackets": lambda: ("(" * 1000 + "[" * 1000 + "\n") * 2000,
    "slashes": lambda: ("/a" * 1000 + "\n") * 2000,
    "quotes": lambda: ("'\"`" * 600 + "\n") * 2000,
    "colons": lambda: (":1" * 1000 + "\n") * 2000,
    "sections": lambda: ("=" * 60 + " FAILURES " + "=" * 60 + "\n" + "_" * 40 + " t " + "_" * 40 + "\n") * 20_000,
    "tracebacks": lambda: "Traceback (most recent call last):\n" * 20_000,
    "not ok": lambda: "not ok 1 - a\n  ---\n" * 20_000,
    "panics": lambda: "panic: no\n" * 40_000,
    "--- FAIL": lambda: "--- FAIL: A (0.00s)\n" * 40_000,
    "reports of jest": lambda: "  ● a\n" * 40_000,
    "arrows": lambda: "error: a\n  --> a:1:1\n" * 20_000,
    "deep JSON": lambda: '{"a":' * MEGABYTE,
    "deep lists": lambda: "[" * 4 * MEGABYTE,
    "JSON that never closes": lambda: '{"a":[\n' * 40_000,
    "a long line of JSON": lambda: '{"a": "' + "x" * 14 * MEGABYTE + '"}',
    "much JSON": lambda: '{"file": "a.py", "line": 1, "message": "no"}\n' * 40_000,
    "large numbers": lambda: '{"a": ' + "9" * MEGABYTE + "}\n",
    "secrets": lambda: "https://a:" * 40_000,
    "assignments": lambda: ("password=" * 200 + "\n") * 2000,
    "keys": lambda: "-----BEGIN PRIVATE KEY-----\n" * 20_000,
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_output_is_told_with_the_error_at_its_head(name: str) -> None:
    told = distil(f"{CULPRIT}\n{HOSTILE[name]()}")
    assert len(told) <= 2_000
    assert "error TS2322" in told


@pytest.mark.parametrize(
    "text",
    [
        '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;&b;">]><testsuite>&c;</testsuite>',
        '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><testsuite><testcase>'
        "<failure>&b;</failure></testcase></testsuite>",
        "<a>" * 300_000,
        "<testsuite><testcase><failure",
        "{" * 20_000,
        "",
    ],
    ids=["bomb", "foreign file", "depth", "half", "braces", "empty"],
)
def test_a_report_that_cannot_be_read_leaves_the_output_to_tell(text: str) -> None:
    told = distil(f"{CULPRIT}\n", reports=[Report("report.xml", text)])
    assert CULPRIT in told
    assert "root:" not in told


def test_a_report_tells_the_failing_test_its_place_and_what_was_found() -> None:
    report = (
        '<testsuite tests="2"><testcase name="adds" classname="shop.SumsTest"/><testcase name="subtracts" '
        'classname="shop.SumsTest"><failure message="expected: &lt;3&gt; but was: &lt;4&gt;" type="AssertionError">'
        "AssertionError: expected\n\tat org.junit.Assert.fail(Assert.java:89)\n"
        "\tat shop.SumsTest.subtracts(SumsTest.java:12)"
        "</failure></testcase></testsuite>"
    )
    told = distil("BUILD FAILED\n", reports=[Report("TEST-shop.xml", report)])
    assert told == "SumsTest.java:12: shop.SumsTest.subtracts: expected: <3> but was: <4>"


def test_a_trx_report_tells_the_failing_test() -> None:
    report = (
        '<TestRun xmlns="http://microsoft.com/schemas/VisualStudio/TeamTest/2010"><Results><UnitTestResult '
        'testName="Shop.Sums.Adds" outcome="Failed"><Output><ErrorInfo>'
        "<Message>Assert.Equal() Failure: Expected: 3, Actual: 4</Message>"
        "<StackTrace>   at Shop.Sums.Adds() in /workspace/Sums.cs:line 12</StackTrace>"
        "</ErrorInfo></Output></UnitTestResult></Results></TestRun>"
    )
    told = distil("", reports=[Report("a.trx", report)])
    assert told == "Sums.cs:12: Shop.Sums.Adds: Assert.Equal() Failure: Expected: 3, Actual: 4"


def test_errors_that_a_program_logs_as_json_do_not_hide_the_failing_test() -> None:
    log = "".join(
        json.dumps({"level": "error", "file": f"a{n}.py", "line": n, "message": "retried"}) + "\n" for n in range(9)
    )
    failure = "=== FAILURES ===\n___ test_a ___\n\nE   assert 1 == 2\n\na.py:3: AssertionError\n"
    output = f"{log}{'noise ' * 400}\n{failure}"
    assert distil(output).startswith("a.py:3: test_a: assert 1 == 2")


def test_bytes_that_are_no_text_do_no_harm() -> None:
    output = bytes(range(256)) * 50 + b"\nerror: the file k\xe4se is missing\n" + b"\xff\xfe" * 5_000
    assert "error: the file k\ufffdse is missing" in distil(output.decode("utf-8", "replace"))


def test_the_budget_holds_whatever_it_is() -> None:
    output = "".join(f"src/a{n}.ts(1,1): error TS1: {'no ' * 80}\n" for n in range(3_000))
    for budget in (200, 500, 2_000, 6_000):
        assert 100 < len(distil(output, budget)) <= budget
