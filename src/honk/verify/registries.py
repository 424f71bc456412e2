"""Where this machine's package managers fetch from, asked of the tools themselves."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache
from urllib.parse import urlsplit

_PIP = "from pip._internal.models.index import PyPI; print(PyPI.url); print('https://' + PyPI.file_storage_domain)"


@cache
def registry_hosts() -> tuple[str, ...]:
    """Hosts that set-up may reach besides what `egress` names: the registries pip and npm are set up with here."""
    python = shutil.which("python3") or sys.executable
    answers = [
        _ask(python, "-c", _PIP),
        _ask(python, "-m", "pip", "config", "get", "global.index-url"),
        os.environ.get("PIP_INDEX_URL", ""),
        os.environ.get("PIP_EXTRA_INDEX_URL", ""),
    ]
    if npm := shutil.which("npm"):
        answers.append(_ask(npm, "config", "get", "registry"))
    hosts: dict[str, None] = {}
    for address in "\n".join(answers).split():
        parts = urlsplit(address)
        if parts.scheme in ("http", "https") and parts.hostname:
            hosts[f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"] = None
    return tuple(hosts)


def _ask(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
