"""Block Kit, within the limits that Slack publishes for it. Every block that Honk sends is made here.

Texts given to these functions are mrkdwn that is already escaped, unless a function says that it takes plain text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

Block = dict[str, Any]

MESSAGE_BLOCKS = 50
HOME_BLOCKS = 100
SECTION = 3000
CONTEXT = 2000
"""Characters. Of an element of a context block; Slack takes more, nobody reads more."""
FALLBACK = 3000
"""Characters of a message's plain `text`; from 4,000 on `chat.update` refuses it."""
WHOLE = 12_000
"""Characters of all texts in a message; from about 13,000 on Slack answers `msg_blocks_too_long`."""
CHOICES = 100


def cut(text: str, limit: int) -> str:
    """At most `limit` characters of escaped mrkdwn; no entity, reference or code block is left half open."""
    if len(text) > limit:
        end = limit - 5
        for opening, closing in (("&", ";"), ("<", ">")):
            opened = text.rfind(opening, 0, end)
            if opened > text.rfind(closing, 0, end) and (opening == "<" or end - opened < 6):
                end = opened
        text = text[:end].rstrip() + "…"
        if text.count("```") % 2:
            text += "\n```"
    return text


def _plain(text: str, limit: int) -> Block:
    text = " ".join(text.split()) or "…"
    return {"type": "plain_text", "text": text if len(text) <= limit else text[: limit - 1] + "…", "emoji": True}


def _mrkdwn(text: str, limit: int) -> Block:
    return {"type": "mrkdwn", "text": cut(text, limit).strip() or "…", "verbatim": True}


def header(plain: str) -> Block:
    """A headline of plain text."""
    return {"type": "header", "text": _plain(plain, 150)}


def section(text: str, accessory: Block | None = None) -> Block:
    """A paragraph."""
    return {"type": "section", "text": _mrkdwn(text, SECTION)} | ({"accessory": accessory} if accessory else {})


def context(*texts: str) -> Block:
    """Small print."""
    return {"type": "context", "elements": [_mrkdwn(text, CONTEXT) for text in texts if text.strip()][:10]}


def divider() -> Block:
    """A line."""
    return {"type": "divider"}


def actions(elements: Sequence[Block], block_id: str | None = None) -> Block:
    """A row of buttons and menus."""
    return {"type": "actions", "elements": list(elements[:25])} | ({"block_id": block_id[:255]} if block_id else {})


def button(
    label: str,
    action: str,
    value: str | None = None,
    *,
    url: str | None = None,
    style: Literal["primary", "danger"] | None = None,
    confirm: Block | None = None,
) -> Block:
    """A button; `label` is plain text. A link that is not http(s), or too long for Slack, is left out."""
    made: Block = {"type": "button", "text": _plain(label, 75), "action_id": action[:255]}
    if value is not None and len(value) <= 2000:
        made["value"] = value
    if url and linkable(url):
        made["url"] = url
    if style:
        made["style"] = style
    if confirm:
        made["confirm"] = confirm
    return made


def linkable(url: str) -> bool:
    """Whether Slack takes it as the address of a button."""
    return url.startswith(("http://", "https://")) and len(url) <= 3000


def confirm(title: str, text: str, yes: str, no: str = "Not now", *, danger: bool = False) -> Block:
    """The question before a button acts; all but `text` are plain text."""
    made: Block = {
        "title": _plain(title, 100),
        "text": _mrkdwn(text, 300),
        "confirm": _plain(yes, 30),
        "deny": _plain(no, 30),
    }
    return made | ({"style": "danger"} if danger else {})


def choices(options: Iterable[tuple[str, str]]) -> list[Block]:
    """What can be chosen, as pairs of a value and plain text. Values over Slack's length are left out."""
    return [
        {"text": _plain(label, 75), "value": value} for value, label in options if 0 < len(value) <= 150
    ][:CHOICES]  # fmt: skip


def select(action: str, placeholder: str, options: Sequence[Block] | None) -> Block:
    """A menu of `choices`; without them, one that asks for them while people type."""
    made: Block = {"action_id": action, "placeholder": _plain(placeholder, 150)}
    if options:
        return {"type": "static_select", "options": list(options)} | made
    return {"type": "external_select", "min_query_length": 0} | made


def text_input(label: str, action: str, initial: str, block_id: str) -> Block:
    """A field of a modal for several lines; all plain text."""
    element: Block = {"type": "plain_text_input", "action_id": action, "multiline": True, "max_length": 3000}
    if initial:
        element["initial_value"] = initial[:3000]
    return {"type": "input", "block_id": block_id, "label": _plain(label, 2000), "element": element}


def select_input(label: str, element: Block, block_id: str) -> Block:
    """A menu in a modal; may be left empty."""
    return {"type": "input", "block_id": block_id, "optional": True, "label": _plain(label, 2000), "element": element}


def modal(title: str, submit: str, callback: str, metadata: str, blocks: Sequence[Block]) -> Block:
    """A modal; `metadata` comes back with the answer, at most 3,000 characters of it."""
    return {
        "type": "modal",
        "callback_id": callback,
        "title": _plain(title, 24),
        "submit": _plain(submit, 24),
        "close": _plain("Cancel", 24),
        "private_metadata": metadata[:3000],
        "blocks": list(blocks[:HOME_BLOCKS]),
    }


def message(blocks: Sequence[Block]) -> list[Block]:
    """As many of the blocks as a message holds. The last block, where the buttons are, always stays."""
    whole = [block for block in blocks if block["type"] not in ("context", "actions") or block["elements"]]
    while len(whole) > 1 and (len(whole) > MESSAGE_BLOCKS or _size(whole) > WHOLE):
        longest = max(range(len(whole) - 1), key=lambda place: _size([whole[place]]))
        whole.pop(longest if _size(whole) > WHOLE else len(whole) - 2)
    return whole


def _size(value: Any) -> int:
    if isinstance(value, Mapping):
        return sum(len(inner) if name == "text" and isinstance(inner, str) else _size(inner)
                   for name, inner in value.items())  # fmt: skip
    if isinstance(value, list):
        return sum(_size(inner) for inner in value)
    return 0
