"""Why a command did not end well, in the few lines that let somebody act."""

from __future__ import annotations

import re

from honk.model import Completed
from honk.verify.distil import naming
from honk.verify.report_files import NONE_RAN

_END = 4_000
"""Characters at the end of an output in which its last words are looked for."""
_NOT_FOUND = re.compile(r"(?:^|[\s:])([^\s:]+): (?:command )?not found\s*$", re.MULTILINE)
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
        found = _NOT_FOUND.search(end)
        named = f", {found[1]}" if found else ""
        parts.append(f"A program is missing on this machine{named}: install it, or have `setup` in honk.yaml do so.")
    elif done.exit_code == 126:
        parts.append(
            "A file may not be executed: mark it (`git update-index --chmod=+x FILE`) or name its interpreter."
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
