"""Configuration files as flat lists of settings, whatever they are written in."""

from __future__ import annotations

import configparser
import json
import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from tree_sitter import Node

from honk.verify.tamper.facts import Mark
from honk.verify.tamper.languages.trees import code, is_comment, parse, text_of

_FILES = re.compile(
    r"(^|/)(pyproject\.toml|setup\.cfg|tox\.ini|\.flake8|\.?pylintrc(\.toml)?|\.?mypy\.ini|\.?ruff\.toml|\.?pytest\.(ini|toml)|\.coveragerc(\.toml)?|pyrightconfig\.json"
    r"|\.bandit|bandit\.ya?ml|package\.json|\.eslintrc[^/]*|eslint\.config\.\w+|[tj]sconfig[^/]*\.json|biome\.jsonc?|\.?oxlintrc[^/]*|deno\.jsonc?|\.jshintrc|tslint\.json"
    r"|\.stylelintrc[^/]*|stylelint\.config\.\w+|\.golangci\.\w+|\.?clippy\.toml|Cargo\.toml|deny\.toml|detekt[^/]*\.ya?ml|\.swiftlint\.ya?ml|\.rubocop[^/]*\.ya?ml"
    r"|\.?codecov\.ya?ml|(jest|vitest|vite|karma|cypress|playwright|ava|wdio|nyc|c8)\.(config|conf|setup)\.\w+|vitest\.workspace\.\w+|\.mocharc[^/]*|\.nycrc[^/]*|\.c8rc[^/]*"
    r"|sonar-project\.properties|\.editorconfig|\.shellcheckrc|\.hadolint\.ya?ml|\.yamllint[^/]*|\.markdownlint[^/]*|analysis_options\.yaml|\.clang-tidy|\.pre-commit-config\.ya?ml)$"
)
_MOST = 20_000
"""Settings of one file; what has more was made by a tool."""
_DEEPEST = 40
_LARGEST = 400_000
_NAMES = ("name", "id", "repo", "uses", "module", "files", "filename", "key", "run", "stage", "task", "path")
_COMMENTS = re.compile(r"(\"(?:[^\"\\]|\\.)*\")|//[^\n]*|/\*.*?\*/", re.DOTALL)
_TRAILING = re.compile(r",(\s*[}\]])")


class NotFlat(ValueError):
    """A configuration file that could not be read; the text says why, as half a sentence."""


@dataclass
class Configured:
    """A configuration file on both sides."""

    path: str
    before: str | None
    after: str | None
    old_path: str


@dataclass
class Settings:
    """A file's settings: single values and lists of values, by their dotted path."""

    values: dict[str, str] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=dict)


def is_configuration(path: str) -> bool:
    """Whether rules are set in it."""
    return bool(_FILES.search(path))


def flat(path: str, text: str) -> Settings | None:
    """The settings of a file; None for what holds none. Raises `NotFlat`."""
    reader = _reader(path)
    if reader is None:
        return None
    if len(text) > _LARGEST:
        raise NotFlat(f"it has more than {_LARGEST:,} characters")
    try:
        return reader(text)
    except NotFlat:
        raise
    except RecursionError as error:
        raise NotFlat("it is nested too deeply") from error
    except Exception as error:
        raise NotFlat(f"it is not written as its name says ({type(error).__name__})") from error


def _reader(path: str) -> Callable[[str], Settings] | None:
    name, suffix = PurePosixPath(path).name, PurePosixPath(path).suffix.lower()
    if suffix in {".js", ".cjs", ".mjs", ".ts", ".mts", ".cts"}:
        return lambda text: _javascript(text, "typescript" if "ts" in suffix else "javascript")
    for reader, suffixes, names in _READERS:
        if suffix in suffixes or name in names:
            return reader
    return None


def _of(value: Any) -> Settings:
    found = Settings()
    _flatten("", value, found, 0)
    return found


def _flatten(path: str, value: Any, found: Settings, depth: int) -> None:
    if depth > _DEEPEST:
        raise NotFlat("it is nested too deeply")
    if len(found.values) + sum(map(len, found.lists.values())) > _MOST:
        raise NotFlat(f"it has more than {_MOST:,} settings")
    if isinstance(value, dict):
        for key, item in value.items():
            _flatten(f"{path}.{_key(key)}" if path else _key(key), item, found, depth + 1)
    elif isinstance(value, list):
        if all(isinstance(item, dict | list) for item in value) and value:
            for number, item in enumerate(value):
                _flatten(f"{path}[{_named(item, number)}]", item, found, depth + 1)
        else:
            found.lists.setdefault(path, []).extend(_text(item) for item in value)
    else:
        found.values[path] = _text(value)


def _key(key: Any) -> str:
    return "on" if key is True else str(key)


def _named(item: Any, number: int) -> str:
    if isinstance(item, dict):
        for key in _NAMES:
            if isinstance(named := item.get(key), str | int):
                return str(named).split("\n", 1)[0]
            if isinstance(named, list) and named and isinstance(named[0], str):
                return named[0]
    return str(number)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return ""
    return json.dumps(value, default=str) if isinstance(value, dict | list) else str(value)


def _json(text: str) -> Settings:
    try:
        return _of(json.loads(text))
    except ValueError:
        plain = _COMMENTS.sub(lambda found: found[1] or " ", text)
        try:
            return _of(json.loads(_TRAILING.sub(r"\1", plain)))
        except ValueError:
            return _yaml(text)


def _yaml(text: str) -> Settings:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    reader = YAML(typ="safe", pure=True)
    reader.allow_duplicate_keys = True
    try:
        documents = list(reader.load_all(text))
    except YAMLError as error:
        raise NotFlat("it is no YAML") from error
    return _of(documents[0] if len(documents) == 1 else dict(enumerate(documents)))


