"""Why a command did not end well, in the few lines that let somebody act."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from honk.model import Completed
from honk.verify.distil import naming
from honk.verify.report_files import NONE_RAN

_END = 4_000
"""Characters at the end of an output in which its last words are looked for."""
_NOT_FOUND = re.compile(
    r"(?:^|[\s:])([^\s:]+): (?:command )?not found\s*$"
    r"|^\S*sh: (?:line \d+: )?([^\s:]+): No such file or directory\s*$",
    re.MULTILINE,
)
_MAY_NOT_RUN = re.compile(r"(?:^|[\s:])([^\s:]*/[^\s:]+): Permission denied\s*$", re.MULTILINE)
_NO_ARCHIVE = re.compile(
    r"^Error: (?:Could not find or load main class|Unable to access jarfile) .*\b(gradle|maven)[.-]wrapper\b",
    re.IGNORECASE | re.MULTILINE,
)
_MAKES = {"gradlew": "gradle wrapper", "mvnw": "mvn wrapper:wrapper"}
_ARCHIVES = {
    "gradle": ("gradle/wrapper/gradle-wrapper.jar", "gradlew"),
    "maven": (".mvn/wrapper/maven-wrapper.jar", "mvnw"),
}
"""What a wrapper's script starts, which many a .gitignore leaves out with all other archives."""
_NO_NETWORK = re.compile(
    r"could not resolve host|name resolution|name or service not known|nodename nor servname|\bENOTFOUND\b|EAI_AGAIN|"
    r"UnknownHostException|unknown host\b|network is unreachable|\bENETUNREACH\b|no such host",
    re.IGNORECASE,
)

_SIGNALS = {
    137: "It was killed by the system, most likely because memory ran out.",
    153: "It wrote a file longer than one may be: let it write less, or raise HONK_SANDBOX_FILE_SIZE.",
    159: "It made a system call that a sandbox does not have, as programs for another kind of processor do.",
}
"""What to say of a command that a signal ended, by 128 + the signal."""


def reason(done: Completed, seconds: float, told: str) -> str:
    """Why a command that had so many seconds did not end well, and what is `told` of what it printed."""
    end = f"{told}\n{done.output[-_END:]}"
    parts = []
    if done.ended_by == "time limit":
        parts.append(f"It took longer than {seconds:g} s and was ended.")
    elif done.excess:
        parts.append(done.excess.sentence)
    elif done.exit_code == 127:
        parts.append(_missing(end))
    elif done.exit_code == 126:
        parts.append(_not_executable(end))
    elif found := _NO_ARCHIVE.search(end):
        archive, script = _ARCHIVES[found[1].lower()]
        parts.append(
            f"{archive} is not in the repository, and {script} does nothing without it: commit it "
            f"(`git add --force {archive}`; `{_MAKES[script]}` makes it)."
        )
    elif done.exit_code == 0:
        parts.append(NONE_RAN)
    elif done.exit_code in _SIGNALS:
        parts.append(_SIGNALS[done.exit_code])
    for host in done.refused_hosts:
        said = naming(done.output, host.partition(":")[0])
        quoted = f" It said: {said}" if said and said not in told else ""
        parts.append(f"It tried to reach {host}, which is not in `egress` of honk.yaml.{quoted}")
    if not done.refused_hosts and _NO_NETWORK.search(end):
        parts.append("It has no network: name the hosts it needs under `egress` in honk.yaml.")
    parts.append(told or f"It ended with {done.exit_code} and printed nothing.")
    return "\n".join(parts)


def _missing(end: str) -> str:
    """What to do about a command that was not found: one by a path of the repository's own is nothing to install."""
    found = [one or other for one, other in _NOT_FOUND.findall(end)][-1:]
    if any("/" in name and not name.startswith("/") for name in found):
        makes = _MAKES.get(PurePosixPath(found[0]).name)
        return (
            f"{found[0]} is not in the repository: commit it{f' (`{makes}` makes it)' if makes else ''}. "
            "If it is there, its first line names a program that is not, as it does with Windows' line ends."
        )
    named = "".join(f", {name}" for name in found)
    return f"A program is missing on this machine{named}: install it, or have `setup` in honk.yaml do so."


def _not_executable(end: str) -> str:
    found = _MAY_NOT_RUN.search(end)
    what, path = (found[1], str(PurePosixPath(found[1]))) if found else ("A file", "FILE")
    script = f" (`sh {what}`)" if found and PurePosixPath(what).name in _MAKES else ""
    return (
        f"{what} may not be executed: mark it (`git update-index --chmod=+x {path}`) or name its interpreter{script}."
    )
