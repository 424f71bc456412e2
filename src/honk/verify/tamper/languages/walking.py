"""Walking through a file's tree for its tests; what is special to a language is told by its `Grammar`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from tree_sitter import Node

from honk.verify.tamper.conditions import asserting
from honk.verify.tamper.facts import Assertion, Mark, Skip, Source, Test, Token
from honk.verify.tamper.languages.chains import assertions_of
from honk.verify.tamper.languages.common import locals_put_in, may_silence, weigh_helpers
from honk.verify.tamper.languages.trees import (
    Chain,
    Head,
    code,
    is_comment,
    line_of,
    mark,
    parse,
    text_of,
    tokens,
    within,
)

_IFS = {"if_statement", "if_expression", "guard_statement"}
_TRIES = {"try_statement", "try_expression", "do_statement", "try_with_resources_statement"}
_CATCHES = {"catch_clause", "catch_block"}
_FINALLY = {"finally_clause", "finally_block"}
_BLOCKS = {
    "statement_block",
    "block",
    "statements",
    "statement_list",
    "function_body",
    "lambda_literal",
    "program",
    "class_body",
}
_ENDS = {"return_statement", "throw_statement", "return_expression", "control_transfer_statement", "jump_expression",
         "break_statement", "continue_statement", "throw_expression"}  # fmt: skip
_ASSIGNS = {"variable_declarator", "short_var_declaration", "let_declaration", "property_declaration", "var_spec",
            "const_spec",             "const_item"}  # fmt: skip
_FALSE = {"false", "0", "( false )", "( 0 )"}


@dataclass(frozen=True)
class Grammar:
    """What is to be known of a language beside its tree."""

    language: str
    heads: Callable[[Node, bool], Head | None]
    """Whether a node is a test, a group of tests, or a function beside them; told whether the file is for tests."""
    chain: Callable[[Node], Chain | None]
    """A call as a chain of names."""
    skips: Callable[[Chain], bool]
    sleeps: Callable[[Chain], bool]
    silencers: frozenset[str] = frozenset()
    """Types of nodes, beside comments, that may switch a check off."""
    asserts: Callable[[Node], Iterator[Assertion]] = lambda _: iter(())
    """Assertions that are no calls."""
    rows: Callable[[Node], Iterator[Mark]] = lambda _: iter(())
    """Rows of a table in a test."""
    fails: Callable[[Chain], bool] = lambda _: False
    """Whether a call makes the test fail, so that the condition around it is what is asserted."""


def read(grammar: Grammar, text: str, *, is_test: bool) -> Source:
    """The tests, definitions and silencers of a file. Raises `TooDeep`."""
    root = parse(grammar.language, text)
    source = Source()
    if may_silence(text):
        for node in within(root):
            if is_comment(node) or node.type in grammar.silencers:
                source.silencers += [
                    Mark(line_of(node) + at, line) for at, line in enumerate(text_of(node).split("\n"))
                ]
    if root.has_error and root.type == "ERROR":
        source.problem = "its parser does not know how it is written"
    walker = _Walker(grammar, is_test)
    walker.file(root)
    source.tests = walker.tests
    weigh_helpers(source.tests)
    return source


class _Walker:
    """Goes through a file; `stack` are the tests and groups it is in."""

    def __init__(self, grammar: Grammar, is_test: bool) -> None:
        self.grammar = grammar
        self.is_test = is_test
        self.tests: list[Test] = []
        self.loose = _Open(Test("the module itself", 1, helper=True), (), None)

    def file(self, root: Node) -> None:
        self.visit(root, self.loose, ())
        self._close(self.loose)

    def visit(self, node: Node, inside: _Open, guards: tuple[str, ...]) -> None:
        """One node and what is below it."""
        if is_comment(node) or node.child_count == 0:
            return
        head = self.grammar.heads(node, self.is_test)
        if head is not None:
            self._head(head, inside, guards)
            return
        inside.test.assertions += [replace(one, guards=guards) for one in self.grammar.asserts(node)]
        inside.test.cases += self.grammar.rows(node)
        if node.type in _ASSIGNS:
            inside.remember(node)
        chain = self.grammar.chain(node)
        if chain is not None:
            self._chain(chain, inside, guards)
        elif node.type in _IFS:
            self._if(node, inside, guards)
        elif node.type in _TRIES and any(one.type in _CATCHES for one in node.children):
            self._try(node, inside, guards)
        else:
            self._children(node, inside, guards)

    def _children(self, node: Node, inside: _Open, guards: tuple[str, ...]) -> None:
        in_block = node.type in _BLOCKS
        for child in node.children:
            self.visit(child, inside, guards)
            if in_block and inside is not self.loose and (child.type in _ENDS or _ends_inside(child)):
                return

    def _head(self, head: Head, inside: _Open, guards: tuple[str, ...]) -> None:
        skip = Skip(head.skip.line, head.skip.text, head.conditional) if head.skip else None
        names = (*inside.names, *head.inherited, head.name)
        test = Test(
            " > ".join(one for one in names if one), line_of(head.node), cases=list(head.cases), helper=head.helper
        )
        test.skip, test.only = skip or inside.skip, head.only
        opened = _Open(test, names, test.skip, head.node)
        test.assertions = [Assertion(one.line, one.text, "head", "", one.text, True, 2.5) for one in head.asserts]
        if head.body is not None:
            self.visit_body(head.body, opened)
            test.names = frozenset(
                text_of(one)
                for one in within(head.body)
                if one.child_count == 0 and one.is_named and one.type.endswith("identifier")
            )
            test.empty = not any(one.is_named and not is_comment(one) for one in _inner(head.body))
        if head.group:
            if head.only:
                self.tests.append(Test(test.name, test.line, only=head.only, helper=True, sleeps=[]))
            inside.test.assertions += test.assertions
            inside.test.sleeps += test.sleeps
            inside.calls |= opened.calls
            return
        test.body = "\n".join(line.strip() for line in text_of(head.node).splitlines() if line.strip())
        self._close(opened)
        if guards and test.skip is None and any(guard.startswith("if") for guard in guards):
            test.skip = Skip(test.line, guards[-1], True)

    def visit_body(self, body: Node, opened: _Open) -> None:
        if body.type in _BLOCKS or body == opened.node:
            self._children(body, opened, ())
        else:
            self.visit(body, opened, ())

    def _close(self, opened: _Open) -> None:
        test = opened.test
        test.calls = frozenset(opened.calls)
        test.assertions = locals_put_in(test.assertions, opened.locals)
        if not test.helper or test.assertions or test.sleeps:
            self.tests.append(test)

    def _chain(self, chain: Chain, inside: _Open, guards: tuple[str, ...]) -> None:
        for link in chain.links:
            if link.arguments is not None:
                inside.calls.add(link.name)
        found = list(assertions_of(chain))
        if self.grammar.fails(chain):
            found = [inside.failing(chain)]
        elif self.grammar.skips(chain):
            one = mark(chain.node)
            inside.test.skip = inside.test.skip or Skip(one.line, one.text, bool(guards))
        elif self.grammar.sleeps(chain):
            inside.test.sleeps.append(mark(chain.node))
        if self.is_test or found:
            inside.test.assertions += [replace(one, guards=guards) for one in found]
        for link in chain.links:
            for argument in link.arguments or ():
                self.visit(argument, inside, guards)

    def _if(self, node: Node, inside: _Open, guards: tuple[str, ...]) -> None:
        condition = node.child_by_field_name("condition")
        before = node.child_by_field_name("initializer")
        said = code(condition) if condition is not None else ""
        inner = (*guards, f"if {said}")
        kept, inside.condition = inside.condition, condition
        for child in node.children:
            if child in (condition, before):
                self.visit(child, inside, guards)
            elif said in _FALSE and child == node.child_by_field_name("consequence"):
                continue
            else:
                self.visit(child, inside, inner)
        inside.condition = kept

    def _try(self, node: Node, inside: _Open, guards: tuple[str, ...]) -> None:
        swallowing = any(_swallows(one) for one in node.children if one.type in _CATCHES)
        for child in node.children:
            inner = guards if child.type in _CATCHES | _FINALLY or not swallowing else (*guards, "swallowed")
            self.visit(child, inside, inner)


class _Open:
    """A test that is being read."""

    def __init__(self, test: Test, names: tuple[str, ...], skip: Skip | None, node: Node | None = None) -> None:
        self.test = test
        self.names = names
        self.skip = skip
        self.node = node
        self.calls: set[str] = set()
        self.locals: dict[str, list[Token] | None] = {}
        self.condition: Node | None = None

    def remember(self, node: Node) -> None:
        """A variable's value, if it is given only once."""
        parts = [one for one in node.children if one.is_named and not is_comment(one)]
        name = (
            node.child_by_field_name("name") or node.child_by_field_name("pattern") or node.child_by_field_name("left")
        )
        value = node.child_by_field_name("value") or node.child_by_field_name("right")
        name, value = name or (parts[0] if parts else None), value or (parts[-1] if len(parts) > 1 else None)
        if name is not None and value is not None:
            words = re.findall(r"\w+", text_of(name))
            known = words[-1] if node.type in {"property_declaration", "let_declaration"} and words else text_of(name)
            self.locals[known] = None if known in self.locals else tokens(value)

    def failing(self, chain: Chain) -> Assertion:
        """The assertion whose failure this call is."""
        if self.condition is None:
            return Assertion(chain.line, chain.path, "fail", "", strength=2.0)
        text = f"not ({code(self.condition)})"
        found = list(asserting(line_of(self.condition), text, tokens(self.condition), negated=True))
        return max(found, key=lambda one: one.strength)


def _inner(body: Node) -> Sequence[Node]:
    """The statements of a body."""
    node = body
    while (
        len(named := [one for one in node.children if one.is_named and not is_comment(one)]) == 1
        and named[0].type in _BLOCKS
    ):
        node = named[0]
    return node.children


def _ends_inside(node: Node) -> bool:
    """Whether a statement is nothing but an expression that ends the block."""
    return node.type == "expression_statement" and any(one.type in _ENDS for one in node.children)


def _swallows(catch: Node) -> bool:
    """Whether nothing comes of what is caught, and failed assertions are among it."""
    text = text_of(catch)
    head, _, body = text.partition("{")
    special = re.search(r"\(|:", head) and re.search(r"\b[A-Z]\w*(Exception|Error)\b", head)
    if special and not re.search(r"\b(AssertionError|Error|Throwable|Exception|AssertionFailedError)\b", head):
        return False
    return not re.search(r"\b(throw|fail|assert\w*|expect|XCTFail|reject|done|raise|Assert|panic)\b", body)
