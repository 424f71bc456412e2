"""Node: the scripts of package.json by their usual names, else the tools it depends on, with the package manager that
the lock file names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

from honk.verify.node_packages import Manager, manager
from honk.verify.plan import Kind, LeftOut, Members, Plan, Verifier, Workspace, named
from honk.verify.tree import Tree, folder, join, matching, ours

MARKERS = ("package.json", "pnpm-workspace.yaml", "tsconfig.json", "biome.json", "biome.jsonc")
_SCRIPTS: Mapping[Kind, Sequence[str]] = {
    "format": ("format:check", "fmt:check", "check:format", "format-check", "prettier:check"),
    "lint": ("lint", "lint:check", "eslint"),
    "types": ("typecheck", "type-check", "check-types", "check:types", "types:check", "tsc"),
    "build": ("build",),
    "test": ("test:ci", "test", "test:unit"),
}
_FORMATTERS = ("format", "fmt", "prettier")
"""Scripts that only check if they are told to, and otherwise change files."""
_ONLY_CHECKS = re.compile(r"(^|\s)(--check|-c|--list-different|-l|check)(\s|$)")
_NO_TEST = "no test specified"
_WATCHES = re.compile(r"--watch(All)?(?!\S*=?false)\b(?!=false)|\bvitest\s+(watch|dev)\b")
_DELEGATES = re.compile(
    r"(^|\s)(--workspaces|-ws|--recursive|-r)(\s|$)|\bturbo\b|\blerna (run|exec)\b|\bnx (run-many|affected)\b|"
    r"\bworkspaces (run|foreach)\b|--filter[ =]['\"]?\*"
)
_KNOWN = ("eslint", "prettier", "biome", "tsc", "vitest", "jest")
_ESLINT = re.compile(r"^(\.eslintrc(\.(js|cjs|mjs|json|ya?ml))?|eslint\.config\.([cm]?[jt]s))$")
_PRETTIER = re.compile(r"^(\.prettierrc(\..*)?|prettier\.config\.([cm]?[jt]s))$")
_TSC = re.compile(r"(^|\s)(vue-)?tsc(\s|$)")
_TEST_FILE = re.compile(r"\.(test|spec)\.[cm]?[jt]sx?$")


@dataclass(frozen=True)
class Package:
    """One package.json and what lies beside it."""

    tree: Tree
    directory: str

    @cached_property
    def told(self) -> Mapping[str, Any]:
        """The file's object; empty where it is none."""
        return self.tree.json(join(self.directory, "package.json")) or {}

    @cached_property
    def scripts(self) -> dict[str, str]:
        """Its scripts by name."""
        found = self.told.get("scripts")
        return {name: line for name, line in found.items() if isinstance(line, str)} if isinstance(found, dict) else {}

    @cached_property
    def depends(self) -> dict[str, str]:
        """What it depends on, with the version that it asks for."""
        keys = ("dependencies", "devDependencies", "optionalDependencies", "peerDependencies")
        tables = [table for key in keys if isinstance(table := self.told.get(key), dict)]
        return {name: str(version) for table in tables for name, version in table.items()}

    def has(self, shape: re.Pattern[str], key: str) -> bool:
        """Whether a file beside it has such a name, or package.json itself such a key."""
        return key in self.told or any(shape.match(name) for name in self.tree.beside(self.directory))


def find_node(tree: Tree) -> list[Workspace]:
    """The Node packages, those of a workspace together."""
    folders = {folder(path) for path in tree.named("package.json") if ours(path)}
    everywhere = {folder(path) for path in tree.named("package.json") if "node_modules" not in path.split("/")}
    packages = {place: Package(tree, place) for place in sorted(folders)}
    grouped = {place: matching(everywhere, _patterns(tree, one), place) for place, one in packages.items()}
    inside = {member for place, members in grouped.items() for member in members if member != place}
    workspaces = []
    for place in sorted(folders - inside):
        group = {member: packages.get(member) or Package(tree, member) for member in {place, *grouped[place]}}
        names = {str(one.told["name"]): member for member, one in group.items() if one.told.get("name")}
        members = {member: frozenset(_uses(group[member], names)) for member in sorted(group)}
        plan = partial(_plan, tree, place, group, members)
        workspaces.append(Workspace("Node", place, plan, members, deep=True))
    return workspaces


