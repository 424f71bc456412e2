from __future__ import annotations

import pytest

from honk.verify.tamper import guard
from tests.tamper.table import changed, kinds, looked_at, row

PYTHON = "import os\n\n\ndef price(basket):\n    total = sum(basket)\n    return total\n"
TYPESCRIPT = "export function price(basket: number[]) {\n  const total = sum(basket)\n  return total\n}\n"
JAVA = "class Prices {\n    int price(int[] basket) {\n        return total(basket);\n    }\n}\n"
RUST = "fn price(basket: &[i32]) -> i32 {\n    total(basket)\n}\n"
GO = "package prices\n\nfunc Price(basket []int) int {\n\treturn total(basket)\n}\n"
KOTLIN = "class Prices {\n    fun price(basket: List<Int>): Int = total(basket)\n}\n"
SWIFT = "func price(basket: [Int]) -> Int {\n    return total(basket)\n}\n"
TOTAL = "    total = sum(basket)"


def _row(path: str, text: str, old: str, new: str, *expected: str):
    assert old in text, old
    return row(path, text, text.replace(old, new, 1), *expected)


ROWS = {
    "noqa": _row("prices.py", PYTHON, "import os", "import os  # noqa", "linter-silenced"),
    "noqa for a rule": _row("prices.py", PYTHON, "import os", "import os  # noqa: F401", "linter-silenced"),
    "type: ignore": _row("prices.py", PYTHON, TOTAL, TOTAL + "  # type: ignore[arg-type]", "linter-silenced"),
    "pyright": _row("prices.py", PYTHON, "import os", "# pyright: basic\nimport os", "linter-silenced"),
    "mypy": _row("prices.py", PYTHON, "import os", "# mypy: ignore-errors\nimport os", "linter-silenced"),
    "pylint": _row("prices.py", PYTHON, TOTAL, "    # pylint: disable=all\n" + TOTAL, "linter-silenced"),
    "ruff": _row("prices.py", PYTHON, "import os", "# ruff: noqa\nimport os", "linter-silenced"),
    "bandit": _row("prices.py", PYTHON, TOTAL, TOTAL + "  # nosec", "linter-silenced"),
    "no cover": _row("prices.py", PYTHON, "basket):", "basket):  # pragma: no cover", "linter-silenced"),
    "eslint": _row("prices.ts", TYPESCRIPT, "export", "/* eslint-disable */\nexport", "linter-silenced"),
    "eslint for a line": _row(
        "prices.ts", TYPESCRIPT, "  return", "  // eslint-disable-next-line no-undef\n  return", "linter-silenced"
    ),
    "@ts-ignore": _row("prices.ts", TYPESCRIPT, "  const", "  // @ts-ignore\n  const", "linter-silenced"),
    "@ts-nocheck": _row("prices.ts", TYPESCRIPT, "export", "// @ts-nocheck\nexport", "linter-silenced"),
    "istanbul": _row("prices.ts", TYPESCRIPT, "export", "/* istanbul ignore next */\nexport", "linter-silenced"),
    "biome": _row("prices.ts", TYPESCRIPT, "  const", "  // biome-ignore lint: x\n  const", "linter-silenced"),
    "@SuppressWarnings": _row(
        "Prices.java", JAVA, "    int", '    @SuppressWarnings("all")\n    int', "linter-silenced"
    ),
    "NOSONAR": _row("Prices.java", JAVA, "basket);", "basket); // NOSONAR", "linter-silenced"),
    "allow": _row("prices.rs", RUST, "fn price", "#[allow(unused)]\nfn price", "linter-silenced"),
    "allow for a file": _row("prices.rs", RUST, "fn price", "#![allow(warnings)]\n\nfn price", "linter-silenced"),
    "nolint": _row("prices.go", GO, "total(basket)", "total(basket) //nolint", "linter-silenced"),
    "@Suppress": _row("Prices.kt", KOTLIN, "    fun", '    @Suppress("UNCHECKED_CAST")\n    fun', "linter-silenced"),
    "swiftlint": _row("Prices.swift", SWIFT, "func", "// swiftlint:disable all\nfunc", "linter-silenced"),
    "shellcheck": _row("run.sh", "#!/bin/sh\nrm $1\n", "rm", "# shellcheck disable=SC2086\nrm", "linter-silenced"),
    # What honest changes look like.
    "the words in a text": _row("prices.py", PYTHON, "return total", "return '# noqa and # type: ignore'"),
    "the words in TypeScript's text": _row("prices.ts", TYPESCRIPT, "return total", "return '// @ts-ignore'"),
    "new code with its exception": _row(
        "prices.py",
        PYTHON,
        "    return total\n",
        "    return total\n\n\ndef raw():\n    return eval('1')  # noqa: S307\n",
    ),
    "less is silenced": row("prices.py", "import os  # noqa\n", "import os  # noqa: F401\n"),
    "nothing is silenced any more": row("prices.py", "import os  # noqa\n", "import os\n"),
    "code changes under its comment": row(
        "prices.py", "total = sum(a)  # type: ignore\n", "total = sum(a, b)  # type: ignore\n"
    ),
    "an exception moves in the file": row(
        "prices.py", "import os  # noqa\nimport sys\n", "import sys\n\nimport os  # noqa\n"
    ),
}


@pytest.fixture(scope="module")
def found() -> dict[str, set[str]]:
    return {name: kinds(findings) for name, findings in looked_at(ROWS).items()}


@pytest.mark.parametrize("name", ROWS)
def test_the_guard_sees_what_is_silenced(name, found):
    assert found[name] == ROWS[name].kinds


def test_code_that_moves_to_another_file_takes_its_exception_along():
    line = "total = sum(basket)  # type: ignore[arg-type]\n"
    change = [changed("prices.py", line + "a = 1\n", "a = 1\n"), changed("totals.py", "b = 1\n", "b = 1\n" + line)]

    assert kinds(guard(change)) == set()


def test_an_exception_that_moves_to_other_code_is_one_there():
    before = "total = sum(basket)  # type: ignore\nprice = cut(total)\n"
    after = "total = sum(basket)\nprice = cut(total)  # type: ignore\n"

    (finding,) = guard([changed("prices.py", before, after)])

    assert (finding.kind, finding.line) == ("linter-silenced", 2)
    assert finding.evidence == "price = cut(total) # type: ignore"
