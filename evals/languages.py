"""Where tests, assertions and functions are in a source file, read from its syntax tree by ast-grep.

Everything is a span of characters in the file's text, so that whatever is changed is an edit of that text.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ast_grep_py import SgNode, SgRoot

SUFFIXES = {
    ".py": "python",
    ".js": "javascript",
    ".mjs": "javascript",
    ".cjs": "javascript",
    ".ts": "typescript",
    ".go": "go",
    ".java": "java",
    ".rs": "rust",
}

_TEST_FILE = {
    "python": r"(^|/)(test_[^/]*|[^/]*_test)\.py$",
    "javascript": r"(^|/)(tests?|__tests__)/.*\.[cm]?js$|\.(test|spec)\.[cm]?js$",
    "typescript": r"(^|/)(tests?|__tests__)/.*\.ts$|\.(test|spec)\.ts$",
    "go": r"_test\.go$",
    "java": r"(^|/)src/test/.*Test\.java$",
    "rust": r"(^|/)tests/.*\.rs$|(^|/)src/(.*/)?tests?\.rs$",
}
_FUNCTIONS = {
    "python": ("function_definition",),
    "javascript": ("function_declaration", "method_definition"),
    "typescript": ("function_declaration", "method_definition"),
    "go": ("function_declaration", "method_declaration"),
    "java": ("method_declaration",),
    "rust": ("function_item",),
}


@dataclass(frozen=True)
class Span:
    """Characters `start` to `end` of a text."""

    start: int
    end: int

    def of(self, text: str) -> str:
        return text[self.start : self.end]


@dataclass(frozen=True)
class Assertion:
    """A statement of a test that can fail. `name` is what is called, `args` what it is called with."""

    span: Span
    name: str
    args: Sequence[Span]
    literals: Sequence[Span]
    """Literals among what is compared, that stand there by themselves."""


@dataclass(frozen=True)
class Function:
    """A function that is no test. `body` is what is inside of it."""

    name: str
    span: Span
    body: Span


@dataclass(frozen=True)
class Test:
    """A test with the decorators or attributes before it."""

    name: str
    span: Span
    head: Span
    """From where its own line begins to where its body does."""
    body: Span
    assertions: Sequence[Assertion]
    parameter: str = ""
    """What the framework hands to it: `t` in Go and in tap."""


def language_of(path: str) -> str | None:
    """The language of a file that this module reads, by its name."""
    return SUFFIXES.get("." + path.rpartition(".")[2]) if not path.endswith(".d.ts") else None


def is_test_file(path: str) -> bool:
    """Whether a file is one that holds tests, by its name."""
    language = language_of(path)
    return bool(language and re.search(_TEST_FILE[language], path))


def holds_tests(path: str, text: str) -> bool:
    """Whether there are tests in a file: in Rust, those of a module are in its own file."""
    return is_test_file(path) or (path.endswith(".rs") and "#[test]" in text)


def parses(path: str, text: str) -> bool:
    """Whether the text is whole in the file's language; a language that is not read is."""
    language = language_of(path)
    if language == "python":
        # Its own parser is stricter than a grammar that recovers from everything.
        try:
            ast.parse(text)
        except (SyntaxError, ValueError):
            return False
        return True
    return language is None or not _root(text, language).find(kind="ERROR")


def read_tests(path: str, text: str) -> list[Test]:
    """The tests of a file that can be run by themselves, in their order, none inside another."""
    language = language_of(path)
    if language is None:
        return []
    return list(_READERS[language](_root(text, language), text))


def read_functions(path: str, text: str) -> list[Function]:
    """Functions with a body of at least two lines, in their order."""
    language = language_of(path)
    if language is None:
        return []
    found = []
    for kind in _FUNCTIONS[language]:
        for node in _root(text, language).find_all(kind=kind):
            name, body = node.field("name"), node.field("body")
            if name and body and "\n" in body.text():
                found.append(Function(name.text(), _span(node), _inside(body, language)))
    return sorted(found, key=lambda one: one.span.start)


