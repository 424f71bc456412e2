"""`honk verify`: the checks of a repository as it stands, in the sandbox, without any agent."""

from __future__ import annotations

from dataclasses import asdict

from rich.markup import escape

from honk.cli.run import open_installation
from honk.model import Check
from honk.surfaces.terminal import print_json, progress, results


def verify_repository(repo: str, *, explain: bool, as_json: bool) -> int:
    """Verify the newest commit of the branch. Returns 1 if a check is red."""
    from honk.gate import red
    from honk.repository_file import parse_repository_file
    from honk.verify import verify

    installation = open_installation()
    repository = installation.forges.resolve(repo)
    commit = installation.workspaces.fetch(repository)
    file = parse_repository_file(installation.workspaces.read(repository, commit, "honk.yaml") or "")

    def say(check: Check) -> None:
        mark = {"passed": "[green]✓[/]", "skipped": "[yellow]–[/]"}.get(check.status, "[red]✗[/]")
        first, _, rest = check.summary.partition("\n")
        results.print(f"{mark} {escape(check.name)} {check.seconds:.1f} s  [dim]{escape(first)}[/]")
        if explain:
            results.print(f"    [dim]because {escape(check.why)}: `{escape(check.command)}`[/]")
        if rest and (explain or not check.green):
            results.print(escape("\n".join(f"    {line}" for line in rest.splitlines())))

    progress.print(f"[dim]{escape(repository.name)} at {commit[:8]} of {escape(repository.default_branch)}[/]")
    with installation.workspaces.checkout(repository, commit) as checkout:
        checks = verify(
            checkout,
            file,
            settings_egress=installation.settings.egress,
            registries=installation.settings.registries,
            characters=installation.settings.distilled_characters,
            on_start=lambda verifier: progress.print(f"[dim]  checking {escape(verifier.name)}…[/]"),
            on_finish=(lambda _: None) if as_json else say,
        )
    if as_json:
        print_json({"repo": repository.name, "commit": commit, "checks": [asdict(check) for check in checks]})
    elif not checks:
        progress.print("No checks were found in this repository: name some under `verify:` in honk.yaml.")
    return 1 if red(checks) else 0
