"""What a Python project's checks stand on: an environment with its dependencies and its tools, by uv, poetry or pip."""

from __future__ import annotations

import configparser
import hashlib
import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from honk.verify.plan import SetUp
from honk.verify.pre_commit import hooked, hooks
from honk.verify.tree import Tree, join, table, texts

REQUIREMENTS = (
    *("requirements.txt", "requirements-dev.txt", "requirements-test.txt", "requirements_dev.txt"),
    *("requirements_test.txt", "dev-requirements.txt", "test-requirements.txt", "requirements/dev.txt"),
    *("requirements/test.txt", "requirements/tests.txt"),
)
_FOR_TESTS = ("dev", "test", "tests", "testing")
"""What extras and groups are called that the checks need; others are needed if they name one of the tools."""
_REQUIREMENT = re.compile(r"[A-Za-z0-9][\w.\[\],<>=!~-]*")
_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
_PIP = "-m pip install -q --disable-pip-version-check --retries 1"
_TOOLS_PLACE = "$HOME/.honk-tools"


def environment(root: str) -> str:
    """Where the environment of a project is: outside the tree, so that no tool wanders into it."""
    if root == ".":
        return "$HOME/.honk-env"
    plain = re.sub(r"[^A-Za-z0-9.-]", "-", root)
    told = plain if plain == root else f"{plain}-{hashlib.sha256(root.encode()).hexdigest()[:6]}"
    return f"$HOME/.honk-env-{told}"


def declared(tree: Tree, place: str) -> set[str]:
    """The names of the packages that a project declares, those for its development among them."""
    return {found[1].lower().replace("_", "-") for line in _declarations(tree, place) if (found := _NAME.match(line))}


def _declarations(tree: Tree, place: str) -> Iterator[str]:
    told = tree.toml(join(place, "pyproject.toml"))
    lists = [table(told, "project").get("dependencies"), table(told, "tool", "uv").get("dev-dependencies")]
    lists += [*table(told, "project", "optional-dependencies").values(), *table(told, "dependency-groups").values()]
    yield from (line for lines in lists for line in texts(lines))
    poetry = table(told, "tool", "poetry")
    yield from [*table(poetry, "dependencies"), *table(poetry, "dev-dependencies")]
    yield from (name for group in table(poetry, "group") for name in table(poetry, "group", group, "dependencies"))
    for name in REQUIREMENTS:
        yield from (line for line in tree.text(join(place, name)).splitlines() if not line.startswith(("-", "#")))


def _needed(groups: Mapping[str, Any], wanted: Sequence[str]) -> list[str]:
    """The names of the extras or groups that the checks need."""
    found = []
    for name, lines in groups.items():
        told = {match[1].lower() for one in texts(lines) if (match := _NAME.match(one))}
        if re.fullmatch(r"[A-Za-z0-9][\w.-]*", name) and (name in _FOR_TESTS or not told.isdisjoint(wanted)):
            found.append(name)
    return found


def set_up(tree: Tree, root: str, wanted: Sequence[str], members: Collection[str]) -> list[SetUp]:
    """An environment of its own, unless what is needed is there already. `wanted` are tools that the checks need,
    `members` the folders that share the environment."""
    place = environment(root)
    if join(root, "uv.lock") in tree:
        return [_uv(tree, root, place, wanted, several=len(members) > 1)]
    if join(root, "poetry.lock") in tree:
        return [_poetry(tree, root, place, wanted)]
    installs = _installs(tree, root, wanted)
    installs += [f"-e {shlex.quote('./' + _below(root, one))}" for one in members if one != root]
    missing = [_pinned(tree, tool) for tool in wanted if tool not in tree.present(wanted)]
    missing += [shlex.quote(one) for one in _beside(tree, root, wanted) if one not in missing]
    if not installs and not missing:
        return []
    what = " ".join([*installs, *missing])
    # Groups are known to pip from 25.1 on.
    upgrade = f"{place}/bin/python {_PIP} -U 'pip>=25.1' && " if "--group" in what else ""
    command = f"python3 -m venv --system-site-packages {place} && {upgrade}{place}/bin/python {_PIP} {what}"
    return [_step(command, "the project's dependencies and its check tools", root, place, wanted)]


def _step(command: str, why: str, root: str, place: str, wanted: Sequence[str]) -> SetUp:
    needs = () if command.startswith("UV_") else ("python3",)
    return SetUp(command, why, path=f"{place}/bin", directory=root, needs=needs, brings=wanted)


def _below(root: str, path: str) -> str:
    return path if root == "." else path.removeprefix(root + "/")


def _installs(tree: Tree, root: str, wanted: Sequence[str]) -> list[str]:
    told = tree.toml(join(root, "pyproject.toml"))
    installs: list[str] = []
    optional = table(told, "project", "optional-dependencies")
    if table(told, "project").get("dependencies") or optional or "build-system" in told:
        extras = _needed(optional, wanted)
        installs.append(f"-e {shlex.quote('.[' + ','.join(extras) + ']' if extras else '.')}")
    elif join(root, "setup.py") in tree:
        installs.append("-e .")
    installs += [f"-r {path}" for path in REQUIREMENTS if join(root, path) in tree]
    installs += [f"--group {name}" for name in _needed(table(told, "dependency-groups"), wanted)]
    return installs + [shlex.quote(line) for line in _tox_dependencies(tree.text(join(root, "tox.ini")))]


