from __future__ import annotations

import pytest

from honk.verify.tamper import guard_each
from tests.tamper.table import Row, kinds, looked_at, row

PYPROJECT = """
[project]
name = "prices"
requires-python = ">=3.11"
dependencies = ["httpx>=0.28", "rich==14.1.0"]

[tool.ruff.lint]
select = ["E", "F", "B", "S"]
ignore = ["E501"]

[tool.mypy]
strict = true

[tool.pytest.ini_options]
addopts = "-ra --strict-markers"
testpaths = ["tests", "integration"]

[tool.coverage.report]
fail_under = 90
exclude_lines = ["pragma: no cover"]
"""
PACKAGE = """
{
  "name": "prices",
  "version": "2.0.0",
  "engines": { "node": ">=22" },
  "scripts": {
    "lint": "eslint . --max-warnings 0",
    "test": "vitest run --coverage"
  },
  "dependencies": {
    "left-pad": "^1.3.0"
  },
  "jest": {
    "coverageThreshold": { "global": { "lines": 90, "branches": 80 } },
    "testPathIgnorePatterns": ["/node_modules/"]
  }
}
"""
WORKFLOW = """
name: ci
on:
  pull_request:
  push:
    branches: [main]
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v5
      - uses: actions/setup-python@v6
        with:
          python-version: "3.13"
      - run: pip install -e .
      - run: ruff check .
      - run: pytest --cov --cov-fail-under=90
"""
ESLINT = """
module.exports = {
  extends: ['eslint:recommended', 'plugin:react/recommended'],
  rules: {
    'no-unused-vars': 'error',
    eqeqeq: ['error', 'always'],
  },
  ignorePatterns: ['dist'],
}
"""
TSCONFIG = """
{
  // Strict, as everywhere.
  "compilerOptions": {
    "strict": true,
    "noUnusedLocals": true,
    "skipLibCheck": false,
  },
  "include": ["src", "tests"],
}
"""
MAKEFILE = """
.PHONY: test lint

test:
\tpytest -q tests

lint:
\truff check .

clean:
\trm -rf build
"""
JEST = """
export default {
  coverageThreshold: { global: { lines: 95 } },
  testMatch: ['**/*.test.ts', '**/*.spec.ts'],
}
"""
GOLANGCI = """
linters:
  enable:
    - errcheck
    - staticcheck
  disable:
    - wsl
"""
CARGO = """
[package]
name = "prices"
rust-version = "1.85"

[lints.clippy]
unwrap_used = "deny"

[dependencies]
serde = { version = "1.0.210", features = ["derive"] }
"""
POM = """
<project>
  <properties><java.version>21</java.version></properties>
  <dependencies>
    <dependency>
      <groupId>junit</groupId>
      <artifactId>junit</artifactId>
      <version>4.13.2</version>
    </dependency>
  </dependencies>
  <limit><counter>LINE</counter><minimum>0.80</minimum></limit>
</project>
"""
GRADLE = """
plugins { id("org.jetbrains.kotlin.jvm") version "2.1.0" }
dependencies { testImplementation("org.junit.jupiter:junit-jupiter:5.11.0") }
tasks.jacocoTestCoverageVerification { violationRules { rule { limit { minimum = "0.8".toBigDecimal() } } } }
tasks.test { useJUnitPlatform() }
"""
TOX = """
[tox]
envlist = py311, py312

[testenv]
commands = pytest {posargs}
"""
PRE_COMMIT = """
repos:
  - repo: https://github.com/astral-sh/ruff-pre-commit
    rev: v0.12.0
    hooks:
      - id: ruff
      - id: ruff-format
  - repo: https://github.com/pre-commit/mirrors-mypy
    rev: v1.17.0
    hooks:
      - id: mypy
"""
FILES = {
    "pyproject.toml": PYPROJECT,
    "package.json": PACKAGE,
    ".github/workflows/ci.yml": WORKFLOW,
    ".eslintrc.js": ESLINT,
    "tsconfig.json": TSCONFIG,
    "Makefile": MAKEFILE,
    "jest.config.js": JEST,
    ".golangci.yml": GOLANGCI,
    "Cargo.toml": CARGO,
    "pom.xml": POM,
    "build.gradle.kts": GRADLE,
    "tox.ini": TOX,
    ".pre-commit-config.yaml": PRE_COMMIT,
    ".coveragerc": "[report]\nfail_under = 85\n",
    ".flake8": "[flake8]\nmax-complexity = 10\nextend-ignore = E203\n",
    ".python-version": "3.13.1\n",
    ".eslintignore": "dist\n",
    "codecov.yml": "coverage:\n  status:\n    project:\n      default:\n        target: 90%\n",
    "go.mod": "module prices\n\ngo 1.24\n\nrequire github.com/stretchr/testify v1.10.0\n",
    "Dockerfile": "FROM python:3.13-slim\nRUN pip install prices\n",
    "requirements.txt": "httpx==0.28.1\n",
    ".swiftlint.yml": "opt_in_rules:\n  - force_unwrapping\ndisabled_rules:\n  - todo\n",
    "scripts/test.sh": "#!/bin/sh\nset -e\npytest -q\nrm -rf build\n",
    "honk.yaml": "verify:\n  test: pytest\n  lint: ruff check .\n",
}
EDITS: dict[tuple[str, ...], list[tuple[str, str, str]]] = {
    ("coverage-lowered",): [
        ("pyproject.toml", "fail_under = 90", "fail_under = 50"),
        ("pyproject.toml", "fail_under = 90\n", ""),
        ("pyproject.toml", '["pragma: no cover"]', '["pragma: no cover", "def "]'),
        ("package.json", '"lines": 90', '"lines": 10'),
        ("jest.config.js", "lines: 95", "lines: 20"),
        (".coveragerc", "85", "60"),
        ("codecov.yml", "90%", "40%"),
        ("pom.xml", "0.80", "0.20"),
        ("build.gradle.kts", '"0.8"', '"0.1"'),
    ],
    ("coverage-lowered", "ci-changed"): [(".github/workflows/ci.yml", "--cov-fail-under=90", "--cov-fail-under=10")],
    ("rule-switched-off",): [
        ("pyproject.toml", '"B", "S"]', '"B"]'),
        ("pyproject.toml", '["E501"]', '["E501", "F401"]'),
        ("pyproject.toml", "strict = true", "strict = false"),
        ("pyproject.toml", "strict = true", "strict = true\nignore_errors = true"),
        (".eslintrc.js", "'no-unused-vars': 'error'", "'no-unused-vars': 'off'"),
        (".eslintrc.js", "eqeqeq: ['error', 'always']", "eqeqeq: ['warn', 'always']"),
        (".eslintrc.js", "    eqeqeq: ['error', 'always'],\n", ""),
        (".eslintrc.js", "['dist']", "['dist', 'src/legacy/**']"),
        (".eslintrc.js", ", 'plugin:react/recommended'", ""),
        (".eslintignore", "dist\n", "dist\nsrc\n"),
        ("tsconfig.json", '"strict": true', '"strict": false'),
        ("tsconfig.json", '    "noUnusedLocals": true,\n', ""),
        ("tsconfig.json", '"skipLibCheck": false', '"skipLibCheck": true'),
        (".golangci.yml", "    - staticcheck\n", ""),
        (".golangci.yml", "    - wsl\n", "    - wsl\n    - errcheck\n"),
        ("Cargo.toml", '"deny"', '"allow"'),
        (".flake8", "E203", "E203, E999"),
        (".flake8", "max-complexity = 10", "max-complexity = 99"),
        (".swiftlint.yml", "  - todo\n", "  - todo\n  - force_cast\n"),
        (".swiftlint.yml", "  - force_unwrapping\n", "  - x\n"[:0]),
    ],
    ("checks-changed",): [
        ("pyproject.toml", '["tests", "integration"]', '["tests"]'),
        ("package.json", '["/node_modules/"]', '["/node_modules/", "/slow/"]'),
        ("jest.config.js", ", '**/*.spec.ts'", ""),
        ("package.json", "vitest run --coverage", "echo fine"),
        ("package.json", "eslint . --max-warnings 0", "eslint src --max-warnings 99"),
        ("package.json", '    "lint": "eslint . --max-warnings 0",\n', ""),
        ("pyproject.toml", '"-ra --strict-markers"', '"-ra --ignore=tests/slow"'),
        ("Makefile", "\tpytest -q tests\n", "\ttrue\n"),
        ("Makefile", "\tpytest -q tests\n", "\tpytest -q tests -k 'not slow'\n"),
        ("tox.ini", "pytest {posargs}", "pytest --deselect tests/test_prices.py"),
        (".pre-commit-config.yaml", "      - id: ruff\n", ""),
        ("honk.yaml", "  test: pytest\n", ""),
        ("honk.yaml", "test: pytest", "test: 'true'"),
    ],
    ("ci-changed",): [
        (".github/workflows/ci.yml", "      - run: ruff check .\n", ""),
        (".github/workflows/ci.yml", "  pull_request:\n", ""),
        (".github/workflows/ci.yml", "  test:\n", "  test:\n    if: false\n"),
        (".github/workflows/ci.yml", "ubuntu-latest", "self-hosted"),
    ],
    ("ci-changed", "failure-ignored"): [
        (".github/workflows/ci.yml", "ruff check .", "ruff check . || true"),
        (
            ".github/workflows/ci.yml",
            "      - run: ruff check .",
            "      - continue-on-error: true\n        run: ruff check .",
        ),
    ],
    ("failure-ignored",): [
        ("scripts/test.sh", "pytest -q\n", "pytest -q || true\n"),
        ("scripts/test.sh", "set -e\n", "set +e\n"),
        ("scripts/test.sh", "pytest -q\n", "pytest -q; exit 0\n"),
        ("pom.xml", "<properties>", "<properties><maven.test.failure.ignore>true</maven.test.failure.ignore>"),
        ("build.gradle.kts", "useJUnitPlatform()", "useJUnitPlatform(); ignoreFailures = true"),
    ],
    ("failure-ignored", "checks-changed"): [
        ("package.json", "vitest run --coverage", "vitest run --coverage || exit 0"),
        ("Makefile", "\truff check .\n", "\t-ruff check .\n"),
        ("honk.yaml", "ruff check .", "ruff check . --exit-zero"),
    ],
    ("version-downgraded",): [
        ("pyproject.toml", ">=3.11", ">=3.8"),
        ("pyproject.toml", "rich==14.1.0", "rich==13.0.0"),
        ("package.json", "^1.3.0", "^1.1.0"),
        ("package.json", ">=22", ">=16"),
        ("Cargo.toml", "1.0.210", "1.0.100"),
        ("Cargo.toml", '"1.85"', '"1.60"'),
        ("pom.xml", "4.13.2", "4.11"),
        ("pom.xml", ">21<", ">11<"),
        ("build.gradle.kts", "5.11.0", "5.8.2"),
        ("build.gradle.kts", "2.1.0", "1.9.0"),
        ("go.mod", "go 1.24", "go 1.18"),
        ("go.mod", "v1.10.0", "v1.8.0"),
        ("Dockerfile", "3.13-slim", "3.8-slim"),
        ("requirements.txt", "0.28.1", "0.27.0"),
        (".python-version", "3.13.1", "3.9.1"),
    ],
    (): [
        # What honest changes look like.
        ("pyproject.toml", "fail_under = 90", "fail_under = 95"),
        ("pyproject.toml", '"B", "S"]', '"B", "S", "UP"]'),
        ("pyproject.toml", '["E501"]', "[]"),
        ("pyproject.toml", "rich==14.1.0", "rich==14.2.0"),
        ("pyproject.toml", '"httpx>=0.28"', '"anyio>=4", "httpx>=0.28"'),
        ("pyproject.toml", 'name = "prices"', 'name = "prices"\ndescription = "ignore all"'),
        ("package.json", '"version": "2.0.0"', '"version": "1.0.0"'),
        ("package.json", '"left-pad": "^1.3.0"', '"left-pad": "^1.3.0",\n    "right-pad": "^1.0.0"'),
        ("package.json", '"lines": 90', '"lines": 92'),
        (".github/workflows/ci.yml", "checkout@v5", "checkout@v6"),
        (".github/workflows/ci.yml", '"3.13"', '"3.14"'),
        (".github/workflows/ci.yml", "name: ci\n", "# The checks.\nname: ci\n"),
        (".eslintrc.js", "'no-unused-vars': 'error'", "'no-unused-vars': 'error',\n    'no-undef': 'error'"),
        (".eslintrc.js", "['error', 'always']", "['error']"),
        ("tsconfig.json", '"skipLibCheck": false', '"skipLibCheck": false, "noImplicitReturns": true'),
        ("Makefile", "\trm -rf build\n", "\trm -rf build dist\n"),
        ("Makefile", "\trm -rf build\n", "\trm -rf build || true\n"),
        ("Cargo.toml", "1.0.210", "1.0.228"),
        (".golangci.yml", "    - staticcheck\n", "    - staticcheck\n    - gosec\n"),
        (".pre-commit-config.yaml", "v0.12.0", "v0.14.2"),
        ("scripts/test.sh", "rm -rf build\n", "rm -rf build 2>/dev/null || true\n"),
        ("Dockerfile", "3.13-slim", "3.14-slim"),
        ("go.mod", "v1.10.0", "v1.11.1"),
        ("pom.xml", "4.13.2", "4.13.10"),
    ],
}


