"""Python, read with the interpreter's own parser."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from honk.verify.tamper.conditions import RANGE, VACUOUS, asserting, naming
from honk.verify.tamper.facts import Assertion, Mark, Skip, Source, Test, Token, written
from honk.verify.tamper.languages.common import (
    ASSERTING_NAME,
    locals_put_in,
    may_silence,
    tolerance_in,
    weigh_helpers,
)

_TOKEN = re.compile(
    r"(?P<literal>[rbfuRBFU]{0,2}(?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")|\d[\w.]*(?:e[+-]?\d+)?)"
    r"|(?P<word>is not\b|not in\b|[^\W\d]\w*(?:\.[^\W\d]\w*)*)|(?P<sign>[=!<>]=|\*\*|//|->|:=|\S)"
)
_COMMENT = re.compile(
    r"\"{3}(?:[^\"\\]|\\.|\"(?!\"\"))*\"{3}|'{3}(?:[^'\\]|\\.|'(?!''))*'{3}|\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'"
    r"|(?P<comment>#[^\n]*)",
    re.DOTALL,
)
"""Comments, and the texts in which a number sign begins none."""
_SLEEPS = {"time.sleep", "sleep", "asyncio.sleep", "anyio.sleep", "trio.sleep", "gevent.sleep", "wait_for_timeout"}
_SKIP_MARK = re.compile(r"\b(skip|skip_?if|skip_?unless|xfail|expectedfailure|importorskip)\b", re.IGNORECASE)
_RAISES = {"raises", "assertRaises", "assertRaisesRegex", "assertRaisesRegexp", "warns", "assertWarns",
           "assertWarnsRegex", "assertRaisesMessage"}  # fmt: skip
_BROAD = {"None", "Exception", "BaseException", "Warning", "object"}
_ENDS = (ast.Return, ast.Raise, ast.Continue, ast.Break)
_Function = ast.FunctionDef | ast.AsyncFunctionDef


def read(text: str) -> Source:
    """The tests and silencers of a Python file of tests. Raises `SyntaxError`, `RecursionError` or `MemoryError` on
    what is no Python of this interpreter."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(text)
    source = Source(silencers=list(comments(text)))
    source.tests = list(_tests(tree, text.splitlines()))
    weigh_helpers(source.tests)
    return source


def tokens(node: ast.AST) -> list[Token]:
    """An expression as tokens."""
    return [
        Token(found.group(), found.lastgroup == "literal" or found.group() in {"True", "False"})
        for found in _TOKEN.finditer(ast.unparse(node))
    ]


def comments(text: str) -> Iterator[Mark]:
    """The comments of a file, where one may switch a check off."""
    if not may_silence(text):
        return
    line, counted = 1, 0
    for found in _COMMENT.finditer(text):
        if found["comment"]:
            line += text.count("\n", counted, found.start())
            counted = found.start()
            yield Mark(line, found.group())


@dataclass
class _Place:
    """Where in a file the reading is: the names around and what holds for all in it."""

    names: tuple[str, ...] = ()
    skip: Skip | None = None
    lines: Sequence[str] = field(default_factory=list)


def _tests(tree: ast.Module, lines: Sequence[str]) -> Iterator[Test]:
    yield from _in_body(tree.body, _Place(lines=lines))


def _in_body(body: Sequence[ast.stmt], place: _Place) -> Iterator[Test]:
    skip = place.skip
    for statement in body:
        skip = _skip_for_all(statement) or skip
    loose = _Reader(place.lines)
    for statement in _flat(body):
        if isinstance(statement, ast.ClassDef):
            names = (*place.names, statement.name)
            inner = _Place(names, _skip_of_decorators(statement) or skip, place.lines)
            yield from _in_body(statement.body, inner)
        elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            yield _test(statement, replace(place, skip=skip))
        elif not place.names:
            loose.statement(statement, ())
    if loose.found or loose.sleeps:
        yield Test("the module itself", 1, loose.found, sleeps=loose.sleeps, helper=True)


