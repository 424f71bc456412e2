"""Bazel: its targets built and tested, in place of what other tools would build and test of the same files."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Sequence
from dataclasses import replace

from honk.verify.plan import LeftOut, Plan, Verifier, named
from honk.verify.touched import prose
from honk.verify.tree import Tree, folder, ours, within

MARKERS = ("MODULE.bazel", "WORKSPACE.bazel", "WORKSPACE", ".bazelversion")
_ROOTS = MARKERS[:3]
_PACKAGES = ("BUILD.bazel", "BUILD")
_EVERYWHERE = re.compile(
    r"(^|/)((MODULE|WORKSPACE)(\.bazel|\.bzlmod|\.bazel\.lock)?|\.bazel(version|ignore)|[^/]*bazelrc|[^/]+\.bzl)$"
)
"""What may decide how every target is built."""
_QUIET = "--keep_going --noshow_progress --color=no --curses=no"
# Debian's Bazel tells by default what its sandbox does, which is a hundred lines for each command.
_SHOWN = f"{_QUIET} --nosandbox_debug --test_output=errors"
_NO_TESTS = 4
"""What `bazel test` ends with where all was built and there was nothing to test."""
_NAMED = 3
_MOST = 300
"""Packages that are named in a command; of more, all is tested."""


def instead_of_others(tree: Tree, plan: Plan, changed: Collection[str] | None) -> Plan:
    """The plan with Bazel in place of the builds and tests of what is in its workspaces; or without it, where the
    machine has no Bazel and others test the same. Of a change, what uses the packages that it touches is tested."""
    for place in _places(tree):
        touched = None if changed is None else _touched(tree, place, changed)
        if touched is None or touched:
            plan = _with(tree, plan, place, sorted(touched or ()))
        else:
            plan = replace(plan, untouched=[*plan.untouched, f"Bazel in {place}"])
    return plan


def _places(tree: Tree) -> list[str]:
    found: list[str] = []
    folders = {folder(path) for path in tree.named(*_ROOTS) if ours(path)}
    for place in sorted(folders, key=lambda one: (one != ".", one.count("/"), one)):
        if not any(within(place, other) for other in found):
            found.append(place)
    return found


def _touched(tree: Tree, place: str, changed: Collection[str]) -> set[str] | None:
    """The packages of a workspace that a change touches, as seen from there; None for all."""
    packages = {folder(path) for path in tree.named(*_PACKAGES)}
    touched: set[str] = set()
    for path in changed:
        if not within(path, place):
            continue
        if _EVERYWHERE.search(path):
            return None
        package = folder(path)
        while package not in packages and package not in (place, "."):
            package = folder(package)
        if package in packages:
            seen = package if place == "." else package.removeprefix(place).removeprefix("/")
            touched.add("" if seen == "." else seen)
        elif not prose(path):
            return None
    # An unusual name is not worth a shell's quotes.
    plain = all(re.fullmatch(r"[\w./+@-]*", name) for name in touched)
    return touched if plain and len(touched) <= _MOST else None


def _with(tree: Tree, plan: Plan, place: str, touched: Sequence[str]) -> Plan:
    same = [one for one in plan.verifiers if one.kind in ("build", "test") and within(one.directory, place)]
    program = next((name for name in ("bazel", "bazelisk") if tree.present([name])), None)
    check = Verifier(
        named("bazel test", place),
        _command(program or "bazel", touched),
        f"{tree.first(place, *_ROOTS)} is there{_why(touched)}",
        place,
        3600.0,
        needs=(program or "bazel",),
        kind="test",
        tools=("bazel",),
    )
    if same and program is None:
        why = f"there is no Bazel on this machine, and {_names([one.name for one in same])} do without"
        return replace(plan, left_out=[*plan.left_out, LeftOut(check.name, why)])
    return replace(
        plan,
        verifiers=[check, *(one for one in plan.verifiers if one not in same)],
        left_out=[*plan.left_out, *(LeftOut(one.name, f"{check.name} builds and tests the same") for one in same)],
    )


def _command(program: str, touched: Sequence[str]) -> str:
    """Builds and tests all, or the packages that use the touched ones; all where Bazel cannot tell which these are.

    Whole packages, because `//x:all` leaves out what is `manual` or made for another system, and a target's name does
    not: https://bazel.build/run/build#specifying-build-targets.
    """
    ended = f"|| {{ code=$?; test $code -eq {_NO_TESTS} || exit $code; }}"
    if not touched:
        return f"{program} test {_SHOWN} //... {ended}"
    using = shlex.quote(f"rdeps(//..., set({' '.join(f'//{name}:*' for name in touched)}))")
    asked = f"{program} query --noshow_progress --output=package {using} 2>/dev/null"
    return f"using=$({asked} | sed -n '/^@/!s|.*|//&:all|p'); {program} test {_SHOWN} ${{using:-//...}} {ended}"


def _why(touched: Sequence[str]) -> str:
    return f", and the change touches {_names([f'//{name}' for name in touched])} in it" if touched else ""


def _names(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (" and others" if names[_NAMED:] else "")
