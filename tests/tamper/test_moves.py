"""Changes of several files: what moves, goes together, or is renamed."""

from __future__ import annotations

from honk.model import ChangedFile
from honk.verify.tamper import guard
from tests.tamper.table import changed, kinds

SUM = "def test_sum():\n    assert total([1, 2]) == 3\n    assert total([]) == 0\n"
CUT = "def test_cut():\n    assert cut(100) == 90\n"
JAVASCRIPT = "test('sums', () => {\n  expect(total([1, 2])).toBe(3)\n})\n"


def test_a_test_that_moves_to_another_file_is_not_deleted():
    assert guard([changed("tests/test_a.py", SUM + CUT, CUT), changed("tests/test_b.py", None, SUM)]) == []


def test_a_file_of_tests_under_another_name_is_not_deleted():
    assert guard([changed("tests/test_b.py", SUM, SUM, "tests/test_a.py")]) == []
    assert guard([changed("tests/test_a.py", SUM, None), changed("tests/unit/test_b.py", None, SUM)]) == []


def test_a_test_that_is_weaker_where_it_moved_to_is_seen():
    weaker = SUM.replace("    assert total([]) == 0\n", "")

    findings = guard([changed("tests/test_a.py", SUM, None), changed("tests/test_b.py", None, weaker)])

    assert kinds(findings) == {"assertion-removed"}


def test_a_file_of_tests_under_a_name_that_no_runner_looks_for_is_deleted():
    assert kinds(guard([changed("tests/sums.py", SUM, SUM, "tests/test_sums.py")])) == {"test-deleted"}
    assert kinds(guard([changed("tests/test_sums.py.bak", SUM, SUM, "tests/test_sums.py")])) == {"test-deleted"}
    assert kinds(guard([changed("src/sums.js", JAVASCRIPT, JAVASCRIPT, "src/sums.test.js")])) == {"test-deleted"}


def test_a_test_behind_comments_is_deleted_however_much_a_new_one_is_like_it():
    table = "def test_total():\n    result = total([1, 2])\n    assert result == expected\n"
    hidden = "".join(f"# {line}\n" for line in table.splitlines())

    findings = guard([changed("tests/test_a.py", table, hidden + table.replace("test_total", "test_total_again"))])

    assert kinds(findings) == {"test-deleted"}


def test_a_test_is_not_replaced_by_one_of_something_else_that_asserts_in_the_same_words():
    total = "def test_total():\n    result = total([1, 2])\n    assert result == expected\n"
    words = "def test_words():\n    text = upper('a b')\n"
    words += "    result = text.split(' ', maxsplit=1)\n    assert result == expected\n"

    assert kinds(guard([changed("tests/test_a.py", total, words)])) == {"test-deleted"}


def test_a_feature_that_goes_with_its_tests_is_told_more_softly():
    code = "def total(prices):\n    return sum(prices)\n\n\ndef cut(price):\n    return price * 0.9\n"
    change = [
        changed("src/prices.py", code, code.split("\n\n\ndef cut", maxsplit=1)[0] + "\n"),
        changed("tests/test_prices.py", SUM + CUT, SUM),
    ]

    (finding,) = guard(change)

    assert (finding.kind, finding.severity) == ("test-deleted", "warning")
    assert "so is the code it tested (`cut`)" in finding.message


def test_a_function_renamed_in_code_and_tests_is_nothing():
    code = "def total(prices):\n    return sum(prices)\n"
    change = [
        changed("src/prices.py", code, code.replace("total", "sum_of")),
        changed("tests/test_prices.py", SUM, SUM.replace("total", "sum_of")),
    ]

    assert kinds(guard(change)) == set()


def test_a_text_that_code_and_test_have_in_common_may_change_in_both():
    change = [
        changed("src/prices.py", "GREETING = 'Hello'\n", "GREETING = 'Good morning'\n"),
        changed(
            "tests/test_prices.py",
            *(f"def test_a():\n    assert greet() == '{text}'\n" for text in ("Hello", "Good morning")),
        ),
    ]

    (finding,) = guard(change)

    assert (finding.kind, finding.severity) == ("expected-value-changed", "note")


def test_many_tests_of_one_file_are_one_finding():
    tests = "".join(f"def test_{number}():\n    assert total([{number}]) == {number}\n\n" for number in range(30))

    (finding,) = guard([changed("tests/test_prices.py", tests, None)])

    assert finding.message.startswith("All 30 tests of this file are gone")


def test_a_threshold_that_moves_to_another_file_still_stands():
    change = [
        changed(".coveragerc", "[report]\nfail_under = 85\n", None),
        changed("pyproject.toml", "[project]\n", "[project]\n[tool.coverage.report]\nfail_under = 85\n"),
    ]

    assert "coverage-lowered" not in kinds(guard(change))


def test_a_recorded_snapshot_that_is_another_is_told():
    before, after = "exports[`a`] = `1`;\n", "exports[`a`] = `2`;\n"

    assert kinds(guard([changed("src/__snapshots__/a.test.js.snap", before, after)])) == {"expected-value-changed"}
    assert kinds(guard([changed("src/__snapshots__/a.test.js.snap", before, before + after)])) == set()


def test_findings_have_a_line_and_the_line_as_it_stands():
    (finding,) = guard([changed("tests/test_a.py", SUM, SUM.replace("== 0", "is not None"))])

    assert (finding.path, finding.line) == ("tests/test_a.py", 3)
    assert finding.evidence == "assert total([]) is not None"
    assert finding.message == "An assertion of `test_sum` accepts more than it did; it was: `total([]) == 0`."


def test_the_same_change_gives_the_same_findings_in_the_same_order():
    change = [changed(f"tests/test_{name}.py", SUM + CUT, CUT.replace("== 90", "> 0")) for name in "cab"]

    found = guard(change)

    assert found == guard(change)
    assert [one.path for one in found] == sorted(one.path for one in found)


def test_tests_in_a_language_without_a_parser_are_found_by_how_they_look():
    ruby = (
        'describe "prices" do\n  it "sums" do\n    expect(total([1])).to eq(1)\n  end\n'
        '  it "cuts" do\n    expect(cut(1)).to eq(1)\n  end\nend\n'
    )

    assert kinds(guard([changed("spec/prices_spec.rb", ruby, ruby.split('  it "cuts"', maxsplit=1)[0] + "end\n")])) == {
        "test-deleted"
    }
    assert kinds(guard([changed("spec/prices_spec.rb", ruby, ruby.replace('it "cuts"', 'xit "cuts"'))])) == {
        "test-skipped"
    }
    assert kinds(guard([changed("tests/pay.feature", "Feature: pay\n", None)])) == {"test-deleted"}


def test_a_link_and_a_submodule_are_not_read_as_code():
    link = ChangedFile("tests/test_a.py", None, b"/etc/passwd", None, "120000")

    (finding,) = guard([link])

    assert (finding.kind, finding.severity) == ("file-mode-changed", "serious")
    assert kinds(guard([ChangedFile("vendor/x", None, b"", None, "160000")])) == {"file-mode-changed"}
