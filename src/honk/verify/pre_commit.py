"""pre-commit: one check for all that its hooks do, where they can be fetched; otherwise the tools that Honk knows."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import urlsplit

from honk.verify.plan import LeftOut, Plan, SetUp, Verifier
from honk.verify.tree import Tree, texts

CONFIGURATION = ".pre-commit-config.yaml"
MARKERS = (CONFIGURATION,)
_HOOKS = {
    "ruff": "ruff",
    "ruff-check": "ruff",
    "ruff-format": "ruff-format",
    "black": "black",
    "mypy": "mypy",
    "pyright": "pyright",
    "eslint": "eslint",
    "prettier": "prettier",
    "biome-check": "biome",
    "go-fmt": "gofmt",
    "gofmt": "gofmt",
    "go-vet": "go vet",
    "fmt": "rustfmt",
    "cargo-fmt": "rustfmt",
    "clippy": "clippy",
    "cargo-clippy": "clippy",
}
"""Tools by the usual names of the hooks that run them."""
_SAME_VERSION = re.compile(r"/(ruff-pre-commit|black|black-pre-commit-mirror|mirrors-mypy|pyright-python)(\.git)?/?$")
_VERSION = re.compile(r"v?(\d+(?:\.\d+){1,3})")
_PLACE = "$HOME/.honk-tools"


@dataclass(frozen=True)
class Hook:
    """A hook that runs a tool that Honk knows. `files` and `exclude` are the regular expressions that say on which
    files, `version` is the tool's, where the hook's repository has the same."""

    tool: str
    version: str = ""
    files: str = ""
    exclude: str = ""
    arguments: Sequence[str] | None = None
    """None where the hook's own are not replaced."""
    brings: Sequence[str] = ()
    """Packages that are installed beside the tool."""


def hooks(tree: Tree) -> Iterator[Hook]:
    """The hooks by which pre-commit runs tools that Honk knows."""
    whole = tree.yaml(CONFIGURATION)
    for repository in _repositories(tree):
        mirrored = _SAME_VERSION.search(str(repository.get("repo", "")))
        version = _VERSION.fullmatch(str(repository.get("rev", ""))) if mirrored else None
        for told in (one for one in _entries(repository) if one["id"] in _HOOKS):
            yield Hook(
                _HOOKS[str(told["id"])],
                version[1] if version else "",
                _pattern(told.get("files") or whole.get("files")),
                _pattern(told.get("exclude") or whole.get("exclude")),
                texts(told["args"]) if "args" in told else None,
                texts(told.get("additional_dependencies")),
            )


def hooked(tree: Tree) -> dict[str, str]:
    """The tools that pre-commit runs, each with its version where the hook's repository has the same; else empty."""
    return {one.tool: one.version for one in hooks(tree)}


def _pattern(told: Any) -> str:
    """A regular expression on one line."""
    return re.sub(r"\s*\n\s*", " ", told.strip()) if isinstance(told, str) else ""


def instead_of_its_hooks(tree: Tree, plan: Plan, egress: Collection[str]) -> Plan:
    """The plan with pre-commit in place of the checks that it runs, or with the reason why it is not run."""
    repositories = list(_repositories(tree))
    if not any(_entries(one) for one in repositories):
        return plan
    hosts = dict.fromkeys(host for one in repositories if (host := _host(one)))
    if closed := [host for host in hosts if not _open(host, egress)]:
        known = [one.name for one in plan.verifiers if one.kind in ("format", "lint", "types")]
        instead = f"; {', '.join(known)} run without it" if known else ""
        why = f"its hooks come from {', '.join(closed)}, which is not in `egress` of honk.yaml{instead}"
        return replace(plan, left_out=[*plan.left_out, LeftOut("pre-commit", why)])
    tools = set(hooked(tree))
    covered = [one for one in plan.verifiers if one.tools and tools.issuperset(one.tools) and one.kind != "test"]
    check = Verifier(
        "pre-commit",
        # The one hook that is red wherever the default branch itself is checked.
        "SKIP=no-commit-to-branch pre-commit run --all-files --show-diff-on-failure --color=never",
        f"{CONFIGURATION} is there",
        timeout=1200.0,
        needs=("pre-commit",),
        kind="lint",
        tools=sorted(tools),
    )
    return replace(
        plan,
        verifiers=[check, *(one for one in plan.verifiers if one not in covered)],
        set_up=[*plan.set_up, *_set_up(tree, bool(hosts))],
        left_out=[*plan.left_out, *(LeftOut(one.name, "pre-commit runs it") for one in covered)],
    )


def _set_up(tree: Tree, fetched: bool) -> list[SetUp]:
    lines = []
    if not tree.present(["pre-commit"]):
        own = f"{_PLACE}/pre-commit"
        lines = [
            f"python3 -m venv {own}",
            f"{own}/bin/python -m pip install -q --disable-pip-version-check --retries 1 pre-commit",
            f"mkdir -p {_PLACE}/bin",
            f"ln -sf {own}/bin/pre-commit {_PLACE}/bin/pre-commit",
            f'export PATH="$PATH:{_PLACE}/bin"',
        ]
    if fetched:
        lines.append("pre-commit install-hooks")
    why = f"{CONFIGURATION} is there"
    return (
        [SetUp(" && ".join(lines), why, f"{_PLACE}/bin", needs=("python3",), brings=("pre-commit",))] if lines else []
    )


def _repositories(tree: Tree) -> Iterator[Mapping[str, Any]]:
    found = tree.yaml(CONFIGURATION).get("repos")
    yield from (one for one in found if isinstance(one, dict)) if isinstance(found, list) else ()


def _entries(repository: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = repository.get("hooks")
    return (
        [one for one in found if isinstance(one, dict) and isinstance(one.get("id"), str)]
        if isinstance(found, list)
        else []
    )


def _host(repository: Mapping[str, Any]) -> str | None:
    """The host that a hook is fetched from; None for one that comes with the repository."""
    address = str(repository.get("repo", "local"))
    if address in ("local", "meta"):
        return None
    scp = re.match(r"(?:[\w.-]+@)?([\w.-]+\.\w+):", address)
    return urlsplit(address).hostname if "://" in address else (scp[1] if scp else address)


def _open(host: str, egress: Collection[str]) -> bool:
    return any(fnmatchcase(host, one.partition(":")[0]) for one in egress)
