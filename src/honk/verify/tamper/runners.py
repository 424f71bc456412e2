"""Which files test runners take for tests, by their settings; each as its own documentation has it."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from honk.verify.tamper.globs import glob, regular

Told = Mapping[str, Sequence[str]]
"""Settings by name, without what they are nested in."""
Takes = Callable[[Told, str], bool]
"""Whether a file, by its path from the settings' folder, holds tests for the runner."""


@dataclass(frozen=True)
class Runner:
    """A test runner, and where its settings are."""

    name: str
    sources: Sequence[tuple[str, str]]
    """File names (an expression) and what its settings begin with there, those that are preferred first."""
    takes: Takes
    positive: Sequence[str]
    """Settings that say where tests are."""
    negative: Sequence[str]
    """Settings that leave some out."""
    narrowing: Mapping[str, str]
    """Settings that leave tests out, or let a run without any pass, whatever they are set to but `off`; and why."""
    exclusive: bool = True
    """Whether a file that is preferred is read alone."""
    off: Sequence[str] = ("", "false", "null", "undefined", "none", "0", "[]")
    javascript: bool = True


def _pytest(told: Told, path: str) -> bool:
    *folders, name = path.split("/")
    files = _words(told, "python_files") or ["test_*.py", "*_test.py"]
    if not path.endswith(".py") or not any(
        fnmatchcase(path, f"*{pattern}") if "/" in pattern else fnmatchcase(name, pattern) for pattern in files
    ):
        return False
    places = [posixpath.normpath(one) for one in _words(told, "testpaths")]
    above = ["/".join(path.split("/")[:end]) for end in range(1, path.count("/") + 2)]
    within = next((one for one in above for place in places if fnmatchcase(one, place)), None)
    if places and within is None and "." not in places:
        return False
    left = _words(told, "norecursedirs") or ["*.egg", ".*", "_darcs", "build", "CVS", "dist", "node_modules", "venv"]
    below = folders[within.count("/") + 1 :] if within and places else folders
    return not any(
        fnmatchcase(one, pattern) or ("/" in pattern and fnmatchcase("/".join(folders[: at + 1]), pattern))
        for at, one in enumerate(below)
        for pattern in left
    )


def _words(told: Told, name: str) -> list[str]:
    return [word for item in told.get(name, ()) for word in item.split()]


def _jest(told: Told, path: str) -> bool:
    root = posixpath.normpath(next(iter(told.get("rootDir", ())), ".").replace("<rootDir>", "."))
    if not _below(path, root):
        return False
    path = posixpath.relpath(path, root)
    roots = [one.replace("<rootDir>", ".").lstrip("/") or "." for one in told.get("roots", ())]
    if roots and not any(_below(path, posixpath.normpath(one)) for one in roots):
        return False
    ignored = told.get("testPathIgnorePatterns", ["/node_modules/"])
    if any(_found(pattern, path) for pattern in ignored):
        return False
    if told.get("testRegex"):
        return any(_found(pattern, path) for pattern in told["testRegex"])
    usual = ["**/__tests__/**/*.?([mc])[jt]s?(x)", "**/?(*.)+(spec|test).?([mc])[jt]s?(x)"]
    return _listed(told.get("testMatch") or usual, path)


def _found(pattern: str, path: str) -> bool:
    shape = regular(pattern.replace("<rootDir>", "^").replace("\\\\", "\\"))
    return shape is not None and bool(shape.search("/" + path))


def _vitest(told: Told, path: str) -> bool:
    for name in ("root", "dir"):
        place = posixpath.normpath(next(iter(told.get(name, ())), "."))
        if not _below(path, place) and re.fullmatch(r"[\w./-]+", place):
            return False
    included = told.get("include") or ["**/*.{test,spec}.?(c|m)[jt]s?(x)"]
    excluded = told.get("exclude") or ["**/node_modules/**", "**/.git/**"]
    return _listed(included, path) and not _listed(excluded, path)


