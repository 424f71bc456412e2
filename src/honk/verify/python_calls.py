"""How a Python project calls its own check tools: what it names to them is what its maintainers hold to be checked."""

from __future__ import annotations

import ast
import configparser
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from honk.verify.pre_commit import CONFIGURATION, hooks
from honk.verify.tree import Tree, join, table, texts

_RUNNERS = ("uv", "uvx", "poetry", "pdm", "hatch", "pipenv", "rye", "python", "python3", "-m", "run", "--")
"""Words that may stand in front of a tool."""
_OF_RUNNERS = re.compile(r"--?[\w-]+(=\S*)?")
_SHELL = re.compile(r"&&|\|\||[;|]")
_ASSIGNED = re.compile(r"^[ \t]*(?:export[ \t]+)?([A-Za-z_]\w*)[ \t]*[:?]?=[ \t]*(.*)$", re.MULTILINE)
_VARIABLE = re.compile(r"\$[({]?([A-Za-z_]\w*)[)}]?")
_POSITIONAL = re.compile(r"\{posargs(?::([^{}]*))?\}")
_PLAIN = re.compile(r"[\w./=,:@+-]+")
_OURS = re.compile(
    r"-q|--quiet|--diff|--check|--fix|--unsafe-fixes|--(no-)?fix-only|--exit-non-zero-on-fix|--show-fixes|--pretty|"
    r"--(no-)?color(-output)?|--colors?=\S*|--output-format=\S*|--no-cache|--install-types|--non-interactive"
)
"""Options that only say how it is told, or that change files: Honk says that itself."""
_OTHER_THAN_CHECKS = ("--version", "--help", "-h", "-V", "--watch", "-w", "--stop-on-first-error", "-", "--show-files")
_MIRRORED_MYPY = ("--ignore-missing-imports", "--scripts-are-modules")
"""What the hook of pre-commit/mirrors-mypy gives to mypy where a configuration does not say otherwise."""
_TOOLS = ("ruff", "black", "mypy", "pyright")
_MOST_LINES = 4
_LONGEST_LINE = 1_000
_SCRIPTS = ("lint", "check", "format", "typecheck", "types", "mypy", "test")


@dataclass(frozen=True)
class Call:
    """That a project calls a tool: where that stands, and the words after the tool's name, for each time; none where it
    is called in a way that cannot be taken over."""

    where: str
    words: Sequence[str] = ()


def calls(tree: Tree, place: str) -> dict[str, Call]:
    """How the project calls ruff, ruff-format, black, mypy and pyright: each as the first does that says it in words
    that can be taken over, of tox, task runners, nox, Makefiles, scripts and workflows."""
    found: dict[str, Call] = {}
    for where, text, lines in _sources(tree, place):
        variables = {name: value.strip("\"' ") for name, value in _ASSIGNED.findall(text)}
        here: dict[str, list[str]] = {}
        for part in (part for line in lines for part in _SHELL.split(line[:_LONGEST_LINE])):
            if called := _called(tree, place, part, variables):
                here.setdefault(called[0], []).extend([] if called[1] is None else [called[1]])
        for tool, said in here.items():
            if tool not in found or (said and not found[tool].words):
                found[tool] = Call(where, list(dict.fromkeys(said))[:_MOST_LINES])
    return found


def line_of(tree: Tree, place: str, tool: str, told: Mapping[str, Call], command: str, targets: str) -> tuple[str, str]:
    """The shell line that checks with a tool as the project does, and what tells so; `command` on all `targets`, and
    nothing, where nothing does."""
    if (call := told.get(tool)) and call.words:
        lines = [f"{command} {one}{'' if _has_target(tree, place, one) else f' {targets}'}" for one in call.words]
        return " && ".join(" ".join(line.split()) for line in lines), call.where
    hook = next((one for one in hooks(tree) if one.tool == tool), None) if place == "." and not call else None
    if not hook or (tool == "mypy" and not targets):
        return f"{command} {targets}".rstrip(), ""
    given = _MIRRORED_MYPY if tool == "mypy" and hook.arguments is None else hook.arguments or ()
    words = shlex.join(word for word in given if _PLAIN.fullmatch(word) and not _OURS.fullmatch(word))
    command = " ".join([command, *([words] if words else [])])
    if not (hook.files or hook.exclude):
        return f"{command} {targets}", CONFIGURATION if words else ""
    only = f" | grep -zP -- {shlex.quote(hook.files)}" if hook.files else ""
    but = f" | grep -zvP -- {shlex.quote(hook.exclude)}" if hook.exclude else ""
    return f"git ls-files -z -- '*.py' '*.pyi'{only}{but} | xargs -0 -r {command}", CONFIGURATION


def _has_target(tree: Tree, place: str, words: str) -> bool:
    """Whether the words name what is checked."""
    told = words.split()
    if any(word in ("-p", "-m", "-c", "--package", "--module", "--verifytypes", "--project") for word in told):
        return True
    return any(
        not before.startswith("--config") and _is_there(tree, place, one) for before, one in pairwise(["", *told])
    )