def _ini(text: str) -> Settings:
    reader = configparser.RawConfigParser(strict=False, allow_no_value=True, default_section="\0", interpolation=None)
    reader.optionxform = lambda optionstr: optionstr  # type: ignore[method-assign]
    if not re.match(r"\s*([#;][^\n]*\s*)*\[", text):
        text = "[root]\n" + text
    reader.read_string(text)
    found = Settings()
    for section in reader.sections():
        for key, value in reader.items(section):
            kept = "\n".join(re.sub(r"(^|\s)[#;].*$", "", line).strip() for line in (value or "").split("\n")).strip()
            if "\n" in kept or ("," in kept and not re.search(r"[()|^\\]", kept)):
                found.lists[f"{section}.{key}"] = [one for one in re.split(r"\n|,\s*", kept) if one]
            else:
                found.values[f"{section}.{key}"] = kept
    return found


def _properties(text: str) -> Settings:
    pairs = (
        line.partition("=") for line in text.split("\n") if "=" in line and not line.lstrip().startswith(("#", "!"))
    )
    return Settings({key.strip(): value.strip() for key, _, value in pairs})


def _javascript(text: str, language: str) -> Settings:
    found = Settings()
    waiting: list[tuple[Node, str]] = [(parse(language, text), "")]
    while waiting:
        node, path = waiting.pop()
        if len(found.values) > _MOST:
            raise NotFlat(f"it has more than {_MOST:,} settings")
        if node.type == "pair":
            key, value = node.child_by_field_name("key"), node.child_by_field_name("value")
            inner = f"{path}.{_unquoted(key)}".lstrip(".")
            if value is not None:
                _pair(inner, value, found, waiting)
        elif node.type == "shorthand_property_identifier":
            # A name that stands for its value, which is elsewhere.
            found.values[f"{path}.{text_of(node)}".lstrip(".")] = text_of(node)
        else:
            waiting.extend(
                (child, path)
                for child in reversed(node.children)
                if child.child_count or child.type == "shorthand_property_identifier"
            )
    return found


def _pair(path: str, value: Node, found: Settings, waiting: list[tuple[Node, str]]) -> None:
    if value.type == "object" or value.type.endswith(("function", "call_expression")):
        waiting.append((value, path))
    elif value.type == "array":
        items = [one for one in value.children if one.is_named and not is_comment(one)]
        found.lists.setdefault(path, []).extend(_unquoted(one) for one in items if one.type != "object")
        waiting.extend((one, path) for one in reversed(items) if one.type == "object")
    else:
        found.values[path] = _unquoted(value)


def _unquoted(node: Node | None) -> str:
    if node is None:
        return ""
    text = text_of(node) if node.child_count == 0 or node.type == "string" else code(node)
    return text[1:-1] if text[:1] in {"'", '"', "`"} and len(text) > 1 else text


_READERS: tuple[tuple[Callable[[str], Settings], set[str], set[str]], ...] = (
    (lambda text: _of(tomllib.loads(text)), {".toml"}, {"Pipfile"}),
    (_json, {".json", ".jsonc", ".json5"}, {".eslintrc", ".babelrc", ".nycrc", ".c8rc", ".jshintrc", ".swcrc"}),
    (_yaml, {".yml", ".yaml"}, {".clang-tidy", ".prettierrc", ".stylelintrc"}),
    (_ini, {".ini", ".cfg"}, {".flake8", ".pylintrc", "pylintrc", ".coveragerc", ".bandit", ".editorconfig"}),
    (_properties, {".properties"}, set()),
)


def changed_values(before: Settings, after: Settings) -> Iterator[tuple[str, str | None, str | None]]:
    """Single values that differ: path, before, after."""
    for path in dict.fromkeys((*before.values, *after.values)):
        old, new = before.values.get(path), after.values.get(path)
        if old != new:
            yield path, old, new


def changed_lists(before: Settings, after: Settings) -> Iterator[tuple[str, list[str], list[str]]]:
    """Lists that differ: path, what is gone from it, what is new in it."""
    for path in dict.fromkeys((*_all_lists(before), *_all_lists(after))):
        old, new = _list(before, path), _list(after, path)
        gone, added = [one for one in old if one not in new], [one for one in new if one not in old]
        if gone or added:
            yield path, gone, added


def _all_lists(settings: Settings) -> Iterator[str]:
    yield from settings.lists


def _list(settings: Settings, path: str) -> list[str]:
    if path in settings.lists:
        return settings.lists[path]
    value = settings.values.get(path)
    return re.split(r"[,\s]+", value) if value else []


def number_of(value: str | None) -> float | None:
    """A setting as a number, or None for what is none."""
    try:
        return float((value or "").strip().rstrip("%"))
    except ValueError:
        return None


def place(text: str, path: str, value: str | None) -> Mark:
    """The line that most likely holds a setting: one with its name and value, behind its section."""
    names = [part.strip("[]\"'") for part in re.split(r"[.\[\]]", path) if part]
    lines = text.split("\n")
    start = 0
    for name in names[:-1]:
        start = next((at for at in range(start, len(lines)) if name in lines[at]), start)
    name = names[-1] if names else ""
    wanted = (value or "").split("\n", 1)[0]
    order = (*range(start, len(lines)), *range(start))
    both = (at for at in order if name in lines[at] and wanted and wanted in lines[at])
    alone = (at for at in order if len(wanted) > 2 and wanted in lines[at])
    named = (at for at in order if name in lines[at])
    found = next((at for places in (both, alone, named) for at in places), None)
    return Mark(found + 1, lines[found].strip()) if found is not None else Mark(0, "")
