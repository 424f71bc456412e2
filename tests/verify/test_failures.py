"""What failed, told in a way that two runs can be compared by."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from honk.model import Completed
from honk.verify.distil import Report
from honk.verify.failures import failures, names, new_failures


def _ran(output: str, exit_code: int = 1) -> list[str]:
    return failures(Completed(exit_code, output, 1.0))


def _really(folder: Path, *arguments: str) -> list[str]:
    """What a tool of this Python says of a folder."""
    done = subprocess.run([sys.executable, "-m", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    return _ran(done.stdout + done.stderr, done.returncode)


PYTEST = "def test_one():\n    assert {one}\n\n\ndef test_two():\n    assert {two}\n"


def test_pytest_names_its_tests(tmp_path: Path) -> None:
    told = []
    for one, two in (("False", "True"), ("1 == 2", "True"), ("False", "False")):
        (tmp_path / "test_it.py").write_text(PYTEST.format(one=one, two=two))
        told.append(_really(tmp_path, "pytest", "-q", "-p", "no:cacheprovider"))
    assert names(told[0]) == "FAILED test_it.py::test_one"
    assert new_failures(told[1], told[0]) == []
    assert new_failures(told[2], told[0]) == ["FAILED test_it.py::test_two"]


def test_unittest_names_its_tests(tmp_path: Path) -> None:
    text = "import unittest\n\n\nclass T(unittest.TestCase):\n    def test_a(self):\n        self.assertTrue({})\n"
    (tmp_path / "test_it.py").write_text(text.format("False"))
    before = _really(tmp_path, "unittest")
    assert "FAIL: test_a (test_it.T.test_a)" in before or "FAIL: test_a (test_it.T)" in before
    (tmp_path / "test_it.py").write_text(text.format("1 == 2"))
    assert new_failures(_really(tmp_path, "unittest"), before) == []
    (tmp_path / "test_it.py").write_text(text.format("unknown"))
    assert new_failures(_really(tmp_path, "unittest"), before) != []


def test_linters_are_compared_by_place_and_words_but_not_by_line(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import os\n")
    before = _really(tmp_path, "ruff", "check", "--no-cache", "--output-format", "concise", ".")
    (tmp_path / "app.py").write_text("# A new first line.\nimport os\n")
    assert (
        new_failures(_really(tmp_path, "ruff", "check", "--no-cache", "--output-format", "concise", "."), before) == []
    )
    (tmp_path / "app.py").write_text("import os\nimport re\n")
    added = new_failures(_really(tmp_path, "ruff", "check", "--no-cache", "--output-format", "concise", "."), before)
    assert [one.partition("`")[2].partition("`")[0] for one in added] == ["re"]


@pytest.mark.parametrize(
    ("output", "name"),
    [
        ("--- FAIL: TestSum (0.00s)\n    sum_test.go:9: 3\nFAIL\n", "TestSum"),
        ("test tests::sums ... FAILED\n", "tests::sums"),
        ("  ● calculator › adds\n\n    expect(received)\n", "calculator › adds"),
        ("not ok 3 - adds\n", "adds"),
        ("✖ adds (1.2345ms)\n", "adds"),
        ("[ERROR]   AppTest.adds:12 expected: <3> but was: <2>\n", "AppTest.adds"),
        ("AppTest > adds() FAILED\n", "AppTest > adds()"),
        ("src/app.ts(3,7): error TS2322: Type 'x'.\n", "src/app.ts: error TS2322: Type 'x'."),
        ("src/app.py:3: error: Missing return  [return]\n", "src/app.py: error: Missing return  [return]"),
    ],
)  # fmt: skip
def test_other_runners_and_compilers_name_what_failed(output: str, name: str) -> None:
    assert _ran(output)[1:] == [name]


def test_the_same_failure_more_often_is_a_new_one() -> None:
    once = _ran("a.py:1: error: x\n")
    assert new_failures(_ran("a.py:1: error: x\na.py:9: error: x\n"), once) == ["a.py: error: x"]
    assert new_failures(once, _ran("a.py:1: error: x\na.py:9: error: x\n")) == []


def test_output_without_names_is_the_same_only_if_it_says_the_same_but_for_time() -> None:
    before = _ran("3 things are wrong\ntook 1.25 s\n")
    assert new_failures(_ran("3 things are wrong\ntook 0.9 s\n"), before) == []
    assert new_failures(_ran("4 things are wrong\ntook 1.25 s\n"), before) != []
    assert names(before) == ""


def test_another_end_is_another_failure() -> None:
    """What no longer gets as far as before may hide anything."""
    assert new_failures(_ran("FAILED test_a.py::test_a\n", 2), _ran("FAILED test_a.py::test_a\n", 1)) == ["exit 2"]


def test_thousands_of_failures_are_kept_by_a_few_names_and_compared_all_the_same() -> None:
    lines = [f"FAILED tests/test_{number}.py::test_it" for number in range(10_000)]
    before = _ran("\n".join(lines))
    assert len(before) <= 201
    assert new_failures(_ran("\n".join(reversed(lines))), before) == []
    assert new_failures(_ran("\n".join([*lines, "FAILED tests/test_z.py::test_it"])), before) != []


def test_reports_for_machines_name_tests_that_were_not_printed() -> None:
    case = "<testcase classname='tests.test_a' name='test_{}'><failure message='no'/></testcase>"
    good = "<testcase classname='tests.test_a' name='test_good'/>"
    trx = "<R><UnitTestResult testName='Adds' outcome='Failed'/><UnitTestResult testName='B' outcome='Passed'/></R>"
    junit = [Report("junit.xml", f"<testsuite>{case.format(name)}{good}</testsuite>") for name in ("one", "two")]
    done = Completed(1, "2 failed\n", 1.0)
    assert names(failures(done, [junit[0], Report("x.trx", trx)])) == "Adds, tests.test_a.test_one"
    assert new_failures(failures(done, junit), failures(done, junit[:1])) == ["tests.test_a.test_two"]
    # What cannot be read tells nothing.
    assert failures(done, [Report("broken.xml", "<testsuite>")]) == failures(done)
