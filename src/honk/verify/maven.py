"""Maven: the tests of the modules that are touched, with what these need."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from functools import partial

from honk.verify.plan import Kind, Members, Plan, SetUp, Verifier, Workspace, named
from honk.verify.tree import Tree, folder, join, ours

MARKERS = ("pom.xml",)
_QUIET = "-B -ntp"
"""Asks nothing, and draws no progress bars."""
_AHEAD = (
    "--fail-at-end test -Dtest='*#none' -DfailIfNoTests=false -Dsurefire.failIfNoSpecifiedTests=false "
    "-Dmaven.test.failure.ignore -Dmaven.compiler.failOnError=false"
)
"""All that `test` does but to run a test: what Surefire runs tests with is only fetched by a run that has some, which
`dependency:go-offline` knows nothing of, and in that goal modules do not see each other. That the code does not compile
is for the check to say."""
_PLUGINS: tuple[tuple[str, str, Kind], ...] = (
    ("spotless:check", "spotless-maven-plugin", "format"),
    ("checkstyle:check", "maven-checkstyle-plugin", "lint"),
)


def find_maven(tree: Tree) -> list[Workspace]:
    """The Maven builds: each outermost pom.xml with the modules that it names."""
    folders = [folder(path) for path in tree.named("pom.xml") if ours(path)]
    grouped = {place: _modules(tree, place) for place in folders}
    inside = {member for place, members in grouped.items() for member in members if member != place}
    workspaces = []
    for place in sorted(set(folders) - inside):
        names = {_text(tree, one, "artifactId"): one for one in grouped[place]}
        members = {one: frozenset(_uses(tree, one, names)) for one in sorted(grouped[place])}
        workspaces.append(Workspace("Maven", place, partial(_plan, tree, place, members), members))
    return workspaces


def _modules(tree: Tree, place: str) -> set[str]:
    """The folders of a build's modules, its own among them."""
    found: set[str] = set()
    waiting = [place]
    while waiting:
        here = waiting.pop()
        if here in found or join(here, "pom.xml") not in tree:
            continue
        found.add(here)
        pom = tree.xml(join(here, "pom.xml"))
        for module in pom.iterfind(".//modules/module") if pom is not None else ():
            path = join(here, (module.text or "").strip())
            waiting.append(folder(path) if path.endswith(".xml") else path)
    return found


def _text(tree: Tree, place: str, name: str) -> str:
    pom = tree.xml(join(place, "pom.xml"))
    return (pom.findtext(name) or "").strip() if pom is not None else ""


def _uses(tree: Tree, place: str, names: Mapping[str, str]) -> Iterator[str]:
    pom = tree.xml(join(place, "pom.xml"))
    if pom is None:
        return
    paths = ("parent/artifactId", ".//dependencies/dependency/artifactId", ".//plugins/plugin/artifactId")
    asked = {(one.text or "").strip() for path in paths for one in pom.iterfind(path)}
    yield from (one for name, one in names.items() if name in asked and one != place)


def _plan(tree: Tree, root: str, members: Mapping[str, Members], chosen: Members | None) -> Plan:
    wrapper = join(root, "mvnw") in tree
    program, needs = ("sh ./mvnw", ("java",)) if wrapper else ("mvn", ("mvn",))
    inside = "" if root == "." else root + "/"
    which = ",".join("." if one == root else one.removeprefix(inside) for one in sorted(chosen or ()))
    modules = f" --projects {shlex.quote(which)} --also-make" if which else ""
    why = f"{join(root, 'pom.xml')} is there"
    verifiers = []
    for goal, plugin, kind in _PLUGINS:
        if _plugged(tree, root, plugin):
            line, name = f"{program} {_QUIET} {goal}{modules}", named(f"maven {goal.partition(':')[0]}", root)
            told = f"{join(root, 'pom.xml')} names {plugin}"
            verifiers.append(Verifier(name, line, told, root, needs=needs, registries=True, kind=kind))
    verifiers.append(
        Verifier(
            named("maven test", root),
            f"{program} {_QUIET} --fail-at-end test{modules}",
            why,
            root,
            1800.0,
            needs=needs,
            registries=True,
            kind="test",
            tools=("mvn",),
        )
    )
    # Without a list of modules, so that it is the same for every change.
    goals = [f"--fail-never {goal}" for goal, plugin, _ in _PLUGINS if _plugged(tree, root, plugin)]
    line = "; ".join(f"{program} {_QUIET} {words}" for words in (*goals, _AHEAD))
    return Plan(verifiers, [SetUp(line, why, directory=root, needs=needs, ahead=True)])


def _plugged(tree: Tree, root: str, plugin: str) -> bool:
    pom = tree.xml(join(root, "pom.xml"))
    found = pom.iterfind("build/plugins/plugin/artifactId") if pom is not None else ()
    return any((one.text or "").strip() == plugin for one in found)
