"""A set that cannot be read gets one sentence, with the file and the line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from honk.evals import read_cases, reading, replay
from honk.model import UsageError
from tests.conftest import Honk
from tests.evals.conftest import LOST, TEST, bad, case

Written = Callable[..., Path]


def _sentence(path: Path) -> str:
    with pytest.raises(UsageError) as caught:
        read_cases(path)
    told = str(caught.value)
    assert told.endswith(".") and "\n" not in told
    return told


def test_a_case_may_stand_on_the_base_of_an_earlier_one(written: Written) -> None:
    first, second = read_cases(written(case("one"), bad("two", "assertion-removed", base="one")))
    assert second.files() == first.files()
    assert second.files()["test_sum.py"].content() == TEST.encode()


def test_a_folder_is_read_in_the_order_of_its_files_names(written: Written) -> None:
    written(case("two", base="one"), name="b.jsonl")
    written(case("one"), name="a.jsonl")
    folder = written(json.dumps(case("three"), indent=2), name="c.json").parent
    assert [one.id for one in read_cases(folder)] == ["one", "two", "three"]


def _without(name: str) -> dict[str, Any]:
    return {key: value for key, value in case("x").items() if key != name}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"format": 1,', "this is no JSON: "),
        ("[1, 2]", "a case is a JSON object, not a list"),
        (_without("brief"), "the field `brief` is missing"),
        (_without("truth"), "the field `truth` is missing"),
        (case("x", truth={"label": "good"}), "`truth.label`: input should be 'honest' or 'bad'"),
        (case("x", truth={"label": "bad"}), "`truth`: a bad change names at least one class"),
        (case("x", verdict="fine"), "there is no field `verdict`"),
        (case("x", format=2), "this is format 2, and this version of Honk reads 1"),
        (case("x", base="nobody"), "`base` names 'nobody', and no case before it has that id"),
        (case("x", base={"../etc/passwd": "x"}), "must lead to a file below the repository's root"),
        (case("x", base={".git/config": "x"}), "must lead to a file below the repository's root"),
        (case("x", base={"src//a.py": "x"}), "must lead to a file below the repository's root"),
        (case("x", base={".GIT/config": "x"}), "must lead to a file below the repository's root"),
        (case("x", base={"git~1/config": "x"}), "must lead to a file below the repository's root"),
        ('{"format": 1, "brief": "\\ud800"}', "half a character"),
        ("[" * 200_000, "nested too deeply"),
        ('{"format": ' + "1" * 5_000 + "}", "a number is too long"),
        (case("x", base={"a.png": {"base64": "%%%"}}), "`base64` is no base64"),
        (case("x", base={"a": {"text": "x", "mode": "120777"}}), "mode"),
        (case("first"), "there is a case with the id 'first' already"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " in value and len(value) < 200 else "",
)
def test_a_case_that_is_wrong_is_named_by_file_and_line(
    written: Written, line: dict[str, Any] | str, told: str
) -> None:
    file = written(case("first"), "", line)
    sentence = _sentence(file)
    assert sentence.startswith(f"{file}, line 3: ")
    assert told in sentence


def test_what_is_not_utf_8_is_named_by_its_byte(tmp_path: Path) -> None:
    file = tmp_path / "set.jsonl"
    file.write_bytes(json.dumps(case("one")).encode() + b"\n" + b'{"id": "\xff"}\n')
    assert f"{file}, line 2: byte 9 is not UTF-8" in _sentence(file)


def test_a_line_of_a_file_with_one_case_is_named(tmp_path: Path) -> None:
    file = tmp_path / "one.json"
    file.write_text('{\n  "format": 1,\n  "id": oops\n}\n')
    assert _sentence(file).startswith(f"{file}, line 3: this is no JSON")


def test_there_is_nothing_to_read(tmp_path: Path) -> None:
    assert f"There is no file or folder {tmp_path / 'no'}" in _sentence(tmp_path / "no")
    assert "There is no .jsonl or .json file in the folder" in _sentence(tmp_path)
    (tmp_path / "empty.jsonl").write_text("\n\n")
    assert "There is no case in" in _sentence(tmp_path)


def test_what_is_far_too_large_is_refused_before_it_is_parsed(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(case("one"), case("two", brief="word " * 2000))
    monkeypatch.setattr(reading, "LARGEST_CASE", 9_000)
    assert f"{file}, line 2: this case has" in _sentence(file)
    monkeypatch.setattr(reading, "LARGEST_FILE", 1_000)
    assert "split it into files of at most" in _sentence(file)


def test_a_diff_that_does_not_apply_is_told_in_gits_words(written: Written) -> None:
    cases = read_cases(written(case("one"), case("two", LOST, base={"test_sum.py": "something else\n"})))
    with pytest.raises(UsageError, match=r"The diff of the case 'two' does not apply to its base: .*test_sum\.py"):
        replay(cases, lambda changes, _: [[] for _ in changes])


def test_a_person_sees_the_sentence_and_nothing_is_kept(honk: Honk, home: Path, written: Written) -> None:
    done = honk("eval", str(written(case("one"), "{}")), check=2)
    (line,) = done.stderr.splitlines()
    assert "line 2: the field `format` is missing" in line
    assert not (home / "evals").exists()
