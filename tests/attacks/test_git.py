"""What git could be made to run: by an agent in its workspace, and by the repository that a person names."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import processes
from tests.conftest import PERSON, git

HOOKS = (
    *("applypatch-msg", "pre-applypatch", "post-applypatch", "pre-commit", "pre-merge-commit", "prepare-commit-msg"),
    *("commit-msg", "post-commit", "pre-rebase", "post-checkout", "post-merge", "pre-push", "pre-receive", "update"),
    *("proc-receive", "post-receive", "post-update", "reference-transaction", "push-to-checkout", "pre-auto-gc"),
    *("post-rewrite", "sendemail-validate", "fsmonitor-watchman", "post-index-change"),
)


@dataclass(frozen=True)
class Trap:
    """A setting that has git run something; `RUN` stands for a shell command that says that it ran."""

    name: str
    settings: Mapping[str, str]
    springs: bool = False
    """It goes off at what an agent's own git does inside: so the trap is a good one."""


TRAPS = (
    Trap("hooks of every name", {}, springs=True),
    Trap("a folder of hooks in the tree", {}),
    Trap("a watcher of the file system", {"core.fsmonitor": "RUN; false"}, springs=True),
    Trap("a program for ssh", {"core.sshCommand": "RUN"}),
    Trap("a program for all diffs", {"diff.external": "RUN"}, springs=True),
    Trap("a program for the diff of one kind of file", {"diff.own.command": "RUN"}, springs=True),
    Trap("a converter of files to text", {"diff.words.textconv": "RUN; cat"}, springs=True),
    Trap("a filter for what is added", {"filter.in.clean": "RUN; cat"}, springs=True),
    Trap("a filter for what is checked out", {"filter.out.smudge": "RUN; cat"}, springs=True),
    Trap("a filter that stays", {"filter.stays.process": "RUN", "filter.stays.required": "false"}, springs=True),
    Trap("a driver for merges", {"merge.own.driver": "RUN; false"}, springs=True),
    Trap("a pager", {"core.pager": "RUN; cat", "pager.diff": "RUN; cat", "pager.log": "RUN; cat"}),
    Trap("an editor", {"core.editor": "RUN", "sequence.editor": "RUN"}),
    Trap("a program that signs", {"gpg.program": "RUN", "gpg.ssh.program": "RUN", "gpg.ssh.defaultKeyCommand": "RUN"}),
    Trap("a helper for passwords", {"credential.helper": "!RUN"}),
    Trap("a program that asks for passwords", {"core.askPass": "RUN"}),
    Trap("other names for git's commands", {f"alias.{name}": "!RUN" for name in ("fetch", "diff", "status", "log")}),
    INCLUDED := Trap("a file of settings outside of .git", {"include.path": "../included"}, springs=True),
    HERE := Trap("settings for this folder alone", {"includeIf.gitdir:/.path": "../included-here"}, springs=True),
    Trap("a lister of what is borrowed", {"core.alternateRefsCommand": "RUN"}),
    Trap("a packer of what is fetched", {"uploadpack.packObjectsHook": "RUN; false"}),
    Trap("programs at the other end", {"remote.origin.uploadpack": "RUN", "remote.origin.receivepack": "RUN"}),
    Trap(
        "addresses that are commands",
        {"protocol.ext.allow": "always", "url.ext::sh -c RUN.insteadOf": "/", "remote.origin.url": "ext::sh -c RUN"},
    ),
    Trap("a proxy that is a command", {"core.gitProxy": "RUN", "remote.origin.proxy": "RUN"}),
    Trap("a command for trailers", {"trailer.assisted-by.command": "RUN", "trailer.own.cmd": "RUN"}),
    Trap("a command for submodules", {"submodule.library.update": "!RUN", "submodule.library.path": "library"}),
    Trap("a command for archives", {"tar.tar.command": "RUN", "tar.tgz.command": "RUN"}),
)
ATTRIBUTES = """\
*.own diff=own merge=own
*.words diff=words
*.in filter=in
*.out filter=out
*.included diff=included
*.included-here diff=included-here
"""
KINDS = ("own", "words", "in", "out", "stays", "included", "included-here")


def mark(trap: Trap) -> str:
    return re.sub(r"\W+", "-", trap.name)


