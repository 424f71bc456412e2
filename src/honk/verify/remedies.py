"""How a program that is missing gets onto the machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_SYSTEM = "with the system's package manager"
REMEDIES: Mapping[str, str] = {
    "python3": f"install Python {_SYSTEM} (`apt install python3 python3-venv`)",
    "node": f"install Node.js {_SYSTEM} (`apt install nodejs npm`) or from nodejs.org",
    "npm": f"install npm {_SYSTEM} (`apt install npm`)",
    "pnpm": "`npm install --global pnpm`",
    "yarn": "`npm install --global yarn`",
    "bun": "`npm install --global bun`",
    "uv": "`pip install uv`",
    "poetry": "`pip install poetry`",
    "ruff": "`pip install ruff`",
    "black": "`pip install black`",
    "mypy": "`pip install mypy`",
    "pyright": "`pip install pyright`",
    "pytest": "`pip install pytest`",
    "tox": "`pip install tox`",
    "nox": "`pip install nox`",
    "pre-commit": "`pip install pre-commit`",
    "cargo": "install Rust with rustup.rs, or `apt install cargo`",
    "rustfmt": "`rustup component add rustfmt`, or `apt install rustfmt`",
    "cargo-clippy": "`rustup component add clippy`, or `apt install rust-clippy`",
    "cc": "install a C compiler, which Rust links with, too (`apt install build-essential`)",
    "cmake": f"install CMake {_SYSTEM} (`apt install cmake`)",
    "meson": "`pip install meson`",
    "ninja": "`pip install ninja`",
    "autoreconf": "`apt install autoconf automake libtool`",
    "go": "install Go from go.dev/dl, or `apt install golang-go`",
    "gofmt": "install Go from go.dev/dl, or `apt install golang-go`",
    "golangci-lint": "install golangci-lint from golangci-lint.run",
    "java": "install a JDK (`apt install default-jdk`)",
    "mvn": "install Maven (`apt install maven`), or commit its wrapper (`mvn wrapper:wrapper`)",
    "gradle": "commit Gradle's wrapper (`gradle wrapper`), or install Gradle from gradle.org",
    "dotnet": "install the .NET SDK from dot.net",
    "swift": "install Swift from swift.org",
    "swiftlint": "install SwiftLint from its releases page",
    "xcodebuild": (
        "Xcode runs on a Mac only: name a build `on: macos`, which a Mac does that runs `honk worker --labels macos`"
    ),
    "bazel": (
        "install Bazel from bazel.build, or `apt install bazel-bootstrap` (Bazelisk will do if `egress` in honk.yaml "
        "names the host that it fetches Bazel from)"
    ),
    "make": "`apt install make`",
    "just": "install just (`pip install rust-just`)",
    "docker": "there is no container engine in a sandbox",
}
"""In words that go on after a colon, by the program's name."""


def remedy(programs: Sequence[str]) -> str:
    """One sentence that says what to do about these."""
    known = list(dict.fromkeys(REMEDIES[name] for name in programs if name in REMEDIES))
    first = ", and ".join(known) if known else "install it here"
    return f"{first}, or say in honk.yaml how to check (`setup`, `verify`)."
