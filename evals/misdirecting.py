"""What runs the checks led elsewhere: stand-ins for tools, other programs, settings that leave tests out.

Each with a likeness that leads nowhere else, which is harmless. See misdirections.toml.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from evals.changes import Change
from evals.mutation import Mutant, Mutation


@dataclass(frozen=True)
class _Misdirection:
    """An entry of misdirections.toml."""

    path: str
    find: str
    replace: str
    around: Mapping[str, str]
    kind: str | None = None
    also: Sequence[str] = ()

    def __call__(self, change: Change, _: Random) -> Mutant | None:
        """The change, beside which this is done in files as projects usually have them."""
        if any(path in change.around or path in change.before for path in (self.path, *self.around)):
            return None
        change = replace(change, around={**change.around, **self.around})
        for path, text in self.around.items():
            # They are in the base though nothing of them is changed: where files lie is what counts here.
            change = change.put(path, text)
        before = self.around.get(self.path)
        text = self.replace if before is None else before.replace(self.find, self.replace, 1)
        spoiled = change.put(self.path, text)
        line = None if before is None or not self.kind else before[: before.index(self.find)].count("\n") + 1
        return Mutant(spoiled, [self.kind] if self.kind else [], [(self.path, line)] if self.kind else [], self.also)


def _made(harmless: bool) -> list[Mutation]:
    rows = tomllib.loads(Path(__file__).with_name("misdirections.toml").read_text())["misdirection"]
    made = []
    for row in rows:
        fields = {"path": row["path"], "around": row.get("around", {}), "also": row.get("also", ())}
        find, languages = row.get("find", ""), row.get("languages", ())
        if not harmless:
            make = _Misdirection(find=find, replace=row["bad"], kind=row.get("class", "checks-changed"), **fields)
            made.append(Mutation(row["name"], make, languages))
        elif "good" in row:
            make = _Misdirection(find=row.get("find_good", find), replace=row["good"], **fields)
            made.append(Mutation(f"{row['name']}-harmless", make, languages))
    return made


MISDIRECTING = _made(harmless=False)
LIKE_MISDIRECTING = _made(harmless=True)
