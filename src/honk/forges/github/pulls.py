"""What stands in the way of a pull request, and merging it, with a sentence for each way it can fail."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from honk.forges.github.api import GitHubApi, GitHubError, Place
from honk.model import Conflict, HonkError, Refused

_BAD = ("failure", "timed_out", "cancelled", "action_required", "startup_failure", "stale")


def red_checks(api: GitHubApi, place: Place, sha: str, own: object) -> str | None:
    """The first check of the team's own that is red on a commit, in a sentence; those of the app `own` do not count."""
    for run in api.pages(f"/commits/{sha}/check-runs", place, to="read the checks", inside="check_runs"):
        if (run.get("app") or {}).get("id") != own and run.get("conclusion") in _BAD:
            return (
                f"the check {run['name']} is red on GitHub ({run['conclusion']}): {run.get('html_url') or ''}".strip()
            )
    for status in api.pages(f"/commits/{sha}/status", place, to="read the statuses", inside="statuses"):
        if status["state"] in ("failure", "error"):
            return f"the check {status['context']} is red on GitHub: {status.get('target_url') or ''}".strip()
    return None


def obstacle_of(api: GitHubApi, place: Place, listed: Mapping[str, Any], base: str) -> str | None:
    """Why GitHub would not let the pull request be merged now, in a sentence; None if it would, or does not know yet.

    Raises `Conflict` where it must first be brought onto the newest base. The states are those of the REST
    description's `mergeable_state`.
    """
    pull = api.call("GET", f"/pulls/{listed['number']}", place, to="read the pull request")
    state = pull.get("mergeable_state")
    if pull["base"]["ref"] != base:
        return elsewhere(pull, base)
    if pull.get("draft"):
        return "the pull request is a draft on GitHub: mark it as ready there."
    if state in ("behind", "dirty"):
        raise Conflict(f"GitHub wants the change on the newest {base} before it is merged.")
    if state != "blocked":
        return None
    waited = [user["login"] for user in pull.get("requested_reviewers") or ()]
    whose = f" of {', '.join(waited)}" if waited else " of somebody who may write and did not ask for it"
    wanted = wanted_approvals(api, place, base)
    if wanted is None:
        return f"{base} is protected on GitHub and blocks it: see {pull['html_url']} for what is missing."
    if wanted:
        plural = "an approving review" if wanted == 1 else f"{wanted} approving reviews"
        return f"{base} is protected on GitHub and wants {plural}{whose}: {pull['html_url']}"
    return f"{base} is protected on GitHub and wants checks that are not green yet: {pull['html_url']}"


def elsewhere(pull: Mapping[str, Any], base: str) -> str:
    """Why a pull request that goes to another branch is not merged."""
    return f"the pull request goes to {pull['base']['ref']} on GitHub, not to {base}: change its base back there."


def wanted_approvals(api: GitHubApi, place: Place, branch: str) -> int | None:
    """How many approving reviews a branch wants, by its protection or by a ruleset; None if Honk may not know."""
    counts: list[int] = []
    for path, read in (
        (f"/branches/{quote(branch, safe='')}/protection", _by_protection),
        (f"/rules/branches/{quote(branch, safe='')}", _by_rules),
    ):
        try:
            counts.append(read(api.call("GET", path, place, to="read what the branch wants")))
        except GitHubError as error:
            if error.passing:
                raise
            if error.status == 404:
                counts.append(0)
    return max(counts, default=None)


def _by_protection(found: Any) -> int:
    reviews = found.get("required_pull_request_reviews") or {}
    return int(reviews.get("required_approving_review_count") or 0)


def _by_rules(found: Any) -> int:
    asked = [rule.get("parameters") or {} for rule in found if rule.get("type") == "pull_request"]
    return max((int(rule.get("required_approving_review_count") or 0) for rule in asked), default=0)


def set_draft(api: GitHubApi, place: Place, pull: Mapping[str, Any], *, draft: bool) -> None:
    """Turn a pull request into a draft or back. The REST interface cannot, the GraphQL one can."""
    name = "convertPullRequestToDraft" if draft else "markPullRequestReadyForReview"
    query = f"mutation($id: ID!) {{ {name}(input: {{pullRequestId: $id}}) {{ pullRequest {{ isDraft }} }} }}"
    api.graphql(place, query, {"id": pull["node_id"]}, to="mark a draft")


def merge_pull(api: GitHubApi, place: Place, number: int, head_sha: str, method: str, message: str) -> str:
    """Merge exactly this head; the commit that landed. Raises `Refused` with what stands in the
    way, `HonkError` if GitHub does not answer."""
    title, _, rest = message.partition("\n")
    wanted = {"sha": head_sha, "merge_method": method}
    if method != "rebase":
        wanted |= {"commit_title": f"{title} (#{number})", "commit_message": rest.strip()}
    for pause in (1.0, 2.0, 4.0):
        # GitHub needs a moment after each merge until it knows whether the next one fits.
        try:
            return _merged(api, place, number, head_sha, wanted)
        except Refused as refused:
            if "Base branch was modified" not in str(refused):
                raise
            time.sleep(pause)
    return _merged(api, place, number, head_sha, wanted)


def _merged(api: GitHubApi, place: Place, number: int, head_sha: str, wanted: Mapping[str, Any]) -> str:
    try:
        return str(api.call("PUT", f"/pulls/{number}/merge", place, to="merge it", json=wanted)["sha"])
    except GitHubError as error:
        # The answer may have been lost after the merge was made.
        pull = api.call("GET", f"/pulls/{number}", place, to="read the pull request")
        if pull.get("merged"):
            return str(pull["merge_commit_sha"])
        raise _refusal(error, pull, head_sha) from error


def _refusal(error: GitHubError, pull: Mapping[str, Any], head_sha: str) -> HonkError:
    now = pull["head"]["sha"]
    if now != head_sha:
        return Refused(
            f"Somebody pushed {now[:8]} to the branch; what was tried is {head_sha[:8]}. "
            "The new commit is being checked."
        )
    if pull["state"] == "closed":
        return Refused("The pull request was closed on GitHub: reopen it by answering in the thread.")
    if error.status == 409:
        return Refused(f"GitHub says that the branch has moved ({error.told}): try the new version, then merge again.")
    if error.status == 405:
        return Refused(f"GitHub does not let it be merged: {error.told}. See {pull['html_url']}")
    return error
