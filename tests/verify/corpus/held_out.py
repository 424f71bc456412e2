"""Makes the held-out logs: other people's projects, broken by chance, which nobody looked at while the distillers were made.

    python -m tests.verify.corpus.held_out [--tools FOLDER]

The sources come from pip and npm and from Go's own library. One character-sized mistake is made in a file (seeded, so it is
the same each time), and the project's own tests, compiler or linter are run. What must be told is not chosen by anybody:
it is the first failure that the tool itself reports to a machine (JUnit XML, `go test -json`), or the first line that it
marks as an error.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from tests.verify.corpus.case import Case
from tests.verify.corpus.make import HERE, install, keep, run

FOLDER = HERE / "held_out"
_OPERATORS = ((" < ", " <= "), (" + ", " - "), (" == ", " != "), (" and ", " or "), (" > ", " >= "), ("return ", "return not "), ("[0]", "[-1]"), (" not in ", " in "), (" is None", " is not None"))  # fmt: skip
_GO_OPERATORS = ((" < ", " <= "), (" + ", " - "), (" == ", " != "), (" && ", " || "), (" > ", " >= "))
_BROKEN = ((": ", "; "), ("(", "["), (";", ""), ("const ", "cnst "), ("return ", "retrun "))

Oracle = Callable[[Path, str], Sequence[str]]


@dataclass(frozen=True)
class Project:
    """`target`: a glob of the files of which one is broken. `oracle` says what must be told, from the folder after the
    run and the output."""

    name: str
    source: str
    tool: str
    command: str
    target: str
    oracle: Oracle
    operators: Sequence[tuple[str, str]] = _OPERATORS
    modules: bool = False
    seeds: int = 2


def junit(folder: Path, _: str) -> Sequence[str]:
    """The first failing test and how its message begins."""
    for case in ElementTree.parse(folder / "junit.xml").getroot().iter("testcase"):
        for child in case:
            if child.tag in ("failure", "error"):
                message = (child.get("message") or "").splitlines()[0][:60].strip()
                return [part for part in (message, (case.get("name") or "").partition("[")[0]) if part]
    return []


def go_json(folder: Path, output: str) -> Sequence[str]:
    """The first failing test, and the first thing that it said which no passing test says."""
    events = [json.loads(line) for line in (folder / "events.json").read_text().splitlines() if line.startswith("{")]
    failed = [event["Test"] for event in events if event.get("Action") == "fail" and "Test" in event]
    said = [
        event["Output"].strip() for event in events if event.get("Action") == "output" and event.get("Test") in failed
    ]
    first = next((text for text in said if re.match(r"\w+_test\.go:\d+: ", text)), "")
    return [text for text in (first[:80], failed[0].partition("/")[0] if failed else "") if text in output and text]


def unit(_: Path, output: str) -> Sequence[str]:
    """The first block below unittest's rule: what was raised, and the test."""
    found = re.search(r"^={70}\n(?:FAIL|ERROR): (\w+).*?\n-{70}\n(.*?)\n\n", output, re.MULTILINE | re.DOTALL)
    if not found:
        return []
    raised = [line for line in found[2].splitlines() if re.match(r"^[\w.]*(?:Error|Exception)\b", line)]
    return [*(raised[0][:80],) * bool(raised), found[1]]


def line(pattern: str) -> Oracle:
    """The first line of this form, without the folder that the tool put before the path."""

    def first(_: Path, output: str) -> Sequence[str]:
        plain = re.sub(r"\x1b\[[0-9;]*m", "", output).replace("/workspace/", "")
        found = re.search(pattern, plain, re.MULTILINE)
        return [group[:80].strip() for group in found.groups() if group] if found else []

    return first


PYTEST = "python -m pytest -p no:cacheprovider --junitxml=junit.xml"
FLAGS = ("", " -v", " -q --tb=short", " -vv -n 2", " -v --tb=native", " -ra --color=yes")


def pytests(name: str, target: str, where: str) -> list[Project]:
    return [
        Project(f"{name}{number}", name, "pytest", f"PYTHONPATH=src:. {PYTEST}{flags} {where}", target, junit, seeds=1)
        for number, flags in enumerate(FLAGS)
    ]


