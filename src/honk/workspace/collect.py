"""Runs inside a sandbox: `collect.py WORK_TREE GIT_DIR PARENT OUT`, with the commit's facts in the environment.

Commits the work tree as it is on top of PARENT and bundles what is new to OUT/bundle; prints a JSON object with the
commit's and the tree's sha. Only the tree's files are looked at, through a git directory of Honk's own: whatever the
tree's own git directory says, or lacks, plays no part. Uses the standard library only.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

Environment = Mapping[str, str]
SEED = "/honk/index"
"""The index of the tree that the work tree is a layer over, which nobody in a sandbox could write."""


def git(environment: Environment, *arguments: str) -> bytes:
    done = subprocess.run(
        ["git", *arguments], env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if done.returncode:
        sys.exit(done.stderr.decode("utf-8", "replace").strip() or f"git {arguments[0]} failed")
    return done.stdout


def nested_repositories(environment: Environment) -> list[str]:
    """Folders that are repositories of their own and no submodules of the parent commit."""
    names = git(environment, "ls-files", "--others", "--exclude-standard", "-z")
    return [os.fsdecode(name).rstrip("/") for name in names.split(b"\0") if name.endswith(b"/")]


def stage(environment: Environment, work_tree: str) -> str:
    """Stage everything below `work_tree` and return the tree's sha; nested repositories become plain folders."""
    environment = {**environment, "GIT_WORK_TREE": work_tree}
    os.chdir(work_tree)
    nested = nested_repositories(environment)
    excluded = [f":(top,exclude,literal){name}" for name in nested]
    git(environment, "add", "--all", "--", ".", *excluded)
    for name in nested:
        index = f"{environment['GIT_INDEX_FILE']}.nested"
        inner = stage({**environment, "GIT_INDEX_FILE": index}, f"{work_tree}/{name}")
        Path(index).unlink()
        os.chdir(work_tree)
        git(environment, "rm", "-r", "-f", "--quiet", "--cached", "--ignore-unmatch", "--", f":(top,literal){name}")
        if git(environment, "ls-tree", inner):
            git(environment, "read-tree", f"--prefix={name}/", inner)
    return git(environment, "write-tree").decode().strip()


def main(work_tree: str, git_dir: str, parent: str, out: str) -> None:
    index = f"{git_dir}/honk-index"
    environment = {**os.environ, "GIT_DIR": git_dir, "GIT_INDEX_FILE": index}
    based_on = Path(git_dir, "honk-index-parent")
    if not Path(index).exists() and Path(SEED).exists():
        shutil.copy2(SEED, index)
    if not Path(index).exists():
        git(environment, "read-tree", parent)
    elif not based_on.is_file() or based_on.read_text() != parent:
        # What is the same keeps what git remembers of its file, and so need not be read.
        git(environment, "read-tree", "--reset", parent)
    based_on.write_text(parent)
    tree = stage(environment, work_tree)
    result = {"tree": tree, "commit": None}
    if tree not in os.environ["HONK_KNOWN_TREES"].split():
        parents = [parent, *os.environ.get("HONK_MERGED", "").split()]
        given = [word for one in parents for word in ("-p", one)]
        result["commit"] = commit = (
            git(environment, "commit-tree", tree, *given, "-m", os.environ["HONK_MESSAGE"]).decode().strip()
        )
        git(environment, "update-ref", "refs/heads/snapshot", commit)
        bundle = f"{out}/bundle"
        known = [f"^{one}" for one in parents]
        git(environment, "bundle", "create", "--quiet", bundle, "refs/heads/snapshot", *known)
    print("\n" + json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
