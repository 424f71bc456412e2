"""GitHub's own merge queue, where a branch demands it: a pull request is lined up there, and followed until it landed.

The REST interface cannot line up, the GraphQL one can. Its merge call would go past the queue with the rights of an app
that may, so the branch's rules are asked first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from honk.forges.github.api import GitHubApi, GitHubError, Place
from honk.model import HonkError, Refused

LONGEST = 2 * 3600.0
"""Seconds in which a change has to come through the queue."""
_SHORTEST, _LONGEST_PAUSE = 0.5, 15.0

LINE_UP = (
    "mutation($id: ID!, $head: GitObjectID!) { enqueuePullRequest(input: {pullRequestId: $id, expectedHeadOid: $head}) "
    "{ mergeQueueEntry { id state position } } }"
)
LOOK = (
    "query($id: ID!) { node(id: $id) { ... on PullRequest { headRefOid merged state "
    "mergeQueueEntry { id state position } mergeCommit { oid } } } }"
)
STEP_OUT = "mutation($id: ID!) { dequeuePullRequest(input: {id: $id}) { mergeQueueEntry { id } } }"

_WORDS = {
    "QUEUED": "waits in GitHub's merge queue",
    "AWAITING_CHECKS": "is being checked in GitHub's merge queue",
    "MERGEABLE": "is about to be merged by GitHub's merge queue",
    "UNMERGEABLE": "cannot be merged by GitHub's merge queue",
    "LOCKED": "is being merged by GitHub's merge queue",
}


def wants_queue(api: GitHubApi, place: Place, branch: str) -> bool:
    """Whether the branch takes changes by GitHub's merge queue only."""
    try:
        rules = api.call("GET", f"/rules/branches/{quote(branch, safe='')}", place, to="read what the branch wants")
    except GitHubError as error:
        if error.passing:
            raise
        return False
    return any(rule.get("type") == "merge_queue" for rule in rules)


def merge_by_queue(
    api: GitHubApi,
    place: Place,
    pull: Mapping[str, Any],
    head_sha: str,
    tell: Callable[[str], None],
    seconds: float = LONGEST,
) -> str:
    """Line exactly this head up and follow it; the commit that landed.

    Raises `Refused` when the queue takes it out, or when it does not come through in so many seconds: it is taken out
    then. Raises `HonkError` if GitHub does not answer.
    """
    found = _look(api, place, pull)
    if not found["merged"] and found["mergeQueueEntry"] is None:
        found = _lined_up(api, place, pull, head_sha)
    deadline, wait, shown = time.monotonic() + seconds, _SHORTEST, ""
    while not found["merged"]:
        entry = found["mergeQueueEntry"]
        if entry is None:
            raise Refused(_taken_out(found, head_sha, pull))
        if (words := _doing(entry)) != shown:
            shown = words
            tell(f"{words}\n")
        if time.monotonic() > deadline:
            _step_out(api, place, pull)
            raise Refused(
                f"It did not come through GitHub's merge queue within {seconds / 3600:.0f} h and was taken out: see "
                f"{pull['html_url']}, then tap Merge again."
            )
        time.sleep(wait)
        wait = min(wait * 1.5, _LONGEST_PAUSE)
        found = _look(api, place, pull)
    return str(found["mergeCommit"]["oid"])


def _look(api: GitHubApi, place: Place, pull: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = api.graphql(place, LOOK, {"id": pull["node_id"]}, to="look at the merge queue")["node"]
    return found


def _lined_up(api: GitHubApi, place: Place, pull: Mapping[str, Any], head_sha: str) -> dict[str, Any]:
    try:
        api.graphql(place, LINE_UP, {"id": pull["node_id"], "head": head_sha}, to="line it up in the merge queue")
    except GitHubError as error:
        # The answer may have been lost after it was lined up.
        found = _look(api, place, pull)
        if found["mergeQueueEntry"] is None and not found["merged"]:
            if error.passing:
                raise
            raise Refused(f"GitHub's merge queue does not take it: {error.told}. See {pull['html_url']}") from error
        return found
    return _look(api, place, pull)


def _step_out(api: GitHubApi, place: Place, pull: Mapping[str, Any]) -> None:
    try:
        api.graphql(place, STEP_OUT, {"id": pull["node_id"]}, to="take it out of the merge queue")
    except HonkError:
        # It may have come through in this moment; whoever taps again finds out.
        return


def _doing(entry: Mapping[str, Any]) -> str:
    words = _WORDS.get(entry["state"], f"is {entry['state']} in GitHub's merge queue")
    return f"{words}, at place {entry['position']}"


def _taken_out(found: Mapping[str, Any], head_sha: str, pull: Mapping[str, Any]) -> str:
    if found["headRefOid"] != head_sha:
        return (
            f"Somebody pushed {found['headRefOid'][:8]} to the branch; what was tried is {head_sha[:8]}. "
            "The new commit is being checked."
        )
    if found["state"] == "CLOSED":
        return "The pull request was closed on GitHub: reopen it by answering in the thread."
    return (
        "GitHub's merge queue took it out, because its checks failed there, it conflicts with what is before it, or "
        f"somebody removed it: see {pull['html_url']}. Ask for a fix, or tap Merge again."
    )
