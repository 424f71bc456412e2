"""Two pictures of a page beside each other, with what changed marked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

_NOTICEABLE = 24
"""Of 255: a smaller difference in a pixel is how edges are smoothed, not what changed."""
_CELL = 24
"""Pixels: changes nearer to each other than that are one."""
_MOST_PIXELS = 20_000_000
_GAP = 48
_HEAD = 88
_MARK = (220, 38, 38)


@dataclass(frozen=True)
class Compared:
    """How much of the page looks otherwise (0 to 1), and in how many places."""

    changed: float
    places: int


def compare(before: Path, after: Path, target: Path) -> Compared:
    """Compare two PNGs, and where they differ, put them beside each other into `target`.

    Raises `ValueError` for what is no picture of a sensible size.
    """
    from PIL import ImageChops

    old, new = _open(before), _open(after)
    size = max(old.width, new.width), max(old.height, new.height)
    old, new = _padded(old, size), _padded(new, size)
    bands = [
        band.point(lambda value: 255 if value > _NOTICEABLE else 0) for band in ImageChops.difference(old, new).split()
    ]
    mask = bands[0]
    for band in bands[1:]:
        mask = ImageChops.lighter(mask, band)
    changed = mask.histogram()[255] / (size[0] * size[1])
    boxes = _boxes(mask)
    if boxes:
        _beside(old, new, boxes).save(target, "PNG", optimize=True)
    return Compared(changed, len(boxes))


def _open(path: Path) -> Image:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path, formats=("PNG",)) as found:
            if found.width * found.height > _MOST_PIXELS:
                raise ValueError(f"{path.name} is too large a picture.")
            return found.convert("RGB")
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ValueError(f"{path.name} is no picture: {error}") from error


def _padded(image: Image, size: tuple[int, int]) -> Image:
    from PIL import Image as Images

    if image.size == size:
        return image
    canvas = Images.new("RGB", size, "white")
    canvas.paste(image, (0, 0))
    return canvas


def _boxes(mask: Image) -> list[tuple[int, int, int, int]]:
    """The places that changed: cells with a change in them, joined where they touch."""
    columns, rows = -(-mask.width // _CELL), -(-mask.height // _CELL)
    cells = {
        (column, row)
        for row in range(rows)
        for column in range(columns)
        if mask.crop((column * _CELL, row * _CELL, (column + 1) * _CELL, (row + 1) * _CELL)).getbbox()
    }
    boxes = []
    while cells:
        waiting, place = [cells.pop()], []
        while waiting:
            column, row = waiting.pop()
            place.append((column, row))
            near = {(column + x, row + y) for x in (-1, 0, 1) for y in (-1, 0, 1)} & cells
            cells -= near
            waiting.extend(near)
        left, top = min(column for column, _ in place), min(row for _, row in place)
        right, bottom = max(column for column, _ in place) + 1, max(row for _, row in place) + 1
        boxes.append((left * _CELL, top * _CELL, min(right * _CELL, mask.width), min(bottom * _CELL, mask.height)))
    return sorted(boxes)


def _beside(old: Image, new: Image, boxes: list[tuple[int, int, int, int]]) -> Image:
    from PIL import Image, ImageDraw, ImageFont

    canvas = Image.new("RGB", (old.width + new.width + 3 * _GAP, old.height + _HEAD + _GAP), (240, 240, 242))
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=40)
    for text, image, left in (("Before", old, _GAP), ("After", new, old.width + 2 * _GAP)):
        pen.text((left, 24), text, fill=(40, 40, 46), font=font)
        canvas.paste(image, (left, _HEAD))
    for box in boxes:
        left, top, right, bottom = box
        across = old.width + 2 * _GAP
        pen.rounded_rectangle(
            (left + across - 4, top + _HEAD - 4, right + across + 4, bottom + _HEAD + 4),
            radius=10,
            outline=_MARK,
            width=5,
        )
    return canvas.resize((canvas.width // 2, canvas.height // 2), Image.Resampling.LANCZOS)
