"""What a file is, told by its path."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

LANGUAGES = {
    ".py": "python", ".pyi": "python", ".js": "javascript", ".mjs": "javascript", ".cjs": "javascript",
    ".jsx": "javascript", ".ts": "typescript", ".mts": "typescript", ".cts": "typescript", ".tsx": "tsx",
    ".java": "java", ".go": "go", ".rs": "rust", ".kt": "kotlin", ".kts": "kotlin", ".swift": "swift",
    ".rb": "other", ".php": "other", ".cs": "other", ".scala": "other", ".groovy": "other", ".ex": "other",
    ".exs": "other", ".c": "other", ".cc": "other", ".cpp": "other", ".cxx": "other", ".h": "other", ".hpp": "other",
    ".dart": "other", ".m": "other", ".mm": "other", ".vue": "other", ".svelte": "other", ".fs": "other",
    ".lua": "other", ".pl": "other", ".r": "other", ".jl": "other", ".clj": "other", ".sh": "shell", ".bash": "shell",
}  # fmt: skip
"""The language of a file by the end of its name; `other` is read by patterns."""

_TEST_FOLDER = re.compile(
    r"(^|/)(tests?|testing|__tests__|specs?|e2e|cypress|playwright|integration[-_]tests?|unit[-_]tests?"
    r"|[\w-]*[tT]ests|androidTest|testFixtures|t)/"
)
_TEST_NAME = re.compile(
    r"(^|/)(tests?[_.-][^/]*|tests?|conftest)\.\w+$|[_.-](tests?|specs?|e2e|cy|test-d)\.\w+$"
    r"|(?<=[a-z0-9])(Tests?|TestCase|Spec|Specs|IT|Suite)\.(java|kt|kts|swift|scala|groovy|cs|php|m|mm)$"
    r"|(^|/)Test[A-Z]\w*\.(java|kt|swift|php)$"
)
_DATA = re.compile(r"(^|/)(testdata|test[-_]data|fixtures?|__fixtures__|golden|cassettes|mocks|__mocks__)/")
_SNAPSHOT = re.compile(
    r"(^|/)__snapshots?__/|\.(snap|ambr|approved\.\w+|golden|verified\.\w+)$|(^|/)(golden|snapshots?)/"
)
_CI = re.compile(
    r"^\.github/(workflows|actions)/|(^|/)\.gitlab-ci[^/]*\.ya?ml$|^\.gitlab/ci/|^\.circleci/|(^|/)Jenkinsfile[^/]*$"
    r"|(^|/)azure-pipelines[^/]*\.ya?ml$|^\.azure(-pipelines|/pipelines)/|^\.travis\.ya?ml$|^bitbucket-pipelines\.ya?ml$"
    r"|^\.buildkite/|^\.?appveyor\.ya?ml$|^\.drone\.ya?ml$|^cloudbuild\.ya?ml$|^\.cirrus\.ya?ml$|^\.woodpecker|^\.semaphore/"
    r"|^\.teamcity/|^buildspec\.ya?ml$|^codemagic\.ya?ml$|^bitrise\.ya?ml$|^\.ci/"
)
_SHELL_NAME = re.compile(
    r"(^|/)(GNUm|m|M)akefile[^/]*$|\.mk$|(^|/)(justfile|Justfile|Dockerfile[^/]*|Containerfile|Taskfile\.ya?ml|Procfile)$|\.(sh|bash|zsh|bat|cmd|ps1)$|(^|/)(tox\.ini|noxfile\.py|honk\.ya?ml|package\.json|\.husky/[^/]+|lefthook\.ya?ml|\.pre-commit-config\.ya?ml)$|^\.?ci/|(^|/)\.githooks/"
)
_LOCK = re.compile(
    r"(^|/)(package-lock\.json|npm-shrinkwrap\.json|yarn\.lock|pnpm-lock\.yaml|bun\.lockb?|poetry\.lock|uv\.lock|pdm\.lock"
    r"|Pipfile\.lock|Cargo\.lock|go\.sum|Gemfile\.lock|composer\.lock|Package\.resolved|Podfile\.lock|gradle\.lockfile"
    r"|packages\.lock\.json|flake\.lock|mix\.lock|pubspec\.lock|deno\.lock|MODULE\.bazel\.lock)$"
)


def language(path: str) -> str | None:
    """The language a source file is written in; None for what is no source."""
    return LANGUAGES.get(PurePosixPath(path).suffix.lower())


def is_test(path: str) -> bool:
    """Whether tests, or what supports them, are what this file is for."""
    return bool(_TEST_FOLDER.search(path) or _TEST_NAME.search(path))


def is_test_text(path: str) -> bool:
    """Whether it is a test that is no program of a language known here, such as a feature file."""
    return bool(re.search(r"\.(feature|robot|bats|hurl|spec|test|story|t)$", path)) and not is_data(path)


def is_collected(path: str) -> bool:
    """Whether a test runner looks for tests in a file of this name; more narrow than `is_test` for Python and Go."""
    name = PurePosixPath(path).name
    if path.endswith(".py"):
        return bool(re.search(r"^tests?[_.]|[_-]tests?\.py$|^tests?\.py$|^conftest\.py$", name))
    if path.endswith(".go"):
        return name.endswith("_test.go")
    return is_test(path)


def is_data(path: str) -> bool:
    """Whether it is something that tests read."""
    return bool(_DATA.search(path))


def is_snapshot(path: str) -> bool:
    """Whether a test tool recorded it as what is expected."""
    return bool(_SNAPSHOT.search(path))


def is_ci(path: str) -> bool:
    """Whether it tells a CI service what to run."""
    return bool(_CI.search(path))


def has_commands(path: str) -> bool:
    """Whether shell commands stand in it."""
    return is_ci(path) or bool(_SHELL_NAME.search(path))


def is_lock(path: str) -> bool:
    """Whether a package manager wrote it to fix versions."""
    return bool(_LOCK.search(path))
