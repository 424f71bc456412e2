"""Python: pyproject, requirements, pytest or unittest, ruff, mypy."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from honk.model import Command, HonkError
from honk.verify.plan import PROBES, Plan, SetUp, Tree, Verifier

_ENVIRONMENT = "$HOME/.honk-env"
"""Outside the tree, so that no tool wanders into it."""
_TEST_FILE = re.compile(r"(^|/)(test_[^/]*|[^/]*_test|tests?)\.py$")
_PYTEST_STYLE = re.compile(r"^\s*(import pytest|from pytest\b)|^(async )?def test_", re.MULTILINE)
_UNITTEST_STYLE = re.compile(r"\bunittest\b|\bTestCase\b")
_REQUIREMENTS = ("requirements.txt", "requirements-dev.txt", "requirements-test.txt", "dev-requirements.txt")
_LOOKED_AT = 40
"""Test files that are read to tell pytest from unittest."""


def detect_python(tree: Tree) -> Plan:
    """Checks for a Python project at the repository's root."""
    markers = [path for path in ("pyproject.toml", "setup.py", "setup.cfg", *_REQUIREMENTS) if path in tree.files]
    tests = sorted(path for path in tree.files if _TEST_FILE.search(path))
    if not markers and not tests:
        return Plan()
    project = _project(tree)
    tools = project.get("tool", {})
    verifiers = [*_ruff(tree, tools), *_mypy(tree, tools), *_tests(tree, tools, tests)]
    wanted = [tool for tool in ("ruff", "mypy", "pytest") if any(tool in verifier.needs for verifier in verifiers)]
    return Plan(verifiers, _set_up(tree, project, wanted) if verifiers else [])


def _ruff(tree: Tree, tools: dict[str, Any]) -> list[Verifier]:
    if "ruff" not in tools and not tree.first("ruff.toml", ".ruff.toml"):
        return []
    lint = Verifier("ruff", "ruff check .", "ruff is configured", needs=("ruff",))
    if "format" not in tools.get("ruff", {}):
        return [lint]
    return [lint, Verifier("ruff format", "ruff format --check .", "ruff format is configured", needs=("ruff",))]


def _mypy(tree: Tree, tools: dict[str, Any]) -> list[Verifier]:
    if "mypy" not in tools and not tree.first("mypy.ini", ".mypy.ini"):
        return []
    named = tools.get("mypy", {})
    in_file = re.search(r"^(files|packages|modules)\s*=", tree.text("mypy.ini") + tree.text(".mypy.ini"), re.MULTILINE)
    targets = "" if in_file or any(named.get(key) for key in ("files", "packages", "modules")) else " ."
    # As a module, so that it sees the packages of the environment that the tests run in.
    return [Verifier("mypy", f"python3 -m mypy{targets}", "mypy is configured", needs=("python3", "mypy"))]


def _tests(tree: Tree, tools: dict[str, Any], tests: Sequence[str]) -> list[Verifier]:
    if why := _pytest(tree, tools, tests):
        return [Verifier("pytest", "python3 -m pytest -q", why, needs=("python3", "pytest"))]
    if "django" in tree.text("manage.py").lower():
        return [Verifier("django test", "python3 manage.py test", "manage.py is Django's", needs=("python3",))]
    looked_at = tests[:_LOOKED_AT]
    found = [path for path in looked_at if _UNITTEST_STYLE.search(tree.text(path))]
    if not found:
        return []
    command = _unittest(tree, [*found, *tests[_LOOKED_AT:]])
    return [Verifier("unittest", command, f"{found[0]} holds unittest tests", needs=("python3",))]


def _project(tree: Tree) -> dict[str, Any]:
    try:
        return tomllib.loads(tree.text("pyproject.toml"))
    except tomllib.TOMLDecodeError:
        return {}


