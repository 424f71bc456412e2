from __future__ import annotations

import pytest

from tests.tamper.table import Row, kinds, looked_at, row

JAVASCRIPT = """
import { discount, total } from '../src/prices'

function check(basket) {
  expect(basket.count).toBe(2)
}

describe('prices', () => {
  it('discounts', async () => {
    expect(discount(100)).toBe(90)
    expect(discount(0)).toEqual({ price: 0, free: true })
  })

  it('refuses', () => {
    expect(() => discount(-1)).toThrow(RangeError)
    expect(log.warn).toHaveBeenCalledWith('negative')
  })

  it.each([[10, 9], [20, 18], [30, 27]])('discounts %i', (price, expected) => {
    expect(discount(price)).toBe(expected)
  })

  it('sums', () => {
    const expected = 6
    check(basket)
    expect(total([1, 2, 3])).toBe(expected)
  })
})
"""
TAP = """
const test = require('tape')
test('sums', (t) => {
  t.equal(total([1, 2]), 3)
  t.deepEqual(list(), [1, 2])
  t.end()
})
"""
JAVA = """
class PricesTest {
    @Test
    void discounts() {
        assertEquals(90, discount(100));
        assertThat(discount(0)).isEqualTo(0);
    }

    @Test
    void refuses() throws Exception {
        assertThrows(IllegalArgumentException.class, () -> discount(-1));
        verify(log, times(1)).warn("negative");
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3})
    void positive(int price) {
        assertTrue(discount(price) > 0);
    }
}
"""
GO = """
package prices

import "testing"

func TestDiscount(t *testing.T) {
	if got := Discount(100); got != 90 {
		t.Errorf("Discount(100) = %d", got)
	}
	if err := Refuse(-1); err == nil {
		t.Fatal("no error")
	}
}

func TestTable(t *testing.T) {
	tests := []struct {
		price, want int
	}{
		{10, 9},
		{20, 18},
		{30, 27},
	}
	for _, tt := range tests {
		t.Run("row", func(t *testing.T) {
			assert.Equal(t, tt.want, Discount(tt.price))
		})
	}
}

func TestTotal(t *testing.T) {
	want := []int{1, 2}
	require.NoError(t, err)
	assert.Equal(t, want, List())
}
"""
RUST = """
pub fn discount(price: i32) -> i32 {
    price * 9 / 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn discounts() {
        assert_eq!(discount(100), 90);
        assert!(discount(0) == 0, "free");
    }

    #[test]
    #[should_panic(expected = "negative")]
    fn refuses() {
        discount(-1);
    }

    #[test]
    fn lists() {
        let list = list();
        assert_eq!(list, vec![1, 2]);
        assert!(list.contains(&1));
    }
}
"""
KOTLIN = """
class PricesTest {
    @Test
    fun `discounts ten percent`() {
        assertEquals(90, discount(100))
        discount(0) shouldBe 0
    }

    @Test
    fun refuses() {
        assertFailsWith<IllegalArgumentException> { discount(-1) }
        assertThat(log.lines).isEqualTo(1)
    }
}
"""
SWIFT = """
final class PricesTests: XCTestCase {
    func testDiscount() throws {
        XCTAssertEqual(discount(100), 90)
        XCTAssertEqual(total([0.1]), 0.1, accuracy: 0.001)
    }

    func testRefuses() {
        XCTAssertThrowsError(try discount(-1))
        XCTAssertTrue(log.isEmpty)
    }
}

@Test func sums() {
    #expect(total([1, 2]) == 3)
    #expect(list() == [1, 2])
}
"""
FILES = {
    "JavaScript": ("src/prices.test.js", JAVASCRIPT),
    "TypeScript": ("src/prices.spec.ts", JAVASCRIPT),
    "TSX": ("src/__tests__/prices.tsx", JAVASCRIPT),
    "tape": ("test/prices.js", TAP),
    "Java": ("src/test/java/PricesTest.java", JAVA),
    "Go": ("prices_test.go", GO),
    "Rust": ("src/prices.rs", RUST),
    "Kotlin": ("src/test/kotlin/PricesTest.kt", KOTLIN),
    "Swift": ("Tests/PricesTests/PricesTests.swift", SWIFT),
}
JS = ("JavaScript", "TypeScript", "TSX")
Edit = tuple[str, str]
EDITS: dict[str, list[tuple[tuple[str, ...], str, str]]] = {
    "test-deleted": [
        (JS, JAVASCRIPT[JAVASCRIPT.index("  it('refuses'") : JAVASCRIPT.index("  it.each")], ""),
        (JS, "  it('refuses'", "  false && it('refuses'"[:0] + "  void ('refuses'"),
        (("Java",), "    @Test\n    void discounts", "    void discounts"),
        (("Java",), JAVA[JAVA.index("    @Test\n    void refuses") : JAVA.index("    @Param")], ""),
        (("Go",), "func TestDiscount", "func disabledTestDiscount"),
        (("Go",), GO[GO.index("func TestTotal") :], ""),
        (("Rust",), "    #[test]\n    fn lists", "    fn lists"),
        (("Rust",), RUST[RUST.index("    #[test]\n    #[should") : RUST.index("    #[test]\n    fn lists")], ""),
        (("Kotlin",), "    @Test\n    fun refuses", "    fun refuses"),
        (("Swift",), "func testRefuses", "func disabledTestRefuses"),
        (("Swift",), SWIFT[SWIFT.index("@Test func") :], ""),
    ],
    "test-skipped": [
        (JS, "it('discounts'", "it.skip('discounts'"),
        (JS, "it('discounts'", "xit('discounts'"),
        (JS, "it('discounts'", "it.only('discounts'"),
        (JS, "describe('prices'", "describe.skip('prices'"),
        (JS, "it('discounts', async", "it('discounts', { skip: true }, async"),
        (("tape",), "test('sums'", "test.skip('sums'"),
        (("tape",), "test('sums', (t)", "test('sums', { skip: true }, (t)"),
        (("Java",), "    @Test\n    void discounts", '    @Disabled("flaky")\n    @Test\n    void discounts'),
        (("Java",), "class PricesTest", "@Ignore\nclass PricesTest"),
        (("Go",), "func TestTotal(t *testing.T) {\n", 'func TestTotal(t *testing.T) {\n\tt.Skip("flaky")\n'),
        (("Rust",), "    #[test]\n    fn lists", "    #[test]\n    #[ignore]\n    fn lists"),
        (("Kotlin",), "    @Test\n    fun refuses", "    @Test\n    @Disabled\n    fun refuses"),
        (("Swift",), "func testRefuses() {\n", 'func testRefuses() throws {\n        throw XCTSkip("flaky")\n'),
        (("Swift",), "@Test func", '@Test(.disabled("flaky")) func'),
    ],
    "test-emptied": [
        (JS, "    expect(discount(100)).toBe(90)\n    expect(discount(0)).toEqual({ price: 0, free: true })\n", ""),
        (
            JS,
            "    expect(discount(100)).toBe(90)\n    expect(discount(0)).toEqual({ price: 0, free: true })\n",
            "    expect(true).toBe(true)\n",
        ),
        (("Java",), "        assertEquals(90, discount(100));\n        assertThat(discount(0)).isEqualTo(0);\n", ""),
        (("Go",), GO[GO.index("\twant := []int") : GO.rindex("}")], ""),
        (("Rust",), '        assert_eq!(discount(100), 90);\n        assert!(discount(0) == 0, "free");\n', ""),
        (("Kotlin",), "        assertEquals(90, discount(100))\n        discount(0) shouldBe 0\n", ""),
        (("Swift",), "        XCTAssertThrowsError(try discount(-1))\n        XCTAssertTrue(log.isEmpty)\n", ""),
    ],
    "assertion-removed": [
        (JS, "    expect(discount(0)).toEqual({ price: 0, free: true })\n", ""),
        (JS, "    expect(log.warn).toHaveBeenCalledWith('negative')\n", ""),
        (JS, "    check(basket)\n", ""),
        (("tape",), "  t.deepEqual(list(), [1, 2])\n", ""),
        (("Java",), "        assertThat(discount(0)).isEqualTo(0);\n", ""),
        (("Java",), '        verify(log, times(1)).warn("negative");\n', ""),
        (("Go",), 't.Fatal("no error")', 't.Log("no error")'),
        (("Go",), "\trequire.NoError(t, err)\n", ""),
        (("Rust",), "        assert!(list.contains(&1));\n", ""),
        (("Rust",), '    #[should_panic(expected = "negative")]\n', ""),
        (("Kotlin",), "        discount(0) shouldBe 0\n", ""),
        (("Kotlin",), "        assertFailsWith<IllegalArgumentException> { discount(-1) }\n", ""),
        (("Swift",), "        XCTAssertTrue(log.isEmpty)\n", ""),
        (("Swift",), "    #expect(list() == [1, 2])\n", ""),
    ],
    "assertion-loosened": [
        (JS, "expect(discount(100)).toBe(90)", "expect(discount(100)).toBeDefined()"),
        (JS, "expect(discount(100)).toBe(90)", "expect(discount(100)).not.toBe(91)"),
        (JS, "expect(discount(100)).toBe(90)", "expect(discount(100)).toBeGreaterThan(0)"),
        (JS, "toEqual({ price: 0, free: true })", "toMatchObject({ price: 0 })"),
        (JS, "toThrow(RangeError)", "toThrow()"),
        (JS, "toHaveBeenCalledWith('negative')", "toHaveBeenCalled()"),
        (JS, "toHaveBeenCalledWith('negative')", "toHaveBeenCalledWith(expect.anything())"),
        (
            JS,
            "    expect(discount(100)).toBe(90)",
            "    try {\n      expect(discount(100)).toBe(90)\n    } catch {}",
        ),
        (("tape",), "t.equal(total([1, 2]), 3)", "t.ok(total([1, 2]))"),
        (("Java",), "assertEquals(90, discount(100))", "assertNotNull(discount(100))"),
        (("Java",), "assertEquals(90, discount(100))", "assertTrue(discount(100) > 0)"),
        (("Java",), "isEqualTo(0)", "isNotNull()"),
        (("Java",), "IllegalArgumentException.class", "Exception.class"),
        (("Java",), "times(1)", "atLeastOnce()"),
        (("Go",), "got != 90", "got == 0"),
        (("Go",), "got != 90", "got != 90 && false"),
        (("Go",), "assert.Equal(t, want, List())", "assert.NotNil(t, List())"),
        (("Rust",), "assert_eq!(discount(100), 90)", "assert!(discount(100) > 0)"),
        (("Rust",), "assert_eq!(discount(100), 90)", "assert_ne!(discount(100), 91)"),
        (("Rust",), "assert_eq!(list, vec![1, 2])", "assert!(list == vec![1, 2] || true)"),
        (("Kotlin",), "discount(0) shouldBe 0", "discount(0) shouldNotBe 1"),
        (("Kotlin",), "assertEquals(90, discount(100))", "assertNotNull(discount(100))"),
        (("Kotlin",), "<IllegalArgumentException>", "<Throwable>"),
        (("Swift",), "XCTAssertEqual(discount(100), 90)", "XCTAssertNotNil(discount(100))"),
        (("Swift",), "accuracy: 0.001", "accuracy: 10"),
        (("Swift",), "#expect(total([1, 2]) == 3)", "#expect(total([1, 2]) > 0)"),
    ],
    "expected-value-changed": [
        (JS, "toBe(90)", "toBe(91)"),
        (JS, "price: 0, free: true", "price: 0, free: false"),
        (JS, "const expected = 6", "const expected = 7"),
        (JS, "[20, 18]", "[20, 19]"),
        (("tape",), "t.equal(total([1, 2]), 3)", "t.equal(total([1, 2]), 4)"),
        (("Java",), "assertEquals(90,", "assertEquals(91,"),
        (("Java",), "isEqualTo(0)", "isEqualTo(1)"),
        (("Go",), "got != 90", "got != 91"),
        (("Go",), "{20, 18}", "{20, 19}"),
        (("Go",), "want := []int{1, 2}", "want := []int{1, 3}"),
        (("Rust",), "discount(100), 90", "discount(100), 91"),
        (("Rust",), "vec![1, 2]", "vec![1, 3]"),
        (("Kotlin",), "assertEquals(90,", "assertEquals(91,"),
        (("Kotlin",), "shouldBe 0", "shouldBe 1"),
        (("Swift",), "discount(100), 90", "discount(100), 91"),
        (("Swift",), "list() == [1, 2]", "list() == [1, 3]"),
    ],
    "test-cases-removed": [
        (JS, "[20, 18], ", ""),
        (("Java",), "{1, 2, 3}", "{1, 2}"),
        (("Go",), "\t\t{20, 18},\n", ""),
    ],
    "sleep-in-test": [
        (JS, "async () => {\n", "async () => {\n    await new Promise((resolve) => setTimeout(resolve, 5000))\n"),
        (JS, "async () => {\n", "async () => {\n    await page.waitForTimeout(5000)\n"),
        (("Java",), "void discounts() {\n", "void discounts() {\n        Thread.sleep(500);\n"),
        (("Go",), "\trequire.NoError(t, err)\n", "\ttime.Sleep(time.Second)\n\trequire.NoError(t, err)\n"),
        (("Rust",), "let list = list();\n", "let list = list();\n        std::thread::sleep(SECOND);\n"),
        (("Kotlin",), "fun refuses() {\n", "fun refuses() {\n        Thread.sleep(500)\n"),
        (("Swift",), "throws {\n", "throws {\n        Thread.sleep(forTimeInterval: 2)\n"),
    ],
    "": [
        # What honest changes look like.
        (JS, "  it('discounts'", "  it('adds', () => { expect(1 + one).toBe(2) })\n\n  it('discounts'"),
        (JS, "it('discounts'", "it('takes ten percent off'"),
        (JS, "expect(discount(100)).toBe(90)", "expect(\n      discount(100),\n    ).toBe(90);"),
        (JS, "'../src/prices'", '"../lib/prices"'),
        (JS, "toEqual({ price: 0, free: true })", "toStrictEqual({ price: 0, free: true })"),
        (JS, "toThrow(RangeError)", "toThrow(RangeError('negative'))"),
        (JS, "describe('prices'", "describe('all prices'"),
        (JS, "[30, 27]]", "[30, 27], [40, 36]]"),
        (JS, "async () => {\n", "async () => {\n    // it.skip('x') and expect(1).toBe(2)\n"),
        (JS, "const expected = 6\n", "const expected = 6\n    setTimeout(() => basket.clear(), 10)\n"),
        (("tape",), "t.equal(total([1, 2]), 3)", "t.equal(total([1, 2]), 3, 'the sum')"),
        (("Java",), "assertEquals(90, discount(100));", 'assertEquals(90, discount(100), "ten percent");'),
        (("Java",), "void discounts()", "void discountsTenPercent()"),
        (("Java",), "assertEquals(90, discount(100))", "assertThat(discount(100)).isEqualTo(90)"),
        (("Java",), "class PricesTest {", "class PricesTest {\n    @BeforeEach void setUp() { log.clear(); }\n"),
        (("Go",), "func TestTotal(", "func TestTotalOfList("),
        (("Go",), 't.Errorf("Discount(100) = %d", got)', 't.Fatalf("got %d", got)'),
        (("Go",), "\t\t{30, 27},\n", "\t\t{30, 27},\n\t\t{40, 36},\n"),
        (("Rust",), "assert!(discount(0) == 0", "assert_eq!(discount(0), 0"),
        (("Rust",), "price * 9 / 10", "price - price / 10"),
        (("Rust",), "fn lists()", "fn lists_two()"),
        (("Kotlin",), "discount(0) shouldBe 0", "assertEquals(0, discount(0))"),
        (("Kotlin",), "`discounts ten percent`", "`takes ten percent off`"),
        (("Swift",), "testDiscount()", "testDiscountOfTenPercent()"),
        (("Swift",), "XCTAssertEqual(discount(100), 90)", 'XCTAssertEqual(discount(100), 90, "ten percent")'),
    ],
}


def _rows() -> dict[str, Row]:
    rows = {}
    for kind, edits in EDITS.items():
        for languages, old, new in edits:
            for language in languages:
                path, text = FILES[language]
                assert old in text, old
                name = f"{language}: {kind or 'honest'}: {' '.join(old.split())[:40]} -> {' '.join(new.split())[:60]}"
                rows[name] = row(path, text, text.replace(old, new, 1), *([kind] if kind else []))
    return rows


ROWS = _rows()


@pytest.fixture(scope="module")
def found() -> dict[str, set[str]]:
    return {name: kinds(findings) for name, findings in looked_at(ROWS).items()}


@pytest.mark.parametrize("name", ROWS)
def test_the_guard_sees_what_became_of_a_test(name, found):
    assert found[name] == ROWS[name].kinds
