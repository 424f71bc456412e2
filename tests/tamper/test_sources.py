"""Tools that come from elsewhere, and settings that a new file hides."""

from __future__ import annotations

import json

import pytest

from honk.verify.tamper import guard_each
from tests.tamper.table import Files, changed, held_up

PACKAGE = {"devDependencies": {"vitest": "^3.0.0", "eslint": "^9.0.0"}}
PYPROJECT = """\
[project]
name = "prices"
[tool.mypy]
strict = true
[tool.ruff.lint]
select = ["E", "F", "B"]
[tool.coverage.report]
fail_under = 90
"""
TOOLS = {
    "from a folder": ("vitest", "file:tools/vitest", True),
    "under another name": ("vitest", "npm:quiet@1.0.0", True),
    "from a repository": ("eslint", "somebody/eslint#main", True),
    "in another version": ("vitest", "^3.1.0", False),
    "of the workspace": ("@prices/vitest-preset", "workspace:*", False),
    "what no check is run with": ("left-pad", "file:tools/left-pad", False),
}


def test_a_tool_that_comes_from_elsewhere_waits_for_a_person():
    changes = []
    for name, version, _ in TOOLS.values():
        after = {"devDependencies": {**PACKAGE["devDependencies"], name: version}}
        changes.append([changed("package.json", json.dumps(PACKAGE), json.dumps(after))])
    changes.append([changed("pyproject.toml", PYPROJECT, PYPROJECT + "[tool.uv.sources]\npytest = {path = 'tools'}\n")])
    changes.append([changed("pyproject.toml", PYPROJECT, PYPROJECT + "[tool.uv.sources]\nsums = {path = 'sums'}\n")])

    looked = [held_up(findings) for findings in guard_each(changes)]

    assert looked == [*(held for *_, held in TOOLS.values()), True, False]


# The new file, what it says, and the kind that is held up.
HIDING = {
    "mypy's, empty": ("mypy.ini", "[mypy]\n", "rule-switched-off"),
    "mypy's, with as much": ("mypy.ini", "[mypy]\nstrict = True\n", None),
    "ruff's, with less": ("ruff.toml", "line-length = 120\n", "rule-switched-off"),
    "ruff's, in addition": ("ruff.toml", "extend = 'pyproject.toml'\nline-length = 120\n", None),
    "ruff's, for another folder": ("tools/ruff.toml", "line-length = 120\n", None),
    "coverage's, without a threshold": (".coveragerc", "[run]\nsource = prices\n", "coverage-lowered"),
    "another tool's": (".bandit", "[bandit]\n", None),
}


@pytest.fixture(scope="module")
def found():
    looked = guard_each(
        [[changed(path, None, text)] for path, text, _ in HIDING.values()],
        [Files({"pyproject.toml": PYPROJECT, path: text}) for path, text, _ in HIDING.values()],
    )
    return dict(zip(HIDING, looked, strict=True))


@pytest.mark.parametrize("name", HIDING)
def test_settings_that_a_new_file_hides_are_switched_off(name, found):
    held = {one.kind for one in found[name] if one.severity == "serious"}

    assert held == ({HIDING[name][2]} if HIDING[name][2] else set())


def test_settings_that_moved_into_the_new_file_are_not_hidden():
    before, after = PYPROJECT, PYPROJECT.replace("[tool.mypy]\nstrict = true\n", "")
    change = [changed("pyproject.toml", before, after), changed("mypy.ini", None, "[mypy]\nstrict = True\n")]
    (findings,) = guard_each([change], [Files({"pyproject.toml": after, "mypy.ini": ""})])

    assert not any(one.severity == "serious" for one in findings)
