"""Names that a file defines, by how definitions begin in the languages read here: quick, where no more is asked."""

from __future__ import annotations

import re

_LONGEST = 400
_DEFINES = re.compile(
    r"\b(?:def|class|func|fun|function\*?|fn|struct|enum|trait|interface|object|protocol|record|module|macro_rules!)"
    r"\s+(?:\([^()]{0,80}\)\s*)?`?(?:self\.)?(?P<named>\w+)"
    r"|^(?:export\s+(?:default\s+)?|pub(?:\(\w+\))?\s+|public\s+|internal\s+)*(?:const|let|var|val|type|static)\s+(?P<valued>\w+)"
    r"|^(?P<assigned>[A-Za-z_]\w*)\s*(?::[^=\n]{1,80})?=(?!=)"
)
_METHOD = re.compile(r"(?P<name>[A-Za-z_]\w*)\s*\([^;{}]*(?:\)[^;{}()]*\{|[,(]\s*)$")
_NO_METHODS = {"if", "for", "while", "switch", "catch", "return", "with", "elif", "else", "function", "new", "await"}


def defined(text: str) -> set[str]:
    """The names of functions, classes, methods, and of variables of the whole file."""
    found: set[str] = set()
    for line in text.split("\n"):
        if len(line) > _LONGEST:
            continue
        for one in _DEFINES.finditer(line):
            found.add(one["named"] or one["valued"] or one["assigned"])
        if line.endswith(("{", "(", ",")) and (method := _METHOD.search(line)) and method["name"] not in _NO_METHODS:
            found.add(method["name"])
    return found
