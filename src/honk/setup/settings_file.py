"""`honk.toml`, changed in place: what a person wrote there stays as it is."""

from __future__ import annotations

import json
import os
import re
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path

from honk.model import UsageError


def write_settings(home: Path, values: Mapping[str, str]) -> Path:
    """Set the values in the home's `honk.toml` and return its path; only its owner can read it afterwards.

    Comments, order and all other settings stay. Raises `UsageError` if the file cannot be read or written; then it is
    as it was.
    """
    path = (home / "honk.toml").resolve()
    try:
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        known = tomllib.loads(before)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read ({error}): mend it, then run this again.") from error
    after = with_values(before, values)
    if _read(after) != {**known, **values}:
        raise UsageError(f"{path} is written in a way that cannot be changed here: set {', '.join(values)} by hand.")
    try:
        home.mkdir(parents=True, exist_ok=True)
        # mkstemp makes the file readable by its owner alone.
        handle, draft = tempfile.mkstemp(dir=path.parent, prefix=".honk.toml-")
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(after)
            file.flush()
            os.fsync(file.fileno())
        Path(draft).replace(path)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written ({error.strerror}): see to its folder, then run this again."
        ) from None
    return path


def _read(text: str) -> dict[str, object] | None:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None


def with_values(text: str, values: Mapping[str, str]) -> str:
    """The TOML text with top-level strings set: in place where they are, else before the first table."""
    rest = dict(values)
    written: list[str] = []
    lines = text.splitlines(keepends=True)
    at = 0
    while at < len(lines) and not re.match(r"\s*\[", lines[at]):
        end = _statement_end(lines, at)
        statement = "".join(lines[at:end])
        name = re.match(r"\s*([\w-]+)\s*=", statement)
        if name and name[1] in rest:
            statement = _assigned(name[1], rest.pop(name[1])) + _comment(statement) + "\n"
        written.append(statement)
        at = end
    if rest:
        new = "".join(_assigned(name, value) + "\n" for name, value in rest.items())
        written.append(new if not written or written[-1].endswith("\n") else "\n" + new)
        if at < len(lines):
            written.append("\n")
    return "".join(written) + "".join(lines[at:])


def _statement_end(lines: list[str], start: int) -> int:
    """The line after the assignment, comment or empty line that begins at `start`."""
    for end in range(start + 1, len(lines) + 1):
        try:
            tomllib.loads("".join(lines[start:end]))
        except tomllib.TOMLDecodeError:
            continue
        return end
    return start + 1


def _comment(statement: str) -> str:
    """The comment at the end of a one-line assignment, with the space before it."""
    line = statement.rstrip("\n")
    if "\n" in line:
        return ""
    for hash_sign in re.finditer(r"\s*#", line):
        try:
            tomllib.loads(line[: hash_sign.start()])
        except tomllib.TOMLDecodeError:
            continue
        return line[hash_sign.start() :]
    return ""


def _assigned(name: str, value: str) -> str:
    if "\n" in value and "'''" not in value and not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", value):
        return f"{name} = '''\n{value}'''"
    # JSON's escapes are those of a basic string.
    return f"{name} = {json.dumps(value, ensure_ascii=False)}"
