from __future__ import annotations

import pytest

from tests.tamper.table import kinds, looked_at, row

PATH = "tests/test_prices.py"
BEFORE = """
import pytest
from prices import Basket, discount, total

def check(basket):
    assert basket.count == 2
    assert basket.empty is False

class TestBasket:
    def test_counts(self):
        basket = Basket([1, 2])
        check(basket)
        assert total(basket) == 3

def test_discount():
    assert discount(100) == 90
    assert discount(0) == 0

def test_refuses():
    with pytest.raises(ValueError, match="negative"):
        discount(-1)

@pytest.mark.parametrize("price, expected", [(10, 9), (20, 18), (30, 27)])
def test_table(price, expected):
    assert discount(price) == expected

def test_local():
    expected = [1, 2, 3]
    result = Basket(expected).prices()
    assert result == [1, 2, 3]
    assert round(total(result), 2) == pytest.approx(6.0, abs=0.01)
"""


def _with(old: str, new: str):
    assert old in BEFORE, old
    return BEFORE.replace(old, new, 1)


DISCOUNT = "def test_discount():\n    assert discount(100) == 90\n    assert discount(0) == 0\n"


def _row(old: str, new: str, *kinds: str):
    return row(PATH, BEFORE, _with(old, new), *kinds)


ROWS = {
    "a deleted test": _row(DISCOUNT, "", "test-deleted"),
    "a test behind a comment": _row(DISCOUNT, "# " + DISCOUNT.replace("\n", "\n# "), "test-deleted"),
    "a test under a name that is not collected": _row("def test_discount", "def disabled_discount", "test-deleted"),
    "a deleted file": row(PATH, BEFORE, None, "test-deleted"),
    "a class that is not collected": _row(
        "class TestBasket:", "class TestBasket:\n    __test__ = False\n", "test-skipped"
    ),
    "a skip mark": _row("def test_discount", "@pytest.mark.skip\ndef test_discount", "test-skipped"),
    "an expected failure": _row(
        "def test_discount", "@pytest.mark.xfail(reason='x')\ndef test_discount", "test-skipped"
    ),
    "a skip in the body": _row("test_discount():\n", "test_discount():\n    pytest.skip('flaky')\n", "test-skipped"),
    "a skip of the whole file": _row(
        "import pytest\n", "import pytest\npytestmark = pytest.mark.skip\n", "test-skipped"
    ),
    "a skip that is always true": _row(
        "def test_discount", "@pytest.mark.skipif(True, reason='')\ndef test_discount", "test-skipped"
    ),
    "a case that is skipped": _row("(30, 27)", "pytest.param(30, 27, marks=pytest.mark.skip)", "test-skipped"),
    "an emptied test": _row(DISCOUNT, "def test_discount():\n    pass\n", "test-emptied"),
    "a test of what is always true": _row(DISCOUNT, "def test_discount():\n    assert True\n", "test-emptied"),
    "a removed assertion": _row("    assert discount(0) == 0\n", "", "assertion-removed"),
    "an early return": _row("test_discount():\n", "test_discount():\n    return\n", "test-emptied"),
    "an early return in the middle": _row("== 90\n", "== 90\n    return\n", "assertion-removed"),
    "an assertion in a branch never taken": _row(
        "    assert discount(0)", "    if False:\n        assert discount(0)", "assertion-removed"
    ),
    "a helper that is not called": _row("        check(basket)\n", "", "assertion-removed"),
    "a helper that asserts less": _row("    assert basket.empty is False\n", "", "assertion-removed"),
    "equality to presence": _row("discount(100) == 90", "discount(100) is not None", "assertion-loosened"),
    "equality to truth": _row("discount(100) == 90", "discount(100)", "assertion-loosened"),
    "equality to inequality": _row("discount(100) == 90", "discount(100) != 91", "assertion-loosened"),
    "equality to a range": _row("discount(100) == 90", "discount(100) > 0", "assertion-loosened"),
    "equality to a part": _row("discount(100) == 90", "discount(100) in (90, 91)", "assertion-loosened"),
    "or true": _row("discount(100) == 90", "discount(100) == 90 or True", "assertion-loosened"),
    "or another": _row("discount(100) == 90", "discount(100) == 90 or discount(100) == 80", "assertion-loosened"),
    "compared with itself": _row("discount(100) == 90", "discount(100) == discount(100)", "assertion-loosened"),
    "a tuple is always true": _row("discount(100) == 90", "(discount(100) == 90, 'wrong')", "assertion-loosened"),
    "any exception": _row("pytest.raises(ValueError, match", "pytest.raises(Exception, match", "assertion-loosened"),
    "any message": _row(', match="negative"', "", "assertion-loosened"),
    "a wider tolerance": _row("abs=0.01", "abs=5", "assertion-loosened"),
    "a caught failure": _row(
        "    assert discount(0) == 0",
        "    try:\n        assert discount(0) == 0\n    except AssertionError:\n        pass",
        "assertion-loosened",
    ),
    "a suppressed failure": _row(
        "    assert discount(0) == 0",
        "    with suppress(AssertionError):\n        assert discount(0) == 0",
        "assertion-loosened",
    ),
    "another expected value": _row("discount(100) == 90", "discount(100) == 91", "expected-value-changed"),
    "another expected list": _row("result == [1, 2, 3]", "result == [1, 2, 4]", "expected-value-changed"),
    "another row": _row("(20, 18)", "(20, 19)", "expected-value-changed"),
    "fewer rows": _row(", (30, 27)", "", "test-cases-removed"),
    "a sleep": _row("test_discount():\n", "test_discount():\n    time.sleep(2)\n", "sleep-in-test"),
    # What honest changes look like.
    "nothing": row(PATH, BEFORE, BEFORE + "\n\n"),
    "a new test": row(PATH, BEFORE, BEFORE + "\ndef test_new():\n    assert discount(1) == 1\n"),
    "a new assertion": _row("== 90\n", "== 90\n    assert discount(50) == 45\n"),
    "a renamed test": _row("def test_discount", "def test_discount_of_ten_percent"),
    "a renamed function": row(PATH, BEFORE, BEFORE.replace("discount(", "reduced(")),
    "a stricter assertion": _row("basket.empty is False", "basket.empty == (basket.count == 0) and not basket.lost"),
    "another layout": _row("assert discount(100) == 90", "assert (\n        discount(100)\n        == 90\n    )"),
    "a message": _row("discount(100) == 90", "discount(100) == 90, 'ten percent'"),
    "a class becomes functions": _row(
        "class TestBasket:\n    def test_counts(self):\n        basket = Basket([1, 2])\n"
        "        check(basket)\n        assert total(basket) == 3\n",
        "def test_counts():\n    basket = Basket([1, 2])\n    check(basket)\n    assert total(basket) == 3\n",
    ),
    "assertions become a table": _row(
        DISCOUNT,
        "@pytest.mark.parametrize('price, expected', [(100, 90), (0, 0)])\n"
        "def test_discount(price, expected):\n    assert discount(price) == expected\n",
    ),
    "assertions become a function": _row(
        DISCOUNT,
        "def same(price, expected):\n    assert discount(price) == expected\n    assert discount(price) <= price\n\n"
        "def test_discount():\n    same(100, 90)\n    same(0, 0)\n",
    ),
    "a skip on one system": _row(
        "def test_discount",
        "@pytest.mark.skipif(sys.platform == 'win32', reason='x')\ndef test_discount",
        "test-skipped",
    ),
    "a new row": _row("(30, 27)", "(30, 27), (40, 36)"),
    "one test for two": _row(
        DISCOUNT
        + '\ndef test_refuses():\n    with pytest.raises(ValueError, match="negative"):\n        discount(-1)\n',
        "def test_discount_and_refusal():\n    assert discount(100) == 90\n    assert discount(0) == 0\n"
        '    with pytest.raises(ValueError, match="negative"):\n        discount(-1)\n',
    ),
    "no sleep": _row("test_discount():\n", "test_discount():\n    time.sleep(0)\n"),
    "text with a word": _row("test_discount():\n", "test_discount():\n    '''pytest.skip and time.sleep(1)'''\n"),
}


@pytest.fixture(scope="module")
def found() -> dict[str, set[str]]:
    return {name: kinds(findings) for name, findings in looked_at(ROWS).items()}


@pytest.mark.parametrize("name", ROWS)
def test_the_guard_sees_what_became_of_a_python_test(name, found):
    assert found[name] == ROWS[name].kinds
