"""A set-up that was found is made once for what it reads: the declarations of a repository, if it only installs."""

from __future__ import annotations

import pytest

from honk.repository_file import parse_repository_file
from honk.verify import detect
from honk.verify.set_up_key import set_up_key
from tests.verify.checkouts import EVERYTHING, Listed

PROJECT = '[project]\nname = "a"\nversion = "1"\ndependencies = ["six"]\n[build-system]\nrequires = ["hatchling"]\n'
TEST = {"tests/test_a.py": "def test_a(): ...", "a/__init__.py": "x = 1"}
BUILT = "[tool.hatch.build.hooks.custom]\n"

POM = "<project><modules><module>core</module></modules></project>"
GRADLE = {
    "settings.gradle.kts": 'pluginManagement {\n  repositories { google() }\n  includeBuild("build-logic")\n}\n',
    "app/build.gradle": "",
    "app/gradle.lockfile": "",
    "gradlew": "",
    "gradle/libs.versions.toml": "",
    "gradle/verification-metadata.xml": "",
    "gradle/wrapper/gradle-wrapper.properties": "",
    "gradle.properties": "",
    "buildSrc/src/main/kotlin/Versions.kt": "",
    "build-logic/settings.gradle.kts": "",
    "build-logic/src/main/kotlin/Convention.kt": "",
}


def _key(files: dict[str, str]) -> str:
    listed = Listed(files, [*EVERYTHING, "pre-commit", "mvn", "gradle", "java"])
    plan = detect(listed, parse_repository_file(""), egress=["github.com"])
    assert plan.set_up
    return set_up_key(plan.set_up, listed, [])


@pytest.mark.parametrize(
    ("files", "lock"),
    [
        ({"pyproject.toml": PROJECT, "uv.lock": "", **TEST}, "uv.lock"),
        ({"pyproject.toml": PROJECT, "poetry.lock": "", **TEST}, "poetry.lock"),
        (
            {"backend/pyproject.toml": PROJECT, "backend/uv.lock": "", "backend/test_a.py": "def test_a(): ..."},
            "backend/uv.lock",
        ),
        ({"pyproject.toml": PROJECT, **TEST}, "pyproject.toml"),
        (
            {"package.json": '{"scripts": {"test": "x"}, "dependencies": {"a": "1"}}', "pnpm-lock.yaml": ""},
            "pnpm-lock.yaml",
        ),
        ({"go.mod": "module a\nrequire b v1.0.0\n", "go.sum": ""}, "go.sum"),
        ({"a.csproj": "<Project/>", "packages.lock.json": "{}"}, "packages.lock.json"),
        ({"Package.swift": '.package(url: "https://a.example/b")', "Package.resolved": ""}, "Package.resolved"),
        (
            {".pre-commit-config.yaml": "repos: [{repo: 'https://github.com/a/b', hooks: [{id: x}]}]", "x.toml": ""},
            ".pre-commit-config.yaml",
        ),
        ({"pom.xml": POM, "core/pom.xml": "<project/>"}, "core/pom.xml"),
        ({"pom.xml": POM, ".mvn/extensions.xml": ""}, ".mvn/extensions.xml"),
        ({"mvnw": "", "pom.xml": POM, ".mvn/wrapper/maven-wrapper.properties": ""}, "pom.xml"),
        (GRADLE, "settings.gradle.kts"),
        (GRADLE, "app/build.gradle"),
        (GRADLE, "app/gradle.lockfile"),
        (GRADLE, "gradle/libs.versions.toml"),
        (GRADLE, "gradle/verification-metadata.xml"),
        (GRADLE, "gradle/wrapper/gradle-wrapper.properties"),
        (GRADLE, "gradle.properties"),
        (GRADLE, "buildSrc/src/main/kotlin/Versions.kt"),
        (GRADLE, "build-logic/src/main/kotlin/Convention.kt"),
    ],
)
def test_it_is_made_again_for_another_lock_file_and_for_nothing_else(files: dict[str, str], lock: str) -> None:
    first = _key(files)
    assert _key({**files, "other.py": "x = 2", "README.md": "new"}) == first
    assert _key({**files, lock: files[lock] + "\n# more\n"}) != first


@pytest.mark.parametrize(
    "files",
    [
        {"pyproject.toml": PROJECT + BUILT, "uv.lock": ""},
        {"pyproject.toml": PROJECT + 'dynamic = ["version"]\n', "poetry.lock": ""},
        {"pyproject.toml": PROJECT, "setup.py": "", "uv.lock": ""},
        {"pyproject.toml": PROJECT, "a/fast.pyx": ""},
        {"package.json": '{"scripts": {"test": "x", "postinstall": "y"}, "dependencies": {"a": "1"}}'},
        {
            "pyproject.toml": '[project]\nname = "r"\n[tool.uv.workspace]\nmembers = ["p/*"]\n',
            "p/one/pyproject.toml": PROJECT + BUILT,
            "uv.lock": "",
        },
    ],
)
def test_it_is_made_again_for_any_file_where_it_may_read_more(files: dict[str, str]) -> None:
    assert _key({**files, **TEST}) != _key({**files, **TEST, "other.py": "x = 2"})


def _keys(files: dict[str, str]) -> dict[str, str]:
    listed = Listed(files, EVERYTHING)
    plan = detect(listed, parse_repository_file(""))
    return {step.directory: set_up_key([step], listed, []) for step in plan.set_up}


def test_it_reads_what_its_own_project_declares_and_what_that_uses_and_not_what_others_do() -> None:
    package = '{"scripts": {"test": "x"}, "dependencies": {"a": "1"}}'
    files = {
        "package.json": package.replace("1", "file:lib"),
        "package-lock.json": "",
        "lib/package.json": package,
        "lib/package-lock.json": "",
        "web/package.json": package,
        "web/package-lock.json": "",
        "api/pyproject.toml": PROJECT,
        "api/uv.lock": "",
        "api/test_a.py": "def test_a(): ...",
    }
    first = _keys(files)
    assert set(first) == {".", "lib", "web", "api"}

    def moved(path: str) -> set[str]:
        second = _keys({**files, path: files[path] + "\n"})
        return {place for place in first if first[place] != second[place]}

    assert moved("web/package-lock.json") == {"web"}
    assert moved("api/uv.lock") == {"api"}
    assert moved("lib/package-lock.json") == {"lib", "."}
    assert moved("package-lock.json") == {".", "lib", "web", "api"}