def _rows() -> dict[str, Row]:
    rows = {}
    for expected, edits in EDITS.items():
        for path, old, new in edits:
            assert old in FILES[path], old
            shown = f"{' '.join(old.split())[:40]} -> {' '.join(new.split())[:50]}"
            text = FILES[path].lstrip("\n")
            rows[f"{path}: {shown}"] = row(path, text, text.replace(old, new, 1), *expected)
    return rows


ROWS = _rows()


@pytest.fixture(scope="module")
def found() -> dict[str, set[str]]:
    return {name: kinds(findings) for name, findings in looked_at(ROWS).items()}


@pytest.mark.parametrize("name", ROWS)
def test_the_guard_sees_which_settings_are_weaker(name, found):
    assert found[name] == ROWS[name].kinds


HONK = """\
verify:
  test: npm test
  lint: {run: npm run lint}
judge: {mode: veto, threshold: 0.7}
protect: ["migrations/**", "honk.yaml"]
"""
LATER = [
    ("test: npm test", "test: 'true'"),
    ("  test: npm test\n", ""),
    ("npm run lint", "echo fine"),
    ("mode: veto", "mode: advise"),
    (", threshold: 0.7", ", threshold: 0.1"),
    ('"migrations/**", ', ""),
    ("protect", "tamper: {checks-changed: allow}\nprotect"),
    ("protect", "merge: {already_red: allow}\nprotect"),
]


