"""Foreign text on pages of GitHub."""

from __future__ import annotations

import re

from honk.untrusted.unhidden import clean

_PIECE = re.compile(
    r"(?P<span>(?<!`)`[^`\n|]+`(?!`))|^(?P<number>\d{1,9}[.)])|(?P<word>[\w.+/@#:%?=&~-]+)|(?P<indent>^[ \t]+)|.|\n",
    re.MULTILINE,
)
_POINTING = re.compile(r"@\w|#\d|://|(?:^|\W)(?:www\.|gh-\d|[0-9a-f]{40}(?!\w))", re.IGNORECASE)
_MARKDOWN = re.compile(r"[\\*_~\[\]|#]")
_AT_LINE_START = re.compile(r"[-+=:/]")
_ENTITY = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "`": "&#96;", "$": "&#36;"}


def for_markdown(text: str, limit: int) -> str:
    """A quotation of foreign text for a GitHub page, at most `limit` characters: it reads the same, and nothing acts.

    - What would be a mention, a reference to an issue, pull request or commit, or a link is put in a code span, the
      one place where GitHub looks for none of them ("Basic writing and formatting syntax": its filters run on the
      rendered text and pass over `code`, so that neither backslash nor entity would help). Hence no keyword closes
      an issue.
    - Characters that mean structure are backslash-escaped (CommonMark 2.4); `& < > $` and backticks are entities,
      which never mean structure (CommonMark 2.5): no HTML, image, heading, list, table, alert, formula or command.
    - Code spans on one line stay.
    """
    rendered: list[str] = []
    length = 0
    at_start = True
    for match in _PIECE.finditer(clean(text)):
        piece = _piece(match, at_start=at_start)
        if length + len(piece) > limit:
            if match["word"]:
                rendered.append(_beginning(match[0], limit - length - 1, at_start=at_start))
            return _shortened(rendered, limit)
        rendered.append(piece)
        length += len(piece)
        at_start = match["indent"] is not None or match[0] == "\n"
    return "".join(rendered)


def _beginning(word: str, room: int, *, at_start: bool) -> str:
    size = max(room, 0)
    while size and len(_word(word[:size], at_start=at_start)) > room:
        size = size * 3 // 4
    return _word(word[:size], at_start=at_start) if size else ""


def _shortened(rendered: list[str], limit: int) -> str:
    while rendered and sum(map(len, rendered)) >= limit:
        rendered.pop()
    return "".join(rendered).rstrip() + "…" if limit > 0 else ""


def _piece(match: re.Match[str], *, at_start: bool) -> str:
    if match["span"]:
        return match[0]
    if match["indent"]:
        # Four ordinary spaces would make a code block, in which escapes are shown.
        return "&nbsp;" * min(len(match[0].expandtabs(4)), 40)
    if match["number"]:
        return f"{match[0][:-1]}\\{match[0][-1]}"
    return _word(match[0], at_start=at_start)


def _word(word: str, *, at_start: bool) -> str:
    if _POINTING.search(word):
        core = word.rstrip(".:?")
        return f"`{core}`{word[len(core) :]}"
    escaped = _MARKDOWN.sub(r"\\\g<0>", word)
    escaped = re.sub(r"[&<>`$]", lambda sign: _ENTITY[sign[0]], escaped)
    return f"\\{escaped}" if at_start and _AT_LINE_START.match(escaped) else escaped
