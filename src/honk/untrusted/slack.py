"""Foreign text and Markdown as Slack's mrkdwn."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from honk.untrusted.unhidden import clean

if TYPE_CHECKING:
    from markdown_it.token import Token

_EVERYBODY = re.compile(r"@(?=channel|here|everyone|group)", re.IGNORECASE)
_ACTIVE = re.compile(r"(?<![^\W_])[*_~]|[*_~](?![^\W_])|`|:(?=[0-9_+'-]{0,40}[a-z][a-z0-9_+'-]{0,60}:)")
_LOOKALIKE = {"*": "∗", "_": "ˍ", "~": "∼", "`": "ˋ", ":": "꞉"}


def mrkdwn(text: str, limit: int = 3000) -> str:
    """Plain text for a `mrkdwn` text object or `text` of Slack: no reference, mention or link that was not Slack's own.

    At most `limit` characters, cut with "…" between characters as people see them. `*_~` and backticks keep their
    effect; `plain_line` takes it. Set `verbatim: true` on the text object besides, so that Slack links nothing itself.
    """
    return _cut(_for_slack(clean(text)), limit)


def plain_line(text: str, limit: int = 150) -> str:
    """One line for a place in a card (title, name, path) in which foreign text must not look like the card's own.

    Slack has no escape for its formatting, so `*`, `_` and `~` where they would act, backticks and the colons of emoji
    codes become signs that look alike.
    """
    line = " ".join(clean(text[: limit * 50]).split())
    return _cut(_for_slack(_literal(line)), limit)


def _literal(text: str) -> str:
    return _ACTIVE.sub(lambda match: _LOOKALIKE[match[0]], re.sub(r"^(\s*)>", r"\1›", text, flags=re.MULTILINE))


def _for_slack(text: str) -> str:
    return escape(_EVERYBODY.sub("＠", text), quote=False)


def _cut(escaped: str, limit: int) -> str:
    if len(escaped) <= limit:
        return escaped
    end = max(limit - 1, 0)
    for _ in range(40):
        joined = unicodedata.combining(escaped[end]) or escaped[end] in "\u200d\ufe0f\ufe0e\u20e3"
        toned = "\U0001f3fb" <= escaped[end] <= "\U0001f3ff"
        if end and (joined or toned or escaped[end - 1] == "\u200d"):
            end -= 1
    opened = escaped.rfind("&", max(end - 4, 0), end)
    if opened >= 0 and ";" not in escaped[opened:end]:
        end = opened
    opened = escaped.rfind("<", 0, end)
    if opened > escaped.rfind(">", 0, end):
        end = opened
    return (escaped[:end].rstrip() + "…")[: max(limit, 0)]


def markdown_to_mrkdwn(text: str, limit: int = 3000) -> str:
    """Markdown as Slack's mrkdwn: headings, bold, lists, quotes, code and links, all else as the plain text it is.

    Only http and https become links, and the whole target is shown wherever the words are not the target itself.
    At most `limit` characters; a cut leaves no code block or reference open.
    """
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    blocks = _Blocks()
    for token in parser.parse(clean(text)[: 10 * limit + 1000]):
        blocks.add(token)
    whole = "\n".join(blocks.lines).strip("\n")
    if len(whole) <= limit:
        return whole
    cut = re.sub(r"`+…$", "…", _cut(whole, limit - 4))
    return cut + "\n```" if cut.count("```") % 2 else cut


class _Blocks:
    """Block tokens, one after the other, as lines of mrkdwn; an empty line between paragraphs."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._lists: list[int | None] = []  # the next number, or None for bullets
        self._quotes = 0
        self._marker = ""
        self._heading = False
        self._cells: list[str] | None = None

    def add(self, token: Token) -> None:
        kind = token.type
        if kind == "inline":
            self._inline(token)
        elif kind in ("fence", "code_block"):
            body = _for_slack(token.content.replace("```", "ˋˋˋ")).rstrip("\n")
            self.lines += ["```", *body.split("\n"), "```", ""]
        elif kind == "hr":
            self.lines += ["———", ""]
        elif kind in ("bullet_list_open", "ordered_list_open"):
            self._lists.append(int(token.attrGet("start") or 1) if kind == "ordered_list_open" else None)
        elif kind == "list_item_open":
            self._item()
        elif kind in ("blockquote_open", "blockquote_close"):
            self._quotes += 1 if kind == "blockquote_open" else -1
        elif kind in ("tr_open", "tr_close"):
            self._row()
        else:
            self._between(kind)

    def _between(self, kind: str) -> None:
        if kind in ("bullet_list_close", "ordered_list_close"):
            self._lists.pop()
            self._marker = "  " if self._lists else ""
        self._heading = kind == "heading_open"
        closing = kind.endswith(("list_close", "paragraph_close", "heading_close", "table_close"))
        if closing and not self._lists and self.lines and self.lines[-1]:
            self.lines.append("")

    def _item(self) -> None:
        number = self._lists[-1]
        self._marker = "• " if number is None else f"{number}. "
        if number is not None:
            self._lists[-1] = number + 1

    def _row(self) -> None:
        if self._cells:
            self.lines.append(" | ".join(self._cells))
        self._cells = None if self._cells is not None else []

    def _inline(self, token: Token) -> None:
        words = _inline(token.children or [], heading=self._heading)
        if self._cells is not None:
            self._cells.append(words)
            return
        if self._heading and words:
            words = f"*{words}*"
        indent = "    " * max(len(self._lists) - 1, 0)
        quote = "> " if self._quotes else ""
        for line in words.split("\n"):
            self.lines.append(f"{quote}{indent}{self._marker}{line}")
            self._marker = "  " if self._lists else ""


_MARKS = {"strong": "*", "em": "_", "s": "~"}


def _inline(tokens: Sequence[Token], *, heading: bool = False) -> str:
    written: list[str] = []
    links: list[tuple[int, str]] = []
    for token in tokens:
        kind = token.type.removesuffix("_open").removesuffix("_close")
        if token.type == "text":
            written.append(_for_slack(_literal(token.content)))
        elif token.type == "code_inline":
            written.append("`" + _for_slack(token.content.replace("`", "ˋ").replace("\n", " ")) + "`")
        elif token.type in ("softbreak", "hardbreak"):
            written.append(" " if heading else "\n")
        elif kind in _MARKS:
            written.append("" if heading and kind == "strong" else _MARKS[kind])
        elif token.type == "image":
            written.append(_link(_for_slack(_literal(token.content)), str(token.attrGet("src") or "")))
        elif token.type == "link_open":
            links.append((len(written), str(token.attrGet("href") or "")))
        elif token.type == "link_close" and links:
            start, target = links.pop()
            words = "".join(written[start:])
            written[start:] = [_link(words, target)]
    return "".join(written)


def _link(words: str, target: str) -> str:
    address = escape(target, quote=False).replace("|", "%7C")
    if not target.lower().startswith(("http://", "https://")) or re.search(r"\s", target):
        return f"{words} ({_for_slack(_literal(target))})" if target and target not in words else words
    plain = words.strip()
    if not plain or plain.rstrip("/") in (address.rstrip("/"), address.partition("://")[2].rstrip("/")):
        return f"<{address}>"
    return f"{words} (<{address}>)"
