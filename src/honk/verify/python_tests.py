"""How a Python project's tests are run: pytest, Django's own runner, unittest, and else what tox or nox say."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from honk.verify.plan import LeftOut, Plan, Verifier, named
from honk.verify.python_set_up import REQUIREMENTS
from honk.verify.tree import Tree, join, table

TEST_FILE = re.compile(r"(^|/)(test_[^/]*|[^/]*_test|tests?)\.py$")
_REPORT = ".honk/pytest.xml"
"""Where its report for machines goes, from which the reasons are read."""
_PYTEST_STYLE = re.compile(r"^[ \t]*(import pytest|from pytest\b)|^(async )?def test_", re.MULTILINE)
_UNITTEST_STYLE = re.compile(r"\bunittest\b|\bTestCase\b")
LOOKED_AT = 40
"""Test files that are read to tell pytest from unittest."""
_SESSIONS = ("tests", "test", "pytest", "unit", "unittest", "unit_tests")
_SETTINGS = ("pyproject.toml", "pytest.ini", ".pytest.ini", "tox.ini", "setup.cfg")


def tests(tree: Tree, place: str, tools: Mapping[str, Any], test_files: Sequence[str], nested: Sequence[str]) -> Plan:
    """The project's tests, and what would only run them again. `nested` are the folders of projects below it."""
    direct = _direct(tree, place, tools, test_files, nested)
    around = [*_tox(tree, place), *_nox(tree, place)]
    if direct:
        why = f"{direct.name} runs the same tests, without an environment of its own"
        return Plan([direct], left_out=[LeftOut(one.name, why) for one in around])
    why = f"{around[0].name} runs them" if around else ""
    return Plan(around[:1], left_out=[LeftOut(one.name, why) for one in around[1:]])


def _direct(
    tree: Tree, place: str, tools: Mapping[str, Any], test_files: Sequence[str], nested: Sequence[str]
) -> Verifier | None:
    if why := _pytest(tree, place, tools, test_files):
        settings = "".join(tree.text(join(place, name)) for name in _SETTINGS)
        tested = [other for other in nested if any(TEST_FILE.search(path) for path in tree.below(other))]
        apart = [] if "testpaths" in settings else [f"--ignore={shlex.quote(_from(place, other))}" for other in tested]
        words = ["python3 -m pytest -q", *([] if "no:junitxml" in settings else [f"--junitxml={_REPORT}"]), *apart]
        return Verifier(
            named("pytest", place),
            " ".join(words),
            why,
            place,
            needs=("python3", "pytest"),
            kind="test",
            tools=("pytest",),
        )
    if "django" in tree.text(join(place, "manage.py")).lower():
        name, command = named("django test", place), "python3 manage.py test"
        return Verifier(name, command, "manage.py is Django's", place, needs=("python3",), kind="test")
    found = [path for path in test_files[:LOOKED_AT] if _UNITTEST_STYLE.search(tree.text(path))]
    if not found:
        return None
    command = _unittest(tree, place, [*found, *test_files[LOOKED_AT:]])
    why, name = f"{found[0]} holds unittest tests", named("unittest", place)
    return Verifier(name, command, why, place, needs=("python3",), kind="test", tools=("unittest",))


def _from(place: str, path: str) -> str:
    return path if place == "." else path.removeprefix(place + "/")


def _pytest(tree: Tree, place: str, tools: Mapping[str, Any], test_files: Sequence[str]) -> str | None:
    """Why pytest is the way to run this project's tests, or None."""
    if "pytest" in tools:
        return f"{join(place, 'pyproject.toml')} configures pytest"
    names = ("pytest.ini", ".pytest.ini", "conftest.py", "tests/conftest.py", "test/conftest.py")
    if found := tree.first(place, *names):
        return f"{found} is there"
    sections = (("tox.ini", "[pytest]"), ("setup.cfg", "[tool:pytest]"))
    if told := next((join(place, path) for path, needle in sections if needle in tree.text(join(place, path))), None):
        return f"{told} configures pytest"
    if not test_files:
        return None
    for path in (join(place, name) for name in ("pyproject.toml", *REQUIREMENTS, "tox.ini", "noxfile.py")):
        if re.search(r"\bpytest\b", tree.text(path)):
            return f"{path} names pytest"
    styled = (path for path in test_files[:LOOKED_AT] if _PYTEST_STYLE.search(tree.text(path)))
    return next((f"{path} holds pytest tests" for path in styled), None)


def _unittest(tree: Tree, place: str, test_files: Sequence[str]) -> str:
    """One discovery for each folder that it has to start from: unittest does not go down into folders that are no
    packages, and refuses to start in one if told another top folder."""
    paths = [_from(place, path) for path in test_files]
    pattern = "test*.py" if all(PurePosixPath(path).name.startswith("test") for path in paths) else "*test*.py"
    starts: dict[str, None] = {}
    for path in paths:
        top = start = PurePosixPath(path).parent
        while str(top) != "." and join(place, f"{top}/__init__.py") in tree:
            start, top = top, top.parent
        where = "" if str(start) == "." else f" -s {shlex.quote(str(start))}"
        starts[where if top == start else f"{where} -t {shlex.quote(str(top))}"] = None
    lines = [f"python3 -m unittest discover{where} -p {shlex.quote(pattern)}" for where in starts]
    if len(lines) == 1:
        return lines[0]
    return "red=0; " + "; ".join(f"{line} || red=1" for line in lines) + "; exit $red"


def _tox(tree: Tree, place: str) -> list[Verifier]:
    told = table(tree.toml(join(place, "pyproject.toml")), "tool")
    found = tree.first(place, "tox.ini", "tox.toml") or (join(place, "pyproject.toml") if "tox" in told else None)
    if not found or (found.endswith("tox.ini") and "[testenv" not in tree.text(found)):
        return []
    # `py` is the environment of the Python that runs it: the others are not on this machine.
    return [_own_environment("tox", "tox run -e py", f"{found} is there", place)]


def _nox(tree: Tree, place: str) -> list[Verifier]:
    path = join(place, "noxfile.py")
    sessions = [name for name in _sessions(tree.text(path)) if name in _SESSIONS]
    if not sessions:
        return []
    why = f"{path} has the session {sessions[0]}"
    return [_own_environment("nox", f"nox --non-interactive --session {sessions[0]}", why, place)]


def _own_environment(tool: str, command: str, why: str, place: str) -> Verifier:
    return Verifier(
        named(tool, place), command, why, place, 1800.0, needs=(tool,), registries=True, kind="test", tools=(tool,)
    )


def _sessions(text: str) -> list[str]:
    """The names of a noxfile's sessions: functions that are decorated with `nox.session`."""
    try:
        parsed = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    found = []
    for node in parsed.body:
        for mark in node.decorator_list if isinstance(node, ast.FunctionDef) else []:
            called = mark.func if isinstance(mark, ast.Call) else mark
            named_so = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            if named_so == "session" and isinstance(node, ast.FunctionDef):
                keywords = {one.arg: one.value for one in mark.keywords} if isinstance(mark, ast.Call) else {}
                told = keywords.get("name")
                found.append(str(told.value) if isinstance(told, ast.Constant) else node.name)
    return found
