"""Go: the testing package, testify, gocheck, quicktest."""

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
    text_of,
)
from honk.verify.tamper.languages.walking import Grammar

_TEST = re.compile(r"^(Test|Fuzz|Example)([A-Z_0-9].*)?$")
_FAILS = {"Error", "Errorf", "Fatal", "Fatalf", "Fail", "FailNow"}
_BEARER = re.compile(r"^(t|tb|b|f|tt|c|T|s\.T|suite\.T)$")


def links_of(node: Node) -> list[Link]:
    """The names of a chain, from its root on."""
    if node.type == "call_expression":
        function, given = node.child_by_field_name("function"), node.child_by_field_name("arguments")
        if function is None:
            return []
        return called(links_of(function), arguments_of(given), node)
    if node.type == "selector_expression":
        of, name = node.child_by_field_name("operand"), node.child_by_field_name("field")
        return [*(links_of(of) if of is not None else []), Link(text_of(name), None, name)]
    return [Link(text_of(node), None, node)]


def _chain(node: Node) -> Chain | None:
    if node.type != "call_expression":
        return None
    found = links_of(node)
    return Chain(found, node) if found else None


def _head(node: Node, is_test: bool) -> Head | None:
    if not is_test:
        return None
    if node.type in {"function_declaration", "method_declaration"}:
        name = text_of(node.child_by_field_name("name"))
        given = text_of(node.child_by_field_name("parameters"))
        named = _TEST.match(name) and (
            re.search(r"testing\.[TF]\b|\*\w+\.C\b", given)
            or node.type == "method_declaration"
            or name.startswith("Example")
        )
        return Head(name, node, node.child_by_field_name("body"), helper=not named)
    chain = _chain(node)
    if chain is None or chain.last.name != "Run" or len(chain.links) < 2 or not _BEARER.match(chain.root.name):
        return None
    arguments = list(chain.last.arguments or ())
    if len(arguments) == 2 and arguments[1].type == "func_literal" and arguments[0].type.endswith("string_literal"):
        return Head(text_of(arguments[0]).strip('"`'), node, arguments[1].child_by_field_name("body"))
    return None


def _rows(node: Node) -> Iterator[Mark]:
    if node.type != "composite_literal":
        return
    kind = node.child_by_field_name("type")
    body = node.child_by_field_name("body")
    if (
        kind is None
        or body is None
        or kind.type not in {"slice_type", "map_type", "array_type", "implicit_length_array_type"}
    ):
        return
    above = node.parent
    while above is not None and above.type in {"expression_list", "literal_element"}:
        above = above.parent
    if above is not None and above.type in {"argument_list", "keyed_element", "literal_value"}:
        return
    for one in body.children:
        if one.is_named and not is_comment(one) and "{" in text_of(one):
            yield Mark(line_of(one), code(one))


def _fails(chain: Chain) -> bool:
    return len(chain.links) == 2 and chain.last.name in _FAILS and bool(_BEARER.match(chain.root.name))


GO = Grammar(
    "go",
    _head,
    _chain,
    lambda chain: chain.last.name in {"Skip", "Skipf", "SkipNow"} and len(chain.links) == 2,
    lambda chain: chain.path == "time.Sleep",
    rows=_rows,
    fails=_fails,
)
