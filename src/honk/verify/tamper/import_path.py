"""Where Python looks for a module when a repository's checks run, as far as the repository decides it.

As CPython's documentation has it under "Initialization of the sys.path module search path" and pytest's under "pytest
import mechanisms and sys.path/PYTHONPATH".
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from honk.verify.tamper.flattening import NotFlat, Settings, flat
from honk.verify.tamper.modules import LOADED, LOADED_BY_PYTEST

_TEST_FILE = re.compile(r"(^|/)(test_[^/]*|[^/]*_test|tests?|conftest)\.py$")
_PYTHONPATH = re.compile(r"\bPYTHONPATH\b[\"']?\s*[=:]\s*[\"']?(?P<value>[^\s\"',;]+)")
_SETTINGS = re.compile(r"\.(toml|ini|cfg|ya?ml|json|mk|sh)$|akefile$|ustfile$|(^|/)noxfile\.py$|(^|/)\.env$")
_SOURCES = re.compile(
    r"^\s*(?:where|python-source|module-root|from|package[-_]dir|dev-mode-dirs)\s*=\s*(?P<value>[^\n]*)"
    r"|package_dir\s*=\s*(?P<called>\{[^}]*\})|\bfrom\s*=\s*(?P<inline>[\"'][^\"']*[\"'])",
    re.MULTILINE,
)
_QUOTED = re.compile(r"[\"']([\w./-]*)[\"']")
_STARTS_PYTHON = re.compile(
    r"\bpython[\d.]*\s+(-\w+\s+)*(-m|-c|[\w./-]+\.py)\b|\b(make|just|invoke|tox|nox|\./|sh |bash )"
)
_PYTEST = re.compile(r"^(tool\.pytest\.ini_options|tool\.pytest|tool:pytest|pytest)\.(?P<name>\w+)$")


@dataclass(frozen=True)
class ImportPath:
    """Folders by when Python looks into them, each with why; the root's is empty."""

    first: Mapping[str, str] = field(default_factory=dict)
    """Before all others, from the first import of a check's tool on."""
    told: Mapping[str, str] = field(default_factory=dict)
    """Before all others, from the moment that Python starts."""
    configured: Mapping[str, str] = field(default_factory=dict)
    """Before all others, by a setting, once pytest has been imported."""
    collected: Mapping[str, str] = field(default_factory=dict)
    """Before all others, for the tests that are there, once pytest or unittest has been imported."""
    loaded: Collection[str] = LOADED
    """What has been imported before these two come in front."""
    at_start: Mapping[str, str] = field(default_factory=dict)
    """As Python starts, perhaps after all others: what it imports by itself (`sitecustomize`) is found here."""


class _Files:
    """What detectors ask of a checkout, from texts."""

    def __init__(self, paths: Collection[str], texts: Mapping[str, str]) -> None:
        self._paths, self._texts = sorted(paths), texts

    def files(self) -> Sequence[str]:
        return self._paths

    def texts(self, paths: Collection[str], longest: int) -> Mapping[str, str]:
        return {path: self._texts[path] for path in paths if len(self._texts.get(path, " " * (longest + 1))) <= longest}


def import_path(paths: Collection[str], texts: Mapping[str, str], *, known: bool) -> ImportPath:
    """Where the checks' Python looks, by a repository's paths and the texts of its settings. Where these are not
    `known` as a whole, the root counts as the folder of the project."""
    named = _honk_steps(texts.get("honk.yaml", ""))
    projects = _projects(paths, texts) if known else [""]
    first = {} if named is not None else dict.fromkeys(projects, "the checks start Python in this folder")
    for folder, command in named or ():
        if _STARTS_PYTHON.search(command):
            first[folder] = "a check that honk.yaml names starts Python in this folder"
    told = dict(_told(texts))
    at_start = {**dict(_installed(projects, texts)), **told}
    apart = any(re.search(r"import[-_]mode[= ]+[\"']?(importlib|append)", text) for text in texts.values())
    pytest = any(path.endswith("conftest.py") for path in paths) or any(
        "pytest" in text for path, text in texts.items() if _SETTINGS.search(path) or path.endswith(".txt")
    )
    loaded = LOADED_BY_PYTEST if pytest else LOADED
    collected = {} if apart else _collected(paths, projects)
    return ImportPath(first, told, dict(_configured(texts)), collected, loaded, at_start)


