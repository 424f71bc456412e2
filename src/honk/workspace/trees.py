"""Trees of files on disk: made from a commit without copying its history, removed whatever is in them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from honk.git import git, git_bytes

# The index is written outside, where the files' owner has another number, so only size and time can be compared.
TREE_CONFIGURATION = """\
[core]
\trepositoryFormatVersion = 0
\tfileMode = true
\tbare = false
\tlogAllRefUpdates = true
\tcheckStat = minimal
\ttrustCTime = false
[user]
\tname = Honk
\temail = honk@localhost
[gc]
\tauto = 0
"""


def object_folders(git_dir: Path) -> list[Path]:
    """The folder of `git_dir`'s objects and of all it borrows from, nearest first."""
    folders: list[Path] = []
    waiting = [(git_dir / "objects").resolve()]
    while waiting:
        folder = waiting.pop(0)
        if folder in folders or not folder.is_dir():
            continue
        folders.append(folder)
        borrowed = folder / "info" / "alternates"
        if borrowed.is_file():
            waiting += [(folder / line).resolve() for line in borrowed.read_text().splitlines() if line]
    return folders


def object_binds(git_dir: Path, empty: Path) -> dict[str, Path]:
    """`git_dir`'s objects by the paths they have inside a sandbox. `empty` is an empty file.

    It hides each folder's own list of further folders, whose paths mean nothing inside.
    """
    binds: dict[str, Path] = {}
    for number, folder in enumerate(object_folders(git_dir)):
        binds[f"/honk/objects/{number}"] = folder
        if (folder / "info" / "alternates").is_file():
            binds[f"/honk/objects/{number}/info/alternates"] = empty
    return binds


def borrow(git_dir: Path, folders: Sequence[Path | str]) -> None:
    """Let `git_dir` find objects in `folders` too, and nowhere else."""
    path = git_dir / "objects" / "info" / "alternates"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{folder}\n" for folder in folders))


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Write `files`, their text by path, below `folder`, which nobody else has written to."""
    for path, text in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)


def make_bare(folder: Path) -> None:
    """Make a bare git directory (gitrepository-layout(5)), without starting git for it."""
    for name in ("objects/info", "objects/pack", "refs/heads", "refs/tags"):
        (folder / name).mkdir(parents=True)
    (folder / "HEAD").write_text("ref: refs/heads/main\n")
    (folder / "config").write_text("[core]\n\trepositoryFormatVersion = 0\n\tfileMode = true\n\tbare = true\n")


def make_tree(source: Path, sha: str, tree: Path, *, branch: str | None = None, inside: bool = True) -> None:
    """Check `sha` out of the git directory `source` into the new folder `tree`.

    With `inside`, its git directory is left as it must be for a sandbox that has `object_binds(source)`. Nothing is
    linked or copied from `source`. Raises `HonkError` if the commit is not there.
    """
    folders = object_folders(source)
    tree.mkdir(parents=True)
    git_dir = tree / ".git"
    git("init", "--quiet", tree)
    shutil.rmtree(git_dir / "hooks", ignore_errors=True)
    (git_dir / "config").write_text(TREE_CONFIGURATION)
    borrow(git_dir, folders)
    git("update-ref", "--no-deref", "HEAD", f"{sha}^{{commit}}", directory=tree)
    if branch:
        git("update-ref", f"refs/heads/{branch}", sha, directory=tree)
        git("symbolic-ref", "HEAD", f"refs/heads/{branch}", directory=tree)
    git("-c", "checkout.workers=0", "-c", "submodule.recurse=false", "reset", "--quiet", "--hard", directory=tree)
    if inside:
        borrow(git_dir, [f"/honk/objects/{number}" for number in range(len(folders))])


def share_copy(source: Path, target: Path) -> bool:
    """Copy a tree so that both share their blocks until one is written (reflinks); False, and no `target`, where the
    file system has no such thing."""
    command = ["cp", "--archive", "--reflink=always", "--no-target-directory", "--", str(source), str(target)]
    if subprocess.run(command, capture_output=True, check=False).returncode == 0:
        return True
    remove_tree(target)
    return False


def tracked(git_dir: Path, sha: str) -> list[str]:
    """Every path in the commit, sorted; links and submodules among them."""
    names = git_bytes("ls-tree", "-r", "-z", "--name-only", "--full-tree", sha, directory=git_dir)
    return sorted(name.decode("utf-8", "surrogateescape") for name in names.split(b"\0") if name)


def blobs(git_dir: Path, sha: str) -> dict[str, str]:
    """The id of each regular file's content in the commit, by path."""
    lines = git_bytes("ls-tree", "-r", "-z", "--full-tree", sha, directory=git_dir).split(b"\0")
    entries = [line.partition(b"\t") for line in lines if line.startswith(b"100")]
    return {name.decode("utf-8", "surrogateescape"): entry.split()[2].decode() for entry, _, name in entries}


def texts(git_dir: Path, ids: Mapping[str, str], longest: int) -> dict[str, str]:
    """The texts of these blobs, by the same names, without those of more than `longest` bytes or that are not there."""
    if not ids:
        return {}
    asked = "".join(f"{blob}\n" for blob in ids.values()).encode()
    sizes = git("cat-file", "--batch-check=%(objectsize)", directory=git_dir, given=asked).splitlines()
    short = [name for name, size in zip(ids, sizes, strict=True) if size.isdigit() and int(size) <= longest]
    asked = "".join(f"{ids[name]}\n" for name in short).encode()
    told = git_bytes("cat-file", "--batch=%(objectsize)", directory=git_dir, given=asked)
    found: dict[str, str] = {}
    start = 0
    for name in short:
        content = told.index(b"\n", start) + 1
        start = content + int(told[start : content - 1])
        found[name] = told[content:start].decode("utf-8", "replace")
        start += 1
    return found


def remove_tree(folder: Path) -> None:
    """Delete `folder` whatever is in it: folders without permissions, names of any depth, links."""
    subprocess.run(["rm", "-rf", "--", str(folder)], capture_output=True, check=False)
    if os.path.lexists(folder):
        subprocess.run(["chmod", "-R", "u+rwX", "--", str(folder)], capture_output=True, check=False)
        subprocess.run(["rm", "-rf", "--", str(folder)], capture_output=True, check=False)


def empty_file(home: Path) -> Path:
    """An empty file in Honk's home, to hide others behind."""
    path = home / "sandbox" / "empty"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return path
