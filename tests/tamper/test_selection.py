"""Settings that leave tests out: held up when tests that are there ran before and do no longer."""

from __future__ import annotations

from textwrap import dedent

import pytest

from honk.verify.tamper import guard_each
from tests.tamper.table import Files, changed, held_up

NODE = {
    "package.json": '{"scripts": {"test": "%s"}, "devDependencies": {"%s": "^1"}}',
    "src/price.test.js": "",
    "src/slow/tax.test.js": "",
    "src/price.js": "",
    "test/all.js": "",
}
PYTHON = {
    "pyproject.toml": "[project]\nname = 'prices'\n",
    "tests/test_prices.py": "",
    "tests/slow/test_taxes.py": "",
    "src/prices.py": "",
}


def node(runner: str) -> dict[str, str]:
    return {**NODE, "package.json": NODE["package.json"] % (runner, runner)}


# A repository, the file, what it said before, and what it says now.
Case = tuple[dict[str, str], str, str | None, str]
JEST, VITEST, MOCHA, AVA = (node(name) for name in ("jest", "vitest", "mocha", "ava"))
PYPROJECT = PYTHON["pyproject.toml"]


def jest(settings: str) -> Case:
    return JEST, "jest.config.js", None, f"export default {{ {settings} }}\n"


def vitest(settings: str) -> Case:
    text = (
        f"import {{ defineConfig }} from 'vitest/config'\nexport default defineConfig({{ test: {{ {settings} }} }})\n"
    )
    return VITEST, "vitest.config.ts", None, text


def mocha(settings: str) -> Case:
    return MOCHA, ".mocharc.yml", None, settings


def pytest_in(path: str, head: str, settings: str) -> Case:
    before = PYTHON.get(path)
    return PYTHON, path, before, f"{before or ''}{head}\n{settings}\n"


