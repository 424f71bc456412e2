"""JavaScript and TypeScript: Jest, Vitest, Mocha, Jasmine, node:test, tap, AVA, Playwright, Cypress."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tree_sitter import Node

from honk.verify.tamper.conditions import PRESENT, strength_of
from honk.verify.tamper.facts import Assertion, Mark
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

_TESTS = {"it", "test", "specify", "xit", "xtest", "fit", "ftest", "bench", "Deno"}
_GROUPS = {"describe", "context", "suite", "xdescribe", "fdescribe", "xcontext", "QUnit"}
_HOOKS = {
    "before",
    "beforeEach",
    "after",
    "afterEach",
    "beforeAll",
    "afterAll",
    "use",
    "step",
    "extend",
    "setTimeout",
    "slow",
}
_OFF = {"skip", "todo", "fixme", "fails", "failing"}
_BEARERS = re.compile(r"^t+$|^st$|^sub$|^tap$|^self$|^assert$|^ctx$")
_FUNCTIONS = {"arrow_function", "function_expression", "function_declaration", "generator_function", "function"}
_WRAPPERS = {
    "await_expression",
    "parenthesized_expression",
    "non_null_expression",
    "as_expression",
    "satisfies_expression",
}


def links_of(node: Node) -> list[Link]:
    """The names of a chain, from its root on."""
    if node.type == "call_expression":
        function = node.child_by_field_name("function")
        given = node.child_by_field_name("arguments")
        if function is None or given is None:
            return []
        arguments = [given] if given.type == "template_string" else arguments_of(given)
        return called(links_of(function), arguments, node)
    if node.type == "member_expression":
        of, name = node.child_by_field_name("object"), node.child_by_field_name("property")
        return [*(links_of(of) if of is not None else []), Link(text_of(name), None, name)]
    if node.type in _WRAPPERS and node.named_child_count:
        inner = [one for one in node.children if one.is_named]
        return links_of(inner[0])
    return [Link(text_of(node), None, node)]


def chain_of(node: Node) -> Chain | None:
    """A call as a chain of names."""
    if node.type != "call_expression":
        return None
    found = links_of(node)
    return Chain(found, node) if found else None


def _head(node: Node, is_test: bool) -> Head | None:
    if not is_test:
        return None
    if node.type in {"function_declaration", "generator_function_declaration"}:
        return Head(text_of(node.child_by_field_name("name")), node, node.child_by_field_name("body"), helper=True)
    if node.type == "variable_declarator":
        value = node.child_by_field_name("value")
        if value is None or value.type not in _FUNCTIONS:
            return None
        return Head(text_of(node.child_by_field_name("name")), node, value.child_by_field_name("body"), helper=True)
    chain = chain_of(node)
    return _called(chain) if chain is not None else None


def _is_group(names: list[str]) -> bool | None:
    """Whether a call makes a group of tests, or a test; None for neither."""
    first = names[0]
    if _HOOKS.intersection(names[1:]):
        return None
    if first in _GROUPS or (first in _TESTS and "describe" in names):
        return True
    if first in _TESTS or (_BEARERS.match(first) and len(names) > 1 and names[1] in {"test", "subtest"}):
        return False
    return None


def _called(chain: Chain) -> Head | None:
    names = [one.name for one in chain.links]
    group = _is_group(names)
    arguments = list(chain.last.arguments or ())
    if group is None or not arguments:
        return None
    body = next((one.child_by_field_name("body") for one in reversed(arguments) if one.type in _FUNCTIONS), None)
    off = next((name for name in names if name in _OFF or (name.startswith("x") and name in _TESTS | _GROUPS)), None)
    title = next((one for one in arguments if one.type in {"string", "template_string", "binary_expression"}), None)
    if body is None and not (off and title is not None):
        return None
    said = mark(chain.node)
    head = Head((code(title) if title is not None else said.text[:80]).strip("\"'`"), chain.node, body, group)
    head.cases = list(_each(chain))
    conditional = bool({"skipIf", "runIf"}.intersection(names))
    if off or conditional:
        head.skip, head.conditional = said, conditional
    if "only" in names or names[0] in {"fit", "fdescribe", "ftest"}:
        head.only = said
    for option in [one for one in arguments if one.type == "object"]:
        _options(option, head)
    return head


def _options(option: Node, head: Head) -> None:
    for pair in [one for one in option.children if one.type == "pair"]:
        key, value = text_of(pair.child_by_field_name("key")).strip("\"'"), text_of(pair.child_by_field_name("value"))
        if value in {"false", "undefined", "''", '""'}:
            continue
        if key in {"skip", "todo", "fails"}:
            head.skip, head.conditional = mark(pair), not re.match(r"true$|['\"`]", value)
        elif key == "only":
            head.only = mark(pair)


def _each(chain: Chain) -> Iterator[Mark]:
    for link in chain.links:
        if link.name in {"each", "for"} and link.arguments:
            table = link.arguments[0]
            if table.type == "array":
                yield from _elements(table)
            elif table.type == "template_string":
                for at, line in enumerate(text_of(table).split("\n")[1:], 1):
                    if line.strip(" `"):
                        yield Mark(line_of(table) + at, " ".join(line.split()))


def _elements(array: Node) -> Iterator[Mark]:
    for one in array.children:
        if one.is_named and not is_comment(one):
            yield Mark(line_of(one), code(one))


def _rows(node: Node) -> Iterator[Mark]:
    if node.type == "for_in_statement":
        over = node.child_by_field_name("right")
        if over is not None and over.type == "array":
            yield from _elements(over)
    elif node.type == "call_expression":
        function = node.child_by_field_name("function")
        if function is not None and function.type == "member_expression":
            over = function.child_by_field_name("object")
            if over is not None and over.type == "array" and text_of(function).endswith((".forEach", ".map")):
                yield from _elements(over)


def _extra(node: Node) -> Iterator[Assertion]:
    """chai's `expect(x).to.be.true`, which is no call."""
    if node.type != "expression_statement":
        return
    inner = node.children[0]
    while inner.type in _WRAPPERS and inner.named_child_count:
        inner = next(one for one in inner.children if one.is_named)
    if inner.type != "member_expression":
        return
    links = links_of(inner)
    names = [one.name for one in links]
    if names[0] == "expect" or "should" in names[1:]:
        strength = PRESENT if "not" in names else strength_of(names[-1])
        if names[-1] in {"true", "false", "null", "undefined"} and "not" not in names:
            strength = 4.0
        arguments = links[0].arguments or ()
        subject = " ".join(code(one) for one in arguments) or names[0]
        yield Assertion(line_of(node), code(inner), ".".join(names[1:]), subject, strength=strength)