def _tox_dependencies(text: str) -> list[str]:
    """What tox installs for every environment before the tests, as far as it needs none of tox's own words."""
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(text)
    except configparser.Error:
        return []
    lines = parser.get("testenv", "deps", fallback="").splitlines()
    return [
        line.strip() for line in lines if re.fullmatch(r"[A-Za-z0-9][\w.\-\[\],]*\s*([<>=!~]=?[^;:{]*)?", line.strip())
    ]


def _pinned(tree: Tree, tool: str) -> str:
    """The tool in the version that pre-commit runs, if it does."""
    version = hooked(tree).get(tool)
    return f"{tool}=={version}" if version else tool


def _beside(tree: Tree, root: str, wanted: Sequence[str]) -> list[str]:
    """What pre-commit installs beside the tools that need it: types of libraries, mostly."""
    told = [line for one in hooks(tree) if one.tool in wanted for line in one.brings] if root == "." else []
    return [line for line in dict.fromkeys(told) if _REQUIREMENT.fullmatch(line)]


def _unlocked(tree: Tree, root: str, lock: str, wanted: Sequence[str], chosen: Collection[str]) -> list[str]:
    """Those of the tools, and of what they need, that the lock file does not bring. It may name one for a group that is
    not `chosen`; then in its version."""
    locked = tree.text(lock)
    found = []
    for tool in wanted:
        version = re.search(rf'name = "{tool}"\nversion = "([\w.]+)"', locked)
        if version and tool not in chosen:
            found.append(f"{tool}=={version[1]}")
        elif f'name = "{tool}"' not in locked:
            found.append(_pinned(tree, tool))
    names = ((line, _NAME.match(line)) for line in _beside(tree, root, wanted))
    return found + [shlex.quote(line) for line, name in names if name and f'name = "{name[1].lower()}"' not in locked]


def _brought(told: Mapping[str, Any], wanted: Sequence[str]) -> set[str]:
    """The names of the packages that the project, and the extras and groups that the checks need, ask for."""
    optional, groups = table(told, "project", "optional-dependencies"), table(told, "dependency-groups")
    lines = texts(table(told, "project").get("dependencies")) + texts(table(told, "tool", "uv").get("dev-dependencies"))
    lines += [line for name in _needed(optional, wanted) for line in texts(optional[name])]
    waiting, seen = [*_needed(groups, wanted), "dev"], set[str]()
    while waiting:
        name = waiting.pop()
        entries = groups.get(name) if name not in seen else None
        seen.add(name)
        for one in entries if isinstance(entries, list) else ():
            lines += [one] if isinstance(one, str) else []
            waiting += [str(one["include-group"])] if isinstance(one, dict) and "include-group" in one else []
    return {found[1].lower() for line in lines if (found := _NAME.match(line))}


def _uv(tree: Tree, root: str, place: str, wanted: Sequence[str], *, several: bool) -> SetUp:
    told = tree.toml(join(root, "pyproject.toml"))
    optional = table(told, "project", "optional-dependencies")
    words = ["uv sync --frozen --quiet", *(["--all-packages"] if several else [])]
    words += [f"--extra {name}" for name in _needed(optional, wanted)]
    words += [f"--group {name}" for name in _needed(table(told, "dependency-groups"), wanted)]
    lines = [f"UV_PROJECT_ENVIRONMENT={place} UV_PYTHON_DOWNLOADS=never {' '.join(words)}"]
    if missing := _unlocked(tree, root, join(root, "uv.lock"), wanted, _brought(told, wanted)):
        lines.append(f"uv pip install --quiet --python {place}/bin/python {' '.join(missing)}")
    why = f"{join(root, 'uv.lock')} is there"
    return _step(" && ".join([*_tool(tree, "uv"), *lines]), why, root, place, wanted)


def _poetry(tree: Tree, root: str, place: str, wanted: Sequence[str]) -> SetUp:
    told = tree.toml(join(root, "pyproject.toml"))
    poetry = table(told, "tool", "poetry")
    groups = {
        name: list(table(poetry, "group", name, "dependencies"))
        for name in table(poetry, "group")
        if table(poetry, "group", name).get("optional")
    }
    extras = table(poetry, "extras") | table(told, "project", "optional-dependencies")
    words = ["poetry install --no-interaction", *(f"--with {name}" for name in _needed(groups, wanted))]
    words += [f"--extras {name}" for name in _needed(extras, wanted)]
    lines = [f"python3 -m venv {place}", f"VIRTUAL_ENV={place} PATH={place}/bin:$PATH {' '.join(words)}"]
    if missing := _unlocked(tree, root, join(root, "poetry.lock"), wanted, wanted):
        lines.append(f"{place}/bin/python {_PIP} {' '.join(missing)}")
    why = f"{join(root, 'poetry.lock')} is there"
    return _step(" && ".join([*_tool(tree, "poetry"), *lines]), why, root, place, wanted)


def _tool(tree: Tree, tool: str) -> list[str]:
    """Lines that bring the tool where the machine does not have it."""
    if tool in tree.present([tool]):
        return []
    place = f"{_TOOLS_PLACE}/{tool}"
    return [
        f"python3 -m venv {place}",
        f"{place}/bin/python {_PIP} {tool}",
        f'export PATH="$PATH:{place}/bin"',
    ]
