"""Submodules of a commit, filled in as far as they can be had; a task never fails for one."""

from __future__ import annotations

import contextlib
import os
import posixpath
import re
import shutil
import tempfile
from pathlib import Path, PurePosixPath

from honk.git import git, git_bytes
from honk.model import HonkError
from honk.workspace.mirror import local_path

_REMOTE = re.compile(r"(https?|ssh)://[\w\[]|[\w.]+@[\w.][\w.-]*:(?!:)")
_FETCH_SECONDS = 120.0


def populate(
    trusted: tuple[Path, str], commit: tuple[Path, str], tree: Path, git_url: str, below: str | None = None
) -> list[str]:
    """Fill the submodules of `commit` in `tree` and return the paths that could be filled.

    Both commits are given with the git directory they are in. The tree may be a layer over one of the commit `below`:
    then what is the same there is left alone. Addresses are taken from the `.gitmodules` of the
    `trusted` one, a base: what an agent wrote there could lead anywhere. The person's credentials are used only for
    the repository's own host, and nothing of a submodule runs.
    """
    filled = []
    declared = _declared(trusted, commit)
    there = set(_declared(trusted, (commit[0], below))) if declared and below else set()
    for path, url, wanted in declared:
        if (path, url, wanted) in there:
            continue
        with contextlib.suppress(HonkError, OSError):
            _fill(tree, path, _resolved(url, git_url), wanted, git_url)
            filled.append(path)
    return filled


def _declared(trusted: tuple[Path, str], commit: tuple[Path, str]) -> list[tuple[str, str, str]]:
    source, sha = commit
    try:
        listed = git_bytes("config", "--blob", f"{trusted[1]}:.gitmodules", "-z", "--list", directory=trusted[0])
    except HonkError:
        return []
    settings: dict[str, dict[str, str]] = {}
    for item in listed.decode("utf-8", "replace").split("\0"):
        key, _, value = item.partition("\n")
        section, _, name = key.rpartition(".")
        settings.setdefault(section, {})[name] = value
    links = {}
    for line in git_bytes("ls-tree", "-r", "-z", "--full-tree", sha, directory=source).split(b"\0"):
        if line.startswith(b"160000 "):
            entry, _, path = line.partition(b"\t")
            links[os.fsdecode(path)] = entry.split()[2].decode()
    found = [(item.get("path", ""), item.get("url", "")) for item in settings.values()]
    return [(path, url, links[path]) for path, url in found if url and path in links]


def _resolved(url: str, git_url: str) -> str:
    if not url.startswith(("./", "../")):
        return url
    if "://" in git_url:
        scheme, _, rest = git_url.partition("://")
        return f"{scheme}://{posixpath.normpath(posixpath.join(rest, url))}"
    host, colon, path = ("", "", git_url) if local_path(git_url) else git_url.partition(":")
    return host + colon + posixpath.normpath(posixpath.join(path, url))


def _fill(tree: Path, path: str, url: str, wanted: str, git_url: str) -> None:
    local = local_path(url)
    if local is None and not _REMOTE.match(url):
        raise HonkError(f"The submodule {path} has an address of a kind that is not fetched.")
    if local is not None and local_path(git_url) is None:
        raise HonkError(f"The submodule {path} names a folder of this machine, which only a local repository may.")
    place = tree / path
    if any(parent.is_symlink() for parent in (place, *place.parents)) or ".." in PurePosixPath(path).parts:
        raise HonkError(f"The submodule {path} lies outside of the tree.")
    git_dir = tree / ".git" / "modules" / path
    git_dir.parent.mkdir(parents=True, exist_ok=True)
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=tree.parent) as folder:
        bare = Path(folder) / "bare"
        git("init", "--quiet", "--bare", bare)
        git(
            *("fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--depth=1", "--", str(local or url), wanted),
            directory=bare,
            person=local is None and _host(url) == _host(git_url),
            timeout=_FETCH_SECONDS,
        )
        git("update-ref", "--no-deref", "HEAD", wanted, directory=bare)
        git("config", "core.bare", "false", directory=bare)
        git("reset", "--quiet", "--hard", wanted, environment={"GIT_DIR": str(bare), "GIT_WORK_TREE": str(place)})
        shutil.rmtree(bare / "hooks", ignore_errors=True)
        shutil.move(str(bare), str(git_dir))
    up = "../" * len(PurePosixPath(path).parts)
    (place / ".git").write_text(f"gitdir: {up}.git/modules/{path}\n")


def _host(url: str) -> str:
    rest = url.partition("://")[2] or url
    return rest.partition("/")[0].rpartition("@")[2].partition(":")[0]