def literals(path: str, text: str, within: Span) -> list[Span]:
    """Numbers and strings inside of a span."""
    language = language_of(path) or "python"
    return [_span(node) for node in _literals(_root(text, language)) if within.start <= _span(node).start < within.end]


def comparisons(path: str, text: str, within: Span) -> list[tuple[Span, str]]:
    """Comparison operators in code inside of a span, each with what turns it around."""
    language = language_of(path) or "python"
    kind = "comparison_operator" if language == "python" else "binary_expression"
    turned = {"<": "<=", ">": ">=", "<=": "<", ">=": ">", "==": "!=", "!=": "==", "===": "!==", "!==": "==="}
    found = []
    for node in _root(text, language).find_all(kind=kind):
        for child in node.children():
            span = _span(child)
            if child.text() in turned and within.start <= span.start < within.end:
                found.append((span, turned[child.text()]))
    return found


def _root(text: str, language: str) -> SgNode:
    return SgRoot(text, language).root()


def _span(node: SgNode) -> Span:
    place = node.range()
    return Span(place.start.index, place.end.index)


def _inside(body: SgNode, language: str) -> Span:
    """What is between the braces, or the block itself."""
    span = _span(body)
    return span if language == "python" else Span(span.start + 1, span.end - 1)


def _line_start(text: str, at: int) -> int:
    return text.rfind("\n", 0, at) + 1


def _named(node: SgNode) -> list[SgNode]:
    return [child for child in node.children() if child.is_named() and "comment" not in child.kind()]


_LITERALS = {
    "integer", "float", "string", "true", "false", "number", "int_literal", "float_literal",
    "interpreted_string_literal", "raw_string_literal", "decimal_integer_literal", "string_literal",
    "integer_literal", "boolean_literal",
}  # fmt: skip


def _literals(node: SgNode) -> Iterator[SgNode]:
    for child in node.children():
        if child.kind() in _LITERALS and "{" not in child.text() and "\n" not in child.text():
            yield child
        else:
            yield from _literals(child)


def _statements(body: SgNode, kinds: Sequence[str]) -> Iterator[SgNode]:
    """Statements of these kinds, wherever in the body, those inside of others of them left out."""
    for child in body.children():
        if child.kind() in kinds:
            yield child
        elif child.is_named():
            yield from _statements(child, kinds)


# -- Python ----------------------------------------------------------------------------------------------------------


def _python(root: SgNode, text: str) -> Iterator[Test]:
    for node in root.find_all(kind="function_definition"):
        name, body = node.field("name"), node.field("body")
        if name is None or body is None or not name.text().startswith("test"):
            continue
        if any(ancestor.kind() == "function_definition" for ancestor in node.ancestors()):
            continue
        outer = node.parent()
        whole = outer if outer is not None and outer.kind() == "decorated_definition" else node
        found = [_python_assertion(one) for one in _statements(body, ("assert_statement", "expression_statement"))]
        yield Test(
            name.text(),
            Span(_line_start(text, _span(whole).start), _span(whole).end),
            Span(_line_start(text, _span(node).start), _span(body).start),
            _span(body),
            [one for one in found if one],
        )


def _python_assertion(node: SgNode) -> Assertion | None:
    parts = _named(node)
    if node.kind() == "assert_statement":
        compared = parts[0]
        args = _named(compared) if compared.kind() == "comparison_operator" else [compared]
        operator = [child.text() for child in compared.children() if child.text() in ("==", "is", "in", "!=", "<", ">")]
        name = f"assert {operator[0]}" if compared.kind() == "comparison_operator" and operator else "assert"
        return Assertion(_span(node), name, [_span(arg) for arg in args], [_span(one) for one in args if _plain(one)])
    call = parts[0] if parts else None
    if call is None or call.kind() != "call":
        return None
    function, arguments = call.field("function"), call.field("arguments")
    if function is None or arguments is None or not re.fullmatch(r"self\.assert\w+", function.text()):
        return None
    args = _named(arguments)
    return Assertion(_span(node), function.text(), [_span(arg) for arg in args], [_span(a) for a in args if _plain(a)])


