"""The process that reads a change: bounded, without anything it could want. Started by `guard`."""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import IO

from honk.model import ChangedFile
from honk.verify.tamper.around import Around
from honk.verify.tamper.inspection import inspect

_MEMORY = 4 << 30
_SECONDS = 600


def main() -> None:
    """Read changes from standard input; write a number before each file and a list of findings after each change."""
    _bounded()
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def say(value: object) -> None:
        out.write(json.dumps(value) + "\n")

    for change, around in _changes(sys.stdin.buffer):
        say([asdict(one) for one in inspect(change, around, say)])


def _bounded() -> None:
    limits = {resource.RLIMIT_AS: _MEMORY, resource.RLIMIT_CPU: _SECONDS, resource.RLIMIT_CORE: 0,
              resource.RLIMIT_FSIZE: 0, resource.RLIMIT_NOFILE: 64}  # fmt: skip
    for what, limit in limits.items():
        _, most = resource.getrlimit(what)
        bound = limit if most == resource.RLIM_INFINITY else min(limit, most)
        try:
            resource.setrlimit(what, (bound, bound))
        except (OSError, ValueError):
            # macOS refuses some of them.
            continue


def _changes(handed: IO[bytes]) -> Iterator[tuple[list[ChangedFile], Around]]:
    def taken(length: int | None) -> bytes | None:
        return None if length is None else handed.read(length)

    for change, around in json.loads(handed.readline()):
        files = [
            ChangedFile(path, taken(before), taken(after), mode_before, mode_after, old_path)
            for path, old_path, mode_before, mode_after, before, after in change
        ]
        yield files, Around(**around)


if __name__ == "__main__":
    main()
