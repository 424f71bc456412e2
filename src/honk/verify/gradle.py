"""Gradle: `check`, which the plugins for tests, linters and formatters put themselves into."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from honk.verify.plan import Members, Plan, SetUp, Verifier, Workspace, named
from honk.verify.tree import Tree, folder, join, ours, uncommented, within

_SETTINGS = ("settings.gradle", "settings.gradle.kts")
_BUILDS = ("build.gradle", "build.gradle.kts")
MARKERS = (*_SETTINGS, *_BUILDS)
_SCRIPT = Path(__file__).with_name("fetch.gradle")
_SCRIPT_INSIDE = "/honk/fetch.gradle"
_AHEAD = f"--continue -Dorg.gradle.configuration-cache=false --init-script {_SCRIPT_INSIDE} honkFetch"
"""`dependencies` fetches what describes them, not them themselves; `testClasses` what compiles, not what runs."""


def find_gradle(tree: Tree) -> list[Workspace]:
    """The Gradle builds: each with settings of its own, and projects outside of these."""
    roots = {place for path in tree.named(*_SETTINGS) if ours(path) and _stands_alone(place := folder(path))}
    alone = {place for path in tree.named(*_BUILDS) if ours(path) and _stands_alone(place := folder(path))}
    grouped = {place: _projects(tree, place) for place in sorted(roots)}
    inside = {folder for members in grouped.values() for folder in members.values()}
    for place in sorted(alone - inside - roots, key=lambda one: one.count("/")):
        if not any(within(place, other) for other in grouped):
            grouped[place] = {":": place}
    workspaces = []
    for place, names in sorted(grouped.items()):
        members = {one: frozenset(_uses(tree, one, place, names)) for one in names.values()}
        plan = partial(_plan, tree, place, {folder: name for name, folder in names.items()})
        workspaces.append(Workspace("Gradle", place, plan, members))
    return workspaces


def _stands_alone(place: str) -> bool:
    """False for what Gradle builds by itself before the build that it lies in."""
    return place.rpartition("/")[2] != "buildSrc"


def _read(tree: Tree, place: str, names: tuple[str, ...]) -> str:
    return uncommented("\n".join(tree.text(join(place, name)) for name in names))


def _projects(tree: Tree, root: str) -> dict[str, str]:
    """The folders of a build's projects by their Gradle paths. Those that are included by a program are not among them;
    they belong to the root."""
    text = _read(tree, root, _SETTINGS)
    calls = re.findall(r"\binclude\s*\(?((?:\s*[\"'][^\"']+[\"']\s*,?)+)", text)
    paths = [":" + one.lstrip(":") for call in calls for one in re.findall(r"[\"']([^\"']+)[\"']", call)]
    moved = dict(
        re.findall(
            r"project\(\s*[\"']([^\"']+)[\"']\s*\)\.projectDir\s*=\s*(?:new\s+File|file)\([^\"']*[\"']([^\"']+)", text
        )
    )
    found = {path: join(root, moved.get(path, path.strip(":").replace(":", "/"))) for path in paths}
    return {":": root} | found


def _uses(tree: Tree, place: str, root: str, names: Mapping[str, str]) -> Iterator[str]:
    text = _read(tree, place, _BUILDS)
    for path in re.findall(r"\bproject\(\s*(?:path\s*[:=]\s*)?[\"'](:[^\"']*)[\"']", text):
        if path in names:
            yield names[path]
    accessors = {_accessor(path): one for path, one in names.items() if path != ":"}
    for words in re.findall(r"\bprojects\.([A-Za-z][\w.]*)", text):
        if words in accessors:
            yield accessors[words]
    if place == root:
        builds = re.findall(r"\bincludeBuild\s*\(?\s*[\"']([^\"']+)", _read(tree, root, _SETTINGS))
        yield from (join(root, path) for path in builds)


def _accessor(path: str) -> str:
    """The name that build files have for a project: `:lib:data-store` is `projects.lib.dataStore`."""
    parts = [re.split(r"[-_]", part) for part in path.strip(":").split(":")]
    return ".".join(words[0] + "".join(word[:1].upper() + word[1:] for word in words[1:]) for words in parts)


def _plan(tree: Tree, root: str, paths: Mapping[str, str], chosen: Members | None) -> Plan:
    wrapper = join(root, "gradlew") in tree
    program, needs = ("sh ./gradlew", ("java",)) if wrapper else ("gradle", ("gradle",))
    found = tree.first(root, *_SETTINGS, *_BUILDS) or root
    named_ones = sorted(paths[one] for one in chosen or ())
    tasks = " ".join(shlex.quote(f"{path.rstrip(':')}:check") for path in named_ones) or "check"
    # A task of the root's own is one that runs in all projects unless it begins with a colon.
    quiet = f"{program} --console=plain --no-daemon"
    why = f"{found} is there"
    if not wrapper and join(root, "gradle/wrapper/gradle-wrapper.properties") in tree:
        why += ", and gradlew, which gradle/wrapper is for, is not"
    check = Verifier(
        named("gradle test", root),
        f"{quiet} --continue {tasks}",
        why,
        root,
        1800.0,
        needs=needs,
        registries=True,
        kind="test",
        tools=("gradle",),
    )
    fetch = SetUp(
        f"{quiet} {_AHEAD}",
        why,
        directory=root,
        needs=needs,
        ahead=True,
        reads=_logic(tree, root),
        readable={_SCRIPT_INSIDE: _SCRIPT},
    )
    return Plan([check], [fetch])


def _logic(tree: Tree, root: str) -> list[str]:
    """The folders with code of the build's own, which may decide on dependencies."""
    blocks = re.findall(r"\bpluginManagement\s*\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}", _read(tree, root, _SETTINGS))
    builds = re.findall(r"\bincludeBuild\s*\(?\s*[\"']([^\"']+)", "\n".join(blocks))
    return [join(root, path) for path in ("buildSrc", *builds)]