def _plain(node: SgNode) -> bool:
    return node.kind() in _LITERALS and "{" not in node.text() and "\n" not in node.text()


# -- JavaScript, TypeScript ------------------------------------------------------------------------------------------


def _javascript(root: SgNode, text: str) -> Iterator[Test]:
    for node in root.find_all(kind="expression_statement"):
        call = next(iter(_named(node)), None)
        if call is None or call.kind() != "call_expression":
            continue
        function, arguments = call.field("function"), call.field("arguments")
        if function is None or arguments is None or not re.fullmatch(r"(test|it|t\.test|st\.test)", function.text()):
            continue
        args = _named(arguments)
        if len(args) < 2 or args[-1].kind() not in ("arrow_function", "function_expression"):
            continue
        if function.text() in ("test", "it") and any(
            one.kind() in ("arrow_function", "function_expression") and not _describes(one) for one in node.ancestors()
        ):
            continue
        body = args[-1].field("body")
        if body is None or body.kind() != "statement_block":
            continue
        given = re.match(r"(?:async\s+)?(?:function\s*\w*\s*)?\(?\s*(\w*)", args[-1].text())
        found = [_javascript_assertion(one) for one in _statements(body, ("expression_statement",))]
        yield Test(
            args[0].text(),
            Span(_line_start(text, _span(node).start), _span(node).end),
            Span(_span(node).start, _span(body).start + 1),
            _inside(body, "javascript"),
            [one for one in found if one],
            given[1] if given else "",
        )


def _describes(function: SgNode) -> bool:
    arguments = function.parent()
    call = arguments.parent() if arguments else None
    return bool(call and re.match(r"(describe|suite)\b", call.text()))


_TAP = "equals?|same|strictEqual|deepEqual|strictSame|ok|error|notOk|match|is|deepStrictEqual"


def _javascript_assertion(node: SgNode) -> Assertion | None:
    call = next(iter(_named(node)), None)
    if call is not None and call.kind() == "await_expression":
        call = next(iter(_named(call)), None)
    if call is None or call.kind() != "call_expression":
        return None
    function, arguments = call.field("function"), call.field("arguments")
    if function is None or arguments is None:
        return None
    args = _named(arguments)
    said = function.text()
    if re.match(r"expect\(", said) and (matcher := re.search(r"\.(to\w+)$", said)):
        return Assertion(
            _span(node), f"expect.{matcher[1]}", [_span(a) for a in args], [_span(a) for a in args if _plain(a)]
        )
    wanted = rf"(st?\d?|t\d?|tt|assert|t\.assert)\.({_TAP})|assert"
    if not re.fullmatch(wanted, said) or not args:
        return None
    return Assertion(_span(node), said, [_span(a) for a in args], [_span(a) for a in args[:2] if _plain(a)])


# -- Go --------------------------------------------------------------------------------------------------------------


def _go(root: SgNode, text: str) -> Iterator[Test]:
    for node in root.find_all(kind="function_declaration"):
        name, body = node.field("name"), node.field("body")
        given = re.search(r"\(\s*(\w+)\s+\*testing\.T\s*\)", node.text().partition("{")[0])
        if name is None or body is None or given is None or not re.match(r"Test[A-Z0-9_]", name.text()):
            continue
        found = [_go_assertion(one) for one in _statements(body, ("if_statement", "expression_statement"))]
        yield Test(
            name.text(),
            Span(_line_start(text, _span(node).start), _span(node).end),
            Span(_line_start(text, _span(node).start), _span(body).start + 1),
            _inside(body, "go"),
            [one for one in found if one],
            given[1],
        )