def _pytest(tree: Tree, tools: dict[str, Any], tests: Sequence[str]) -> str | None:
    """Why pytest is the way to run this repository's tests, or None."""
    if "pytest" in tools:
        return "pyproject.toml configures pytest"
    if found := tree.first("pytest.ini", ".pytest.ini", "conftest.py", "tests/conftest.py", "test/conftest.py"):
        return f"{found} is there"
    sections = (("tox.ini", "[pytest]"), ("setup.cfg", "[tool:pytest]"))
    if named := next((path for path, needle in sections if needle in tree.text(path)), None):
        return f"{named} configures pytest"
    if not tests:
        return None
    for path in ("pyproject.toml", *_REQUIREMENTS):
        if re.search(r"\bpytest\b", tree.text(path)):
            return f"{path} names pytest"
    styled = (path for path in tests[:_LOOKED_AT] if _PYTEST_STYLE.search(tree.text(path)))
    return next((f"{path} holds pytest tests" for path in styled), None)


def _unittest(tree: Tree, tests: Sequence[str]) -> str:
    """One discovery for each folder that it has to start from: unittest does not go down into folders that are no
    packages, and refuses to start in one if told another top folder."""
    patterns = {path.rpartition("/")[2] for path in tests}
    pattern = "test*.py" if all(name.startswith("test") for name in patterns) else "*test*.py"
    starts: dict[str, None] = {}
    for path in tests:
        top = start = PurePosixPath(path).parent
        while str(top) != "." and f"{top}/__init__.py" in tree.files:
            start, top = top, top.parent
        place = "" if str(start) == "." else f" -s {shlex.quote(str(start))}"
        starts[place if top == start else f"{place} -t {shlex.quote(str(top))}"] = None
    lines = [f"python3 -m unittest discover{place} -p {shlex.quote(pattern)}" for place in starts]
    if len(lines) == 1:
        return lines[0]
    return "red=0; " + "; ".join(f"{line} || red=1" for line in lines) + "; exit $red"


def _set_up(tree: Tree, project: dict[str, Any], wanted: list[str]) -> list[SetUp]:
    """An environment of its own, unless what is needed is there already."""
    described = project.get("project", {})
    installs: list[str] = []
    if described.get("dependencies") or described.get("optional-dependencies") or "build-system" in project:
        extras = [
            name for name in ("dev", "test", "tests", "testing") if name in described.get("optional-dependencies", {})
        ]
        installs.append(f"-e {shlex.quote('.[' + ','.join(extras) + ']' if extras else '.')}")
    elif "setup.py" in tree.files:
        installs.append("-e .")
    installs += [f"-r {path}" for path in _REQUIREMENTS if path in tree.files]
    installs += [f"--group {name}" for name in ("dev", "test") if name in project.get("dependency-groups", {})]
    missing = _missing(tree, wanted)
    if not installs and not missing:
        return []
    what = " ".join([*installs, *missing])
    upgrade = (
        f"{_ENVIRONMENT}/bin/python -m pip install -q --disable-pip-version-check --retries 1 -U 'pip>=25.1' && "
        if "--group" in what
        else ""
    )
    command = (
        f"python3 -m venv --system-site-packages {_ENVIRONMENT} && {upgrade}"
        f"{_ENVIRONMENT}/bin/python -m pip install -q --disable-pip-version-check --retries 1 {what}"
    )
    return [SetUp(command, "the project's dependencies and its check tools", path=f"{_ENVIRONMENT}/bin")]


def _missing(tree: Tree, wanted: Sequence[str]) -> list[str]:
    """Those of the tools that the sandbox does not have."""
    if not wanted:
        return []
    line = "; ".join(f"{PROBES.get(tool, f'command -v {tool}')} >/dev/null 2>&1 && echo {tool}" for tool in wanted)
    try:
        present = tree.checkout.run(Command(("sh", "-c", f"{line}; true"))).output.split()
    except HonkError:
        # The first check will meet the same and say so.
        return []
    return [tool for tool in wanted if tool not in present]
