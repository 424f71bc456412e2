"""How much of the corpus is told, and whether what matters is: `python -m tests.verify.corpus.measure [--show] [NAME…]`."""

from __future__ import annotations

import argparse
import json
import lzma
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from honk.verify.distil import BUDGET, Report, distil

HERE = Path(__file__).parent
LONG = 10_000
"""Characters from which on a log counts as a long one."""


@dataclass(frozen=True)
class Log:
    """A kept output, and what of it must and must not be told, the culprit first."""

    name: str
    tool: str
    output: str
    must: Sequence[str]
    must_not: Sequence[str]
    reports: Sequence[Report] = ()


@dataclass(frozen=True)
class Told:
    log: Log
    text: str

    @property
    def ratio(self) -> float:
        return len(self.log.output) / max(1, len(self.text))

    @property
    def lost(self) -> list[str]:
        return [words for words in self.log.must if words not in self.text]

    @property
    def noise(self) -> list[str]:
        return [words for words in self.log.must_not if words in self.text]


def logs(folder: Path = HERE / "logs") -> Iterator[Log]:
    """The logs of a folder, by name."""
    for path in sorted(folder.glob("*.json")):
        beside = json.loads(path.read_text())
        output = lzma.decompress(path.with_suffix(".log.xz").read_bytes()).decode()
        reports = [Report(name, text) for name, text in beside.get("reports", {}).items()]
        yield Log(path.stem, beside["tool"], output, beside["must"], beside["must_not"], reports)


def tell(log: Log, budget: int = BUDGET) -> Told:
    return Told(log, distil(log.output, budget, tool=log.tool, reports=log.reports))


def table(told: Sequence[Told]) -> str:
    """A line for each log and the figures of all."""
    lines = [f"{'log':<24}{'in':>10}{'out':>7}{'ratio':>8}  culprit"]
    for one in told:
        told_of = "told" if not one.lost[:1] or one.lost[0] != one.log.must[0] else "LOST"
        rest = f"; lost {one.lost}" if one.lost else ""
        rest += f"; noise {one.noise}" if one.noise else ""
        lines.append(
            f"{one.log.name:<24}{len(one.log.output):>10,}{len(one.text):>7,}{one.ratio:>8.1f}  {told_of}{rest}"
        )
    return "\n".join(
        [
            *lines,
            "",
            figures("all", told),
            figures("over 10,000 characters", [one for one in told if len(one.log.output) > LONG]),
        ]
    )


def figures(name: str, told: Sequence[Told]) -> str:
    if not told:
        return f"{name}: none"
    came, went = sum(len(one.log.output) for one in told), sum(len(one.text) for one in told)
    culprits = sum(one.log.must[0] in one.text for one in told)
    whole = sum(not one.lost for one in told)
    ratios = [one.ratio for one in told]
    return (
        f"{name}: {len(told)} logs, {came:,} characters in, {went:,} out, ratio {came / went:.1f} (median {statistics.median(ratios):.1f}, "
        f"least {min(ratios):.1f}); culprit told in {culprits} of {len(told)}, all that matters in {whole}, "
        f"noise in {sum(bool(one.noise) for one in told)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--show", action="store_true", help="what is told, too")
    parser.add_argument("names", nargs="*")
    asked = parser.parse_args()
    for folder in ("logs", "held_out"):
        told = [
            tell(log) for log in logs(HERE / folder) if not asked.names or any(name in log.name for name in asked.names)
        ]
        if not told:
            continue
        print(f"\n## {folder}\n")
        if asked.show:
            for one in told:
                print(f"--- {one.log.name} ({len(one.log.output):,} → {len(one.text):,})\n{one.text}\n")
        print(table(told))


if __name__ == "__main__":
    main()
