"""Node: the scripts of package.json by their usual names, with the package manager its lock file names."""

from __future__ import annotations

import json
import re
from typing import Any

from honk.verify.plan import Plan, SetUp, Tree, Verifier

_SCRIPTS = (
    ("format", ("format:check", "fmt:check", "check:format", "prettier:check")),
    ("lint", ("lint",)),
    ("types", ("typecheck", "type-check", "check-types", "check:types", "tsc")),
    ("build", ("build",)),
    ("test", ("test:ci", "test")),
)
# Scripts that only check if they are told to, and otherwise change files.
_FORMATTERS = ("format", "fmt", "prettier")
_ONLY_CHECKS = re.compile(r"(^|\s)(--check|-c|--list-different|-l|check)(\s|$)")
_NO_TEST = "no test specified"


def detect_node(tree: Tree) -> Plan:
    """Checks for a Node package at the repository's root."""
    if "package.json" not in tree.files:
        return Plan()
    try:
        package: dict[str, Any] = json.loads(tree.text("package.json"))
        named: dict[str, Any] = dict(package.get("scripts") or {})
        scripts = {name: line for name, line in named.items() if isinstance(line, str)}
    except (ValueError, TypeError, AttributeError):
        return Plan([Verifier("package.json", "node -e \"require('./package.json')\"", "package.json is not JSON")])
    program, install = _package_manager(tree)
    verifiers = []
    for kind, names in _SCRIPTS:
        name = next((name for name in names if name in scripts), None)
        if name is None and kind == "format":
            name = next((name for name in _FORMATTERS if _ONLY_CHECKS.search(scripts.get(name, ""))), None)
        if name is None or (kind == "test" and _NO_TEST in scripts[name]):
            continue
        why = f"package.json has the script {name!r}"
        verifiers.append(Verifier(f"npm {kind}", f"{program} run {name}", why, needs=("node", program)))
    needs_packages = any(package.get(key) for key in ("dependencies", "devDependencies"))
    return Plan(verifiers, [SetUp(install, "package.json has dependencies")] if verifiers and needs_packages else [])


def _package_manager(tree: Tree) -> tuple[str, str]:
    if "pnpm-lock.yaml" in tree.files:
        return "pnpm", "pnpm install --frozen-lockfile"
    if "yarn.lock" in tree.files:
        return "yarn", "yarn install --frozen-lockfile"
    if tree.first("bun.lock", "bun.lockb"):
        return "bun", "bun install --frozen-lockfile"
    if tree.first("package-lock.json", "npm-shrinkwrap.json"):
        return "npm", "npm ci --no-audit --no-fund"
    return "npm", "npm install --no-audit --no-fund --no-package-lock"
