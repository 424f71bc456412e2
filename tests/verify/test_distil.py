"""What is told of a failure: the first error always, made by the real tools where they are here, and never a secret."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from honk.model import Check
from honk.verify import distil, explain
from honk.verify.distil import Report


def _output(directory: Path, *command: str) -> str:
    done = subprocess.run(
        command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode != 0
    return done.stdout


def _told(output: str, *, at_least: int = 4_000) -> str:
    assert len(output) > at_least
    told = distil(output)
    assert len(told) <= 2_000
    return told


def test_pytest_with_many_failures_tells_the_first_whole_and_the_count(tmp_path: Path) -> None:
    (tmp_path / "test_many.py").write_text(
        "import pytest\n\n@pytest.mark.parametrize('n', range(80))\ndef test_many(n):\n"
        "    print('WARNING: error-looking noise', n)\n    assert n * 2 == 1000 + n\n"
    )
    told = _told(_output(tmp_path, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"))
    assert "assert (0 * 2) == (1000 + 0)" in told
    assert told.startswith("test_many.py:6: test_many[0]: ")
    assert "80 failed" in told


def test_unittest_with_many_failures_tells_the_first_whole_and_the_count(tmp_path: Path) -> None:
    methods = "".join(f"    def test_{n:02}(self): self.assertEqual({n}, 1000)\n" for n in range(60))
    (tmp_path / "test_many.py").write_text(f"import unittest\n\nclass T(unittest.TestCase):\n{methods}")
    told = _told(_output(tmp_path, sys.executable, "-m", "unittest"))
    assert "AssertionError: 0 != 1000" in told
    assert "FAILED (failures=60)" in told


def test_mypy_tells_the_first_error_and_the_count(tmp_path: Path) -> None:
    (tmp_path / "many.py").write_text("".join(f"number_{n}: int = 'text'\n" for n in range(100)))
    told = _told(_output(tmp_path, sys.executable, "-m", "mypy", "--cache-dir", "/dev/null", "many.py"))
    assert told.startswith("many.py:1: error: Incompatible types")
    assert "Found 100 errors in 1 file" in told


def test_ruff_tells_the_first_error_and_the_count(tmp_path: Path) -> None:
    (tmp_path / "many.py").write_text("".join(f"import module_{n}\n" for n in range(100)))
    command = (sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", ".")
    told = _told(_output(tmp_path, *command))
    assert "F401" in told
    assert "many.py:1:8" in told


@pytest.mark.skipif(shutil.which("node") is None, reason="no node on this machine")
def test_node_tells_the_first_failing_test(tmp_path: Path) -> None:
    tests = "".join(f"test('sum {n}', () => assert.equal({n}, 1000));\n" for n in range(40))
    (tmp_path / "many.test.js").write_text(f"const test = require('node:test'), assert = require('assert');\n{tests}")
    told = _told(_output(tmp_path, "node", "--test"))
    assert "sum 0" in told


@pytest.mark.skipif(shutil.which("javac") is None, reason="no javac on this machine")
def test_javac_tells_the_first_error_and_the_count(tmp_path: Path) -> None:
    lines = "".join(f'  int number{n} = "text";\n' for n in range(60))
    (tmp_path / "Many.java").write_text(f"class Many {{\n{lines}}}\n")
    told = _told(_output(tmp_path, "javac", "Many.java"))
    assert "Many.java:2: error: incompatible types" in told
    assert "60 errors" in told


NOISE = "".join(f"12:00:00.{n:03} ok src/module_{n}.ts compiled in {n} ms without trouble\n" for n in range(300))


@pytest.mark.parametrize(
    "error",
    [
        "src/app.ts(12,5): error TS2322: Type 'string' is not assignable to type 'number'.",
        "  12:7  error  'unused' is assigned a value but never used  no-unused-vars",
        "  ● sums › adds two numbers",
        " FAIL  src/sum.test.ts > sums > adds two numbers",
        "not ok 7 - adds two numbers",
        "error[E0308]: mismatched types",
        "thread 'sums' panicked at src/lib.rs:4:5:",
        "    --- FAIL: TestSum (0.00s)",
        "sum.go:12:2: undefined: total",
        "[ERROR] /workspace/src/main/java/App.java:[12,5] cannot find symbol",
        "> Task :app:compileJava FAILED",
        "make[2]: *** [Makefile:12: build] Error 1",
        "npm error Missing script: \"build\"",
        "ModuleNotFoundError: No module named 'queue_of_events'",
    ],
)  # fmt: skip
def test_the_first_error_survives_noise_before_and_more_errors_after_it(error: str) -> None:
    told = distil(f"{NOISE}{error}\n{NOISE}" + f"{error} again\n" * 500)
    for words in re.split(r"^\s*(?:●|FAIL|not ok \d+ -|thread '|npm error|\[ERROR\])|' panicked at |\s{2,}", error):
        assert words.replace("/workspace/", "").strip(" :") in told
    assert len(told) <= 2_000


def test_warnings_before_it_do_not_push_the_error_out() -> None:
    warnings = "src/app.py:12: DeprecationWarning: this is not found to be an error or a failure\n" * 200
    assert "assert 1 == 2" in distil(f"{warnings}E   assert 1 == 2\n{warnings}")


def test_a_progress_bar_is_told_as_it_ended() -> None:
    assert distil("10%\r50%\rdone: 3 files\r\nerror: no\n") == "done: 3 files\nerror: no"


@pytest.mark.parametrize(
    "secret",
    [
        "ghp_0123456789abcdefghijABCDEFGHIJ012345", "sk-ant-0123456789abcdefghij", "xoxb-0123456789-abcdef",
        "AKIAABCDEFGHIJKLMNOP", "glpat-0123456789abcdefghij", "npm_0123456789abcdefghijABCDEFGHIJ012345",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.signature",
    ],
)  # fmt: skip
@pytest.mark.parametrize("noise", ["", NOISE])
def test_a_secret_is_masked_wherever_it_stands(secret: str, noise: str) -> None:
    told = distil(f"{noise}error: the server said no to {secret}\n{noise}")
    assert "error: the server said no to " in told
    assert "•••" in told
    assert secret not in told


def test_passwords_and_private_keys_are_masked() -> None:
    key = "A1b2" * 16
    told = distil(
        "fatal: https://ada:hunter2@git.example/x\nclient_secret=abcdef0123456789\n"
        f"-----BEGIN RSA PRIVATE KEY-----\n{key}\n{key}\n-----END RSA PRIVATE KEY-----\n"
    )
    assert not any(word in told for word in ("hunter2", "abcdef0123456789", key))
    assert "git.example/x" in told


def test_what_a_skipped_check_did_not_say_is_not_called_green() -> None:
    passed = Check("unittest", "passed", 1.0, "Ran 3 tests")
    skipped = Check("ruff", "skipped", 0.0, "ruff is not installed on this machine.")
    assert explain([passed, skipped]) == (
        "All checks that ran are green: unittest (Ran 3 tests). "
        "Not checked: ruff (ruff is not installed on this machine)"
    )
    assert explain([skipped]).startswith("Nothing was checked: ruff")
    assert len(explain([Check(f"c{n}", "failed", 1.0, "x" * 2_000, "make") for n in range(50)])) < 12_000


def test_of_a_program_that_aborts_its_last_words_are_told() -> None:
    welcome = "Welcome! " + "We collect data. " * 40
    told = distil(f"{welcome}\nNo usable version of the libssl was found\nAborted\n", tool="dotnet restore")
    assert "No usable version of the libssl was found" in told


def test_why_pytest_could_not_import_a_file_is_told() -> None:
    trace = "tests/test_a.py:1: in &lt;module&gt;\n    import gone\nE   ModuleNotFoundError: No module named 'gone'"
    case = f'<testcase name="tests.test_a"><error message="collection failure">{trace}</error></testcase>'
    told = distil("", 2000, tool="pytest", reports=[Report("r.xml", f"<testsuite>{case}</testsuite>")])
    assert told == "tests/test_a.py:1: tests.test_a: ModuleNotFoundError: No module named 'gone'"