def _projects(paths: Collection[str], texts: Mapping[str, str]) -> list[str]:
    # Brings in all that detects Python projects: only where it is asked for.
    from honk.verify.python import find_python
    from honk.verify.tree import Tree

    found = find_python(Tree(_Files(paths, texts)))
    folders = {member for one in found for member in (one.directory, *one.members)}
    return sorted("" if folder == "." else folder for folder in folders)


def _honk_steps(text: str) -> list[tuple[str, str]] | None:
    """Folders and commands of the checks that honk.yaml names; None where it names none."""
    try:
        told = flat("honk.yaml", text) if text else None
    except NotFlat:
        return None
    commands = {
        path.split(".")[1]: value
        for path, value in (told.values if told else {}).items()
        if re.fullmatch(r"verify\.[^.]+(\.run)?", path)
    }
    if not commands or told is None:
        return None
    steps = []
    for name, command in commands.items():
        folder = _normal(told.values.get(f"verify.{name}.directory", "."))
        for moved in re.findall(r"(?:^|&&|;|\()\s*cd\s+[\"']?([\w./-]+)", command):
            folder = _normal(posixpath.join(folder, moved))
        steps.append((folder, command))
    return steps


def _told(texts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Folders in PYTHONPATH, which is set in a file of settings."""
    for path, text in texts.items():
        for found in _PYTHONPATH.finditer(text) if _SETTINGS.search(path) else ():
            for part in found["value"].split(":"):
                plain = re.sub(r"^(\{toxinidir\}|\{tox_root\}|\$\{?(PWD|CURDIR)\}?|\$\(CURDIR\)|\$\(pwd\))/?", "", part)
                plain = plain.rstrip("}")
                if "$" not in plain and "{" not in plain and not plain.startswith("/"):
                    yield _normal(posixpath.join(posixpath.dirname(path), plain)), f"{path} puts it into PYTHONPATH"


def _installed(projects: Sequence[str], texts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Folders that an editable installation of the project adds at the end."""
    for project in projects:
        why = "the project is installed from this folder"
        told = [texts.get(posixpath.join(project, name), "") for name in ("pyproject.toml", "setup.cfg", "setup.py")]
        if not any(re.search(r"build-system|\[project\]|poetry|\[options|setup\(", text) for text in told):
            continue
        yield project, why
        for place in ("src", *(place for text in told for place in _sources(text))):
            yield _normal(posixpath.join(project, place)), why


def _sources(text: str) -> Iterator[str]:
    for found in _SOURCES.finditer(text):
        value = found["value"] or found["called"] or found["inline"] or ""
        yield from _QUOTED.findall(value)
        if re.fullmatch(r"\s*=?\s*[\w./-]+\s*", value):
            yield value.strip(" =")


def _configured(texts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Folders that pytest's setting `pythonpath` names."""
    for path, text in texts.items():
        if "pythonpath" not in text or not re.search(r"(toml|ini|cfg)$", path):
            continue
        try:
            settings = flat(path, text) or Settings()
        except NotFlat:
            continue
        everything: dict[str, Any] = {**settings.values, **settings.lists}
        for key, value in everything.items():
            found = _PYTEST.match(key)
            if found and found["name"] == "pythonpath":
                for item in value if isinstance(value, list) else shlex.split(value.replace("'", "").replace('"', "")):
                    for place in item.split():
                        folder = _normal(posixpath.join(posixpath.dirname(path), place))
                        yield folder, f"{path} names it under `pythonpath`"


def _collected(paths: Collection[str], projects: Sequence[str]) -> dict[str, str]:
    """For each file that is collected, the first folder upwards that is no package."""
    packages = {path.rpartition("/")[0] for path in paths if path.endswith("/__init__.py")}
    found: dict[str, str] = {}
    for path in paths:
        if path.endswith(".py") and _TEST_FILE.search(path) and (projects or not path.count("/")):
            folder = path.rpartition("/")[0]
            while folder in packages:
                folder = folder.rpartition("/")[0]
            found.setdefault(folder, f"it is imported from for {path}")
    return found


def _normal(path: str) -> str:
    plain = posixpath.normpath(path)
    return "" if plain == "." else plain
