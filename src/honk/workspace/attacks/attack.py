"""The nouns: a promise, an attack on it, and what came of the attack."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Promise(StrEnum):
    """What the sandbox promises, by the name it has in SECURITY.md."""

    FILES = "files"
    PROCESSES = "processes"
    SOCKETS = "sockets"
    ENVIRONMENT = "environment"
    KEYRING = "keyring"
    NETWORK = "network"
    KERNEL = "kernel"
    PRIVILEGES = "privileges"
    GIT = "git"
    LINKS = "links"
    ADDRESSES = "addresses"
    SECRETS = "secrets"
    MASKING = "masking"


PROMISES = {
    Promise.FILES: "It sees the workspace, a private home, /tmp and the system's programs (read-only); not the "
    "person's home, Honk's home, other tasks, or any other file of the machine",
    Promise.PROCESSES: "It sees, signals, traces and reads no process but its own",
    Promise.SOCKETS: "It reaches no socket of the machine: not Docker's, D-Bus's, the SSH agent's, X11's, nor one "
    "without a path",
    Promise.ENVIRONMENT: "It gets no variable, open file or terminal of Honk's",
    Promise.KEYRING: "It gets nothing out of the kernel's keyrings of the user Honk runs as",
    Promise.NETWORK: "It has no network but through the gateway: no loopback of the machine, no neighbours, no "
    "names, no cloud metadata",
    Promise.KERNEL: "It changes nothing of the machine: no kernel settings, devices, mounts, clock or host name",
    Promise.PRIVILEGES: "It has no capability and gains none: not by setuid programs, user namespaces or limits of "
    "its own",
    Promise.GIT: "Hooks, programs and configuration in a repository or a workspace never run outside a sandbox",
    Promise.LINKS: "Links in a tree lead Honk nowhere: it neither reads nor writes outside of the tree",
    Promise.ADDRESSES: "Addresses of submodules and of large files are fetched by the same rules as everything else",
    Promise.SECRETS: "No secret of Honk's or of the person's is inside, so none comes out",
    Promise.MASKING: "What has the shape of a secret is masked in the log, pages, posts, errors and Honk's own output",
}
"""Each promise in a sentence about what runs in a sandbox."""

FILTER = "a system-call filter"


@dataclass(frozen=True)
class Attack:
    """One try to break a promise from inside a sandbox.

    `script` is Python, run in a process of its own with `bait` (see `Bait`), `got(what)` for what it must not get,
    and the helpers of `probe.py`. The promise holds if it is `refused`, which means that it ended with an `OSError`,
    or if it finds `nothing`, which means that it came to its end; never if it `got` something, and never if the
    script itself is broken.
    """

    name: str
    promise: Promise
    script: str
    must: Literal["be refused", "find nothing"] = "be refused"
    works_outside: bool = False
    """It gets something without a sandbox, whoever runs it, and harms nothing by it: so it is worth something."""
    needs: str = ""
    """What a machine or a sandbox must have for the attack to be held off."""


@dataclass(frozen=True)
class Outcome:
    """What came of an attack; `told` says what it got, or how it was held off."""

    attack: Attack
    held: bool
    told: str
    skipped: bool = False
