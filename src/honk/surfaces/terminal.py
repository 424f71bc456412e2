"""What the shell shows: JSON and results on standard output, progress and errors on standard error."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape

from honk.gate import place
from honk.model import WHY, Event

progress = Console(stderr=True, highlight=False, soft_wrap=True)
results = Console(highlight=False, soft_wrap=True)


def say_error(error: str, *, as_json: bool) -> None:
    """One sentence for the person; with `--json` also one object for the program."""
    if as_json:
        print_json({"error": error})
    progress.print(f"[bold red]✗[/] {escape(error)}")


def print_json(value: dict[str, Any]) -> None:
    """One object on standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")
    sys.stdout.flush()


def _first(text: object, length: int = 100) -> str:
    line = next((line.strip() for line in str(text).splitlines() if line.strip()), "")
    return escape(line if len(line) <= length else line[: length - 1] + "…")


_TELLING = re.compile(r"error|fail|assert|not ok|panicked|missing", re.IGNORECASE)


def _headline(summary: str) -> str:
    """The line of a check's summary that says most."""
    return _first(next((line for line in summary.splitlines() if _TELLING.search(line)), summary))


def _tool(event: Event) -> str:
    given = event.data.get("input") or {}
    told = next(
        (given[name] for name in ("command", "file_path", "pattern", "description", "path") if name in given), ""
    )
    return f"   [dim]{escape(str(event.data.get('name', '')))} {_first(told)}[/]"


def _check(event: Event) -> str:
    data = event.data
    remark = f" [yellow]{escape(data['remark'])}[/]" if data.get("remark") else ""
    return (
        f"   {check_mark(data['status'])} {escape(data['name'])} {data['seconds']:.1f} s{remark} "
        f"[dim]{_headline(data['summary'])}[/]"
    )


def check_mark(status: str) -> str:
    """A check's status as one sign."""
    marks = {"passed": "[green]✓[/]", "flaky": "[yellow]✓[/]", "skipped": "[yellow]–[/]", "already_red": "[yellow]✗[/]"}
    return marks.get(status, "[red]✗[/]")


def _verdict(event: Event) -> str:
    from honk.flow.view import judge_says

    data = event.data
    against = "[red]✗[/]" if data["mode"] == "veto" else "[yellow]![/]"
    mark = {"approve": "[green]✓[/]", "abstain": "[yellow]–[/]"}.get(data["decision"], against)
    doubts = [
        f"\n     {escape(place(one['path'], one['line']))}{_first(one['message'], 200)}" for one in data["doubts"][:5]
    ]
    return f"   {mark} {judge_says(data)}: {_first(data['summary'], 300)}{''.join(doubts)}"


def _findings(event: Event) -> str | None:
    told = [_finding(one) for one in event.data["findings"][:10]]
    if more := len(event.data["findings"]) - len(told) + event.data["more"]:
        told.append(f"   [dim]{more} more findings[/]")
    return "\n".join(told) or None


def _finding(one: Mapping[str, Any]) -> str:
    mark, tap = ("[red]✗[/]", ", wants a tap") if one["wants_tap"] else ("[yellow]![/]", "")
    where = escape(place(one["path"], one["line"]))
    return f"   {mark} {where}{_first(one['message'], 200)} [dim]{escape(one['kind'])}{tap}[/]"


