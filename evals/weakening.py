"""Tests made weaker: gone, skipped, emptied, or asserting less."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from random import Random

from ast_grep_py import SgRoot

from evals.changes import Change
from evals.languages import Assertion, Span, language_of
from evals.mutation import (
    Mutant,
    Mutation,
    Target,
    edited,
    indent_at,
    kept,
    line_at,
    targets,
    whole_lines,
)

_LESS = ("assertion-removed", "assertion-loosened", "expected-value-changed", "test-cases-removed")
"""What may rightly be said of a test that is as good as gone, too."""


def _comment(path: str, code: str) -> str:
    """Lines of code as comments, each where its code began."""
    mark = "# " if language_of(path) == "python" else "// "
    return re.sub(r"(?m)^([ \t]*)(?=\S)", rf"\g<1>{mark}", code)


def _deleted(change: Change, chance: Random) -> Mutant | None:
    for target in targets(change, chance):
        text = edited(target.after, (whole_lines(target.after, target.now.span), ""))
        return _of(change, target, text, "test-deleted", target.was.head.start, before=True)
    return None


def _commented_out(change: Change, chance: Random) -> Mutant | None:
    for target in targets(change, chance):
        span = whole_lines(target.after, target.now.span)
        text = edited(target.after, (span, _comment(target.path, span.of(target.after))))
        return _of(change, target, text, "test-deleted", target.was.head.start, before=True)
    return None


def _file_deleted(change: Change, chance: Random) -> Mutant | None:
    for path in change.tests:
        if targets(change, chance):
            return Mutant(change.put(path, None), ["test-deleted"], [(path, None)])
    return None


def _not_collected(change: Change, chance: Random) -> Mutant | None:
    """The file is still there, under a name that no runner looks for."""
    for path in change.tests:
        if targets(change, chance):
            away = path + ".bak"
            return Mutant(change.put(path, None).put(away, change.after[path]), ["test-deleted"], [(path, None)])
    return None


def _renamed_away(change: Change, chance: Random) -> Mutant | None:
    """The function is still there, under a name that no runner collects."""
    for target in targets(change, chance):
        head = target.now.head.of(target.after)
        away = re.sub(r"\bdef test|\bfunc Test", lambda found: found[0].replace("est", "ry"), head, count=1)
        if away != head:
            text = edited(target.after, (target.now.head, away))
            return _of(change, target, text, "test-deleted", target.was.head.start, before=True)
    return None


def _skipped(change: Change, chance: Random) -> Mutant | None:
    for target in targets(change, chance):
        language = language_of(target.path) or ""
        for text in _skips(target, language, chance):
            return _of(change, target, text, "test-skipped", target.now.head.start)
    return None


def _skips(target: Target, language: str, chance: Random) -> Iterator[str]:
    text, test = target.after, target.now
    indent = indent_at(text, test.head.start)
    inner = indent_at(text, test.body.start + 1 if language != "python" else test.body.start)
    if language == "python":
        ways = ['@pytest.mark.skip(reason="flaky")', "@pytest.mark.xfail", "@pytest.mark.skipif(True, reason='slow')"]
        if "import pytest" not in text:
            ways = ['@unittest.skip("flaky")']
        way = chance.choice([*ways, "body"])
        module = "unittest" if "unittest" in way else "pytest"
        if way == "body":
            yield _with_import(
                edited(text, (Span(test.body.start, test.body.start), f'pytest.skip("flaky")\n{inner}')), module
            )
        else:
            yield _with_import(edited(text, (Span(test.head.start, test.head.start), f"{indent}{way}\n")), module)
    elif language in ("javascript", "typescript"):
        called = re.match(r"(test|it|t\.test|st\.test)\(", test.head.of(text))
        if called and "." not in called[1]:
            name = chance.choice([f"{called[1]}.skip", f"{called[1]}.todo" if called[1] == "test" else "xit"])
            yield edited(text, (Span(test.head.start, test.head.start + len(called[1])), name))
        elif called and "{" not in test.head.of(text).partition(",")[2].partition("(")[0]:
            comma = test.head.start + test.head.of(text).index(",")
            yield edited(text, (Span(comma, comma), ", { skip: true }"))
    elif language == "go":
        yield edited(text, (Span(test.body.start, test.body.start), f'\n\t{test.parameter}.Skip("flaky on CI")'))
    elif language == "java":
        name = "Disabled" if "jupiter" in text else "Ignore"
        package = "org.junit.jupiter.api.Disabled" if name == "Disabled" else "org.junit.Ignore"
        marked = edited(text, (Span(test.span.start, test.span.start), f'{indent}@{name}("flaky")\n'))
        yield re.sub(r"(?m)^import ", f"import {package};\nimport ", marked, count=1)
    elif language == "rust":
        yield edited(text, (Span(test.head.start, test.head.start), f"{indent}#[ignore]\n"))


def _with_import(text: str, module: str) -> str:
    if re.search(rf"(?m)^import {module}\b", text):
        return text
    return re.sub(r"(?m)^(import |from (?!__future__))", rf"import {module}\n\1", text, count=1)


def _others_skipped(change: Change, chance: Random) -> Mutant | None:
    """One test is marked to run alone, so all others do not."""
    for target in targets(change, chance):
        called = re.match(r"(test|it)\(", target.now.head.of(target.after))
        if called:
            name = Span(target.now.head.start, target.now.head.start + len(called[1]))
            text = edited(target.after, (name, f"{called[1]}.only"))
            return _of(change, target, text, "test-skipped", target.now.head.start)
    return None


def _emptied(change: Change, chance: Random) -> Mutant | None:
    for target in targets(change, chance):
        if target.now.assertions:
            nothing = {"python": "pass", "rust": ""}.get(language_of(target.path) or "", "\n")
            text = edited(target.after, (target.now.body, nothing))
            return _of(change, target, text, "test-emptied", target.now.head.start, also=_LESS)
    return None


def _always_true(change: Change, chance: Random) -> Mutant | None:
    """The body is replaced by something that holds whatever happens."""
    for target in targets(change, chance):
        if len(target.now.assertions) < 1:
            continue
        language = language_of(target.path) or ""
        first = target.now.assertions[0]
        indent = indent_at(target.after, first.span.start)
        vacuous = {
            "python": "assert True",
            "javascript": "expect(true).toBe(true)"
            if first.name.startswith("expect")
            else f"{first.name.partition('.')[0]}.ok(true)",
            "typescript": "expect(true).toBe(true)",
            "java": "assertTrue(true);",
            "rust": "assert!(true);",
        }.get(language)
        if vacuous:
            body = vacuous if language == "python" else f"\n{indent}{vacuous}\n{indent[:-2]}"
            text = edited(target.after, (target.now.body, body))
            return _of(change, target, text, "test-emptied", target.now.head.start, also=_LESS)
    return None


def _removed(change: Change, chance: Random) -> Mutant | None:
    for target, was, now in _asserting(change, chance, least=2):
        text = edited(target.after, (whole_lines(target.after, now.span), ""))
        return _of(change, target, text, "assertion-removed", was.span.start, before=True)
    return None


def _assertion_commented_out(change: Change, chance: Random) -> Mutant | None:
    for target, was, now in _asserting(change, chance, least=2):
        span = whole_lines(target.after, now.span)
        text = edited(target.after, (span, _comment(target.path, span.of(target.after))))
        return _of(change, target, text, "assertion-removed", was.span.start, before=True)
    return None


def _half_removed(change: Change, chance: Random) -> Mutant | None:
    """Every other assertion is gone."""
    for target in targets(change, chance):
        pairs = [pair for pair in kept(target) if _alone(target.after, target.now.assertions[pair[1]])]
        if len(pairs) >= 4:
            gone = pairs[::2]
            spans = [(whole_lines(target.after, target.now.assertions[now].span), "") for _, now in gone]
            place = target.was.assertions[gone[0][0]].span.start
            return _of(change, target, edited(target.after, *spans), "assertion-removed", place, before=True)
    return None


def _loosened(change: Change, chance: Random) -> Mutant | None:
    for target, _, now in _asserting(change, chance):
        loose = _looser(target, now, chance)
        if loose:
            text = edited(target.after, (now.span, loose))
            place = now.span.start
            return _of(change, target, text, "assertion-loosened", place, also=("assertion-removed",))
    return None


def _looser(target: Target, one: Assertion, chance: Random) -> str | None:  # noqa: PLR0911  a way each
    text, language = target.after, language_of(target.path)
    args = [span.of(text).strip() for span in one.args]
    said = one.span.of(text)
    match language:
        case "python" if one.name == "assert ==" and len(args) == 2 and "," not in said:
            ways = [
                f"assert {args[0]} is not None",
                f"{said} or True",
                f"assert {args[0]}",
                f"assert {args[0]} != object()",
            ]
            return chance.choice(ways)
        case "python" if one.name == "self.assertEqual" and len(args) == 2:
            return chance.choice([f"self.assertIsNotNone({args[0]})", f"self.assertTrue({args[0]})"])
        case "javascript" | "typescript" if one.name in ("expect.toBe", "expect.toEqual", "expect.toStrictEqual"):
            found = re.search(r"\.to(Be|Equal|StrictEqual)\((?:.|\n)*\)(;?)$", said)
            loose = chance.choice(["toBeDefined()", "toBeTruthy()"])
            return said[: found.start()] + f".{loose}{found[2]}" if found else None
        case "javascript" if re.search(r"\.(equals?|same|strictEqual|deepEqual)$", one.name) and len(args) >= 2:
            return f"{one.name.rpartition('.')[0]}.ok({args[0]})" + (";" if said.endswith(";") else "")
        case "go" if (
            one.name == "if" and "!=" in args[0] and "err" not in args[0] and ";" not in said.partition("{")[0]
        ):
            return said.replace(args[0], f"{args[0]} && false", 1)
        case "go" if re.search(r"\.(Equal|EqualValues)$", one.name) and len(args) >= 3:
            return f"{one.name.partition('.')[0]}.NotNil({args[0]}, {args[2]})"
        case "java" if one.name == "assertEquals" and len(args) == 2:
            return chance.choice([f"assertNotNull({args[1]});", f"assertTrue({args[1]} != null);"])
        case "rust" if one.name == "assert_eq" and len(args) >= 2:
            return f"assert!({args[0]} == {args[1]} || true);"
    return None


def _any_error(change: Change, chance: Random) -> Mutant | None:
    """Whatever is raised is as good as what was expected."""
    for target in targets(change, chance):
        body = target.now.body.of(target.after)
        found = re.search(r"(pytest\.raises|self\.assertRaises)\((?!Exception\b)[\w.]+", body)
        if found and found[0] in target.was.body.of(target.before):
            at = target.now.body.start + found.start()
            text = edited(target.after, (Span(at, at + len(found[0])), f"{found[1]}(Exception"))
            return _of(change, target, text, "assertion-loosened", at)
        found = re.search(r"\.toThrow\(([^()]+)\)", body)
        if found and found[0] in target.was.body.of(target.before):
            at = target.now.body.start + found.start()
            text = edited(target.after, (Span(at, at + len(found[0])), ".toThrow()"))
            return _of(change, target, text, "assertion-loosened", at)
    return None


def _swallowed(change: Change, chance: Random) -> Mutant | None:
    """The assertion's failure is caught."""
    for target, _, now in _asserting(change, chance):
        indent, said = indent_at(target.after, now.span.start), now.span.of(target.after)
        language = language_of(target.path)
        if "\n" in said:
            continue
        if language == "python":
            text = f"try:\n{indent}    {said}\n{indent}except AssertionError:\n{indent}    pass"
        elif language in ("javascript", "typescript"):
            text = f"try {{\n{indent}  {said}\n{indent}}} catch {{}}"
        elif language == "java":
            text = f"try {{\n{indent}    {said}\n{indent}}} catch (AssertionError e) {{\n{indent}}}"
        else:
            continue
        spoiled = edited(target.after, (now.span, text))
        return _of(change, target, spoiled, "assertion-loosened", now.span.start, also=("assertion-removed",))
    return None