def _flat(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """What stands in a module or class, also under `if` and `try`, where it is not always false."""
    for statement in body:
        if isinstance(statement, ast.If):
            if not _never(statement.test):
                yield from _flat(statement.body)
            yield from _flat(statement.orelse)
        elif isinstance(statement, ast.Try):
            yield from _flat(statement.body)
            yield from _flat(statement.orelse)
        elif isinstance(statement, ast.With):
            yield from _flat(statement.body)
        else:
            yield statement


def _test(function: _Function, place: _Place) -> Test:
    reader = _Reader(place.lines)
    reader.block(function.body, ())
    named = function.name.startswith("test")
    first = min([function.lineno, *(one.lineno for one in function.decorator_list)])
    body = [one for one in _reached(function.body) if not _says_nothing(one)]
    calls = {name.rsplit(".", 1)[-1] for name in reader.calls}
    return Test(
        name=".".join((*place.names, function.name)),
        line=function.lineno,
        assertions=locals_put_in(reader.found, reader.locals),
        cases=[*_parametrized(function), *reader.cases],
        skip=_skip_of_decorators(function) or reader.skip or place.skip,
        sleeps=reader.sleeps,
        calls=frozenset(calls),
        names=frozenset(_names(function)),
        body="\n".join(line.strip() for line in place.lines[first - 1 : function.end_lineno] if line.strip()),
        empty=not body,
        helper=not named,
    )


def _names(function: _Function) -> Iterator[str]:
    for node in ast.walk(function):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr


def _reached(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    for one in body:
        yield one
        if isinstance(one, _ENDS):
            return


def _says_nothing(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Pass)
        or (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
        or (isinstance(statement, ast.Return) and statement.value is None)
    )


def _never(test: ast.expr) -> bool:
    return isinstance(test, ast.Constant) and not test.value


class _Reader:
    """Goes through a function's statements in their order and keeps what asserts, skips and waits."""

    def __init__(self, lines: Sequence[str]) -> None:
        self.lines = lines
        self.found: list[Assertion] = []
        self.sleeps: list[Mark] = []
        self.cases: list[Mark] = []
        self.calls: set[str] = set()
        self.skip: Skip | None = None
        self.locals: dict[str, list[Token] | None] = {}
        self.lists: dict[str, ast.expr] = {}

    def block(self, body: Sequence[ast.stmt], guards: tuple[str, ...]) -> None:
        for statement in body:
            self.statement(statement, guards)
            if isinstance(statement, _ENDS):
                return

    def statement(self, one: ast.stmt, guards: tuple[str, ...]) -> None:  # noqa: PLR0912 (a kind of statement each)
        match one:
            case ast.Assert():
                self._asserted(one, guards)
            case ast.If():
                if not _never(one.test):
                    self.block(one.body, (*guards, f"if {ast.unparse(one.test)}"))
                self.block(one.orelse, (*guards, f"if not {ast.unparse(one.test)}"))
                self._expressions(one.test, guards)
            case ast.Try():
                swallowing = any(_swallows(handler) for handler in one.handlers)
                self.block(one.body, (*guards, "swallowed") if swallowing else guards)
                for handler in one.handlers:
                    self.block(handler.body, guards)
                self.block(one.orelse, guards)
                self.block(one.finalbody, guards)
            case ast.With() | ast.AsyncWith():
                for item in one.items:
                    self._expressions(item.context_expr, guards)
                suppressing = any(_called(item.context_expr).endswith("suppress") for item in one.items)
                self.block(one.body, (*guards, "swallowed") if suppressing else guards)
            case ast.For() | ast.AsyncFor() | ast.While():
                self._loop(one, guards)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                self.block(one.body, guards)
            case ast.Match():
                for case in one.cases:
                    self.block(case.body, (*guards, "case"))
            case _:
                self._remember(one)
                if isinstance(one, ast.Raise) and one.exc and "Skip" in ast.unparse(one.exc):
                    self._skips(one, guards)
                self._expressions(one, guards)

    def _loop(self, one: ast.For | ast.AsyncFor | ast.While, guards: tuple[str, ...]) -> None:
        if isinstance(one, ast.While):
            if _never(one.test):
                return
        else:
            self._rows(one.iter)
            self._expressions(one.iter, guards)
        self.block(one.body, guards)
        self.block(one.orelse, guards)

    def _remember(self, one: ast.stmt) -> None:
        if isinstance(one, ast.Assign) and len(one.targets) == 1 and isinstance(one.targets[0], ast.Name):
            name = one.targets[0].id
            self.locals[name] = None if name in self.locals else tokens(one.value)
            self.lists[name] = one.value

    def _rows(self, over: ast.expr) -> None:
        if isinstance(over, ast.Name):
            over = self.lists.get(over.id, over)
        self.cases.extend(_elements(over))

    def _asserted(self, one: ast.Assert, guards: tuple[str, ...]) -> None:
        self._expressions(one.test, guards)
        text = ast.unparse(one.test)
        for found in asserting(one.lineno, text, tokens(one.test)):
            self.found.append(replace(found, guards=guards, tolerance=tolerance_in(text)))

    def _expressions(self, node: ast.AST, guards: tuple[str, ...]) -> None:
        for call in [one for one in ast.walk(node) if isinstance(one, ast.Call)]:
            name = _called(call)
            last = name.rsplit(".", 1)[-1]
            self.calls.add(name)
            if name in _SLEEPS or last in {"sleep", "wait_for_timeout"}:
                if not (call.args and isinstance(call.args[0], ast.Constant) and not call.args[0].value):
                    self.sleeps.append(self._mark(call))
            elif (last in {"skip", "skipTest", "xfail", "importorskip"} and name != last) or last == "skipTest":
                self._skips(call, (*guards, "if") if last == "importorskip" else guards)
            elif last in _RAISES or ASSERTING_NAME.search(last):
                found = self._named(call, last)
                self.found.append(replace(found, guards=guards, tolerance=tolerance_in(found.text)))

    def _named(self, call: ast.Call, name: str) -> Assertion:
        text = ast.unparse(call)
        if name in _RAISES:
            kind = ast.unparse(call.args[0]) if call.args else "Exception"
            pattern = next((ast.unparse(one.value) for one in call.keywords if one.arg == "match"), "")
            if "Regex" in name and len(call.args) > 1:
                pattern = ast.unparse(call.args[1])
            strength = (1.0 if kind in _BROAD else 2.5) + bool(pattern and pattern not in {"''", "'.*'"})
            # What the message has to say is as good as an assertion about it.
            said = f"{kind} {pattern}".strip()
            return Assertion(call.lineno, text, "raises", "", said, True, strength, weight=2 if pattern else 1)
        if name in {"assertTrue", "assertFalse", "assert_", "failUnless", "failIf"} and call.args:
            negated = name in {"assertFalse", "failIf"}
            return next(iter(asserting(call.lineno, text, tokens(call.args[0]), negated=negated)))
        if name.startswith("assert_") and isinstance(call.func, ast.Attribute) and "call" in name:
            found = naming(call.lineno, text, name, [])
            subject, expected = ast.unparse(call.func.value), written([t for one in call.args for t in tokens(one)])
            expected += " ".join(f"{one.arg}={ast.unparse(one.value)}" for one in call.keywords)
            return replace(found, subject=subject, expected=expected, literal=bool(expected))
        found = naming(call.lineno, text, name, [tokens(one) for one in call.args])
        if not name.lower().startswith("assert") or (found.strength == VACUOUS and len(call.args) < 2):
            # A function of their own: what it asserts is not known here.
            return replace(found, form=name, strength=RANGE, literal=False, own=True)
        return found

    def _skips(self, node: ast.AST, guards: tuple[str, ...]) -> None:
        mark = self._mark(node)
        self.skip = self.skip or Skip(mark.line, mark.text, bool(guards))

    def _mark(self, node: ast.AST) -> Mark:
        line: int = getattr(node, "lineno", 1)
        return Mark(line, self.lines[line - 1].strip() if line <= len(self.lines) else "")


def _called(node: ast.AST) -> str:
    if not isinstance(node, ast.Call):
        return ""
    parts: list[str] = []
    function: ast.AST = node.func
    while isinstance(function, ast.Attribute):
        parts.append(function.attr)
        function = function.value
    parts.append(function.id if isinstance(function, ast.Name) else "")
    return ".".join(reversed(parts)).strip(".")


def _swallows(handler: ast.ExceptHandler) -> bool:
    caught = ast.unparse(handler.type) if handler.type else "Exception"
    if not re.search(r"\b(Exception|BaseException|AssertionError)\b", caught):
        return False
    for node in handler.body:
        for inner in ast.walk(node):
            if isinstance(inner, ast.Raise | ast.Assert) or (
                isinstance(inner, ast.Call) and re.search(r"fail|assert|exit|skip", _called(inner))
            ):
                return False
    return True


def _skip_of_decorators(node: _Function | ast.ClassDef) -> Skip | None:
    for decorator in node.decorator_list:
        if found := _skip_in(decorator):
            return found
    return None


def _skip_in(node: ast.expr) -> Skip | None:
    name = ast.unparse(node.func if isinstance(node, ast.Call) else node)
    found = _SKIP_MARK.search(name.rsplit(".", 1)[-1])
    if not found:
        return None
    text = ast.unparse(node)
    asked = isinstance(node, ast.Call) and [one for one in node.args if not isinstance(one, ast.Constant)]
    return Skip(node.lineno, text, bool(asked))


def _skip_for_all(statement: ast.stmt) -> Skip | None:
    """What skips a whole module or class from inside: `pytestmark`, `pytest.skip`, `__test__`."""
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
        name, value = statement.targets[0].id, statement.value
        if name == "__test__" and isinstance(value, ast.Constant) and not value.value:
            return Skip(statement.lineno, ast.unparse(statement))
        if name == "pytestmark":
            marks = value.elts if isinstance(value, ast.List | ast.Tuple) else [value]
            return next(filter(None, map(_skip_in, marks)), None)
        if name in {"collect_ignore", "collect_ignore_glob"}:
            return None
    if isinstance(statement, ast.Expr) and _called(statement.value) in {"pytest.skip", "skip"}:
        return Skip(statement.lineno, ast.unparse(statement))
    if isinstance(statement, ast.Raise) and statement.exc and "SkipTest" in ast.unparse(statement.exc):
        return Skip(statement.lineno, ast.unparse(statement))
    return None


def _parametrized(function: _Function) -> Iterator[Mark]:
    for decorator in function.decorator_list:
        name = _called(decorator).rsplit(".", 1)[-1]
        if isinstance(decorator, ast.Call) and name in {"parametrize", "expand", "data", "cases"}:
            arguments = decorator.args[1:2] if name == "parametrize" else decorator.args
            if name == "data":
                yield from (Mark(one.lineno, ast.unparse(one)) for one in arguments)
            for one in arguments:
                yield from _elements(one)


def _elements(node: ast.expr) -> Iterator[Mark]:
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        for one in node.elts:
            yield Mark(one.lineno, ast.unparse(one))
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if key is not None:
                yield Mark(value.lineno, f"{ast.unparse(key)}: {ast.unparse(value)}")
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "items":
        yield from _elements(node.func.value)
