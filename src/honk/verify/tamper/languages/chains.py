"""Assertions written as calls, in the manner of the field's testing libraries."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from honk.verify.tamper.conditions import PART, PRESENT, RANGE, VACUOUS, asserting, is_literal, naming, strength_of
from honk.verify.tamper.facts import Assertion, Token, written
from honk.verify.tamper.languages.common import ASSERTING_NAME, tolerance_in
from honk.verify.tamper.languages.trees import Chain, Link, code


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ROOTS = _words("""
    expect assertThat expectThat then expectTypeOf assertType assertThatThrownBy that assertThatExceptionOfType
    assertThatCode
""")
_MODIFIERS = _words("""
    not resolves rejects to be been is that which and has have with at of same but does deep nested own ordered
    any all soft poll as describedAs withFailMessage isNot a an should never extracting include
""")
_BEARERS = _words("""
    assert require t st tt tap test is Assert Assertions chai sinon s suite self c qt expect strict assertions
    TestCase
""")
_BORNE = _words("""
    equal equals same is ok not notok true false truthy falsy deepequal notequal strictequal deepstrictequal
    notstrictequal notdeepequal throws rejects doesnotthrow doesnotreject match doesnotmatch like regex fail
    error iferror noterror snapshot matchsnapshot looseequal deeplooseequal isequal notdeepstrictequal notsame
    notthrows hasstrict strictsame eq isok istrue isfalse isnull isnotnull isdefined isundefined isarray
    isobject isfunction isstring isnumber include includes lengthof property instanceof exists notexists closeto
    isabove isbelow isempty isnotempty samemembers deepinclude isrejected isfulfilled type has assert calledwith
    calledonce notcalled callcount plan notinclude isnotok isat typeof nil notnil noerror errorcontains erroris
    erroras contains notcontains empty notempty len zero notzero elementsmatch jsoneq yamleq panics notpanics
    eventually never greater less greaterorequal lessorequal indelta inepsilon implements istype subset regexp
    notregexp equalvalues exactly notequalvalues equalerror condition withinduration positive negative
    samepointer fileexists called assertexpectations assertcalled assertnumberofcalls assertnotcalled equalf
    nilf noerrorf truef falsef errorf containsf check cmp deepequals
""")
_TRUTH = re.compile(
    r"^(assert_?|XCTAssert|debug_assert|prop_assert|assert_?[tT]rue|assertNotFalse|XCTAssertTrue|ok|isOk|isTrue|true"
    r"|truthy|True|Truef?|assertThat|check|expect|expectTrue|require|is)$"
)
_FALSEHOOD = re.compile(r"^(assert_?[fF]alse|XCTAssertFalse|notOk|isNotOk|isFalse|false|falsy|Falsef?|expectFalse)$")
_BROAD = re.compile(
    r"^(Exception|Throwable|RuntimeException|Error|BaseException)(\.class|::class|\.self)?$|^Throwable|any Error"
)


def assertions_of(chain: Chain) -> Iterator[Assertion]:
    """What a call asserts, if it is one of a testing library; nothing otherwise."""
    root, last = chain.root, chain.last
    names = [one.name for one in chain.links]
    if root.arguments is not None and root.name in _ROOTS and len(chain.links) > 1:
        yield from _matched(chain, root)
    elif "should" in names[1:] and root.name not in {"cy"}:
        yield from _should(chain)
    elif root.arguments is not None and root.name in {"verify", "coVerify"}:
        yield _verified(chain, root)
    elif (
        len(chain.links) > 1
        and names[0].split(".")[-1] in _BEARERS
        and last.name.lower() in _BORNE
        and last.arguments is not None
    ):
        yield _plain(chain, last, bearer=names[0])
    elif (last.arguments is not None and ASSERTING_NAME.search(last.name)) or (
        "should" in names and last.arguments is not None
    ):
        yield _plain(chain, last)


def _matched(chain: Chain, root: Link) -> Iterator[Assertion]:
    """`expect(x).not.toBe(1)`, and one for each of several matchers in a chain."""
    subject = written([token for part in root.operands for token in part])
    text = code(chain.node)
    negated, found = False, False
    modifiers = []
    for link in chain.links[1:]:
        if link.name == "()":
            continue
        if link.name in {"not", "isNot", "never"} and link.arguments is None:
            negated = not negated
        elif (link.arguments is None and link.name in _MODIFIERS) or link.name in {
            "as",
            "describedAs",
            "withFailMessage",
            "extracting",
            "overridingErrorMessage",
        }:
            modifiers.append(link.name)
        else:
            found = True
            yield _matcher(chain, text, subject, link, negated=negated, alone=len(chain.links) <= 3 + len(modifiers))
    if not found:
        yield Assertion(chain.line, text, modifiers[-1] if modifiers else "expect", subject, strength=PRESENT)


def _matcher(chain: Chain, text: str, subject: str, link: Link, *, negated: bool, alone: bool) -> Assertion:
    operands = link.operands
    expected = " , ".join(map(written, operands))
    strength = strength_of(link.name)
    low = link.name.lower()
    if "throw" in low or low in {"torejects", "raises"}:
        kind = written(operands[0]) if operands else ""
        strength = 1.5 if not operands or _BROAD.match(kind) else PART
    if negated:
        strength = PRESENT if strength in {PRESENT, 4.0} and not operands else min(strength, RANGE)
    elif (operands and subject == written(operands[0]) and strength == 4.0) or (
        subject in {"true", "false", "True", "1"}
        and low
        in {
            "tobe",
            "toequal",
            "tobetruthy",
            "tobefalsy",
            "istrue",
            "equal",
        }
    ):
        strength = VACUOUS
    if low in {"tobecloseto", "closeto", "iscloseto"} and len(operands) > 1:
        return replace(
            Assertion(chain.line, text, link.name, subject, written(operands[0]), is_literal(operands[0]), strength),
            tolerance=tolerance_in(f"{'digits' if low == 'tobecloseto' else 'delta'}={written(operands[1])}")
            or tolerance_in(text),
        )
    literal = bool(operands) and all(is_literal(one) for one in operands)
    form = ("not " if negated else "") + link.name
    text = text if alone else f"{subject} {form} {expected}"
    return Assertion(chain.line, text, form, subject, expected, literal, strength, tolerance_in(text))


def _should(chain: Chain) -> Iterator[Assertion]:
    names = [one.name for one in chain.links]
    at = names.index("should", 1)
    subject = ".".join(code(one.node) if one.node else one.name for one in chain.links[at - 1 : at])
    last = chain.last
    negated = "not" in names[at:]
    strength = min(strength_of(last.name), RANGE) if negated else strength_of(last.name)
    expected = " , ".join(map(written, last.operands))
    literal = bool(last.operands) and all(map(is_literal, last.operands))
    yield Assertion(
        chain.line, code(chain.node), ("not " if negated else "") + last.name, subject, expected, literal, strength
    )


def _verified(chain: Chain, root: Link) -> Assertion:
    """A mock's call, as Mockito and its kin verify it."""
    how = " ".join(map(written, root.operands[1:]))
    strength = 3.5 - 1.5 * bool(re.search(r"atLeast|atMost|any\(\)|atLeastOnce", how))
    subject = " ".join(written(one) for one in root.operands[:1]) + "." + ".".join(one.name for one in chain.links[1:])
    expected = " , ".join(map(written, chain.last.operands)) if len(chain.links) > 1 else ""
    return Assertion(chain.line, code(chain.node), f"verify {how}", subject, expected, False, strength)


