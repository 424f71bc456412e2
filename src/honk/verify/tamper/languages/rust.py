"""Rust: the built-in tests, tokio, rstest, test-case, proptest."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tree_sitter import Node

from honk.verify.tamper.facts import Mark
from honk.verify.tamper.languages.trees import (
    Chain,
    Head,
    Link,
    arguments_of,
    called,
    code,
    is_comment,
    line_of,
    mark,
    text_of,
)
from honk.verify.tamper.languages.walking import Grammar

_TEST = re.compile(r"^#\[\s*(\w+::)*(test|rstest|test_case|wasm_bindgen_test|quickcheck|bench|test_log|case)\b")


def links_of(node: Node) -> list[Link]:
    """The names of a chain, from its root on."""
    if node.type == "call_expression":
        function, given = node.child_by_field_name("function"), node.child_by_field_name("arguments")
        if function is None:
            return []
        return called(links_of(function), arguments_of(given), node)
    if node.type == "field_expression":
        of, name = node.child_by_field_name("value"), node.child_by_field_name("field")
        return [*(links_of(of) if of is not None else []), Link(text_of(name), None, name)]
    if node.type in {"await_expression", "try_expression"} and node.named_child_count:
        return links_of(node.children[0])
    return [Link(text_of(node), None, node)]


def _chain(node: Node) -> Chain | None:
    if node.type == "call_expression":
        found = links_of(node)
        return Chain(found, node) if found else None
    if node.type == "macro_invocation":
        name = text_of(node.child_by_field_name("macro")).rsplit("::", 1)[-1]
        given = next((one for one in node.children if one.type == "token_tree"), None)
        return Chain([Link(name, [given] if given is not None else [], node)], node)
    return None


def _attributes(node: Node) -> list[Node]:
    found = []
    before = node.prev_sibling
    while before is not None and (before.type == "attribute_item" or is_comment(before)):
        if before.type == "attribute_item":
            found.append(before)
        before = before.prev_sibling
    return found[::-1]


def _head(node: Node, is_test: bool) -> Head | None:
    if node.type == "mod_item":
        head = Head(text_of(node.child_by_field_name("name")), node, node.child_by_field_name("body"), group=True)
        for one in _attributes(node):
            if re.search(r"cfg\s*\(\s*(any\s*\(\s*\)|FALSE|never)", text_of(one)):
                head.skip = mark(one)
        return head
    if node.type != "function_item":
        return None
    attributes = _attributes(node)
    texts = [text_of(one) for one in attributes]
    tested = any(_TEST.match(text) for text in texts)
    if not tested and not is_test and not _in_tests(node):
        return None
    head = Head(text_of(node.child_by_field_name("name")), node, node.child_by_field_name("body"), helper=not tested)
    for one, text in zip(attributes, texts, strict=True):
        if re.match(r"#\[\s*ignore\b", text) or re.search(r"cfg\s*\(\s*any\s*\(\s*\)", text):
            head.skip = mark(one)
        elif re.match(r"#\[\s*cfg_attr\b.*\bignore\b", text, re.DOTALL):
            head.skip, head.conditional = head.skip or mark(one), True
        elif re.match(r"#\[\s*should_panic", text):
            head.asserts.append(Mark(line_of(one), text))
        elif re.match(r"#\[\s*(case|test_case)\b", text):
            head.cases.append(Mark(line_of(one), " ".join(text.split())))
    return head


def _in_tests(node: Node) -> bool:
    above = node.parent
    while above is not None:
        if above.type == "mod_item" and any("cfg(test)" in text_of(one).replace(" ", "") for one in _attributes(above)):
            return True
        above = above.parent
    return False


def _rows(node: Node) -> Iterator[Mark]:
    if node.type == "for_expression":
        over = node.child_by_field_name("value")
        while over is not None and over.type in {"reference_expression", "call_expression", "field_expression"}:
            over = over.child_by_field_name("value") or over.child_by_field_name("function")
        if over is not None and over.type == "array_expression":
            yield from (Mark(line_of(one), code(one)) for one in over.children if one.is_named and not is_comment(one))


RUST = Grammar(
    "rust",
    _head,
    _chain,
    lambda _: False,
    lambda chain: bool(re.search(r"(^|::|\.)(sleep|sleep_ms)$", chain.path)) and len(chain.links) == 1,
    silencers=frozenset({"attribute_item", "inner_attribute_item"}),
    rows=_rows,
)  # fmt: skip