def line(event: Event) -> str | None:  # noqa: PLR0911, PLR0912, PLR0915  one line a kind of event
    """The event as a line of progress, or None if it is not worth one."""
    data = event.data
    match event.kind:
        case "task.created":
            return f"[bold]Task {event.task_id}[/] in {escape(data['repository'])}: {_first(data['text'])}"
        case "message.received" if not data.get("first"):
            return f"[cyan]»[/] {escape(data['name'])}: {_first(data['text'])}"
        case "turn.started":
            return "[blue]●[/] Preparing the workspace"
        case "unsafe":
            return "[bold red]! Running WITHOUT a sandbox: commands can reach everything you can.[/]"
        case "agent.started":
            return f"[blue]●[/] Working with {_first(data['agent'], 60)}"
        case "agent.text":
            return f"   {_first(data['text'], 160)}"
        case "agent.tool":
            return _tool(event)
        case "set_up.started":
            return f"   [dim]setting up: {_first(data['command'])}[/]"
        case "set_up.failed":
            return f"   [yellow]–[/] The set-up failed, work begins without it: {_first(data['summary'])}"
        case "check.started":
            return f"   [dim]checking {escape(data['name'])}: {_first(data['command'])}[/]"
        case "check.finished" | "check.already_red":
            return _check(event)
        case "check.on_base":
            return f"   [dim]trying {escape(', '.join(data['names']))} on {escape(data['branch'])}, too[/]"
        case "gate.blocked":
            return f"[yellow]●[/] Checks are red: back to work (round {data['round']} of {data['rounds']})"
        case "gate.sent_back":
            return (
                f"[yellow]●[/] Sent back by guard and judge: back to work (round {data['round']} of {data['rounds']})"
            )
        case "tamper.found":
            return _findings(event)
        case "judge.started":
            return f"[blue]●[/] Judging {data['commit'][:8]} [dim]{escape(data['model'])}[/]"
        case "judge.finished":
            return _verdict(event)
        case "overridden":
            return f"   [yellow]✓[/] Overridden by {escape(data['name'])}: {data['head_sha'][:8]} may be merged"
        case "commit":
            return f"[blue]●[/] Commit {data['sha'][:8]} [dim]{escape(data.get('stat') or '')}[/]"
        case "state" if data.get("state") == "verifying":
            return "[blue]●[/] Verifying on a clean checkout"
        case "change.opened" | "change.updated":
            verb = "opened" if event.kind == "change.opened" else "updated"
            return f"[blue]●[/] Pull request #{data['number']} {verb}: {escape(data['branch'])}"
        case "build.started":
            return f"[blue]●[/] Building {escape(data['kind'])}"
        case "revert.prepared":
            return f"[blue]●[/] The default branch still has it: task {data['task']} takes it back"
        case "build.progress":
            return f"   [dim]{escape(data['kind'])} {data['seconds']:.0f} s: {escape(data['line'])}[/]"
        case "build.finished":
            told = f"{escape(data['kind'])} {data['size'] / 1000:.0f} kB{_growth(data)}"
            took = f" {data['seconds']:.1f} s" if data.get("seconds") and not data.get("unchanged_since") else ""
            return f"   [green]✓[/] {told}{took} [dim]{data['sha256'][:12]}{_unchanged(data)}[/]"
        case "build.waiting":
            return f"   [yellow]…[/] {escape(data['kind'])} waits for a worker with the label {escape(data['label'])}"
        case "build.failed":
            return f"   [red]✗[/] {escape(data['kind'])}: {escape(data['error'])}"
        case "build.skipped":
            return f"   [yellow]–[/] {escape(data['kind'])}: {escape(data['reason'])}"
        case "tried":
            return f"   [green]✓[/] Tried on {escape(data['device'])} [dim]{escape(data['kind'])}[/]"
        case "card.void":
            return f"   [dim]the version of {data['commit'][:8]} is void[/]"
        case "ready":
            return f"[green]●[/] Ready: {_first(data['summary'], 200)}"
        case "answered":
            if data.get("question"):
                return f"[yellow]?[/] {escape(data['text'])}"
            return f"[green]●[/] Nothing was changed: {_first(data['text'], 200)}"
        case "merge.requested":
            behind = f", behind {data['before']} others" if data.get("before") else ""
            return f"[blue]●[/] Merging {data['head_sha'][:8]}{behind}"
        case "merge.verifying":
            others = f" together with {data['together'] - 1} others" if data["together"] > 1 else ""
            return f"[blue]●[/] Verifying it as it will land{others}"
        case "attest.failed":
            return f"   [yellow]![/] No signed statement about the {escape(data['about'])}: {escape(data['error'])}"
        case "merge.progress":
            return f"   [dim]it {escape(data['line'])}[/]"
        case "deploy.progress":
            return f"   [dim]{data['seconds']:.0f} s: {escape(data['line'])}[/]"
        case "deploy.joined":
            return f"[blue]●[/] Goes into production with the newer task {data['task']}"
        case "merge.landed":
            return f"[green]●[/] Merged as {data['sha'][:8]} on {escape(data['branch'])}"
        case "merge.refused" | "rollback.refused":
            return f"[red]✗[/] {escape(data['reason'])}"
        case "deploy.started":
            return f"[blue]●[/] Deploying: {_first(data['command'])}"
        case "deploy.healthy":
            return f"[green]●[/] Healthy in production {escape(data.get('url') or '')}"
        case "deploy.ill":
            return f"[red]●[/] Ill: {_first(data['reason'], 200)}"
        case "service.ended":
            again = f"started again in {data['again_in']:g} s"
            return f"[red]●[/] {_first(data['error'], 200)} [dim]({again})[/]"
        case "service.restarted":
            return "[green]●[/] The service runs again"
        case "rolled_back":
            return f"[yellow]●[/] Rolled back to {(data.get('to') or '')[:8]}"
        case "limit" | "failed":
            return f"[red]✗[/] {escape(data['error'])}\n   [bold]Next:[/] {escape(str(data['next']))}"
        case "cancelled":
            return "[yellow]●[/] Cancelled; the work so far is kept"
        case "egress.refused":
            why = WHY[data["why"]] or "tap Allow in the thread, or name it under `egress` in honk.yaml"
            return f"   [yellow]blocked:[/] {escape(data['host'])}:{data['port']} ({escape(data['by'])}) [dim]{why}[/]"
        case "egress.allowed":
            return f"   [green]allowed:[/] {escape(data['host'])}:{data['port']} by {escape(data['name'])}"
        case "branch.pushed":
            return f"[blue]●[/] {escape(data['name'])} pushed {data['sha'][:8]} to the branch"
        case "branch.taken_in" | "base.renewed":
            mend = f"; to mend: {escape(', '.join(data['conflicts']))}" if data["conflicts"] else ""
            what = "What was pushed" if event.kind == "branch.taken_in" else f"The newest {escape(data['branch'])}"
            return f"[blue]●[/] {what} was merged into the change{mend}"
        case "workspace.left_out":
            from honk.flow.view import left_out

            return f"[yellow]●[/] {escape(left_out(data))}"
        case "submodule.missing":
            return f"   [yellow]empty:[/] {escape(data['path'])} [dim]{escape(data['reason'])}[/]"
        case "history.late":
            return "   [dim]older files are still being fetched: git log -p and git blame work when they are here[/]"
        case "ci.failed":
            return f"[red]✗[/] The check {escape(data['name'])} is red on the pull request"
        case "merge.elsewhere":
            return (
                f"[green]●[/] Merged as {data['sha'][:8]} by {escape(data['name'])} on the forge; not deployed by Honk"
            )
    return None


def _growth(data: Mapping[str, Any]) -> str:
    before = data.get("size_before")
    return f" ({(data['size'] - before) / 1000:+.1f} kB)" if before and before != data["size"] else ""


def _unchanged(data: Mapping[str, Any]) -> str:
    since = data.get("unchanged_since")
    return f", not built again: nothing it reads changed since {since[:8]}" if since else ""
