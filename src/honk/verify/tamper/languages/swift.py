"""Swift: XCTest, Swift Testing, Nimble."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tree_sitter import Node

from honk.verify.tamper.facts import Mark
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
    within,
)
from honk.verify.tamper.languages.walking import Grammar


def links_of(node: Node) -> list[Link]:
    """The names of a chain, from its root on."""
    if node.type in {"call_expression", "macro_invocation"}:
        parts = [one for one in node.children if one.is_named and not is_comment(one)]
        suffix = next((one for one in parts if one.type == "call_suffix"), None)
        arguments = (
            [one for one in within(suffix) if one.type in {"value_argument", "lambda_literal"} and _direct(one, suffix)]
            if suffix
            else []
        )
        return called(links_of(parts[0]) if parts else [], arguments, node)
    if node.type == "navigation_expression":
        of, suffix = node.child_by_field_name("target"), node.child_by_field_name("suffix")
        return [*(links_of(of) if of is not None else []), Link(text_of(suffix).lstrip(".?!"), None, suffix)]
    if node.type in {"try_expression", "await_expression"}:
        inner = node.child_by_field_name("expr")
        return links_of(inner) if inner is not None else []
    return [Link(text_of(node), None, node)]


def _direct(node: Node, suffix: Node) -> bool:
    above = node.parent
    return above is not None and (above == suffix or (above.type == "value_arguments" and above.parent == suffix))


def _chain(node: Node) -> Chain | None:
    if node.type not in {"call_expression", "macro_invocation"}:
        return None
    found = links_of(node)
    return Chain(found, node) if found else None


def _head(node: Node, is_test: bool) -> Head | None:
    if node.type == "class_declaration":
        head = Head(text_of(node.child_by_field_name("name")), node, node.child_by_field_name("body"), group=True)
        return _marked(head, node)
    if node.type != "function_declaration":
        return None
    name = text_of(node.child_by_field_name("name"))
    marked = re.search(r"@Test\b", text_of(node).split("func ", 1)[0])
    named = marked or (name.startswith("test") and _in_case(node) and "()" in text_of(node)[:200])
    if not is_test and not named:
        return None
    return _marked(Head(name, node, node.child_by_field_name("body"), helper=not named), node)


def _in_case(node: Node) -> bool:
    above = node.parent
    while above is not None and above.type != "class_declaration":
        above = above.parent
    return above is not None


def _marked(head: Head, node: Node) -> Head:
    for modifiers in [one for one in node.children if one.type == "modifiers"]:
        for one in modifiers.children:
            text = text_of(one)
            if one.type != "attribute" or not re.match(r"@(Test|Suite)\b", text):
                continue
            if found := re.search(r"\.(disabled|enabled)\s*(\(\s*if\s*:)?", text):
                head.skip, head.conditional = mark(one), bool(found[2]) or found[1] == "enabled"
            for table in [part for part in one.children if part.type == "array_literal"]:
                rows = [part for part in table.children if part.is_named and not is_comment(part)]
                head.cases += [Mark(line_of(row), code(row)) for row in rows]
    return head


def _rows(node: Node) -> Iterator[Mark]:
    if node.type == "for_statement":
        for one in node.children:
            if one.type == "array_literal":
                yield from (
                    Mark(line_of(row), code(row)) for row in one.children if row.is_named and not is_comment(row)
                )


SWIFT = Grammar(
    "swift",
    _head,
    _chain,
    lambda chain: chain.path in {"XCTSkip", "XCTSkipIf", "XCTSkipUnless"},
    lambda chain: bool(re.search(r"(^|\.)(Task\.sleep|Thread\.sleep|sleep|usleep)$", chain.path)),
    rows=_rows,
)