def _plain(chain: Chain, link: Link, bearer: str = "") -> Assertion:
    operands, text, name = link.operands, code(chain.node), link.name.rstrip("!")
    if (
        bearer in {"assert", "require"}
        and operands
        and len(operands) > 1
        and len(operands[0]) <= 4
        and written(operands[0])
        in {
            "t",
            "tt",
            "b",
            "s . T ( )",
            "suite . T ( )",
        }
    ):
        operands = operands[1:]
    if name.startswith("assert") and len(operands) > 2 and _is_text(operands[0]):
        # The older JUnit has the message first; of three texts it is told by none which is the message.
        operands = operands if all(map(_is_text, operands[:3])) else operands[1:]
    truth = bool(_TRUTH.match(name)) and not (name in {"is", "expect", "require"} and len(operands) > 1)
    if operands and (truth or _FALSEHOOD.match(name)):
        asked = next((one for one in operands if not (len(one) == 1 and one[0].text[:1] in "\"'`")), operands[0])
        return next(iter(asserting(chain.line, text, asked, negated=not truth)))
    if re.search(r"throw|fails|raises|panics", name, re.IGNORECASE):
        return _thrown(chain, text, name, operands)
    found = naming(chain.line, text, name, operands)
    tolerance = found.tolerance if found.tolerance is not None else tolerance_in(text)
    if not bearer and not re.match(r"(xct)?_?(debug_)?(prop_)?assert", name, re.IGNORECASE):
        # A function of their own: what it asserts is not known here.
        return replace(found, strength=RANGE, literal=False, own=True)
    return replace(found, tolerance=tolerance)


def _is_text(operand: Sequence[Token]) -> bool:
    return len(operand) == 1 and operand[0].text[:1] == '"'


def _thrown(chain: Chain, text: str, name: str, operands: Sequence[Sequence[Token]]) -> Assertion:
    if re.search(r"no_?throw|not_?throw|nothrow", name, re.IGNORECASE):
        return Assertion(chain.line, text, name, text, strength=RANGE)
    kinds = [
        written(one) for one in operands if len(one) <= 6 and not any(token.text in {"{", "=>", "->"} for token in one)
    ]
    kinds += re.findall(r"< ([\w. ]+) >", text.split("{", 1)[0])
    kind = " ".join(kinds)
    strength = 1.0 if not kind or all(_BROAD.match(one.replace(" ", "")) for one in kinds) else PART
    return Assertion(chain.line, text, "throws", "", kind, bool(kind), strength)
