"""What a change may be made of to break whoever reads it."""

from __future__ import annotations

import sys

import pytest

from honk.model import ChangedFile
from honk.verify.tamper import guard, guard_each
from tests.tamper.table import changed, kinds

# `guard` is a function in its package; the module of that name is wanted here.
GUARD = sys.modules["honk.verify.tamper.guard"]
TEST = "def test_price():\n    assert price(1) == 1\n    assert price(2) == 2\n"
WEAKER = "def test_price():\n    assert price(1) == 1\n"
# The real reader, which ends or falls silent at a file of a certain name, as a parser's fault would make it.
FAULTY = """
import os, signal
from honk.verify.tamper import inspection, reader
real = inspection.read
def read(language, path, text):
    if "dies" in path:
        os.abort()
    if "hangs" in path:
        signal.pause()
    return real(language, path, text)
inspection.read = read
reader.main()
"""


@pytest.fixture
def faulty_parser(monkeypatch):
    monkeypatch.setattr(GUARD, "_READER", [sys.executable, "-I", "-c", FAULTY])
    monkeypatch.setattr(GUARD, "_SILENT", 1.0)


def test_a_file_that_ends_the_reader_is_a_serious_finding_and_the_rest_is_read(faulty_parser):
    change = [changed("tests/test_a_dies.py", TEST, WEAKER), changed("tests/test_price.py", TEST, WEAKER)]

    died, weaker = guard(change)

    assert (died.kind, died.severity, died.path) == ("not-read", "serious", "tests/test_a_dies.py")
    assert (weaker.kind, weaker.path) == ("assertion-removed", "tests/test_price.py")


def test_a_file_that_takes_the_reader_for_ever_is_a_serious_finding(faulty_parser):
    (finding,) = guard([changed("tests/test_hangs.py", TEST, WEAKER)])

    assert (finding.kind, finding.severity) == ("not-read", "serious")


def test_a_reader_that_dies_at_every_file_gives_the_change_up_in_plain_sight(faulty_parser):
    change = [changed(f"tests/test_dies_{number}.py", TEST, WEAKER) for number in range(20)]

    findings, others = guard_each([change, [changed("tests/test_price.py", TEST, WEAKER)]])

    assert {one.kind for one in findings} == {"not-read"}
    assert "The change could not be read" in findings[0].message
    assert kinds(others) == {"assertion-removed"}


def test_a_reader_that_cannot_start_is_no_silence(monkeypatch):
    monkeypatch.setattr(GUARD, "_READER", [sys.executable, "-I", "-c", "raise SystemExit(1)"])

    assert kinds(guard([changed("tests/test_price.py", TEST, WEAKER)])) == {"not-read"}


DEEP = {
    "brackets in Python": ("tests/test_price.py", TEST, "x = " + "(" * 50_000 + ")" * 50_000 + "\n" + WEAKER),
    "minus signs in Python": ("tests/test_price.py", TEST, "x = " + "-" * 50_000 + "1\n" + WEAKER),
    "attributes in Python": ("tests/test_price.py", TEST, "x = a" + ".a" * 50_000 + "\n" + WEAKER),
    "brackets in JavaScript": ("src/price.test.js", "test('a', () => { expect(1).toBe(a) })", "[" * 50_000),
    "blocks in Go": ("price_test.go", "package a\n", "package a\nfunc TestA(t *testing.T) " + "{" * 50_000),
    "brackets in Rust": ("tests/price.rs", "fn a() {}", "#[test]\nfn a() { " + "(" * 50_000 + " }"),
    "brackets in Java": ("src/test/java/ATest.java", "class A {}", "class A { int a = " + "(" * 20_000 + "1; }"),
}


def test_code_that_is_nested_without_end_is_read_in_part_and_said_to_be():
    found = guard_each([[changed(path, before, after)] for path, before, after in DEEP.values()])

    assert [name for name, findings in zip(DEEP, found, strict=True) if "not-read" not in kinds(findings)] == []


SETTINGS = {
    "YAML that multiplies": (
        ".golangci.yml",
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(9)),
    ),
    "nested JSON": ("tsconfig.json", "[" * 100_000),
    "YAML that makes objects": (".golangci.yml", "a: !!python/object/apply:os.system ['touch /tmp/owned']\n"),
    "TOML that is none": ("pyproject.toml", "[tool.ruff\n"),
}


def test_settings_that_cannot_be_read_are_said_to_be():
    found = guard_each(
        [[changed(path, "{}\n" if path.endswith("json") else "", text)] for path, text in SETTINGS.values()]
    )

    assert [name for name, findings in zip(SETTINGS, found, strict=True) if "not-read" not in kinds(findings)] == []


ENCODED = {
    "Windows line ends": (TEST.replace("\n", "\r\n"), WEAKER.replace("\n", "\r\n")),
    "a byte order mark": ("\ufeff" + TEST, "\ufeff" + WEAKER),
    "no UTF-8": (TEST.encode() + b"# \xff\xfe\xe9\n", WEAKER.encode() + b"# \xff\xfe\xe9\n"),
    "UTF-16": (TEST.encode("utf-16"), WEAKER.encode("utf-16")),
    "only the line ends differ": (TEST.replace("\n", "\r\n"), WEAKER),
}


def test_a_test_is_read_however_it_is_encoded():
    sides = [[text.encode() if isinstance(text, str) else text for text in both] for both in ENCODED.values()]
    found = guard_each([[ChangedFile("tests/test_price.py", *both, "100644", "100644")] for both in sides])

    assert [kinds(findings) for findings in found] == [{"assertion-removed"}] * len(ENCODED)


def test_other_line_ends_alone_are_nothing():
    assert guard([changed("tests/test_price.py", TEST.encode(), TEST.replace("\n", "\r\n").encode())]) == []


def test_a_test_that_does_not_parse_is_compared_by_patterns_and_said_to_be():
    findings = guard([changed("tests/test_price.py", TEST, WEAKER + "def broken(:\n")])

    assert kinds(findings) == {"not-read", "assertion-removed"}
    assert "compared by patterns only" in next(one.message for one in findings if one.kind == "not-read")


def test_paths_and_texts_of_any_bytes_are_told_without_control_signs():
    path = b"tests/test_\xff\x1b[31m.py".decode("utf-8", "surrogateescape")

    (finding,) = guard([changed(path, TEST, "def test_price():\n    assert price(1) == 1  # \x1b[2J\n")])

    assert finding.path == path
    assert "\x1b" not in finding.evidence + finding.message


def test_one_start_reads_ten_thousand_files_and_tells_no_more_than_a_person_reads():
    change = [changed(f"src/module_{number}/tests/test_{number}.py", TEST, WEAKER) for number in range(2_100)]
    change += [changed(f"src/module_{number}/notes.txt", "a\n", "b\n") for number in range(7_900)]

    findings = guard(change)

    assert len(findings) == 2_000
    assert "101 more findings" in findings[0].message


def test_nothing_changed_is_nothing_found():
    assert guard([]) == []
    assert guard_each([]) == []
