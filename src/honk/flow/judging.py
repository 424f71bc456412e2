"""What the tamper guard finds in a commit and the judge says of it: asked once, told in the log, held against an agent.

By which rules is said by honk.yaml of the base. What is kept is what was found and said; what follows from that is
reckoned anew by the rules of the moment, so that other rules cost no other answer.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from honk.findings import usual_treatment
from honk.flow import view
from honk.flow.approvals import takes_back
from honk.flow.engine import step
from honk.flow.ports import known_repository, rooms
from honk.flow.verification import base_file
from honk.flow.warming import left_to
from honk.gate import Judged, Override, place
from honk.model import Budget, Changes, Finding, HonkError, Message, Severity, Task, Verdict
from honk.repository_file import JudgeMode, RepositoryFile
from honk.verify import plan_changes
from honk.verify.judge import EDITION, decided
from honk.workspace import USUAL_MODEL

log = logging.getLogger("honk.flow")

_REQUESTS = 12
"""To the model, for one verdict; each question may be put again to a server that is busy."""
_TOLD = 200
"""Findings in an event."""


@step
def judge(task_id: str, turn_id: str) -> None:
    """Look for what weakens the checks, and have a model look at the change. Both are told; neither ends the turn."""
    task, repository = known_repository(task_id)
    file = base_file(repository, task.base_sha or "")
    judged_at(task, task.head_sha or "", file, left=left_to(task, file))


def judged_at(task: Task, commit: str, file: RepositoryFile, *, left: float, only_if_binding: bool = False) -> Judged:
    """What is known of a commit of the task's, found out now if it is not. `left` is how many US dollars the judge may
    cost. What it did cost is put to the task's cost. With `only_if_binding` it is not asked for mere advice.

    An abstention that cost nothing is not kept: the judge is asked again at the next occasion. Raises `HonkError` if
    the change cannot be read.
    """
    room = rooms()
    free, model = _own_making(task), _model(file)
    mode = "off" if free else file.judging.mode or room.settings.judge
    words = _words(room.store.messages(task.id))
    allowed = sorted(kind for kind, treatment in file.tamper.items() if treatment == "allow")
    configuration = _digest([task.base_sha, words, *([model, EDITION, allowed] if mode != "off" else [])])
    about = f"{commit[:12]}:{configuration[:12]}"
    rules = _digest([mode, file.judging.threshold, file.tamper])[:8]
    known = room.store.verdict(task.repository, commit, configuration)
    read, verdict = known or (_findings(task, commit), None)
    findings = [*_fewer_tests(task, commit, read), *read]
    judged = _judged(commit, file, findings, verdict, mode, free=free)
    _tell_findings(task, judged, f"tamper:{about}:{rules}")
    if verdict is None and (mode == "veto" or (mode == "advise" and not only_if_binding)):
        verdict = _ask(task, commit, model, words, judged.findings, about, left)
        judged = _judged(commit, file, findings, verdict, mode, free=free)
    kept = verdict if verdict and (verdict.decision != "abstain" or verdict.cost_usd) else None
    if known is None or known[1] != kept:
        room.store.save_verdict(task.repository, commit, configuration, read, kept)
    _tell_verdict(task, judged, mode, file.judging.threshold, f"judged:{about}:", rules)
    return judged


def send_back(task_id: str, turn_id: str, judged: Judged, rounds: int) -> str | None:
    """What the agent is told that wants to end with this commit; None if it may. The same commit is not sent back
    twice: it is the agent's last word, and a person's turn."""
    store = rooms().store
    if not judged.reasons:
        return None
    prefix = f"{turn_id}:sent-back:"
    before = [event for event in store.events_of(task_id, "gate.sent_back") if event.key.startswith(prefix)]
    if len(before) >= rounds or any(event.data["commit"] == judged.sha for event in before):
        return None
    text = _objections(judged)
    told = {"round": len(before) + 1, "rounds": rounds, "commit": judged.sha, "text": text}
    store.record(task_id, "gate.sent_back", told, key=f"{prefix}{len(before) + 1}")
    return text


def override_of(task: Task, commit: str) -> Override | None:
    """Who said that this very commit may land all the same."""
    said = view.override_of(rooms().store, task.id, commit)
    return Override(commit, said.person) if said else None


def judged_cost(task_id: str) -> float:
    """US dollars that verdicts on the task have cost so far."""
    return sum(float(event.data["cost_usd"]) for event in rooms().store.events_of(task_id, "judge.finished"))


def _own_making(task: Task) -> bool:
    """Whether this takes an ill version back and nothing else: that is Honk's own making, and nothing is in its way."""
    store = rooms().store
    if not takes_back(store, task):
        return False
    return len(store.messages(task.id)) == 1 and not store.events_of(task.id, "branch.taken_in")


def _model(file: RepositoryFile) -> str:
    settings = rooms().settings
    allowed = next((name for name in settings.models if "*" not in name), USUAL_MODEL)
    return file.judging.model or settings.judge_model or settings.model or allowed


def _words(messages: Sequence[Message]) -> str:
    return "\n\n".join(f"{message.person.name}: {message.text}" for message in messages)


