"""Git as Honk calls it: no hooks, no configuration but ours, no prompt, no pager, no external program.

Repositories Honk reads may be hostile. Every call here ignores the system's and the person's configuration unless
`person=True`, which is for talking to an address the person named (their credentials are needed there) and for
updating their own checkout (their filters are wanted there).
"""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from honk.model import HonkError, UsageError

_CONFIGURATION = Path(__file__).with_name("isolated.gitconfig")
"""A file, because git takes `safe.directory` from nowhere else once it starts a process of its own."""

_KEPT = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO")


_AS_A_PERSON = [
    word
    for setting in ("core.hooksPath=/dev/null", "core.fsmonitor=false", "gc.auto=0", "maintenance.auto=false")
    for word in ("-c", setting)
]
"""Whatever the person's settings say: nothing of the repository's is run, and nothing is tidied up that a tree may
stand on, or while another git works there."""


class GitError(HonkError):
    """A git command failed; the text is git's own last words."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.git_exit_code = exit_code


def _environment(person: bool, extra: Mapping[str, str]) -> dict[str, str]:
    if person:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        environment |= {name: value for name, value in os.environ.items() if name.startswith("GIT_SSH")}
    else:
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
        environment |= {"GIT_CONFIG_GLOBAL": str(_CONFIGURATION), "GIT_CONFIG_NOSYSTEM": "1", "GIT_ATTR_NOSYSTEM": "1"}
    return environment | {"GIT_TERMINAL_PROMPT": "0", "GIT_PAGER": "cat", "LC_ALL": "C.UTF-8"} | dict(extra)


def git(
    *arguments: str | Path,
    directory: Path | None = None,
    person: bool = False,
    environment: Mapping[str, str] | None = None,
    given: bytes | None = None,
    timeout: float = 600.0,
    failing: Sequence[int] = (),
) -> str:
    """Run git and return its standard output as text (decoded with replacement, trailing newline removed).

    Raises `GitError` with git's message when it takes longer than `timeout` seconds or fails, other than with one of
    the `failing` exit codes, whose output is an answer too.
    """
    return (
        git_bytes(
            *arguments,
            directory=directory,
            person=person,
            environment=environment,
            given=given,
            timeout=timeout,
            failing=failing,
        )
        .decode("utf-8", "replace")
        .removesuffix("\n")
    )


def git_bytes(
    *arguments: str | Path,
    directory: Path | None = None,
    person: bool = False,
    environment: Mapping[str, str] | None = None,
    given: bytes | None = None,
    timeout: float = 600.0,
    failing: Sequence[int] = (),
) -> bytes:
    """As `git`, with the output as it came."""
    command = ["git", *(_AS_A_PERSON if person else ()), *map(str, arguments)]
    try:
        completed = subprocess.run(
            command,
            cwd=directory,
            env=_environment(person, environment or {}),
            input=given if given is not None else b"",
            capture_output=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise GitError(f"git {arguments[0]} took longer than {timeout:.0f} s and was ended.", 124) from error
    except FileNotFoundError as error:
        if directory is not None and not directory.is_dir():
            raise GitError(f"There is no repository at {directory} any more.", 128) from error
        raise GitError("git is not installed here: install it with your system's package manager.", 127) from error
    if completed.returncode and completed.returncode not in failing:
        words = completed.stderr.decode("utf-8", "replace").strip().splitlines()
        told = [line for line in words if line.startswith(("fatal:", "error:"))] or words[-3:]
        raise GitError("; ".join(told) or f"git {arguments[0]} failed", completed.returncode)
    return completed.stdout


def git_beginning(*arguments: str | Path, directory: Path, limit: int, timeout: float = 120.0) -> tuple[bytes, bool]:
    """The first `limit` bytes of what git prints, and whether that is all; git is ended after them. Raises `GitError`
    as `git`."""
    process = subprocess.Popen(
        ["git", *map(str, arguments)],
        cwd=directory,
        env=_environment(False, {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    timer = threading.Timer(timeout, process.kill)
    timer.start()
    with process:
        stream = process.stdout
        told = stream.read(limit + 1) if stream else b""
        if len(told) > limit:
            process.kill()
    timer.cancel()
    if len(told) <= limit and process.returncode:
        raise GitError(f"git {arguments[0]} failed", process.returncode)
    return told[:limit], len(told) <= limit


Credentials = Callable[[bool], Mapping[str, str]]
"""The environment with which git talks to an address; with True not what was given before, which was refused."""


def git_as(
    credentials: Credentials,
    *arguments: str | Path,
    directory: Path | None = None,
    given: bytes | None = None,
    timeout: float = 600.0,
) -> str:
    """As `git`, with credentials, and once more with new ones if those were refused."""
    for renew in (False, True):
        try:
            return git(
                *arguments,
                directory=directory,
                person=True,
                environment=credentials(renew),
                given=given,
                timeout=timeout,
            )
        except GitError as error:
            refused = re.search(r"Authentication failed|could not read Username|returned error: 40[13]", str(error))
            if renew or not refused:
                raise
    raise AssertionError("the second try returned or raised")


def changed_paths(directory: Path, base: str, head: str) -> list[str]:
    """Every path that differs between two commits, deleted ones and both names of a moved one among them."""
    names = git_bytes("diff", "--name-only", "--no-renames", "-z", base, head, "--", directory=directory)
    return [name.decode("utf-8", "surrogateescape") for name in names.split(b"\0") if name]


def committed_text(git_dir: Path, sha: str, path: str) -> str | None:
    """The text of the file `path` in the commit; None if there is no such regular file."""
    line = git_bytes("--literal-pathspecs", "ls-tree", "-z", "--full-tree", sha, "--", path, directory=git_dir)
    entry, _, name = line.removesuffix(b"\0").partition(b"\t")
    if not entry.startswith(b"100") or os.fsdecode(name) != path:
        return None
    return git_bytes("cat-file", "blob", entry.split()[2].decode(), directory=git_dir).decode("utf-8", "replace")


def plain_text(git_dir: Path, commit: str, path: str, repository: str) -> str | None:
    """As `committed_text`; raises `UsageError` for a link or a folder of that name: nobody means it to say nothing."""
    text = committed_text(git_dir, commit, path)
    if text is None and git("--literal-pathspecs", "ls-tree", "--full-tree", commit, "--", path, directory=git_dir):
        raise UsageError(f"{path} is a link or a folder in {repository}: make it a file.")
    return text


def readable(path: str) -> str:
    """A path as people can be told it, where what git says is no UTF-8."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def succeeds(*arguments: str | Path, directory: Path | None = None) -> bool:
    """True if the git command ends with 0; its output is dropped."""
    try:
        git(*arguments, directory=directory)
    except GitError:
        return False
    return True


def signed(directory: Path, commit: str, key: Path | None) -> str:
    """The same commit, signed with an SSH key outside of every sandbox; the commit itself without a key.

    An ed25519 signature depends on what is signed alone, so signing again gives the same commit. Raises `HonkError`.
    """
    if key is None:
        return commit
    fields = "%T%n%P%n%an%n%ae%n%ad%n%cn%n%ce%n%cd"
    tree, parents, *who = git("log", "-1", f"--format={fields}", "--date=raw", commit, directory=directory).split("\n")
    names = [f"GIT_{role}_{part}" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL", "DATE")]
    message = git_bytes("log", "-1", "--format=%B", commit, directory=directory)
    given = [word for parent in parents.split() for word in ("-p", parent)]
    try:
        return git(
            "-c", "gpg.format=ssh", "-c", f"user.signingKey={key}", "commit-tree", tree, *given, "-S", "-F", "-",
            directory=directory, environment=dict(zip(names, who, strict=True)), given=message.rstrip() + b"\n",
        )  # fmt: skip
    except GitError as error:
        raise HonkError(
            f"The commit cannot be signed with {key} ({error}): HONK_SIGNING_KEY must be an SSH key without passphrase."
        ) from error
