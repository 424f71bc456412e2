"""Histories that come after the files: what git calls a partial clone (gitglossary(7)), for as long as it takes.

A mirror is partial while it has the folder `partial`. Then it has every commit and every folder's list of names, but
contents only of the commits that were wanted; `partial` has an empty file for each of these. Git is told of the place
that has the rest by the command line of each fetch alone, so a git that meets a hole, in a sandbox or outside of one,
says so and never goes out by itself, whatever its version.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from honk.git import Credentials, GitError, git, git_as
from honk.model import Repository

WORTH_BYTES = 32 * 1024**2
"""A smaller history comes whole in about the time of the requests that a partial one takes."""

_BATCH = 20_000
"""Contents that are asked for one by one in a request. Of more than these, the forge sends a whole history at less
cost, because then it has it packed."""
_SECONDS = 24 * 3600.0
_BESIDE = ("-c", "pack.threads=1")
"""Agents work meanwhile: one thread leaves room for them."""
_REMOTE = "honk"
_INCOMING, _WHOLE = "refs/honk/incoming", "refs/honk/whole"
_QUIET = ("--quiet", "--no-tags", "--no-recurse-submodules")


def is_partial(mirror: Path) -> bool:
    """Whether contents of older commits may be missing."""
    return (mirror / "partial").is_dir()


def has_files(mirror: Path, commit: str) -> bool:
    """Whether all files of a commit that the mirror has are known to be there."""
    return not is_partial(mirror) or (mirror / "partial" / commit).exists()


def begin(mirror: Path, repository: Repository) -> None:
    """Say that the mirror is partial, before it is."""
    folder = mirror / "partial"
    if not folder.is_dir():
        draft = mirror / ".partial"
        draft.mkdir(exist_ok=True)
        (draft / "repository.json").write_text(json.dumps(asdict(repository)))
        draft.rename(folder)


def repository_of(mirror: Path) -> Repository:
    """Whose history a partial mirror is to have."""
    return Repository(**json.loads((mirror / "partial" / "repository.json").read_text()))


def fetch_files_first(credentials: Credentials, mirror: Path, source: str, target: str) -> None:
    """Bring `target` up to date with every file of its commit, but not of those before it.

    The reference moves once the files are there. From a forge that does not send parts, everything comes. Raises
    `GitError`.
    """
    try:
        wanted = ("fetch", *_QUIET, "--force", "--no-write-fetch-head", _REMOTE, f"+{target}:{_INCOMING}")
        git_as(credentials, *_promised(source), *wanted, directory=mirror, timeout=_SECONDS)
        newest = git("rev-parse", f"{_INCOMING}^{{commit}}", directory=mirror)
        fetch_files(credentials, mirror, source, newest)
    except GitError:
        refetch(credentials, mirror, source, target, _INCOMING)
        newest = git("rev-parse", f"{_INCOMING}^{{commit}}", directory=mirror)
        (mirror / "partial" / newest).touch()
    git("update-ref", target, newest, directory=mirror)


def fetch_files(credentials: Credentials, mirror: Path, source: str, commit: str) -> None:
    """Fetch what is missing of a commit's files, in one request. Raises `GitError`."""
    if missing := _missing(mirror, [commit], alone=True):
        _fetch_contents(credentials, mirror, source, missing)
    (mirror / "partial" / commit).touch()


def refetch(credentials: Credentials, mirror: Path, source: str, target: str, kept: str) -> None:
    """Fetch everything of `target` anew, whatever is there, and keep it by the reference `kept`. Raises `GitError`."""
    wanted = ("fetch", *_QUIET, "--force", "--refetch", "--no-write-fetch-head", "--", source, f"+{target}:{kept}")
    git_as(credentials, *_BESIDE, *wanted, directory=mirror, timeout=_SECONDS)


def fetch_rest(
    credentials: Credentials, mirror: Path, source: str, branch: str, known: Sequence[str] = ()
) -> Sequence[str]:
    """Fetch what is missing of every commit that was wanted and of all before them, and return these commits.

    Those `known` have all of theirs by now. Raises `GitError`.
    """
    tips = _tips(mirror)
    missing = _missing(mirror, tips, besides=known)
    if len(missing) > _BATCH:
        refetch(credentials, mirror, source, f"refs/heads/{branch}", _WHOLE)
        missing = _missing(mirror, tips)
    for begin_at in range(0, len(missing), _BATCH):
        _fetch_contents(credentials, mirror, source, missing[begin_at : begin_at + _BATCH], _BESIDE)
    if missing and (gone := _missing(mirror, tips)):
        raise GitError(f"{len(gone)} files of older commits did not come.", 1)
    return tips


def end(mirror: Path) -> None:
    """Say that the mirror has everything: it is as if it had been fetched whole."""
    remove_marks(mirror)
    folder = mirror / "partial"
    over = folder.rename(mirror / ".whole")
    for path in over.iterdir():
        path.unlink()
    over.rmdir()
    for reference in (_INCOMING, _WHOLE):
        git("update-ref", "-d", reference, directory=mirror)


def remove_marks(mirror: Path) -> None:
    """Remove git's marks of packs to which more belongs; of a mirror that is whole, also what a fetch left whose
    starter was killed before."""
    for mark in (mirror / "objects" / "pack").glob("*.promisor"):
        mark.unlink(missing_ok=True)


def remove_torn(mirror: Path) -> None:
    """Remove what fetches left that were killed. Only while nothing is fetched."""
    for left in (mirror / "objects" / "pack").glob("tmp_*"):
        left.unlink(missing_ok=True)


def _promised(source: str) -> Sequence[str]:
    settings = {"url": source, "promisor": "true", "partialCloneFilter": "blob:none"}
    return [word for name, value in settings.items() for word in ("-c", f"remote.{_REMOTE}.{name}={value}")]


def _fetch_contents(
    credentials: Credentials, mirror: Path, source: str, contents: Sequence[str], settings: Sequence[str] = ()
) -> None:
    """As git does for itself where a partial clone's files are laid out: without telling what is there already."""
    git_as(
        credentials, *settings, *_promised(source), "-c", "fetch.negotiationAlgorithm=noop",
        "fetch", *_QUIET, "--no-write-fetch-head", "--stdin", _REMOTE,
        directory=mirror, given="".join(f"{one}\n" for one in contents).encode(), timeout=_SECONDS,
    )  # fmt: skip


def _tips(mirror: Path) -> list[str]:
    """Every commit that somebody may stand on."""
    branches = git("for-each-ref", "--format=%(objectname)", directory=mirror).splitlines()
    given_out = [path.name for path in (mirror / "partial").iterdir() if not path.suffix]
    return sorted({*branches, *given_out})


def _missing(mirror: Path, commits: Sequence[str], *, besides: Sequence[str] = (), alone: bool = False) -> list[str]:
    """The ids of contents that are not there, of these commits and of what led to them but not to those `besides`;
    `alone` leaves out what led to them."""
    if not commits:
        return []
    told = git(
        "rev-list", "--objects", "--quiet", "--missing=print", *(["--no-walk"] if alone else []), "--stdin",
        directory=mirror, given="".join(f"{one}\n" for one in [*commits, *(f"^{one}" for one in besides)]).encode(),
        timeout=_SECONDS,
    )  # fmt: skip
    return [line[1:] for line in told.splitlines() if line.startswith("?")]
