"""What is told of a check that passed."""

from __future__ import annotations

import re

from honk.verify.distil.cleaning import clean, cut, mask

# Numbers that are added up when a tool reports several times.
_COUNTED = (
    (re.compile(r"^Ran (\d+) tests?\b"), "Ran {} test{s}"),
    (re.compile(r"^test result: ok\. (\d+) passed"), "{} passed"),
)
_GREEN = (
    re.compile(r"^=*[ ]?(\d+ passed[^=]*?)(?: in [\d.]+\s?m?s.*)?=*$"),
    re.compile(r"^\s*Tests:?\s+(\d+ .*?)$"),
    re.compile(r"^[#ℹ] (pass \d+)$"),
    re.compile(r"^\s*(\d+ passing)\b"),
    re.compile(r"(Tests run: \d+)"),
    re.compile(r"^(Success: no issues found in \d+ source files?)$"),
    re.compile(r"^(\d+ files? already formatted)$"),
    re.compile(r"^(0 errors, \d+ warnings, \d+ informations?)"),
    re.compile(r"^(\d+% tests passed), 0 tests failed"),
    re.compile(r"^Executed \d+ out of \d+ tests?: (\d+ tests? pass(?:es)?)\.$"),  # bazel
)
_TELLING = ("Ran ", "pass", "Tests", "Success", "formatted", "0 errors")


def green_line(output: str) -> str:
    """One short line for a check that passed."""
    telling = (line for line in output.split("\n") if any(word in line for word in _TELLING))
    lines = [mask(line) for line in clean("\n".join(telling)) if line]
    for pattern, words in _COUNTED:
        if counts := [int(found[1]) for line in lines if (found := pattern.match(line))]:
            return words.format(sum(counts), s="" if sum(counts) == 1 else "s")
    for pattern in _GREEN:
        if said := next((found[1].strip() for line in reversed(lines) if (found := pattern.search(line))), None):
            return f"{said.removeprefix('pass ')} passed" if said.startswith("pass ") else cut(said, 100)
    return "passed"