def _patterns(tree: Tree, package: Package) -> list[str]:
    found = package.told.get("workspaces")
    found = found.get("packages") if isinstance(found, dict) else found
    told = tree.yaml(join(package.directory, "pnpm-workspace.yaml")).get("packages")
    lists = [one for one in (found, told) if isinstance(one, list)]
    return [one for patterns in lists for one in patterns if isinstance(one, str)]


def _uses(package: Package, names: Mapping[str, str]) -> set[str]:
    found = {names[name] for name in package.depends if name in names}
    local = (re.match(r"(?:file|link|portal):(.+)|(\.\.?/.+)", version) for version in package.depends.values())
    found |= {join(package.directory, one[1] or one[2]) for one in local if one}
    return found - {package.directory}


def _plan(
    tree: Tree, root: str, group: Mapping[str, Package], members: Mapping[str, Members], chosen: Members | None
) -> Plan:
    """Checks of the chosen packages, after the builds of those that they use."""
    if tree.json(join(root, "package.json")) is None:
        line, name = "node -e \"require('./package.json')\"", named("package.json", root)
        return Plan([Verifier(name, line, "package.json is not JSON", root, needs=("node",), kind="lint")])
    tool = manager(tree, root)
    everything = chosen is None or len(chosen) == len(group)
    delegated = _delegated(group[root]) if len(group) > 1 else frozenset()
    verifiers: list[Verifier] = []
    left_out: list[LeftOut] = []
    for place in sorted(group if chosen is None else chosen, key=lambda one: (one != root, one)):
        plan = _checks(tree, group[place], tool)
        left_out += plan.left_out
        for one in plan.verifiers:
            if one.tools == ("tsc",) and place == root and len(group) > 1 and "--build" not in one.command:
                left_out.append(
                    LeftOut(one.name, "the tsconfig.json of a workspace's root is what its packages extend")
                )
            elif one.kind not in delegated or everything == (place == root):
                verifiers.append(one)
            elif everything:
                left_out.append(LeftOut(one.name, "the root's script runs it"))
            else:
                left_out.append(LeftOut(one.name, "it runs in every package, and only some are touched"))
    needed = any(one.depends for one in group.values())
    return Plan(
        _after_builds(group, members, tool, verifiers), tool.set_up(tree) if verifiers and needed else [], left_out
    )


def _delegated(root: Package) -> frozenset[Kind]:
    """The kinds of checks for which a script of the root runs those of all members."""
    found = {kind: _script(root, kind) for kind in _SCRIPTS}
    return frozenset(kind for kind, name in found.items() if name and _DELEGATES.search(root.scripts[name]))


def _script(package: Package, kind: Kind) -> str | None:
    scripts = package.scripts
    name = next((name for name in _SCRIPTS[kind] if name in scripts and not _WATCHES.search(scripts[name])), None)
    if name is None and kind == "format":
        name = next((name for name in _FORMATTERS if _ONLY_CHECKS.search(scripts.get(name, ""))), None)
    return None if name and kind == "test" and _NO_TEST in scripts[name] else name


def _checks(tree: Tree, package: Package, tool: Manager) -> Plan:
    place, path = package.directory, join(package.directory, "package.json")
    verifiers: list[Verifier] = []
    left_out: list[LeftOut] = []
    for kind in _SCRIPTS:
        if name := _script(package, kind):
            line, why = tool.run_script(name), f"{path} has the script {name!r}"
            needs, tools = tool.needs, _tools(package.scripts[name])
            verifiers.append(
                Verifier(named(f"npm {kind}", place), line, why, place, needs=needs, kind=kind, tools=tools)
            )
        else:
            plan = _tool(tree, package, tool, kind)
            verifiers += plan.verifiers
            left_out += plan.left_out
    return Plan(verifiers, left_out=left_out)


