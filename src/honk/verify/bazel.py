"""Bazel: all its targets built and tested, in place of what other tools would build and test of the same files."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from honk.verify.plan import LeftOut, Plan, Verifier, named
from honk.verify.tree import Tree, folder, ours, within

MARKERS = ("MODULE.bazel", "WORKSPACE.bazel", "WORKSPACE", ".bazelversion")
_ROOTS = MARKERS[:3]
_SHOWN = "--keep_going --noshow_progress --color=no --curses=no --test_output=errors"
_NO_TESTS = 4
"""What `bazel test` ends with where all was built and there was nothing to test."""


def instead_of_others(tree: Tree, plan: Plan, changed: Collection[str] | None) -> Plan:
    """The plan with Bazel in place of the builds and tests of what is in its workspaces; or without it, where the
    machine has no Bazel and others test the same."""
    for place in _places(tree):
        if changed is None or any(within(path, place) for path in changed):
            plan = _with(tree, plan, place)
    return plan


def _places(tree: Tree) -> list[str]:
    found: list[str] = []
    for place in sorted({folder(path) for path in tree.named(*_ROOTS) if ours(path)}, key=lambda one: one.count("/")):
        if not any(within(place, other) for other in found):
            found.append(place)
    return found


def _with(tree: Tree, plan: Plan, place: str) -> Plan:
    same = [one for one in plan.verifiers if one.kind in ("build", "test") and within(one.directory, place)]
    program = next((name for name in ("bazel", "bazelisk") if tree.present([name])), None)
    check = Verifier(
        named("bazel test", place),
        f"{program or 'bazel'} test {_SHOWN} //... || test $? -eq {_NO_TESTS}",
        f"{tree.first(place, *_ROOTS)} is there",
        place,
        3600.0,
        needs=(program or "bazel",),
        kind="test",
        tools=("bazel",),
    )
    if same and program is None:
        why = f"there is no Bazel on this machine, and {_names(same)} do without"
        return replace(plan, left_out=[*plan.left_out, LeftOut(check.name, why)])
    return replace(
        plan,
        verifiers=[check, *(one for one in plan.verifiers if one not in same)],
        left_out=[*plan.left_out, *(LeftOut(one.name, f"{check.name} builds and tests the same") for one in same)],
    )


def _names(verifiers: Sequence[Verifier]) -> str:
    return ", ".join(one.name for one in verifiers[:3]) + (" and others" if verifiers[3:] else "")
