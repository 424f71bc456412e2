"""Settings of test runners that leave tests out which ran before, be they new or changed."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from honk.model import ChangedFile, Finding, Severity
from honk.verify.tamper import paths
from honk.verify.tamper.around import Sides
from honk.verify.tamper.facts import Mark
from honk.verify.tamper.flattening import NotFlat, flat, place
from honk.verify.tamper.globs import glob, regular
from honk.verify.tamper.reporting import finding
from honk.verify.tamper.runners import RUNNERS, Runner, Told

_NOT_TESTS = re.compile(
    r"(^|/)(node_modules|vendor|third_party|site-packages|\.?venv|\.git|dist|build|examples?|samples?|templates?"
    r"|benchmarks?|fixtures?|testdata)/"
)
_ASIDE = re.compile(
    r"^[\^*/.\\!]*(<rootDir>)?[/.*\\]*(node_modules|vendor|dist|build|out|lib|cjs|esm|es|coverage|target|tmp|temp|cache"
    r"|next|nuxt|output|git|idea|yarn|turbo|stryker-tmp|svn|hg|venv|env|tox|nox|egg\S*|eggs|_darcs|CVS|__pycache__"
    r"|docs?|website|fixtures?|__fixtures__|mocks?|__mocks__|examples?|templates?|types?|scripts?"
    r"|benchmarks?|e2e|cypress|playwright|storybook|stories)([-_.]?(tests?|specs?))?[*/$\\]*$|^\S*\*\.(egg|d\.ts)$|^\.\*$|^\{arch\}$"
)
"""What is left out by usual settings: what tools make, and what other tools run."""
_DEFAULTS = re.compile(r"^\.\.\.\s?(\(?\s?)?([cC]onfigDefaults|defaultExclude|defaultInclude|defaults|base)\b")
_WITH_PROJECTS = re.compile(r"(^|/)(jest\.config|vitest\.config|vite\.config|vitest\.workspace)\.\w+$")
_IN_PROJECT = re.compile(
    r"^(test\.)?projects(\[[^\]]*\])?\.(test\.)?(include|exclude|testMatch|testPathIgnorePatterns)$"
)
_SHOWN = 3


@dataclass(frozen=True)
class _Read:
    """What a runner reads of its settings in one folder."""

    path: str
    told: Told = field(default_factory=dict)


def left_out(changed: Sequence[ChangedFile], sides: Sides) -> Iterator[Finding]:
    """Findings about tests that a runner took before a change of its settings and takes no longer."""
    by_path = {path: one for one in changed if one.after != one.before for path in (one.path, one.old_path or one.path)}
    before, after = _by_folder(sides.before), _by_folder(sides.after)
    for path in sorted(path for path in by_path if _WITH_PROJECTS.search(path)):
        yield from _in_projects(path, sides)
    for runner in RUNNERS:
        names = re.compile("|".join(f"(?:{name})" for name, _ in runner.sources))
        touched = {path.rpartition("/")[0] for path in by_path if names.fullmatch(path.rpartition("/")[2])}
        for folder in sorted(touched):
            old, new = (_read(runner, texts.get(folder, {})) for texts in (before, after))
            if new is None and old is not None and old.path in sides.after:
                # The settings are gone and their file is not: what is usual counts.
                new = _Read(old.path)
            if new is not None and old != new:
                yield from _in_folder(runner, folder, old, new, sides, by_path)


def _in_folder(
    runner: Runner,
    folder: str,
    old: _Read | None,
    new: _Read,
    sides: Sides,
    by_path: Mapping[str, ChangedFile],
) -> Iterator[Finding]:
    if old is None and runner.javascript and _is_new(runner.name, folder, sides):
        return
    was: Told = old.told if old else {}
    if old and old.path != new.path and runner.exclusive:
        yield from _hidden(runner, old, new, sides, by_path)
    tests = [path for path in _around(runner, folder, sides) if runner.takes(was, path)]
    lost = [path for path in tests if not runner.takes(new.told, path)]
    differing = [name for name in (*runner.positive, *runner.negative) if was.get(name) != new.told.get(name)]
    text = sides.after.get(new.path, "")
    if lost:
        name = next((one for one in differing if _loses(runner, was, new.told, one, lost)), (differing or [""])[0])
        shown = ", ".join(f"`{path}`" for path in lost[:_SHOWN]) + (", …" if len(lost) > _SHOWN else "")
        message = f"{runner.name} takes {shown} for tests no longer: by `{name}`."
        yield finding("checks-changed", "serious", new.path, _place(text, name, new.told), message)
    else:
        yield from _unseen(runner, was, new, differing, text, known=bool(tests))
    yield from _narrower(runner, was, new, text, none_there=sides.known and not tests)
    if runner.name == "pytest":
        yield from _names(was, new, text)


def _narrower(runner: Runner, was: Told, new: _Read, text: str, *, none_there: bool) -> Iterator[Finding]:
    """Settings that leave tests out whatever there are, or have another program run them."""
    for name, message in runner.narrowing.items():
        value = " ".join(new.told.get(name, ())).lower()
        if value not in runner.off and was.get(name) != new.told.get(name):
            if "no tests" in message and none_there:
                continue
            yield finding("checks-changed", "serious", new.path, _place(text, name, new.told), message)
    for name in ("testRunner", "runner"):
        value = " ".join(new.told.get(name, ()))
        if runner.javascript and was.get(name) != new.told.get(name) and value.startswith((".", "/", "<rootDir>")):
            message = "Another program runs the tests."
            yield finding("checks-changed", "serious", new.path, _place(text, name, new.told), message)


def _in_projects(path: str, sides: Sides) -> Iterator[Finding]:
    """What a project within the settings leaves out and none takes by name. Which usual patterns hold beside that is
    not reckoned: projects may share tests as they like."""
    old, new = (_nested(path, texts.get(path, "")) for texts in (sides.before, sides.after))
    left = [item for item in new["left"] if item not in old["left"] and not _ASIDE.match(item)]
    runner = RUNNERS[1] if "jest.config" in path else RUNNERS[2]
    if not left or _is_new(runner.name, path.rpartition("/")[0], sides):
        return
    name, negative = runner.positive[0], runner.negative[0]
    tests = [one for one in _around(runner, path.rpartition("/")[0], sides) if runner.takes({}, one)]
    lost = [
        one
        for one in tests
        if not runner.takes({negative: left}, one) and not (new["taken"] and runner.takes({name: new["taken"]}, one))
    ]
    if lost:
        message = f"A project of {runner.name}'s leaves out `{lost[0]}`, and no other names it."
        where = place(sides.after.get(path, ""), negative, left[0])
        yield finding("checks-changed", "serious", path, where, message)


def _nested(path: str, text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {"left": [], "taken": []}
    try:
        settings = flat(path, text)
    except NotFlat:
        return found
    for name, items in settings.lists.items() if settings else ():
        if _IN_PROJECT.match(name) or ("workspace" in path and name.startswith("test.") and name.count(".") == 1):
            last = name.rpartition(".")[2]
            found["left"] += items if last in {"exclude", "testPathIgnorePatterns"} else []
            found["taken"] += items if last in {"include", "testMatch"} else []
    return found


def _by_folder(texts: Mapping[str, str]) -> Mapping[str, Mapping[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for path in sorted(texts):
        found.setdefault(path.rpartition("/")[0], {})[path] = texts[path]
    return found


def _read(runner: Runner, texts: Mapping[str, str]) -> _Read | None:
    """The settings that count of a folder's: those of the file that is preferred, or of all where these are put
    together."""
    found: _Read | None = None
    for name, prefix in runner.sources:
        for path in texts:
            if not re.fullmatch(name, path.rpartition("/")[2]):
                continue
            told = _told(path, texts[path], prefix)
            # What is only for pytest counts though nothing is in it.
            if not told and not (prefix in {"pytest.", ""} and path.rpartition("/")[2] != "tox.ini"):
                continue
            if found is None:
                found = _Read(path, told)
            elif not runner.exclusive:
                found = _Read(found.path, {**told, **found.told})
    return found


def _told(path: str, text: str, prefix: str) -> dict[str, list[str]]:
    named = path if "." in path.rpartition("/")[2][1:] else f"{path}.yml"
    try:
        settings = flat(named, text)
    except NotFlat:
        return {}
    if settings is None:
        return {}
    every = {name: [value] for name, value in settings.values.items()} | settings.lists
    if prefix == "test." and any(name == "root" for name in every):
        every["test.root"] = every["root"]
    found = {name.removeprefix(prefix): value for name, value in every.items() if name.startswith(prefix)}
    # A table of its own is another's.
    return {name: value for name, value in found.items() if "." not in name and "[" not in name}


def _is_new(name: str, folder: str, sides: Sides) -> bool:
    """Whether the runner comes with this change: by the nearest package.json."""
    while True:
        path = posixpath.join(folder, "package.json")
        if path in sides.after:
            return name not in sides.before.get(path, "")
        if not folder:
            return False
        folder = folder.rpartition("/")[0]


def _around(runner: Runner, folder: str, sides: Sides) -> Iterator[str]:
    """Files that stood in the folder, as paths from there; without those of projects of their own, for pytest."""
    start = f"{folder}/" if folder else ""
    own = set() if runner.javascript else set(sides.folders("pyproject.toml", "setup.py", "pytest.ini")) - {folder}
    for path in sorted(sides.stood):
        if path.startswith(start) and not _NOT_TESTS.search(path) and not paths.is_data(path):
            parts = path.split("/")[:-1]
            if not own or not any(
                "/".join(parts[:end]) in own for end in range(1, len(parts) + 1) if end > start.count("/")
            ):
                yield path.removeprefix(start)


def _loses(runner: Runner, was: Told, now: Told, name: str, lost: Sequence[str]) -> bool:
    mixed = {**was, **({name: now[name]} if name in now else {})}
    return not all(runner.takes(mixed, path) for path in lost)


def _place(text: str, name: str, told: Told) -> Mark:
    return place(text, name, next(iter(told.get(name, ())), None))


def _unseen(
    runner: Runner, was: Told, new: _Read, differing: Sequence[str], text: str, *, known: bool
) -> Iterator[Finding]:
    """What leaves tests out if there are any, or cannot be understood."""
    for name in differing:
        added = [item for item in new.told.get(name, ()) if item not in was.get(name, ())]
        leaves = name in runner.negative
        if name == "norecursedirs":
            added = [word for item in added for word in item.split()]
        if leaves:
            odd = [item for item in added if not _ASIDE.match(item) and not _DEFAULTS.match(item)]
        elif name == "files":
            odd = [item for item in added if item.startswith("!") and not _ASIDE.match(item)]
        else:
            odd = [item for item in added if re.search(r"\.\w+$", item) and not re.search(r"[*?{(+\[]", item)]
        unclear = [item for item in odd if _unclear(new.path, name, item, text)]
        if odd and (leaves or name == "files" or not known or unclear):
            severity: Severity = "warning" if known and not unclear else "serious"
            message = f"{runner.name} leaves out what fits `{odd[0]}`, by `{name}`."
            if not leaves and name != "files":
                message = f"{runner.name} takes `{odd[0]}` for tests, by `{name}`, and nothing else is known."
            yield finding("checks-changed", severity, new.path, place(text, name, odd[0]), message)
            return


def _unclear(path: str, name: str, item: str, text: str) -> bool:
    """Whether an entry is code, or a pattern that cannot be told."""
    if re.search(r"\.[cm]?[jt]s$", path) and not re.search(rf"[\"'`/]{re.escape(item)}[\"'`/]", text):
        return not item.startswith("/")
    expression = name in {"testPathIgnorePatterns", "testRegex"}
    return (regular(item.replace("<rootDir>", "^")) if expression else glob(item.lstrip("!"))) is None


def _names(was: Told, new: _Read, text: str) -> Iterator[Finding]:
    """`python_functions` and `python_classes` that no longer take what is usually called a test."""
    for name, usual, example in (("python_functions", "test", "test_sum"), ("python_classes", "Test", "TestSum")):

        def takes(told: Told, name: str = name, usual: str = usual, example: str = example) -> bool:
            patterns = [word for item in told.get(name, [usual]) for word in item.split()]
            return any(example.startswith(one) or fnmatchcase(example, one) for one in patterns)

        if takes(was) and not takes(new.told):
            message = f"pytest takes what is called `{usual}…` for tests no longer: by `{name}`."
            yield finding("checks-changed", "serious", new.path, _place(text, name, new.told), message)


def _hidden(
    runner: Runner, old: _Read, new: _Read, sides: Sides, by_path: Mapping[str, ChangedFile]
) -> Iterator[Finding]:
    """A file of settings that stands and is read no longer, for another is preferred."""
    still = old.path in sides.after and old.path not in by_path
    gone = sorted(name for name, value in old.told.items() if new.told.get(name) != value)
    if still and gone and new.path in by_path:
        message = f"{runner.name} reads this in place of {old.path}, whose `{gone[0]}` counts no longer."
        yield finding("checks-changed", "serious", new.path, None, message)