PROJECTS: Sequence[Project] = (
    *pytests("boltons", "boltons/*.py", "tests"),
    *pytests("click", "src/click/[cfpt]*.py", "tests/test_basic.py tests/test_options.py tests/test_formatting.py"),
    Project("markdown", "markdown", "unittest", "python -m unittest discover -v tests", "markdown/*.py", unit, seeds=3),
    Project("markdown-mypy", "markdown", "mypy", "mypy --strict --cache-dir=/dev/null markdown", "markdown/core.py", line(r"^(\S+:\d+: error: .*)$")),
    Project("boltons-pylint", "boltons", "pylint", "pylint boltons", "boltons/dictutils.py", line(r"^\S+:\d+:\d+: [EF]\d+: (.*?) \(")),
    Project("click-ruff", "click", "ruff", "ruff check --no-cache --isolated --select ALL src", "src/click/core.py", line(r"^([A-Z]+\d+) .*\n +--> (\S+)$")),
    Project("click-flake8", "click", "flake8", "flake8 --isolated src", "src/click/core.py", line(r"^(\S+:\d+:\d+: [A-Z]\d+ .*)$")),
    Project("jinja-pyright", "jinja2", "pyright", "pyright src/jinja2", "src/jinja2/lexer.py", line(r"^  (\S+:\d+:\d+ - error: .*)$")),
    Project("networkx-syntax", "networkx", "pytest", f"{PYTEST} -v networkx/algorithms/shortest_paths", "networkx/classes/*.py", line(r"^E +(\w*Error: .*)$"), _BROKEN),
    Project("zod", "zod", "npm test", "npx vitest run --root . --reporter=verbose src/v3/tests/o src/v3/tests/s", "src/v3/types.ts", line(r"^ FAIL  (src\S+) > .*\n(\w*Error: .*)$"), _GO_OPERATORS, modules=True, seeds=3),
    Project("zod-quiet", "zod", "npm test", "npx vitest run --root . src/v4/classic/tests/o", "src/v4/core/util.ts", line(r"^ FAIL  (src\S+) > .*\n(\w*Error: .*)$"), _GO_OPERATORS, modules=True),
    Project("rxjs-tsc", "rxjs", "npm types", "tsc --noEmit --pretty false --target es2020 --lib es2020,dom --types estree src/index.ts", "src/internal/*.ts", line(r"^(\S+\(\d+,\d+\): error TS\d+: .*)$"), _BROKEN, modules=True),
    Project("rxjs-pretty", "rxjs", "npm types", "tsc --noEmit --pretty --strict --target es2020 --lib es2020,dom --types estree src/index.ts", "src/internal/operators/*.ts", line(r"^(\S+:\d+:\d+) - error (TS\d+: .*)$"), _BROKEN, modules=True),
    Project("rxjs-biome", "rxjs", "npm lint", "biome lint --max-diagnostics=200 src", "src/internal/*.ts", line(r"^(\S+:\d+:\d+) (lint/\S+|parse)"), _BROKEN, modules=True, seeds=1),
    Project("rxjs-esbuild", "rxjs", "npm build", "esbuild src/index.ts --bundle --outdir=out", "src/internal/operators/m*.ts", line(r"\[ERROR\] (.*)\n\n    (\S+:\d+:\d+)"), _BROKEN, modules=True),
    Project("qs", "qs", "npm test", "node test/parse.js; node test/stringify.js | tee /tmp/out; ! grep -q '^not ok' /tmp/out", "lib/stringify.js", line(r"^not ok \d+ (.*)$"), (("===", "!=="), ("&&", "||"), ("+ ", "- ")), modules=True),
    *(Project(f"go-{name.replace('/', '-')}", f"go:{name}", "go test", f"go test -json . > events.json; go test{flags} .", "[!_]*.go", go_json, _GO_OPERATORS) for name, flags in (("container/list", " -v"), ("text/tabwriter", ""), ("encoding/csv", " -v"), ("html", " -v"), ("path", ""), ("text/scanner", " -v"), ("bufio", " -v"), ("container/heap", " -json"))),
    Project("go-broken", "go:text/tabwriter", "go test", "go vet .", "tabwriter.go", line(r"^(?:vet: )?(?:\./)?(\S+\.go:\d+:\d+: .*)$"), _BROKEN, seeds=2),
    *pytests("networkx", "networkx/algorithms/shortest_paths/*.py", "networkx/algorithms/shortest_paths"),
)  # fmt: skip


