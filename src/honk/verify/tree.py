"""A checkout as detectors look at it: which files there are, and what a few of them say."""

from __future__ import annotations

import json
import posixpath
import re
import shlex
import tomllib
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any, Protocol, runtime_checkable
from xml.etree.ElementTree import Element

from defusedxml.ElementTree import fromstring

from honk.model import Command, Completed, HonkError, Standing
from honk.verify.plan import PROBES

LONGEST_READ = 512 * 1024
"""Bytes of a file. What decides how to check a project is shorter; a longer file counts as empty."""
_READ_TOGETHER = 1_000
"""Files."""
_LONGEST_YAML = 32 * 1024
_DEEPEST_YAML = 50
_LONGEST_PATTERN = 200
"""Characters of a pattern for folders; one that is longer or has more than two `**` fits none."""
"""Beyond these, reading it takes seconds."""
# Other people's code, what tools made, and projects that only stand for some in a test or a text.
_NOT_OURS = frozenset(
    {
        *("node_modules", "bower_components", "vendor", "third_party", "third-party", "Pods", "Carthage", ".yarn"),
        *("testdata", "fixtures", "__fixtures__", "__snapshots__", "templates", "template", "cookiecutter"),
        *("examples", "example", "samples", "sample", "dist", "target", ".venv", "venv", "site-packages"),
        *("test", "tests", "__tests__", "spec"),
    }
)


@runtime_checkable
class _Runs(Protocol):
    """A `Checkout`, in which it can be asked for programs."""

    def run(self, command: Command) -> Completed: ...


class Tree:
    """A checkout's files. Texts are read once; programs are asked for once."""

    def __init__(self, checkout: Standing, markers: Collection[str] = ()) -> None:
        """`markers` are patterns of file names whose texts are likely to be asked for: they are read together.

        Where nothing can run, every program counts as there.
        """
        self._checkout = checkout
        # A name with control characters, or that is not UTF-8, cannot be told to anybody.
        self.files = tuple(path for path in checkout.files() if path.isprintable())
        self._all = frozenset(self.files)
        self._texts: dict[str, str] = {}
        self._parsed_texts: dict[str, Any] = {}
        self._present: dict[str, bool] = {}
        self._by_name: dict[str, list[str]] = {}
        self._by_folder: dict[str, list[str]] = {}
        for path in self.files:
            place, _, name = path.rpartition("/")
            self._by_name.setdefault(name, []).append(path)
            self._by_folder.setdefault(place or ".", []).append(name)
        self.read([path for path in self.named(*markers) if ours(path)])

    def __contains__(self, path: str) -> bool:
        return path in self._all

    def named(self, *patterns: str) -> list[str]:
        """The files whose own name fits one of the patterns, by path."""
        plain = [path for pattern in patterns for path in self._by_name.get(pattern, ())]
        wild = [pattern for pattern in patterns if "*" in pattern]
        names = [name for name in self._by_name if any(fnmatchcase(name, pattern) for pattern in wild)] if wild else []
        return sorted({*plain, *(path for name in names for path in self._by_name[name])})

    def read(self, paths: Iterable[str]) -> None:
        """Read these files together, which costs what one of them would."""
        wanted = [path for path in paths if path in self._all and path not in self._texts]
        for start in range(0, len(wanted), _READ_TOGETHER):
            some = wanted[start : start + _READ_TOGETHER]
            found = self._checkout.texts(some, LONGEST_READ)
            self._texts |= {path: found.get(path, "") for path in some}

    def text(self, path: str) -> str:
        """The file's text, or nothing if it is not there or too long."""
        path = posixpath.normpath(path)
        self.read([path])
        return self._texts.get(path, "").removeprefix("\ufeff")

    def first(self, directory: str, *names: str) -> str | None:
        """The path of the first of these that is there, in the folder."""
        return next((path for path in (join(directory, name) for name in names) if path in self._all), None)

    def beside(self, directory: str) -> list[str]:
        """The names of the files in the folder itself."""
        return self._by_folder.get(directory, [])

    def below(self, directory: str) -> list[str]:
        """Every file in the folder and in those below it."""
        if directory == ".":
            return list(self.files)
        return [path for path in self.files if path.startswith(directory + "/")]

    def toml(self, path: str) -> dict[str, Any]:
        """The file's table; empty where it is none."""
        found = self._parsed(path, tomllib.loads)
        return found if isinstance(found, dict) else {}

    def json(self, path: str) -> dict[str, Any] | None:
        """The file's object; None where it is none."""
        found = self._parsed(path, json.loads)
        return found if isinstance(found, dict) else None

    def yaml(self, path: str) -> dict[str, Any]:
        """The file's mapping; empty where it is none, or a very long or deep one."""
        found = self._parsed(path, _yaml)
        return found if isinstance(found, dict) else {}

    def xml(self, path: str) -> Element | None:
        """The file's outermost element, with all names' namespaces taken off; None where it is none, or where it
        declares entities of its own, by which a short text grows without end."""
        found = self._parsed(path, _xml)
        return found if isinstance(found, Element) else None

    def _parsed(self, path: str, parse: Callable[[str], Any]) -> Any:
        if path not in self._parsed_texts:
            try:
                self._parsed_texts[path] = parse(self.text(path))
            except (ValueError, SyntaxError, RecursionError):
                self._parsed_texts[path] = None
        return self._parsed_texts[path]

    def present(self, programs: Collection[str]) -> set[str]:
        """Those of the programs that a check's sandbox has."""
        asked = sorted({program for program in programs if program not in self._present})
        if asked:
            told = asked
            if isinstance(self._checkout, _Runs):
                # Where it cannot be asked, the first check will meet the same and say so.
                with suppress(HonkError):
                    told = self._checkout.run(Command(("sh", "-c", f"{probe(asked)}; true"))).output.split()
            self._present |= {program: program in told for program in asked}
        return {program for program in programs if self._present[program]}


