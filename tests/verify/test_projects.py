"""What is run for projects of all kinds, told from what lies in them, without running anything."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from honk.repository_file import parse_repository_file
from honk.verify import detect
from honk.verify.ecosystems import ECOSYSTEMS, MARKERS
from honk.verify.remedies import REMEDIES
from honk.verify.tree import LONGEST_READ
from tests.verify.checkouts import Listed, commands, left_out, plan_of

CRATE = '[package]\nname = "{}"\nversion = "0.1.0"\nedition = "2021"\n'
CARGO = {
    "Cargo.toml": '[workspace]\nmembers = ["crates/*"]\nexclude = ["crates/old"]\n'
    '[workspace.dependencies]\nbase = {path = "crates/base"}\n[workspace.lints.clippy]\nall = "deny"\n',
    "Cargo.lock": 'source = "registry"\n',
    "crates/base/Cargo.toml": CRATE.format("base"),
    "crates/tool/Cargo.toml": CRATE.format("tool") + "[dependencies]\nbase = {workspace = true}\n",
    "crates/cli/Cargo.toml": CRATE.format("cli") + '[dev-dependencies]\ntool = {path = "../tool"}\n',
    "crates/other/Cargo.toml": CRATE.format("other"),
    "crates/old/Cargo.toml": CRATE.format("old"),
}


def test_a_cargo_workspace_is_checked_as_one() -> None:
    plan = plan_of(CARGO)
    assert {name: line for name, line in commands(plan).items() if "old" not in name} == {
        "cargo fmt": "cargo fmt --all --check",
        "cargo clippy": "cargo clippy --workspace --all-targets --locked",
        "cargo test": "cargo test --workspace --no-fail-fast --locked",
    }
    assert plan.set_up[0].command == "cargo fetch --locked"
    assert commands(plan)["cargo test (crates/old)"].startswith("crates/old$ cargo test --workspace")


def test_of_a_cargo_workspace_are_tested_the_packages_that_are_touched_and_those_that_use_them() -> None:
    plan = plan_of(CARGO, changed=["crates/base/src/lib.rs"])
    packages = "--package base --package cli --package tool"
    assert commands(plan)["cargo test"] == f"cargo test {packages} --no-fail-fast --locked"
    assert commands(plan)["cargo fmt"] == f"cargo fmt {packages} --check"
    assert "--package" not in commands(plan_of(CARGO, changed=["Cargo.lock"]))["cargo test"]


def test_vendored_crates_are_not_fetched() -> None:
    files = {"Cargo.toml": CRATE.format("a") + "[dependencies]\nb = '1'\n", "Cargo.lock": "", "vendor/b/Cargo.toml": ""}
    plan = plan_of(files)
    assert commands(plan)["cargo test"].endswith("--locked --offline")
    assert not plan.set_up


def test_go_modules() -> None:
    files = {"go.mod": "module example.com/a\n\nrequire example.com/b v1.0.0\n", "go.sum": ""}
    plan = plan_of(files)
    assert list(commands(plan)) == ["gofmt", "go vet", "go build", "go test"]
    assert commands(plan)["go test"] == "go test -v ./..."
    assert [step.command for step in plan.set_up] == ["go mod download"]
    assert not plan_of({**files, "vendor/modules.txt": ""}).set_up
    linted = plan_of({**files, ".golangci.yml": ""})
    assert commands(linted)["golangci-lint"] == "golangci-lint run ./..."


def test_modules_of_a_go_workspace_and_those_that_replace_one_by_a_folder() -> None:
    files = {
        "go.work": "go 1.22\n\nuse (\n\t./app\n\t./lib // shared\n)\n",
        "app/go.mod": "module example.com/app\n\nrequire example.com/lib v0.0.0\n",
        "lib/go.mod": "module example.com/lib\n",
        "tool/go.mod": "module example.com/tool\n\nreplace example.com/lib => ../lib\n",
        "alone/go.mod": "module example.com/alone\n",
    }
    assert {one.directory for one in plan_of(files).verifiers} == {"app", "lib", "tool", "alone"}
    plan = plan_of(files, changed=["lib/a.go"])
    assert {one.directory for one in plan.verifiers} == {"app", "lib", "tool"}
    # What only the workspace has cannot be downloaded, so the rest is fetched by the checks.
    assert (plan.set_up, {one.registries for one in plan.verifiers if one.name == "go test (app)"}) == ([], {True})
    assert plan.untouched == ["Go in alone"]


def _pom(name: str, *parts: str) -> str:
    return (
        f"<project xmlns='http://maven.apache.org/POM/4.0.0'><artifactId>{name}</artifactId>{''.join(parts)}</project>"
    )


def _uses(name: str) -> str:
    return f"<dependencies><dependency><artifactId>{name}</artifactId></dependency></dependencies>"


MAVEN = {
    "pom.xml": _pom("root", "<modules><module>core</module><module>web/app</module><module>other</module></modules>"),
    "core/pom.xml": _pom("core"),
    "web/app/pom.xml": _pom("app", _uses("core")),
    "other/pom.xml": _pom("other"),
}


def test_maven_modules() -> None:
    assert commands(plan_of(MAVEN)) == {"maven test": "mvn -B -ntp --fail-at-end test"}
    core = plan_of(MAVEN, changed=["core/src/main/java/A.java"])
    assert commands(core) == {"maven test": "mvn -B -ntp --fail-at-end test --projects core,web/app --also-make"}
    assert "--projects" not in commands(plan_of(MAVEN, changed=["pom.xml"]))["maven test"]
    # What is fetched ahead is the same for every change.
    programs = ("mvn", "bazel")
    assert plan_of(MAVEN, changed=["core/A.java"], programs=programs).set_up == plan_of(MAVEN, programs=programs).set_up
    bazel = plan_of({**MAVEN, "MODULE.bazel": ""}, programs=programs)
    assert (list(commands(bazel)), bazel.set_up) == (["bazel test"], [])
    plugin = "<build><plugins><plugin><artifactId>spotless-maven-plugin</artifactId></plugin></plugins></build>"
    wrapped = plan_of({"pom.xml": _pom("a", plugin), "mvnw": "#!/bin/sh\n"})
    assert commands(wrapped) == {
        "maven spotless": "sh ./mvnw -B -ntp spotless:check",
        "maven test": "sh ./mvnw -B -ntp --fail-at-end test",
    }
    assert wrapped.verifiers[1].needs == ("java",)


GRADLE = {
    "settings.gradle.kts": 'include(":core", ":web:app")\ninclude("other") // include(":gone")\n',
    "build.gradle.kts": "",
    "core/build.gradle.kts": "",
    "web/app/build.gradle.kts": 'dependencies { implementation(project(":core")) }\n',
    "other/build.gradle": "dependencies { implementation projects.web.app }\n",
    "third/build.gradle": "",
    "gradlew": "#!/bin/sh\n",
}


def test_gradle_projects() -> None:
    whole = "sh ./gradlew --console=plain --no-daemon --continue"
    assert commands(plan_of(GRADLE)) == {"gradle test": f"{whole} check"}
    app = plan_of(GRADLE, changed=["web/app/src/A.kt"])
    assert commands(app) == {"gradle test": f"{whole} :other:check :web:app:check"}
    core = plan_of(GRADLE, changed=["core/src/A.kt"])
    assert commands(core) == {"gradle test": f"{whole} :core:check :other:check :web:app:check"}
    assert commands(plan_of(GRADLE, changed=["gradle/libs.versions.toml"])) == {"gradle test": f"{whole} check"}


DOTNET = {
    "App.sln": "",
    ".editorconfig": "",
    "src/App/App.csproj": '<Project><ProjectReference Include="..\\Core\\Core.csproj" /></Project>',
    "src/Core/Core.csproj": "<Project/>",
    "src/Other/Other.fsproj": "<Project/>",
    "tests/Core.Tests/Core.Tests.csproj": '<Project><PackageReference Include="Microsoft.NET.Test.Sdk" />'
    '<ProjectReference Include="../../src/Core/Core.csproj" /></Project>',
}


def test_dotnet_solutions() -> None:
    telling = "export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1; "
    plan = plan_of(DOTNET)
    assert {name: line.removeprefix(telling) for name, line in commands(plan).items() if name != "dotnet format"} == {
        "dotnet build": "dotnet build --no-restore App.sln",
        "dotnet test": "dotnet test --no-restore App.sln",
    }
    assert commands(plan)["dotnet format"].endswith("dotnet format whitespace . --folder --verify-no-changes")
    assert plan.set_up[0].command.endswith("dotnet restore App.sln")
    app = plan_of(DOTNET, changed=["src/App/A.cs"])
    assert commands(app)["dotnet build"] == f"{telling}dotnet build --no-restore src/App/App.csproj"
    assert "dotnet test" not in commands(app)
    core = plan_of(DOTNET, changed=["src/Core/A.cs"])
    assert commands(core)["dotnet test"] == f"{telling}dotnet test --no-restore tests/Core.Tests/Core.Tests.csproj"
    locked = plan_of({**DOTNET, "src/App/packages.lock.json": ""})
    assert locked.set_up[0].command.endswith("dotnet restore --locked-mode App.sln")


def test_swift_packages() -> None:
    package = 'let package = Package(dependencies: [.package(url: "https://example.com/a", from: "1.0.0")], {})\n'
    plan = plan_of({"Package.swift": package.format('.testTarget(name: "T")'), ".swiftlint.yml": ""})
    assert commands(plan) == {
        "swiftlint": "swiftlint lint --quiet",
        "swift build": "swift build",
        "swift test": "mkdir -p .honk && swift test --parallel --xunit-output .honk/swift.xml",
    }
    assert plan.set_up[0].command == "swift package resolve"
    local = {"App/Package.swift": '.package(path: "../Kit")', "Kit/Package.swift": "", "Other/Package.swift": ""}
    assert not plan_of(local).set_up
    assert {one.directory for one in plan_of(local, changed=["Kit/a.swift"]).verifiers} == {"App", "Kit"}


def test_xcode_needs_a_mac_and_says_so() -> None:
    files = {
        "App/App.xcodeproj/project.pbxproj": "SDKROOT = iphoneos;",
        "App/App.xcodeproj/project.xcworkspace/contents.xcworkspacedata": "",
        "App/App.xcodeproj/xcshareddata/xcschemes/Release.xcscheme": "",
    }
    assert commands(plan_of(files)) == {
        "xcode build (App)": "App$ xcodebuild build -project App.xcodeproj -scheme Release "
        "-destination 'generic/platform=iOS Simulator' CODE_SIGNING_ALLOWED=NO"
    }
    mac = {
        **files,
        "App/App.xcodeproj/project.pbxproj": "SDKROOT = macosx;",
        "App/App.xcworkspace/contents.xcworkspacedata": "",
    }
    assert commands(plan_of(mac)) == {
        "xcode test (App)": "App$ xcodebuild test -workspace App.xcworkspace -scheme Release "
        "-destination platform=macOS CODE_SIGNING_ALLOWED=NO"
    }
    assert "a Mac" in REMEDIES["xcodebuild"]


def test_bazel_runs_instead_of_others_where_it_is_there() -> None:
    files = {"MODULE.bazel": "", "go.mod": "module a\n"}
    with_it = plan_of(files, programs=["bazelisk"])
    assert list(commands(with_it)) == ["gofmt", "go vet", "bazel test"]
    assert commands(with_it)["bazel test"].startswith("bazelisk test --keep_going ")
    assert left_out(with_it)["go test"] == "bazel test builds and tests the same"
    without = plan_of(files)
    assert list(commands(without)) == ["gofmt", "go vet", "go build", "go test"]
    assert left_out(without) == {"bazel test": "there is no Bazel on this machine, and go build, go test do without"}
    assert list(commands(plan_of({"WORKSPACE": ""}))) == ["bazel test"]


def test_of_a_change_bazel_tests_what_uses_the_packages_that_it_touches() -> None:
    files = {
        **{"WORKSPACE": "", "offline/WORKSPACE": "", "BUILD": "", "lib/BUILD.bazel": "", "lib/deep/a.cc": ""},
        **{"lib/BUILD": "", "app/BUILD": "", "app/it's here/BUILD": "", "rules.bzl": ""},
    }

    def command(*changed: str) -> str:
        plan = commands(plan_of(files, changed=changed, programs=["bazel"]))
        assert list(plan) == ["bazel test"]
        return plan["bazel test"]

    touched = command("lib/deep/a.cc", "app/gone.cc")
    assert "bazel query --noshow_progress --output=package 'rdeps(//..., set(//app:* //lib:*))'" in touched
    assert "${using:-//...}" in touched
    assert "set(//:*)" in command("new.cc")
    for everything in ("WORKSPACE", "lib/rules.bzl", ".bazelrc", "app/it's here/BUILD"):
        assert "query" not in command("lib/deep/a.cc", everything), everything
    inner = {"native/MODULE.bazel": "", "native/lib/BUILD": "", "README.md": ""}
    touched = commands(plan_of(inner, changed=["native/lib/a.cc"], programs=["bazel"]))["bazel test (native)"]
    assert "set(//lib:*)" in touched
    prose = plan_of(inner, changed=["native/README.md"], programs=["bazel"])
    assert not prose.verifiers
    assert prose.untouched == ["Bazel in native"]
    assert "query" not in commands(plan_of(inner, changed=["native/a.cc"], programs=["bazel"]))["bazel test (native)"]


def test_targets_of_make_and_just_run_for_what_nothing_else_does() -> None:
    makefile = "lint:\n\t@shellcheck *.sh && echo fine\ntest: all\n\t./run.sh\nall:\n\tcc -o a a.c\n"
    plan = plan_of({"Makefile": makefile})
    assert commands(plan) == {"make lint": "make lint", "make test": "make test"}
    assert {one.name: tuple(one.needs) for one in plan.verifiers} == {
        "make lint": ("make", "shellcheck"),
        "make test": ("make", "cc"),
    }
    tested = {"Makefile": makefile, "justfile": "lint:\n    x\ncheck:\n    y\n", "go.mod": "module a\n"}
    assert left_out(plan_of(tested)) == {
        "make lint": "go vet does that",
        "make test": "go test does that",
        "just lint": "go vet, make lint do that",
        "just check": "go test, make test do that",
    }


def test_recipes_of_just_run_if_they_need_no_words() -> None:
    justfile = (
        "set shell := ['sh']\ndefault: test\n\n[private]\nlint *args='':\n    x {{args}}\n"
        "test name: build\n    y\ncheck: (build)\n    z\nbuild:\n"
    )
    assert commands(plan_of({"justfile": justfile})) == {"just lint": "just lint", "just check": "just check"}


def test_a_makefile_below_others_is_part_of_them() -> None:
    files = {"Makefile": "test:\n\tmake -C src test\n", "src/Makefile": "test:\n\t./t\n"}
    assert list(commands(plan_of(files))) == ["make test"]
    alone = {"native/Makefile": "test:\n\t./t\n", "web/package.json": {"scripts": {"test": "x"}}}
    assert list(commands(plan_of(alone))) == ["npm test (web)", "make test (native)"]
    assert list(commands(plan_of(alone, changed=["web/a.js"]))) == ["npm test (web)"]


MANY = {
    "backend/pyproject.toml": "[tool.pytest.ini_options]\n",
    "web/package.json": {"scripts": {"test": "x"}, "dependencies": {"api": "file:../api"}},
    "tool/go.mod": "module a\n",
    "Makefile": "test:\n\tpytest backend && npm test\nlint:\n\tshellcheck a.sh\n",
}


def test_only_projects_that_a_change_touches_are_checked() -> None:
    assert list(commands(plan_of(MANY))) == [
        *("pytest (backend)", "npm test (web)", "gofmt (tool)", "go vet (tool)", "go build (tool)", "go test (tool)")
    ]
    plan = plan_of(MANY, changed=["backend/app.py", "README.md"])
    assert list(commands(plan)) == ["pytest (backend)"]
    assert plan.untouched == ["Node in web", "Go in tool"]


def test_a_folder_that_a_project_uses_need_not_be_a_project() -> None:
    assert list(commands(plan_of(MANY, changed=["api/schema.json"]))) == ["npm test (web)"]


def test_a_file_that_belongs_to_no_project_touches_all_of_them_unless_it_is_prose() -> None:
    shared = plan_of(MANY, changed=["schema/messages.proto"])
    assert len(shared.verifiers) == 6
    assert shared.verifiers[0].why.endswith("schema/messages.proto, which the change touches, belongs to no project")
    prose = plan_of(MANY, changed=["docs/index.md", "LICENSE"])
    assert (prose.verifiers, len(prose.untouched)) == ([], 3)


def test_a_project_that_a_change_deletes_touches_what_is_around_it() -> None:
    files = {"pyproject.toml": "[tool.pytest.ini_options]\n"}
    assert list(commands(plan_of(files, changed=["gone/pyproject.toml", "gone/test_a.py"]))) == ["pytest"]


def test_checks_that_honk_yaml_names_all_run() -> None:
    plan = plan_of({**MANY, "honk.yaml": "verify: {mine: 'true'}"}, changed=["README.md"])
    assert commands(plan) == {"mine": "true"}


def test_names_are_told_apart_whatever_the_folders_are_called() -> None:
    place = "we $(touch x); 'ird"
    plan = plan_of(
        {f"{place}/setup.py": "", f"{place}/pytest.ini": "", f"{place}/tests/test_a.py": "def test_a(): ..."}
    )
    (step,) = plan.set_up
    assert step.directory == place
    assert step.path
    assert set("$(;' ").isdisjoint(step.path.removeprefix("$HOME"))
    assert place not in step.command


def test_a_repository_with_very_many_tests_is_looked_at_in_few_reads() -> None:
    files = {f"services/s{n % 50}/tests/test_{n}.py": "def test_a(): ..." for n in range(10_000)}
    files |= {f"services/s{n}/pyproject.toml": "[project]\nname = 'a'\n" for n in range(50)}
    files |= {f"packages/p{n}/package.json": '{"scripts": {"test": "x"}}' for n in range(50)}
    listed = Listed(files, ["python3", "pytest", "node", "npm"])
    plan = detect(listed, parse_repository_file(""))
    assert len(plan.verifiers) == 100
    assert sum(map(len, listed.read_together)) < 5_000
    assert len(listed.read_together) < 10


def test_every_program_that_a_check_may_need_has_a_remedy() -> None:
    everything = {**CARGO, **MAVEN, **GRADLE, **DOTNET, "go.mod": "", "Package.swift": "", "MODULE.bazel": ""}
    needed = {program for one in plan_of(everything).verifiers for program in one.needs}
    assert needed <= set(REMEDIES)


def test_every_kind_of_project_is_known_by_some_file() -> None:
    assert len({ecosystem.name for ecosystem in ECOSYSTEMS}) == len(ECOSYSTEMS)
    assert all(ecosystem.markers for ecosystem in ECOSYSTEMS)


def test_the_documentation_lists_every_kind_of_project() -> None:
    text = (Path(__file__).parents[2] / "docs/verification.md").read_text()
    rows = re.findall(r"^\| (.+) \| (.+) \| (.+) \|$", text, re.MULTILINE)
    listed = [row for row in rows if row[0] not in ("kind", "---")]
    assert listed == [(one.name, one.found, one.checks) for one in ECOSYSTEMS]


ODD = {
    "pyproject.toml": [
        "tool = 3\nproject = 'x'\ndependency-groups = []\nbuild-system = 1\n",
        "[tool]\nuv = 1\npoetry = []\nruff = 'x'\nmypy = []\npytest = 1\n",
        "[tool.uv]\nsources = 1\nworkspace = {members = 3, exclude = [4]}\ndev-dependencies = 'x'\n",
        "[tool.uv.sources]\na = [1, {path = 2}]\n[dependency-groups]\ndev = [{include-group = 'x'}, 1]\ntest = 4\n",
        "[tool.poetry]\ngroup = 1\ndependencies = []\n",
        "[tool.poetry.group]\na = 1\nb = {dependencies = 2, optional = true}\n",
        "[tool.poetry.dependencies]\nc = {path = 1}\n",
        "[project]\nname = 1\ndependencies = 2\noptional-dependencies = {'$(x)' = ['ruff'], dev = 1}\n",
    ],
    "Cargo.toml": [
        "workspace = 1\npackage = 2\ntarget = 3\ndependencies = []\n",
        "[workspace]\nmembers = 1\nexclude = [2]\ndependencies = 3\n[target]\nx = 1\n",
        "[package]\nname = 1\n[dependencies]\na = {path = 1}\nb = {workspace = true}\n",
    ],
    "package.json": [
        '{"scripts": [1], "workspaces": 3, "dependencies": "x", "packageManager": 4, "name": {}}',
        '{"scripts": {"test": 1}, "workspaces": [1, "**/**/**/x"], "dependencies": {"a": {}}}',
    ],
    "pnpm-workspace.yaml": ["packages: 3\n", "packages: [[1], {a: b}]\n", "[1]\n"],
    ".pre-commit-config.yaml": ["repos: 3\n", "repos: [3, {hooks: 4}, {repo: [], hooks: [{id: {}}, 5]}]\n"],
    "pom.xml": [
        "<project><modules><module/></modules></project>",
        "<a",
        "<project><modules><module>..</module></modules></project>",
    ],
}


@pytest.mark.parametrize(("path", "text"), [(path, text) for path, texts in ODD.items() for text in texts])
def test_files_of_another_form_than_expected_are_no_obstacle(path: str, text: str) -> None:
    files = {
        "tests/test_a.py": "def test_a(): ...",
        "uv.lock": "",
        "poetry.lock": "",
        "go.mod": "module a\n",
        path: text,
    }
    if path.startswith("pnpm"):
        files["package.json"] = "{}"
    assert "go test" in commands(plan_of(files))
    assert "$(x)" not in str(plan_of(files).set_up)


@pytest.mark.parametrize("path", [marker.replace("*", "x") for marker in dict.fromkeys(MARKERS)])
def test_no_file_makes_looking_at_it_take_long(path: str) -> None:
    for part in (
        "\n",
        " ",
        "/*",
        "a ",
        "use (\n",
        "[",
        "{",
        '"',
        "<ProjectReference ",
        ".package(",
        "include 'a' ",
        "a:",
        "require a",
    ):
        text = (part * LONGEST_READ)[: LONGEST_READ // 4]
        assert "gofmt (lib)" in commands(plan_of({"lib/go.mod": "module a\n", path: text}))


def test_what_gradle_builds_by_itself_is_no_project_of_its_own() -> None:
    files = {"settings.gradle": "", "buildSrc/settings.gradle.kts": "", "buildSrc/build.gradle.kts": ""}
    assert list(commands(plan_of(files))) == ["gradle test"]
