"""The judge: a model that is shown what was asked, what was changed and what the tamper guard found, and nothing else.

What it is shown was written by others, and some of it by whoever wants to be let through. So it decides nothing: it
names doubts and a score, in one form, and what follows from the score is reckoned here. What is not in that form is no
answer. A judge that cannot answer abstains, and says why.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from honk.model import Finding, HonkError, Verdict
from honk.verify.judge.answer import Malformed, read_answer
from honk.verify.judge.excerpt import excerpt
from honk.verify.judge.request import EDITION, request_for

Ask = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Puts a request of the Messages API, which names no model yet, to the model; its answer. Raises `HonkError`."""

THRESHOLD = 0.5
"""The score below which a verdict is a veto, where nobody says otherwise."""

_TRIES = 2
_NOT_FORCED = re.compile(r"tool_choice|tool choice|forces? tool|forced tool|thinking", re.IGNORECASE)
"""What a server says whose model cannot be made to use a tool."""


def judge(brief: str, diff: str, findings: Sequence[Finding], *, ask: Ask, threshold: float = THRESHOLD) -> Verdict:
    """The verdict on a change: `brief` holds the thread's words, `diff` is unified, `findings` are the tamper guard's.

    What does not fit of the diff is left out, and that is said to the judge and in the summary. Never raises: where the
    model cannot be asked, or twice gave no answer that can be read, the decision is `abstain`. `cost_usd` is left to
    whoever asks.
    """
    shown = excerpt(diff)
    objection = ""
    for _ in range(_TRIES):
        try:
            answer = _ask(ask, request_for(brief, shown, findings, objection))
        except HonkError as error:
            return Verdict("abstain", 0.0, f"The judge could not be asked: {error}")
        model = str(answer.get("model") or "")[:100]
        try:
            verdict = read_answer(answer, shown)
        except Malformed as malformed:
            objection = str(malformed)
            continue
        if shown.left_out:
            verdict = replace(verdict, summary=f"{verdict.summary} {_not_shown(shown.left_out)}")
        return decided(replace(verdict, model=model), threshold)
    return Verdict("abstain", 0.0, f"The judge gave no answer that can be read, twice: {objection}.", model=model)


def decided(verdict: Verdict, threshold: float) -> Verdict:
    """The verdict by another threshold; an abstention stays one."""
    if verdict.decision == "abstain":
        return verdict
    return replace(verdict, decision="veto" if verdict.score < threshold else "approve")


def _ask(ask: Ask, request: Mapping[str, Any]) -> Mapping[str, Any]:
    """Newer models refuse to be made to use a tool, which is then only asked of them."""
    try:
        return ask(request)
    except HonkError as error:
        if not _NOT_FORCED.search(str(error)):
            raise
    # What they think before they answer counts as a part of the answer.
    return ask({**request, "tool_choice": {"type": "auto"}, "max_tokens": 2 * request["max_tokens"]})


def _not_shown(left_out: Sequence[str]) -> str:
    named = ", ".join(left_out[:5]) + (f" and {len(left_out) - 5} more" if len(left_out) > 5 else "")
    return f"(Too long to be looked at in whole: {named}.)"


__all__ = ["EDITION", "THRESHOLD", "Ask", "decided", "judge"]