def _skips(chain: Chain) -> bool:
    names = [one.name for one in chain.links]
    if names[-1] not in {"skip", "fixme", "todo", "pending"}:
        return False
    return (len(names) == 2 and names[0] in {"this", "t", "test", "ctx", "context", "st", "it"}) or names == ["pending"]


def _sleeps(chain: Chain) -> bool:
    name, given = chain.last.name, [text_of(one) for one in chain.last.arguments or ()]
    if name in {"sleep", "delay", "wait", "waitForTimeout", "pause", "timeout"}:
        return bool(given) and bool(re.match(r"[\d_]+$|[\w.]*(MS|TIMEOUT|DELAY|ms|Ms)$", given[0])) and given[0] != "0"
    if (
        name == "setTimeout"
        and len(given) > 1
        and chain.root.name in {"setTimeout", "window", "globalThis", "timers", "global"}
    ):
        # As the promise that is waited for: a call back later is not a wait.
        return (
            bool(re.match(r"^(resolve|res|r|done|ok|fulfil|cb|next|_)$|\b(resolve|res|r)\b\s*\(", given[0]))
            and given[1] != "0"
        )
    return name == "setTimeout" and len(chain.links) == 1 and len(given) == 1


JAVASCRIPT, TYPESCRIPT, TSX = (
    Grammar(language, _head, chain_of, _skips, _sleeps, asserts=_extra, rows=_rows)
    for language in ("javascript", "typescript", "tsx")
)
