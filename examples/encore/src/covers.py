"""Album covers, drawn. A cover is a pattern and four colours; the same name always gives the same picture."""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

SIZE = 600

Draw = Callable[[random.Random, Sequence[str]], list[str]]


def draw(name: str, cover: Mapping[str, Any]) -> str:
    """The cover as an SVG document. `name` seeds what is left to chance."""
    colours = cover["colours"]
    shapes = PATTERNS[cover["pattern"]](random.Random(name), colours)
    body = "\n".join(shapes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIZE} {SIZE}">\n'
        f'<rect width="{SIZE}" height="{SIZE}" fill="{colours[0]}"/>\n{body}\n</svg>\n'
    )


def _circle(x: float, y: float, r: float, rest: str) -> str:
    return f'<circle cx="{x:.0f}" cy="{y:.0f}" r="{r:.0f}" {rest}/>'


def _rect(x: float, y: float, width: float, height: float, rest: str) -> str:
    return f'<rect x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{height:.0f}" {rest}/>'


def _wave(y: float, height: float, length: float, shift: float, fill: str) -> str:
    points = " ".join(
        f"{x},{y + height * math.sin((x + shift) / length * math.tau):.1f}" for x in range(0, SIZE + 1, 12)
    )
    return f'<polygon points="0,{SIZE} {points} {SIZE},{SIZE}" fill="{fill}"/>'


def _sun(chance: random.Random, colours: Sequence[str]) -> list[str]:
    night, sun, pale, sea = colours
    shapes = [_circle(300, 290, 250, f'fill="{sea}" opacity=".35"'), _circle(300, 290, 178, f'fill="{sun}"')]
    for step in range(5):
        y = 302 + step * 32
        half = math.sqrt(178**2 - (y - 290) ** 2) + 4
        shapes.append(_rect(300 - half, y, 2 * half, 5 + step * 4, f'fill="{sea}"'))
    shapes += [_wave(430, 10, 210, 40, sea), _wave(480, 12, 260, 130, night)]
    for _ in range(16):
        x, y, width = chance.randint(150, 430), chance.randint(448, 572), chance.randint(20, 90)
        shapes.append(_rect(x, y, width, 5, f'rx="3" fill="{pale}" opacity=".75"'))
    return shapes


def _windows(chance: random.Random, colours: Sequence[str]) -> list[str]:
    night, lamp, violet, rose = colours
    shapes = [_circle(440, 150, 70, f'fill="{rose}"'), _circle(412, 134, 62, f'fill="{night}"')]
    for left, top, width in ((40, 250, 150), (200, 140, 170), (380, 290, 180)):
        shapes.append(_rect(left, top, width, SIZE - top, f'rx="10" fill="{violet}" opacity=".38"'))
        for y in range(top + 26, SIZE - 30, 48):
            for x in range(left + 20, left + width - 24, 38):
                fill = chance.choice([lamp, lamp, violet, violet, rose])
                shapes.append(_rect(x, y, 22, 30, f'rx="4" fill="{fill}"'))
    return [*shapes, _rect(0, 560, SIZE, 40, f'fill="{lamp}"'), _rect(0, 576, SIZE, 24, f'fill="{night}"')]


def _orbit(chance: random.Random, colours: Sequence[str]) -> list[str]:
    _, pale, dust, violet = colours
    shapes = [
        _circle(chance.randint(0, SIZE), chance.randint(0, SIZE), chance.choice([1, 2, 3]), f'fill="{pale}"')
        for _ in range(60)
    ]
    shapes += [_circle(300, 300, 88, f'fill="{pale}"'), _circle(332, 276, 88, f'fill="{violet}" opacity=".55"')]
    for radius in (140, 190, 240, 285):
        angle = chance.random() * math.tau
        x, y = 300 + radius * math.cos(angle), 300 + radius * math.sin(angle)
        shapes.append(_circle(300, 300, radius, f'fill="none" stroke="{dust}" stroke-width="3" opacity=".7"'))
        shapes.append(_circle(x, y, chance.randint(10, 24), f'fill="{chance.choice([dust, violet, pale])}"'))
    return shapes


def _blocks(chance: random.Random, colours: Sequence[str]) -> list[str]:
    shapes = []
    for row in range(4):
        for column in range(4):
            x, y, fill = column * 150, row * 150, colours[1 + (row * 2 + column + chance.randint(0, 1)) % 3]
            corner = chance.randint(0, 4)
            if corner == 4:
                shapes.append(_circle(x + 75, y + 75, 58, f'fill="{fill}"'))
                continue
            turn = f"rotate({corner * 90} {x + 75} {y + 75})"
            shapes.append(f'<path d="M{x} {y}h150a150 150 0 0 1-150 150z" transform="{turn}" fill="{fill}"/>')
    return shapes


def _rain(chance: random.Random, colours: Sequence[str]) -> list[str]:
    shapes = []
    for x in range(30, SIZE - 20, 36):
        y = chance.randint(-120, 60)
        while y < SIZE:
            height = chance.randint(40, 190)
            fill = chance.choice([colours[1], colours[3], colours[3], colours[2]])
            shapes.append(_rect(x, y, 18, height, f'rx="9" fill="{fill}"'))
            y += height + chance.randint(26, 110)
    return shapes


def _peaks(chance: random.Random, colours: Sequence[str]) -> list[str]:
    _, blue, white, rose = colours
    shapes = [_circle(410, 190, 86, f'fill="{rose}"')]
    for x, top, half, opacity in ((430, 220, 300, 0.45), (150, 180, 270, 0.7), (330, 290, 290, 1)):
        shapes.append(f'<polygon points="{x},{top} {x - half},600 {x + half},600" fill="{blue}" opacity="{opacity}"/>')
        snow = half * 110 / (600 - top)
        edge = f"{x - snow:.0f},{top + 110} {x - snow / 3:.0f},{top + 82} {x + snow / 4:.0f},{top + 118}"
        shapes.append(f'<polygon points="{x},{top} {edge} {x + snow:.0f},{top + 110}" fill="{white}"/>')
    flakes = ((chance.randint(0, SIZE), chance.randint(0, SIZE), chance.choice([3, 4, 6])) for _ in range(46))
    return [*shapes, *(_circle(x, y, r, f'fill="{white}" opacity=".9"') for x, y, r in flakes)]


def _rings(chance: random.Random, colours: Sequence[str]) -> list[str]:
    shapes = []
    for x, y in ((0, 600), (600, 0)):
        for step, radius in enumerate(range(430, 20, -46)):
            fill = colours[(step + chance.randint(0, 1)) % 4] if step % 3 else colours[step % 2 + 1]
            shapes.append(_circle(x, y, radius, f'fill="{fill}"'))
    return [*shapes, _circle(300, 300, 34, f'fill="{colours[2]}"')]


def _waves(chance: random.Random, colours: Sequence[str]) -> list[str]:
    _, coral, teal, deep = colours
    shapes = [_circle(205, 205, 120, f'fill="{coral}"')]
    for step, fill in enumerate((teal, deep, coral, teal, deep)):
        shapes.append(_wave(270 + step * 66, 24 - step * 2, 300 - step * 22, chance.randint(0, 300), fill))
    return shapes


PATTERNS: Mapping[str, Draw] = {
    "blocks": _blocks,
    "orbit": _orbit,
    "peaks": _peaks,
    "rain": _rain,
    "rings": _rings,
    "sun": _sun,
    "waves": _waves,
    "windows": _windows,
}
