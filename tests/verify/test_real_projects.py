"""What is found is run: with the tools of this machine, each project in its own folder, with its own set-up."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from honk.model import Check, Repository
from honk.repository_file import parse_repository_file
from honk.settings import read_settings
from honk.verify import Conditions, verify
from honk.workspace import Workspaces
from honk.workspace.overlays import overlay_refusal
from tests.conftest import Honk, git
from tests.verify.corpus.bazel import OFFLINE

pytestmark = pytest.mark.usefixtures("sandbox")

Verify = Callable[..., dict[str, Check]]


@pytest.fixture
def check(home: Path, make_repository: Callable[..., Path]) -> Verify:
    """Verifies a repository with these files, as far as a change of `changed` touches it: the results by name."""

    def run(files: dict[str, str], changed: Collection[str] | None = None) -> dict[str, Check]:
        repo = make_repository(files)
        repository = Repository("project", str(repo), str(repo), "main")
        workspaces = Workspaces(read_settings(home=home))
        with workspaces.checkout(repository, workspaces.fetch(repository)) as checkout:
            results = verify(checkout, parse_repository_file(files.get("honk.yaml", "")), changed=changed)
        return {result.name: result for result in results}

    return run


def _needs(*programs: str) -> pytest.MarkDecorator:
    missing = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not on this machine: {', '.join(missing)}")


UNITTEST = (
    "import unittest\n\nclass T(unittest.TestCase):\n    def test_sum(self):\n        self.assertEqual(1 + 1, {})\n"
)


@_needs("node", "npm", "make")
def test_projects_side_by_side_run_in_their_own_folders_and_only_if_they_are_touched(check: Verify) -> None:
    files = {
        "backend/setup.cfg": "",
        "backend/tests/__init__.py": "",
        "backend/tests/test_sum.py": UNITTEST.format(2),
        "web/package.json": json.dumps({"scripts": {"test": "node sum.js"}}),
        "web/sum.js": "require('assert').equal(2, 3)\n",
        "native/Makefile": "test:\n\t@pwd\n",
    }
    results = check(files, changed=["backend/a.py", "native/a.c"])
    assert {name: result.status for name, result in results.items()} == {
        "other projects": "skipped",
        "unittest (backend)": "passed",
        "make test (native)": "passed",
    }
    assert "Node in web" in results["other projects"].summary


@_needs("cargo", "cc")
def test_of_a_cargo_workspace_the_packages_that_a_change_touches_are_tested(check: Verify) -> None:
    crate = '[package]\nname = "{}"\nversion = "0.1.0"\nedition = "2021"\n'
    red = "#[test]\nfn fails() {\n    assert_eq!(1 + 1, 3);\n}\n"
    files = {
        "Cargo.toml": '[workspace]\nresolver = "2"\nmembers = ["crates/*"]\n',
        "crates/touched/Cargo.toml": crate.format("touched"),
        "crates/touched/src/lib.rs": red.replace("3", "2"),
        "crates/other/Cargo.toml": crate.format("other"),
        "crates/other/src/lib.rs": red,
    }
    results = check(files, changed=["crates/touched/src/lib.rs"])
    assert results["cargo test"].status == "passed", results["cargo test"].summary
    assert "--package touched" in results["cargo test"].command


@_needs("go")
def test_modules_of_a_go_workspace_see_each_other(check: Verify) -> None:
    files = {
        "go.work": "go 1.18\n\nuse (\n\t./app\n\t./lib\n)\n",
        "app/go.mod": "module example.com/app\n\ngo 1.18\n\nrequire example.com/lib v0.0.0\n",
        "app/app_test.go": 'package app\n\nimport (\n\t"testing"\n\n\t"example.com/lib"\n)\n\n'
        'func TestTwo(t  *testing.T) {\n\tif lib.Two() != 2 {\n\t\tt.Fatal("it is not two")\n\t}\n}\n',
        "lib/go.mod": "module example.com/lib\n\ngo 1.18\n",
        "lib/lib.go": "package lib\n\nfunc Two() int { return 3 }\n",
    }
    results = check(files, changed=["app/app_test.go"])
    assert {name: result.status for name, result in results.items()} == {
        "other projects": "skipped",
        "gofmt (app)": "failed",
        "go vet (app)": "passed",
        "go build (app)": "passed",
        "go test (app)": "failed",
    }
    assert "it is not two" in results["go test (app)"].summary
    assert "app_test.go" in results["gofmt (app)"].summary


@_needs("bazel")
def test_bazel_tests_what_uses_the_packages_that_a_change_touches(check: Verify) -> None:
    files = {
        **OFFLINE,
        "words/BUILD": 'genrule(name = "words", srcs = ["words.txt"], outs = ["sorted.txt"], cmd = "sort $< > $@",'
        ' visibility = ["//visibility:public"])\n',
        "words/words.txt": "b\na\n",
        "uses/BUILD": 'sh_test(name = "uses_test", srcs = ["test.sh"], data = ["//words"])\n',
        "uses/test.sh": "#!/bin/sh\ngrep -q c words/sorted.txt || { echo there is no c; exit 1; }\n",
        "other/BUILD": 'sh_test(name = "other_test", srcs = ["uses/test.sh"])\n',
    }
    result = check(files, changed=["words/words.txt"])["bazel test"]
    assert "the change touches //words" in result.why
    assert "there is no c" in result.summary
    assert "other" not in result.summary
    assert list(result.failures) == ["exit 3", "//uses:uses_test"]


def _programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **scripts: str) -> None:
    """Have programs that need no registry, in a folder the sandbox may read, and nothing but the system's besides."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name, text in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/local/bin:/usr/bin:/bin")
    monkeypatch.setenv("HONK_SANDBOX_READABLE", f'["{folder}"]')