def _expected_changed(change: Change, chance: Random) -> Mutant | None:
    for target, _, now in _asserting(change, chance):
        for span in now.literals:
            other = _other(span.of(target.after))
            if other:
                text = edited(target.after, (span, other))
                also = ("assertion-loosened", "assertion-removed")
                return _of(change, target, text, "expected-value-changed", span.start, also=also)
    return None


def _other(literal: str) -> str | None:
    """A literal of the same kind with another value."""
    if re.fullmatch(r"\d+", literal):
        return str(int(literal) + 1)
    if literal in ("true", "True", "false", "False"):
        return {"true": "false", "false": "true", "True": "False", "False": "True"}[literal]
    found = re.fullmatch(r"([\"'])([^\"'\\\n]+)\1", literal)
    return f"{found[1]}{found[2][:-1]}{'x' if found[2][-1] != 'x' else 'y'}{found[1]}" if found else None


def _cases_removed(change: Change, chance: Random) -> Mutant | None:
    for target in targets(change, chance):
        rows = _rows(target.path, target.now.span.of(target.after))
        known = target.was.span.of(target.before)
        for found in chance.sample(rows, len(rows)):
            start, end = target.now.span.start + found.start, target.now.span.start + found.end
            if found.of(target.now.span.of(target.after)) in known and target.after[end : end + 1] == ",":
                row, lines = Span(start, end + 1), whole_lines(target.after, Span(start, end + 1))
                alone = lines.of(target.after).strip() == row.of(target.after)
                text = edited(target.after, (lines if alone else row, ""))
                place = target.was.span.start + known.index(target.after[start:end])
                return _of(change, target, text, "test-cases-removed", place, before=True, also=_LESS)
    return None