def _mocha(told: Told, path: str) -> bool:
    ends = told.get("extension") or ["js", "cjs", "mjs"]
    if path.rpartition(".")[2] not in {end.lstrip(".") for end in ends} | {"ts", "js"}:
        return False
    deep = "/**" if told.get("recursive", ["false"])[0] == "true" else ""
    places = [
        one if re.search(r"[*?{]|\.\w+$", one) else f"{one.rstrip('/')}{deep}/*" for one in told.get("spec") or ["test"]
    ]
    return _listed(places, path) and not _listed([*told.get("ignore", ()), *told.get("exclude", ())], path)


def _ava(told: Told, path: str) -> bool:
    if not re.search(r"\.[cm]?[jt]s$", path) or re.search(r"(^|/)_|(^|/)(helpers?|fixtures?|node_modules)/", path):
        return False
    usual = ["test.*", "{src,source}/test.*", "**/test-*.*", "**/*.{spec,test}.*", "**/{test,tests,__tests__}/**/*"]
    given = list(told.get("files") or ())
    return _listed(given if any(one[:1] != "!" for one in given) else [*usual, *given], path)


def _listed(patterns: Sequence[str], path: str) -> bool:
    """Whether a path fits one of the patterns, and none of those with `!`. What cannot be told fits none."""
    fits = False
    for pattern in patterns:
        plain = pattern.removeprefix("!").replace("<rootDir>/", "").removeprefix("./")
        shapes = [glob(plain), glob(plain.rstrip("/") + "/**")]
        if any(shape and shape.match(path) for shape in shapes):
            if pattern.startswith("!"):
                return False
            fits = True
    return fits


def _below(path: str, folder: str) -> bool:
    return folder == "." or path.startswith(folder.rstrip("/") + "/")


_NO_TESTS = "A run that finds no tests passes now."
_BY_NAME = "Only tests whose names fit are run now."
RUNNERS = (
    Runner(
        "pytest",
        (
            (r"\.?pytest\.toml", "pytest."),
            (r"\.?pytest\.ini", "pytest."),
            (r"pyproject\.toml", "tool.pytest.ini_options."),
            (r"pyproject\.toml", "tool.pytest."),
            (r"tox\.ini", "pytest."),
            (r"setup\.cfg", "tool:pytest."),
        ),
        _pytest,
        ("testpaths", "python_files"),
        ("norecursedirs",),
        {},
        javascript=False,
    ),
    Runner(
        "jest",
        ((r"jest\.config\.\w+", ""), (r"package\.json", "jest.")),
        _jest,
        ("testMatch", "testRegex", "roots", "rootDir"),
        ("testPathIgnorePatterns",),
        {"testNamePattern": _BY_NAME, "passWithNoTests": _NO_TESTS, "onlyChanged": "Only what changed is tested now."},
    ),
    Runner(
        "vitest",
        ((r"vitest\.config\.\w+", "test."), (r"vite\.config\.\w+", "test."), (r"package\.json", "vitest.")),
        _vitest,
        ("include", "dir", "root"),
        ("exclude",),
        {
            "testNamePattern": _BY_NAME,
            "passWithNoTests": _NO_TESTS,
            "changed": "Only what changed is tested now.",
            "dangerouslyIgnoreUnhandledErrors": "Errors that no test catches are let pass now.",
        },
    ),
    Runner(
        "mocha",
        ((r"\.mocharc(\.\w+)?", ""), (r"package\.json", "mocha.")),
        _mocha,
        ("spec",),
        ("ignore", "exclude"),
        {
            **dict.fromkeys(("grep", "fgrep", "g", "f"), _BY_NAME),
            **dict.fromkeys(("invert", "i"), "What fits the names is left out now."),
            **dict.fromkeys(("dry-run", "dryRun"), "No test is run any more."),
            **dict.fromkeys(
                ("pass-on-failing-test-suite", "passOnFailingTestSuite"), "A run in which tests fail passes now."
            ),
        },
        exclusive=False,
    ),
    Runner(
        "ava",
        ((r"ava\.config\.\w+", ""), (r"package\.json", "ava.")),
        _ava,
        ("files",),
        (),
        {"match": _BY_NAME},
        exclusive=False,
    ),
)
