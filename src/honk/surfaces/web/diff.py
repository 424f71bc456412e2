"""A unified diff as something to read on a phone: by file, coloured, bounded."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from markupsafe import Markup, escape

MAX_LINES = 3_000
"""Lines that are shown of a whole diff; what is beyond is counted."""

_FOLD_ABOVE = 120
_HUNK = re.compile(r"^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@ ?(.*)$")


@dataclass
class Line:
    """One line: `kind` is add, del or same."""

    kind: str
    old: int | None
    new: int | None
    html: Markup


@dataclass
class Hunk:
    """A run of lines; `place` is the function or section git names."""

    place: str
    lines: list[Line] = field(default_factory=list)


@dataclass
class FileDiff:
    """What happened to one file."""

    path: str
    note: str = ""
    added: int = 0
    removed: int = 0
    hunks: list[Hunk] = field(default_factory=list)
    left_out: int = 0

    @property
    def folded(self) -> bool:
        return self.added + self.removed > _FOLD_ABOVE


def read_diff(text: str) -> list[FileDiff]:
    """Parse git's unified diff."""
    files: list[FileDiff] = []
    shown = 0
    for part in re.split(r"(?m)^(?=diff --git )", text):
        if not part.startswith("diff --git "):
            continue
        header, _, body = part.partition("\n@@ ")
        file = _file(header)
        files.append(file)
        if body:
            shown = _hunks(file, "@@ " + body, shown)
    return files


def _file(header: str) -> FileDiff:
    lines = header.splitlines()
    found = {
        key: line.removeprefix(key)
        for line in lines[1:]
        for key in (
            "rename from ",
            "rename to ",
            "--- ",
            "+++ ",
            "new file mode ",
            "deleted file mode ",
            "old mode ",
            "new mode ",
            "Binary files ",
        )
        if line.startswith(key)
    }
    named = found.get("rename to ") or _path(found.get("+++ ", "")) or _path(found.get("--- ", ""))
    file = FileDiff(named or lines[0].rpartition(" b/")[2])
    notes = []
    if "rename from " in found:
        notes.append(f"renamed from {found['rename from ']}")
    if "new file mode " in found:
        notes.append({"120000": "new link", "160000": "new submodule"}.get(found["new file mode "], "new"))
    if "deleted file mode " in found:
        notes.append("deleted")
    if "old mode " in found:
        notes.append("mode " + found["old mode "][-3:] + " → " + found.get("new mode ", "")[-3:])
    if "Binary files " in found:
        notes.append("binary: not shown")
    file.note = ", ".join(notes)
    return file


def _path(told: str) -> str:
    return "" if told == "/dev/null" else re.sub(r"^[ab]/", "", told.rstrip("\t"))


def _hunks(file: FileDiff, body: str, shown: int) -> int:
    raw: list[tuple[Hunk, list[tuple[str, int | None, int | None, str]]]] = []
    old = new = 0
    for line in body.split("\n"):
        if found := _HUNK.match(line):
            old, new = int(found[1]), int(found[2])
            raw.append((Hunk(found[3]), []))
            continue
        if not raw or not line or line[0] not in "+- ":
            continue
        mark, text = line[0], line[1:]
        file.added += mark == "+"
        file.removed += mark == "-"
        if shown >= MAX_LINES:
            file.left_out += 1
        else:
            kind = {"+": "add", "-": "del"}.get(mark, "same")
            raw[-1][1].append((kind, old if mark != "+" else None, new if mark != "-" else None, text[:2000]))
            shown += 1
        old += mark != "+"
        new += mark != "-"
    for hunk, lines in raw:
        coloured = _coloured(file.path, [text for *_, text in lines])
        hunk.lines = [Line(kind, a, b, html) for (kind, a, b, _), html in zip(lines, coloured, strict=True)]
        if hunk.lines:
            file.hunks.append(hunk)
    return shown


def _coloured(path: str, lines: list[str]) -> list[Markup]:
    """Each line as HTML with Pygments' classes."""
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import get_lexer_for_filename
    from pygments.util import ClassNotFound

    plain = [escape(line) for line in lines]
    try:
        lexer = get_lexer_for_filename(path, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return plain
    html = highlight("\n".join(lines), lexer, HtmlFormatter(nowrap=True)).split("\n")
    if len(html) == len(lines) + 1 and not html[-1]:
        html.pop()
    return [Markup(line) for line in html] if len(html) == len(lines) else plain  # noqa: S704  Pygments escapes


def highlight_css() -> str:
    """Pygments' colours, light and dark."""
    from pygments.formatters import HtmlFormatter

    light = HtmlFormatter(style="friendly").get_style_defs(".code")  # type: ignore[no-untyped-call]
    dark = HtmlFormatter(style="github-dark").get_style_defs(".code")  # type: ignore[no-untyped-call]
    return f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n.code {{ background: none }}\n"
