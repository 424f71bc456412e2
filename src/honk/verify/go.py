"""Go: gofmt, vet, golangci-lint where it is configured, build and test, module by module."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial

from honk.verify.plan import Members, Plan, SetUp, Verifier, Workspace, named
from honk.verify.tree import Tree, folder, join, ours

MARKERS = ("go.mod", "go.work")
_LISTED = "git ls-files -z -- '*.go' ':!:vendor/' ':!:**/vendor/' ':!:**/testdata/' | xargs -0 -r gofmt -l"
_FORMAT = f'out=$({_LISTED}) && test -z "$out" || {{ echo "not formatted: $out"; exit 1; }}'


def find_go(tree: Tree) -> list[Workspace]:
    """The Go modules, those that a go.work names together."""
    folders = {folder(path) for path in tree.named("go.mod") if ours(path)}
    grouped = {folder(path): _named(tree, path) & folders for path in tree.named("go.work") if ours(path)}
    inside = {member for members in grouped.values() for member in members}
    groups = [*grouped.items(), *((place, {place}) for place in sorted(folders - inside))]
    workspaces = []
    for place, members in groups:
        paths = {_path(tree, one): one for one in members}
        uses = {one: frozenset(_uses(tree, one, paths)) for one in sorted(members)}
        workspaces.append(Workspace("Go", place, partial(_plan, tree, place, uses), uses))
    return [one for one in workspaces if one.members]


def _named(tree: Tree, path: str) -> set[str]:
    text = re.sub(r"//.*", "", tree.text(path))
    lines = re.findall(r"^\s*use\s+([^\s(]+)\s*$", text, re.MULTILINE)
    lines += [line for block in re.findall(r"^\s*use\s*\(([^)]*)\)", text, re.MULTILINE) for line in block.split()]
    return {join(folder(path), line.strip('"')) for line in lines}


def _path(tree: Tree, place: str) -> str:
    found = re.search(r"^module\s+(\S+)", tree.text(join(place, "go.mod")), re.MULTILINE)
    return found[1].strip('"') if found else place


def _uses(tree: Tree, place: str, paths: Mapping[str, str]) -> Iterator[str]:
    text = re.sub(r"//.*", "", tree.text(join(place, "go.mod")))
    yield from (join(place, path) for path in re.findall(r"=>\s*(\.\.?/\S*)", text))
    asked = set(re.findall(r"^\s*(?:require\s+)?(\S+)\s+v\d", text, re.MULTILINE))
    yield from (one for path, one in paths.items() if path in asked and one != place)


def _plan(tree: Tree, root: str, members: Mapping[str, Members], chosen: Members | None) -> Plan:
    wanted = [one for one in members if chosen is None or one in chosen]
    lint = tree.first(root, ".golangci.yml", ".golangci.yaml", ".golangci.toml", ".golangci.json")
    verifiers = []
    for place in wanted:
        why = f"{join(place, 'go.mod')} is there"
        lines = [
            Verifier(named("gofmt", place), _FORMAT, why, place, needs=("gofmt",), kind="format", tools=("gofmt",)),
            Verifier(named("go vet", place), "go vet ./...", why, place, needs=("go",), kind="lint", tools=("go vet",)),
            Verifier(named("go build", place), "go build ./...", why, place, needs=("go",), kind="build"),
            Verifier(
                named("go test", place),
                "go test -json ./...",
                why,
                place,
                1200.0,
                needs=("go",),
                kind="test",
                tools=("go test",),
            ),
        ]
        if lint:
            line, needs = "golangci-lint run ./...", ("go", "golangci-lint")
            lines.append(
                Verifier(named("golangci-lint", place), line, f"{lint} is there", place, needs=needs, kind="lint")
            )
        verifiers += lines
    fetched = [one for one in wanted if _fetches(tree, one)]
    return Plan(verifiers, [_download(one) for one in fetched])


def _fetches(tree: Tree, place: str) -> bool:
    asked = re.search(r"^require\b", tree.text(join(place, "go.mod")), re.MULTILINE)
    return bool(asked) and join(place, "vendor/modules.txt") not in tree


def _download(place: str) -> SetUp:
    return SetUp("go mod download", f"{join(place, 'go.mod')} has dependencies", directory=place)
