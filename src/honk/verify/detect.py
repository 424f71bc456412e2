"""Detectors: small functions that look at what a repository contains and propose checks for it."""

from __future__ import annotations

import re

from honk.model import Checkout
from honk.repository_file import RepositoryFile, VerifyStep
from honk.verify.node import detect_node
from honk.verify.plan import Plan, SetUp, Tree, Verifier
from honk.verify.python import detect_python

__all__ = ["SetUp", "Verifier", "detect"]


def detect(checkout: Checkout, file: RepositoryFile) -> Plan:
    """The checks for a checkout: those honk.yaml names, or else those its contents ask for."""
    set_up = [SetUp(file.setup, "honk.yaml names `setup`", configured=True)] if file.setup else []
    if file.verify is not None:
        return Plan([_configured(name, step) for name, step in file.verify.items()], set_up)
    tree = Tree.of(checkout)
    plans = [detector(tree) for detector in (detect_python, detect_node, _cargo, _go, _maven, _gradle)]
    verifiers = [verifier for plan in plans for verifier in plan.verifiers]
    if not any(verifier.name.endswith("test") for verifier in verifiers):
        verifiers += _make(tree).verifiers
    return Plan(verifiers, set_up or [step for plan in plans for step in plan.set_up])


def _configured(name: str, step: str | VerifyStep) -> Verifier:
    why = f"honk.yaml names `verify.{name}`"
    if isinstance(step, str):
        return Verifier(name, step, why, configured=True)
    return Verifier(name, step.run, why, step.directory, step.timeout, configured=True, after=tuple(step.after))


def _cargo(tree: Tree) -> Plan:
    if "Cargo.toml" not in tree.files:
        return Plan()
    why, manifest, lock = "Cargo.toml is there", tree.text("Cargo.toml"), tree.text("Cargo.lock")
    vendored = any(path.startswith("vendor/") for path in tree.files)
    how = (" --locked" if lock else "") + (" --offline" if vendored else "")
    verifiers = [Verifier("cargo fmt", "cargo fmt --all --check", why, needs=("cargo", "rustfmt"))]
    if tree.first("clippy.toml", ".clippy.toml") or re.search(
        r"^\[(workspace\.)?lints\.clippy", manifest, re.MULTILINE
    ):
        command = f"cargo clippy --workspace --all-targets{how}"
        verifiers.append(
            Verifier("cargo clippy", command, "clippy is configured", needs=("cargo", "cargo-clippy", "cc"))
        )
    verifiers.append(Verifier("cargo test", f"cargo test --workspace{how}", why, needs=("cargo", "cc")))
    fetched = 'source = "' in lock if lock else re.search(r"^\[.*dependencies", manifest, re.MULTILINE)
    fetch = f"cargo fetch{' --locked' if lock else ''}"
    return Plan(verifiers, [SetUp(fetch, "Cargo.toml has dependencies")] if fetched and not vendored else [])


def _go(tree: Tree) -> Plan:
    if "go.mod" not in tree.files:
        return Plan()
    why = "go.mod is there"
    listed = "git ls-files -z -- '*.go' ':!:vendor/' | xargs -0 gofmt -l"
    format_check = f'out=$({listed}) && test -z "$out" || {{ echo "not formatted: $out"; exit 1; }}'
    fetched = re.search(r"^require\b", tree.text("go.mod"), re.MULTILINE) and "vendor/modules.txt" not in tree.files
    return Plan(
        [
            Verifier("gofmt", format_check, why, needs=("gofmt",)),
            Verifier("go vet", "go vet ./...", why, needs=("go",)),
            Verifier("go test", "go test ./...", why, needs=("go",)),
        ],
        [SetUp("go mod download", "go.mod has dependencies")] if fetched else [],
    )


def _maven(tree: Tree) -> Plan:
    if "pom.xml" not in tree.files:
        return Plan()
    wrapper = tree.first("mvnw")
    program = "sh ./mvnw" if wrapper else "mvn"
    needs = ("java",) if wrapper else ("mvn",)
    command = f"{program} -B -ntp test"
    return Plan(
        [Verifier("maven test", command, "pom.xml is there", timeout=1800, needs=needs, registries=True)],
    )


def _gradle(tree: Tree) -> Plan:
    found = tree.first("build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts")
    if found is None:
        return Plan()
    wrapper = tree.first("gradlew")
    program = "sh ./gradlew" if wrapper else "gradle"
    needs = ("java",) if wrapper else ("gradle",)
    command = f"{program} --console=plain check"
    return Plan(
        [Verifier("gradle test", command, f"{found} is there", timeout=1800, needs=needs, registries=True)],
    )


def _make(tree: Tree) -> Plan:
    makefile = tree.first("GNUmakefile", "Makefile", "makefile")
    if makefile is None:
        return Plan()
    targets = _targets(tree.text(makefile))
    wanted = [target for target in ("lint", "check", "test") if target in targets]
    covered = {part for target in wanted for part in _prerequisites(targets, target)}
    return Plan(
        [
            Verifier(f"make {target}", f"make {target}", f"{makefile} has the target {target}", needs=("make",))
            for target in wanted
            if target not in covered
        ]
    )


def _targets(text: str) -> dict[str, set[str]]:
    """A Makefile's targets and what each asks for directly."""
    found: dict[str, set[str]] = {}
    for names, asked in re.findall(r"^([A-Za-z][\w \t-]*?)[ \t]*::?(?!=)([^\n;#]*)", text, re.MULTILINE):
        for name in names.split():
            found.setdefault(name, set()).update(asked.split())
    return found


def _prerequisites(targets: dict[str, set[str]], target: str) -> set[str]:
    seen: set[str] = set()
    waiting = [target]
    while waiting:
        new = targets.get(waiting.pop(), set()) - seen
        seen |= new
        waiting += new
    return seen - {target}
