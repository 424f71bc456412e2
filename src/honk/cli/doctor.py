"""`honk doctor`: what holds on this machine, and what to do about what does not."""

from __future__ import annotations

import shutil

from rich.markup import escape

from honk.model import HonkError
from honk.surfaces.terminal import print_json, results


def examine(*, as_json: bool) -> int:
    """Print every promise with its remedy; 0 if all that is needed holds."""
    from honk.agents import agent_ready
    from honk.settings import read_settings
    from honk.setup import github_rows, slack_rows
    from honk.workspace import promises

    settings = read_settings()
    rows = list(promises(settings))
    try:
        agent_ready("claude", settings)
        rows.append(("model key", True, ""))
    except HonkError as error:
        rows.append(("model key", False, f"{error} `honk demo` and script agents work without."))
    chromium = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
    rows.append(
        (
            "browser for screenshots",
            chromium is not None,
            "" if chromium else "Install Chromium; all else works without.",
        )
    )
    named = settings.previews_under is not None
    remedy = (
        "Each preview has a port of its own, which phones must be able to reach; HONK_PREVIEW_DOMAIN gives them names."
    )
    rows.append(("previews with names", named, "" if named else remedy))
    rows += slack_rows(settings) + github_rows(settings)
    needed = {"sandbox", "git"}
    if as_json:
        print_json({"promises": [{"name": name, "holds": holds, "remedy": remedy} for name, holds, remedy in rows]})
    else:
        for name, holds, remedy in rows:
            mark = "[green]✓[/]" if holds else ("[red]✗[/]" if name in needed else "[yellow]–[/]")
            results.print(f"{mark} {name}" + (f": {escape(remedy)}" if remedy else ""))
    return 0 if all(holds for name, holds, _ in rows if name in needed) else 1
