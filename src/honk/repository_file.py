"""`honk.yaml`: what a repository says about itself. Read from the base branch only; every key is optional."""

from __future__ import annotations

import difflib
import io
import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema

from honk.model import UsageError

MAX_BYTES = 64 * 1024
"""A larger honk.yaml is refused."""

_MAX_NODES = 5_000
_DURATION = re.compile(r"^(\d+(?:\.\d+)?)\s*(ms|s|m|h)?$")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}


class RepositoryFileError(UsageError):
    """honk.yaml is wrong; the sentence names the line and the key."""


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError("must be a duration such as 60s, 2m or 1h")
    found = _DURATION.match(str(value).strip())
    if not found:
        raise ValueError("must be a duration such as 60s, 2m or 1h")
    return float(found[1]) * _UNITS[found[2]]


Duration = Annotated[
    float,
    BeforeValidator(_seconds),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": _DURATION.pattern}, {"type": "number", "minimum": 0}]}),
]
"""Seconds; written as `60s`, `2m`, `1h` or a number of seconds."""

Line = Annotated[str, Field(min_length=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class VerifyStep(_Part):
    """One check: a shell line that is green when it ends with 0."""

    run: Line
    timeout: Duration = 600.0
    directory: str = "."


class Build(_Part):
    """One artifact: a shell line, and where it puts what it makes (a file, a folder or a glob)."""

    run: Line
    output: Line
    on: str | None = None
    """The label of the worker that can do it, such as `macos`."""
    timeout: Duration = 1800.0


class Health(_Part):
    """How a deployment is watched: every so often, for so long, that address must answer with a 2xx status."""

    url: Annotated[str, Field(pattern=r"^https?://")]
    seconds: Duration = Field(default=60.0, alias="for")
    every: Duration = 1.0


class Deploy(_Part):
    """What brings the default branch into production, and back."""

    run: Line
    rollback: Line | None = None
    health: Health | None = None
    url: str | None = None
    """Where people find the deployed version; the health address if left out."""
    timeout: Duration = 600.0


class Merge(_Part):
    """How a change lands."""

    method: Literal["squash", "merge", "rebase"] = "squash"
    approvals: Annotated[int, Field(ge=0, le=10)] = 0
    require_trial: bool = False


class RepositoryFile(_Part):
    """Everything honk.yaml can say."""

    setup: Line | None = None
    verify: dict[str, Line | VerifyStep] | None = None
    """None: found by what the repository contains. Empty: no checks."""
    protect: list[str] = Field(default_factory=list)
    builds: dict[str, Build] = Field(default_factory=dict)
    deploy: Deploy | None = None
    merge: Merge = Merge()
    egress: list[str] = Field(default_factory=list)
    max_cost_usd: Annotated[float, Field(gt=0)] | None = None
    max_turns: Annotated[int, Field(gt=0)] | None = None


def json_schema() -> dict[str, Any]:
    """The published JSON Schema of honk.yaml."""
    schema = RepositoryFile.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "honk.yaml"} | {
        name: value for name, value in schema.items() if name != "title"
    }


def parse_repository_file(text: str) -> RepositoryFile:
    """Read honk.yaml's text; empty text is an empty file.

    Raises `RepositoryFileError` with one sentence that names the line and the key.
    """
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise RepositoryFileError(
            f"honk.yaml is larger than {MAX_BYTES // 1024} kB: keep long scripts in files of their own."
        )
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
        if type(error).__name__ == "DuplicateKeyError":
            found = re.search(r'key "?([^"\s]+)"?', str(error.problem or ""))
            raise RepositoryFileError(
                f"honk.yaml, line {line}: the key `{found[1] if found else '?'}` is there twice; keep one."
            ) from error
        raise RepositoryFileError(
            f"honk.yaml, line {line}: this is not YAML ({(error.problem or '').strip()})."
        ) from error
    except (YAMLError, ValueError, RecursionError) as error:
        told = str(error).strip().splitlines()
        raise RepositoryFileError(
            f"honk.yaml, line 1: this is not YAML ({told[0] if told else 'nested too deep'})."
        ) from error


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


def _sentence(document: Any, error: ValidationError) -> str:
    first = min(error.errors(), key=lambda found: (_depth_first(found["type"]), -len(found["loc"])))
    place = [part for part in first["loc"] if _is_key(part)]
    key = ".".join(str(part) for part in place)
    line = _line(document, place)
    if first["type"] == "extra_forbidden":
        allowed = _allowed(place[:-1])
        near = difflib.get_close_matches(str(place[-1]), allowed, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"possible are {', '.join(allowed)}."
        return f"honk.yaml, line {line}: the key `{key}` is not known; {hint}"
    if first["type"] == "missing":
        return f"honk.yaml, line {line}: the key `{key}` is missing; add it."
    told = first["msg"].removeprefix("Value error, ").removeprefix("Input ").rstrip(".")
    if first["type"] == "string_pattern_mismatch":
        told = "must begin with http:// or https://"
    told = told.replace("should", "must").replace("a valid dictionary or instance of", "keys and values as for")
    return f"honk.yaml, line {line}: `{key}` {told}."


def _depth_first(kind: str) -> int:
    """Unknown keys are told first: they are mostly the cause of what else is wrong."""
    return 0 if kind == "extra_forbidden" else 1


def _is_key(part: int | str) -> bool:
    """Pydantic puts the names of union members into a place; they are no keys."""
    return not (isinstance(part, str) and (part in ("VerifyStep", "str", "constrained-str") or "[" in part))


def _line(document: Any, place: Sequence[int | str]) -> int:
    """The line (from 1) of the deepest part of `place` that is there."""
    node: Any = document
    line = 1
    for part in place:
        try:
            marks: Any = node.lc
            position = marks.key(part) if isinstance(node, dict) else marks.item(part)
            line, node = position[0] + 1, node[part]
        except (KeyError, IndexError, AttributeError, TypeError):
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
        case ["merge"]:
            model = Merge
        case ["verify", _]:
            model = VerifyStep
    return [field.alias or name for name, field in model.model_fields.items()]
