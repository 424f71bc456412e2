"""The commands and their options. What they do is imported when they run, so that help is there at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.main

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Say it in chat, try it on your phone, tap merge.",
)
task_app = typer.Typer(no_args_is_help=True, help="Tasks: list, look, talk, merge, override, cancel, retry, roll back.")
app.add_typer(task_app, name="task")
setup_app = typer.Typer(no_args_is_help=True, help="Connect Honk with Slack and GitHub.")
app.add_typer(setup_app, name="setup")

provenance_app = typer.Typer(no_args_is_help=True, help="Signed statements: where a file or a commit comes from.")
app.add_typer(provenance_app, name="provenance")

egress_app = typer.Typer(no_args_is_help=True, help="Hosts that people let repositories' commands reach.")
app.add_typer(egress_app, name="egress")

Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
TaskId = Annotated[str, typer.Argument(metavar="ID", help="The task's id, or the beginning of it.")]

Check = Annotated[bool, typer.Option("--check", help="Only look whether what is set up works.")]
Manifest = Annotated[bool, typer.Option("--print-manifest", help="Print the app's manifest and stop.")]
Open = Annotated[bool, typer.Option("--open", help="Open the page in your browser.")]


@app.callback(invoke_without_command=True)
def _honk(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    if version:
        from honk import __version__

        typer.echo(f"honk {__version__}")
        raise typer.Exit


@app.command()
def demo(
    fast: Annotated[bool, typer.Option("--fast", help="Without the pauses that let you read along.")] = False,
    live: Annotated[bool, typer.Option("--live", help="With the real model; needs ANTHROPIC_API_KEY.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep serving at the end, to look around.")] = False,
    as_json: Json = False,
) -> None:
    """The whole story on the bundled example: no key, no account."""
    from honk.demo import run_demo

    raise typer.Exit(run_demo(fast=fast, live=live, keep=keep, as_json=as_json))


@app.command()
def up(
    listen: Annotated[str | None, typer.Option(help="HOST:PORT; default HONK_LISTEN or 127.0.0.1:4665.")] = None,
) -> None:
    """Server, web chat and worker; prints a link with its token."""
    from honk.cli.serve import serve

    serve(listen)


@app.command()
def run(
    text: Annotated[str, typer.Argument(help="What should change, in your words; `-` reads standard input.")],
    repo: Annotated[str, typer.Option("--repo", help="A path, a URL, or a repository Honk knows.")] = ".",
    branch: Annotated[
        str | None, typer.Option(help="Start from this branch and merge back into it; default: the repository's own.")
    ] = None,
    agent: Annotated[str, typer.Option(help="claude, script:COMMAND or acp:COMMAND.")] = "claude",
    merge: Annotated[bool, typer.Option("--merge", help="Merge (and deploy) when everything is green.")] = False,
    key: Annotated[str | None, typer.Option(help="Your own key: the same key again gives the same task.")] = None,
    unsafe: Annotated[
        bool, typer.Option("--unsafe-no-sandbox", help="Run without a sandbox. It can reach all that you can.")
    ] = False,
    as_json: Json = False,
) -> None:
    """One task from the shell, followed to its end."""
    from honk.cli.run import run_task

    raise typer.Exit(
        run_task(
            text,
            repo=f"{repo}#{branch}" if branch else repo,
            agent=agent,
            merge=merge,
            key=key,
            unsafe=unsafe,
            as_json=as_json,
        )
    )


@app.command()
def verify(
    repo: Annotated[str, typer.Option("--repo", help="A path, a URL, or a repository Honk knows.")] = ".",
    branch: Annotated[str | None, typer.Option(help="This branch; default: the repository's own.")] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Run nothing: say what would run, why, and what is missing for it.")
    ] = False,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Use nothing that was done before.")] = False,
    changed_since: Annotated[
        str | None,
        typer.Option(metavar="REF", help="Only the projects that changes since this commit or branch touch."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run a repository's checks on a clean checkout, without any agent: what a change will be judged by."""
    from honk.cli.verify import verify_repository

    raise typer.Exit(
        verify_repository(
            f"{repo}#{branch}" if branch else repo,
            explain=explain,
            as_json=as_json,
            fresh=no_cache,
            changed_since=changed_since,
        )
    )


