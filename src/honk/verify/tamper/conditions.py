"""How much an assertion asserts, from the names and operators it is written with.

Strengths are steps of one scale: 4 for one value only, 3.5 and 3 for a part of a value, a pattern or a tolerance, 2 for
a range, a type or "anything but", 1 for mere presence or truth, 0 for what is always true.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from honk.verify.tamper.facts import Assertion, Token, written

EXACT, PART, RANGE, PRESENT, VACUOUS = 4.0, 3.0, 2.0, 1.0, 0.0

_NAMES: tuple[tuple[float, str], ...] = (
    (3.5, r"snapshot"),
    (PRESENT, r"not_?to_?be_?(null|nil|none|undefined|falsy)|(is)?_?not_?(null|nil|none|undefined|empty|blank|falsy)"),
    (
        PRESENT,
        r"non_?null|defined$|truthy|falsy|^ok$|exists?$|^exist|^(be_?)?called$|been_?called$|any_?call|is_?present",
    ),
    (
        PRESENT,
        r"^is_?(some|ok|present|success|right)|^unwrap$|invoked$|no_?(throw|raise|error)|not_?(to_?)?(throw|raise)",
    ),
    (RANGE, r"(^|_)not_|^(is_?)?not|not_?equals?|_ne$|^ne$|does_?not|differ|unequal|refute"),
    (3.5, r"called_?(once_?)?with|has_?calls|invoked_?with|awaited_?(once_?)?with|returned_?with"),
    (
        PART,
        r"called_?(once|times)|call_?count|awaited_?once|exactly|times$|elements_?match|count_?equal|same_?elements",
    ),
    (PART, r"almost|close|delta|accuracy|approx|epsilon|within|tolerance|all_?close|offset"),
    (
        PART,
        r"contain|match|includ|starts?_?with|ends?_?with|regex|subset|superset|propert|has_?(key|item|value)|members",
    ),
    (RANGE, r"greater|less|above|below|at_?least|at_?most|between|positive|negative|bigger|smaller"),
    (RANGE, r"instance|_?is_?a$|typeof|type_?of|^type$|implements|assignable|satisf"),
    (2.5, r"throw|raise|reject|fails|panic|warns|error"),
    (EXACT, r"null$|nil$|none$|undefined$|nan$"),
    (3.5, r"empty$|blank$"),
    (PART, r"length|size|count|len$"),
    (1.5, r"true$|false$"),
    (EXACT, r"equal|same|identical|to_?be$|^is$|^be$|eq$|eql$|identity"),
)
_NAMES_READ = tuple((strength, re.compile(pattern)) for strength, pattern in _NAMES)
_OPERATORS = {"==": EXACT, "===": EXACT, "is": EXACT, "!=": RANGE, "!==": RANGE, "is not": RANGE, "in": PART}
_ORDERS = {"<", ">", "<=", ">="}
_OPPOSITE = {
    "==": "!=", "!=": "==", "===": "!==", "!==": "===", "is": "is not", "is not": "is", "in": "not in", "not in": "in",
    "<": ">=", ">=": "<", ">": "<=", "<=": ">", "instanceof": "not instanceof",
}  # fmt: skip
_COMPARES = {*_OPPOSITE, "not in", "instanceof", "!in", "!is"}
_NOTHING = {"None", "null", "nil", "undefined", "NULL"}
_TRUE = {"True", "true"}
_FALSE = {"False", "false"}
_OPEN, _CLOSE = {"(", "[", "{"}, {")", "]", "}"}
_WILD = re.compile(
    r"\b(mock\.ANY|ANY|mock\.Anything|expect\.any(thing)?\b|expect\.(object|array|string)(Containing|Matching)"
    r"|any[A-Z]\w*\s?\(|any\s?\(\s?\)|ArgumentMatchers|isA\s?\(|is_any)"
)
_CALL = re.compile(r"(\w+) ?[!?]?$")


def strength_of(name: str) -> float:
    """How much a matcher or assertion of this name asserts, as names go in the field's testing libraries."""
    low = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().strip("_")
    low = re.sub(
        r"^(xct)?_?(debug_)?(prop_)?assert_?(that_?)?|^should_?(be_?)?(?=.)|^to_?(?=(be|have)_)|^is_(?=.*_)", "", low
    )
    for strength, pattern in _NAMES_READ:
        if pattern.search(low):
            return strength
    return RANGE