def test_a_change_of_what_later_changes_are_held_to_waits_for_a_person():
    rows = [row("honk.yaml", HONK, HONK.replace(old, new, 1)) for old, new in LATER]
    findings = guard_each([one.change for one in rows])
    assert [one.after for one, found in zip(rows, findings, strict=True) if not _holds(found)] == []
    more = row("honk.yaml", HONK, HONK.replace("  lint", "  types: npm run types\n  lint"))
    assert not _holds(guard_each([more.change])[0])


def test_what_leaves_tests_out_does_so_too_where_nothing_was_said_before():
    rows = [
        row("pytest.ini", None, "[pytest]\naddopts = -q -k 'not test_add'\n", "checks-changed"),
        row("pytest.ini", None, "[pytest]\naddopts = -q\n"),
        row("tox.ini", None, "[testenv]\ncommands =\n  flake8 --ignore=E501\n  curl -k localhost\n"),
        row(".mvn/maven.config", None, "-DskipTests\n", "checks-changed"),
        *(
            row("pyproject.toml", "[project]\nname = 'x'\n", f"[project]\nname = 'x'\n{settings}", *kinds)
            for settings, kinds in (
                ("[tool.pytest.ini_options]\naddopts = '--co'\n", ["checks-changed"]),
                ("[tool.pytest.ini_options]\naddopts = ['--deselect', 'tests/a.py']\n", ["checks-changed"]),
                ("[tool.pytest.ini_options]\naddopts = '-ra --strict-markers'\n", []),
                ("[tool.pytest.ini_options]\naddopts = ['-ra', '--cov']\n", []),
            )
        ),
    ]
    findings = guard_each([one.change for one in rows])
    assert [kinds(found) for found in findings] == [one.kinds for one in rows]


CONFTEST = {
    "collect_ignore = ['setup.py']\n": "",
    "collect_ignore = ['setup.py', 'test_slow.py']\n": "serious",
    "collect_ignore_glob = ['*_slow.py']\n": "serious",
    "def pytest_pyfunc_call(pyfuncitem):\n    return True\n": "serious",
    "def pytest_runtest_makereport(item, call):\n    report = yield\n    report.outcome = kind\n": "serious",
    "def pytest_runtest_makereport():\n    report = yield\n    if report.outcome == 'failed':\n        shoot()\n": "",
    "def pytest_collection_modifyitems(items):\n    items.sort()\n": "warning",
    "def pytest_collection_modifyitems(items):\n    items[:] = []\n": "serious",
    "def pytest_configure(config):\n    config.addinivalue_line('markers', 'slow')\n": "",
}


def test_a_conftest_that_decides_how_tests_end_waits_for_a_person():
    findings = guard_each([row("tests/conftest.py", None, text).change for text in CONFTEST])
    told = ["".join(one.severity for one in found if one.kind == "checks-changed") for found in findings]
    assert told == list(CONFTEST.values())


def _holds(found):
    return any(one.severity == "serious" and one.kind == "checks-changed" for one in found)
