"""Sets of cases in files, read and written: JSON Lines, one case a line, or JSON, one case a file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from honk.evals.case import FORMAT, Case
from honk.model import UsageError

LARGEST_FILE = 256 * 1024**2
LARGEST_CASE = 16 * 1024**2
"""Bytes."""


def read_cases(path: Path) -> list[Case]:
    """The cases of a file, or of all `.jsonl` and `.json` files of a folder in the order of their names, each with its
    base written out.

    Raises `UsageError` with one sentence that names the file and the line of the first thing that is wrong.
    """
    cases: dict[str, Case] = {}
    for file in _files(path):
        for place, text in _texts(file):
            case = _case(text, place)
            if case.id in cases:
                raise UsageError(f"{place}: there is a case with the id {case.id!r} already.")
            if isinstance(case.base, str):
                before = cases.get(case.base)
                if before is None:
                    raise UsageError(f"{place}: `base` names {case.base!r}, and no case before it has that id.")
                case = case.model_copy(update={"base": before.base})
            cases[case.id] = case
    if not cases:
        raise UsageError(f"There is no case in {path}: each line of a .jsonl file is one (docs/evals.md).")
    return list(cases.values())


def write_cases(file: Path, cases: Iterable[Case]) -> None:
    """Write cases down, one a line."""
    with file.open("w", encoding="utf-8") as lines:
        for case in cases:
            lines.write(case.model_dump_json(by_alias=True, exclude_defaults=True, exclude_none=True) + "\n")


def _files(path: Path) -> Sequence[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UsageError(f"There is no file or folder {path}.")
    found = sorted(file for file in path.rglob("*") if file.suffix in (".json", ".jsonl") and file.is_file())
    if not found:
        raise UsageError(f"There is no .jsonl or .json file in the folder {path}.")
    return found


def _texts(file: Path) -> Iterator[tuple[str, str]]:
    """Every case's text with its place."""
    size = file.stat().st_size
    if size > LARGEST_FILE:
        raise UsageError(
            f"{file} has {size // 1024**2} MB: split it into files of at most {LARGEST_FILE // 1024**2} MB."
        )
    if file.suffix != ".jsonl":
        yield f"{file}, line 1", _decoded(file.read_bytes(), f"{file}, line 1")
        return
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield f"{file}, line {number}", _decoded(line.rstrip(), f"{file}, line {number}")


def _decoded(raw: bytes, place: str) -> str:
    if len(raw) > LARGEST_CASE:
        raise UsageError(
            f"{place}: this case has {len(raw) // 1024**2} MB; at most {LARGEST_CASE // 1024**2} MB are read: "
            "keep only the files that the diff touches."
        )
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start)
        where = place if not line else f"{place.rpartition(' ')[0]} {line + 1}"
        raise UsageError(f"{where}: byte {error.start + 1} is not UTF-8: write it as `base64`.") from error


_HALF = re.compile(r"\\u[dD][89a-fA-F]")


def _is_text(value: object) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _case(text: str, place: str) -> Case:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        where = place if error.lineno == 1 else f"{place.rpartition(' ')[0]} {error.lineno}"
        raise UsageError(f"{where}: this is no JSON: {error.msg.lower()}, at column {error.colno}.") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{place}: this JSON cannot be read: it is nested too deeply, or a number is too long."
        ) from error
    if _HALF.search(text) and not _is_text(value):
        raise UsageError(f"{place}: a \\ud800 or the like is half a character: write what is no text as `base64`.")
    if not isinstance(value, dict):
        raise UsageError(f"{place}: a case is a JSON object, not a {type(value).__name__}.")
    if value.get("format", FORMAT) != FORMAT:
        raise UsageError(f"{place}: this is format {value['format']!r}, and this version of Honk reads {FORMAT}.")
    try:
        return Case.model_validate(value)
    except ValidationError as error:
        raise UsageError(f"{place}: {_first(error)}.") from error


def _first(error: ValidationError) -> str:
    # Of what was tried, what came furthest was meant.
    first = max(error.errors(), key=lambda one: len(one["loc"]))
    at = ".".join(str(part) for part in first["loc"] if part != "str" and "[" not in str(part))
    match first["type"]:
        case "missing":
            return f"the field `{at}` is missing"
        case "extra_forbidden":
            return f"there is no field `{at}`"
        case "value_error":
            told = first["msg"].removeprefix("Value error, ")
            return f"`{at}`: {told}" if at else told
        case _:
            return f"`{at}`: {first['msg'][0].lower()}{first['msg'][1:]}"
