"""Block Kit's rules as Slack publishes them (docs.slack.dev/reference/block-kit), for refusing what breaks them."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

MESSAGE_BLOCKS, VIEW_BLOCKS = 50, 100
WHOLE_MESSAGE = 13_200


class Invalid(Exception):
    """Where the blocks break a rule, and which."""


def check_message(blocks: Any) -> None:
    """Raises `Invalid`."""
    _blocks(blocks, MESSAGE_BLOCKS, {"section", "header", "context", "actions", "divider", "image"})


def check_view(view: Any) -> None:
    """Raises `Invalid`."""
    _need(isinstance(view, dict) and view.get("type") in ("home", "modal"), "a view is a home or a modal")
    kinds = {"section", "header", "context", "actions", "divider", "image", "input"}
    _blocks(view.get("blocks"), VIEW_BLOCKS, kinds)
    if view["type"] == "modal":
        _text(view.get("title"), 24, plain=True)
        for name in ("submit", "close"):
            if name in view:
                _text(view[name], 24, plain=True)
        _need("submit" in view or all(block["type"] != "input" for block in view["blocks"]), "inputs need a submit")
        _need(len(view.get("private_metadata", "")) <= 3000, "private_metadata")
        _need(len(view.get("callback_id", "")) <= 255, "callback_id")


def _need(holds: object, rule: str) -> None:
    if not holds:
        raise Invalid(rule)


def _keys(thing: Any, required: set[str], optional: set[str] = frozenset()) -> None:  # type: ignore[assignment]
    _need(isinstance(thing, dict), f"an object is wanted, not {thing!r}")
    _need(required <= set(thing), f"{thing.get('type')} lacks {required - set(thing)}")
    extra = set(thing) - required - set(optional) - {"type", "block_id", "action_id"}
    _need(not extra, f"{thing.get('type')} has {extra}")
    for name in ("block_id", "action_id"):
        _need(len(thing.get(name, "")) <= 255, name)


def _text(thing: Any, most: int, *, plain: bool = False) -> None:
    _need(isinstance(thing, dict) and thing.get("type") in ("plain_text", "mrkdwn"), f"no text object: {thing!r}")
    _need(not plain or thing["type"] == "plain_text", "plain text is wanted")
    _keys(thing, {"text"}, {"emoji"} if thing["type"] == "plain_text" else {"verbatim"})
    _need(isinstance(thing["text"], str) and 1 <= len(thing["text"]) <= most, f"text of {len(thing['text'])} > {most}")


def _blocks(blocks: Any, most: int, kinds: set[str]) -> None:
    _need(isinstance(blocks, list) and len(blocks) <= most, f"{len(blocks or [])} blocks")
    ids = [block.get("block_id") for block in blocks if block.get("block_id")]
    _need(len(ids) == len(set(ids)), "block_ids repeat")
    for block in blocks:
        _need(block.get("type") in kinds, f"a block {block.get('type')!r} is not for here")
        _BLOCK[block["type"]](block)


def _section(block: Any) -> None:
    _keys(block, set(), {"text", "fields", "accessory", "expand"})
    _need("text" in block or "fields" in block, "a section needs text or fields")
    if "text" in block:
        _text(block["text"], 3000)
    for field in block.get("fields", ()):
        _text(field, 2000)
    _need(len(block.get("fields", ())) <= 10, "fields")
    if "accessory" in block:
        _element(block["accessory"])


def _header(block: Any) -> None:
    _keys(block, {"text"})
    _text(block["text"], 150, plain=True)


def _context(block: Any) -> None:
    _keys(block, {"elements"})
    _need(1 <= len(block["elements"]) <= 10, "elements of a context")
    for element in block["elements"]:
        _text(element, 3000)


def _actions(block: Any) -> None:
    _keys(block, {"elements"})
    _need(1 <= len(block["elements"]) <= 25, "elements of actions")
    names = [element.get("action_id") for element in block["elements"]]
    _need(len(names) == len(set(names)), "action_ids repeat in a block")
    for element in block["elements"]:
        _element(element)


def _input(block: Any) -> None:
    _keys(block, {"label", "element"}, {"optional", "hint", "dispatch_action"})
    _text(block["label"], 2000, plain=True)
    _element(block["element"])


def _divider(block: Any) -> None:
    _keys(block, set())


_BLOCK = {"section": _section, "header": _header, "context": _context, "actions": _actions, "input": _input,
          "divider": _divider}  # fmt: skip


def _element(element: Any) -> None:
    _need(isinstance(element, dict) and element.get("type") in _ELEMENT, f"no element: {element!r}")
    _ELEMENT[element["type"]](element)


def _button(element: Any) -> None:
    _keys(element, {"text"}, {"value", "url", "style", "confirm", "accessibility_label"})
    _text(element["text"], 75, plain=True)
    _need(len(element.get("value", "")) <= 2000, "value")
    if "url" in element:
        _need(len(element["url"]) <= 3000 and urlsplit(element["url"]).scheme in ("http", "https"), "url")
    _need(element.get("style", "primary") in ("primary", "danger"), "style")
    if "confirm" in element:
        question = element["confirm"]
        _keys(question, {"title", "text", "confirm", "deny"}, {"style"})
        _text(question["title"], 100, plain=True)
        _text(question["text"], 300)
        _text(question["confirm"], 30, plain=True)
        _text(question["deny"], 30, plain=True)


def _options(options: Any) -> None:
    _need(1 <= len(options) <= 100, f"{len(options)} options")
    for option in options:
        _keys(option, {"text", "value"}, {"description", "url"})
        _text(option["text"], 75, plain=True)
        _need(1 <= len(option["value"]) <= 150, "an option's value")


def check_options(options: Any) -> None:
    """The answer to a menu that asks. Raises `Invalid`."""
    if options:
        _options(options)


def _static_select(element: Any) -> None:
    _keys(element, {"options"}, {"placeholder", "initial_option", "confirm", "focus_on_load"})
    _text(element["placeholder"], 150, plain=True)
    _options(element["options"])


def _external_select(element: Any) -> None:
    _keys(element, set(), {"placeholder", "initial_option", "min_query_length", "confirm", "focus_on_load"})
    _text(element["placeholder"], 150, plain=True)


def _plain_text_input(element: Any) -> None:
    _keys(element, set(), {"placeholder", "initial_value", "multiline", "min_length", "max_length"})
    _need(1 <= element.get("max_length", 3000) <= 3000, "max_length")
    _need(len(element.get("initial_value", "")) <= element.get("max_length", 3000), "initial_value")


_ELEMENT = {"button": _button, "static_select": _static_select, "external_select": _external_select,
            "plain_text_input": _plain_text_input}  # fmt: skip


def length(value: Any) -> int:
    """Characters of all texts in blocks."""
    if isinstance(value, dict):
        return sum(len(inner) if name == "text" and isinstance(inner, str) else length(inner)
                   for name, inner in value.items())  # fmt: skip
    return sum(map(length, value)) if isinstance(value, list) else 0
