"""What the readers of all languages share."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from honk.verify.tamper.conditions import is_literal, with_wildcards
from honk.verify.tamper.facts import Assertion, Test, Token, written

ASSERTING_NAME = re.compile(
    r"^_?_?(assert|expect|verify|check|ensure|should|must|require)(?=$|[_A-Z])|^fail$|^XCT(Assert|Fail|Unwrap)"
)
"""How functions that assert are named."""

_SILENCING = (
    "noqa", "type: ignore", "type:ignore", "pylint:", "pyright:", "mypy:", "ruff:", "flake8:", "nosec", "no cover",
    "nocover", "no branch", "isort:", "fmt:", "yapf:", "eslint", "tslint:", "jshint", "jslint", "@ts-", "istanbul",
    "c8 ignore", "v8 ignore", "node:coverage", "biome-ignore", "rome-ignore", "deno-lint-ignore", "prettier-ignore",
    "swift-format-ignore", "oxlint-", "stylelint-", "nolint", "lint:", "nosonar", "checkstyle", "nopmd", "noinspection",
    "swiftlint:", "ktlint-", "detekt:", "rubocop:", "nosemgrep", "lgtm", "codeql[", "@phpstan", "@psalm", "phpcs:",
    "shellcheck", "hadolint", "suppress", "allow(", "expect(", "pragma", "clang-format", "@formatter", "rustfmt::skip",
    "gitleaks:", "$flow", "noflow",
)  # fmt: skip


def may_silence(text: str) -> bool:
    """Whether there may be something in a file that switches a check off: looking for these words first is quick."""
    low = text.lower()
    return any(word in low for word in _SILENCING)


_TOLERANCE = re.compile(
    r"\b(?P<how>rel|abs|rtol|atol|delta|rel_tol|abs_tol|tolerance|eps(?:ilon)?|accuracy|within|offset"
    r"|places|decimals?|precision|digits|num_?digits)\s?[=:]\s?(?P<number>\d[\d_.]*(?:e[+-]?\d+)?)",
    re.IGNORECASE,
)
_FEWER_IS_LOOSER = ("places", "decimal", "precision", "digits", "num")


def tolerance_in(text: str) -> float | None:
    """The largest tolerance that an assertion names, as a distance."""
    found = []
    for one in _TOLERANCE.finditer(text):
        number = float(one["number"].replace("_", ""))
        found.append(10.0 ** -min(number, 300) if one["how"].lower().startswith(_FEWER_IS_LOOSER) else number)
    return max(found, default=None)


def locals_put_in(assertions: Sequence[Assertion], local: Mapping[str, Sequence[Token] | None]) -> list[Assertion]:
    """Assertions with written-out values where they compare with a variable that has one."""
    return [with_wildcards(_with_value(one, local)) for one in assertions]


def _with_value(one: Assertion, local: Mapping[str, Sequence[Token] | None]) -> Assertion:
    subject, expected = one.subject, one.expected
    value = local.get(expected)
    if value is None and not one.literal and (turned := local.get(subject)) and is_literal(turned):
        subject, expected, value = expected, subject, turned
    if not value or not is_literal(value):
        return one
    text = f"{one.text} where {written(value)}"
    return replace(one, text=text, subject=subject, expected=written(value), literal=True)


def weigh_helpers(tests: list[Test]) -> None:
    """Count calls of functions that assert as so many assertions, and drop those that assert nothing."""
    weights = {test.name.rsplit(".", 1)[-1]: test.asserted for test in tests if test.helper and test.assertions}
    for test in tests:
        known = {one.form for one in test.assertions}
        test.assertions = [replace(one, weight=max(one.weight, weights.get(one.form, 1))) for one in test.assertions]
        for name in sorted((test.calls & weights.keys()) - known):
            if name != test.name.rsplit(".", 1)[-1]:
                call = Assertion(test.line, f"{name}()", name, name, own=True, weight=weights[name])
                test.assertions.append(call)
    tests[:] = [test for test in tests if not test.helper or test.assertions or test.sleeps]
