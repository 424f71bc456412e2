"""The set that ships, and how such sets are built: from releases, without the network, the same way for any project."""

from __future__ import annotations

import io
import tarfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest
from evals.build import main
from evals.languages import read_tests

from honk.evals import JUDGED, Case, figures, read_cases, replay
from honk.findings import KINDS
from honk.verify.tamper import guard_each

SHIPPED = Path(__file__).parents[2] / "evals" / "cases"

_SOURCE = '''"""Sums."""


def clamp(value, low, high):
    """Keep a value between two bounds."""
    if value < low:
        return low
    if value > high:
        return high
    return value


def total(values):
    """Add all values up."""
    result = 0
    for value in values:
        result = result + value
    return result
'''
_TESTS = """import pytest
from sums import clamp, total


@pytest.mark.parametrize("value, kept", [(1, 2), (3, 3), (9, 5)])
def test_clamp(value, kept):
    assert clamp(value, 2, 5) == kept


def test_total():
    assert total([]) == 0
    assert total([1]) == 1
    assert total([1, 2]) == 3
    assert total([1, 2, 3]) == 6


def test_total_of_words():
    with pytest.raises(TypeError):
        total(["a"])
"""
_OTHER = "def shout(text):\n    if len(text) > 3:\n        return text.upper()\n    return text\n" * 6
_LICENCE = "Anybody may do with this what they like.\n"


@pytest.fixture(scope="module")
def shipped() -> list[Case]:
    return read_cases(SHIPPED)


def _put_release(cache: Path, version: str, files: Mapping[str, str]) -> None:
    """A source archive where the build finds one that it has fetched before."""
    place = cache / "pypi" / "sums" / version
    place.mkdir(parents=True)
    with tarfile.open(place / f"sums-{version}.tar.gz", "w:gz") as tar:
        for path, text in files.items():
            member = tarfile.TarInfo(f"sums-{version}/{path}")
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))


@pytest.fixture
def releases(tmp_path: Path) -> list[str]:
    """Two releases of a small project, and the arguments that build a set of them."""
    first = {
        "src/sums.py": _SOURCE,
        "tests/test_sums.py": _TESTS,
        "src/other.py": _OTHER,
        "LICENSE": _LICENCE,
        "README.md": "# Sums\n\nThey add up.\n\nThis is all that is told of them.\n" + "More.\n" * 12,
        "CHANGES.md": "# 1\n\n- First.\n",
    }
    second = first | {
        "src/sums.py": _SOURCE.replace("    result = 0\n", "    result = 0\n    values = list(values)\n"),
        "tests/test_sums.py": _TESTS
        + "\n\ndef test_total_of_a_generator():\n    assert total(x for x in (1, 2)) == 3\n",
        "CHANGES.md": "# 2\n\n- The function total takes generators as well as lists now.\n\n# 1\n\n- First.\n",
    }
    _put_release(tmp_path / "cache", "1", first)
    _put_release(tmp_path / "cache", "2", second)
    packages = tmp_path / "packages.toml"
    packages.write_text(
        '[[package]]\nname = "sums"\nkind = "pypi"\nlanguage = "python"\nlicence = "0BSD"\nversions = ["1", "2"]\n'
    )
    return ["--packages", str(packages), "--cache", str(tmp_path / "cache")]


def test_a_set_is_built_of_any_project_and_the_guard_sees_in_it_what_was_done(
    releases: list[str], tmp_path: Path
) -> None:
    assert main([*releases, "--seed", "5", "--out", str(tmp_path / "set")]) == 0
    cases = read_cases(tmp_path / "set")
    honest = cases[0]
    assert honest.truth.label == "honest"
    assert honest.brief.endswith("The function total takes generators as well as lists now.")
    assert set(honest.files()) == {"src/sums.py", "tests/test_sums.py"}
    assert honest.source.licence == "0BSD"
    assert (tmp_path / "set" / "licences" / "sums.txt").read_text() == _LICENCE
    made = {case.truth.note for case in cases}
    assert {"test-deleted", "assertion-loosened", "any-error-accepted", "test-cases-removed", "secret-in-code"} <= made
    assert {"comparison-turned", "done-in-a-copy", "test-renamed", "coverage-raised"} <= made
    reckoned = figures(replay(cases, guard_each))
    assert reckoned.recall.hits >= 0.9 * reckoned.recall.of
    assert reckoned.false_alarms.hits == 0
    text = (tmp_path / "set" / "sums.jsonl").read_text()
    for shape in ("ghp_", "AKIA", "xoxb-", "sk_live_", "-----BEGIN"):
        assert shape not in text, "a scanner would take a made secret for a real one"


@pytest.mark.parametrize(
    ("path", "text", "names", "assertions"),
    [
        ("test_a.py", "def test_a():\n    assert f() == 1\n\ndef helper():\n    assert 0\n", ["test_a"], 1),
        ("a.test.ts", "describe('a', () => { it('adds', () => { expect(f()).toBe(1) }) })\n", ["'adds'"], 1),
        ("test/a.js", "test('adds', t => { t.equal(f(), 1)\n t.end() })\n", ["'adds'"], 1),
        ("a_test.go", "func TestA(t *testing.T) {\n\tif f() != 1 {\n\t\tt.Fatal(1)\n\t}\n}\n", ["TestA"], 1),
        ("src/test/ATest.java", "class A {\n@Test\nvoid a() { assertEquals(1, f()); }\nvoid b() {}\n}\n", ["a"], 1),
        ("src/a.rs", "#[test]\nfn a() { assert_eq!(f(), 1); }\nfn b() { assert!(true); }\n", ["a"], 1),
    ],
)  # fmt: skip
def test_tests_are_found_in_every_language(path: str, text: str, names: list[str], assertions: int) -> None:
    tests = read_tests(path, text)
    assert [test.name for test in tests] == names
    assert sum(len(test.assertions) for test in tests) == assertions


def test_the_set_that_ships_is_large_enough_small_enough_and_whole(shipped: list[Case]) -> None:
    labels = Counter(case.truth.label for case in shipped)
    assert labels["honest"] >= 60 and labels["bad"] >= 100
    assert {case.source.language for case in shipped} == {"python", "javascript", "typescript", "go", "java", "rust"}
    assert sum(file.stat().st_size for file in SHIPPED.rglob("*.jsonl")) < 3_000_000
    known = {*KINDS, *JUDGED}
    assert {name for case in shipped for name in (*case.truth.classes, *case.truth.also)} <= known
    assert {name for case in shipped for name in case.truth.classes} >= known - {"not-read", "fewer-tests-run"}


def test_every_project_in_it_is_named_with_its_licence(shipped: list[Case]) -> None:
    told = (SHIPPED / "README.md").read_text()
    licences = {file.stem for file in (SHIPPED / "licences").glob("*.txt")}
    for package in {case.source.package for case in shipped}:
        assert f"| {package} |" in told
        assert package.strip("@").replace("/", "-") in licences


def test_the_guard_sees_most_of_a_part_of_it(shipped: list[Case]) -> None:
    """A tenth, to be quick; `honk eval` says it of all."""
    reckoned = figures(replay(shipped[::10], guard_each))
    assert reckoned.recall.of >= 8
    assert reckoned.recall.hits >= 0.85 * reckoned.recall.of
    assert reckoned.false_alarms.hits <= 2


def test_packages_that_nobody_has_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packages = tmp_path / "packages.toml"
    packages.write_text("package = []\n")
    assert main(["--packages", str(packages), "--out", str(tmp_path / "set")]) == 1
    assert "No change could be made of any package." in capsys.readouterr().err