PACKAGE = json.dumps({"scripts": {"test": "x"}, "dependencies": {"a": "1"}})


@pytest.mark.skipif(bool(shutil.which("pnpm", path="/usr/local/bin:/usr/bin:/bin")), reason="pnpm is on this machine")
def test_a_set_up_runs_in_its_project_and_what_it_brings_is_there_for_its_checks(
    check: Verify, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It brings a package manager that notes where it installs.
    npm = (
        'while [ "$1" != --prefix ]; do shift; done\nmkdir -p "$2/bin"\n'
        'printf \'#!/bin/sh\\n[ "$1" = install ] && pwd > made && exit\\ncat made\\n\' > "$2/bin/pnpm"\n'
        'chmod +x "$2/bin/pnpm"'
    )
    _programs(tmp_path, monkeypatch, npm=npm, node="")
    results = check({"web/package.json": PACKAGE, "web/pnpm-lock.yaml": ""})
    assert {name: result.status for name, result in results.items()} == {"npm test (web)": "passed"}, results


@pytest.mark.skipif(bool(shutil.which("bun", path="/usr/local/bin:/usr/bin:/bin")), reason="bun is on this machine")
def test_a_check_that_a_broken_set_up_leaves_without_its_programs_is_red(
    check: Verify, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _programs(tmp_path, monkeypatch, npm="exit 1", node="", go="exit 1", gofmt="")
    results = check(
        {
            "web/package.json": json.dumps({"scripts": {"test": "x"}, "dependencies": {"a": "1"}}),
            "web/bun.lock": "",
            "tool/go.mod": "module tool\n\nrequire example.com/a v1.0.0\n",
            "tool/.golangci.yml": "",
        }
    )
    assert results["set-up (web)"].status == "skipped"
    assert results["npm test (web)"].status == "failed"
    assert results["npm test (web)"].summary.startswith("bun is not there, because the set-up before it failed")
    assert results["npm test (web)"].failures == ("bun not set up",)
    linter = results["golangci-lint (tool)"]
    assert (linter.status, "golangci-lint.run" in linter.summary) == ("skipped", True)


def test_a_project_is_set_up_again_for_its_own_lock_file_and_its_trouble_is_its_own(
    home: Path, make_repository: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if (refusal := overlay_refusal(home)) is not None:
        pytest.skip(f"The kernel refuses overlays here: {refusal}")
    npm = (
        'if [ "$1" = ci ]; then mkdir node_modules; date +%N > node_modules/made; else cat node_modules/made; fi\n'
        "grep -q good package-lock.json"
    )
    _programs(tmp_path, monkeypatch, npm=npm, node="")
    files = {
        f"{place}/{name}": text
        for place in "ab"
        for name, text in (("package.json", PACKAGE), ("package-lock.json", "good"))
    }
    repo = make_repository(files)
    repository = Repository("project", str(repo), str(repo), "main")
    workspaces = Workspaces(read_settings(home=home))

    def run(lock: str = "good") -> tuple[dict[str, str], dict[str, Check]]:
        if lock != "good":
            (repo / "b/package-lock.json").write_text(lock)
            git(repo, "commit", "-qam", "Another")
        said: dict[str, str] = {}
        with workspaces.checkout(repository, workspaces.fetch(repository)) as checkout:
            conditions = Conditions(log=lambda name, text: said.update({name: said.get(name, "") + text}))
            results = verify(checkout, parse_repository_file(""), conditions)
        return said, {result.name: result for result in results}

    first, _ = run()
    other, results = run("good, too")
    assert [result.status for result in results.values()] == ["passed", "passed"]
    assert other["npm test (a)"] == first["npm test (a)"]
    assert other["npm test (b)"] != first["npm test (b)"]
    broken, results = run("bad")
    assert broken["npm test (a)"] == first["npm test (a)"]
    assert {name: result.status for name, result in results.items()} == {
        "set-up (b)": "skipped",
        "npm test (a)": "passed",
        "npm test (b)": "failed",
    }
    assert "The set-up before it did not work" in results["npm test (b)"].summary


@pytest.mark.parametrize(
    ("files", "name", "remedy"),
    [
        ({"a.csproj": "<Project/>"}, "dotnet build", "install the .NET SDK"),
        ({"Package.swift": ""}, "swift build", "install Swift"),
        ({"App.xcodeproj/project.pbxproj": ""}, "xcode build", "Xcode runs on a Mac only"),
        ({"WORKSPACE": ""}, "bazel test", "install Bazel from bazel.build"),
        ({"Makefile": "test:\n\tno-such-program -v\n"}, "make test", "install it here"),
    ],
)
def test_a_tool_that_is_missing_is_named_with_how_to_get_it(
    check: Verify, files: dict[str, str], name: str, remedy: str
) -> None:
    result = check(files)[name]
    if result.status != "skipped":
        pytest.skip(f"the program for {name} is on this machine")
    assert "not installed on this machine, so this was not checked" in result.summary
    assert remedy in result.summary


def test_what_would_be_checked_is_explained_without_running_it(
    honk: Honk, make_repository: Callable[..., Path]
) -> None:
    repo = make_repository(
        {
            "web/package.json": json.dumps({"scripts": {"test": "exit 1"}, "dependencies": {"a": "1"}}),
            "web/package-lock.json": "{}",
            "app/App.xcodeproj/project.pbxproj": "",
            "lib/tests/test_a.py": UNITTEST.format(3),
            "lib/setup.py": "raise SystemExit",
            "Makefile": "test:\n\texit 1\n",
        }
    )
    told = honk("verify", "--repo", str(repo), "--explain", check=0)
    words = " ".join(told.stdout.split())
    assert "npm test (web) test in web because web/package.json has the script 'test' npm run test" in words
    assert "set-up in web because web/package-lock.json is there npm ci --no-audit --no-fund" in words
    assert "xcodebuild not installed on this machine: Xcode runs on a Mac only" in words
    assert "not run: make test, because" in words
    (repo / "web" / "a.js").write_text("1\n")
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "Second")
    plan = json.loads(honk("verify", "--repo", str(repo), "--explain", "--json", "--changed-since", "HEAD~1").stdout)
    assert [(one["name"], one["kind"], one["directory"]) for one in plan["checks"]] == [
        ("npm test (web)", "test", "web")
    ]
    assert plan["untouched"] == ["Python in lib", "Xcode in app"]
    wrong = honk("verify", "--repo", str(repo), "--changed-since", "no-such-branch", check=2)
    assert "'no-such-branch' names no commit of" in wrong.stderr
