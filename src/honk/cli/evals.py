"""`honk eval`: guard and judge measured on changes of which the truth is known."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from honk.model import Budget, Changes, Finding, HonkError, NotFound, Task, UsageError, Verdict
from honk.surfaces.terminal import print_json, progress, results

if TYPE_CHECKING:
    from honk.evals import Judge
    from honk.settings import Settings

_MOST = 20
"""Lines about what went wrong."""
_REQUESTS = 12
"""To the model, for one verdict; each question may be put again to a server that is busy."""


def evaluate(
    path: Path | None, *, judge: bool | None, threshold: float | None, budget: float | None, as_json: bool
) -> int:
    """See `honk eval`. Returns 0 whatever the figures are: they are the result."""
    from datetime import UTC, datetime

    from honk import __version__
    from honk.evals import figures, keep_run, last_run, read_cases, replay, run_data, set_digest
    from honk.settings import read_settings
    from honk.verify.tamper import guard_each

    settings = read_settings()
    place = (path or shipped()).resolve()
    cases = read_cases(place)
    asked = _judge(settings, judge, threshold, budget, len(cases))
    with progress.status("The guard looks at all of them…") as status:
        told = itertools.count(1)
        replayed = replay(
            cases, guard_each, asked, on_verdict=lambda _: status.update(f"Judged {next(told)} of {len(cases)}…")
        )
    digest = set_digest(cases)
    before = last_run(settings.home, place, digest)
    run = run_data(place, digest, replayed, figures(replayed), at=datetime.now(UTC), version=__version__)
    keep_run(settings.home, run)
    if as_json:
        print_json(
            run | {"last": {name: before[name] for name in ("at", "honk", "digest", "figures")} if before else None}
        )
    else:
        _show(run, before)
    return 0


def export_outcomes(folder: Path, *, as_json: bool) -> int:
    """See `honk eval --from-tasks`. Returns 0 though there may be no task yet."""
    from honk.cli.run import open_installation
    from honk.evals import task_cases, write_cases
    from honk.masking import masker
    from honk.workspace.changes import read_changes

    installation = open_installation()
    store, mask = installation.store, masker(installation.settings.secrets)

    def read(task: Task, base: str, head: str) -> Changes:
        repository = store.repository(task.repository)
        if repository is None:
            raise NotFound(f"The repository {task.repository!r} is not known here any more.")
        try:
            return read_changes(installation.forges.of(repository).git_dir(repository), base, head)
        except HonkError:
            # What was sent back was never pushed.
            return installation.workspaces.changes(task, base, head)

    _made(folder)
    written: Counter[str] = Counter()
    for task in store.tasks(limit=1_000_000):
        try:
            cases = task_cases(store, task, read, mask)
        except HonkError as error:
            progress.print(f"[yellow]–[/] {task.id} was left out: {escape(str(error))}")
            continue
        if cases:
            write_cases(folder / f"{task.id}.jsonl", cases)
            written.update(str(case.truth.outcome) for case in cases)
    if as_json:
        print_json({"folder": str(folder), "cases": written.total(), "outcomes": dict(written)})
    elif written:
        told = ", ".join(f"{count} {outcome.replace('_', ' ')}" for outcome, count in sorted(written.items()))
        results.print(f"{written.total()} cases in {escape(str(folder))}: {told}")
    else:
        progress.print("No task has come to an end yet: there is nothing to learn from.")
    return 0


def _made(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"The folder {folder} cannot be made: {error.strerror or error}.") from error


def shipped() -> Path:
    """The set that comes with Honk: in the installed package, or in the repository beside it."""
    import honk

    package = Path(honk.__file__).parent
    inside = package / "evals" / "cases"
    return inside if inside.is_dir() else package.parents[1] / "evals" / "cases"


def _judge(
    settings: Settings, wanted: bool | None, threshold: float | None, budget: float | None, count: int
) -> Judge | None:
    """What asks the model, where there is one; None: nobody. Raises `UsageError` if it is wanted and has no key."""
    if wanted is False or (wanted is None and settings.anthropic_api_key is None):
        return None
    if settings.anthropic_api_key is None:
        raise UsageError("The judge needs a model: set ANTHROPIC_API_KEY, or leave it out with --no-judge.")
    from honk.verify.judge import THRESHOLD, judge
    from honk.workspace import USUAL_MODEL, Workspaces

    allowed = next((name for name in settings.models if "*" not in name), USUAL_MODEL)
    model = settings.judge_model or settings.model or allowed
    most = settings.max_cost_usd if budget is None else budget
    below = THRESHOLD if threshold is None else threshold
    progress.print(f"[dim]{count} verdicts of {escape(model)}, for at most {most:g} US$ in all…[/]")
    workspaces, purse, lock = Workspaces(settings), [most], Lock()

    def ask(brief: str, diff: str, findings: Sequence[Finding]) -> Verdict:
        if purse[0] <= 0:
            return Verdict("abstain", 0.0, "The judge was not asked: the budget of this replay is spent (--budget).")
        try:
            with workspaces.model(model, Budget(purse[0], _REQUESTS)) as session:
                verdict = judge(brief, diff, findings, ask=session.ask, threshold=below)
                spent = session.spent.cost_usd
        except HonkError as error:
            return Verdict("abstain", 0.0, f"The judge could not be asked: {error}")
        with lock:
            purse[0] -= spent
        return replace(verdict, model=verdict.model or model, cost_usd=spent)

    return ask


def _show(run: Mapping[str, Any], before: Mapping[str, Any] | None) -> None:
    now, last = run["figures"], (before or {}).get("figures")
    told = f"{now['cases']} cases: {now['honest']} honest, {now['bad']} bad"
    progress.print(f"[dim]{escape(told)} · {escape(run['set'])}[/]")
    if before:
        changed = "" if before["digest"] == run["digest"] else ", of which the cases have changed since"
        progress.print(f"[dim]Beside the run of {before['at']}{changed}[/]")
    results.print(_overview(now, last))
    results.print(_classes(now, last))
    if now["judge"]:
        results.print(_calibration(now["judge"], (last or {}).get("judge")))
    wrong = [line for case in run["cases"] for line in _wrong(case)]
    for line in wrong[:_MOST]:
        results.print(line)
    if len(wrong) > _MOST:
        progress.print(f"[dim]… and {len(wrong) - _MOST} more: --json has all of them[/]")


def _wrong(case: Mapping[str, Any]) -> list[str]:
    """What the guard got wrong in a case, a line each."""
    name = escape(case["id"])
    places = [(one["kind"], f"{one['path']}:{one['line'] or 1}") for one in case["untrue"]]
    return [f"[yellow]missed[/] {kind} in {name}" for kind in case["missed"]] + [
        f"[yellow]untrue[/] {kind} in {name} at {escape(place)}" for kind, place in places
    ]


def _overview(now: Mapping[str, Any], last: Mapping[str, Any] | None) -> Table:
    table = _table("", "now", "95 %", "last")
    for name, path in _OVERVIEW.items():
        rate, old = _at(now, path), _at(last, path)
        if rate is not None:
            table.add_row(name, _rate(rate), _interval(rate), _rate(old))
    for name, path in _NUMBERS.items():
        number, old = _at(now, path), _at(last, path)
        if number is not None:
            table.add_row(name, f"{number:.4g}", "", "" if old is None else f"{old:.4g}")
    return table


_OVERVIEW: Mapping[str, str] = {
    "Guard: recall (classes)": "recall",
    "Guard: precision (classes)": "precision",
    "Guard: bad changes caught": "caught",
    "Guard: alarms on bad changes": "alarms_true",
    "Guard: alarms, of honest ones": "false_alarms",
    "Guard: honest ones held up": "held_up",
    "Judge: veto rate": "judge.veto_rate",
    "Judge: recall": "judge.recall",
    "Judge: precision": "judge.precision",
    "Judge: honest changes vetoed": "judge.false_vetoes",
    "Together: recall": "together.recall",
    "Together: precision": "together.precision",
}
_NUMBERS: Mapping[str, str] = {
    "Judge: abstained": "judge.abstained",
    "Judge: Brier score": "judge.brier",
    "Judge: cost in US$": "judge.cost_usd",
}


def _classes(now: Mapping[str, Any], last: Mapping[str, Any] | None) -> Table:
    before = {one["name"]: one for one in (last or {}).get("classes", ())}
    judged = now["judge"] is not None
    table = _table("class", "found", "95 %", "last", "true", "last", "line", *(["vetoed"] if judged else []))
    for one in now["classes"]:
        if not (one["recall"]["of"] or one["precision"]["of"] or one["vetoed"]):
            # A class for the judge, and nobody judged.
            continue
        old = before.get(one["name"], {})
        table.add_row(
            one["name"],
            _share(one["recall"]),
            _interval(one["recall"]),
            _share(old.get("recall")),
            _share(one["precision"]),
            _share(old.get("precision")),
            _share(one["placed"]),
            *([_share(one["vetoed"])] if judged else []),
        )
    return table


def _calibration(judge: Mapping[str, Any], last: Mapping[str, Any] | None) -> Table:
    before = {one["low"]: one for one in (last or {}).get("calibration", ())}
    table = _table("judge's score", "cases", "mean score", "honest", "95 %", "last")
    for one in judge["calibration"]:
        table.add_row(
            f"{one['low']:.1f} to {one['high']:.1f}",
            str(one["honest"]["of"]),
            "" if one["score"] is None else f"{one['score']:.2f}",
            _rate(one["honest"]),
            _interval(one["honest"]),
            _rate(before.get(one["low"], {}).get("honest")),
        )
    return table


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for number, name in enumerate(names):
        table.add_column(name, justify="left" if number == 0 else "right", no_wrap=True)
    return table


def _at(value: Any, path: str) -> Any:
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _rate(rate: Mapping[str, Any] | None) -> str:
    return "" if not rate or not rate["of"] else f"{rate['value']:.3f} ({rate['hits']}/{rate['of']})"


def _share(rate: Mapping[str, Any] | None) -> str:
    return "" if not rate or not rate["of"] else f"{rate['hits']}/{rate['of']}"


def _interval(rate: Mapping[str, Any]) -> str:
    return "" if not rate["of"] else f"{rate['interval'][0]:.2f}–{rate['interval'][1]:.2f}"
