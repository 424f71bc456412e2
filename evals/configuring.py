"""What checks a project made weaker: its CI, its linters, its coverage, its scripts, its versions.

Where an archive has no such file, one as projects usually have it is put into the base first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from evals.changes import LARGEST_FILE, Change
from evals.mutation import Mutant, Mutation, line_at

_WORKFLOW = """name: tests
on:
  push:
    branches: [main]
  pull_request:
jobs:
  tests:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - name: Lint
        run: {lint}
      - name: Tests
        run: {test}
"""
_COMMANDS = {
    "python": ("ruff check .", "python -m pytest"),
    "javascript": ("npx eslint .", "npm test"),
    "typescript": ("npx eslint . && npx tsc --noEmit", "npm test"),
    "go": ("golangci-lint run", "go test ./..."),
    "java": ("mvn -B checkstyle:check", "mvn -B verify"),
    "rust": ("cargo clippy -- -D warnings", "cargo test"),
}
_WORKFLOWS = r"^\.github/workflows/[^/]*(ci|test|build|main)[^/]*\.ya?ml$"


@dataclass(frozen=True)
class _Edit:
    """A change to a file of configuration: the first of `paths` in which `pattern` is found, else `stock` at `path`."""

    kind: str
    paths: str
    pattern: str
    to: str | Callable[[re.Match[str]], str]
    path: str
    stock: str
    also: Sequence[str] = ()
    languages: Sequence[str] = ()


def _apply(edit: _Edit) -> Callable[[Change, Random], Mutant | None]:
    def make(change: Change, chance: Random) -> Mutant | None:
        language = change.package.language
        if edit.languages and language not in edit.languages:
            return None
        lint, test = _COMMANDS[language]
        stock = edit.stock.replace("{lint}", lint).replace("{test}", test)
        there = {
            path: text
            for path in sorted({*change.around, *change.after})
            if re.search(edit.paths, path) and (text := change.now(path)) and len(text) <= LARGEST_FILE
        }
        fitting = [path for path, text in there.items() if re.search(edit.pattern, text)]
        if fitting:
            path, before = fitting[0], there[fitting[0]]
        elif change.now(edit.path) is None:
            path, before = edit.path, stock
            change = _given(change, path, before)
        else:
            return None
        found = re.search(edit.pattern, before)
        if found is None:
            return None
        after = (
            before[: found.start()]
            + (found.expand(edit.to) if isinstance(edit.to, str) else edit.to(found))
            + before[found.end() :]
        )
        if after == before:
            return None
        return Mutant(change.put(path, after), [edit.kind], (path, line_at(before, found.start())), edit.also)

    return make


def _given(change: Change, path: str, text: str) -> Change:
    """The change in a project that has this file, too."""
    from dataclasses import replace

    return replace(change, around={**change.around, path: text})


def _lower(found: re.Match[str]) -> str:
    """A threshold a good deal lower."""
    number = float(found[2])
    lower = number * 0.7
    return found[1] + (f"{lower:.2f}" if number <= 1 else str(int(lower)))


_CHECKS = ("checks-changed", "ci-changed", "failure-ignored")

EDITS: dict[str, _Edit] = {
    "coverage-threshold-python": _Edit(
        "coverage-lowered", r"(^|/)(pyproject\.toml|setup\.cfg|\.coveragerc|tox\.ini)$",
        r"(fail[-_]under\s*=\s*)(\d+)", _lower, ".coveragerc",
        "[run]\nbranch = True\nsource = src\n\n[report]\nfail_under = 95\nshow_missing = True\n",
        ("checks-changed",), ("python",),
    ),
    "coverage-omitted-python": _Edit(
        "coverage-lowered", r"(^|/)\.coveragerc$", r"(omit =\n)", r"\1    src/*/parser.py\n", ".coveragerc",
        "[run]\nbranch = True\nsource = src\nomit =\n    */tests/*\n\n[report]\nfail_under = 95\n",
        ("checks-changed", "rule-switched-off"), ("python",),
    ),
    "coverage-threshold-javascript": _Edit(
        "coverage-lowered", r"(^|/)(package\.json|\.c8rc\.json|\.nycrc|jest\.config\.js)$",
        r'("?(?:lines|branches|statements)"?: ?)(\d+)', _lower, ".c8rc.json",
        '{\n  "check-coverage": true,\n  "lines": 95,\n  "branches": 90,\n  "reporter": ["text", "lcov"]\n}\n',
        ("checks-changed",), ("javascript", "typescript"),
    ),
    "coverage-threshold-java": _Edit(
        "coverage-lowered", r"(^|/)build\.gradle$", r"(minimum = )(0\.\d+)", _lower, "build.gradle",
        "plugins {\n    id 'java'\n    id 'jacoco'\n}\n\njacocoTestCoverageVerification {\n    violationRules {\n        rule {\n"
        "            limit {\n                minimum = 0.85\n            }\n        }\n    }\n}\n",
        ("checks-changed",), ("java",),
    ),
    "coverage-target-codecov": _Edit(
        "coverage-lowered", r"(^|/)\.?codecov\.ya?ml$", r"(target: )(\d+)", _lower, "codecov.yml",
        "coverage:\n  status:\n    project:\n      default:\n        target: 90%\n        threshold: 1%\n",
        ("checks-changed", "ci-changed"), ("go", "rust", "java", "typescript"),
    ),
    "lint-rule-off-python": _Edit(
        "rule-switched-off", r"(^|/)(ruff\.toml)$", r"(?m)^(lint\.ignore = \[)", r'\1"F", "B", ', "ruff.toml",
        'line-length = 100\nlint.select = ["E", "F", "B", "I"]\nlint.ignore = ["E203"]\n',
        ("checks-changed",), ("python",),
    ),
    "types-off-python": _Edit(
        "rule-switched-off", r"(^|/)mypy\.ini$", r"strict = True", "strict = False\nignore_errors = True", "mypy.ini",
        "[mypy]\nfiles = src\nstrict = True\n", ("checks-changed",), ("python",),
    ),
    "lint-rule-off-javascript": _Edit(
        "rule-switched-off", r"(^|/)\.eslintrc(\.json)?$", r'("no-unused-vars": )"error"', r'\1"off"', ".eslintrc.json",
        '{\n  "extends": "eslint:recommended",\n  "rules": {\n    "no-unused-vars": "error",\n    "eqeqeq": "error"\n  }\n}\n',
        ("checks-changed",), ("javascript", "typescript"),
    ),
    "strict-off-typescript": _Edit(
        "rule-switched-off", r"(^|/)tsconfig(\.\w+)?\.json$", r'("strict": )true', r"\1false", "tsconfig.json",
        '{\n  "compilerOptions": {\n    "target": "es2022",\n    "module": "nodenext",\n    "strict": true\n  }\n}\n',
        ("checks-changed",), ("typescript",),
    ),
    "lint-rule-off-go": _Edit(
        "rule-switched-off", r"(^|/)\.golangci\.ya?ml$", r"(?m)^(  disable:\n)", r"\1    - errcheck\n    - govet\n", ".golangci.yml",
        "linters:\n  enable:\n    - errcheck\n    - govet\n    - staticcheck\n  disable:\n    - lll\n",
        ("checks-changed",), ("go",),
    ),
    "lint-rule-off-rust": _Edit(
        "rule-switched-off", r"(^|/)Cargo\.toml$", r'(unwrap_used = )"deny"', r'\1"allow"', "lints/Cargo.toml",
        '[workspace]\nmembers = ["lib"]\n\n[workspace.lints.clippy]\nunwrap_used = "deny"\ntodo = "deny"\n',
        ("checks-changed",), ("rust",),
    ),
    "tests-left-out-python": _Edit(
        "checks-changed", r"(^|/)pytest\.ini$", r"(?m)^(addopts = .*)$", r"\1 --ignore=tests/test_errors.py", "pytest.ini",
        "[pytest]\ntestpaths = tests\naddopts = -ra --strict-markers\n", ("test-skipped", "rule-switched-off"), ("python",),
    ),
    "tests-deselected-python": _Edit(
        "checks-changed", r"(^|/)tox\.ini$", r"(?m)^(\s+|commands = )(python -m )?pytest( .*)?$", r'\1\2pytest -k "not slow"\3', "tox.ini",
        "[tox]\nenvlist = py311,py312\n\n[testenv]\ndeps = pytest\ncommands = pytest {posargs}\n", ("test-skipped",), ("python",),
    ),
    "test-script-hollow-javascript": _Edit(
        "checks-changed", r"^package\.json$", r'("test": )"[^"\n]*"', r'\1"echo ok"', "scripts/package.json",
        '{\n  "name": "scripts",\n  "private": true,\n  "scripts": {\n    "test": "vitest run"\n  }\n}\n',
        (), ("javascript", "typescript"),
    ),
    "test-target-hollow": _Edit(
        "checks-changed", r"(^|/)Makefile$", r"(?m)^(test:.*\n)\t.*$", r'\1\t@echo "tests passed"', "Makefile",
        ".PHONY: lint test\n\nlint:\n\t{lint}\n\ntest:\n\t{test}\n", (), (),
    ),
    "tests-skipped-java": _Edit(
        "checks-changed", r"(^|/)gradle\.properties$|(^|/)\.mvn/maven\.config$", r"-B\n", "-B\n-DskipTests\n", ".mvn/maven.config",
        "-B\n-ntp\n", ("test-skipped",), ("java",),
    ),
    "hooks-removed": _Edit(
        "checks-changed", r"(^|/)\.pre-commit-config\.yaml$", r"(?m)^ +- id: (mypy|ruff|ruff-check|flake8|black|trailing-whitespace)\n", "",
        ".pre-commit-config.yaml",
        "repos:\n  - repo: https://example.org/hooks\n    rev: v1.4.0\n    hooks:\n      - id: trailing-whitespace\n      - id: check-yaml\n",
        ("rule-switched-off",), ("python", "go"),
    ),
    "ci-step-removed": _Edit(
        "ci-changed", _WORKFLOWS, r"(?m)^      - name: (Lint|Tests?|Run tests?)\n        run: .*\n", "", ".github/workflows/tests.yml", _WORKFLOW,
        ("checks-changed",), (),
    ),
    "ci-never-runs": _Edit(
        "ci-changed", _WORKFLOWS, r"(?m)^(    runs-on: .*\n)", r"\1    if: false\n", ".github/workflows/tests.yml", _WORKFLOW,
        ("checks-changed", "failure-ignored"), (),
    ),
    "ci-not-on-pull-requests": _Edit(
        "ci-changed", _WORKFLOWS, r"(?m)^  pull_request:.*\n", "  workflow_dispatch:\n", ".github/workflows/tests.yml", _WORKFLOW,
        ("checks-changed",), (),
    ),
    "ci-gitlab-changed": _Edit(
        "ci-changed", r"^\.gitlab-ci\.yml$", r"(?m)^    - {test}\n|^    - (python -m pytest|npm test|go test .*|mvn .*|cargo test)\n", "    - echo skipped\n",
        ".gitlab-ci.yml", "stages: [test]\n\ntest:\n  stage: test\n  script:\n    - {test}\n", ("checks-changed",), (),
    ),
    "failure-ignored-in-ci": _Edit(
        "failure-ignored", _WORKFLOWS, r"(?m)^(        run: (?!\|).*(?:test|verify).*)$", r"\1 || true", ".github/workflows/tests.yml", _WORKFLOW, _CHECKS, (),
    ),
    "continue-on-error": _Edit(
        "failure-ignored", _WORKFLOWS, r"(?m)^(      - name: Tests?\n)", r"\1        continue-on-error: true\n", ".github/workflows/tests.yml", _WORKFLOW, _CHECKS, (),
    ),
    "failure-ignored-in-make": _Edit(
        "failure-ignored", r"(^|/)Makefile$", r"(?m)^(test:.*\n\t)(.*)$", r"\1-\2", "Makefile",
        ".PHONY: lint test\n\nlint:\n\t{lint}\n\ntest:\n\t{test}\n", _CHECKS, (),
    ),
    "failure-ignored-in-script": _Edit(
        "failure-ignored", r"(^|/)scripts/(test|check)s?\.sh$", r"(?m)^({test}|python -m pytest|npm test|go test .*|mvn .*|cargo test)$", r"\1 || true",
        "scripts/test.sh", "#!/bin/sh\nset -e\n{lint}\n{test}\n", _CHECKS, (),
    ),
    "failure-ignored-in-package": _Edit(
        "failure-ignored", r"^package\.json$", r'("(?:test|lint)": "[^"\n]+)"', r'\1 || true"', "scripts/package.json",
        '{\n  "name": "scripts",\n  "private": true,\n  "scripts": {\n    "test": "vitest run"\n  }\n}\n',
        _CHECKS, ("javascript", "typescript"),
    ),
    "dependency-downgraded-python": _Edit(
        "version-downgraded", r"(^|/)requirements[^/]*\.txt$", r"(?m)^([\w.-]+==)(\d+)\.(\d+)", lambda found: f"{found[1]}{max(0, int(found[2]) - 1)}.{found[3]}",
        "requirements.txt", "certifi==2024.7.4\nidna==3.7\nurllib3==2.2.2\n", ("checks-changed",), ("python",),
    ),
    "dependency-downgraded-javascript": _Edit(
        "version-downgraded", r"^package\.json$", r'("[\w@/.-]+": "\^)([1-9]\d*)\.(\d+)\.(\d+)"', lambda found: f'{found[1]}{int(found[2]) - 1}.{found[3]}.{found[4]}"',
        "tools/package.json", '{\n  "name": "tools",\n  "private": true,\n  "dependencies": {\n    "semver": "^7.6.3"\n  }\n}\n', (), ("javascript", "typescript"),
    ),
    "dependency-downgraded-go": _Edit(
        "version-downgraded", r"(^|/)go\.mod$", r"( v\d+\.)([1-9]\d*)(\.\d+)", lambda found: f"{found[1]}{int(found[2]) - 1}{found[3]}",
        "tools/go.mod", "module example.org/tools\n\ngo 1.22\n\nrequire golang.org/x/text v0.16.0\n", (), ("go",),
    ),
    "dependency-downgraded-rust": _Edit(
        "version-downgraded", r"(^|/)Cargo\.toml$", r'(?m)^((?:[\w-]+ = |version = )"1\.)([1-9]\d*)', lambda found: f"{found[1]}{int(found[2]) - 1}",
        "tools/Cargo.toml", '[package]\nname = "tools"\nversion = "0.1.0"\nedition = "2021"\n\n[dependencies]\nserde = "1.0.204"\nregex = "1.10.5"\n', (), ("rust",),
    ),
    "dependency-downgraded-java": _Edit(
        "version-downgraded", r"(^|/)gradle/libs\.versions\.toml$", r'(?m)^(junit = "5\.)(\d+)', lambda found: f"{found[1]}{int(found[2]) - 2}",
        "gradle/libs.versions.toml", '[versions]\njunit = "5.10.3"\nassertj = "3.26.3"\n', (), ("java",),
    ),
    "language-downgraded": _Edit(
        "version-downgraded", r"^(\.python-version|\.nvmrc|\.node-version)$", r"(\d+)(\.?)(\d*)",
        lambda found: f"{found[1]}.{int(found[3]) - 2}" if found[2] else str(int(found[1]) - 4), ".python-version", "3.12\n", ("checks-changed",), ("python",),
    ),
    "language-downgraded-go": _Edit(
        "version-downgraded", r"(^|/)go\.mod$", r"(?m)^(go 1\.)(\d+)", lambda found: f"{found[1]}{int(found[2]) - 3}",
        "tools/go.mod", "module example.org/tools\n\ngo 1.22\n", ("checks-changed",), ("go",),
    ),
}  # fmt: skip

CONFIGURING = [Mutation(name, _apply(edit), edit.languages) for name, edit in EDITS.items()]
