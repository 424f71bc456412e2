"""Runs inside a sandbox: `collect.py WORK_TREE GIT_DIR PARENT OUT`, with the commit's facts in the environment.

Commits the work tree as it is on top of PARENT and bundles what is new to OUT/bundle; prints a JSON object with the
commit's and the tree's sha. Only the tree's files are looked at, through a git directory of Honk's own: whatever the
tree's own git directory says, or lacks, plays no part. Uses the standard library only and imports hardly any of it,
because each turn waits for this more than once.
"""

import os
import sys

Environment = dict[str, str]
SEED = "/honk/index"
"""The index of the tree that the work tree is a layer over, which nobody in a sandbox could write."""


def git(environment: Environment, *arguments: str) -> bytes:
    errors = f"{environment['GIT_DIR']}/honk-errors"
    output, into = os.pipe()
    streams = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, into, 1),
        (os.POSIX_SPAWN_OPEN, 2, errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
    ]
    process = os.posix_spawnp("git", ["git", *arguments], environment, file_actions=streams)
    os.close(into)
    with open(output, "rb") as told:
        said = told.read()
    if os.waitpid(process, 0)[1]:
        sys.exit(read(errors).decode("utf-8", "replace").strip() or f"git {arguments[0]} failed")
    return said


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
        os.unlink(index)
        os.chdir(work_tree)
        git(environment, "rm", "-r", "-f", "--quiet", "--cached", "--ignore-unmatch", "--", f":(top,literal){name}")
        if git(environment, "ls-tree", inner):
            git(environment, "read-tree", f"--prefix={name}/", inner)
    return git(environment, "write-tree").decode().strip()


def read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def write(path: str, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)


def copy_with_its_time(source: str, target: str) -> None:
    """By its time git tells which of the index's files may have changed since."""
    found = os.stat(source)
    write(target, read(source))
    os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))


def main(work_tree: str, git_dir: str, parent: str, out: str) -> None:
    index = f"{git_dir}/honk-index"
    environment = {**os.environ, "GIT_DIR": git_dir, "GIT_INDEX_FILE": index}
    based_on = f"{git_dir}/honk-index-parent"
    if not os.path.exists(index) and os.path.exists(SEED):
        copy_with_its_time(SEED, index)
    if not os.path.exists(index):
        git(environment, "read-tree", parent)
    elif not os.path.isfile(based_on) or read(based_on) != parent.encode():
        # What is the same keeps what git remembers of its file, and so need not be read.
        git(environment, "read-tree", "--reset", parent)
    write(based_on, parent.encode())
    tree = stage(environment, work_tree)
    shown = "null"
    if tree not in os.environ["HONK_KNOWN_TREES"].split():
        parents = [parent, *os.environ.get("HONK_MERGED", "").split()]
        given = [word for one in parents for word in ("-p", one)]
        commit = git(environment, "commit-tree", tree, *given, "-m", os.environ["HONK_MESSAGE"]).decode().strip()
        shown = f'"{commit}"'
        git(environment, "update-ref", "refs/heads/snapshot", commit)
        bundle = f"{out}/bundle"
        known = [f"^{one}" for one in parents]
        git(environment, "bundle", "create", "--quiet", bundle, "refs/heads/snapshot", *known)
    print(f'\n{{"tree": "{tree}", "commit": {shown}}}')


if __name__ == "__main__":
    main(*sys.argv[1:])
