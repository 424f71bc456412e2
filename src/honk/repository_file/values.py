"""The values that stand in honk.yaml: how each is written, and what is said of one that is not."""

from __future__ import annotations

import re
from datetime import date
from difflib import get_close_matches
from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from honk.findings import KINDS

_MAX_SECONDS = 7 * 24 * 3600.0
_DURATION = re.compile(r"^(\d{1,9}(?:\.\d{1,9})?)\s*(ms|s|m|h)?$", re.ASCII)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}
_NAME = re.compile(r"^[^\s\x00-\x1f]([^\r\n\t\x00-\x1f]{0,58}[^\s\x00-\x1f])?$")
BUILD_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$")
_ADDRESS = re.compile(r"^https?://[^\s/?#]+\S*$")
_HOST = re.compile(r"^((\*\.)?\w[\w-]*(\.\w[\w-]*)*\.?|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?$")
_IMAGE = re.compile(r"^[a-z0-9][\w.:/@-]{0,254}$", re.ASCII)
_LISTEN = re.compile(r"^([0-9.]{7,15}|\[[0-9A-Fa-f:.]+\]):\d{1,5}$")


def _seconds(value: object) -> float:
    found = None
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        found = _DURATION.match(str(value).strip())
    if not found:
        raise ValueError("must be a duration such as 60s, 2m or 1h")
    seconds = float(found[1]) * _UNITS[found[2]]
    if not 0 < seconds <= _MAX_SECONDS:
        raise ValueError("must be longer than 0 and at most 168h")
    return seconds


def _shell_line(text: str) -> str:
    # A blank line ends with 0: a check that is always green.
    if not text.strip():
        raise ValueError("must be a shell line, not blank")
    if "\0" in text:
        raise ValueError("must be a shell line, and no shell takes the character `\\0`")
    return text


def no_truth(value: object) -> object:
    # YAML's `true` is a number to Python.
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


def _below_root(path: str) -> str:
    pure = PurePosixPath(path)
    if not path.strip() or pure.is_absolute() or ".." in pure.parts:
        raise ValueError("must be a path below the repository's root, without `..`")
    return path


def _pattern(text: str) -> str:
    from pathspec import GitIgnoreSpec

    try:
        fits = bool(text.strip()) and bool(GitIgnoreSpec.from_lines([text]))
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"must be a pattern as in .gitignore, which {text!r} is not")
    return text


def _host(text: str) -> str:
    found = _HOST.fullmatch(text)
    if not found or not 0 < int((found[4] or ":443")[1:]) < 65_536:
        raise ValueError(
            f"must be `host`, `host:port` or `*.domain` without http:// or a path, which {text[:80]!r} is not"
        )
    return text


def _matching(pattern: re.Pattern[str], sentence: str) -> AfterValidator:
    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(sentence)
        return text

    return AfterValidator(check)


def _finding(kind: str) -> str:
    if kind not in KINDS:
        near = get_close_matches(kind, KINDS, 1) or ["test-deleted"]
        raise ValueError(f"must be a kind of finding, such as `{near[0]}`: docs/tamper-guard.md has them all")
    return kind


def _text(pattern: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern})


Duration = Annotated[
    float,
    BeforeValidator(_seconds),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": _DURATION.pattern},
                {"type": "number", "exclusiveMinimum": 0, "maximum": _MAX_SECONDS},
            ]
        }
    ),
]
"""Seconds; written as `60s`, `2m`, `1h` or a number of seconds."""

Moment = Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, date) else value)]
"""YAML reads a date as one."""

Line = Annotated[str, AfterValidator(_shell_line), _text(r"\S")]
Below = Annotated[str, AfterValidator(_below_root), _text(r"^(?!\s*/)(?!(.*/)?\.\.(/|$)).*\S")]
Address = Annotated[
    str, _matching(_ADDRESS, "must begin with http:// or https:// and name a host"), _text(_ADDRESS.pattern)
]
Host = Annotated[str, AfterValidator(_host), _text(_HOST.pattern)]
Listen = Annotated[
    str,
    _matching(_LISTEN, "must be an address and a port such as `127.0.0.1:8080` or `[::]:8080`"),
    _text(_LISTEN.pattern),
]
Image = Annotated[
    str,
    _matching(_IMAGE, "must be the name of a container image such as `docker.io/library/python:3.12`"),
    _text(_IMAGE.pattern),
]
Pattern = Annotated[str, AfterValidator(_pattern), _text(r"\S")]
CheckName = Annotated[str, _matching(_NAME, "must be a name of one line and at most 60 characters"), _text(r"\S")]
FindingKind = Annotated[str, AfterValidator(_finding), WithJsonSchema({"type": "string", "enum": sorted(KINDS)})]
BuildName = Annotated[
    str,
    _matching(BUILD_NAME, "must be a name of letters, digits, `_` and `-`, at most 40"),
    _text(BUILD_NAME.pattern),
]
