"""Programs in C, C++ and the like: built and tested by CMake, Meson or Autotools, whichever knows their tests."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from honk.verify.plan import LeftOut, Members, Plan, SetUp, Verifier, Workspace, named
from honk.verify.tree import Tree, folder, join, ours, within

_AUTOTOOLS = ("configure.ac", "configure.in")
CMAKE_MARKERS = ("CMakeLists.txt",)
MESON_MARKERS = ("meson.build",)
AUTOTOOLS_MARKERS = _AUTOTOOLS
_PACKAGES = (
    "pyproject.toml",
    "setup.py",
    "package.json",
    "build.gradle",
    "build.gradle.kts",
    "pom.xml",
    "Package.swift",
)
"""What builds native code as a part of something else, with settings that only it knows."""
_OTHERS = frozenset(("deps", "subprojects", "extern", "external", "externals", "3rdparty", "thirdparty", "contrib"))
"""Folders in which programs in these languages keep others' code, besides those that everybody does."""
_TOOLS = "$HOME/.honk-tools/meson"
_TEST_OPTION = re.compile(
    r"^[ \t]*(?:cmake_dependent_)?option[ \t]*\([ \t]*"
    r"((?:\w{1,80}_)?(?:BUILD|ENABLE|WITH)_(?:UNIT_?)?TEST(?:S|ING)?)\s",
    re.IGNORECASE | re.MULTILINE,
)
"""What many projects call the option that builds their tests, and some leave off."""
_LOOKED_AT = 100_000
"""Characters."""
_AT_ONCE = '"$(getconf _NPROCESSORS_ONLN)"'
_SECONDS = 1800.0


@dataclass(frozen=True)
class _System:
    """A build system: what tells of a project, what tells of its tests, and its checks."""

    name: str
    markers: Sequence[str]
    project: re.Pattern[str]
    tested: re.Pattern[str]
    looked_in: Sequence[str]
    """Names of files in the project that may tell of tests."""
    plan: Callable[[Tree, str, bool], Plan]


def find_cmake(tree: Tree) -> list[Workspace]:
    """The CMake projects that nothing else builds."""
    return _find(tree, _CMAKE)


def find_meson(tree: Tree) -> list[Workspace]:
    """The Meson projects that nothing else builds."""
    return _find(tree, _MESON)


def find_autotools(tree: Tree) -> list[Workspace]:
    """The projects with a `configure` that nothing else builds."""
    return _find(tree, _CONFIGURE)


def _find(tree: Tree, system: _System) -> list[Workspace]:
    return [
        Workspace(system.name, place, partial(_plan, tree, place, system))
        for place in _outermost(_places(tree, system))
        if not any(within(place, folder(path)) for path in tree.named(*_PACKAGES) if ours(path))
    ]


def _places(tree: Tree, system: _System) -> Iterator[str]:
    for path in tree.named(*system.markers):
        if ours(path) and _OTHERS.isdisjoint(path.split("/")) and system.project.search(tree.text(path)):
            yield folder(path)


def _outermost(places: Iterator[str]) -> list[str]:
    found: list[str] = []
    for place in sorted(set(places), key=lambda one: (one != ".", one.count("/"), one)):
        if not any(within(place, other) for other in found):
            found.append(place)
    return found


def _plan(tree: Tree, place: str, system: _System, _: Members | None) -> Plan:
    """Its checks, unless another system in the same folder is the one to ask: the first that knows of tests."""
    there = [one for one in _SYSTEMS if place in set(_places(tree, one))]
    chosen = next((one for one in there if _has_tests(tree, place, one)), there[0])
    if chosen is not system:
        return Plan(left_out=[LeftOut(named(system.name, place), f"{chosen.name} builds and tests the same")])
    return system.plan(tree, place, _has_tests(tree, place, system))