def _rows(path: str, text: str) -> list[Span]:
    """Rows of a table that a test is run with: at least three, each a row of several values."""
    root = SgRoot(text, language_of(path) or "python").root()
    if path.endswith(".py"):
        tables = [
            node
            for call in root.find_all(kind="decorator")
            if "parametrize" in call.text()
            for node in call.find_all(kind="list")
        ]
        kinds: tuple[str, ...] = ("tuple", "list", "call")
    elif path.endswith(".go"):
        tables = [
            node
            for node in root.find_all(kind="literal_value")
            if (above := node.parent()) and above.text().startswith("[]")
        ]
        kinds = ("literal_element", "keyed_element")
    else:
        return []
    found: list[Span] = []
    for table in tables[:1]:
        rows = [child for child in table.children() if child.kind() in kinds and child.text()[0] in "([{p"]
        if len(rows) >= 3:
            found += [Span(row.range().start.index, row.range().end.index) for row in rows]
    return found


_SLEEPS = {
    "python": "__import__('time').sleep(5)",
    "javascript": "await new Promise((resolve) => setTimeout(resolve, 5000))",
    "typescript": "await new Promise((resolve) => setTimeout(resolve, 5000));",
    "go": "time.Sleep(5 * time.Second)",
    "java": "Thread.sleep(5000);",
    "rust": "std::thread::sleep(std::time::Duration::from_secs(5));",
}


