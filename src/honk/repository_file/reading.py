"""From the text of honk.yaml to what it says, or to one sentence that names the line and the key."""

from __future__ import annotations

import difflib
import io
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, ValidationError

from honk.model import UsageError
from honk.repository_file.keys import (
    Build,
    Deploy,
    Freeze,
    Health,
    Judge,
    Merge,
    Metric,
    Preview,
    RepositoryFile,
    Sandboxing,
    Service,
    VerifyStep,
)

_MAX_BYTES = 64 * 1024
"""A larger honk.yaml is refused."""
_MAX_NODES = 5_000


class RepositoryFileError(UsageError):
    """honk.yaml is wrong; the sentence names the line and the key."""


@lru_cache(maxsize=64)
def parse_repository_file(text: str) -> RepositoryFile:
    """Read honk.yaml's text (decoded with replacement); empty text is an empty file. Each step of a turn asks for it.

    Raises `RepositoryFileError` with one sentence that names the line and the key.
    """
    if len(text.encode("utf-8", "replace")) > _MAX_BYTES:
        raise RepositoryFileError(
            f"honk.yaml is larger than {_MAX_BYTES // 1024} kB: keep long scripts in files of their own."
        )
    _refuse_odd_characters(text)
    document = _load(text)
    if document is None:
        return RepositoryFile()
    if not isinstance(document, dict):
        raise RepositoryFileError("honk.yaml, line 1: must be keys and values, such as `setup: npm ci`.")
    if _count(document) > _MAX_NODES:
        raise RepositoryFileError("honk.yaml expands to more than it may: do without the aliases (`*name`).")
    try:
        return RepositoryFile.model_validate(_plain(document))
    except ValidationError as error:
        raise RepositoryFileError(_sentence(document, error)) from error


_ODD = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffc\U00010000-\U0010ffff]")


def _refuse_odd_characters(text: str) -> None:
    if found := _ODD.search(text.removeprefix("\ufeff")):
        line = text.count("\n", 0, found.start()) + 1
        what = "is not UTF-8" if found[0] == "\ufffd" else f"holds the control character U+{ord(found[0]):04X}"
        raise RepositoryFileError(f"honk.yaml, line {line}: {what}; save the file as plain UTF-8 text.")


# What the YAML parser says, and what to do about it.
_REMEDIES = (
    ("that cannot start any token", "indent with spaces, not tabs, and quote a value that begins with a sign"),
    ("mapping values are not allowed", "check the indentation, and quote a value that holds `: `"),
    ("expected <block end>", "check the indentation: it differs from the lines above"),
    ("could not find expected ':'", "every line must be `key: value`"),
    ("undefined alias", "quote a value that begins with `*`"),
    ("another document", "keep one document, without `---` in between"),
)