def _yaml(text: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    if len(text) > _LONGEST_YAML or _depth(text) > _DEEPEST_YAML:
        return None
    try:
        return YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise ValueError("no YAML") from error


def _depth(text: str) -> int:
    """How deep the brackets of a text are nested."""
    depth = deepest = 0
    for found in re.finditer(r"[\[\]{}]", text):
        depth += 1 if found[0] in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _xml(text: str) -> Element:
    return fromstring(re.sub(r"\sxmlns(:\w+)?=(\"[^\"]*\"|'[^']*')", "", text))


def probe(programs: Iterable[str]) -> str:
    """A shell line that prints those of the programs that are there."""
    return "; ".join(
        f"{PROBES.get(name, f'command -v {shlex.quote(name)}')} >/dev/null 2>&1 && echo {shlex.quote(name)}"
        for name in programs
    )


def join(directory: str, name: str) -> str:
    """The path of `name` as seen from `directory`, which is `.` for the repository's own folder."""
    return posixpath.normpath(posixpath.join(directory, name))


def folder(path: str) -> str:
    """The folder that a file is in."""
    return posixpath.dirname(path) or "."


def table(told: Any, *keys: str) -> dict[str, Any]:
    """The table under these keys, one in the other; empty where it is none."""
    for key in keys:
        told = told.get(key) if isinstance(told, dict) else None
    return told if isinstance(told, dict) else {}


def texts(told: Any) -> list[str]:
    """The texts of a list; empty where it is none."""
    return [one for one in told if isinstance(one, str)] if isinstance(told, list) else []


def uncommented(text: str) -> str:
    """A text without its comments of C's kinds, in one go however many are left open."""
    first, *rest = text.split("/*")
    whole = first + "".join(part.partition("*/")[2] for part in rest)
    # Two slashes are also those of an address.
    return re.sub(r"(?<![:\"'])//[^\n]*", "", whole)


def within(path: str, directory: str) -> bool:
    """Whether a path is the folder or below it."""
    return directory in (".", path) or path.startswith(directory + "/")


def ours(path: str) -> bool:
    """False for other people's code, made files, and projects that stand for some in tests and texts."""
    return not _NOT_OURS.intersection(PurePosixPath(path).parts[:-1]) and "{{" not in path


def matching(folders: Iterable[str], patterns: Sequence[str], root: str = ".") -> set[str]:
    """The folders that one of a workspace's patterns names (`packages/*`, `apps/**`), less those that one with `!`
    does. Both are as seen from `root`."""
    found: set[str] = set()
    for pattern in patterns:
        taken, text = pattern.startswith("!"), pattern.removeprefix("!").removeprefix("./").rstrip("/")
        shape = _shape(join(root, text))
        fits = {one for one in folders if shape.fullmatch(one)}
        found = found - fits if taken else found | fits
    return found


def _shape(pattern: str) -> re.Pattern[str]:
    if len(pattern) > _LONGEST_PATTERN or pattern.count("**") > 2:
        return re.compile(r"(?!)")
    parts = []
    for part in re.split(r"(\*\*/|\*\*|\*|\?|\{[^{}]*\})", pattern):
        if part == "**/":
            parts.append("(?:[^/]+/)*")
        elif part == "**":
            parts.append(".+")
        elif part == "*":
            parts.append("[^/]*")
        elif part == "?":
            parts.append("[^/]")
        elif part.startswith("{"):
            parts.append("(?:" + "|".join(re.escape(one) for one in part[1:-1].split(",")) + ")")
        else:
            parts.append(re.escape(part))
    return re.compile("".join(parts))