HELD: dict[str, Case] = {
    "jest, a folder": jest("testPathIgnorePatterns: ['/node_modules/', '/slow/']"),
    "jest, what tests are": jest("testMatch: ['**/src/*.test.js']"),
    "jest, what tests are by an expression": jest("testRegex: 'src/[^/]*.test.js$'"),
    "jest, where tests are": jest("roots: ['<rootDir>/src/slow']"),
    "jest, another root": jest("rootDir: 'src/slow'"),
    "jest, no tests at all": jest("passWithNoTests: true"),
    "jest, what cannot be told": jest("testPathIgnorePatterns: [anything]"),
    "jest, another program": jest("testRunner: './tools/quiet.js'"),
    "jest, in package.json": (
        JEST,
        "package.json",
        JEST["package.json"],
        JEST["package.json"][:-1] + ', "jest": {"testPathIgnorePatterns": ["/slow/"]}}',
    ),
    "vitest, a folder": vitest("exclude: [...configDefaults.exclude, 'src/slow/**']"),
    "vitest, what tests are": vitest("include: ['src/*.test.js']"),
    "vitest, where tests are": vitest("dir: 'src/slow'"),
    "vitest, by name": vitest("testNamePattern: 'price'"),
    "vitest, no tests at all": vitest("passWithNoTests: true"),
    "vitest, by what stands elsewhere": vitest("exclude"),
    "vitest, in vite's own": (VITEST, "vite.config.ts", "export default {}\n",
        "export default { test: { exclude: ['**/slow/**'] } }\n"),
    "jest, in a project": jest("projects: [{ testPathIgnorePatterns: ['/slow/'] }]"),
    "vitest, in a project": vitest("projects: [{ test: { exclude: ['src/slow/**'] } }]"),
    "vitest, in a workspace": (
        VITEST, "vitest.workspace.ts", None, "export default [{ test: { exclude: ['src/slow/**'] } }]\n"
    ),
    "mocha, by name": mocha("grep: price\n"),
    "mocha, but not by name": mocha("fgrep: price\ninvert: true\n"),
    "mocha, a file": mocha("ignore:\n  - test/all.js\n"),
    "mocha, another folder": mocha("spec: src/**/*.test.js\n"),
    "mocha, not run": mocha("dry-run: true\n"),
    "mocha, in JavaScript": (MOCHA, ".mocharc.cjs", None, "module.exports = { ignore: ['test/**'] }\n"),
    "mocha, in package.json": (
        MOCHA, "package.json", MOCHA["package.json"], MOCHA["package.json"][:-1] + ', "mocha": {"grep": "price"}}'
    ),
    "ava, a file": (
        AVA, "package.json", AVA["package.json"], AVA["package.json"][:-1] + ', "ava": {"files": ["!src/slow/**"]}}'
    ),
    "ava, by name": (AVA, "ava.config.js", None, "export default { match: ['*price*'] }\n"),
    "pytest, where tests are": pytest_in("pytest.ini", "[pytest]", "testpaths = tests/slow"),
    "pytest, what tests are": pytest_in("pytest.ini", "[pytest]", "python_files = check_*.py test_prices.py"),
    "pytest, a folder": pytest_in("pytest.ini", "[pytest]", "norecursedirs = build slow"),
    "pytest, which functions": pytest_in("pytest.ini", "[pytest]", "python_functions = check_*"),
    "pytest, which classes": pytest_in("setup.cfg", "[tool:pytest]", "python_classes = Check"),
    "pytest, in pyproject.toml": pytest_in("pyproject.toml", "[tool.pytest.ini_options]", "testpaths = ['tests/slow']"),
    "pytest, in its newer table": pytest_in("pyproject.toml", "[tool.pytest]", "norecursedirs = ['slow']"),
    "pytest, in tox.ini": pytest_in("tox.ini", "[pytest]", "testpaths = tests/slow"),
    "pytest, what were tests and are none by the usual names": (
        {**PYTHON, "checks/check_prices.py": ""}, "pyproject.toml",
        PYPROJECT + "[tool.pytest.ini_options]\npython_files = ['test_*.py', 'check_*.py']\n", PYPROJECT,
    ),
    "pytest, in place of what was read": (
        {**PYTHON, "pyproject.toml": PYPROJECT + "[tool.pytest.ini_options]\naddopts = '--strict-markers'\n"},
        "pytest.ini",
        None,
        "[pytest]\n",
    ),
}  # fmt: skip
FREE: dict[str, Case] = {
    "jest, a runner of another package": jest("testRunner: 'jest-circus/runner'"),
    "jest, nothing narrower": jest("testEnvironment: 'node', coverageDirectory: 'coverage'"),
    "jest, what no test is in": jest("testPathIgnorePatterns: ['/node_modules/', '<rootDir>/dist/']"),
    "jest, the usual": jest("testMatch: ['**/__tests__/**/*.js', '**/?(*.)+(spec|test).[jt]s?(x)']"),
    "jest, where all of them are": jest("roots: ['<rootDir>/src']"),
    "jest, which was not there": (
        {**JEST, "package.json": VITEST["package.json"]}, "jest.config.js", None,
        "export default { testPathIgnorePatterns: ['/slow/'] }\n",
    ),
    "jest, no tests where there are none": (
        {"package.json": JEST["package.json"], "src/price.js": ""}, "jest.config.js", None,
        "export default { passWithNoTests: true }\n",
    ),
    "vitest, nothing narrower": vitest("globals: true, environment: 'jsdom', coverage: { exclude: ['src/slow/**'] }"),
    "vitest, what another tool runs": vitest("exclude: [...configDefaults.exclude, 'e2e/**']"),
    "vitest, all of them": vitest("include: ['src/**/*.{test,spec}.{js,ts}']"),
    "vitest, in one project and not in the other": vitest(
        "projects: [{ test: { exclude: ['src/slow/**'] } }, { test: { include: ['src/slow/*.test.js'] } }]"
    ),
    "mocha, nothing narrower": mocha("require: ts-node/register\ntimeout: 5000\n"),
    "mocha, more of them": mocha("spec:\n  - test/*.js\n  - src/**/*.test.js\n"),
    "ava, nothing narrower": (AVA, "ava.config.js", None, "export default { timeout: '2m' }\n"),
    "pytest, all of them": pytest_in("pytest.ini", "[pytest]", "testpaths = tests\naddopts = -ra"),
    "pytest, more of them": pytest_in("pytest.ini", "[pytest]", "python_files = test_*.py check_*.py"),
    "pytest, folders without tests": pytest_in("pytest.ini", "[pytest]", "norecursedirs = build .* docs"),
    "pytest, more functions": pytest_in("pytest.ini", "[pytest]", "python_functions = test should"),
    "pytest, without a project of its own": (
        {**PYTHON, "plugin/pyproject.toml": "", "plugin/test_plugin.py": ""}, "pytest.ini", None,
        "[pytest]\ntestpaths = tests\n",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def found():
    every = HELD | FREE
    looked = guard_each(
        [[changed(path, before, after)] for _, path, before, after in every.values()],
        [Files({**there, path: dedent(after)}) for there, path, _, after in every.values()],
    )
    return dict(zip(every, looked, strict=True))


@pytest.mark.parametrize("name", HELD)
def test_settings_that_leave_tests_out_wait_for_a_person(name, found):
    assert held_up(found[name]), found[name]


@pytest.mark.parametrize("name", FREE)
def test_settings_that_leave_none_out_are_free(name, found):
    assert [one for one in found[name] if one.severity != "note"] == []


def test_the_person_is_told_which_tests_and_where():
    there, path, before, after = jest("testPathIgnorePatterns: ['/node_modules/', '/slow/']")
    (findings,) = guard_each([[changed(path, before, after)]], [Files({**there, path: after})])
    (told,) = [one for one in findings if one.severity == "serious"]

    assert told.message == "jest takes `src/slow/tax.test.js` for tests no longer: by `testPathIgnorePatterns`."
    assert (told.path, told.line) == (path, 1)


# By hand, nobody says which tests there are.
ALONE = {
    "export default { testPathIgnorePatterns: ['/slow/'] }\n": True,
    "export default { testPathIgnorePatterns: ['/node_modules/', '/dist/'] }\n": False,
    "export default { testMatch: ['<rootDir>/src/price.test.js'] }\n": True,
    "export default { testMatch: ['**/*.test.ts'] }\n": False,
    "export default { passWithNoTests: true }\n": True,
    "export default { testEnvironment: 'jsdom' }\n": False,
}


def test_where_nobody_says_which_tests_there_are_the_pattern_decides():
    looked = guard_each([[changed("jest.config.js", None, text)] for text in ALONE])

    assert [held_up(findings) for findings in looked] == list(ALONE.values())


def test_settings_that_moved_with_all_they_said_are_free():
    told = "testpaths = ['tests']\naddopts = '-ra'\n"
    before = PYPROJECT + "[tool.pytest.ini_options]\n" + told
    after = "[pytest]\ntestpaths = tests\naddopts = -ra\n"
    change = [changed("pyproject.toml", before, PYPROJECT), changed("pytest.ini", None, after)]
    (findings,) = guard_each([change], [Files({**PYTHON, "pyproject.toml": PYPROJECT, "pytest.ini": after})])

    assert not held_up(findings)