def _called(tree: Tree, place: str, line: str, variables: Mapping[str, str]) -> tuple[str, str | None] | None:
    """The tool that a part of a line calls, and the words after it."""
    line = _POSITIONAL.sub(lambda found: found[1] or "", line.strip().lstrip("@-+ "))
    line = re.sub(r"\{toxinidir\}/?|\{tox_root\}/?|\{envpython\}", "", line)
    line = _VARIABLE.sub(lambda found: variables.get(found[1], found[0]), line)
    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        return None
    while words and re.fullmatch(r"\w+=\S*", words[0]):
        words = words[1:]
    start = next((number for number, word in enumerate(words) if word in _TOOLS), None)
    if start is None or (start and not _only_a_runner(words[:start])):
        return None
    tool, rest = words[start], words[start + 1 :]
    if tool == "ruff":
        if not rest or rest[0] not in ("check", "format"):
            return None
        tool, rest = ("ruff" if rest[0] == "check" else "ruff-format"), rest[1:]
    if any(word in _OTHER_THAN_CHECKS for word in rest):
        return None
    return tool, _taken_over(tree, place, rest)


def _only_a_runner(words: Sequence[str]) -> bool:
    """Whether what stands in front of a tool only runs it somewhere: `uv run --group dev`."""
    first = words[0] in _RUNNERS or words[0] == "-m" or "python" in words[0].lower()
    valued = [*words[:1], *words]
    return first and all(
        word in _RUNNERS or _OF_RUNNERS.fullmatch(word) or before.startswith("--") or number == 0
        for number, (before, word) in enumerate(zip(valued, words, strict=False))
    )


def _taken_over(tree: Tree, place: str, words: Sequence[str]) -> str | None:
    """The words, if they are plain: options, what these are given, and what is there."""
    kept: list[str] = []
    skipped = False
    for before, word in zip(["", *words], words, strict=False):
        if skipped:
            skipped = False
        elif word in ("--output-format", "--color", "--colors"):
            skipped = True
        elif not _OURS.fullmatch(word):
            if not _PLAIN.fullmatch(word):
                return None
            if not word.startswith("-") and not before.startswith("-") and not _is_there(tree, place, word):
                return None
            kept.append(word)
    return shlex.join(kept)


def _is_there(tree: Tree, place: str, word: str) -> bool:
    path = join(place, word)
    return word in (".", "./") or path in tree or bool(tree.below(path))


def _sources(tree: Tree, place: str) -> Iterator[tuple[str, str, list[str]]]:
    """Where commands stand: the file, its text, and the lines."""
    path = join(place, "tox.ini")
    if path in tree:
        yield path, "", list(_tox_lines(tree.text(path)))
    path = join(place, "pyproject.toml")
    tools = table(tree.toml(path), "tool")
    yield path, "", [*_words(table(tools, "tox")), *_task_lines(tools)]
    path = join(place, "noxfile.py")
    if path in tree:
        yield path, "", list(_nox_lines(tree.text(path)))
    makefiles = [join(place, name) for name in ("GNUmakefile", "makefile", "Makefile", "justfile", "Justfile")]
    scripts = [join(place, f"{one}{name}{end}") for one in ("scripts/", "") for name in _SCRIPTS for end in ("", ".sh")]
    for path in (one for one in (*makefiles, *scripts) if one in tree):
        text = tree.text(path).replace("\\\n", " ")
        # Of a Makefile only what is run.
        yield path, text, [line for line in text.splitlines() if path in scripts or line[:1] in (" ", "\t")]
    for path in tree.below(".github/workflows") if place == "." else ():
        yield path, "", list(_workflow_lines(tree.yaml(path)))


def _workflow_lines(told: Mapping[str, Any]) -> Iterator[str]:
    for job in table(told, "jobs").values():
        steps = job.get("steps") if isinstance(job, dict) else None
        for step in steps if isinstance(steps, list) else ():
            if isinstance(step, dict) and isinstance(step.get("run"), str) and "working-directory" not in step:
                yield from step["run"].replace("\\\n", " ").splitlines()


def _tox_lines(text: str) -> Iterator[str]:
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(text)
    except configparser.Error:
        return
    for section in parser.sections():
        if section.startswith("testenv"):
            lines = parser.get(section, "commands", fallback="").replace("\\\n", " ").splitlines()
            # A command may be for some environments only: `lint: ruff check src`.
            yield from (re.sub(r"^[\w,{}.!-]+:\s+", "", line.strip()) for line in lines)


def _words(told: Mapping[str, Any]) -> Iterator[str]:
    """The lines of tox's table: lists of lists of words under `commands`."""
    waiting = [told]
    while waiting:
        for name, value in waiting.pop().items():
            if name == "commands" and isinstance(value, list):
                yield from (shlex.join(texts(line)) for line in value if texts(line) == line)
            elif isinstance(value, dict):
                waiting.append(value)


def _task_lines(tools: Mapping[str, Any]) -> Iterator[str]:
    """What Hatch's scripts, PDM's, Poe's and Taskipy's tasks run."""
    environments = table(tools, "hatch", "envs")
    waiting: list[Any] = [line for name in environments for line in table(environments, name, "scripts").values()]
    for tasks in (("pdm", "scripts"), ("poe", "tasks"), ("taskipy", "tasks")):
        waiting += table(tools, *tasks).values()
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, str):
            yield re.sub(r"\{args(:[^{}]*)?\}", r"{posargs\1}", one)
        elif isinstance(one, dict):
            waiting += [one[name] for name in ("cmd", "shell", "sequence", "composite") if name in one]
        elif isinstance(one, list):
            waiting += one


def _nox_lines(text: str) -> Iterator[str]:
    """What sessions run, where it is written out: `session.run("mypy", "src")`."""
    try:
        parsed = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in ast.walk(parsed):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "run":
            words = [
                one.value if isinstance(one, ast.Constant) and isinstance(one.value, str) else "$" for one in node.args
            ]
            yield shlex.join(words)
