"""Replays that were made, kept in Honk's home so that the next one stands beside the last."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from honk.evals.case import Case
from honk.evals.figures import Figures, Rate, missed, untrue
from honk.evals.replay import Replayed

_FOLDER = "evals"


def set_digest(cases: Sequence[Case]) -> str:
    """The SHA-256 of what is replayed: equal sets have equal ones, wherever they lie."""
    digest = hashlib.sha256()
    for case in cases:
        digest.update(case.model_dump_json(by_alias=True).encode())
    return digest.hexdigest()


def as_data(value: Any) -> Any:
    """Figures as JSON has them: each rate with its share and its interval."""
    if isinstance(value, Rate):
        low, high = value.interval
        share = None if value.value is None else round(value.value, 4)
        return {"hits": value.hits, "of": value.of, "value": share, "interval": [round(low, 4), round(high, 4)]}
    if isinstance(value, Mapping):
        return {name: as_data(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_data(item) for item in value]
    if hasattr(value, "__dataclass_fields__"):
        return {name: as_data(getattr(value, name)) for name in value.__dataclass_fields__}
    return value


def run_data(
    place: Path, digest: str, replayed: Sequence[Replayed], reckoned: Figures, *, at: datetime, version: str
) -> dict[str, Any]:
    """A run as it is kept and printed. Texts of the cases are left out: their ids lead there."""
    return {
        "at": at.isoformat(timespec="seconds"),
        "honk": version,
        "set": str(place),
        "digest": digest,
        "figures": as_data(reckoned),
        "cases": [
            {
                "id": seen.case.id,
                "label": seen.case.truth.label,
                "missed": missed(seen),
                "untrue": [asdict(finding) for finding in untrue(seen)],
                "verdict": asdict(seen.verdict) if seen.verdict else None,
            }
            for seen in replayed
        ],
    }


def last_run(home: Path, place: Path, digest: str) -> dict[str, Any] | None:
    """The newest run of the same set; if there is none, of the same place with what was in it then."""
    runs = []
    for file in sorted((home / _FOLDER).glob("*.json"), reverse=True):
        try:
            run = json.loads(file.read_text())
        except (OSError, ValueError):
            continue
        if run.get("digest") == digest:
            return dict(run)
        if run.get("set") == str(place):
            runs.append(dict(run))
    return runs[0] if runs else None


def keep_run(home: Path, run: Mapping[str, Any]) -> Path:
    """Put a run down; its file."""
    folder = home / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    stamp = str(run["at"]).replace(":", "").replace("+0000", "")
    number = 0
    while (file := folder / f"{stamp}-{number:03}.json").exists():
        number += 1
    partial = file.with_suffix(f".{os.getpid()}.partial")
    partial.write_text(json.dumps(run, ensure_ascii=False))
    partial.rename(file)
    return file