def _go_assertion(node: SgNode) -> Assertion | None:
    if node.kind() == "if_statement":
        condition, block = node.field("condition"), node.field("consequence")
        if condition is None or block is None or not re.search(r"\bt\.(Error|Fatal)f?\(", block.text()):
            return None
        parts = _named(condition) if condition.kind() == "binary_expression" else [condition]
        return Assertion(_span(node), "if", [_span(condition)], [_span(one) for one in parts if _plain(one)])
    call = next(iter(_named(node)), None)
    if call is None or call.kind() != "call_expression":
        return None
    function, arguments = call.field("function"), call.field("arguments")
    if function is None or arguments is None or not re.fullmatch(r"(assert|require|qt|c)\.\w+", function.text()):
        return None
    args = _named(arguments)
    return Assertion(_span(node), function.text(), [_span(a) for a in args], [_span(a) for a in args if _plain(a)])


# -- Java ------------------------------------------------------------------------------------------------------------


def _java(root: SgNode, text: str) -> Iterator[Test]:
    for node in root.find_all(kind="method_declaration"):
        name, body = node.field("name"), node.field("body")
        if name is None or body is None or not re.match(r"(@\w+[^\n]*\n\s*)*@Test\b", node.text()):
            continue
        found = [_java_assertion(one) for one in _statements(body, ("expression_statement",))]
        yield Test(
            name.text(),
            Span(_line_start(text, _span(node).start), _span(node).end),
            Span(_line_start(text, _span(node).start), _span(body).start + 1),
            _inside(body, "java"),
            [one for one in found if one],
        )


def _java_assertion(node: SgNode) -> Assertion | None:
    call = next(iter(_named(node)), None)
    if call is None or call.kind() != "method_invocation":
        return None
    name, arguments = call.field("name"), call.field("arguments")
    if name is None or arguments is None or not re.match(r"assert[A-Z]", name.text()):
        return None
    args = _named(arguments)
    return Assertion(_span(node), name.text(), [_span(a) for a in args], [_span(a) for a in args if _plain(a)])


# -- Rust ------------------------------------------------------------------------------------------------------------


def _rust(root: SgNode, text: str) -> Iterator[Test]:
    for node in root.find_all(kind="function_item"):
        name, body = node.field("name"), node.field("body")
        attributes, before = [], node.prev()
        while before is not None and before.kind() == "attribute_item":
            attributes.append(before)
            before = before.prev()
        if name is None or body is None or not any(one.text() == "#[test]" for one in attributes):
            continue
        found = [_rust_assertion(one) for one in _statements(body, ("expression_statement",))]
        yield Test(
            name.text(),
            Span(_line_start(text, _span(attributes[-1]).start), _span(node).end),
            Span(_line_start(text, _span(node).start), _span(body).start + 1),
            _inside(body, "rust"),
            [one for one in found if one],
        )


def _rust_assertion(node: SgNode) -> Assertion | None:
    call = next(iter(_named(node)), None)
    if call is None or call.kind() != "macro_invocation" or not re.match(r"assert(_eq|_ne)?!", call.text()):
        return None
    tokens = _named(call)[-1]
    return Assertion(
        _span(node),
        call.text().partition("!")[0],
        _split(tokens),
        [_span(one) for one in _named(tokens) if _plain(one)],
    )


def _split(tokens: SgNode) -> list[Span]:
    """The arguments of a macro: its tokens between commas."""
    found: list[Span] = []
    start = _span(tokens).start + 1
    for child in tokens.children():
        if child.text() == ",":
            found.append(Span(start, _span(child).start))
            start = _span(child).end
    end = _span(tokens).end - 1
    return [*found, Span(start, end)]


_READERS = {
    "python": _python,
    "javascript": _javascript,
    "typescript": _javascript,
    "go": _go,
    "java": _java,
    "rust": _rust,
}
