"""Cargo: formatting, clippy where it is configured, and the tests of the packages that are touched."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial

from honk.verify.plan import Members, Plan, SetUp, Verifier, Workspace, named
from honk.verify.tree import Tree, folder, join, matching, ours, table, texts, within

MARKERS = ("Cargo.toml", "Cargo.lock")
_TABLES = ("dependencies", "dev-dependencies", "build-dependencies")


def find_cargo(tree: Tree) -> list[Workspace]:
    """The Cargo workspaces, and the packages that are in none."""
    folders = {folder(path) for path in tree.named("Cargo.toml") if ours(path)}
    everywhere = {folder(path) for path in tree.named("Cargo.toml")}
    grouped = {place: _members(tree, place, everywhere) for place in sorted(folders)}
    inside = {member for place, members in grouped.items() for member in members if member != place}
    workspaces = []
    for place in sorted(folders - inside):
        members = {one: frozenset(_uses(tree, one, place)) for one in sorted(grouped[place])}
        workspaces.append(Workspace("Cargo", place, partial(_plan, tree, place, members), members))
    return workspaces


def _members(tree: Tree, place: str, folders: set[str]) -> set[str]:
    told = tree.toml(join(place, "Cargo.toml"))
    found = {place} if "package" in told else set()
    workspace = told.get("workspace")
    if not isinstance(workspace, dict):
        return found or {place}
    taken = {one for one in folders for left in texts(workspace.get("exclude")) if within(one, join(place, left))}
    found |= matching(folders, texts(workspace.get("members")), place) - taken
    waiting = list(found)
    while waiting:
        # Those that a member names by a path below the root are members too.
        for used in _uses(tree, waiting.pop(), place):
            if used in folders and used not in found | taken and within(used, place):
                found.add(used)
                waiting.append(used)
    return found


def _uses(tree: Tree, place: str, root: str) -> Iterator[str]:
    shared = table(tree.toml(join(root, "Cargo.toml")), "workspace", "dependencies")
    told = tree.toml(join(place, "Cargo.toml"))
    for part in [told, *(one for one in table(told, "target").values() if isinstance(one, dict))]:
        for name, asked in ((name, asked) for key in _TABLES for name, asked in table(part, key).items()):
            if isinstance(asked, dict) and isinstance(asked.get("path"), str):
                yield join(place, asked["path"])
            elif (
                isinstance(asked, dict) and asked.get("workspace") and isinstance(table(shared, name).get("path"), str)
            ):
                yield join(root, shared[name]["path"])


def _plan(tree: Tree, root: str, members: Mapping[str, Members], chosen: Members | None) -> Plan:
    manifest, lock = tree.text(join(root, "Cargo.toml")), join(root, "Cargo.lock")
    vendored = tree.first(root, "vendor/README.md") or any(
        path.startswith(join(root, "vendor/")) for path in tree.files
    )
    how = (" --locked" if lock in tree else "") + (" --offline" if vendored else "")
    names = [table(tree.toml(join(one, "Cargo.toml")), "package").get("name") for one in sorted(chosen or ())]
    packages = " ".join(
        f"--package {name}" for name in names if isinstance(name, str) and re.fullmatch(r"[\w-]+", name)
    )
    why = f"{join(root, 'Cargo.toml')} is there"
    which = packages or "--workspace"
    verifiers = [
        Verifier(
            named("cargo fmt", root),
            f"cargo fmt {packages or '--all'} --check",
            why,
            root,
            needs=("cargo", "rustfmt"),
            kind="format",
            tools=("rustfmt",),
        )
    ]
    if tree.first(root, "clippy.toml", ".clippy.toml") or re.search(
        r"^\[(workspace\.)?lints\.clippy", manifest, re.MULTILINE
    ):
        verifiers.append(
            Verifier(
                named("cargo clippy", root),
                f"cargo clippy {which} --all-targets{how}",
                "clippy is configured",
                root,
                1200.0,
                needs=("cargo", "cargo-clippy", "cc"),
                kind="lint",
                tools=("clippy",),
            )
        )
    verifiers.append(
        Verifier(
            named("cargo test", root),
            f"cargo test {which} --no-fail-fast{how}",
            why,
            root,
            1800.0,
            needs=("cargo", "cc"),
            kind="test",
            tools=("cargo test",),
        )
    )
    return Plan(verifiers, _set_up(tree, root, members) if not vendored else [])


def _set_up(tree: Tree, root: str, members: Mapping[str, Members]) -> list[SetUp]:
    lock = join(root, "Cargo.lock")
    manifests = [tree.text(join(one, "Cargo.toml")) for one in members]
    asked = any(re.search(r"^\[.*dependencies", text, re.MULTILINE) for text in manifests)
    if not ('source = "' in tree.text(lock) if lock in tree else asked):
        return []
    fetch = f"cargo fetch{' --locked' if lock in tree else ''}"
    return [SetUp(fetch, f"{join(root, 'Cargo.toml')} has dependencies", directory=root, needs=("cargo",))]
