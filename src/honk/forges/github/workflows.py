"""GitHub Actions as a place to build: a workflow is started on the commit, followed, and its artifacts are fetched."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from honk.forges.github.api import GitHubApi, Place
from honk.model import Cancelled, HonkError

_SHORTEST, _LONGEST = 0.5, 10.0
"""Seconds between two looks."""
_STARTS = 60.0
"""Seconds in which a run that was asked for has to show."""
_LOG_CHARACTERS = 400_000


def run_workflow(
    api: GitHubApi,
    place: Place,
    workflow: str,
    *,
    branch: str,
    sha: str,
    seconds: float,
    folder: Path,
    tell: Callable[[str], None],
    stop: Callable[[], bool],
) -> list[Path]:
    """Run a workflow on the branch's commit and put its artifacts (zip files) into `folder`.

    A run of it on that commit that is under way or ended well is taken instead of a new one. Raises `HonkError` with
    the log of what failed, or when it does not end in so many seconds; `Cancelled` when `stop()` turns true.
    """
    run = _known(api, place, workflow, sha) or _started(api, place, workflow, branch, sha)
    tell(f"{workflow} on GitHub: {run['html_url']}\n")
    run = _followed(api, place, run, workflow, seconds, tell, stop)
    if run["conclusion"] != "success":
        raise HonkError(f"{workflow} on GitHub ended with {run['conclusion']}.\n{_log(api, place, int(run['id']))}")
    fetched = []
    listed = api.pages(f"/actions/runs/{run['id']}/artifacts", place, to="list what was built", inside="artifacts")
    for artifact in listed:
        if not artifact.get("expired"):
            target = folder / f"{artifact['id']}.zip"
            api.download(f"/actions/artifacts/{artifact['id']}/zip", place, target, to="fetch what was built")
            fetched.append(target)
    if not fetched:
        raise HonkError(f"{workflow} on GitHub kept nothing: have it upload what it builds (actions/upload-artifact).")
    return fetched


def _known(api: GitHubApi, place: Place, workflow: str, sha: str) -> dict[str, Any] | None:
    """The newest run that was asked for on the commit, unless it failed."""
    found = _runs(api, place, workflow, sha)
    newest = max(found, key=lambda run: int(run["id"]), default=None)
    return newest if newest and newest["conclusion"] in (None, "success") else None


def _runs(api: GitHubApi, place: Place, workflow: str, sha: str) -> list[dict[str, Any]]:
    wanted = {"event": "workflow_dispatch", "head_sha": sha}
    answer = api.call(
        "GET", f"/actions/workflows/{workflow}/runs", place, to=f"look for runs of {workflow}", params=wanted
    )
    return list(answer["workflow_runs"])


def _started(api: GitHubApi, place: Place, workflow: str, branch: str, sha: str) -> dict[str, Any]:
    before = {int(run["id"]) for run in _runs(api, place, workflow, sha)}
    api.call("POST", f"/actions/workflows/{workflow}/dispatches", place, to=f"start {workflow}", json={"ref": branch})
    deadline, wait = time.monotonic() + _STARTS, _SHORTEST
    while True:
        fresh = [run for run in _runs(api, place, workflow, sha) if int(run["id"]) not in before]
        if fresh:
            return max(fresh, key=lambda run: int(run["id"]))
        if time.monotonic() > deadline:
            raise HonkError(
                f"{workflow} on GitHub did not start on {sha[:8]}: see that it has `on: workflow_dispatch`."
            )
        time.sleep(wait)
        wait = min(wait * 1.5, _LONGEST)


def _followed(
    api: GitHubApi,
    place: Place,
    run: dict[str, Any],
    workflow: str,
    seconds: float,
    tell: Callable[[str], None],
    stop: Callable[[], bool],
) -> dict[str, Any]:
    deadline, wait, shown = time.monotonic() + seconds, _SHORTEST, ""
    while True:
        run = api.call("GET", f"/actions/runs/{run['id']}", place, to="follow the run")
        if run["status"] == "completed":
            return run
        if stop():
            api.call("POST", f"/actions/runs/{run['id']}/cancel", place, to="cancel the run")
            raise Cancelled("Cancelled.")
        if (doing := _doing(api, place, int(run["id"]))) != shown:
            shown = doing
            tell(f"{shown}\n")
        if time.monotonic() > deadline:
            raise HonkError(f"{workflow} on GitHub did not end within {seconds:.0f} s: {run['html_url']}")
        time.sleep(wait)
        wait = min(wait * 1.5, _LONGEST)


def _jobs(api: GitHubApi, place: Place, run: int) -> list[Mapping[str, Any]]:
    return list(api.pages(f"/actions/runs/{run}/jobs", place, to="follow the run's jobs", inside="jobs"))


def _doing(api: GitHubApi, place: Place, run: int) -> str:
    """The job and the step that run now."""
    for job in _jobs(api, place, run):
        if job["status"] == "in_progress":
            steps = [step["name"] for step in job.get("steps") or () if step["status"] == "in_progress"]
            return f"{job['name']}: {steps[0]}" if steps else str(job["name"])
    return "waiting for a machine"


def _log(api: GitHubApi, place: Place, run: int) -> str:
    """What the first job that failed printed."""
    for job in _jobs(api, place, run):
        if job["conclusion"] in ("failure", "timed_out"):
            try:
                text = api.call(
                    "GET", f"/actions/jobs/{job['id']}/logs", place, to="read the log", media_type="text/plain"
                )
            except HonkError as error:
                return f"{job['name']}: {error}"
            return f"{job['name']}\n{str(text)[-_LOG_CHARACTERS:]}"
    return ""