@dataclass(frozen=True)
class Compared:
    """A condition taken apart."""

    form: str
    subject: str
    expected: str
    literal: bool
    strength: float


def split(tokens: Sequence[Token], separators: set[str]) -> list[list[Token]]:
    """The parts between separators that stand outside of any brackets."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in tokens:
        depth += (token.text in _OPEN) - (token.text in _CLOSE)
        if depth == 0 and token.text in separators:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def bare(tokens: Sequence[Token]) -> list[Token]:
    """Without brackets around the whole."""
    found = list(tokens)
    while len(found) > 2 and found[0].text == "(" and found[-1].text == ")" and _closes_at_end(found):
        found = found[1:-1]
    return found


def is_literal(tokens: Sequence[Token]) -> bool:
    """Whether only values stand there: numbers, texts and collections of them."""
    return any(token.literal for token in tokens) and all(
        token.literal
        or not (token.text[:1].isalpha() or token.text[:1] == "_")
        or token.text in _PLAIN
        or (at + 1 < len(tokens) and tokens[at + 1].text in {":", "="})
        for at, token in enumerate(tokens)
    )


_PLAIN = {"vec", "vec!", "Some", "Ok", "None", "list", "dict", "set", "tuple", "listOf", "mapOf", "setOf", "to", "List",
          "of", "Map", "Set", "Arrays", "asList", "string", "int", "byte", "new", "float64", "int64", "map", "u8",
          "String",           "from", "to_string", "as"}  # fmt: skip


def conditions(tokens: Sequence[Token], *, negated: bool = False) -> Iterator[Compared]:
    """What a condition demands; one for each part that has to hold. `negated` where it has to be false."""
    tokens = bare(tokens)
    if len(split(tokens, {","})) > 1:
        # A tuple is true whatever is in it.
        yield Compared("always", written(tokens), "", False, VACUOUS)
        return
    while tokens and tokens[0].text in {"!", "not"} and len(split(tokens, {"&&", "||", "and", "or"})) == 1:
        negated, tokens = not negated, bare(tokens[1:])
    both, either = ({"||", "or"}, {"&&", "and"}) if negated else ({"&&", "and"}, {"||", "or"})
    alternatives = split(tokens, either)
    if len(alternatives) > 1:
        yield _weakest(tokens, [list(conditions(part, negated=negated)) for part in alternatives])
        return
    for part in split(tokens, both):
        if len(part) == len(tokens):
            yield _compared(tokens, negated)
        else:
            yield from conditions(part, negated=negated)


def asserting(line: int, text: str, tokens: Sequence[Token], *, negated: bool = False) -> Iterator[Assertion]:
    """Assertions that a condition has to hold, or, `negated`, that it must not."""
    for one in conditions(tokens, negated=negated):
        yield Assertion(line, text, one.form, one.subject, one.expected, one.literal, one.strength)


def naming(line: int, text: str, name: str, operands: Sequence[Sequence[Token]]) -> Assertion:
    """An assertion by a function or matcher of this name on these operands."""
    strength, tolerance = strength_of(name), None
    if len(operands) > 2 and (number := _number(written(operands[2]))) is not None:
        tolerance = number
        if strength == EXACT and tolerance:
            strength = PART
    compared = operands[: 3 if tolerance is not None else 2]
    literals = [part for part in compared[:2] if is_literal(part)]
    others = [part for part in compared[:2] if not is_literal(part)]
    if not literals and len(others) == 2:
        literals, others = others[1:], others[:1]
        literal = False
    else:
        literal = bool(literals)
    subject, expected = " , ".join(map(written, others)), " , ".join(map(written, literals))
    if len(compared) == 2 and written(compared[0]) == written(compared[1]) and strength == EXACT:
        strength = VACUOUS
    if not others and literals:
        strength = VACUOUS
    return Assertion(line, text, name, subject, expected, literal, strength, tolerance)


def with_wildcards(assertion: Assertion) -> Assertion:
    """Less of what it was, for each thing in it that stands for anything."""
    found = len(_WILD.findall(assertion.text.replace(" ", "")))
    return replace(assertion, strength=max(0.5, assertion.strength - 0.5 * min(found, 3))) if found else assertion


def _compared(tokens: list[Token], negated: bool) -> Compared:
    depth = 0
    for at, token in enumerate(tokens):
        depth += (token.text in _OPEN) - (token.text in _CLOSE)
        if depth or token.text not in _COMPARES or at == 0:
            continue
        form = _OPPOSITE.get(token.text, token.text) if negated else token.text
        return _two_sides(form, bare(tokens[:at]), bare(tokens[at + 1 :]))
    text = written(tokens)
    if len(tokens) == 1 and (tokens[0].literal or tokens[0].text in _TRUE | _FALSE):
        never = (text in _FALSE | _NOTHING | {"0", '""', "''"}) != negated
        return Compared("never" if never else "always", text, "", False, EXACT if never else VACUOUS)
    return _called("not " if negated else "", tokens, text)


def _called(sign: str, tokens: list[Token], text: str) -> Compared:
    if tokens and tokens[-1].text == ")" and (opened := _opens(tokens)) > 0:
        name = _CALL.search(written(tokens[:opened]))
        if name:
            word, inner = name[1], split(tokens[opened + 1 : -1], {","})
            low = word.lower()
            if low in {"equals", "equal", "deepequal", "eq", "isequal", "allclose", "is_equal", "array_equal"}:
                strength = RANGE if sign else EXACT
                before = written(tokens[: max(0, opened - 2)])
                expected = inner[-1] if inner else []
                subject = before if len(inner) == 1 else written(inner[0])
                return Compared(sign + word, subject, written(expected), is_literal(expected), strength)
            if low in {"isinstance", "issubclass", "hasattr"} and len(inner) == 2:
                expected_text = written(inner[1])
                strength = VACUOUS if expected_text == "object" else RANGE
                return Compared(sign + word, written(inner[0]), expected_text, False, strength)
            if low in {"any", "all"}:
                return Compared(
                    sign + word, text[len(word) :], "", False, RANGE if (low == "all") != bool(sign) else 1.5
                )
            if inner and inner[0] and strength_of(word) == PART:
                before = written(tokens[: max(0, opened - 2)]) or word
                return Compared(sign + word, before, written(inner[0]), is_literal(inner[0]), RANGE if sign else PART)
            if low in {"is_none", "isempty", "is_empty"}:
                return Compared(sign + word, text, "", False, PRESENT if sign else 3.5)
    return Compared(sign + "truth", text, "", False, PRESENT)


def _two_sides(form: str, left: list[Token], right: list[Token]) -> Compared:
    strength = _OPERATORS.get(form, RANGE)
    if is_literal(left) and not is_literal(right):
        left, right = right, left
    subject, expected = written(left), written(right)
    if expected in _NOTHING:
        strength = PRESENT if form in {"!=", "!==", "is not"} else EXACT
    elif expected in _TRUE | _FALSE:
        strength = PRESENT
    if (subject == expected and form in {"==", "===", "is", "<=", ">="}) or (is_literal(left) and is_literal(right)):
        strength = VACUOUS
    elif form in _ORDERS and expected == "0" and re.search(r"\blen(gth)?\b|\bcount\b|\bsize\b", subject):
        strength = {">=": VACUOUS, ">": PRESENT}.get(form, RANGE)
    if re.search(r"\bapprox\b|isclose|closeTo", expected):
        strength = PART
    return Compared(form, subject, expected, is_literal(right), strength)


def _weakest(tokens: Sequence[Token], alternatives: list[list[Compared]]) -> Compared:
    parts = [one for part in alternatives for one in part]
    if any(one.strength == VACUOUS for one in parts) or not parts:
        return Compared("or", parts[0].subject if parts else written(tokens), "", False, VACUOUS)
    expected = " or ".join(one.expected for one in parts)
    return Compared("or", parts[0].subject, expected, False, min(one.strength for one in parts) * 0.5)


def _closes_at_end(tokens: Sequence[Token]) -> bool:
    depth = 0
    for at, token in enumerate(tokens):
        depth += (token.text in _OPEN) - (token.text in _CLOSE)
        if depth == 0:
            return at == len(tokens) - 1
    return False


def _opens(tokens: Sequence[Token]) -> int:
    """Where the bracket opens that the last token closes."""
    depth = 0
    for at in range(len(tokens) - 1, -1, -1):
        depth += (tokens[at].text in _CLOSE) - (tokens[at].text in _OPEN)
        if depth == 0:
            return at
    return -1


def _number(text: str) -> float | None:
    try:
        return abs(
            float(re.sub(r"[fFdDlL_]", "", text.rsplit("=", maxsplit=1)[-1].rsplit(":", maxsplit=1)[-1].strip()))
        )
    except ValueError:
        return None
