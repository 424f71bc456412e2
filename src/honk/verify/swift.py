"""Swift packages, and Xcode's projects, which only a Mac can build."""

from __future__ import annotations

import re
import shlex
from functools import partial

from honk.verify.plan import Kind, Members, Plan, SetUp, Verifier, Workspace, named
from honk.verify.tree import Tree, folder, join, ours, uncommented

MARKERS = ("Package.swift",)
XCODE_MARKERS = ("project.pbxproj", "contents.xcworkspacedata")
_SCHEME = re.compile(r"/xcshareddata/xcschemes/([^/]+)\.xcscheme$")


def find_swift(tree: Tree) -> list[Workspace]:
    """The Swift packages, each with the packages that it names by their paths."""
    places = [folder(path) for path in tree.named("Package.swift") if ours(path)]
    return [
        Workspace("Swift", place, partial(_plan, tree, place), {place: frozenset(_uses(tree, place))})
        for place in places
    ]


def _text(tree: Tree, place: str) -> str:
    return uncommented(tree.text(join(place, "Package.swift")))


def _uses(tree: Tree, place: str) -> list[str]:
    found = re.findall(r"\.package\(\s*(?:name:\s*\"[^\"]*\"\s*,\s*)?path:\s*\"([^\"]+)\"", _text(tree, place))
    return [join(place, path) for path in found]


def _plan(tree: Tree, place: str, _: Members | None) -> Plan:
    text, why = _text(tree, place), f"{join(place, 'Package.swift')} is there"
    verifiers = []
    if config := tree.first(place, ".swift-format"):
        line = "swift format lint --strict --recursive --parallel ."
        name = named("swift format", place)
        verifiers.append(Verifier(name, line, f"{config} is there", place, needs=("swift",), kind="format"))
    if config := tree.first(place, ".swiftlint.yml"):
        name, line = named("swiftlint", place), "swiftlint lint --quiet"
        verifiers.append(Verifier(name, line, f"{config} is there", place, needs=("swiftlint",), kind="lint"))
    built = named("swift build", place)
    verifiers.append(Verifier(built, "swift build", why, place, 1800.0, needs=("swift",), kind="build"))
    if ".testTarget(" in text:
        # It writes a report only of tests that run side by side.
        line = "mkdir -p .honk && swift test --parallel --xunit-output .honk/swift.xml"
        verifiers.append(
            Verifier(
                named("swift test", place),
                line,
                why,
                place,
                1800.0,
                needs=("swift",),
                kind="test",
                tools=("swift test",),
                after=(built,),
            )
        )
    fetches = re.search(r"\.package\([^()]*\b(url|id):", text)
    return Plan(verifiers, [SetUp("swift package resolve", why, directory=place, needs=("swift",))] if fetches else [])


def find_xcode(tree: Tree) -> list[Workspace]:
    """The folders with Xcode's projects: the workspace where there is one, else the project."""
    found: dict[str, str] = {}
    for path in tree.named(*XCODE_MARKERS):
        bundle = folder(path)
        place = folder(bundle)
        if not ours(path) or place.endswith(".xcodeproj") or "Pods" in bundle:
            continue
        if place not in found or bundle.endswith(".xcworkspace"):
            found[place] = bundle
    return [Workspace("Xcode", place, partial(_xcode, tree, place, bundle)) for place, bundle in sorted(found.items())]


def _xcode(tree: Tree, place: str, bundle: str, _: Members | None) -> Plan:
    schemes = [found[1] for path in tree.below(place) if (found := _SCHEME.search(path))]
    name = bundle.rpartition("/")[2]
    scheme = next(iter(sorted(schemes, key=lambda one: (one != name.partition(".")[0], one))), name.partition(".")[0])
    which = "-workspace" if name.endswith(".xcworkspace") else "-project"
    settings = "".join(tree.text(path) for path in tree.named("project.pbxproj") if folder(folder(path)) == place)
    # A simulator's name is that machine's own, so what is for phones is built and not run.
    mac = "SDKROOT = macosx" in settings and "SDKROOT = iphoneos" not in settings
    kind: Kind = "test" if mac else "build"
    where = "platform=macOS" if mac else "generic/platform=iOS Simulator"
    line = (
        f"xcodebuild {kind} {which} {shlex.quote(name)} -scheme {shlex.quote(scheme)} "
        f"-destination {shlex.quote(where)} CODE_SIGNING_ALLOWED=NO"
    )
    return Plan(
        [
            Verifier(
                named(f"xcode {kind}", place),
                line,
                f"{bundle} is there",
                place,
                3600.0,
                needs=("xcodebuild",),
                kind=kind,
            )
        ]
    )