def fetch(source: str, downloads: Path, folder: Path) -> None:
    """The project's sources, as they were published."""
    if source.startswith("go:"):
        root = subprocess.run(["go", "env", "GOROOT"], capture_output=True, text=True, check=True).stdout.strip()
        for path in Path(root, "src", source[3:]).iterdir():
            if path.is_file():
                shutil.copy(path, folder)
        (folder / "go.mod").write_text(f"module {source[3:]}x\n\ngo 1.19\n")
        return
    archive = next((path for path in downloads.glob(f"{source}-*") if path.name[len(source) + 1].isdigit()), None)
    if archive is None:
        if source in ("zod", "rxjs", "qs", "tape"):
            subprocess.run(["npm", "pack", "-s", source], cwd=downloads, check=True)
        else:
            get = ["python3", "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", "-d", ".", source]
            subprocess.run(get, cwd=downloads, check=True)
        archive = next(downloads.glob(f"{source}-*"))
    with tarfile.open(archive) as packed:
        packed.extractall(folder.parent / "unpacked", filter="data")
    shutil.copytree(next((folder.parent / "unpacked").iterdir()), folder, dirs_exist_ok=True)


def break_it(project: Project, folder: Path, seed: int) -> str:
    """Make one mistake; says where."""
    chance = random.Random(f"{project.name}:{seed}")
    files = [
        path for path in sorted(folder.glob(project.target)) if "test" not in path.name and path.stat().st_size > 500
    ]
    chance.shuffle(files)
    for path in files:
        lines = path.read_text().split("\n")
        spots = [
            (number, old, new)
            for number, text in enumerate(lines)
            for old, new in project.operators
            if old in text
            and text.startswith((" ", "\t"))
            and not text.strip().startswith(("#", "//", "*", ">>>", '"', "'"))
        ]
        if spots:
            number, old, new = chance.choice(spots)
            lines[number] = lines[number].replace(old, new, 1)
            path.write_text("\n".join(lines))
            return f"{path.relative_to(folder)}:{number + 1}"
    raise LookupError(project.name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tools", type=Path, default=Path(tempfile.gettempdir()) / "honk-corpus-tools")
    parser.add_argument("--downloads", type=Path, default=Path(tempfile.gettempdir()) / "honk-corpus-downloads")
    parser.add_argument("names", nargs="*")
    asked = parser.parse_args()
    install(asked.tools)
    asked.downloads.mkdir(exist_ok=True)
    for project in PROJECTS:
        if asked.names and not any(name in project.name for name in asked.names):
            continue
        kept = 0
        for seed in range(5):
            if kept == project.seeds:
                break
            kept += attempt(project, seed, asked.tools, asked.downloads)


def attempt(project: Project, seed: int, tools: Path, downloads: Path) -> bool:
    """One mistake and one run; whether it failed in a way that the oracle can tell."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "project")
        folder.mkdir()
        fetch(project.source, downloads, folder)
        where = break_it(project, folder, seed)
        files = {"package.json": (folder / "package.json").read_text()} if project.modules else {}
        case = Case(f"{project.name}-{seed}", project.tool, project.command, files, ())
        try:
            code, output = run(case, tools, folder, seconds=120)
        except subprocess.TimeoutExpired:
            print(f"{case.name}: does not end ({where})")
            return False
        try:
            must = project.oracle(folder, output) if code else []
        except (OSError, ElementTree.ParseError):
            must = []
        if not must or len(output) > 3_000_000:
            print(f"{case.name}: nothing to tell ({where})")
            return False
        keep(Case(case.name, case.tool, case.command, {}, must), output, folder, FOLDER)
        print(f"{case.name}: {len(output):,} characters ({where})")
        return True


if __name__ == "__main__":
    main()
