"""The team's own checks that went red on a commit, and the part of their logs that matters."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from honk.model import HonkError

_RED = ("failure", "timed_out")
_JOB = re.compile(r"/actions/runs/\d+/job/(\d+)")
_LOG_CHARACTERS = 400_000


@dataclass(frozen=True)
class Red:
    """One check that failed on `sha`. `key` is the same whichever way it was learnt."""

    name: str
    sha: str
    key: str
    job: str | None
    said: str

    def log(self, calls: Any, place: Any) -> str:
        """What it printed: the job's log where it is one of GitHub's own Actions, else what the check says itself."""
        if self.job:
            try:
                text = calls.call(
                    "GET", f"/actions/jobs/{self.job}/logs", place, to="read a check's log", media_type="text/plain"
                )
                return str(text)[-_LOG_CHARACTERS:]
            except HonkError:
                # Logs end after a while, and other checks have none.
                return self.said
        return self.said


def red_of_pull(calls: Any, place: Any, sha: str, own: object) -> Iterator[Red]:
    """Every red check on a commit. Raises `HonkError`."""
    for run in calls.pages(f"/commits/{sha}/check-runs", place, to="read the checks", inside="check_runs"):
        if red := _run(run, own):
            yield red
    for status in calls.pages(f"/commits/{sha}/status", place, to="read the statuses", inside="statuses"):
        if red := _status(status, sha):
            yield red


def _run(run: Mapping[str, Any], own: object) -> Red | None:
    app = run.get("app") or {}
    if run.get("conclusion") not in _RED or (own is not None and app.get("id") == own):
        return None
    output = run.get("output") or {}
    said = "\n".join(str(output[part]) for part in ("title", "summary", "text") if output.get(part))
    found = _JOB.search(str(run.get("details_url") or "")) or _JOB.search(str(run.get("html_url") or ""))
    return Red(str(run["name"]), str(run["head_sha"]), f"run:{run['id']}", found[1] if found else None, said)


def _status(status: Mapping[str, Any], sha: str) -> Red | None:
    if status.get("state") not in ("failure", "error"):
        return None
    said = f"{status.get('description') or ''} {status.get('target_url') or ''}".strip()
    return Red(str(status["context"]), sha, f"status:{status['id']}", None, said)
