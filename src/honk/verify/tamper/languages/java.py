"""Java: JUnit 3 to 6, TestNG, AssertJ, Hamcrest, Mockito, Truth."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tree_sitter import Node

from honk.verify.tamper.conditions import asserting
from honk.verify.tamper.facts import Assertion, Mark
from honk.verify.tamper.languages.trees import (
    Chain,
    Head,
    Link,
    arguments_of,
    code,
    is_comment,
    line_of,
    mark,
    text_of,
    tokens,
    within,
)
from honk.verify.tamper.languages.walking import Grammar

_TESTS = {
    "Test",
    "ParameterizedTest",
    "RepeatedTest",
    "TestFactory",
    "TestTemplate",
    "Property",
    "Example",
    "Theory",
    "Fuzz",
}
_OFF = re.compile(r"^(Disabled|Ignore|Ignored|DisabledInNativeImage)$")
_OFF_IF = re.compile(r"^(Disabled|Enabled)\w+|^(Requires|Assume)\w*")
_TABLES = {"ValueSource", "CsvSource", "EnumSource", "CsvFileSource", "Parameters"}
_SLEEPS = re.compile(
    r"(^|\.)Thread\.sleep$|(SECONDS|MILLISECONDS|MINUTES|TimeUnit\.\w+)\.sleep$|^sleep$|sleepUninterruptibly$|^delay$"
)


def links_of(node: Node) -> list[Link]:
    """The names of a chain, from its root on."""
    if node.type == "method_invocation":
        of, name, given = (node.child_by_field_name(field) for field in ("object", "name", "arguments"))
        return [*(links_of(of) if of is not None else []), Link(text_of(name), arguments_of(given), name)]
    if node.type == "field_access":
        of, name = node.child_by_field_name("object"), node.child_by_field_name("field")
        return [*(links_of(of) if of is not None else []), Link(text_of(name), None, name)]
    return [Link(text_of(node), None, node)]


def _chain(node: Node) -> Chain | None:
    return Chain(links_of(node), node) if node.type == "method_invocation" else None


def _annotations(node: Node) -> Iterator[tuple[str, Node]]:
    for modifiers in [one for one in node.children if one.type == "modifiers"]:
        for one in modifiers.children:
            if one.type in {"annotation", "marker_annotation"}:
                yield text_of(one.child_by_field_name("name")).rsplit(".", 1)[-1], one


def _head(node: Node, is_test: bool) -> Head | None:
    if node.type in {"class_declaration", "record_declaration", "interface_declaration"}:
        head = Head(text_of(node.child_by_field_name("name")), node, node.child_by_field_name("body"), group=True)
        return _marked(head, node)
    if node.type != "method_declaration":
        return None
    name, names = text_of(node.child_by_field_name("name")), {known for known, _ in _annotations(node)}
    old = is_test and name.startswith("test") and "public" in text_of(node).split("(", 1)[0] and _is_case(node)
    if not is_test and not names & _TESTS:
        return None
    head = Head(name, node, node.child_by_field_name("body"), helper=not (names & _TESTS or old))
    return _marked(head, node)


def _is_case(method: Node) -> bool:
    above = method.parent.parent if method.parent else None
    return above is not None and "TestCase" in text_of(above.child_by_field_name("superclass"))


def _marked(head: Head, node: Node) -> Head:
    for name, one in _annotations(node):
        text = text_of(one)
        if _OFF.match(name) or (name in _TESTS and re.search(r"enabled\s*=\s*false", text)):
            head.skip = mark(one)
        elif _OFF_IF.match(name):
            head.skip, head.conditional = head.skip or mark(one), True
        if name in _TABLES:
            rows = [
                row
                for row in within(one)
                if row.is_named and row.parent is not None and row.parent.type == "element_value_array_initializer"
            ]
            head.cases += [Mark(line_of(row), code(row)) for row in rows if not is_comment(row)]
        expected = re.search(r"expected(?:Exceptions)?\s*=\s*([\w.{}, ]+)", text) if name in _TESTS else None
        if expected:
            head.asserts.append(Mark(line_of(one), expected[0]))
    return head


def _extra(node: Node) -> Iterator[Assertion]:
    if node.type == "assert_statement":
        condition = next(one for one in node.children if one.is_named)
        yield from asserting(line_of(node), code(condition), tokens(condition))


def _skips(chain: Chain) -> bool:
    return chain.last.name in {"assumeTrue", "assumeFalse", "assumeThat"} and bool(
        re.search(r"\(\s*(false|true)\b", text_of(chain.node))
    )


def _rows(node: Node) -> Iterator[Mark]:
    if node.type == "method_invocation" and re.match(
        r"(Stream|List|Arrays)\s*\.\s*(of|asList)\s*\(", text_of(node)[:40]
    ):
        for link in links_of(node)[-1:]:
            yield from (
                Mark(line_of(one), code(one)) for one in link.arguments or () if "rguments" in text_of(one)[:12]
            )


JAVA = Grammar(
    "java",
    _head,
    _chain,
    _skips,
    lambda chain: bool(_SLEEPS.search(chain.path)),
    silencers=frozenset({"annotation", "marker_annotation"}),
    asserts=_extra,
    rows=_rows,
)
