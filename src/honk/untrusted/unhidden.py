"""What a text hides from its reader, and the text without it."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache


def clean(text: str) -> str:
    """The text without what its author could see or place and its reader could not.

    Gone are: control, format, tag and invisible characters, variation selectors beyond those that choose between
    emoji and text, terminal escapes, HTML comments (an open one takes the rest along), elements that are styled or
    marked not to be displayed, and link definitions used as comments. Joiners stay within emoji and between letters of
    scripts that need them; comments and elements in Markdown code stay, because there every reader sees them. All
    other markup stays as its source, so that alternative texts and folded `<details>` are in plain view. Idempotent.
    """
    return _open(text)[0]


def hidden(text: str) -> list[str]:
    """What `clean` takes away, one entry for each passage or sort of character. Holds foreign words: escape them."""
    return _open(text)[1]


# Default ignorable and invisible characters (Unicode 16, DerivedCoreProperties), control characters, noncharacters.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ufdd0-\ufdef\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff"
    "\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d159\U0001d173-\U0001d17a\U000e0000-\U000e0fff]+"
)
_DIRECTION = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_TAGS = re.compile("[\U000e0020-\U000e007e]+")
_TERMINAL = re.compile(
    "\x1b\\[[0-?]*[ -/]*[@-~]?|\x9b[0-?]*[ -/]*[@-~]?"  # CSI
    "|(?:\x1b[]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\\\|\x9c)?"  # OSC, DCS, SOS, PM, APC
    "|\x1b[ -/]*[0-~]?"
)
_PLAIN = {0x2028: "\n", 0x2029: "\n", 0x85: "\n", 0x2800: " "} | dict.fromkeys(range(0xD800, 0xE000), "\ufffd")
_FLAGS = {  # England, Scotland, Wales: the tag sequences that are emoji
    "".join(chr(0xE0000 + ord(letter)) for letter in region) + "\U000e007f" for region in ("gbeng", "gbsct", "gbwls")
}
# Blocks of scripts in which a joiner or non-joiner changes how neighbouring letters are written.
_JOINED = (
    (0x0600, 0x109F), (0x1780, 0x18AF), (0x1A20, 0x1C4F), (0xA800, 0xABFF), (0xFB50, 0xFDCF), (0xFE70, 0xFEFC),
    (0x10A00, 0x11FFF), (0x1E900, 0x1E95F),
)  # fmt: skip


def _open(text: str) -> tuple[str, list[str]]:
    found: list[str] = []
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text, terminal = _TERMINAL.subn("", text)
    if terminal:
        found.append(_counted(terminal, "terminal control sequence", "terminal control sequences"))
    text = _visible_characters(text.translate(_PLAIN), found)
    for _ in range(4):
        shorter = _without_comments(text, found)
        if shorter == text:
            return text, found
        text = shorter
    # Markup that, taken away, made new markup again and again: nobody writes that without intent.
    return text.replace("<", "‹").replace("]:", "] :"), found


def _visible_characters(text: str, found: list[str]) -> str:
    gone: list[str] = []

    def kept(match: re.Match[str]) -> str:
        run = match[0]
        stays = ""
        if run[0] in "\u200c\u200d\ufe0e\ufe0f\U000e0067":
            start, end = match.span()
            stays = _needed(run[:8], text[start - 1 : start], text[end : end + 1])
        gone.append(run[len(stays) :])
        return stays

    text = _INVISIBLE.sub(kept, text)
    taken = "".join(gone)
    if message := "".join(_TAGS.findall(taken)):
        words = "".join(chr(ord(letter) - 0xE0000) for letter in message[:400])
        found.append(f"a message in tag characters: {_excerpt(words)}")
    if turning := len(_DIRECTION.findall(taken)):
        found.append(_counted(turning, "character that turns", "characters that turn") + " the text's way")
    if other := len(taken) - turning - len(message):
        found.append(_counted(other, "invisible character", "invisible characters"))
    return text


def _counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


@lru_cache(4096)
def _needed(run: str, before: str, after: str) -> str:
    """The beginning of a run of invisible characters that what stands before and after it needs to be drawn right."""
    if run in _FLAGS and before == "\U0001f3f4":
        return run
    stays = ""
    if run[0] in "\ufe0e\ufe0f" and (_pictured(before) or after == "\u20e3"):
        stays = run[0]
    rest = run[len(stays) :]
    emoji = rest == "\u200d" and _pictured(before) and _pictured(after)
    letters = rest in ("\u200c", "\u200d") and not stays and _joining(before) and _joining(after)
    return run if emoji or letters else stays


def _pictured(character: str) -> bool:
    if character < "\u00a9":
        return False
    return (
        unicodedata.category(character) in ("So", "Sm", "Sk")
        or character in "‼⁉〰〽"
        or "\U0001f000" <= character <= "\U0001faff"
    )


def _joining(character: str) -> bool:
    return (
        character != ""
        and unicodedata.category(character)[0] in "LM"
        and any(first <= ord(character) <= last for first, last in _JOINED)
    )


def _excerpt(text: str) -> str:
    words = " ".join(text[:400].split())
    return f"“{words if len(words) <= 100 else words[:99] + '…'}”"


_MARKUP = re.compile(r"<!--|<([a-zA-Z][a-zA-Z0-9-]*)([^<>]*)>")
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9-]*)")
_COMMENT_END = re.compile(r"--!?>")
_HIDDEN_ATTRIBUTE = re.compile(r"(?:^|[\s\"'])hidden(?=[\s=/]|$)", re.IGNORECASE)
_STYLE = re.compile(r"style\s*=", re.IGNORECASE)
_HIDING = re.compile(
    r"display:none|visibility:(?:hidden|collapse)"
    r"|opacity:(?:0+(?:\.0*)?|\.0+)(?![.\d])|font-size:0(?![.\d]*[1-9])|color:transparent"
)
_VOID = frozenset(
    "area base br col embed hr img input link meta param source track wbr".split()  # noqa: SIM905  reads better
)
_DEFINITION = re.compile(
    r"^ {0,3}\[(?:(?://|comment)\]:[^\n]*|([^\[\]\n]*)\]:[ \t]*(?:<>|<?#[^\s>]*>?)(?:[ \t][^\n]*)?)$",
    re.MULTILINE | re.IGNORECASE,
)


def _without_comments(text: str, found: list[str]) -> str:
    """One pass: comments, elements that are not displayed, and link definitions used as comments."""
    if "]:" in text:
        found += [f"a link definition used as a comment: {_excerpt(line[0])}" for line in _DEFINITION.finditer(text)]
        text = _DEFINITION.sub("", text)
    if "<" not in text:
        return text
    pieces: list[str] = []
    code: list[tuple[int, int]] | None = None
    kept = at = 0
    while match := _MARKUP.search(text, at):
        at = match.end()
        if match[1] and not _undisplayed(match[1], match[2]):
            continue
        if code is None:
            code = _code(text)
        if any(start <= match.start() < end for start, end in code):
            continue
        at = _element_end(text, match) if match[1] else _comment_end(text, match.start())
        pieces.append(text[kept : match.start()])
        kept = at
        what = "an element that is not displayed" if match[1] else "an HTML comment"
        found.append(f"{what}: {_excerpt(text[match.start() : min(at, match.start() + 400)])}")
    return "".join(pieces) + text[kept:]


def _undisplayed(name: str, attributes: str) -> bool:
    if name.lower() in _VOID or not attributes:
        return False
    if _HIDDEN_ATTRIBUTE.search(attributes):
        return True
    return bool(_STYLE.search(attributes)) and bool(_HIDING.search("".join(attributes.lower().split())))


def _comment_end(text: str, start: int) -> int:
    for short in ("<!-->", "<!--->"):
        if text.startswith(short, start):
            return start + len(short)
    end = _COMMENT_END.search(text, start + 4)
    return end.end() if end else len(text)


def _element_end(text: str, opening: re.Match[str]) -> int:
    depth = 1
    for tag in _TAG.finditer(text, opening.end()):
        if tag[2].lower() == opening[1].lower():
            depth += -1 if tag[1] else 1
            if depth == 0:
                end = text.find(">", tag.end())
                return end + 1 if end >= 0 else len(text)
    return len(text)


def _code(text: str) -> list[tuple[int, int]]:
    """Where the text is Markdown code that is displayed as it is written, from and to; empty for very long texts."""
    if len(text) > 30_000 or not ("`" in text or "~~~" in text or "    " in text or "\t" in text):
        return []
    from markdown_it import MarkdownIt

    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    ranges: list[tuple[int, int]] = []
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        if token.map is None:
            continue
        first, last = starts[token.map[0]], starts[min(token.map[1], len(starts) - 1)]
        if token.type in ("fence", "code_block"):
            # What follows the opening fence on its line is not displayed.
            ranges.append((starts[token.map[0] + (token.type == "fence")], last))
        elif token.type == "inline":
            for child in [each for each in token.children or [] if each.type == "code_inline" and "<" in each.content]:
                for written in (child.content, f" {child.content} "):
                    at = text.find(child.markup + written + child.markup, first, last)
                    if at >= 0:
                        first = at + len(written) + 2 * len(child.markup)
                        ranges.append((at, first))
                        break
                if len(ranges) > 200:
                    return ranges
    return ranges
