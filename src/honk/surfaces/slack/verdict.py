"""What judge and tamper guard say of a version, as blocks of its card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from honk.gate import place
from honk.surfaces.slack.blocks import Block, context, section
from honk.untrusted import plain_line

_SHOWN = 5
"""Doubts and findings that a card shows."""


def judged(view: Mapping[str, Any]) -> list[Block]:
    """The verdict, the findings and who overrode them; small print where there is nothing to look at."""
    made: list[Block] = []
    if verdict := view["verdict"]:
        told, doubts = _told(verdict), [f"• {_line(one)}" for one in verdict["doubts"][:_SHOWN]]
        looked_for = verdict["decision"] == "veto" or doubts
        made.append(section("\n".join([told, *doubts])) if looked_for else context(told))
    if findings := view["findings"]:
        made.append(section("\n".join(_findings(findings))))
    if override := view["override"]:
        made.append(context(f"Overridden by {plain_line(override['name'], 80)}: this version may be merged."))
    return made


def _told(verdict: Mapping[str, Any]) -> str:
    decision, summary = verdict["decision"], plain_line(verdict["summary"], 800)
    if decision == "abstain":
        return f"The judge abstains: {summary}"
    if decision == "approve":
        return f"The judge approves ({verdict['score']:.2f}): {summary}"
    verb = "vetoes this" if verdict["mode"] == "veto" else "advises against this"
    return f"*The judge {verb}* ({verdict['score']:.2f}): {summary}"


def _findings(findings: list[Mapping[str, Any]]) -> Iterator[str]:
    yield "*Tamper guard*" + (f", {len(findings)} findings" if len(findings) > _SHOWN else "")
    for one in findings[:_SHOWN]:
        yield f"{'✗' if one['wants_tap'] else '•'} {_line(one)}"


def _line(one: Mapping[str, Any]) -> str:
    where = plain_line(place(one["path"], one["line"]).removesuffix(": "), 120).replace("`", "'")
    return (f"`{where}` " if where else "") + plain_line(one["message"], 250)
