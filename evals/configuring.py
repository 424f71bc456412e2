"""What checks a project made weaker: its CI, its linters, its coverage, its scripts, its versions. See edits.toml."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from evals.changes import LARGEST_FILE, Change
from evals.mutation import Mutant, Mutation, line_at

_COMMANDS = {
    "python": ("ruff check .", "python -m pytest"),
    "javascript": ("npx eslint .", "npm test"),
    "typescript": ("npx eslint .", "npm test"),
    "go": ("golangci-lint run", "go test ./..."),
    "java": ("mvn -B checkstyle:check", "mvn -B verify"),
    "rust": ("cargo clippy -- -D warnings", "cargo test"),
}


@dataclass(frozen=True)
class _Edit:
    """An entry of edits.toml."""

    kind: str
    files: str
    find: str
    path: str
    stock: str
    replace: str = ""
    lower: float | None = None
    also: Sequence[str] = ()
    languages: Sequence[str] = ()

    def __call__(self, change: Change, _: Random) -> Mutant | None:
        """The first file in which it can be done, weaker."""
        for path, text, around in self._files(change):
            found = re.search(self.find, text)
            if found:
                weaker = text[: found.start()] + self._weaker(found) + text[found.end() :]
                spoiled = replace(change, around=around).put(path, weaker)
                return Mutant(spoiled, [self.kind], [(path, line_at(text, found.start()))], self.also)
        return None

    def _files(self, change: Change) -> list[tuple[str, str, dict[str, str]]]:
        """Files it may be in, each with what is around the change then: the project's own, then the usual one."""
        around = dict(change.around)
        there = {path: change.now(path) for path in sorted({*around, *change.after}) if re.search(self.files, path)}
        own = [(path, text, around) for path, text in there.items() if text and len(text) <= LARGEST_FILE]
        if change.now(self.path) is None:
            lint, test = _COMMANDS[change.package.language]
            usual = self.stock.replace("{lint}", lint).replace("{test}", test)
            own.append((self.path, usual, {**around, self.path: usual}))
        return own

    def _weaker(self, found: re.Match[str]) -> str:
        if self.lower is None:
            return found.expand(self.replace)
        number = float(found["number"])
        low = number * self.lower if self.lower < 1 else number - self.lower
        start, end = found.start("number") - found.start(), found.end("number") - found.start()
        return found[0][:start] + (f"{low:.2f}" if number < 1 else f"{low:.0f}") + found[0][end:]


def _edits() -> list[Mutation]:
    rows = tomllib.loads(Path(__file__).with_name("edits.toml").read_text())["edit"]
    return [Mutation(row.pop("name"), _Edit(kind=row.pop("class"), **row), row.get("languages", ())) for row in rows]


CONFIGURING = _edits()
