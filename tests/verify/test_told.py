"""What is told of a check that ran in the real sandbox: bounded, with reports read, with what was refused quoted."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from honk.model import Check, Repository
from honk.repository_file import parse_repository_file
from honk.settings import read_settings
from honk.verify import Conditions, verify
from honk.workspace import Workspaces

pytestmark = pytest.mark.usefixtures("sandbox")

Run = Callable[..., Check]


@pytest.fixture
def run(home: Path, make_repository: Callable[..., Path]) -> Run:
    """The result of a repository's only check."""

    def run(line: str, files: dict[str, str] | None = None, **given: int) -> Check:
        text = f"egress: [other.example]\nverify:\n  test: |\n    {line}\n"
        repo = make_repository({"honk.yaml": text} | (files or {}))
        repository = Repository("project", str(repo), str(repo), "main")
        workspaces = Workspaces(read_settings(home=home))
        with workspaces.checkout(repository, workspaces.fetch(repository)) as checkout:
            return verify(checkout, parse_repository_file(text), Conditions(**given))[0]

    return run


def test_of_more_than_is_kept_the_first_error_and_the_last_words_are_told(run: Run) -> None:
    check = run("echo 'error: no such article'; yes 'all is well here' | head -c 60000000; echo 'gave up'; exit 1")
    assert check.status == "failed"
    assert check.summary.startswith("error: no such article")
    assert check.summary.endswith("gave up")
    assert len(check.summary) <= 2_000


def test_an_error_in_the_middle_of_more_than_is_kept_is_told(run: Run) -> None:
    noise = "yes 'all is well here' 2>/dev/null | head -n 1500000"
    check = run(f"{noise}; echo 'orders.c:4:2: error: no such article'; {noise}; exit 1")
    assert check.summary.startswith("orders.c:4:2: error: no such article")


def test_output_that_is_no_text_is_told_as_far_as_it_is(run: Run) -> None:
    check = run(r"head -c 300000 /dev/urandom; printf '\nerror: the file k\344se is missing\n'; exit 1")
    assert "error: the file k\ufffdse is missing" in check.summary


def test_a_report_for_machines_is_read_where_the_check_writes_one(run: Run) -> None:
    report = (
        '<testsuite><testcase classname="shop.SumsTest" name="adds"><failure message="expected 3, was 4">'
        "\tat shop.SumsTest.adds(SumsTest.java:12)</failure></testcase></testsuite>"
    )
    line = "mkdir -p target; cp kept.txt target/TEST-shop.xml; echo 'There are test failures.'; exit 1"
    told = run(line, {"kept.txt": report, "old/TEST-old.xml": report.replace("adds", "of_last_year")}).summary
    assert told == "SumsTest.java:12: shop.SumsTest.adds: expected 3, was 4"


def test_the_setting_bounds_what_is_told(run: Run) -> None:
    line = 'for n in $(seq 900); do echo "src/a$n.c:1:1: error: number $n is not declared in this scope"; done; exit 1'
    assert len(run(line, characters=300).summary) <= 300


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine")
def test_what_was_refused_is_quoted(run: Run) -> None:
    noise = 'for n in $(seq 2000); do echo "src/a$n.c:1:1: error: number $n is not declared in this scope"; done'
    told = run(f"curl -sS --max-time 9 https://elsewhere.example/; {noise}; exit 1").summary
    assert "It tried to reach elsewhere.example:443, which is not in `egress` of honk.yaml. It said: curl: (" in told


WRAPPER = "exec java -classpath gradle/wrapper/gradle-wrapper.jar org.gradle.wrapper.GradleWrapperMain"


@pytest.mark.parametrize(
    ("line", "files", "told"),
    [
        ("./gradlew check", {}, "./gradlew is not in the repository: commit it (`gradle wrapper` makes it)."),
        (
            "./gradlew check",
            {"gradlew": ""},
            "(`git update-index --chmod=+x gradlew`) or name its interpreter (`sh ./g",
        ),
        ("cat none/here; no-such-program", {}, "A program is missing on this machine, no-such-program: install it"),
        ("bash ./tools/mvnw test", {}, "./tools/mvnw is not in the repository: commit it (`mvn wrapper:wrapper` makes"),
        pytest.param(
            "sh ./gradlew check",
            {"gradlew": f'{WRAPPER} "$@"\n'},
            "gradle/wrapper/gradle-wrapper.jar is not in the repository, and gradlew does nothing without it",
            marks=pytest.mark.skipif(shutil.which("java") is None, reason="no Java on this machine"),
        ),
    ],
)
def test_what_is_missing_of_a_wrapper_is_told_with_what_to_do(
    run: Run, line: str, files: dict[str, str], told: str
) -> None:
    check = run(line, files)
    assert check.status == "failed"
    assert told in check.summary
