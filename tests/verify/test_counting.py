"""How many tests passed, by the logs of real runners."""

from __future__ import annotations

import lzma
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from honk.verify.counting import passed_tests, reported_tests

LOGS = Path(__file__).parent / "corpus" / "logs"
COUNTS = {
    "ava-tap": 300, "bats": 150, "bazel-test": 90, "cargo-test": 60, "django": 152, "go-test-verbose": 301,
    "jest": 360, "jest-color": 360, "maven-test": 252, "mocha": 360, "node-test": 360, "node-test-tap": 360,
    "nox": 161, "pytest-many": 6, "pytest-quiet": 321, "pytest-verbose-color": 321, "pytest-xdist": 161, "tox": 321,
    "unittest-verbose": 303, "vitest": 360, "make-many-tools": 161, "npm-chain": 360,
}  # fmt: skip
UNTOLD = ("go-vet", "eslint", "cargo-clippy", "mypy", "ruff", "tsc", "go-test-json", "not-utf-8", "unknown-tool")


def log(name: str) -> str:
    return lzma.decompress((LOGS / f"{name}.log.xz").read_bytes()).decode("utf-8", "replace")


@pytest.mark.parametrize(("name", "count"), COUNTS.items())
def test_each_runner_tells_how_many_passed(name: str, count: int) -> None:
    assert passed_tests(log(name)) == count


@pytest.mark.parametrize("name", UNTOLD)
def test_what_runs_no_tests_tells_nothing(name: str) -> None:
    assert passed_tests(log(name)) is None


def test_what_several_runners_tell_is_added_up() -> None:
    assert passed_tests(log("tox") + "\n" + log("jest") + "\n" + log("cargo-test")) == 321 + 360 + 60


def test_tests_that_were_skipped_did_not_pass(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import unittest\n\n\nclass T(unittest.TestCase):\n    def test_a(self):\n        pass\n\n"
        "    @unittest.skip('later')\n    def test_b(self):\n        pass\n"
    )
    told = []
    for runner in (["unittest"], ["pytest", "-q", "-p", "no:cacheprovider", "--junitxml=report.xml"]):
        done = subprocess.run([sys.executable, "-m", *runner], cwd=tmp_path, capture_output=True, text=True, check=True)
        told.append(passed_tests(done.stdout + done.stderr))
    assert told == [1, 1]
    assert reported_tests((tmp_path / "report.xml").read_text()) == 1


@pytest.mark.skipif(shutil.which("go") is None, reason="there is no go on this machine")
def test_a_go_test_that_ends_before_its_tests_counts_none(tmp_path: Path) -> None:
    (tmp_path / "go.mod").write_text("module example.com/shop\n\ngo 1.18\n")
    (tmp_path / "shop_test.go").write_text('package shop\n\nimport "testing"\n\nfunc TestIt(t *testing.T) {}\n')
    counts = []
    for text in ("package shop\n", 'package shop\n\nimport "os"\n\nfunc init() { os.Exit(0) }\n'):
        (tmp_path / "shop.go").write_text(text)
        done = subprocess.run(
            ["go", "test", "-v", "./..."], cwd=tmp_path, env=os.environ | {"GOFLAGS": "-mod=mod"},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        counts.append(passed_tests(done.stdout))
    assert counts == [1, None]
