"""What decides what a set-up leaves: its commands, the files they read, and this machine's programs."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path, PurePosixPath

from honk.model import Checkout
from honk.verify.plan import SetUp
from honk.verify.tree import LONGEST_READ, folder, join, within

_DECLARATIONS = frozenset(
    {
        *("package.json", "package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml", "bun.lock"),
        *("bun.lockb", "pnpm-workspace.yaml", ".npmrc", ".yarnrc", ".yarnrc.yml", ".nvmrc", ".node-version"),
        *("pyproject.toml", "setup.py", "setup.cfg", "uv.lock", "poetry.lock", "pdm.lock", "Pipfile", "Pipfile.lock"),
        *("pip.conf", "tox.ini", ".python-version", ".tool-versions", "mise.toml"),
        *("Cargo.toml", "Cargo.lock", "rust-toolchain", "rust-toolchain.toml"),
        *("go.mod", "go.sum", "go.work", "go.work.sum", ".pre-commit-config.yaml"),
        *("packages.lock.json", "nuget.config", "NuGet.Config", "global.json", "Package.swift", "Package.resolved"),
        "gradle.properties",
        *("Gemfile", "Gemfile.lock", "composer.json", "composer.lock", "mix.exs", "mix.lock"),
    }
)
_DOTNET = re.compile(r"\.(sln|slnx|[cfv][sb]proj|props|targets)$")
_JVM = re.compile(
    r"pom[^/]*\.xml$|(^|/)\.mvn/|\.(gradle|gradle\.kts|lockfile|versions\.toml)$|"
    r"(^|/)gradle/(wrapper/)?[^/]+\.(xml|properties)$"
)
_REQUIREMENTS = re.compile(r"(requirements|constraints)[^/]*\.(txt|in)$|(^|/)requirements/[^/]+\.(txt|in)$")

# Only of these is it known that they read the declarations and nothing else of the tree.
_INSTALLERS = re.compile(
    r"""(npm\ (ci|install|i)|pnpm\ (install|i)|yarn(\ install)?|bun\ install
    |uv\ sync|poetry\ install|bundle\ install|pre-commit\ install-hooks
    |cargo\ fetch|go\ mod\ download|dotnet\ restore|swift\ package\ resolve|mkdir\ -p|ln\ -sf|export\ PATH=\S+
    |(uv\ venv|\S*python[\d.]*\ -m\ venv)
    |(uv\ pip|\S*pip[\d.]*|\S*python[\d.]*\ -m\ pip)\ install)(\s|$)""",
    re.VERBOSE,
)
_ASSIGNED = re.compile(r"[A-Z_]+=\S*")
_READS_MORE = re.compile(r"dynamic|backend-path|build\.hooks|^\[tool\.poetry\.build|^build\s*=", re.MULTILINE)
_LIFE_CYCLE = ("preinstall", "install", "postinstall", "prepublish", "preprepare", "prepare", "postprepare")
_COMPILED = frozenset({".c", ".cc", ".cpp", ".cxx", ".pyx", ".rs", ".f", ".f90", ".go", ".zig"})


def set_up_key(steps: Sequence[SetUp], checkout: Checkout, egress: Iterable[str]) -> str:
    """A name for all that decides what these steps leave behind.

    Where they only install what the repository declares, those are its declarations and lock files; otherwise every
    tracked file, because any of them may have been read.
    """
    blobs = checkout.blobs()
    declared = {path: blob for path, blob in blobs.items() if _declares(path) and _concerns(path, steps)}
    logic = [folder for step in steps for folder in step.reads]
    declared |= {path: blob for path, blob in blobs.items() if any(within(path, folder) for folder in logic)}
    installs = all(
        step.ahead or _only_installs(line, step.directory, declared, blobs, checkout)
        for step in steps
        for line in _commands(step)
    )
    files = [(inside, path.read_text()) for step in steps for inside, path in step.readable.items()]
    facts = {
        "commands": [*((step.command, step.path, step.directory) for step in steps), *files],
        "reads": declared if installs and declared else dict(blobs),
        "egress": sorted(egress),
        "machine": [*_machine(), checkout.made_of],
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def _declares(path: str) -> bool:
    patterns = (_REQUIREMENTS, _DOTNET, _JVM)
    return PurePosixPath(path).name in _DECLARATIONS or any(pattern.search(path) for pattern in patterns)


def _concerns(path: str, steps: Sequence[SetUp]) -> bool:
    """Whether one of the steps may read what another project declares there."""
    return any(not any(within(path, other) for other in step.apart) for step in steps)


def _commands(step: SetUp) -> list[str]:
    return [line.strip() for line in re.split(r"&&|;|\n", step.command) if line.strip()]


def _only_installs(
    line: str, directory: str, declared: Mapping[str, str], blobs: Mapping[str, str], checkout: Checkout
) -> bool:
    try:
        words = shlex.split(line)
    except ValueError:
        return False
    while words and _ASSIGNED.fullmatch(words[0]):
        line, words = line.partition(" ")[2].lstrip(), words[1:]
    if not _INSTALLERS.match(line) or any(sign in word for word in words for sign in ("|", "`", "$(")):
        return False
    if "pip install" in line:
        return _installs_packages_only(words, directory, blobs, checkout)
    if words[:2] in (["uv", "sync"], ["poetry", "install"]) and not {"--no-install-project", "--no-root"} & {*words}:
        places = _projects(blobs, directory) if "--all-packages" in words else [directory]
        return all(_described(place, blobs, checkout) for place in places)
    if words[0] in ("npm", "pnpm", "yarn", "bun"):
        packages = [path for path in declared if PurePosixPath(path).name == "package.json"]
        texts = checkout.texts(packages, LONGEST_READ)
        return not any(_has_life_cycle(texts.get(path, "")) for path in packages)
    return True


def _installs_packages_only(words: Sequence[str], directory: str, blobs: Mapping[str, str], checkout: Checkout) -> bool:
    """False where the project itself would be copied, compiled in place, or read for its own description."""
    editable = [after for word, after in pairwise(words) if word in ("-e", "--editable")]
    if any(word.startswith((".", "/", "file:")) and word not in editable for word in words[1:]):
        return False
    return all(_described(join(directory, path.partition("[")[0]), blobs, checkout) for path in editable)


def _described(directory: str, blobs: Mapping[str, str], checkout: Checkout) -> bool:
    """Whether a project that is installed as it lies there is described by its pyproject.toml and nothing else."""
    if join(directory, "setup.py") in blobs:
        return False
    if any(PurePosixPath(path).suffix in _COMPILED for path in blobs if within(path, directory)):
        return False
    return not _READS_MORE.search(checkout.read(join(directory, "pyproject.toml")) or "")


def _projects(blobs: Mapping[str, str], directory: str) -> list[str]:
    return [folder(path) for path in blobs if path.endswith("pyproject.toml") and within(path, directory)]


def _has_life_cycle(text: str) -> bool:
    try:
        scripts = json.loads(text).get("scripts") or {}
    except (ValueError, AttributeError):
        return True
    return any(name in scripts for name in _LIFE_CYCLE)


def _machine() -> list[str]:
    """What changes when this machine's programs do."""
    told = [platform.machine(), os.environ.get("PATH", "")]
    for path in ("/etc/os-release", "/usr/bin", "/usr/local/bin"):
        if Path(path).exists():
            told.append(f"{path} {Path(path).stat().st_mtime_ns}")
    return told