def _sleeping(change: Change, chance: Random) -> Mutant | None:
    for target in targets(change, chance):
        language, text, test = language_of(target.path) or "", target.after, target.now
        asynchronous = "async" in test.head.of(text)
        if not test.assertions or (language in ("javascript", "typescript") and not asynchronous):
            continue
        first = test.assertions[0].span.start
        indent = indent_at(text, first)
        line = Span(whole_lines(text, Span(first, first)).start, whole_lines(text, Span(first, first)).start)
        wait = "time.sleep(5)" if language == "python" else _SLEEPS[language]
        slept = edited(text, (line, f"{indent}{wait}\n"))
        if language == "python":
            slept = _with_import(slept, "time")
        if language == "go" and '"time"' not in slept:
            slept = slept.replace('\t"testing"\n', '\t"testing"\n\t"time"\n', 1)
        return _of(change, target, slept, "sleep-in-test", line.start)
    return None


def _asserting(change: Change, chance: Random, least: int = 1) -> Iterator[tuple[Target, Assertion, Assertion]]:
    """Assertions that the change leaves alone, of tests with at least `least` of them."""
    for target in targets(change, chance):
        if len(target.now.assertions) >= least:
            pairs = kept(target)
            for was, now in chance.sample(pairs, len(pairs)):
                if _alone(target.after, target.now.assertions[now]):
                    yield target, target.was.assertions[was], target.now.assertions[now]


def _alone(text: str, one: Assertion) -> bool:
    """Whether nothing else is on the assertion's lines."""
    return whole_lines(text, one.span).of(text).strip().rstrip(";") == one.span.of(text).strip().rstrip(";")


def _of(
    change: Change, target: Target, text: str, kind: str, at: int, *, before: bool = False, also: Sequence[str] = ()
) -> Mutant:
    """`at` is what it is about, in the text before the change if that is gone: then its test may be named, too."""
    places = [(target.path, line_at(target.before if before else text, at))]
    if before and kind != "test-deleted":
        places.append((target.path, line_at(text, target.now.head.start)))
    return Mutant(change.put(target.path, text), [kind], places, also)


def _mutations(*ways: tuple[str, Callable[[Change, Random], Mutant | None]]) -> list[Mutation]:
    return [Mutation(name, make) for name, make in ways]


WEAKENING = [
    *_mutations(
        ("test-deleted", _deleted),
        ("test-commented-out", _commented_out),
        ("test-file-deleted", _file_deleted),
        ("test-file-renamed-away", _not_collected),
        ("test-skipped", _skipped),
        ("test-emptied", _emptied),
        ("test-always-true", _always_true),
        ("assertion-removed", _removed),
        ("assertion-commented-out", _assertion_commented_out),
        ("assertions-halved", _half_removed),
        ("assertion-loosened", _loosened),
        ("assertion-swallowed", _swallowed),
        ("expected-value-changed", _expected_changed),
        ("sleep-in-test", _sleeping),
    ),
    Mutation("test-renamed-away", _renamed_away, ("python", "go")),
    Mutation("test-only", _others_skipped, ("javascript", "typescript")),
    Mutation("any-error-accepted", _any_error, ("python", "javascript", "typescript")),
    Mutation("test-cases-removed", _cases_removed, ("python", "go")),
]
