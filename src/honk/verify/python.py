"""Python: pyproject, requirements, pytest or unittest, ruff, mypy."""

from __future__ import annotations

import re
import shlex
import tomllib
from typing import Any

from honk.model import Command
from honk.verify.plan import Plan, SetUp, Tree, Verifier

_ENVIRONMENT = "$HOME/.honk-env"
"""Outside the tree, so that no tool wanders into it."""
_TEST_FILE = re.compile(r"(^|/)(test_[^/]*|[^/]*_test|tests?)\.py$")
_PYTEST_STYLE = re.compile(r"^\s*(import pytest|from pytest\b)|^(async )?def test_", re.MULTILINE)
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
    verifiers: list[Verifier] = []
    wanted: list[str] = []
    if "ruff" in tools or tree.first("ruff.toml", ".ruff.toml"):
        verifiers.append(Verifier("ruff", "ruff check .", "ruff is configured", needs=("ruff",)))
        if "format" in tools.get("ruff", {}):
            verifiers.append(
                Verifier("ruff format", "ruff format --check .", "ruff format is configured", needs=("ruff",))
            )
        wanted.append("ruff")
    if "mypy" in tools or tree.first("mypy.ini", ".mypy.ini"):
        targets = "" if tools.get("mypy", {}).get("files") or tools.get("mypy", {}).get("packages") else " ."
        verifiers.append(Verifier("mypy", f"mypy{targets}", "mypy is configured", needs=("mypy",)))
        wanted.append("mypy")
    if why := _pytest(tree, tools, tests):
        verifiers.append(Verifier("pytest", "python3 -m pytest -q", why, needs=("python3", "pytest")))
        wanted.append("pytest")
    elif tests:
        verifiers.append(Verifier("unittest", _unittest(tests), f"{tests[0]} holds unittest tests", needs=("python3",)))
    return Plan(verifiers, _set_up(tree, project, wanted) if verifiers else [])


def _project(tree: Tree) -> dict[str, Any]:
    try:
        return tomllib.loads(tree.text("pyproject.toml"))
    except tomllib.TOMLDecodeError:
        return {}


def _pytest(tree: Tree, tools: dict[str, Any], tests: list[str]) -> str | None:
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


def _unittest(tests: list[str]) -> str:
    top = {path.partition("/")[0] for path in tests if "/" in path}
    if len(top) == 1 and all("/" in path for path in tests):
        return f"python3 -m unittest discover -s {shlex.quote(next(iter(top)))} -t . -p '*test*.py'"
    return "python3 -m unittest discover -p '*test*.py'"


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


def _missing(tree: Tree, wanted: list[str]) -> list[str]:
    """Those of the tools that the sandbox does not have."""
    if not wanted:
        return []
    line = "; ".join(f"python3 -m {tool} --version >/dev/null 2>&1 && echo {tool}" for tool in wanted)
    present = tree.checkout.run(Command(("sh", "-c", f"{line}; true"))).output.split()
    return [tool for tool in wanted if tool not in present]