@app.command("eval")
def evaluate(
    path: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE|FOLDER]", help="Cases as docs/evals.md says; default: those that come with Honk."
        ),
    ] = None,
    judge: Annotated[
        bool | None,
        typer.Option(
            "--judge/--no-judge", " /--guard-only", help="Ask the judge, too; default: if there is a key for a model."
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(help="A score below it is a veto; default: as where honk.yaml says nothing.", min=0, max=1),
    ] = None,
    budget: Annotated[
        float | None, typer.Option(help="US dollars that all verdicts may cost; default: HONK_MAX_COST_USD.", min=0)
    ] = None,
    from_tasks: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Write what became of this home's tasks there as cases, and stop."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure tamper guard and judge on changes of which the truth is known."""
    from honk.cli.evals import evaluate as measure
    from honk.cli.evals import export_outcomes

    if from_tasks is not None:
        raise typer.Exit(export_outcomes(from_tasks, as_json=as_json))
    raise typer.Exit(measure(path, judge=judge, threshold=threshold, budget=budget, as_json=as_json))


@app.command()
def worker(
    labels: Annotated[str, typer.Option(help="What this machine can do, such as macos; separated by commas.")] = "",
    unsafe_no_sandbox: Annotated[
        bool, typer.Option("--unsafe-no-sandbox", help="Build without a sandbox, e.g. on a Mac of your own.")
    ] = False,
) -> None:
    """Take work from the shared database; with labels, only builds that ask for them."""
    from honk.cli.serve import work

    work(labels, unsafe=unsafe_no_sandbox)


@app.command()
def doctor(as_json: Json = False) -> None:
    """What this machine can and cannot do, each with its remedy."""
    from honk.cli.doctor import examine

    raise typer.Exit(examine(as_json=as_json))


@app.command()
def audit(
    task: Annotated[str | None, typer.Argument(metavar="[ID]", help="Only this task's events.")] = None,
    as_json: Json = False,
) -> None:
    """Check the log's chain; show who did what."""
    from honk.cli.tasks import audit_log

    raise typer.Exit(audit_log(task, as_json=as_json))


@setup_app.command("slack")
def setup_slack(
    check: Check = False,
    print_manifest: Manifest = False,
    events_api: Annotated[
        bool, typer.Option("--events-api", help="Request URLs under HONK_PUBLIC_URL instead of a socket.")
    ] = False,
    open_browser: Open = False,
    as_json: Json = False,
) -> None:
    """Make the Slack app, take its tokens, say what is missing."""
    from honk.cli.setup import setup_slack as set_up

    raise typer.Exit(
        set_up(
            print_manifest=print_manifest,
            check=check,
            events_api=events_api,
            open_browser=open_browser,
            as_json=as_json,
        )
    )


@setup_app.command("github")
def setup_github(
    organisation: Annotated[str | None, typer.Option(help="Make the app for this organisation.")] = None,
    name: Annotated[str | None, typer.Option(help="The app's name; unique on GitHub.")] = None,
    app_id: Annotated[str | None, typer.Option(help="Of an app that exists.")] = None,
    private_key: Annotated[str | None, typer.Option(help="File with its key; `-` reads standard input.")] = None,
    port: Annotated[int, typer.Option(help="Of the page on this machine; 0: any.")] = 0,
    wait: Annotated[float, typer.Option(help="Seconds to wait for you to come back from GitHub.")] = 1800.0,
    check: Check = False,
    print_manifest: Manifest = False,
    open_browser: Open = False,
    as_json: Json = False,
) -> None:
    """Make the GitHub App, keep its key, say what is missing."""
    from honk.cli.setup import setup_github as set_up

    raise typer.Exit(
        set_up(
            print_manifest=print_manifest,
            check=check,
            organisation=organisation,
            name=name,
            app_id=app_id,
            private_key=private_key,
            port=port,
            wait=wait,
            open_browser=open_browser,
            as_json=as_json,
        )
    )


@provenance_app.command("verify")
def provenance_verify(
    what: Annotated[str, typer.Argument(metavar="FILE|COMMIT", help="A built file or folder, a bundle, or a commit.")],
    bundle: Annotated[
        Path | None, typer.Option(help="The statements, as `honk provenance export` wrote them; default: this home's.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="The key to believe, as `honk provenance key` printed it; default: this home's.")
    ] = None,
    identity: Annotated[
        str | None, typer.Option(help="Believe whom sigstore vouches for instead: an address or a URI. With --issuer.")
    ] = None,
    issuer: Annotated[str | None, typer.Option(help="Who knows that identity, as a URL.")] = None,
    as_json: Json = False,
) -> None:
    """Check what is said about a file or a commit: who asked, who made it, what spoke for it. Needs no network."""
    from honk.cli.provenance import verify

    raise typer.Exit(verify(what, bundle=bundle, key=key, identity=identity, issuer=issuer, as_json=as_json))


@provenance_app.command("export")
def provenance_export(
    what: Annotated[str, typer.Argument(metavar="TASK|COMMIT", help="A task's id, or the commit that landed.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file; default: standard output.")] = None,
    as_json: Json = False,
) -> None:
    """Write the signed statements down, one a line, for others to check."""
    from honk.cli.provenance import export

    raise typer.Exit(export(what, output=output, as_json=as_json))


@provenance_app.command("key")
def provenance_key(as_json: Json = False) -> None:
    """Print the public key, which others need to check the statements."""
    from honk.cli.provenance import show_key

    raise typer.Exit(show_key(as_json=as_json))


@egress_app.command("list")
def egress_list(as_json: Json = False) -> None:
    """What was allowed by a tap, where, and by whom."""
    from honk.cli.egress import list_allowances

    list_allowances(as_json=as_json)


@egress_app.command("allow")
def egress_allow(
    task: TaskId,
    host: Annotated[str, typer.Argument(metavar="HOST[:PORT]", help="What was blocked in the task.")],
) -> None:
    """Let the task's repository reach a host that was blocked; it counts at once."""
    from honk.cli.egress import allow

    allow(task, host)


@egress_app.command("revoke")
def egress_revoke(
    repo: Annotated[str, typer.Argument(metavar="REPOSITORY", help="Its name, as the list shows it.")],
    host: Annotated[str, typer.Argument(metavar="HOST[:PORT]")],
) -> None:
    """Take back what was allowed; connections that are open stay."""
    from honk.cli.egress import revoke

    revoke(repo, host)


@task_app.command("list")
def task_list(as_json: Json = False) -> None:
    """The newest tasks."""
    from honk.cli.tasks import list_tasks

    list_tasks(as_json=as_json)


@task_app.command("show")
def task_show(
    task: TaskId,
    apply: Annotated[
        bool, typer.Option("--apply", help="Fetch the task's branch into your repository (nothing is checked out).")
    ] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Print the change.")] = False,
    log: Annotated[str | None, typer.Option("--log", metavar="CHECK", help="Print all that a check printed.")] = None,
    as_json: Json = False,
) -> None:
    """One task: where it stands, its checks, its pull request."""
    from honk.cli.tasks import show_task

    show_task(task, apply=apply, diff=diff, log=log, as_json=as_json)


@task_app.command("say")
def task_say(
    task: TaskId,
    text: Annotated[str, typer.Argument(help="What you want to add; `-` reads standard input.")],
    key: Annotated[str | None, typer.Option(help="Your own key: sending it again changes nothing.")] = None,
    as_json: Json = False,
) -> None:
    """Answer in the task's thread, and follow what comes of it."""
    from honk.cli.run import say

    raise typer.Exit(say(task, text, key=key, as_json=as_json))


def _act(name: str, task: str, head_sha: str | None, as_json: bool) -> None:
    from honk.cli.run import act

    raise typer.Exit(act(task, name, head_sha=head_sha, as_json=as_json))


Head = Annotated[str | None, typer.Option("--head", help="The commit you tried; refused if it has moved on.")]


@task_app.command("merge")
def task_merge(task: TaskId, head: Head = None, as_json: Json = False) -> None:
    """Merge exactly the commit that was tried, and deploy it where the repository deploys."""
    _act("merge", task, head, as_json)


@task_app.command("override")
def task_override(task: TaskId, head: Head = None, as_json: Json = False) -> None:
    """Let exactly this version be merged, whatever the judge and the tamper guard hold against it."""
    _act("override", task, head, as_json)


@task_app.command("cancel")
def task_cancel(task: TaskId, as_json: Json = False) -> None:
    """Stop; the log and the work so far are kept."""
    _act("cancel", task, None, as_json)


@task_app.command("retry")
def task_retry(task: TaskId, as_json: Json = False) -> None:
    """Try again, or continue after a limit, with a new budget."""
    _act("retry", task, None, as_json)


@task_app.command("rollback")
def task_rollback(task: TaskId, as_json: Json = False) -> None:
    """Put the version before this one back into production."""
    _act("rollback", task, None, as_json)


@cache
def command() -> Callable[[], Any]:
    """What `honk` runs: all of the above, read once."""
    return typer.main.get_command(app)
