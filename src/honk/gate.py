"""The merge gate: the only place that can say a commit may land."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from honk.model import Access, Check, Finding, PullRequest, Refused, State, Task, Verdict

_SEAL = object()


@dataclass(frozen=True)
class MergePermit:
    """Proof that the gate let exactly `sha` through. Only `permit_merge` can make one."""

    task_id: str
    sha: str
    head_sha: str
    """The tried commit that `sha` carries."""
    _seal: object

    def __post_init__(self) -> None:
        if self._seal is not _SEAL:
            raise TypeError("a MergePermit is made by permit_merge() alone")


def red(checks: Sequence[Check], already_red_on: str | None = None) -> list[Check]:
    """Those that stand in the way of a merge. Those that fail in the same way on the base commit `already_red_on` do
    not: None where the base's honk.yaml does not allow that."""
    return [
        check
        for check in checks
        if not check.green
        and not (check.status == "already_red" and already_red_on and check.against == already_red_on)
    ]


def check_tap(task: Task, head_sha: str | None, state: State = State.READY) -> None:
    """Refuse a tap that was made on something else than what stands now, or on a task that is in another state. Raises
    `Refused` with the reason."""
    if task.merged_sha:
        raise Refused(f"This change was merged already, as {(task.merged_sha or '')[:8]}.")
    if task.head_sha is None:
        raise Refused("There is nothing to merge: the task has no change yet.")
    if head_sha is not None and head_sha != task.head_sha:
        raise Refused(
            f"The change has moved on from {head_sha[:8]} to {task.head_sha[:8]} since that button was shown: "
            "try the new version, then merge that."
        )
    if task.state is State.READY and task.next_action == "Answer the question":
        raise Refused("The agent has asked a question and its work is not verified yet: answer in the thread first.")
    if task.state is not state:
        raise Refused(f"The task is {task.state.value}, not ready: merge it when its checks and builds are done.")


def check_access(access: Access, wanted: Access, repository: str) -> None:
    """Refuse somebody who may not do this. Raises `Refused` with the reason."""
    order: Sequence[Access] = ("none", "read", "write")
    if order.index(access) < order.index(wanted):
        verb = {"read": "read", "write": "write to"}[wanted]
        raise Refused(f"You may not {verb} {repository}: ask somebody who administers it for access.")


def approvals_missing(wanted: int, protected: Sequence[str], approved_by: Collection[str]) -> str | None:
    """Why this many approvals are not enough, or None. `protected` are the changed paths that need a second person;
    `approved_by` are the people other than the requester who approved exactly this commit."""
    if protected and not approved_by:
        return f"{protected[0]} is protected by honk.yaml: a second person has to approve this change."
    if len(approved_by) < wanted:
        needed = "an approval" if wanted == 1 else f"{wanted} approvals"
        so_far = f"it has {len(approved_by) or 'none'} so far"
        return f"this version needs {needed} by people who may write here and did not ask for it; {so_far}."
    return None


def trial_missing(tried_on: Collection[str], offered: Sequence[str], not_built: Sequence[str]) -> str | None:
    """Why a version that has to be tried may not land yet, or None. `tried_on` are the devices it was tried on,
    `offered` says what of it there is to open or install, `not_built` names builds that are to come or failed."""
    if tried_on:
        return None
    asks = "honk.yaml asks that a version is tried before it is merged (`require_trial`)"
    if offered:
        return f"nobody has tried this version yet, and {asks}: {' or '.join(offered)}, then tap Merge again."
    if not_built:
        return f"{asks}, and there is nothing to try yet: {', '.join(not_built)} was not built (its card says why)."
    return (
        f"{asks}, but this version has no build that can be opened or installed: name one under `builds`, or take "
        "`require_trial` out of honk.yaml."
    )


def protected_paths(changed: Sequence[str], patterns: Sequence[str]) -> list[str]:
    """Those of the changed paths that a pattern of honk.yaml's `protect` covers (written as in .gitignore)."""
    from pathspec import GitIgnoreSpec

    return list(GitIgnoreSpec.from_lines(patterns).match_files(changed))


