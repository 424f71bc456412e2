"""From what a repository contains, and what a change touches, to the checks to run."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from honk.model import Standing
from honk.repository_file import RepositoryFile, VerifyStep
from honk.verify.bazel import instead_of_others
from honk.verify.ecosystems import ECOSYSTEMS, MARKERS
from honk.verify.make import add_make, make_places
from honk.verify.plan import KINDS, LeftOut, Plan, SetUp, Verifier, Workspace
from honk.verify.pre_commit import instead_of_its_hooks
from honk.verify.touched import Touched, touched
from honk.verify.tree import Tree, within

_MOST = 200
"""Workspaces of one repository that are planned for."""
_TOO_MANY = f"more than {_MOST} in a repository are not looked at: name checks under `verify` in honk.yaml"


def detect(
    checkout: Standing, file: RepositoryFile, *, changed: Collection[str] | None = None, egress: Collection[str] = ()
) -> Plan:
    """The checks for a checkout: those honk.yaml names, or else those its contents ask for.

    `changed` are the paths that a change touches, deleted ones among them: projects that neither contain one nor use
    one that does are left out. None asks for all. `egress` are hosts that the checks may reach besides honk.yaml's.
    """
    set_up = [SetUp(file.setup, "honk.yaml names `setup`", configured=True)] if file.setup else []
    if file.verify is not None:
        return Plan([_configured(name, step) for name, step in file.verify.items()], set_up)
    tree = Tree(checkout, MARKERS)
    workspaces = [workspace for ecosystem in ECOSYSTEMS for workspace in ecosystem.find(tree)]
    workspaces, beyond = workspaces[:_MOST], workspaces[_MOST:]
    whole = [workspace.plan(None) for workspace in workspaces]
    everything = [verifier for plan in whole for verifier in plan.verifiers]
    made = [place for place in make_places(tree, everything) if place != "."]
    plan = Plan(left_out=[LeftOut(f"{len(beyond)} more projects", _TOO_MANY)] if beyond else [])
    for workspace, all_of_it, part in zip(workspaces, whole, touched(workspaces, changed, made), strict=True):
        if part.any:
            chosen = all_of_it if part.members is None else workspace.plan(part.members)
            apart = _apart(workspace, workspaces)
            chosen = replace(chosen, set_up=[replace(step, apart=apart) for step in chosen.set_up])
            plan = _joined(plan, _told(chosen, part))
        if all_of_it.verifiers:
            plan = _joined(plan, Plan(untouched=_left(workspace, part)))
    plan = instead_of_others(tree, plan, changed)
    plan = instead_of_its_hooks(tree, plan, [*file.egress, *egress])
    plan = add_make(tree, plan, [*everything, *plan.verifiers], changed)
    return replace(plan, verifiers=_in_order(plan.verifiers), set_up=set_up or _possible(tree, _wanted(plan)))


def _configured(name: str, step: str | VerifyStep) -> Verifier:
    why = f"honk.yaml names `verify.{name}`"
    if isinstance(step, str):
        return Verifier(name, step, why, configured=True)
    return Verifier(name, step.run, why, step.directory, step.timeout, configured=True, after=tuple(step.after))


def _apart(workspace: Workspace, workspaces: Sequence[Workspace]) -> list[str]:
    """The folders of workspaces that this one neither lies in nor uses, directly or not."""
    uses = {member: used for one in workspaces for member, used in one.members.items()}
    reached = {workspace.directory, *workspace.members}
    waiting = list(reached)
    while waiting:
        new = uses.get(waiting.pop(), frozenset()) - reached
        reached |= new
        waiting += new
    others = {one.directory for one in workspaces} - reached
    inner = reached - {"."}
    return sorted(
        other
        for other in others
        if not any(within(one, other) for one in reached) and not any(within(other, one) for one in inner)
    )


def _left(workspace: Workspace, part: Touched) -> list[str]:
    """The projects of a workspace that are left out, in words; the workspace itself if all of it is."""
    if part.members is None:
        return []
    places = workspace.members.keys() - part.members - {workspace.directory} if part.members else [workspace.directory]
    return [f"{workspace.ecosystem} in {place}" for place in sorted(places)]


def _told(plan: Plan, part: Touched) -> Plan:
    """The plan with what the change has to do with each check."""
    reasons = [(one, part.why.get(one.directory)) for one in plan.verifiers]
    verifiers = [replace(one, why=f"{one.why}, and {reason}") if reason else one for one, reason in reasons]
    return replace(plan, verifiers=verifiers)


def _joined(one: Plan, other: Plan) -> Plan:
    return Plan(
        [*one.verifiers, *other.verifiers],
        [*one.set_up, *other.set_up],
        [*one.left_out, *other.left_out],
        [*one.untouched, *other.untouched],
    )


def _wanted(plan: Plan) -> list[SetUp]:
    """Without what would be fetched ahead for checks that something else does by now."""
    fetching = {one.directory for one in plan.verifiers if one.registries}
    return [step for step in plan.set_up if not step.ahead or step.directory in fetching]


def _possible(tree: Tree, steps: Sequence[SetUp]) -> list[SetUp]:
    present = tree.present({program for step in steps for program in step.needs})
    return [step for step in steps if present.issuperset(step.needs)]


def _in_order(verifiers: Collection[Verifier]) -> list[Verifier]:
    """Project by project, and in each what is quick to say first."""
    places = {one.directory: number for number, one in reversed(list(enumerate(verifiers)))}
    return sorted(verifiers, key=lambda one: (places[one.directory], KINDS.index(one.kind) if one.kind else 0))