def lay(git_dir: Path | str, outside: Path) -> str:
    """A shell script that lays all the traps in a git directory."""
    lines = [f"mkdir -p {git_dir}/hooks {git_dir}/../.armed {git_dir}/../other-hooks"]

    def run(trap: Trap) -> str:
        # Inside there is no such folder outside, so it is noted in the tree.
        return f"touch {outside}/{mark(trap)} 2>/dev/null || touch /workspace/.armed/{mark(trap)}"

    for folder, trap in ((f"{git_dir}/hooks", TRAPS[0]), (f"{git_dir}/../other-hooks", TRAPS[1])):
        lines.append(f"cat > {folder}/any <<'END'\n#!/bin/sh\n{run(trap)}\nEND\nchmod +x {folder}/any")
        lines += [f"ln -sf any {folder}/{hook}" for hook in HOOKS]
    for trap in TRAPS:
        for setting, value in trap.settings.items():
            key, text = (part.replace("RUN", run(trap)) for part in (setting, value))
            lines.append(f"git config -f {git_dir}/config --add '{key}' '{text}'")
    for name, trap in (("included", INCLUDED), ("included-here", HERE)):
        lines.append(f"git config -f {git_dir}/../{name} diff.{name}.textconv '{run(trap)}; cat'")
    return "\n".join(lines)


def run_honk(*arguments: str, person: Path, **environment: str) -> str:
    given = {"PATH": os.environ["PATH"], "HOME": str(person), "HONK_HOME": str(person.parent / "honk")}
    done = processes.run(["-m", "honk", *arguments], environment=given | {"HONK_SCREENSHOTS": "false"} | environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@dataclass(frozen=True)
class Sprung:
    """What went off outside of a sandbox, and inside."""

    outside: set[str]
    inside: set[str]


FILES = {
    "a.txt": "one\n",
    **{f"file.{kind}": "one\n" for kind in KINDS},
    ".gitattributes": ATTRIBUTES,
    "honk.yaml": "verify: {test: 'git status --porcelain; git diff; true'}\n",
}


def a_repository(folder: Path) -> Path:
    folder.mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "First")
    return folder


PLAY = """
exec >/dev/null 2>&1
for kind in own words in out included included-here; do echo two >> file.$kind; done
git status; git diff file.in file.own; git log -p file.words; git diff --no-ext-diff file.inc*
git add file.own file.in; git commit -m two file.own
git checkout -f -b side HEAD~1; echo three > file.own; git commit -m three file.own
git merge honk/change; git reset --hard honk/change
echo two >> a.txt; echo two >> file.stays; echo '*.stays filter=stays' >> .gitattributes; git add file.stays; true
"""
"""What an agent does with git inside; the filter that stays comes last, because git gives up over it."""


@pytest.fixture(scope="module")
def by_an_agent(can_sandbox: None, tmp_path_factory: pytest.TempPathFactory) -> Sprung:
    """A whole task, merged into the person's own checkout, whose agent laid the traps and set them off inside."""
    base = tmp_path_factory.mktemp("by-an-agent")
    outside, person = base / "outside", base / "person"
    outside.mkdir()
    person.mkdir()
    repo = a_repository(base / "project")
    told = run_honk(
        *("run", "Change it", "--repo", str(repo), "--agent", f"script:{lay('.git', outside)}\n{PLAY}"),
        *("--merge", "--json"),
        person=person,
    )
    task = json.loads(told)
    assert task["state"] == "merged", task
    run_honk("task", "show", task["id"], "--diff", person=person)
    inside = git(repo, "ls-tree", "--name-only", "main", ".armed/").split()
    return Sprung({path.name for path in outside.iterdir()}, {Path(name).name for name in inside})


@pytest.fixture(scope="module")
def by_a_repository(can_sandbox: None, tmp_path_factory: pytest.TempPathFactory) -> Sprung:
    """A task, looked at and not merged, on a repository in whose own git directory the traps lie."""
    base = tmp_path_factory.mktemp("by-a-repository")
    outside, person = base / "outside", base / "person"
    outside.mkdir()
    person.mkdir()
    repo = a_repository(base / "project")
    shell(lay(repo / ".git", outside), repo)
    (repo / ".git" / "info" / "attributes").write_text("*.stays filter=stays\n")
    told = run_honk(
        "run", "Change it", "--repo", str(repo), "--agent", "script:echo more >> a.txt", "--json", person=person
    )
    run_honk("task", "show", json.loads(told)["id"], "--diff", person=person)
    return Sprung({path.name for path in outside.iterdir()}, set())


def shell(script: str, folder: Path) -> None:
    subprocess.run(["sh", "-c", script], cwd=folder, env=os.environ | PERSON, check=True)


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.name)
def test_it_does_not_run_outside_when_an_agent_leaves_it(by_an_agent: Sprung, trap: Trap) -> None:
    assert mark(trap) not in by_an_agent.outside


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.name)
def test_it_does_not_run_when_a_repository_brings_it(by_a_repository: Sprung, trap: Trap) -> None:
    assert mark(trap) not in by_a_repository.outside


@pytest.mark.parametrize("trap", [trap for trap in TRAPS if trap.springs], ids=lambda trap: trap.name)
def test_it_runs_inside_where_the_agent_uses_git(by_an_agent: Sprung, trap: Trap) -> None:
    assert mark(trap) in by_an_agent.inside
