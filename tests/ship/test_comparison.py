"""What looks otherwise on a page, found in two pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from honk.ship.comparison import compare

SIZE = (780, 1688)


def _page(path: Path, *boxes: tuple[int, int, int, int], size: tuple[int, int] = SIZE, colour: str = "black") -> Path:
    image = Image.new("RGB", size, "white")
    for box in boxes:
        ImageDraw.Draw(image).rectangle(box, fill=colour)
    image.save(path)
    return path


def _red(image: Image.Image) -> bool:
    colours = image.convert("RGB").getcolors(1 << 24) or []
    return any(red > 180 and green < 90 and blue < 90 for _, (red, green, blue) in colours)  # type: ignore[misc]


def test_pages_that_are_alike_have_no_picture(tmp_path: Path) -> None:
    found = compare(_page(tmp_path / "a.png"), _page(tmp_path / "b.png"), tmp_path / "c.png")
    assert (found.changed, found.places) == (0, 0)
    assert not (tmp_path / "c.png").exists()


def test_each_place_that_changed_is_marked_on_the_newer_page(tmp_path: Path) -> None:
    before = _page(tmp_path / "a.png", (100, 100, 199, 199))
    after = _page(tmp_path / "b.png", (100, 100, 199, 199), (400, 600, 499, 699), (100, 1400, 119, 1419))
    found = compare(before, after, tmp_path / "c.png")
    assert found.places == 2
    assert found.changed == pytest.approx((100 * 100 + 20 * 20) / (SIZE[0] * SIZE[1]))
    beside = Image.open(tmp_path / "c.png")
    assert _red(beside)
    assert not _red(beside.crop((0, 0, beside.width // 2 - 20, beside.height)))


def test_smoothed_edges_are_no_change(tmp_path: Path) -> None:
    before = _page(tmp_path / "a.png", (0, 0, 300, 300), colour="#808080")
    after = _page(tmp_path / "b.png", (0, 0, 300, 300), colour="#858585")
    assert compare(before, after, tmp_path / "c.png").places == 0


def test_a_page_that_became_longer_is_compared_as_it_is(tmp_path: Path) -> None:
    before = _page(tmp_path / "a.png", size=(780, 1000))
    after = _page(tmp_path / "b.png", (0, 1500, 779, 1599))
    assert compare(before, after, tmp_path / "c.png").places == 1


def test_what_is_no_picture_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 100)
    with pytest.raises(ValueError, match=r"a\.png is no picture"):
        compare(tmp_path / "a.png", _page(tmp_path / "b.png"), tmp_path / "c.png")


def test_a_picture_of_absurd_size_is_refused(tmp_path: Path) -> None:
    Image.new("1", (30_000, 1_000)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="too large"):
        compare(tmp_path / "a.png", _page(tmp_path / "b.png"), tmp_path / "c.png")
