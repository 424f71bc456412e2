"""Go: gofmt, vet, golangci-lint where it is configured, build and test, module by module."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial

from honk.verify.plan import Kind, Members, Plan, SetUp, Verifier, Workspace, named
from honk.verify.tree import Tree, folder, join, ours

MARKERS = ("go.mod", "go.work")
_REQUIRED = re.compile(r"^[ \t]*(?:require[ \t]+)?([^\s(/=]\S*)[ \t]+v\d", re.MULTILINE)
_LISTED = "git ls-files -z -- '*.go' ':!:vendor/' ':!:**/vendor/' ':!:**/testdata/' | xargs -0 -r gofmt -l"
_FORMAT = f'out=$({_LISTED}) && test -z "$out" || {{ echo "$out" | sed "s/^/not formatted: /"; exit 1; }}'


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
    lines, block = [], False
    for line in tree.text(path).splitlines():
        words = line.partition("//")[0].replace("(", " ( ").split()
        lines += (
            words[:1] if block and words != [")"] else words[1:2] if words[:1] == ["use"] and len(words) == 2 else []
        )
        block = words[:2] == ["use", "("] or (block and words != [")"])
    return {join(folder(path), line.strip('"')) for line in lines}


def _path(tree: Tree, place: str) -> str:
    found = re.search(r"^module\s+(\S+)", tree.text(join(place, "go.mod")), re.MULTILINE)
    return found[1].strip('"') if found else place


def _uses(tree: Tree, place: str, paths: Mapping[str, str]) -> Iterator[str]:
    text = re.sub(r"//.*", "", tree.text(join(place, "go.mod")))
    yield from (join(place, path) for path in re.findall(r"=>\s*(\.\.?/\S*)", text))
    asked = set(_REQUIRED.findall(text))
    yield from (one for path, one in paths.items() if path in asked and one != place)


def _plan(tree: Tree, root: str, members: Mapping[str, Members], chosen: Members | None) -> Plan:
    wanted = [one for one in members if chosen is None or one in chosen]
    paths = {_path(tree, one) for one in members}
    linter = tree.first(root, ".golangci.yml", ".golangci.yaml", ".golangci.toml", ".golangci.json")
    plans = [_module(tree, place, paths, linter) for place in wanted]
    return Plan([one for plan in plans for one in plan.verifiers], [one for plan in plans for one in plan.set_up])


def _module(tree: Tree, place: str, paths: set[str], linter: str | None) -> Plan:
    why, text = f"{join(place, 'go.mod')} is there", tree.text(join(place, "go.mod"))
    asked = set(_REQUIRED.findall(text))
    fetches = bool(asked) and join(place, "vendor/modules.txt") not in tree
    # One that is asked for without a folder comes from the workspace, and cannot be downloaded as the others can.
    whole = fetches and not any(path in paths and f"{path} =>" not in text for path in asked)

    def check(name: str, line: str, kind: Kind, seconds: float = 600.0, *, told: str = why) -> Verifier:
        program = line.partition(" ")[0]
        needs = tuple(dict.fromkeys((program, "go")))
        registries = fetches and not whole
        return Verifier(
            named(name, place), line, told, place, seconds, needs, registries=registries, kind=kind, tools=(name,)
        )

    formatted = Verifier(named("gofmt", place), _FORMAT, why, place, needs=("gofmt",), kind="format", tools=("gofmt",))
    linted = [check("golangci-lint", "golangci-lint run ./...", "lint", told=f"{linter} is there")] if linter else []
    return Plan(
        [
            formatted,
            check("go vet", "go vet ./...", "lint"),
            *linted,
            check("go build", "go build ./...", "build"),
            check("go test", "go test -v ./...", "test", 1200.0),
        ],
        [SetUp("go mod download", f"{join(place, 'go.mod')} has dependencies", directory=place, needs=("go",))]
        if whole
        else [],
    )
