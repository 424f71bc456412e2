"""The guard's door: reads changes in a process of its own, within bounds: what it reads may want to break it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import zip_longest
from typing import IO, Any

from honk.model import ChangedFile, Finding, Standing
from honk.verify.tamper.around import Around, around
from honk.verify.tamper.reporting import finding

_BEGIN = """
import gc, sys, types, honk
gc.set_threshold(20_000, 20, 20)
for name in ("verify", "verify.tamper"):
    room = sys.modules[f"honk.{name}"] = types.ModuleType(f"honk.{name}")
    room.__path__ = [f"{honk.__path__[0]}/{name.replace('.', '/')}"]
from honk.verify.tamper.reader import main
main()
"""
# The packages' own modules bring in all that runs checks and what starts this: of no use here, and half of the start.
_READER = [sys.executable, "-I", "-c", _BEGIN]
_START = 120.0
"""Seconds that the reader may take to its first word, on a machine that is busy."""
_SILENT = 60.0
"""Seconds without a word from the reader after which it is ended; it speaks at each file."""
_PER_BYTE = 10e-6
"""Seconds more for each byte of a change: between its last file and its findings the reader compares."""
_TRIES = 4
"""How often it is started again without the file it died of."""
_LONGEST = 64 << 20
"""Bytes of the longest line that is listened to."""


def guard(changed: Sequence[ChangedFile], standing: Standing | None = None) -> list[Finding]:
    """What in a change weakens what checks it, by path and line. `standing` is the commit that it leads to: where a
    file lies decides whether it runs in place of a tool, and which tests there are, whether a setting leaves some out.

    The same change gives the same findings. Nothing of it is executed, and no model is asked. A file that ends the
    reader, or takes it too long, is a serious finding `not-read`, and the rest is looked at without it.
    """
    return guard_each([changed], [standing])[0]


def guard_each(
    changes: Sequence[Sequence[ChangedFile]], standing: Sequence[Standing | None] = ()
) -> list[list[Finding]]:
    """As `guard`, for several changes that have nothing to do with each other: one start for all of them."""
    answers: list[list[Finding]] = []
    left = [list(change) for change in changes]
    arounds = [around(*one) for one in zip_longest(changes, standing[: len(changes)])]
    died: list[Finding] = []
    tries = _TRIES
    while left:
        done, at = _read(left, arounds[len(answers) :])
        for findings in done:
            answers.append(_in_order([*findings, *died]))
            died = []
        left = left[len(done) :]
        if not left:
            break
        tries -= 1
        change = left[0]
        if at is None or at >= len(change) or tries <= 0:
            message = "The change could not be read: its files as a whole ended the guard, or took it too long."
            answers.append(_in_order([*died, finding("not-read", "serious", "", None, message)]))
            left, died, tries = left[1:], [], _TRIES
            continue
        message = "The file could not be read: it ended the guard, or took it too long."
        died.append(finding("not-read", "serious", change[at].path, None, message))
        left[0] = [*change[:at], replace(change[at], before=None, after=None), *change[at + 1 :]]
    return answers


def _in_order(found: Sequence[Finding]) -> list[Finding]:
    return sorted(found, key=lambda one: (one.path, one.line or 0, one.kind, one.message))


def _read(
    changes: Sequence[Sequence[ChangedFile]], arounds: Sequence[Around]
) -> tuple[list[list[Finding]], int | None]:
    """The findings about the first changes, and at which file of the next one the reader ended."""
    done: list[list[Finding]] = []
    at: int | None = None
    patience = [_SILENT + _PER_BYTE * sum(_size(one) for one in change) for change in changes]
    with tempfile.TemporaryFile() as handed:
        _hand_over(changes, arounds, handed)
        handed.seek(0)
        with _Reader(handed) as reader:
            wait = _START
            while (word := reader.word(wait)) is not None:
                if isinstance(word, int):
                    at = word
                else:
                    done.append([Finding(**one) for one in word])
                    at = None
                wait = patience[min(len(done), len(patience) - 1)]
    return done, at


class _Reader:
    """The process that reads. It is gone when the block is left."""

    def __init__(self, handed: IO[bytes]) -> None:
        self._process = subprocess.Popen(
            _READER, stdin=handed, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_environment(), cwd="/",
            start_new_session=True,
        )  # fmt: skip

    def __enter__(self) -> _Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        if self._process.stdout:
            self._process.stdout.close()
        self._process.wait()

    def word(self, seconds: float) -> Any:
        """What it says next: a number or a list; None once it ended, or said nothing for so long."""
        said = self._process.stdout
        timer = threading.Timer(seconds, self._process.kill)
        timer.start()
        try:
            line = said.readline(_LONGEST) if said else b""
            return json.loads(line) if line else None
        except ValueError:
            return None
        finally:
            timer.cancel()


def _environment() -> dict[str, str]:
    return {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0"}


def _hand_over(changes: Sequence[Sequence[ChangedFile]], arounds: Sequence[Around], to: IO[bytes]) -> None:
    """A line of JSON about all files and what stands around them, then their contents one after the other."""
    listed = [
        [
            [
                [one.path, one.old_path, one.mode_before, one.mode_after, _length(one.before), _length(one.after)]
                for one in change
            ],
            asdict(beside),
        ]
        for change, beside in zip(changes, arounds, strict=True)
    ]
    to.write(json.dumps(listed).encode() + b"\n")
    for change in changes:
        for one in change:
            to.write(one.before or b"")
            to.write(one.after or b"")
    to.flush()


def _size(one: ChangedFile) -> int:
    return len(one.before or b"") + len(one.after or b"")


def _length(data: bytes | None) -> int | None:
    return None if data is None else len(data)
