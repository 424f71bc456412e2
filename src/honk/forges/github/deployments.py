"""GitHub's own deployments: Honk asks for one, and whatever the team has set up for them carries it out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from honk.forges.github.api import GitHubApi, Place
from honk.model import HonkError

_SHORTEST, _LONGEST = 0.5, 10.0
"""Seconds between two looks."""


def deploy(
    api: GitHubApi, place: Place, sha: str, *, environment: str, key: str, seconds: float, tell: Callable[[str], None]
) -> None:
    """Have GitHub deploy the commit to the environment, and follow it to its end. One for a `key`, however often this
    is called. Raises `HonkError` with what was said when it fails, or does not end in so many seconds."""
    made = _known(api, place, sha, environment, key) or _asked(api, place, sha, environment, key)
    deadline, wait, shown = time.monotonic() + seconds, _SHORTEST, ""
    while True:
        newest = _newest(api, place, int(made["id"]))
        state = str(newest["state"]) if newest else "waiting"
        said = _said(newest)
        if state == "success":
            return
        if state in ("failure", "error", "inactive"):
            raise HonkError(f"the deployment to {environment} on GitHub ended with {state}{said}.")
        if f"{state}{said}" != shown:
            shown = f"{state}{said}"
            tell(f"{environment} on GitHub: {shown}\n")
        if time.monotonic() > deadline:
            raise HonkError(
                f"the deployment to {environment} on GitHub did not end within {seconds:.0f} s (it is {state}{said}): "
                "see that a workflow runs `on: deployment`, or another app takes deployments, and sets their status."
            )
        time.sleep(min(wait, max(0.0, deadline - time.monotonic()) + 0.01))
        wait = min(wait * 1.5, _LONGEST)


def _known(api: GitHubApi, place: Place, sha: str, environment: str, key: str) -> Mapping[str, Any] | None:
    wanted = {"sha": sha, "environment": environment}
    for found in api.pages("/deployments", place, to="look for its deployment", params=wanted):
        payload = found.get("payload")
        if isinstance(payload, Mapping) and payload.get("honk") == key:
            return found
    return None


def _asked(api: GitHubApi, place: Place, sha: str, environment: str, key: str) -> Mapping[str, Any]:
    wanted = {
        "ref": sha,
        "environment": environment,
        # What lands was verified by Honk, and merging something else into it would be another commit.
        "auto_merge": False,
        "required_contexts": [],
        "description": "Asked for by Honk",
        "payload": {"honk": key},
    }
    made: Mapping[str, Any] = api.call("POST", "/deployments", place, to="ask for a deployment", json=wanted)
    return made


def _newest(api: GitHubApi, place: Place, number: int) -> Mapping[str, Any] | None:
    statuses = api.call("GET", f"/deployments/{number}/statuses", place, to="follow the deployment")
    return max(statuses, key=lambda status: int(status["id"]), default=None)


def _said(status: Mapping[str, Any] | None) -> str:
    if status is None:
        return ""
    description, link = str(status.get("description") or "").strip(), str(status.get("log_url") or "").strip()
    return (f": {description[:200]}" if description else "") + (f" ({link[:300]})" if link else "")
