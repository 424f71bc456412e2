"""Readers of source files: what each says about its tests, whatever its language."""

from __future__ import annotations

from functools import cache

from honk.verify.tamper import paths
from honk.verify.tamper.facts import Source
from honk.verify.tamper.languages import patterns, python
from honk.verify.tamper.languages.walking import Grammar
from honk.verify.tamper.languages.walking import read as read_tree

__all__ = ["read"]


def read(language: str, path: str, text: str) -> Source:
    """What a source file says. One that its parser does not take is read by patterns, and `problem` says so."""
    is_test = paths.is_test(path)
    grammars = _grammars()
    try:
        if language == "python":
            return python.read(text, is_test=is_test)
        if language in grammars:
            return read_tree(grammars[language], text, is_test=is_test and paths.is_collected(path))
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