def place(path: str | None, line: int | None) -> str:
    """Where something is, to stand in front of what is said of it; empty for the whole."""
    return f"{path}{f':{line}' if line else ''}: " if path else ""


def to_confirm(veto: str | None, findings: Iterable[Mapping[str, Any]]) -> list[str]:
    """What a person has to confirm before a commit lands, a sentence each: the judge's `veto`, in its words, and those
    `findings` that want a tap, as events tell them."""
    told = [f"The judge vetoes it: {veto}"] if veto is not None else []
    return told + [f"{place(one['path'], one['line'])}{one['message']}" for one in findings]


@dataclass(frozen=True)
class Judged:
    """What is known of exactly the commit `sha` besides its checks, by the rules of honk.yaml."""

    sha: str
    verdict: Verdict | None = None
    """The judge's; None where it is off."""
    findings: Sequence[Finding] = ()
    """What weakens the checks, as far as it is shown."""
    protected: Sequence[Finding] = ()
    """Those of the findings that want a person's tap."""
    vetoes: bool = False
    """Whether a bad verdict stands in the way."""

    @property
    def vetoed(self) -> bool:
        """Whether the verdict stands in the way."""
        return self.vetoes and self.verdict is not None and self.verdict.decision == "veto"

    @property
    def reasons(self) -> list[str]:
        """What a person has to confirm before this commit lands, a sentence each."""
        return to_confirm(self.verdict.summary if self.vetoed and self.verdict else None, map(asdict, self.protected))


@dataclass(frozen=True)
class Override:
    """A person's word that exactly the commit `sha` may land, whatever guard and judge say of it."""

    sha: str
    person: str


def confirmation_missing(reasons: Sequence[str]) -> str | None:
    """Why a commit may not land before somebody has confirmed it, or None. `reasons` are what is to be confirmed."""
    if not reasons:
        return None
    more = f" (and {len(reasons) - 3} more)" if len(reasons) > 3 else ""
    return (
        f"{' '.join(reasons[:3])}{more} Ask for a fix in the thread, or tap Override if this version is to land all "
        "the same."
    )


def permit_merge(
    task: Task,
    pull_request: PullRequest | None,
    checks: Sequence[Check],
    sha: str,
    head_sha: str,
    *,
    access: Access,
    judged: Judged,
    override: Override | None = None,
    missing: str | None = None,
    obstacle: str | None = None,
    already_red_on: str | None = None,
) -> MergePermit:
    """Let `sha` land if it carries the task's tried commit `head_sha`, its pull request is open on that very commit,
    every check on `sha` is green (see `red` for `already_red_on`), guard and judge let `head_sha` pass or a person's
    `override` does, whoever asks has `access` to write, no approval is `missing` and the forge names no `obstacle`.
    Raises `Refused` with the reason."""
    check_access(access, "write", task.repository)
    if task.head_sha != head_sha:
        raise Refused(f"The change has moved on from {head_sha[:8]} since it was tried; try the new version.")
    if pull_request is None or pull_request.state == "closed":
        raise Refused("The pull request is closed: reopen it by answering in the thread.")
    if pull_request.head_sha != head_sha:
        raise Refused(
            f"Somebody pushed {pull_request.head_sha[:8]} to the branch; what was tried is {head_sha[:8]}. "
            "Answer in the thread to have the new commit checked."
        )
    if not checks:
        raise Refused(f"No checks are on record for {sha[:8]}: retry to have it verified.")
    if failed := red(checks, already_red_on):
        names = ", ".join(check.name for check in failed)
        raise Refused(f"Not merged: {names} failed on {sha[:8]}.\n{failed[0].summary}")
    if judged.sha != head_sha:
        raise Refused(f"What was judged is {judged.sha[:8]}, not {head_sha[:8]}: retry to have it judged.")
    confirmed = override is not None and override.sha == head_sha
    if (unconfirmed := confirmation_missing(judged.reasons)) and not confirmed:
        raise Refused(f"Not merged: {unconfirmed}")
    if obstacle:
        raise Refused(f"Not merged: {obstacle}")
    if missing:
        raise Refused(f"Not merged: {missing}")
    return MergePermit(task.id, sha, head_sha, _SEAL)
