"""Which builds a repository has without naming them, and when one is the same as before."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from honk.repository_file import Build, RepositoryFile, parse_repository_file
from honk.ship.builds import Tracked, fingerprint, plan_builds
from tests.conftest import git

MakeRepository = Callable[..., Path]
VITE = {"scripts": {"build": "vite build"}, "devDependencies": {"vite": "6"}}
APPLICATION = 'plugins { id("com.android.application") }\n'


@pytest.fixture
def planned(make_repository: MakeRepository) -> Callable[..., dict[str, Any]]:
    made: list[Path] = []

    def plan(files: dict[str, str], package: dict[str, Any] | None = None) -> dict[str, Any]:
        given = files | ({"package.json": json.dumps(package)} if package else {})
        repo = make_repository(given, name=f"project-{len(made)}")
        made.append(repo)
        file = parse_repository_file(files.get("honk.yaml", ""))
        found = plan_builds(Tracked.at(repo / ".git", "HEAD"), file)
        return {
            name: one if isinstance(one, str) else (one.run, one.output) + ((one.on,) if one.on else ())
            for name, one in found.items()
        }

    return plan


@pytest.mark.parametrize(
    ("files", "package", "wanted"),
    [
        ({}, VITE, ("npm run build", "dist")),
        ({"pnpm-lock.yaml": ""}, VITE, ("pnpm run build", "dist")),
        ({"yarn.lock": ""}, VITE, ("yarn run build", "dist")),
        ({"bun.lock": ""}, VITE, ("bun run build", "dist")),
        ({"vite.config.ts": "export default { build: { outDir: './out' } }"}, VITE, ("npm run build", "out")),
        ({}, {"scripts": {"build": "vite build --outDir=site"}, "devDependencies": {"vite": "6"}},
         ("npm run build", "site")),
        ({"next.config.mjs": "export default { output: 'export' }"},
         {"scripts": {"build": "next build"}, "dependencies": {"next": "15"}}, ("npm run build", "out")),
        ({}, {"scripts": {"build": "react-scripts build"}, "dependencies": {"react-scripts": "5"}},
         ("npm run build", "build")),
        ({}, {"scripts": {"start": "expo start"}, "dependencies": {"expo": "52", "react-native-web": "0.19"}},
         ("npx expo export --platform web", "dist")),
        ({"src/index.html": "<p>"}, {"scripts": {"build": "node build.js"}}, ("npm run build", "dist")),
        ({"public/index.html": "<p>"}, None, ("true", "public")),
        ({"index.html": "<p>"}, None, ("true", ".")),
        ({"index.html": "<p>"}, {"scripts": {"test": "node --test"}}, ("true", ".")),
    ],
)  # fmt: skip
def test_a_web_page_is_found_with_the_folder_it_is_built_to(
    planned: Callable[..., dict[str, Any]], files: dict[str, str], package: Any, wanted: tuple[str, str]
) -> None:
    assert planned(files, package) == {"web": wanted}


@pytest.mark.parametrize(
    ("files", "package"),
    [
        ({"app.py": "print(1)"}, None),
        ({}, {"scripts": {"build": "tsc"}, "devDependencies": {"typescript": "5"}}),
        ({}, {"scripts": {"start": "expo start"}, "dependencies": {"expo": "52"}}),
        ({"package.json": "not JSON"}, None),
        ({"package.json": "[]"}, None),
        ({"settings.gradle": "", "lib/build.gradle": "apply plugin: 'com.android.library'"}, None),
        ({"settings.gradle": "", "build.gradle": "plugins { id 'com.android.application' apply false }"}, None),
        ({"honk.yaml": "builds: {}\n", "index.html": "<p>"}, None),
    ],
)
def test_what_makes_no_app_is_not_built(
    planned: Callable[..., dict[str, Any]], files: dict[str, str], package: Any
) -> None:
    assert planned(files, package) == {}


def test_an_android_app_is_found_by_its_module(planned: Callable[..., dict[str, Any]]) -> None:
    files = {
        "settings.gradle.kts": "",
        "gradlew": "",
        "apps/phone/build.gradle.kts": APPLICATION,
        "build.gradle.kts": "",
    }
    run, output = planned(files)["android"]
    assert run == "sh ./gradlew --console=plain :apps:phone:assembleDebug"
    assert output == "apps/phone/build/outputs/apk/**/*.apk"
    catalogue = {"settings.gradle": "", "app/build.gradle.kts": "plugins { alias(libs.plugins.android.application) }"}
    assert planned(catalogue)["android"][0] == "gradle --console=plain :app:assembleDebug"


def test_every_android_app_of_a_project_is_built(planned: Callable[..., dict[str, Any]]) -> None:
    files = {
        "settings.gradle": "",
        "wear/build.gradle.kts": APPLICATION,
        "app/build.gradle.kts": APPLICATION,
        "apps/tv/build.gradle": APPLICATION,
        "core/build.gradle": "apply plugin: 'com.android.library'",
    }
    found = planned(files)
    assert list(found) == ["android", "android-apps-tv", "android-wear"]
    assert found["android"][0].endswith(":app:assembleDebug")
    assert found["android-apps-tv"] == (
        "gradle --console=plain :apps:tv:assembleDebug",
        "apps/tv/build/outputs/apk/**/*.apk",
    )


def test_an_iphone_app_is_built_where_the_mac_is(planned: Callable[..., dict[str, Any]]) -> None:
    lanes = {"fastlane/Fastfile": "platform :ios do\n  lane :test do\n  end\n  lane :adhoc do\n  end\nend\n"}
    assert planned(lanes) == {"ios": ("fastlane adhoc", "**/*.ipa", "macos")}
    assert "name the build in honk.yaml" in planned({"App.xcodeproj/project.pbxproj": ""})["ios"]


def test_what_cannot_be_tried_as_it_is_says_what_to_do(planned: Callable[..., dict[str, Any]]) -> None:
    package = {"scripts": {"build": "next build"}, "dependencies": {"next": "15"}}
    assert "output: 'export'" in planned({}, package)["web"]


def test_named_builds_are_taken_as_they_are(planned: Callable[..., dict[str, Any]]) -> None:
    assert planned({"honk.yaml": "builds: {site: {run: make, output: out}}\n"}, VITE) == {"site": ("make", "out")}


class Shop:
    """A repository whose build is looked at commit after commit."""

    def __init__(self, repo: Path) -> None:
        self.repo = repo

    def digest(self, build: Build, file: RepositoryFile | None = None) -> str:
        return fingerprint(Tracked.at(self.repo / ".git", "HEAD"), build, file or RepositoryFile())

    def commit(self, path: str, text: str) -> None:
        (self.repo / path).parent.mkdir(parents=True, exist_ok=True)
        (self.repo / path).write_text(text)
        git(self.repo, "add", "-A")
        git(self.repo, "commit", "-qm", path)


@pytest.fixture
def shop(make_repository: MakeRepository) -> Shop:
    return Shop(make_repository({"src/app.js": "1", "README.md": "1", "honk.yaml": "verify: {}\n"}))


BUILD = Build(run="npm run build", output="dist")


@pytest.mark.parametrize("path", ["README.md", "docs/more.md", "tests/test_app.js", "src/app.test.js", "honk.yaml"])
def test_prose_and_tests_change_no_build(shop: Shop, path: str) -> None:
    before = shop.digest(BUILD)
    shop.commit(path, "verify: {test: 'true'}\n")
    assert shop.digest(BUILD) == before


@pytest.mark.parametrize("path", ["src/app.js", "src/new file.js", "package.json", "src/words.md", "größe.txt"])
def test_whatever_else_changes_makes_it_a_new_build(shop: Shop, path: str) -> None:
    before = shop.digest(BUILD)
    shop.commit(path, "2")
    assert shop.digest(BUILD) != before


def test_the_lines_of_a_build_count_too(shop: Shop) -> None:
    before = shop.digest(BUILD)
    assert shop.digest(Build(run="npm run build -- --mode=x", output="dist")) != before
    assert shop.digest(BUILD, RepositoryFile(setup="npm ci")) != before


def test_a_build_of_the_docs_reads_the_docs(shop: Shop) -> None:
    build = Build(run="mkdocs build", output="site")
    before = shop.digest(build)
    shop.commit("docs/page.md", "2")
    assert shop.digest(build) != before


@pytest.mark.parametrize(
    ("beside", "build", "path"),
    [
        pytest.param(
            {"package.json": '{"scripts": {"build": "docusaurus build"}, "dependencies": {"@docusaurus/core": "3"}}'},
            Build(run="npm run build", output="build"), "docs/guide.md", id="a site of its docs",
        ),
        pytest.param(
            {"package.json": '{"scripts": {"build": "node make.js README.md"}}'},
            Build(run="npm run build", output="dist"), "README.md", id="a script that names the file",
        ),
        pytest.param({"make.sh": "cp docs/* out"}, Build(run="sh ./make.sh", output="out"), "docs/guide.html",
                     id="a script in the repository"),
        pytest.param({"Makefile": "site:\n\tpandoc docs/*"}, Build(run="make site", output="out"), "docs/guide.md",
                     id="a target of its Makefile"),
        pytest.param({}, Build(run="true", output="."), "docs/guide.html", id="the whole tree"),
        pytest.param({}, Build(run="true", output="./public"), "public/tests/index.html", id="a folder as it is"),
        pytest.param({"package.json": '{"scripts": {"build": "generate spec/api.yaml"}}'},
                     Build(run="npm run build", output="dist"), "spec/api.yaml", id="a specification it is made of"),
    ],
)  # fmt: skip
def test_prose_and_tests_that_a_build_reads_make_it_a_new_one(
    shop: Shop, beside: dict[str, str], build: Build, path: str
) -> None:
    for name, text in beside.items():
        shop.commit(name, text)
    before = shop.digest(build)
    shop.commit(path, "2")
    assert shop.digest(build) != before


def test_tests_are_spared_though_a_script_runs_them(shop: Shop) -> None:
    shop.commit("package.json", '{"scripts": {"build": "vite build", "test": "vitest docs"}}')
    before = shop.digest(BUILD)
    shop.commit("tests/test_app.js", "2")
    shop.commit("docs/more.md", "2")
    assert shop.digest(BUILD) == before


def test_declared_inputs_are_all_that_counts(shop: Shop) -> None:
    build = Build(run="npm run build", output="dist", inputs=["src/", "!src/*.txt", "README.md"])
    before = shop.digest(build)
    shop.commit("src/note.txt", "2")
    shop.commit("lib/other.js", "2")
    assert shop.digest(build) == before
    shop.commit("README.md", "2")
    assert shop.digest(build) != before


def test_a_file_that_becomes_executable_is_another_build(shop: Shop) -> None:
    before = shop.digest(BUILD)
    git(shop.repo, "update-index", "--chmod=+x", "src/app.js")
    git(shop.repo, "commit", "-qm", "x")
    assert shop.digest(BUILD) != before
