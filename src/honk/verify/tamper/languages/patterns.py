"""Languages without a parser here, and files that their parser does not take: tests found by how they usually look."""

from __future__ import annotations

import re

from honk.verify.tamper.conditions import strength_of
from honk.verify.tamper.facts import Assertion, Mark, Skip, Source, Test
from honk.verify.tamper.languages.common import may_silence, tolerance_in

_TEST = re.compile(
    r"^\s*(?:async\s+)?(?:public\s+|private\s+|internal\s+|static\s+|final\s+|override\s+)*(?:def|func|fun|function|fn|void|sub|Task)\s+"
    r"(?P<name>[`\w]*test\w*[^({]*?)\s*\(|^\s*(?:it|test|scenario|specify|example|should|feature)[\s(.]+(?P<how>[xf]?)(?P<title>[\"'].*?[\"'])"
    r"|^\s*TEST(?:_F|_P|_CASE)?\s*\((?P<macro>[^)]*)\)|^\s*(?:pub\s+)?#?\[(?:Fact|Test|Theory|TestMethod)\b(?P<attribute>.*)",
    re.IGNORECASE,
)
_ASSERTS = re.compile(
    r"(?<![\w.])(?:self\.|\$this->|this\.)?(?P<name>assert\w*|expect\w*|refute\w*|should\w*|verify\w*|XCTAssert\w*|EXPECT_\w+|ASSERT_\w+|REQUIRE\w*|CHECK\w*"
    r"|Assert\.\w+)|\.(?P<chained>should(?:_not)?|to|not_to|Should)\b"
)
_SKIPS = re.compile(
    r"\b(skip\w*|pending|xit|xdescribe|xtest|xfail|\[Ignore|Skip ?=|markTestSkipped"
    r"|markTestIncomplete|DISABLED_\w+|@Disabled|@Ignore)\b"
)
_SLEEPS = re.compile(r"\b(sleep|usleep|Thread\.Sleep|Task\.Delay|sleep_for)\s*\(?\s*[\w.:]*\d")
_COMMENT = re.compile(r"^\s*(#|//|--|\*|/\*)")
_INLINE = re.compile(r"(//|#|--|/\*).*$")


def read(text: str, *, is_test: bool) -> Source:
    """What the lines of a file look like."""
    lines = text.split("\n")
    source = Source()
    if may_silence(text):
        for number, line in enumerate(lines, 1):
            if found := _INLINE.search(line):
                source.silencers.append(Mark(number, found.group()))
    if is_test:
        source.tests = _tests(lines)
    return source


def _tests(lines: list[str]) -> list[Test]:
    tests: list[Test] = []
    bodies: list[list[str]] = []
    for number, line in enumerate(lines, 1):
        if _COMMENT.match(line):
            continue
        found = _TEST.match(line)
        if found:
            name = next((one for one in found.group("name", "title", "macro", "attribute") if one), "?")
            tests.append(Test(name.strip(" \"'`"), number))
            bodies.append([])
        if not tests:
            continue
        test = tests[-1]
        bodies[-1].append(line.strip())
        if test.skip is None and _SKIPS.search(line):
            test.skip = Skip(number, line.strip(), bool(re.search(r"\b(if|unless)\b", line)))
        if _SLEEPS.search(line):
            test.sleeps.append(Mark(number, line.strip()))
        if asserts := _ASSERTS.search(line):
            name = asserts["name"] or asserts["chained"]
            code = " ".join(line.split())
            test.assertions.append(
                Assertion(
                    number,
                    code,
                    name,
                    "",
                    "",
                    strength=strength_of(name.rsplit(".", 1)[-1]),
                    tolerance=tolerance_in(code),
                )
            )
    for test, body in zip(tests, bodies, strict=True):
        test.body = "\n".join(one for one in body if one)
        test.names = frozenset(re.findall(r"\w+", test.body))
        test.calls = frozenset(re.findall(r"(\w+)\s*\(", test.body))
        test.empty = not any(re.search(r"\w", one) and one not in {"end", "pass"} for one in body[1:])
    return tests
