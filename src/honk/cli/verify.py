"""`honk verify`: the checks of a repository as it stands, in the sandbox, without any agent."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from secrets import token_hex
from threading import Semaphore
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from honk.cli.run import open_installation
from honk.model import Check, HonkError, Reach
from honk.surfaces.terminal import check_mark, print_json, progress, results

if TYPE_CHECKING:
    from honk.verify import Plan

_NONE = "No checks were found in this repository: name some under `verify:` in honk.yaml."


def verify_repository(repo: str, *, explain: bool, as_json: bool, fresh: bool, changed_since: str | None) -> int:
    """Verify the newest commit of the branch, or only say how that would be done. Returns 1 if a check is red. Raises
    `UsageError` for a repository, a branch or a commit that is not there."""
    from honk.flow.verification import EarlierResults, allowed_hosts
    from honk.gate import red
    from honk.repository_file import parse_repository_file
    from honk.verify import Conditions, checks_at_once, detect, missing_programs, verify

    installation = open_installation()
    settings, workspaces, store = installation.settings, installation.workspaces, installation.store
    repository = installation.forges.resolve(repo)
    commit = workspaces.fetch(repository)
    file = parse_repository_file(workspaces.read(repository, commit, "honk.yaml") or "")
    changed = workspaces.changed(repository, changed_since, commit) if changed_since else None
    head: dict[str, Any] = {"repo": repository.name, "commit": commit}
    progress.print(f"[dim]{escape(repository.name)} at {commit[:8]} of {escape(repository.default_branch)}[/]")
    # A way out of which all is refused names in the check's result who was asked for.
    reach = Reach(lambda host, port: store.allowed(repository.name, host, port), lambda *_: None)
    with workspaces.checkout(repository, commit, reach=reach) as checkout:
        if explain:
            plan = detect(checkout, file, changed=changed, egress=settings.egress)
            missing: Mapping[str, Sequence[str]] = {}
            try:
                missing = missing_programs(checkout, plan)
            except HonkError as error:
                progress.print(f"[yellow]Which programs are there cannot be told: {escape(str(error))}[/]")
            if as_json:
                print_json(head | _plan_view(plan, missing))
            else:
                _explain(plan, missing)
            return 0
        plans: list[Plan] = []
        checks = verify(
            checkout,
            file,
            Conditions.of(settings, fresh=fresh),
            changed=changed,
            on_plan=plans.append,
            on_start=lambda verifier: progress.print(f"[dim]  checking {escape(verifier.name)}…[/]"),
            on_finish=(lambda _: None) if as_json else _say,
            earlier=EarlierResults(
                store,
                repository.name,
                checkout,
                allowed_hosts(store, repository),
                reused=[] if fresh else ["passed"],
                hours=settings.checks_cache_hours,
            ),
            turns=Semaphore(settings.checks_at_once or checks_at_once()),
        )
    for check in checks:
        if check.status == "flaky":
            store.note_flaky(repository.name, check.name, f"verify:{token_hex(8)}")
    if as_json:
        left_out = [asdict(one) for plan in plans for one in plan.left_out]
        flaky = store.flaky(repository.name)
        told = [asdict(check) | {"flaky_times": flaky.get(check.name, 0)} for check in checks]
        print_json(head | {"checks": told, "left_out": left_out})
    else:
        _say_left_out(plans[0])
        if not checks:
            progress.print(_NONE)
    return 1 if red(checks) else 0


def _say(check: Check) -> None:
    first, _, rest = check.summary.partition("\n")
    remark = f" [yellow]{escape(check.remark)}[/]" if check.remark else ""
    results.print(
        f"{check_mark(check.status)} {escape(check.name)} {check.seconds:.1f} s{remark}  [dim]{escape(first)}[/]"
    )
    because = f"because {escape(check.why)}" + (f": `{escape(check.command)}`" if check.command else "")
    results.print(f"    [dim]{because}[/]")
    if rest:
        results.print(escape("\n".join(f"    {line}" for line in rest.splitlines())))


def _say_left_out(plan: Plan) -> None:
    for one in plan.left_out:
        results.print(f"[dim]  not run: {escape(one.name)}, because {escape(one.why)}[/]")


def _explain(plan: Plan, missing: Mapping[str, Sequence[str]]) -> None:
    from honk.verify import remedy, untouched

    for step in plan.set_up:
        results.print(f"set-up{_where(step.directory)}  [dim]because {escape(step.why)}[/]")
        results.print(f"    {escape(step.command)}")
    for one in plan.verifiers:
        kind = f" [cyan]{one.kind}[/]" if one.kind else ""
        results.print(f"{escape(one.name)}{kind}{_where(one.directory)}  [dim]because {escape(one.why)}[/]")
        results.print(f"    {escape(one.command)}")
        if programs := missing.get(one.name):
            told = f"{', '.join(programs)} not installed on this machine: {remedy(programs)}"
            results.print(f"    [yellow]{escape(told)}[/]")
    _say_left_out(plan)
    if plan.untouched:
        results.print(f"[dim]  {escape(untouched(plan).summary)}[/]")
    elif not plan.verifiers:
        progress.print(_NONE)


def _where(directory: str) -> str:
    return "" if directory == "." else f" in {escape(directory)}"


def _plan_view(plan: Plan, missing: Mapping[str, Collection[str]]) -> dict[str, Any]:
    from honk.verify import remedy

    return {
        "set_up": [{"command": one.command, "why": one.why, "directory": one.directory} for one in plan.set_up],
        "checks": [
            {
                "name": one.name,
                "kind": one.kind,
                "command": one.command,
                "directory": one.directory,
                "why": one.why,
                "missing": list(missing.get(one.name, [])),
                "remedy": remedy(list(missing[one.name])) if one.name in missing else "",
            }
            for one in plan.verifiers
        ],
        "left_out": [asdict(one) for one in plan.left_out],
        "untouched": list(plan.untouched),
    }
