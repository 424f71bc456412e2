"""Submodules of a commit, filled in as far as they can be had; a task never fails for one."""

from __future__ import annotations

import os
import posixpath
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from honk.git import committed_text, git, git_bytes
from honk.model import Command, HonkError, Limits, UsageError
from honk.repository_file import parse_repository_file
from honk.settings import Settings
from honk.workspace.mirror import local_path
from honk.workspace.sandbox import Sandbox

_REMOTE = re.compile(r"(https?|ssh)://[\w\[]|[\w.]+@[\w.][\w.-]*:(?!:)")
_FETCH_SECONDS = 120.0


@dataclass(frozen=True)
class _Rules:
    """Where submodules may come from: the repository's own host, and the hosts that everything else may reach."""

    settings: Settings
    git_url: str
    egress: Sequence[str]
    unsafe: bool


def populate(
    trusted: tuple[Path, str],
    commit: tuple[Path, str],
    tree: Path,
    git_url: str,
    settings: Settings,
    *,
    unsafe: bool = False,
    below: str | None = None,
    lacking_below: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, str]:
    """Fill the submodules of `commit` in `tree`, and return those that stay empty: why, and what to do, by path.

    Both commits are given with the git directory they are in. The tree may be a layer over one of the commit `below`,
    in which `lacking_below` stayed empty: then what is the same there is left alone. Addresses are taken from the
    `.gitmodules` of the `trusted` one, a base: what an agent wrote there could lead anywhere. The person's credentials
    are used only for the repository's own host; other hosts must be in `egress`, and are asked from inside a sandbox.
    Folders of this machine are only for repositories that lie on it themselves. Nothing of a submodule runs.
    """
    lacking = {}
    if declared := _declared(trusted, commit):
        there = set(_declared(trusted, (commit[0], below))) if below else set()
        rules = _Rules(settings, git_url, [*settings.egress, *_egress(trusted)], unsafe)
        for path, url, wanted in declared:
            if (path, url, wanted) in there and path not in lacking_below:
                continue
            try:
                _fill(tree, path, _resolved(url, git_url), wanted, rules)
            except (HonkError, OSError) as error:
                told = str(error)
                if not told.startswith("The submodule "):
                    told = f"The submodule {path} cannot be fetched: {told.removesuffix('.')}."
                lacking[path] = told
    return lacking


def _egress(trusted: tuple[Path, str]) -> Sequence[str]:
    try:
        return parse_repository_file(committed_text(*trusted, "honk.yaml") or "").egress
    except UsageError:
        return ()


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


def _fill(tree: Path, path: str, url: str, wanted: str, rules: _Rules) -> None:
    place = tree / path
    if any(parent.is_symlink() for parent in (place, *place.parents)) or ".." in PurePosixPath(path).parts:
        raise HonkError(f"The submodule {path} lies outside of the tree.")
    git_dir = tree / ".git" / "modules" / path
    git_dir.parent.mkdir(parents=True, exist_ok=True)
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=tree.parent) as folder:
        bare = Path(folder) / "bare"
        git("init", "--quiet", "--bare", bare)
        _fetch(bare, path, url, wanted, rules)
        git("update-ref", "--no-deref", "HEAD", wanted, directory=bare)
        git("config", "core.bare", "false", directory=bare)
        git("reset", "--quiet", "--hard", wanted, environment={"GIT_DIR": str(bare), "GIT_WORK_TREE": str(place)})
        shutil.rmtree(bare / "hooks", ignore_errors=True)
        shutil.move(str(bare), str(git_dir))
    up = "../" * len(PurePosixPath(path).parts)
    (place / ".git").write_text(f"gitdir: {up}.git/modules/{path}\n")


def _fetch(bare: Path, path: str, url: str, wanted: str, rules: _Rules) -> None:
    """Raises `HonkError` for an address that the rules leave out, and where it cannot be fetched."""
    local = local_path(url)
    own = local is None and _is_own(url, rules.git_url)
    if local is None and not _REMOTE.match(url):
        raise HonkError(f"The submodule {path} has an address of a kind that is not fetched.")
    if local is not None and local_path(rules.git_url) is None:
        raise HonkError(f"The submodule {path} names a folder of this machine, which only a local repository may.")
    if local is not None and local.resolve().is_relative_to(rules.settings.home.resolve()):
        raise HonkError(f"The submodule {path} lies in Honk's own home.")
    source = str(local or url)
    if local is None and not own:
        source = str(_fetched_inside(bare.with_name("foreign"), path, url, wanted, rules))
    git(*_FETCH, source, wanted, directory=bare, person=own, timeout=_FETCH_SECONDS)


_FETCH = ("fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--depth=1", "--")


def _fetched_inside(place: Path, path: str, url: str, wanted: str, rules: _Rules) -> Path:
    """A bare repository with the commit, fetched in a sandbox whose proxy lets through what `egress` names."""
    if not rules.egress or not url.startswith(("http://", "https://")):
        raise HonkError(f"The submodule {path} is at another host: name it in `egress`, and use its https address.")
    bare, home = place / "bare", place / "home"
    home.mkdir(parents=True)
    git("init", "--quiet", "--bare", bare)
    limits = Limits(seconds=_FETCH_SECONDS, output=1 << 16)
    command = Command(("git", *_FETCH, url, f"{wanted}:refs/heads/wanted"), egress=rules.egress, limits=limits)
    done = Sandbox(rules.settings, bare, home, unsafe=rules.unsafe).run(command)
    if done.exit_code:
        raise HonkError(f"The submodule {path} cannot be fetched: {done.output.strip()[-300:] or done.ended_by}.")
    return bare


def _is_own(url: str, git_url: str) -> bool:
    """True if it is where the repository itself is, by a way that shows credentials to nobody else."""
    plain = url.startswith("http://") and not git_url.startswith("http://")
    return _authority(url) == _authority(git_url) and not plain


def _authority(url: str) -> tuple[str, str]:
    """Host and port; the port is empty where the address names none, or is the short form for SSH."""
    scheme, found, rest = url.partition("://")
    host = (rest if found else scheme).partition("/")[0].rpartition("@")[2]
    name, _, port = host.rpartition(":") if host.rpartition(":")[2].isdigit() and found else (host, "", "")
    return (name if found else name.partition(":")[0]).lower(), port
