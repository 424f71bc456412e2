"""Try attacks on this machine: many share one start of a sandbox."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

from honk.model import Command, HonkError, Limits
from honk.settings import Settings
from honk.workspace.attacks.attack import FILTER, Attack, Outcome
from honk.workspace.attacks.bait import Bait, planted
from honk.workspace.attacks.harmless import HARMLESS
from honk.workspace.sandbox import Sandbox, backend
from honk.workspace.system import interpreter

SHOWN_BY_CONTAINERS = frozenset(
    {
        "find devices and control groups below /sys",
        "see how the machine's memory is used",
        "find a setuid program that counts",
    }
)
"""What the engines leave in every container, to be read only: the hardware's names, a list of addresses without the
addresses, and programs with a setuid bit, which changes nothing where no process can gain privileges."""
_HOW = {"be refused": "refused", "find nothing": "nothing"}


def outcomes(sandbox: Sandbox, bait: Bait, attacks: Sequence[Attack]) -> list[Outcome]:
    """Try the attacks in a sandbox. Raises `HonkError` if it cannot start or they cannot be tried."""
    given = json.dumps(asdict(bait)), json.dumps({attack.name: attack.script for attack in attacks})
    command = Command((interpreter(), "-I", "-S", "-c", _probe(), *given), limits=Limits(seconds=300.0))
    done = sandbox.run(command)
    try:
        told = json.loads(done.output.rstrip().splitlines()[-1])
    except (ValueError, IndexError) as error:
        raise HonkError(f"The attacks cannot be tried: {done.output.strip()[-300:] or done.ended_by}.") from error
    found = [_outcome(attack, told["results"][attack.name], told["filtered"]) for attack in attacks]
    if backend(sandbox.settings).name == "local":
        return found
    return [
        one if one.held or one.attack.name not in SHOWN_BY_CONTAINERS
        else replace(one, told=f"{one.told} (containers show that)", skipped=True)
        for one in found
    ]  # fmt: skip


def attack_here(settings: Settings, attacks: Sequence[Attack] = HARMLESS) -> Iterator[Outcome]:
    """Try attacks in a sandbox of this machine with bait outside. Raises `HonkError` if no sandbox can start."""
    with tempfile.TemporaryDirectory(prefix="honk-attacks-") as name:
        tree, home = Path(name, "tree"), Path(name, "home")
        tree.mkdir()
        home.mkdir()
        with planted(settings.home) as bait:
            yield from outcomes(Sandbox(settings, tree, home), bait, attacks)


def held_promises(results: Iterable[Outcome]) -> list[tuple[str, bool | None, str]]:
    """A row for each promise that was attacked: its name, whether it held (None where an attack succeeded that this
    machine or version does not claim to hold off), and what was tried or what succeeded."""
    rows: list[tuple[str, bool | None, str]] = []
    for promise, group in groupby(results, key=lambda outcome: outcome.attack.promise):
        tried = list(group)
        lost = [one for one in tried if not one.held]
        held = None if lost and all(one.skipped for one in lost) else not lost
        told = "; ".join(f"{one.attack.name}: {one.told}" for one in lost)
        rows.append((promise.value, held, told or f"{len(tried)} attacks held off"))
    return rows


def _outcome(attack: Attack, came_to: Mapping[str, Any], filtered: bool) -> Outcome:
    ((how, words),) = came_to.items()
    held = how == _HOW[attack.must]
    told = words if held else f"got {words}" if how == "got" else f"{how}: {words}"
    lacking = attack.needs == FILTER and not filtered
    return Outcome(attack, held, f"{told} (needs {attack.needs})" if lacking else told, skipped=lacking)


@cache
def _probe() -> str:
    return Path(__file__).with_name("probe.py").read_text()