def _load(text: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    reader = YAML(typ="rt")
    reader.allow_duplicate_keys = False
    try:
        return reader.load(io.StringIO(text))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        problem = str(error.problem or "").strip()
        if type(error).__name__ == "DuplicateKeyError":
            found = re.search(r'key "?([^"\s]+)"?', problem)
            raise RepositoryFileError(
                f"honk.yaml, line {line}: the key `{found[1] if found else '?'}` is there twice; keep one."
            ) from error
        remedy = next((remedy for said, remedy in _REMEDIES if said in problem), problem)
        raise RepositoryFileError(f"honk.yaml, line {line}: this is not YAML; {remedy}.") from error
    except RecursionError as error:
        raise RepositoryFileError("honk.yaml, line 1: this is nested too deep; keep it plain.") from error
    except (YAMLError, ValueError) as error:
        told = next(iter(str(error).strip().splitlines()), "it cannot be read")
        raise RepositoryFileError(f"honk.yaml, line 1: this is not YAML; {told}.") from error


def _count(node: Any) -> int:
    """Nodes after expansion, counted until it is clear that there are too many."""
    total, waiting = 0, [node]
    while waiting and total <= _MAX_NODES:
        total += 1
        here = waiting.pop()
        if isinstance(here, dict):
            waiting.extend(here.values())
        elif isinstance(here, list):
            waiting.extend(here)
    return total


def _plain(node: Any) -> Any:
    if isinstance(node, dict):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(value) for value in node]
    if isinstance(node, bool):
        return bool(node)
    for kind in (int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node


_WORDS = {
    "string_type": "must be text",
    "list_type": 'must be a list, such as ["a", "b"]',
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
}
_EXAMPLES = {
    "verify": "`test: npm test`",
    "builds": "`web: {run: npm run build, output: dist}`",
    "deploy": "`run: ./deploy.sh`",
    "deploy.service": "`run: npm start`",
    "deploy.health": '`url: "https://example.com/health"`',
    "merge": "`method: squash`",
    "tamper": "`test-deleted: show`",
}


def _sentence(document: Any, error: ValidationError) -> str:
    """The one sentence for what is wrong: unknown keys first, because they mostly cause the rest, then from the top."""
    found = [(fault, _place(document, fault["loc"], fault["type"])) for fault in error.errors()]
    fault, place = min(found, key=lambda one: (one[0]["type"] != "extra_forbidden", _line(document, one[1])))
    key = ".".join(str(part) for part in place)
    start = f"honk.yaml, line {_line(document, place)}:"
    if fault["type"] == "extra_forbidden":
        allowed = _allowed(place[:-1])
        near = difflib.get_close_matches(str(place[-1]), allowed, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"possible are {', '.join(allowed)}."
        return f"{start} the key `{_short(key)}` is not known; {hint}"
    if fault["type"] == "missing":
        return f"{start} the key `{_short(key)}` is missing; add it."
    if fault["type"] in ("dict_type", "model_type", "model_attributes_type"):
        example = _EXAMPLES.get(key, "`run: npm run build`")
        return f"{start} `{_short(key)}` must be keys and values, such as {example}."
    told = fault["msg"].removeprefix("Value error, ").removeprefix("Input ").replace("should", "must").rstrip(".")
    return f"{start} `{_short(key)}` {_WORDS.get(fault['type'], told)}."


def _short(key: str) -> str:
    shown = key.encode("unicode_escape").decode() if any(sign in key for sign in "\r\n\t\0") else key
    return shown if len(shown) <= 80 else shown[:79] + "…"


def _place(document: Any, location: Iterable[int | str], kind: str) -> list[int | str]:
    """The keys that lead to a fault. What pydantic adds to them (the variants of a union) is no key of the document."""
    node, place = document, []
    parts = list(location)
    for part in parts:
        children = {str(key): value for key, value in node.items()} if isinstance(node, dict) else node
        if (isinstance(children, dict) and part in children) or (isinstance(children, list) and isinstance(part, int)):
            place.append(part)
            node = children[part]  # type: ignore[index]
    return [*place, parts[-1]] if kind == "missing" else place


def _line(document: Any, place: Iterable[int | str]) -> int:
    """The line (from 1) of the deepest part of `place` that is there."""
    node: Any = document
    line = 1
    for part in place:
        try:
            marks: Any = node.lc
            key = next(key for key in node if str(key) == part) if isinstance(node, dict) else part
            position = marks.key(key) if isinstance(node, dict) else marks.item(key)
            line, node = position[0] + 1, node[key]
        except (KeyError, IndexError, AttributeError, TypeError, StopIteration):
            break
    return line


def _allowed(place: Iterable[int | str]) -> list[str]:
    """The keys that may stand at a place."""
    parts = list(place)
    model: type[BaseModel] = RepositoryFile
    match parts:
        case ["builds", _]:
            model = Build
        case ["deploy"]:
            model = Deploy
        case ["deploy", "health"]:
            model = Health
        case ["deploy", "service"]:
            model = Service
        case ["preview"]:
            model = Preview
        case ["deploy", "health", "metrics", _]:
            model = Metric
        case ["judge"]:
            model = Judge
        case ["merge"]:
            model = Merge
        case ["merge", "freeze", _]:
            model = Freeze
        case ["sandbox"]:
            model = Sandboxing
        case ["verify", _]:
            model = VerifyStep
    return [field.alias or name for name, field in model.model_fields.items()]
