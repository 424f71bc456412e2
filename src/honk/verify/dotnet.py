""".NET: the formatting, the build and the tests of a solution, or of the projects that are touched."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from functools import partial

from honk.verify.plan import Members, Plan, SetUp, Verifier, Workspace, named
from honk.verify.tree import Tree, folder, join, ours, within

_SOLUTIONS = ("*.sln", "*.slnx")
_PROJECTS = ("*.csproj", "*.fsproj", "*.vbproj")
MARKERS = (*_PROJECTS, "packages.lock.json")
_TESTS = re.compile(r"Microsoft\.NET\.Test\.Sdk|<IsTestProject>\s*true|MSTest\.Sdk|TestingPlatform", re.IGNORECASE)
_QUIET = "DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1"
"""It would try to reach the network to tell of its use."""


def find_dotnet(tree: Tree) -> list[Workspace]:
    """The .NET solutions with the projects below them, and the projects that are below none."""
    projects = {folder(path): path for path in tree.named(*_PROJECTS) if ours(path) or _is_test(tree, path)}
    solutions: dict[str, str] = {}
    for path in sorted(tree.named(*_SOLUTIONS), key=lambda one: one.count("/")):
        if ours(path) and not any(within(folder(path), other) for other in solutions):
            solutions[folder(path)] = path
    grouped = {place: {one for one in projects if within(one, place)} for place in solutions}
    alone = set(projects) - {one for members in grouped.values() for one in members}
    workspaces = []
    for place, members in [*sorted(grouped.items()), *((place, {place}) for place in sorted(alone))]:
        uses = {one: frozenset(_uses(tree, projects[one])) for one in sorted(members)}
        target = solutions.get(place) or projects[place]
        plan = partial(_plan, tree, place, target, {one: projects[one] for one in uses})
        workspaces.append(Workspace(".NET", place, plan, uses))
    return [one for one in workspaces if one.members]


def _is_test(tree: Tree, path: str) -> bool:
    """Projects of tests often lie in a folder of that name."""
    return bool(_TESTS.search(tree.text(path)))


def _uses(tree: Tree, path: str) -> Iterator[str]:
    for attributes in re.findall(r"<ProjectReference\s([^<>]*)>", tree.text(path)):
        for reference in re.findall(r"Include=\"([^\"]+)\"", attributes):
            yield folder(join(folder(path), reference.replace("\\", "/")))


def _plan(tree: Tree, root: str, target: str, projects: Mapping[str, str], chosen: Members | None) -> Plan:
    why, needs = f"{target} is there", ("dotnet",)
    inside = "" if root == "." else root + "/"
    several = [projects[one].removeprefix(inside) for one in sorted(chosen or ())] or [target.removeprefix(inside)]
    tested = [path.removeprefix(inside) for path in projects.values() if _is_test(tree, path)]
    wanted = [path for path in several if path in tested] if chosen else several if tested else []
    verifiers = [
        Verifier(
            named("dotnet build", root),
            _each("build --no-restore", several),
            why,
            root,
            1200.0,
            needs=needs,
            kind="build",
            tools=("dotnet",),
        )
    ]
    if config := tree.first(root, ".editorconfig"):
        line = f"{_QUIET} dotnet format whitespace . --folder --verify-no-changes"
        told = f"{config} is there"
        verifiers.append(Verifier(named("dotnet format", root), line, told, root, needs=needs, kind="format"))
    if wanted:
        line, built = _each("test --no-restore", wanted), (verifiers[0].name,)
        verifiers.append(
            Verifier(named("dotnet test", root), line, why, root, 1800.0, needs=needs, kind="test", after=built)
        )
    locked = any(join(folder(path), "packages.lock.json") in tree for path in projects.values())
    restore = f"dotnet restore{' --locked-mode' if locked else ''} {shlex.quote(target.removeprefix(inside))}"
    return Plan(verifiers, [SetUp(f"{_QUIET} {restore}", why, directory=root, needs=needs)])


def _each(words: str, targets: list[str]) -> str:
    lines = [f"dotnet {words} {shlex.quote(target)}" for target in targets]
    return f"export {_QUIET}; {' && '.join(lines)}"