def _tools(line: str) -> tuple[str, ...]:
    """The tools that a script runs, if it runs nothing but tools that are known."""
    programs = [part.split()[0] for part in re.split(r"&&|;|\|\|", line) if part.split()]
    return tuple(programs) if all(program in _KNOWN for program in programs) else ()


def _tool(tree: Tree, package: Package, tool: Manager, kind: Kind) -> Plan:
    """A check without a script for it, by a tool that is both configured and depended on."""
    place = package.directory
    if kind == "types" and (builds := _script(package, "build")) and _TSC.search(package.scripts[builds]):
        return Plan(left_out=[LeftOut(named("tsc", place), f"the script {builds!r} runs it")])
    if kind == "test" and tool.program == "bun" and any(_TEST_FILE.search(path) for path in tree.below(place)):
        name = named("bun test", place)
        return Plan([Verifier(name, "bun test", "there are test files", place, needs=("bun",), kind="test")])
    for name, words, why in _tools_for(tree, package, kind):
        line, needs = tool.run_tool(words), tool.needs
        return Plan([Verifier(named(name, place), line, why, place, needs=needs, kind=kind, tools=(name,))])
    return Plan()


def _tools_for(tree: Tree, package: Package, kind: Kind) -> Iterator[tuple[str, str, str]]:
    """The tools that can do it, best first: name, what to call, and why."""
    place, depends = package.directory, package.depends
    biome, typescript = tree.first(place, "biome.json", "biome.jsonc"), tree.first(place, "tsconfig.json")
    if kind == "format" and "prettier" in depends and package.has(_PRETTIER, "prettier"):
        yield "prettier", "prettier --check .", "prettier is configured"
    if kind == "lint" and "@biomejs/biome" in depends and biome:
        yield "biome", "biome ci --colors=off .", f"{biome} is there"
    if kind == "lint" and "eslint" in depends and package.has(_ESLINT, "eslintConfig"):
        yield "eslint", "eslint .", "eslint is configured"
    if kind == "types" and "typescript" in depends and typescript:
        several = re.search(r'"references"\s*:\s*\[\s*\{', tree.text(typescript))
        yield "tsc", f"tsc {'--build' if several else '--noEmit'} --pretty false", f"{typescript} is there"
    if kind == "test":
        for name, words in (("vitest", "vitest run"), ("jest", "jest --ci")):
            if name in depends:
                yield name, words, f"{name} is among the dependencies"


def _after_builds(
    group: Mapping[str, Package],
    members: Mapping[str, Members],
    tool: Manager,
    verifiers: Sequence[Verifier],
) -> list[Verifier]:
    """The checks, each told after which builds it comes: its own package's, and those of packages that it uses, which
    are added where they are not among them."""
    builds = {one.directory: one for one in verifiers if one.kind == "build"}
    for place in {one.directory: None for one in verifiers}:
        for used in _all_used(place, members):
            name = _script(group[used], "build")
            if used not in builds and name:
                why, line = f"{place} uses {used}", tool.run_script(name)
                needs = tool.needs
                builds[used] = Verifier(named("npm build", used), line, why, used, needs=needs, kind="build")
    rest = [one for one in verifiers if one.kind != "build"]
    return [
        replace(one, after=_builds_before(one, builds, members)) if one.kind in ("types", "build", "test") else one
        for one in sorted([*rest, *builds.values()], key=lambda one: len(_all_used(one.directory, members)))
    ]


def _builds_before(one: Verifier, builds: Mapping[str, Verifier], members: Mapping[str, Members]) -> tuple[str, ...]:
    before = [*_all_used(one.directory, members), *([one.directory] if one.kind != "build" else [])]
    return tuple(builds[place].name for place in before if place in builds)


def _all_used(place: str, members: Mapping[str, Members]) -> list[str]:
    """The members that one uses, directly or not."""
    seen: dict[str, None] = {}
    waiting = [place]
    while waiting:
        for used in sorted(members.get(waiting.pop(), ())):
            if used in members and used not in seen and used != place:
                seen[used] = None
                waiting.append(used)
    return list(seen)