def _has_tests(tree: Tree, place: str, system: _System) -> bool:
    paths = [path for path in tree.named(*system.looked_in) if within(path, place)]
    tree.read(paths[:200])
    return any(system.tested.search(tree.text(path)) for path in paths[:200])


def _checks(
    place: str, system: str, why: str, build: str, test: str | None, needs: Sequence[str], tools: Sequence[str]
) -> list[Verifier]:
    lines = [(f"{system} build", "build", build, ()), (f"{system} test", "test", test, tools)]
    return [
        Verifier(
            named(name, place),
            line,
            why,
            place,
            _SECONDS,
            needs,
            kind="build" if kind == "build" else "test",
            tools=of,
            only_after=kind == "test",
        )
        for name, kind, line, of in lines
        if line
    ]


def _cmake(tree: Tree, place: str, tested: bool) -> Plan:
    options = _TEST_OPTION.findall(tree.text(join(place, "CMakeLists.txt"))[:_LOOKED_AT]) if tested else []
    on = "".join(f" -D{name}=ON" for name in dict.fromkeys(options))
    build = f"cmake -S . -B .honk/cmake --log-level=NOTICE{on} && cmake --build .honk/cmake --parallel {_AT_ONCE}"
    test = "cd .honk/cmake && ctest --output-on-failure" if tested else None
    why = f"{join(place, 'CMakeLists.txt')} is there"
    return Plan(_checks(place, "cmake", why, build, test, ("cmake", "cc"), ("ctest",)))


def _meson(tree: Tree, place: str, tested: bool) -> Plan:
    build = "meson setup .honk/meson && meson compile -C .honk/meson"
    test = "meson test -C .honk/meson --print-errorlogs" if tested else None
    why, tools = f"{join(place, 'meson.build')} is there", ("meson", "ninja")
    checks = _checks(place, "meson", why, build, test, (*tools, "cc"), ("meson",))
    if not (missing := [tool for tool in tools if tool not in tree.present(tools)]):
        return Plan(checks)
    install = f"{_TOOLS}/bin/python -m pip install -q --disable-pip-version-check --retries 1 {' '.join(missing)}"
    line = f"python3 -m venv {_TOOLS} && {install}"
    return Plan(checks, [SetUp(line, why, f"{_TOOLS}/bin", directory=place, needs=("python3",), brings=missing)])


def _autotools(tree: Tree, place: str, tested: bool) -> Plan:
    made = join(place, "configure") in tree
    first = "sh ./configure" if made else "autoreconf --force --install && sh ./configure"
    found = tree.first(place, *_AUTOTOOLS)
    needs = ("make", "cc") if made else ("autoreconf", "make", "cc")
    build = f"{first} && make -j {_AT_ONCE}"
    return Plan(_checks(place, "autotools", f"{found} is there", build, "make check" if tested else None, needs, ()))


_CMAKE = _System(
    "CMake",
    CMAKE_MARKERS,
    re.compile(r"^[ \t]*project[ \t]*\(", re.IGNORECASE | re.MULTILINE),
    re.compile(r"^[ \t]*(enable_testing|add_test|include[ \t]*\([ \t]*CTest)\b", re.IGNORECASE | re.MULTILINE),
    ("CMakeLists.txt", "*.cmake"),
    _cmake,
)
_MESON = _System(
    "Meson",
    MESON_MARKERS,
    re.compile(r"^[ \t]*project[ \t]*\(", re.MULTILINE),
    re.compile(r"^[ \t]*test[ \t]*\(", re.MULTILINE),
    ("meson.build",),
    _meson,
)
_CONFIGURE = _System(
    "Autotools",
    AUTOTOOLS_MARKERS,
    re.compile(r"^[ \t]*AC_INIT\b", re.MULTILINE),
    re.compile(r"^(TESTS[ \t]*\+?=|check-local:|check:)", re.MULTILINE),
    ("Makefile.am", "Makefile.in"),
    _autotools,
)
_SYSTEMS = (_CMAKE, _MESON, _CONFIGURE)
