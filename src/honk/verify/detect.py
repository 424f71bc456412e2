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
    return Verifier(name, step.run, why, step.directory, step.timeout, configured=True)


def _cargo(tree: Tree) -> Plan:
    if "Cargo.toml" not in tree.files:
        return Plan()
    offline = " --offline" if any(path.startswith("vendor/") for path in tree.files) else ""
    locked = " --locked" if "Cargo.lock" in tree.files else ""
    return Plan(
        [
            Verifier("cargo fmt", "cargo fmt --all --check", "Cargo.toml is there", needs=("cargo", "rustfmt")),
            Verifier(
                "cargo test", f"cargo test --workspace{locked}{offline}", "Cargo.toml is there", needs=("cargo", "cc")
            ),
        ]
    )


def _go(tree: Tree) -> Plan:
    if "go.mod" not in tree.files:
        return Plan()
    why = "go.mod is there"
    format_check = 'out=$(gofmt -l $(git ls-files "*.go")) && test -z "$out" || { echo "not formatted: $out"; exit 1; }'
    return Plan(
        [
            Verifier("gofmt", format_check, why, needs=("gofmt",)),
            Verifier("go vet", "go vet ./...", why, needs=("go",)),
            Verifier("go test", "go test ./...", why, needs=("go",)),
        ]
    )


def _maven(tree: Tree) -> Plan:
    if "pom.xml" not in tree.files:
        return Plan()
    wrapper = tree.first("mvnw")
    program = "sh ./mvnw" if wrapper else "mvn"
    needs = ("java",) if wrapper else ("mvn",)
    return Plan([Verifier("maven test", f"{program} -B -ntp test", "pom.xml is there", timeout=1800, needs=needs)])


def _gradle(tree: Tree) -> Plan:
    found = tree.first("build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts")
    if found is None:
        return Plan()
    wrapper = tree.first("gradlew")
    program = "sh ./gradlew" if wrapper else "gradle"
    needs = ("java",) if wrapper else ("gradle",)
    return Plan(
        [Verifier("gradle test", f"{program} --console=plain check", f"{found} is there", timeout=1800, needs=needs)]
    )


def _make(tree: Tree) -> Plan:
    makefile = tree.first("GNUmakefile", "Makefile", "makefile")
    if makefile is None:
        return Plan()
    targets = set(re.findall(r"^([A-Za-z][\w-]*)\s*:(?!=)", tree.text(makefile), re.MULTILINE))
    wanted = [target for target in ("lint", "check", "test") if target in targets]
    return Plan(
        [
            Verifier(f"make {target}", f"make {target}", f"{makefile} has the target {target}", needs=("make",))
            for target in wanted
        ]
    )
