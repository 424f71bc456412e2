"""Readers of source files: what each says about its tests, whatever its language."""

from __future__ import annotations

import re
from functools import cache

from honk.verify.tamper import paths
from honk.verify.tamper.facts import Source
from honk.verify.tamper.languages import patterns, python
from honk.verify.tamper.languages.common import may_silence
from honk.verify.tamper.languages.definitions import defined
from honk.verify.tamper.languages.walking import Grammar
from honk.verify.tamper.languages.walking import read as read_tree

__all__ = ["read", "read_by_patterns"]

_BESIDE = re.compile(r"#\[\s*(\w+::)*(test|rstest|cfg\(test)|@Test\b|@ParameterizedTest|XCTestCase|@Suite\b")
"""In files that have tests beside what they test."""


def read(language: str, path: str, text: str) -> Source:
    """What a source file says. One that its parser does not take is read by patterns, and `problem` says so."""
    is_test = paths.is_test(path)
    source = _read(language, text, is_test and (language == "python" or paths.is_collected(path)))
    if not is_test:
        source.definitions = defined(text)
    return source


def read_by_patterns(path: str, text: str) -> Source:
    """As `read`, without a parser."""
    return patterns.read(text, is_test=paths.is_test(path))


def _read(language: str, text: str, is_test: bool) -> Source:
    grammars = _grammars()
    silent = not may_silence(text)
    try:
        if language == "python":
            return python.read(text) if is_test else Source(silencers=list(python.comments(text)))
        if language in grammars:
            if silent and not is_test and not _BESIDE.search(text):
                return Source()
            return read_tree(grammars[language], text, is_test=is_test)
    except SyntaxError as problem:
        why = f"it is no Python that this interpreter parses (line {problem.lineno or '?'})"
    except (RecursionError, MemoryError):
        why = "it is nested too deeply"
    except ValueError as problem:
        why = str(problem)
    else:
        return patterns.read(text, is_test=is_test)
    source = patterns.read(text, is_test=is_test)
    source.problem = f"{why}, and was compared by patterns only"
    return source


@cache
def _grammars() -> dict[str, Grammar]:
    from honk.verify.tamper.languages import go, java, javascript, kotlin, rust, swift

    known = (
        javascript.JAVASCRIPT,
        javascript.TYPESCRIPT,
        javascript.TSX,
        java.JAVA,
        go.GO,
        rust.RUST,
        kotlin.KOTLIN,
        swift.SWIFT,
    )
    return {one.language: one for one in known}
