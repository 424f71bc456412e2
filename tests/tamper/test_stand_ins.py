"""Modules in the way of the checks' tools: held up exactly where Python would take them."""

from __future__ import annotations

import pytest

from honk.model import ChangedFile
from honk.verify.tamper import guard_each
from tests.tamper.table import Files, changed, held_up

PROJECT = "[project]\nname = 'prices'\n[build-system]\nrequires = ['hatchling']\n"
PLAIN = {"pyproject.toml": PROJECT, "src/prices/__init__.py": "", "tests/test_prices.py": ""}
BACKEND = {"backend/pyproject.toml": PROJECT, "backend/tests/test_prices.py": "", "web/index.js": ""}
PACKAGED = {**PLAIN, "tests/__init__.py": ""}
HONK = "verify:\n  test: {run: pytest -q, directory: backend}\n"

# What stands there, the new module, and whether Python would take it.
PLACES: dict[str, tuple[dict[str, str], str, bool]] = {
    "a runner in the root": (PLAIN, "pytest.py", True),
    "a runner in a project of a folder": (BACKEND, "backend/pytest.py", True),
    "a package of that name there": (BACKEND, "backend/pytest/__init__.py", True),
    "a compiled one there": (BACKEND, "backend/pytest.pyc", True),
    "an extension there": (BACKEND, "backend/json.cpython-311-x86_64-linux-gnu.so", True),
    "a plugin of the runner's there": (BACKEND, "backend/pytest_cov.py", True),
    "Python's own, there": (BACKEND, "backend/subprocess.py", True),
    "Python's own, in the root of another project": (BACKEND, "json.py", False),
    "Python's own, beside the checks' project": (BACKEND, "web/json.py", False),
    "Python's own, within a package": (PLAIN, "src/prices/json.py", False),
    "what Python has a copy of within": (PLAIN, "os.py", False),
    "beside tests of unittest": (PLAIN, "tests/json.py", True),
    "beside tests of pytest": ({**PLAIN, "requirements.txt": "pytest\n"}, "tests/sqlite3.py", True),
    "beside tests of pytest, which imports it itself": (
        {**PLAIN, "requirements.txt": "pytest\n"},
        "tests/json.py",
        False,
    ),
    "beside tests, where it is imported already": (PLAIN, "tests/types.py", False),
    "beside tests that are a package": (PACKAGED, "tests/json.py", False),
    "beside tests that are imported otherwise": (
        {**PLAIN, "pytest.ini": "[pytest]\naddopts = --import-mode=importlib\n"},
        "tests/json.py",
        False,
    ),
    "beside a conftest": ({**PLAIN, "checks/conftest.py": ""}, "checks/sqlite3.py", True),
    "in what an installed project adds at the end": (PLAIN, "src/json.py", False),
    "a runner in what an installed project adds": (PLAIN, "src/pytest.py", True),
    "what Python starts with, there": (PLAIN, "src/sitecustomize.py", True),
    "what Python starts with, for the user, there": (PLAIN, "src/usercustomize.py", True),
    "what Python starts with, in another source folder": (
        {**PLAIN, "pyproject.toml": PROJECT + "[tool.setuptools.packages.find]\nwhere = ['lib']\n"},
        "lib/sitecustomize.py",
        True,
    ),
    "what Python starts with, where nothing is installed": (
        {"tests/test_prices.py": "", "requirements.txt": "pytest\n"},
        "tools/sitecustomize.py",
        False,
    ),
    "in a folder that pytest is told of": (
        {**PLAIN, "pyproject.toml": PROJECT + "[tool.pytest.ini_options]\npythonpath = ['vendored', '.']\n"},
        "vendored/sqlite3.py",
        True,
    ),
    "in a folder that pytest is told of, beside data": (
        {**PLAIN, "backend/pytest.ini": "[pytest]\npythonpath = fixtures lib\n"},
        "backend/fixtures/sqlite3.py",
        True,
    ),
    "in a folder that Python is told of": (
        {**PLAIN, "tox.ini": "[testenv]\nsetenv =\n    PYTHONPATH = {toxinidir}/stubs\ncommands = pytest\n"},
        "stubs/site.py",
        True,
    ),
    "in a folder that nobody is told of": (PLAIN, "stubs/site.py", False),
    "where honk.yaml starts the runner itself": ({**BACKEND, "honk.yaml": HONK}, "backend/json.py", False),
    "where honk.yaml starts Python": (
        {**BACKEND, "honk.yaml": HONK.replace("pytest -q", "python3 -m pytest")},
        "backend/json.py",
        True,
    ),
    "where honk.yaml goes to": ({"honk.yaml": "verify:\n  test: cd a/b && make test\n"}, "a/b/json.py", True),
    "where honk.yaml does not go": ({"honk.yaml": "verify:\n  test: cd a/b && make test\n"}, "a/json.py", False),
    "a folder of unit tests": (PACKAGED, "tests/unittest/__init__.py", False),
    "an example in what tests read": (PLAIN, "tests/fixtures/project/pytest.py", False),
}


