"""What a change does to the checks that are found: whichever file says it, what is looked at less is held up."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from honk.findings import usual_treatment
from honk.model import Finding
from honk.repository_file import parse_repository_file
from honk.verify import plan_changes
from tests.verify.checkouts import Listed

PROJECT = {
    "pyproject.toml": "[project]\nname = 'shop'\n[tool.ruff]\n[tool.mypy]\nstrict = true\n[tool.pytest.ini_options]\n",
    "src/shop.py": "x = 1\n",
    "src/more.py": "y = 1\n",
    "tests/test_shop.py": "def test_it():\n    assert True\n",
}
MAKE = {"Makefile": "lint:\n\truff check src tests\n\tmypy src\n"}


def found(before: Mapping[str, str], after: Mapping[str, str], honk_yaml: str = "") -> list[Finding]:
    changed = [path for path in {*before, *after} if before.get(path) != after.get(path)]
    return plan_changes(Listed(before), Listed(after), parse_repository_file(honk_yaml), changed)


def held(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """The checks about which a person is asked."""
    return sorted(one.path for one in found(before, after) if usual_treatment(one) == "protect")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("scripts/lint", "#!/bin/sh\nruff check src/shop.py\n"),
        ("scripts/lint", "#!/bin/sh\nruff check --exit-zero .\n"),
        ("Makefile", "lint:\n\truff check src/shop.py\n"),
        ("tox.ini", "[testenv:lint]\ncommands = ruff check --ignore F401 .\n"),
        (".github/workflows/ci.yml", "jobs:\n  lint:\n    steps:\n      - run: ruff check src/shop.py\n"),
        ("pyproject.toml", PROJECT["pyproject.toml"] + "[tool.poe.tasks]\nlint = 'ruff check src/shop.py'\n"),
        (
            ".pre-commit-config.yaml",
            "repos:\n- repo: https://github.com/astral-sh/ruff-pre-commit\n  rev: v0.6.0\n"
            "  hooks:\n  - id: ruff\n    exclude: ^src/\n",
        ),
    ],
)
def test_a_tool_that_looks_at_less_or_less_closely_waits_for_a_person(path: str, text: str) -> None:
    assert "ruff" in held(PROJECT, PROJECT | {path: text})


def test_what_was_looked_at_and_is_no_longer_is_told_with_both_lines() -> None:
    before = PROJECT | MAKE
    (finding,) = found(before, before | {"Makefile": MAKE["Makefile"].replace("src tests", "src")})
    assert (finding.kind, finding.severity, finding.path) == ("checks-changed", "serious", "ruff")
    assert "check --output-format=concise src`; before the change it was" in finding.message


def test_more_to_look_at_new_tools_and_what_is_gone_hold_nobody_up() -> None:
    before = PROJECT | MAKE
    assert found(before, before | {"Makefile": MAKE["Makefile"].replace("mypy src", "mypy src tests")}) == []
    assert found(before, before | {"pyproject.toml": PROJECT["pyproject.toml"] + "[tool.black]\n"}) == []
    assert found(before, before | {"src/shop.py": "x = 2\n", "src/new.py": ""}) == []
    gone = {path: text for path, text in before.items() if path != "tests/test_shop.py"}
    assert held(before, gone | {"Makefile": "lint:\n\truff check src\n\tmypy src\n"}) == []


def test_a_check_that_is_no_longer_run_is_told_and_one_in_its_place_takes_the_weight_off() -> None:
    without = PROJECT | {"pyproject.toml": PROJECT["pyproject.toml"].replace("[tool.mypy]\nstrict = true\n", "")}
    assert held(PROJECT, without) == ["mypy"]
    black = {"pyproject.toml": "[tool.black]\n", "shop.py": "x = 1\n"}
    (finding,) = found(black, black | {"pyproject.toml": "[tool.ruff.format]\n"})
    assert (finding.path, finding.severity) == ("black", "warning")


def test_a_project_that_is_gone_takes_its_checks_with_it() -> None:
    other = {f"old/{path}": text for path, text in PROJECT.items()}
    assert found(PROJECT | other, PROJECT) == []


def test_what_honk_yaml_names_is_the_base_s_own() -> None:
    assert found(PROJECT, {}, "verify: {test: 'true'}") == []
