"""SECURITY.md and the attacks name the same promises."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from honk.workspace.attacks import HARMLESS, PROMISES, Promise

PAGE = (Path(__file__).parents[2] / "SECURITY.md").read_text()
ROWS = re.findall(r"^\| \*\*(\w+)\*\* \| (.+?) \| (.+?) \|$", PAGE, re.MULTILINE)


def test_the_page_gives_every_promise_in_the_words_of_the_program_and_no_other() -> None:
    assert {name: words for name, words, _ in ROWS} == {str(name): words for name, words in PROMISES.items()}
    assert set(PROMISES) == set(Promise)


@pytest.mark.parametrize(("name", "where"), [(name, where) for name, _, where in ROWS])
def test_what_a_promise_is_attacked_in_is_there(name: str, where: str) -> None:
    for path in re.findall(r"`([\w./]+)`", where):
        folder = Path(__file__).parents[2] if "/" in path else Path(__file__).parent
        assert (folder / path).is_file(), path
    harmless = any(attack.promise == name for attack in HARMLESS)
    assert harmless == ("test_harmless.py" in where)


def test_attacks_have_names_of_their_own() -> None:
    names = [attack.name for attack in HARMLESS]
    assert len(names) == len(set(names)) >= 60