@pytest.fixture(scope="module")
def found():
    looked = guard_each(
        [[changed(path, None, "print('1 passed')\n")] for _, path, _ in PLACES.values()],
        [Files({**there, path: ""}) for there, path, _ in PLACES.values()],
    )
    return dict(zip(PLACES, looked, strict=True))


@pytest.mark.parametrize("name", PLACES)
def test_a_module_is_held_up_where_python_would_take_it(name, found):
    assert held_up(found[name]) == PLACES[name][2], found[name]


def test_the_base_s_honk_yaml_says_where_checks_start():
    before, after = HONK.replace("pytest -q", "python3 -m pytest"), HONK
    change = [changed("honk.yaml", before, after), changed("backend/json.py", None, "")]
    (findings,) = guard_each([change], [Files({**BACKEND, "honk.yaml": after, "backend/json.py": ""})])

    assert any(one.path == "backend/json.py" and one.severity == "serious" for one in findings)


def test_the_person_is_told_why_it_would_be_taken():
    (findings,) = guard_each([[changed("backend/json.py", None, "")]], [Files({**BACKEND, "backend/json.py": ""})])

    assert [one.message for one in findings] == [
        "Where `json` is imported or run, this runs in its place: the checks start Python in this folder."
    ]


def test_what_lay_aside_and_is_looked_for_now_is_held_up():
    there = {**PLAIN, "old/sqlite3.py": "", "pyproject.toml": PROJECT}
    told = PROJECT + "[tool.pytest.ini_options]\npythonpath = ['old']\n"
    harmless = PROJECT + "[tool.pytest.ini_options]\npythonpath = ['src']\n"

    first, second = guard_each(
        [[changed("pyproject.toml", PROJECT, text)] for text in (told, harmless)],
        [Files({**there, "pyproject.toml": text}) for text in (told, harmless)],
    )

    assert held_up(first)
    assert "`old/sqlite3.py` runs in place of `sqlite3`" in "".join(one.message for one in first)
    assert not held_up(second)


def test_a_link_of_that_name_is_one_too():
    links = [("backend/pytest", "../other"), ("backend/pytest.py", "../other.py")]
    looked = guard_each(
        [[ChangedFile(path, None, target.encode(), None, "120000")] for path, target in links],
        [Files({**BACKEND, path: ""}) for path, _ in links],
    )

    assert [held_up(findings) for findings in looked] == [True, True]


def test_what_lies_in_installed_packages_is_held_up_wherever_the_project_is():
    new, changed_one, data = guard_each(
        [
            [changed("web/node_modules/.bin/jest", None, "exit 0\n")],
            [changed("web/node_modules/jest/index.js", "a\n", "b\n")],
            [changed("tests/fixtures/node_modules/a/index.js", None, "a\n")],
        ]
    )

    assert held_up(new)
    assert [one.severity for one in changed_one if one.kind == "checks-changed"] == ["warning"]
    assert not held_up(data)
