"""Every kind of project that Honk finds checks in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from honk.verify import bazel, cargo, dotnet, go, gradle, make, maven, native, node, pre_commit, python, swift
from honk.verify.plan import Workspace
from honk.verify.tree import Tree


@dataclass(frozen=True)
class Ecosystem:
    """A kind of project. `found` and `checks` say in words what it is known by and what is run."""

    name: str
    found: str
    checks: str
    markers: Sequence[str]
    """Patterns of the names of files that tell."""
    find: Callable[[Tree], Sequence[Workspace]] = lambda _: ()
    """Its workspaces. One that only calls what others bring has none: it is asked when these are known."""


ECOSYSTEMS = (
    Ecosystem(
        "Python",
        "`pyproject.toml`, `setup.py`, requirements, test files",
        "ruff, black, mypy and pyright where they are configured; pytest, Django's tests or unittest, else tox or nox",
        python.MARKERS,
        python.find_python,
    ),
    Ecosystem(
        "Node",
        "`package.json`",
        "its scripts for format, lint, types, build and test; where one is missing prettier, biome, eslint, tsc, "
        "vitest or jest, if it is configured",
        node.MARKERS,
        node.find_node,
    ),
    Ecosystem(
        "Cargo",
        "`Cargo.toml`",
        "`cargo fmt --check`, `cargo clippy` where it is configured, `cargo test`",
        cargo.MARKERS,
        cargo.find_cargo,
    ),
    Ecosystem(
        "Go",
        "`go.mod`, `go.work`",
        "`gofmt`, `go vet`, `golangci-lint` where it is configured, `go build`, `go test`",
        go.MARKERS,
        go.find_go,
    ),
    Ecosystem(
        "Maven",
        "`pom.xml`",
        "`mvn test`, or the wrapper; Spotless and Checkstyle where they are configured",
        maven.MARKERS,
        maven.find_maven,
    ),
    Ecosystem(
        "Gradle",
        "`build.gradle`, `settings.gradle`",
        "`gradle check`, or the wrapper",
        gradle.MARKERS,
        gradle.find_gradle,
    ),
    Ecosystem(
        ".NET",
        "`*.sln`, `*.slnx`, `*.csproj`, `*.fsproj`, `*.vbproj`",
        "`dotnet format` where there is an `.editorconfig`, `dotnet build`, `dotnet test`",
        dotnet.MARKERS,
        dotnet.find_dotnet,
    ),
    Ecosystem(
        "Swift",
        "`Package.swift`",
        "`swift format` and SwiftLint where they are configured, `swift build`, `swift test`",
        swift.MARKERS,
        swift.find_swift,
    ),
    Ecosystem(
        "Xcode",
        "`*.xcodeproj`, `*.xcworkspace`",
        "`xcodebuild`, which needs a Mac: elsewhere it is skipped and says so",
        swift.XCODE_MARKERS,
        swift.find_xcode,
    ),
    Ecosystem(
        "CMake", "`CMakeLists.txt`", "a build, and `ctest` where it has tests", native.CMAKE_MARKERS, native.find_cmake
    ),
    Ecosystem(
        "Meson",
        "`meson.build`",
        "a build, and `meson test` where it has tests",
        native.MESON_MARKERS,
        native.find_meson,
    ),
    Ecosystem(
        "Autotools",
        "`configure.ac`",
        "`./configure` and `make`, and `make check` where it has tests",
        native.AUTOTOOLS_MARKERS,
        native.find_autotools,
    ),
    Ecosystem(
        "Bazel",
        "`MODULE.bazel`, `WORKSPACE`",
        "`bazel test //...`, in place of the builds and tests above of the same files, where the machine has Bazel",
        bazel.MARKERS,
    ),
    Ecosystem(
        "pre-commit",
        "`.pre-commit-config.yaml`",
        "its hooks, in place of the checks above that it runs, where they can be fetched",
        pre_commit.MARKERS,
    ),
    Ecosystem(
        "Make, just",
        "`Makefile`, `justfile`",
        "`lint`, `typecheck`, `check`, `test`, for the kinds of checks that nothing above does",
        make.MARKERS,
    ),
)

MARKERS = tuple(dict.fromkeys(marker for ecosystem in ECOSYSTEMS for marker in ecosystem.markers))
