"""Python: ruff, black, mypy and pyright where they are configured; pytest, unittest, Django's tests, tox or nox."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from honk.verify.plan import Kind, LeftOut, Members, Plan, Verifier, Workspace, named
from honk.verify.pre_commit import hooked
from honk.verify.python_calls import Call, calls, line_of
from honk.verify.python_set_up import REQUIREMENTS, declared, set_up
from honk.verify.python_tests import LOOKED_AT, TEST_FILE, tests
from honk.verify.tree import Tree, folder, join, matching, ours, table, texts, within

MARKERS = ("pyproject.toml", "setup.py", "setup.cfg", "pytest.ini", "tox.ini", "noxfile.py", "manage.py", *REQUIREMENTS)
_PROJECT = ("pyproject.toml", "setup.py")
_HINTS = ("setup.cfg", "pytest.ini", "tox.ini", "noxfile.py", "manage.py", *REQUIREMENTS)
_TOOLS = ("ruff", "black", "mypy", "pyright", "pytest", "tox", "nox")
_LOOKS_EVERYWHERE = ("format", "lint", "types")


def find_python(tree: Tree) -> list[Workspace]:
    """The Python projects, those of a uv workspace together."""
    test_files = [path for path in tree.files if path.endswith(".py") and TEST_FILE.search(path)]
    folders = _folders(tree, test_files)
    owned: dict[str, list[str]] = {place: [] for place in folders}
    for path in test_files:
        if place := _owner(path, folders):
            owned[place].append(path)
    tree.read([path for paths in owned.values() for path in paths[:LOOKED_AT]])
    grouped = {place: _members(tree, place, folders) for place in folders}
    inside = {member for place, members in grouped.items() for member in members if member != place}
    workspaces = []
    for place in sorted(folders - inside):
        names = {_name(tree, member): member for member in grouped[place]}
        members = {member: frozenset(_uses(tree, member, names)) for member in sorted(grouped[place])}
        plan = partial(_plan, tree, place, {member: owned[member] for member in members}, frozenset(folders))
        workspaces.append(Workspace("Python", place, plan, members, deep=True))
    return workspaces


def _folders(tree: Tree, test_files: Sequence[str]) -> set[str]:
    found = {folder(path) for path in tree.named(*_PROJECT) if ours(path)}
    for place in sorted({folder(path) for path in tree.named(*_HINTS) if ours(path)}, key=lambda one: one.count("/")):
        holds_tests = any(within(path, place) for path in test_files)
        if place == "." or (holds_tests and not any(within(place, other) for other in found)):
            found.add(place)
    if any(not _owner(path, found) and ours(re.sub(r"(^|/)tests?/", r"\1", path)) for path in test_files):
        found.add(".")
    return found


def _owner(path: str, folders: set[str]) -> str | None:
    """The nearest of the folders that a file is in."""
    place = folder(path)
    while place not in folders and place != ".":
        place = folder(place)
    return place if place in folders else None


def _members(tree: Tree, place: str, folders: set[str]) -> set[str]:
    """The folders of a uv workspace's members, the root's own among them."""
    workspace = table(tree.toml(join(place, "pyproject.toml")), "tool", "uv", "workspace")
    wanted = texts(workspace.get("members"))
    taken = matching(folders, texts(workspace.get("exclude")), place)
    return {place} | (matching(folders, wanted, place) - taken)


def _name(tree: Tree, place: str) -> str:
    told = table(tree.toml(join(place, "pyproject.toml")), "project").get("name", "")
    return re.sub(r"[-_.]+", "-", str(told)).lower()


def _uses(tree: Tree, place: str, names: Mapping[str, str]) -> Iterator[str]:
    """The folders that a project names as dependencies."""
    told = tree.toml(join(place, "pyproject.toml"))
    for name, source in table(told, "tool", "uv", "sources").items():
        for one in source if isinstance(source, list) else [source]:
            if isinstance(one, dict) and one.get("workspace") and (member := names.get(name.replace("_", "-").lower())):
                yield member
            yield from _path(place, one)
    poetry = table(told, "tool", "poetry")
    groups = [table(poetry, "group", name, "dependencies") for name in table(poetry, "group")]
    for one in (one for group in [table(poetry, "dependencies"), *groups] for one in group.values()):
        yield from _path(place, one)
    text = "\n".join(tree.text(join(place, name)) for name in ("pyproject.toml", *REQUIREMENTS))
    for path in re.findall(r"(?:^(?:-e\s+)?|file:|\{root:uri\}/)(\.\.?/[\w./-]+)", text, re.MULTILINE):
        yield join(place, path)


def _path(place: str, source: Any) -> list[str]:
    path = source.get("path") if isinstance(source, dict) else None
    return [join(place, path)] if isinstance(path, str) else []


def _plan(tree: Tree, root: str, owned: Mapping[str, Sequence[str]], folders: Members, chosen: Members | None) -> Plan:
    verifiers: list[Verifier] = []
    left_out: list[LeftOut] = []
    for place, test_files in owned.items():
        nested = [other for other in sorted(folders) if other != place and within(other, place)]
        plan = _checks(tree, place, test_files, nested)
        if chosen is None or place in chosen:
            verifiers += plan.verifiers
            left_out += plan.left_out
        elif place == root:
            verifiers += [one for one in plan.verifiers if one.kind in _LOOKS_EVERYWHERE]
    wanted = [tool for tool in _TOOLS if any(tool in verifier.needs for verifier in verifiers)]
    return Plan(verifiers, set_up(tree, root, wanted, owned) if verifiers else [], left_out)


def _checks(tree: Tree, place: str, test_files: Sequence[str], nested: Sequence[str]) -> Plan:
    tools = table(tree.toml(join(place, "pyproject.toml")), "tool")
    asked = declared(tree, place) | (set(hooked(tree)) if place == "." else set())
    told = calls(tree, place)
    black, left_out = _black(tree, place, tools, asked, told)
    pyright, not_called = _pyright(tree, place, tools, told)
    found = [*black, *_ruff(tree, place, tools, asked, told), *_mypy(tree, place, tools, told), *pyright]
    tested = tests(tree, place, tools, test_files, nested)
    return Plan([*found, *tested.verifiers], left_out=[*left_out, *not_called, *tested.left_out])


def _check(
    tree: Tree, place: str, told: Mapping[str, Call], name: str, command: str, why: str, kind: Kind, targets: str = "."
) -> Verifier:
    """A check by a tool, of what the project itself checks with it."""
    program = name.partition(" ")[0]
    line, where = line_of(tree, place, name.replace(" ", "-"), told, command, targets)
    return Verifier(
        named(name, place),
        line,
        f"{why}, and {where} says on what" if where else why,
        place,
        needs=("python3", program) if command.startswith("python3 ") else (program,),
        registries=program == "pyright",
        kind=kind,
        tools=(name.replace(" ", "-"),),
    )


def _ruff(
    tree: Tree, place: str, tools: Mapping[str, Any], asked: set[str], told: Mapping[str, Call]
) -> list[Verifier]:
    configured = "ruff" in tools or tree.first(place, "ruff.toml", ".ruff.toml")
    if not configured and "ruff" not in asked:
        return []
    why = "ruff is configured" if configured else "ruff is among the development tools"
    # One line for each finding, which a person can read as well as a program.
    found = [_check(tree, place, told, "ruff", "ruff check --output-format=concise", why, "lint")]
    asks = "[format]" in tree.text(join(place, "ruff.toml")) or "ruff-format" in asked or "ruff-format" in told
    if "format" in table(tools, "ruff") or asks:
        why = "ruff format is configured" if "ruff-format" not in told else "ruff format is used"
        found.append(_check(tree, place, told, "ruff format", "ruff format --check", why, "format"))
    return found


def _black(
    tree: Tree, place: str, tools: Mapping[str, Any], asked: set[str], told: Mapping[str, Call]
) -> tuple[list[Verifier], list[LeftOut]]:
    if "black" not in tools and "black" not in asked:
        return [], []
    if "format" in table(tools, "ruff") or "ruff-format" in asked:
        return [], [LeftOut(named("black", place), "ruff format is configured, and two formatters would disagree")]
    why = "black is configured" if "black" in tools else "black is among the development tools"
    return [_check(tree, place, told, "black", "black --check --quiet --diff", why, "format")], []


def _mypy(tree: Tree, place: str, tools: Mapping[str, Any], called: Mapping[str, Call]) -> list[Verifier]:
    files = "".join(tree.text(join(place, name)) for name in ("mypy.ini", ".mypy.ini"))
    section = re.search(r"^\[mypy\]\s*$(.*?)(?=^\[|\Z)", tree.text(join(place, "setup.cfg")), re.MULTILINE | re.DOTALL)
    if "mypy" not in tools and not tree.first(place, "mypy.ini", ".mypy.ini") and not section:
        return []
    told = table(tools, "mypy")
    in_file = re.search(r"^(files|packages|modules)\s*=", files + (section[1] if section else ""), re.MULTILINE)
    targets = "" if in_file or any(told.get(key) for key in ("files", "packages", "modules")) else "."
    # As a module, so that it sees the packages of the environment that the tests run in.
    command = "python3 -m mypy --no-color-output"
    return [_check(tree, place, called, "mypy", command, "mypy is configured", "types", targets)]


def _pyright(
    tree: Tree, place: str, tools: Mapping[str, Any], told: Mapping[str, Call]
) -> tuple[list[Verifier], list[LeftOut]]:
    if "pyright" not in tools and not tree.first(place, "pyrightconfig.json"):
        return [], []
    if "mypy" in told and "pyright" not in told:
        # Its configuration is for editors then.
        return [], [LeftOut(named("pyright", place), f"{told['mypy'].where} runs mypy and not pyright")]
    # The package on PyPI fetches the program itself from npm the first time that it runs.
    return [_check(tree, place, told, "pyright", "pyright", "pyright is configured", "types", "")], []
