"""Kotlin: JUnit, kotlin.test, Kotest, AssertJ, MockK."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tree_sitter import Node

from honk.verify.tamper.conditions import is_literal, strength_of
from honk.verify.tamper.facts import Assertion, Mark
from honk.verify.tamper.languages.trees import (
    Chain,
    Head,
    Link,
    called,
    code,
    is_comment,
    line_of,
    mark,
    text_of,
    tokens,
    within,
)
from honk.verify.tamper.languages.walking import Grammar

_TESTS = {"Test", "ParameterizedTest", "RepeatedTest", "TestFactory", "Property", "Example"}
_OFF = {"Disabled", "Ignore", "Ignored"}
_SPECS = {"test", "it", "should", "describe", "context", "given", "Given", "When", "when", "Then", "then", "feature",
          "scenario",           "expect", "xtest", "xit", "xdescribe", "xcontext", "xshould"}  # fmt: skip
_SLEEPS = re.compile(r"(^|\.)(Thread\.sleep|TimeUnit\.\w+\.sleep|delay|sleep)$")


def links_of(node: Node) -> list[Link]:
    """The names of a chain, from its root on."""
    if node.type == "call_expression":
        arguments: list[Node] = []
        for one in node.children[1:]:
            if one.type == "value_arguments":
                arguments += [part for part in one.children if part.type == "value_argument"]
            elif one.type in {"annotated_lambda", "lambda_literal"}:
                arguments.append(one)
        return called(links_of(node.children[0]), arguments, node)
    if node.type == "navigation_expression" and node.named_child_count > 1:
        parts = [one for one in node.children if one.is_named]
        return [*links_of(parts[0]), *(Link(text_of(one), None, one) for one in parts[1:])]
    return [Link(text_of(node), None, node)]


def _chain(node: Node) -> Chain | None:
    if node.type == "call_expression":
        return Chain(links_of(node), node)
    if node.type == "binary_expression" and (
        found := re.match(r"(assertFailsWith|assertThrows|shouldThrow\w*)\s*<", text_of(node))
    ):
        # The grammar takes the angle brackets for comparisons.
        lambdas = [one for one in node.children if one.type == "lambda_literal"]
        return Chain([Link(found[1], lambdas, node)], node)
    return None


def _annotations(node: Node) -> Iterator[tuple[str, Node]]:
    for modifiers in [one for one in node.children if one.type == "modifiers"]:
        for one in modifiers.children:
            if one.type == "annotation":
                yield text_of(one).lstrip("@").split("(", 1)[0].rsplit(".", 1)[-1].rsplit(":", 1)[-1], one


def _head(node: Node, is_test: bool) -> Head | None:
    if node.type in {"class_declaration", "object_declaration"}:
        return (
            _marked(Head(text_of(node.child_by_field_name("name")), node, node, group=True), node) if is_test else None
        )
    if node.type == "function_declaration":
        names = {name for name, _ in _annotations(node)}
        if not is_test and not names & _TESTS:
            return None
        body = next((one for one in node.children if one.type == "function_body"), None)
        name = text_of(node.child_by_field_name("name")).strip("`")
        return _marked(Head(name, node, body, helper=not names & _TESTS), node)
    return _spec(node) if is_test and node.type == "call_expression" else None


def _spec(node: Node) -> Head | None:
    """Kotest's `"name" { }` and `test("name") { }`."""
    body = next((one for one in node.children if one.type in {"annotated_lambda", "lambda_literal"}), None)
    if body is None:
        return None
    called = node.children[0]
    if called.type == "string_literal":
        title = text_of(called).strip('"')
        head = Head(title.removeprefix("!"), node, body)
        if title.startswith("!"):
            head.skip = mark(node)
        if title.startswith("f:"):
            head.only = mark(node)
        return head
    links = links_of(node)
    names = [one.name for one in links]
    title_of = [one for one in links[0].arguments or () if one.type == "value_argument" and '"' in text_of(one)]
    if names[0] in _SPECS and title_of:
        group = names[0].lower() in {"describe", "context", "given", "when", "feature", "xdescribe", "xcontext"}
        head = Head(text_of(title_of[0]).strip('"'), node, body, group=group)
        if names[0].startswith("x") or re.search(r"enabled\s*=\s*false", text_of(node).split("{", 1)[0]):
            head.skip = mark(node)
        return head
    return None


def _marked(head: Head, node: Node) -> Head:
    for name, one in _annotations(node):
        if name in _OFF:
            head.skip = mark(one)
        elif re.match(r"(Disabled|Enabled)\w+", name):
            head.skip, head.conditional = head.skip or mark(one), True
        elif name in {"ValueSource", "CsvSource", "EnumSource"}:
            rows = [row for row in within(one) if row.type in {"string_literal", "number_literal"}]
            head.cases += [Mark(line_of(row), code(row)) for row in rows]
    return head


def _extra(node: Node) -> Iterator[Assertion]:
    """Kotest's `a shouldBe b`."""
    if node.type != "infix_expression":
        return
    parts = [one for one in node.children if one.is_named and not is_comment(one)]
    if len(parts) == 3 and (name := text_of(parts[1])).startswith("should"):
        left, right = tokens(parts[0]), tokens(parts[2])
        negated = "Not" in name
        strength = (
            2.0 if negated else strength_of(name.replace("shouldBe", "shouldEqual") if name == "shouldBe" else name)
        )
        strength = 0.0 if code(parts[0]) == code(parts[2]) else strength
        yield Assertion(line_of(node), code(node), name, code(parts[0]), code(parts[2]), is_literal(right), strength)
        del left


def _rows(node: Node) -> Iterator[Mark]:
    if node.type == "call_expression" and re.match(
        r"(listOf|arrayOf|sequenceOf|Stream\.of|withData|row|forAll)\s*\(", text_of(node)[:20]
    ):
        above = node.parent
        if above is not None and above.type in {
            "for_statement",
            "property_declaration",
            "function_body",
            "navigation_expression",
            "block",
            "statements",
        }:
            arguments = links_of(node)[-1].arguments or ()
            yield from (Mark(line_of(one), code(one)) for one in arguments if one.type == "value_argument")


KOTLIN = Grammar(
    "kotlin",
    _head,
    _chain,
    lambda chain: (
        chain.last.name in {"assumeTrue", "assumeFalse"}
        and bool(re.search(r"\(\s*(false|true)\b", text_of(chain.node)))
    ),
    lambda chain: bool(_SLEEPS.search(chain.path)),
    silencers=frozenset({"annotation", "file_annotation"}),
    asserts=_extra,
    rows=_rows,
)
