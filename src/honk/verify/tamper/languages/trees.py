"""What the readers of syntax trees share: walking within bounds, tokens, and calls told as chains of names."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from tree_sitter import Language, Node, Parser

from honk.verify.tamper.conditions import bare, split
from honk.verify.tamper.facts import Mark, Token, written

_GRAMMARS = {
    "javascript": ("tree_sitter_javascript", "language"),
    "typescript": ("tree_sitter_typescript", "language_typescript"),
    "tsx": ("tree_sitter_typescript", "language_tsx"),
    "java": ("tree_sitter_java", "language"),
    "go": ("tree_sitter_go", "language"),
    "rust": ("tree_sitter_rust", "language"),
    "kotlin": ("tree_sitter_kotlin", "language"),
    "swift": ("tree_sitter_swift", "language"),
}
_DEEPEST = 400
_LITERALS = {
    "string", "number", "true", "false", "null", "undefined", "nil", "regex", "text_block", "template_string",
}  # fmt: skip
_NO_LITERALS = {
    "composite_literal", "array_literal", "dictionary_literal", "lambda_literal", "func_literal", "class_literal",
    "collection_literal", "struct_literal", "tuple_literal", "object_literal", "set_literal",
}  # fmt: skip
_COMMENTS = {"comment", "line_comment", "block_comment", "multiline_comment"}


class TooDeep(ValueError):
    """Code that is nested more deeply than any that people write."""


@cache
def _parser(language: str) -> Parser:
    module, function = _GRAMMARS[language]
    return Parser(Language(getattr(importlib.import_module(module), function)()))


def parse(language: str, text: str) -> Node:
    """The root of a text's tree. Raises `TooDeep`."""
    root = _parser(language).parse(text.encode()).root_node
    cursor = root.walk()
    depth = 0
    while True:
        if cursor.goto_first_child():
            depth += 1
            if depth > _DEEPEST:
                raise TooDeep("it is nested too deeply")
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return root
            depth -= 1


def text_of(node: Node | None) -> str:
    """A node's own text."""
    return node.text.decode("utf-8", "replace") if node is not None and node.text else ""


def line_of(node: Node) -> int:
    """Its line, from 1."""
    return node.start_point[0] + 1


def mark(node: Node) -> Mark:
    """Its line and the first of its text."""
    return Mark(line_of(node), text_of(node).split("\n", 1)[0])


def is_comment(node: Node) -> bool:
    """Whether it is no code."""
    return node.type in _COMMENTS


def within(node: Node) -> Iterator[Node]:
    """All nodes below, in the order of the text."""
    waiting = list(reversed(node.children))
    while waiting:
        one = waiting.pop()
        yield one
        waiting.extend(reversed(one.children))


def tokens(node: Node) -> list[Token]:
    """The code below a node as tokens, without comments."""
    found: list[Token] = []
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if is_comment(one):
            continue
        if _is_literal(one):
            found.append(_literal(one))
        elif one.child_count == 0:
            if text := text_of(one):
                found.append(Token(text))
        else:
            waiting.extend(reversed(one.children))
    return found


def code(node: Node) -> str:
    """The code below a node, written so that layout does not matter."""
    return written(tokens(node))


def _is_literal(node: Node) -> bool:
    if node.type in _NO_LITERALS:
        return False
    return (node.is_named and (node.type in _LITERALS or node.type.endswith("_literal"))) or node.type in {
        "true",
        "false",
    }


def _literal(node: Node) -> Token:
    text = text_of(node)
    if node.type == "string" and text[:1] == "'" and '"' not in text:
        text = f'"{text[1:-1]}"'
    return Token(text, "${" not in text and "\\(" not in text)


@dataclass(frozen=True)
class Link:
    """A name in a chain such as `expect(x).not.toBe(1)`, with its arguments where it is called."""

    name: str
    arguments: Sequence[Node] | None = None
    node: Node | None = None

    @property
    def operands(self) -> list[list[Token]]:
        """The arguments as tokens."""
        found: list[list[Token]] = []
        for one in self.arguments or ():
            # What a macro is given is no more than tokens.
            found += split(bare(tokens(one)), {","}) if one.type == "token_tree" else [tokens(one)]
        return [one for one in found if one]


@dataclass(frozen=True)
class Chain:
    """A call with all that it is called on."""

    links: Sequence[Link]
    node: Node

    @property
    def last(self) -> Link:
        return self.links[-1]

    @property
    def root(self) -> Link:
        return self.links[0]

    @property
    def path(self) -> str:
        """Its names, joined by dots."""
        return ".".join(one.name for one in self.links)

    @property
    def line(self) -> int:
        """The line on which it begins."""
        return line_of(self.node)


def arguments_of(given: Node | None) -> list[Node]:
    """What stands between the parentheses of a call."""
    return [one for one in given.children if one.is_named and not is_comment(one)] if given is not None else []


def called(links: list[Link], arguments: Sequence[Node], call: Node) -> list[Link]:
    """A chain whose last name is called; what is called without a name, as the result of a call, is named `()`."""
    if links and links[-1].arguments is None:
        return [*links[:-1], replace(links[-1], arguments=arguments)]
    return [*links, Link("()", arguments, call)]


@dataclass
class Head:
    """What makes a piece of code a test, or a group of them."""

    name: str
    node: Node
    body: Node | None
    group: bool = False
    cases: list[Mark] = field(default_factory=list)
    skip: Mark | None = None
    conditional: bool = False
    only: Mark | None = None
    inherited: tuple[str, ...] = ()
    asserts: list[Mark] = field(default_factory=list)
    """What its head says it has to do, such as to panic."""
    helper: bool = False