def _digest(parts: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _judged(
    commit: str,
    file: RepositoryFile,
    findings: Sequence[Finding],
    verdict: Verdict | None,
    mode: JudgeMode,
    *,
    free: bool,
) -> Judged:
    """What follows from what was found and said, by these rules; nothing where the change is `free` of them."""
    treated = [(finding, file.tamper.get(finding.kind) or usual_treatment(finding)) for finding in findings]
    return Judged(
        commit,
        decided(verdict, file.judging.threshold) if verdict else None,
        [finding for finding, treatment in treated if treatment != "allow"],
        [finding for finding, treatment in treated if treatment == "protect" and not free],
        vetoes=mode == "veto",
    )


def _findings(task: Task, commit: str) -> list[Finding]:
    room = rooms()
    changes = room.workspaces.changes(task, task.base_sha or "", commit)
    try:
        found = [*room.guard(changes.files, changes.standing), *_plan_changes(task, changes)]
    except Exception:
        # What makes the guard fail must not pass because of that.
        log.exception("the tamper guard failed on %s", commit)
        found = [_unseen(file.path, "because the guard failed on this change") for file in changes.files[:1]]
    return found + [_unseen(path, "because it is too large") for path in changes.left_out]


def _plan_changes(task: Task, changes: Changes) -> Sequence[Finding]:
    """What it does to the checks that are found in the repository."""
    repository = rooms().store.repository(task.repository)
    if repository is None or changes.standing is None or changes.stood is None:
        return []
    paths = {path for one in changes.files for path in (one.path, one.old_path) if path}
    file = base_file(repository, task.base_sha or "")
    return plan_changes(changes.stood, changes.standing, file, paths | set(changes.left_out))


def _fewer_tests(task: Task, commit: str, read: Sequence[Finding]) -> list[Finding]:
    """What the checks' own counts say. It is serious unless the change takes out tests with the code that they tested,
    and most of all tests still pass."""
    explained = any(finding.kind == "test-deleted" and finding.severity == "warning" for finding in read)
    found = []
    for check in rooms().store.checks(task.repository, commit):
        now, before = check.tests or 0, check.tests_on_base or 0
        if before > now:
            severity: Severity = "warning" if explained and now * 2 > before else "serious"
            passed = f"{now or 'No'} test{'' if now == 1 else 's'} passed"
            message = f"{passed}, {before} did on {(task.base_sha or '')[:8]}, which the change is made from."
            found.append(Finding("fewer-tests-run", severity, check.name, None, message))
    return found


def _unseen(path: str, why: str) -> Finding:
    return Finding("not-read", "serious", path, None, f"This was not read, {why}.")


def _ask(
    task: Task, commit: str, model: str, words: str, findings: Sequence[Finding], about: str, left: float
) -> Verdict:
    room = rooms()
    if left <= 0:
        return Verdict("abstain", 0.0, "The judge was not asked: the task's budget is spent.")
    diff = room.workspaces.diff(task, task.base_sha or "", commit)
    room.store.record(task.id, "judge.started", {"commit": commit, "model": model}, key=f"judging:{about}")
    try:
        with room.workspaces.model(model, Budget(left, _REQUESTS)) as session:
            verdict = room.judge(words, diff, findings, ask=session.ask)
            return replace(verdict, model=verdict.model or model, cost_usd=session.spent.cost_usd)
    except HonkError as error:
        return Verdict("abstain", 0.0, f"The judge could not be asked: {error}")


def _tell_findings(task: Task, judged: Judged, key: str) -> None:
    store = rooms().store
    before = any(event.data["commit"] == judged.sha for event in store.events_of(task.id, "tamper.found"))
    if not judged.findings and not before:
        return
    told = [
        asdict(finding) | {"wants_tap": finding in judged.protected}
        for finding in sorted(judged.findings, key=lambda finding: finding not in judged.protected)[:_TOLD]
    ]
    data = {"commit": judged.sha, "findings": told, "more": max(0, len(judged.findings) - _TOLD)}
    store.record(task.id, "tamper.found", data, key=key)


def _tell_verdict(task: Task, judged: Judged, mode: JudgeMode, threshold: float, prefix: str, rules: str) -> None:
    """Put the verdict down, and its cost with the first time that it is told."""
    store, verdict = rooms().store, judged.verdict
    if verdict is None:
        return
    told = [event for event in store.events_of(task.id, "judge.finished") if event.key.startswith(prefix)]
    cost = max(0.0, verdict.cost_usd - sum(float(event.data["cost_usd"]) for event in told))
    data = asdict(verdict) | {"commit": judged.sha, "mode": mode, "threshold": threshold, "cost_usd": cost}
    changes = {"cost_usd": store.task(task.id).cost_usd + cost} if cost else {}
    store.record(task.id, "judge.finished", data, key=f"{prefix}{rules}:{verdict.decision}", changes=changes)


def _objections(judged: Judged) -> str:
    parts: list[str] = []
    verdict = judged.verdict
    if judged.vetoed and verdict:
        doubts = [f"\n- {one.kind}, {place(one.path, one.line)}{one.message}" for one in verdict.doubts]
        told = f"{verdict.summary}{''.join(doubts)}"
        parts.append(f"A judge that saw the request and your change would not let it pass: {told}")
    if judged.protected:
        listed = "".join(f"\n- {place(one.path, one.line)}{one.message}" for one in judged.protected[:20])
        parts.append(f"Your change weakens what checks it:{listed}")
    parts.append(
        "Mend what of this is right, without weakening any check, and end again. If the request cannot be carried out "
        "otherwise, say so in your last words and end: a person then decides."
    )
    return "\n\n".join(parts)
