"""`honk doctor`: what holds on this machine, and what to do about what does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.markup import escape

from honk.model import HonkError
from honk.surfaces.terminal import print_json, progress, results

if TYPE_CHECKING:
    from honk.settings import Settings
    from honk.workspace.attacks import Outcome


def examine(*, as_json: bool) -> int:
    """Print what this machine can do, each with its remedy, and which promises of the sandbox hold against attacks;
    0 if all that is needed holds."""
    from honk.agents import agent_ready
    from honk.settings import read_settings
    from honk.setup import github_rows, slack_rows
    from honk.ship.screenshots import browser, driver
    from honk.workspace import promises

    settings = read_settings()
    rows = list(promises(settings))
    try:
        agent_ready("claude", settings)
        rows.append(("model key", True, ""))
    except HonkError as error:
        rows.append(("model key", False, f"{error} `honk demo` and script agents work without."))
    remedies = [] if browser() else ["Install Chromium."]
    remedies += [] if driver() else ["Install Playwright: `pip install 'honk[pictures]'`."]
    told = " ".join([*remedies, "All else works without."]) if remedies else ""
    rows.append(("pictures of web previews", not remedies, told))
    named = settings.previews_under is not None
    remedy = (
        "Each preview has a port of its own, which phones must be able to reach; HONK_PREVIEW_DOMAIN gives them names."
    )
    rows.append(("previews with names", named, "" if named else remedy))
    rows += slack_rows(settings) + github_rows(settings)
    needed = {"sandbox", "git"}
    tried = _attacked(settings) if all(holds for name, holds, _ in rows if name == "sandbox") else []
    if as_json:
        print_json(
            {
                "promises": [{"name": name, "holds": holds, "remedy": remedy} for name, holds, remedy in rows],
                "attacks": [
                    {
                        "promise": one.attack.promise,
                        "name": one.attack.name,
                        "held": one.held,
                        "told": one.told,
                        "skipped": one.skipped,
                    }
                    for one in tried
                ],
            }
        )
    else:
        for name, holds, remedy in rows:
            mark = "[green]✓[/]" if holds else ("[red]✗[/]" if name in needed else "[yellow]–[/]")
            results.print(f"{mark} {name}" + (f": {escape(remedy)}" if remedy else ""))
        _print_attacks(tried)
    return 0 if all(holds for name, holds, _ in rows if name in needed) and all(map(_harmless, tried)) else 1


def _attacked(settings: Settings) -> list[Outcome]:
    from honk.workspace.attacks import attack_here

    try:
        return list(attack_here(settings))
    except (HonkError, OSError) as error:
        progress.print(f"[red]The sandbox's promises cannot be tried here:[/] {escape(str(error))}")
        return []


def _harmless(one: Outcome) -> bool:
    return one.held or one.skipped


def _print_attacks(tried: Sequence[Outcome]) -> None:
    from honk.workspace.attacks import held_promises

    if tried:
        results.print(f"\n[bold]{len(tried)} attacks on the sandbox[/] (what each promise says: SECURITY.md)")
    for name, held, told in held_promises(tried):
        mark = {True: "[green]✓[/]", False: "[red]✗[/]", None: "[yellow]–[/]"}[held]
        results.print(f"{mark} {name}: {escape(told)}")
