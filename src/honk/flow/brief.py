"""The words that go to the agent, into commits and onto pull requests."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from honk.flow.view import judge_says
from honk.gate import place
from honk.model import Artifact, Check, Message, Task
from honk.repository_file import RepositoryFile
from honk.untrusted import clean, for_markdown

_RULES = """\
You work in a sandbox on a checkout of the repository at the current directory. Make the change that is asked for, whole
and nothing besides it, in the style of the code around it, with tests where the repository has tests.

- Call the `verify` tool when you believe you are done. It formats, builds and tests a clean checkout of your work, as
  it will be judged. If it is red, mend the cause; never weaken, skip or delete a test to make it green.
- Call the `ask` tool only if you cannot go on without knowing something that only the person knows; then end.
- Do not commit, push or open pull requests: that is done for you.
- There is no network beyond the model. If something cannot be done, or nothing has to change, say so and stop.
- End with two or three plain sentences for the person's phone: what is different now and what to look at.
"""

_MEND = """\
Other people's work has been merged into your change, and these files have conflict markers (`<<<<<<<`) now:
{paths}

Mend each conflict so that both intentions are kept, remove the markers, then verify. Change nothing else.

"""


_ORDERS = re.compile(
    r"\[(?=(?:skip|no) (?:ci|actions)\]|(?:ci|actions) skip\])|\*\*\*(?=NO_CI)|(?<=skip)-(?=checks:)", re.IGNORECASE
)
_CLOSING = re.compile(r"\b(close[sd]?|fix(?:e[sd])?|resolve[sd]?)(:?\s+)(?=[\w./-]*#\d|GH-\d|https?://)", re.IGNORECASE)


def change_title(task: Task) -> str:
    """The request's first line, short enough for a commit's subject, without orders to the forge or to its CI."""
    line = next((line.strip() for line in task.text.splitlines() if line.strip()), "Change")
    line = _CLOSING.sub(r"\1 what is in\2", _ORDERS.sub("(", clean(line)))
    return line if len(line) <= 72 else line[:71].rstrip() + "…"


def commit_message(task: Task) -> str:
    """Depends on the request alone, not on the progress of work, so that a commit taken again is the same.

    Nothing of the request but its title: a commit's words cannot be taken back, and some are orders to a forge.
    """
    agent = {"claude": "Claude Code"}.get(task.agent, task.agent.partition(":")[0])
    trailers = [f"Assisted-by: {agent}", f"Honk-Task: {task.id}"]
    if task.person.email:
        name, email = (re.sub(r"[<>\x00-\x1f]", "", text) for text in (task.person.name, task.person.email))
        trailers.append(f"Co-authored-by: {name} <{email}>")
    asked = f"\n\nAsked for in {task.origin}" if task.origin and re.match(r"https?://\S+$", task.origin) else ""
    return change_title(task) + asked + "\n\n" + "\n".join(trailers) + "\n"


def judging_notes(verdict: Mapping[str, Any] | None, findings: Sequence[Mapping[str, Any]]) -> list[str]:
    """What judge and tamper guard say of a commit, as lines of Markdown; `view` says what they are given as."""
    told: list[str] = []
    if verdict:
        told.append(f"{judge_says(verdict)}: {for_markdown(verdict['summary'], 1500)}")
    told += ["", *(_point(one, one["kind"]) for one in verdict["doubts"])] if verdict and verdict["doubts"] else []
    if findings:
        told += ["", f"The tamper guard found {len(findings)}:", ""]
        told += [_point(one, f"{one['kind']}{', wants a tap' if one['wants_tap'] else ''}") for one in findings[:50]]
    return told


def _point(one: Mapping[str, Any], kind: str) -> str:
    where = for_markdown(place(one["path"], one["line"]), 300)
    return f"- {where}{for_markdown(one['message'], 600)} ({for_markdown(kind, 100)})"


def pull_request_body(
    task: Task,
    checks: Sequence[Check],
    artifacts: Sequence[Artifact],
    url: str,
    tried_on: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> str:
    """What was asked, what was done and what speaks for it, as Markdown. `url` is the task's own page, `tried_on` are
    the devices on which this commit was tried, `notes` what judge and tamper guard say of it."""
    marks = {"passed": "✓", "flaky": "✓", "skipped": "–"}
    rows = [
        f"| {marks.get(check.status, '✗')} {for_markdown(check.name, 100)}"
        f"{f' ({check.remark})' if check.remark else ''} "
        f"| {for_markdown((check.summary.splitlines() or [''])[0], 200)} | {check.seconds:.1f} s |"
        for check in checks
    ]
    asked = "\n".join(f"> {line}" for line in for_markdown(task.text.strip(), 4000).splitlines())
    asked_at = f" ([where]({task.origin}))" if task.origin else ""
    offered = [
        f"- **{artifact.kind}**: {_where(artifact)} ({artifact.commit[:8]})"
        for artifact in artifacts
        if not artifact.void
    ]
    if tried_on:
        shown = ", ".join(for_markdown(device, 80) for device in tried_on)
        offered += ["", f"Tried on {shown}."]
    agent = task.agent.partition(":")[0]
    return "\n".join(
        [
            f"{for_markdown(task.person.name, 100)} asked{asked_at}:",
            "",
            asked,
            "",
            "## What changed",
            for_markdown(task.summary or "See the diff.", 20_000),
            "",
            "## Checks",
            "",
            "| Check | Result | Time |",
            "| --- | --- | --- |",
            *rows,
            "",
            *(["## Verdict", "", *notes, ""] if notes else []),
            *(["## Try it", *offered, ""] if offered else []),
            "## How it was made",
            f"By Honk with {agent} in a sandbox, in {task.turns} model turns for ${task.cost_usd:.2f}; the checks ran "
            f"on a clean checkout of the commit. Every step: {url}",
        ]
    )


def _where(artifact: Artifact) -> str:
    told = ([f"install from {artifact.install_url}"] if artifact.install_url else []) + [artifact.url or ""]
    return " · ".join(one for one in told if one) or "see the task"


def brief(
    task: Task,
    words: Sequence[Message],
    fresh: Sequence[Message],
    file: RepositoryFile,
    *,
    again: bool,
    interrupted: bool,
    conflicts: Sequence[str] = (),
) -> str:
    """The prompt for a turn: everything for a first one, only what is new for one that goes on."""
    if conflicts:
        return _MEND.format(paths="\n".join(f"- {path}" for path in conflicts)) + "\n\n".join(
            _said(message, task) for message in fresh
        )
    if interrupted:
        asked = "\n\n".join(_said(message, task) for message in fresh or words[-1:])
        return "You were interrupted in the middle of this. Look at what is there already, then finish it:\n\n" + asked
    if again and fresh:
        return "\n\n".join(_said(message, task) for message in fresh)
    if again:
        return "Continue where you stopped, and finish the task:\n\n" + _said(words[-1], task)
    asked = "\n\n".join(_said(message, task) for message in words)
    protected = ""
    if file.protect:
        protected = f"\nChanges to these paths need a second person's approval: {', '.join(file.protect)}.\n"
    return f"{_RULES}{protected}\n# The request\n\n{asked}\n"


def _said(message: Message, task: Task) -> str:
    return message.text if message.person == task.person else f"{message.person.name}: {message.text}"
